//! The OpenAPI document of the API, made from the table of its endpoints.

use bytes::Bytes;
use http::{Method, Response, header};
use http_body_util::Full;
use serde_json::{Map, Value, json};

use crate::envelope::Body;
use crate::records::Scope;
use crate::route::Route;
use crate::route::table::{self, Endpoint, RequestBody};

/// `GET /openapi.json`.
pub(crate) fn answer() -> Response<Body> {
    let mut response = Response::new(Full::from(Bytes::from(document().to_string())));
    let json = header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

fn document() -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for endpoint in table::all() {
        let path = paths.entry(endpoint.path).or_insert_with(|| json!({}));
        path[endpoint.method.as_str().to_ascii_lowercase()] = operation(endpoint);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Berth",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Cloudflare's v4 API, as far as `berth serve` has it. Names and forms are \
                Cloudflare's; what is in no endpoint here is a 404 with code 7003.",
        },
        "servers": [{"url": "/client/v4"}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer",
                "description": "A token of `berth token create`, with the scope that an operation \
                    names in `x-scope`"}},
            "responses": {
                "Success": described("It is done.", "Success"),
                "Failure": described("It is not, and nothing has changed.", "Failure"),
            },
            "schemas": schemas(),
        },
    })
}

fn described(text: &str, schema: &str) -> Value {
    let schema = json!({"$ref": format!("#/components/schemas/{schema}")});
    json!({"description": text, "content": {"application/json": {"schema": schema}}})
}

/// The envelope of `envelope.rs`.
fn schemas() -> Value {
    let message = json!({"type": "object", "required": ["code", "message"],
        "properties": {"code": {"type": "integer"}, "message": {"type": "string"}}});
    let envelope = |success: bool, result: Value| {
        json!({"type": "object", "required": ["success", "errors", "messages", "result"],
        "properties": {
            "success": {"const": success},
            "errors": {"type": "array", "items": {"$ref": "#/components/schemas/Message"}},
            "messages": {"type": "array", "items": {"$ref": "#/components/schemas/Message"}},
            "result": result,
            "result_info": {"type": "object", "description": "Of lists: counts and pages"},
        }})
    };
    json!({
        "Message": message,
        "Success": envelope(true, json!({})),
        "Failure": envelope(false, json!({"type": "null"})),
    })
}

fn operation(endpoint: &Endpoint) -> Value {
    let names = endpoint
        .path
        .split('/')
        .filter_map(|part| part.strip_prefix('{').and_then(|part| part.strip_suffix('}')));
    let parameter = |name: &str| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}});
    let mut operation = json!({
        "operationId": id(endpoint),
        "summary": endpoint.summary,
        "parameters": names.map(parameter).collect::<Vec<_>>(),
        "responses": {
            "200": {"$ref": "#/components/responses/Success"},
            "default": {"$ref": "#/components/responses/Failure"},
        },
    });
    match scope(endpoint) {
        Some(scope) => operation["x-scope"] = json!(scope.name()),
        None => operation["security"] = json!([]),
    }
    let content = match endpoint.body {
        RequestBody::Nothing => return operation,
        RequestBody::Json => "application/json",
        RequestBody::Form => "multipart/form-data",
        RequestBody::Bytes => "application/octet-stream",
    };
    operation["requestBody"] = json!({"required": true, "content": {content: {}}});
    operation
}

/// What a token must allow; `None` where none is asked for.
pub(crate) fn scope(endpoint: &Endpoint) -> Option<Scope> {
    match table::example(endpoint) {
        Route::Open(_) => None,
        route => Some(route.scope(&endpoint.method)),
    }
}

/// A name for programs: the method, and the parts of the path that are no names.
fn id(endpoint: &Endpoint) -> String {
    let method = match endpoint.method {
        Method::GET => "get",
        Method::POST => "post",
        Method::PUT => "put",
        Method::PATCH => "patch",
        _ => "delete",
    };
    let mut id = method.to_owned();
    for part in endpoint.path.split('/').filter(|part| !part.is_empty()) {
        let part = part.trim_matches(['{', '}']).replace(['-', '.'], "_");
        id = format!("{id}_{part}");
    }
    id
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_endpoint_is_in_the_document_and_nothing_else() {
        let document = document();
        let paths = document["paths"].as_object().unwrap();
        let operations: usize = paths.values().map(|path| path.as_object().unwrap().len()).sum();
        assert_eq!(operations, table::all().count());
        let mut ids = HashSet::new();
        for endpoint in table::all() {
            let method = endpoint.method.as_str().to_ascii_lowercase();
            let operation = &document["paths"][endpoint.path][method];
            assert_eq!(operation["summary"], endpoint.summary);
            assert!(ids.insert(operation["operationId"].to_string()), "{operation}");
            let named = operation["parameters"].as_array().unwrap().len();
            assert_eq!(named, endpoint.path.matches('{').count());
        }
    }

    #[test]
    fn an_operation_says_what_its_token_must_allow() {
        let document = document();
        let script = "/accounts/{account_id}/workers/scripts/{script_name}";
        assert_eq!(document["paths"][script]["put"]["x-scope"], "workers:write");
        let audit = "/accounts/{account_id}/logs/audit";
        assert_eq!(document["paths"][audit]["get"]["x-scope"], "admin");
        assert_eq!(document["paths"]["/openapi.json"]["get"]["security"], json!([]));
    }
}

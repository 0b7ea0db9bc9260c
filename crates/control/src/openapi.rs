//! The OpenAPI document of the API, made from the table of its endpoints and the types in it.

use bytes::Bytes;
use http::{Method, Response, header};
use http_body_util::Full;
use schemars::SchemaGenerator;
use schemars::generate::{Contract, SchemaSettings};
use serde_json::{Map, Value, json};

use crate::envelope::Body;
use crate::records::Scope;
use crate::route::Route;
use crate::route::table::{self, Answer, Endpoint, RequestBody, SchemaOf};

/// `GET /openapi.json`.
pub(crate) fn answer() -> Response<Body> {
    let mut response = Response::new(Full::from(Bytes::from(document().to_string())));
    let json = header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

fn document() -> Value {
    let mut schemas = Schemas::new();
    let mut paths: Map<String, Value> = Map::new();
    for endpoint in table::all() {
        let path = paths.entry(endpoint.path).or_insert_with(|| json!({}));
        let method = endpoint.method.as_str().to_ascii_lowercase();
        path[method] = operation(endpoint, &mut schemas);
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
            "responses": {"Failure": described(
                "It is not done, and nothing has changed.",
                json!({"$ref": "#/components/schemas/Failure"}),
            )},
            "schemas": schemas.all(),
        },
    })
}

fn described(text: &str, schema: Value) -> Value {
    json!({"description": text, "content": {"application/json": {"schema": schema}}})
}

/// The schemas of the types in the table. What is sent may leave out what an answer always has, so each
/// is described as the one or as the other.
struct Schemas {
    sent: SchemaGenerator,
    answered: SchemaGenerator,
}

impl Schemas {
    fn new() -> Self {
        let generator = |contract: Contract| {
            let settings = SchemaSettings::draft2020_12().with(|settings| {
                settings.definitions_path = "/components/schemas".into();
                settings.contract = contract;
            });
            settings.into_generator()
        };
        Self { sent: generator(Contract::Deserialize), answered: generator(Contract::Serialize) }
    }

    fn of_sent(&mut self, schema: SchemaOf) -> Value {
        schema(&mut self.sent).to_value()
    }

    fn of_answered(&mut self, schema: SchemaOf) -> Value {
        schema(&mut self.answered).to_value()
    }

    /// All that were referred to, by their names.
    fn all(&self) -> Map<String, Value> {
        let types = self.sent.definitions().iter().chain(self.answered.definitions());
        let types = types.map(|(name, schema)| (name.clone(), schema.clone()));
        envelope().into_iter().chain(types).collect()
    }
}

/// The envelope of `envelope.rs`.
fn envelope() -> Map<String, Value> {
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
    let numbers = |names: &[&str]| {
        let numbers = names.iter().map(|name| ((*name).to_owned(), json!({"type": "integer"})));
        json!({"type": "object", "required": names,
            "properties": numbers.collect::<Map<String, Value>>()})
    };
    let mut cursor = numbers(&["count"]);
    cursor["properties"]["cursor"] = json!({"type": ["string", "null"],
        "description": "For the next part; `null` after the last one"});
    let token = |text: &str| json!({"type": ["string", "null"], "description": text});
    let part = json!({"type": "object",
    "required": ["per_page", "page_token", "next_page_token"],
    "properties": {
        "per_page": {"type": ["integer", "null"]},
        "page_token": token("What was asked with"),
        "next_page_token": token("For the next part; `null` after the last one"),
    }});
    let schemas = [
        ("Message", message),
        ("Success", envelope(true, json!({}))),
        ("Failure", envelope(false, json!({"type": "null"}))),
        ("PageInfo", numbers(&["page", "per_page", "count", "total_count", "total_pages"])),
        ("CursorInfo", cursor),
        ("PartInfo", part),
    ];
    schemas.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect()
}

fn operation(endpoint: &Endpoint, schemas: &mut Schemas) -> Value {
    let names = endpoint
        .path
        .split('/')
        .filter_map(|part| part.strip_prefix('{').and_then(|part| part.strip_suffix('}')));
    let parameter = |name: &str| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}});
    let parameters = names.map(parameter).chain(of_query(endpoint.answer));
    let (status, answer) = answered(endpoint.answer, schemas);
    let mut operation = json!({
        "operationId": id(endpoint),
        "summary": endpoint.summary,
        "parameters": parameters.collect::<Vec<_>>(),
        "responses": {
            status: answer,
            "default": {"$ref": "#/components/responses/Failure"},
        },
    });
    match scope(endpoint) {
        Some(scope) => operation["x-scope"] = json!(scope.name()),
        None => operation["security"] = json!([]),
    }
    let content = match endpoint.body {
        RequestBody::Nothing => return operation,
        RequestBody::Json(schema) => {
            json!({"application/json": {"schema": schemas.of_sent(schema)}})
        }
        RequestBody::Form => json!({"multipart/form-data": {}}),
        RequestBody::Bytes => json!({"application/octet-stream": {}}),
    };
    operation["requestBody"] = json!({"required": true, "content": content});
    operation
}

/// Parameters of the query, by which a part of a list is asked for.
fn of_query(answer: Answer) -> Vec<Value> {
    let Answer::Part(_) = answer else { return Vec::new() };
    let query = |name: &str, schema: Value| json!({"name": name, "in": "query", "schema": schema});
    vec![
        query("per_page", json!({"type": "integer", "minimum": 1})),
        query("page_token", json!({"type": "string"})),
    ]
}

/// The status of a success, and what comes with it.
fn answered(answer: Answer, schemas: &mut Schemas) -> (&'static str, Value) {
    let list = |item: Value, info: &str| {
        json!({"result": {"type": "array", "items": item},
            "result_info": {"$ref": format!("#/components/schemas/{info}")}})
    };
    let properties = match answer {
        Answer::One(schema) => json!({"result": schemas.of_answered(schema)}),
        Answer::List(schema) => list(schemas.of_answered(schema), "PageInfo"),
        Answer::Page(schema) => list(schemas.of_answered(schema), "CursorInfo"),
        Answer::Part(schema) => json!({"result": schemas.of_answered(schema),
            "result_info": {"$ref": "#/components/schemas/PartInfo"}}),
        Answer::Null => json!({"result": {"type": "null"}}),
        Answer::Modules => {
            let content = json!({"multipart/form-data": {}});
            return ("200", json!({"description": "A part for each module.", "content": content}));
        }
        Answer::Document => return ("200", described("The document.", json!({"type": "object"}))),
        Answer::WebSocket => {
            return ("101", json!({"description": "A WebSocket from here on."}));
        }
    };
    let success = json!({"$ref": "#/components/schemas/Success"});
    let schema = json!({"allOf": [success, {"properties": properties}]});
    ("200", described("It is done.", schema))
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
            let parameters = operation["parameters"].as_array().unwrap();
            let named = parameters.iter().filter(|one| one["in"] == "path").count();
            assert_eq!(named, endpoint.path.matches('{').count());
            let is_part = matches!(endpoint.answer, Answer::Part(_));
            assert_eq!(parameters.iter().any(|one| one["name"] == "page_token"), is_part);
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

    /// Answers that have no type, and why.
    const WITHOUT_TYPE: &[(&str, &str)] = &[(
        "patch_accounts_account_id_workers_scripts_script_name_script_settings",
        "what was sent is answered as it came",
    )];

    #[test]
    fn every_json_has_a_schema_that_says_something_or_a_reason_to_have_none() {
        let mut schemas = Schemas::new();
        for endpoint in table::all() {
            let sent = match endpoint.body {
                RequestBody::Json(schema) => Some(schemas.of_sent(schema)),
                RequestBody::Nothing | RequestBody::Form | RequestBody::Bytes => None,
            };
            let answered = match endpoint.answer {
                Answer::One(schema)
                | Answer::List(schema)
                | Answer::Page(schema)
                | Answer::Part(schema) => Some(schemas.of_answered(schema)),
                Answer::Null | Answer::Modules | Answer::Document | Answer::WebSocket => None,
            };
            let says_nothing = |schema: &Value| *schema == json!(true) || *schema == json!({});
            let id = id(endpoint);
            assert!(!sent.as_ref().is_some_and(says_nothing), "{id}: what is sent");
            let may_say_nothing = WITHOUT_TYPE.iter().any(|(known, _)| *known == id);
            assert_eq!(answered.as_ref().is_some_and(says_nothing), may_say_nothing, "{id}");
        }
    }

    /// Calls `look` with each reference.
    fn references(value: &Value, look: &mut impl FnMut(&str)) {
        match value {
            Value::Object(fields) => {
                if let Some(Value::String(target)) = fields.get("$ref") {
                    look(target);
                }
                fields.values().for_each(|value| references(value, look));
            }
            Value::Array(items) => items.iter().for_each(|value| references(value, look)),
            _ => {}
        }
    }

    #[test]
    fn every_reference_leads_somewhere_and_no_name_has_two_meanings() {
        let document = document();
        let mut found = 0;
        references(&document, &mut |target: &str| {
            let pointer = target.strip_prefix('#').unwrap_or_else(|| panic!("{target}"));
            assert!(document.pointer(pointer).is_some(), "{target}");
            found += 1;
        });
        assert!(found > 100, "{found}");
        let mut schemas = Schemas::new();
        for endpoint in table::all() {
            operation(endpoint, &mut schemas);
        }
        for (name, schema) in schemas.sent.definitions() {
            let other = schemas.answered.definitions().get(name);
            assert!(other.is_none_or(|other| other == schema), "{name}");
        }
        for name in envelope().keys() {
            let is_type = |all: &SchemaGenerator| all.definitions().contains_key(name);
            assert!(!is_type(&schemas.sent) && !is_type(&schemas.answered), "{name}");
        }
    }

    #[test]
    fn what_is_sent_may_leave_out_what_is_always_answered() {
        let document = document();
        let schemas = &document["components"]["schemas"];
        let needs = |name: &str| {
            let mut names: Vec<String> =
                serde_json::from_value(schemas[name]["required"].clone()).unwrap_or_default();
            names.sort();
            names
        };
        assert_eq!(needs("DeploymentWish"), ["versions"]);
        assert_eq!(needs("StopWish"), [""; 0]);
        assert_eq!(needs("TokenState"), ["expires_on", "id", "name", "scopes", "status"]);
        assert_eq!(
            needs("PreparedImage"),
            ["image", "status"],
            "the others come with their states"
        );
        let expiry = &schemas["TokenState"]["properties"]["expires_on"];
        assert_eq!(expiry["type"], json!(["string", "null"]));
    }
}

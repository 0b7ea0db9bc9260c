//! What wrangler asks of Cloudflare's API before it pushes, call by call as 4.164 makes them.

use e2e::{Client, RegistryServer};
use serde_json::{Value, json};

fn call(client: &Client, token: &str, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let bearer = format!("Bearer {token}");
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/json"),
        ("accept", "*/*"),
    ];
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let reply = client.send(method, &format!("/client/v4{path}"), &headers, body);
    (reply.status, reply.json())
}

#[test]
fn bi1_a_push_has_an_account_with_limits_and_a_credential_that_works() {
    let server = RegistryServer::start(&["--api"]);
    let (client, token) = (server.client(), server.credential(&["--api"]));
    let (status, me) = call(&client, &token, "GET", "/accounts/acc/containers/me", &Value::Null);
    assert_eq!((status, &me["success"], &me["errors"]), (200, &json!(true), &json!([])));
    assert_eq!(me["result"]["external_account_id"], "acc");
    assert_eq!(me["result"]["limits"]["disk_mb_per_deployment"], 20_000);
    let path = format!("/accounts/acc/containers/registries/{}/credentials", server.address());
    let wanted = json!({"expiration_minutes": 15, "permissions": ["push", "pull"]});
    let (status, given) = call(&client, &token, "POST", &path, &wanted);
    let given = &given["result"];
    assert_eq!(
        (status, &given["username"], &given["account_id"]),
        (200, &json!("v1"), &json!("acc"))
    );
    assert_eq!(given["registry_host"], server.address());
    let bearer = format!("Bearer {}", given["password"].as_str().expect("a password"));
    let headers = [("authorization", bearer.as_str())];
    let upload = client.send("POST", "/v2/acc/app/blobs/uploads/", &headers, "");
    assert_eq!(upload.status, 202, "{upload}");
    server.stop();
}

#[test]
fn who_has_no_token_gets_nothing_and_what_is_not_there_is_named() {
    let server = RegistryServer::start(&["--api"]);
    let (client, token) = (server.client(), server.credential(&["--api"]));
    let code = |answer: &(u16, Value)| (answer.0, answer.1["errors"][0]["code"].clone());
    let me = "/accounts/acc/containers/me";
    assert_eq!(code(&call(&client, "wrong", "GET", me, &Value::Null)), (403, json!(10000)));
    let credential = server.credential(&["--pull", "--push"]);
    assert_eq!(code(&call(&client, &credential, "GET", me, &Value::Null)), (403, json!(10000)));
    let other = call(&client, &token, "GET", "/accounts/other/containers/me", &Value::Null);
    assert_eq!(code(&other), (403, json!(9109)));
    let path = "/accounts/acc/containers/registries/registry.example/credentials";
    let foreign = call(&client, &token, "POST", path, &json!({"permissions": ["pull"]}));
    assert_eq!(code(&foreign), (404, json!(1000)));
    let missing = call(&client, &token, "GET", "/accounts/acc/workers/scripts", &Value::Null);
    assert_eq!(code(&missing), (404, json!(7003)));
    assert!(missing.1.to_string().contains("/client/v4/accounts/acc/workers/scripts"));
    server.stop();
}

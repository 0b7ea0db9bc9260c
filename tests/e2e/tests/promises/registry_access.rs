//! Who may do what: short-lived credentials for one account, quotas, and nothing open by accident.

use e2e::{Client, Data, RegistryServer, Reply};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

fn code(reply: &Reply) -> (u16, String) {
    (reply.status, reply.json()["errors"][0]["code"].as_str().unwrap_or_default().to_owned())
}

fn send(client: &Client, password: &str, method: &str, path: &str, body: &[u8]) -> Reply {
    let bearer = format!("Bearer {password}");
    client.send(method, path, &[("authorization", &bearer)], body)
}

fn digest(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

#[test]
fn a_stranger_is_told_where_to_get_a_token() {
    let server = RegistryServer::start(&[]);
    let client = server.client();
    for path in ["/v2/", "/v2/_catalog", "/v2/acc/app/tags/list", "/v2/acc/app/manifests/v1"] {
        let reply = client.get(path);
        assert_eq!(code(&reply), (401, "UNAUTHORIZED".to_owned()), "{path}");
        let challenge = &reply.headers["www-authenticate"];
        let realm = format!("Bearer realm=\"http://{}/v2/token\"", server.address());
        assert!(challenge.starts_with(&realm), "{challenge}");
    }
    let forged = "eyJhbGciOiJub25lIn0.eyJpc3MiOiJiZXJ0aCJ9.";
    assert_eq!(send(&client, forged, "GET", "/v2/", b"").status, 401);
    server.stop();
}

#[test]
fn bh2_a_credential_is_for_one_account_and_for_what_it_says() {
    let server = RegistryServer::start(&[]);
    let client = server.client();
    let pull = server.credential(&["--pull"]);
    let push = server.credential(&["--pull", "--push"]);
    assert_eq!(send(&client, &pull, "GET", "/v2/", b"").status, 200);
    let upload = |password: &str, repository: &str| {
        send(&client, password, "POST", &format!("/v2/{repository}/blobs/uploads/"), b"")
    };
    assert_eq!(code(&upload(&pull, "acc/app")), (403, "DENIED".to_owned()));
    assert_eq!(code(&upload(&push, "other/app")), (403, "DENIED".to_owned()));
    assert_eq!(code(&upload(&push, "acc")), (403, "DENIED".to_owned()));
    assert_eq!(upload(&push, "acc/app").status, 202);
    assert_eq!(send(&client, &pull, "DELETE", "/v2/acc/app/manifests/v1", b"").status, 403);

    let token = |scope: &str| {
        let reply = send(&client, &push, "GET", &format!("/v2/token?scope={scope}"), b"");
        assert_eq!(reply.status, 200, "{reply}");
        reply.json()["token"].as_str().expect("a token").to_owned()
    };
    let app = token("repository:acc/app:pull,push");
    assert_eq!(upload(&app, "acc/app").status, 202);
    let reply = upload(&app, "acc/other");
    assert_eq!(reply.status, 401, "a token for something else: {reply}");
    assert!(reply.headers["www-authenticate"].contains("scope=\"repository:acc/other:"));
    server.stop();
}

#[test]
fn credentials_live_as_long_as_their_key_and_end_with_it() {
    let data = Data::new();
    let server = RegistryServer::start_on(&data, "127.0.0.1:0", &[]);
    let password = server.credential(&["--pull"]);
    server.stop();
    let server = RegistryServer::start_on(&data, "127.0.0.1:0", &[]);
    assert_eq!(send(&server.client(), &password, "GET", "/v2/", b"").status, 200);
    server.stop();
    assert_eq!(e2e::readable_files_with(data.path(), &password), Vec::<std::path::PathBuf>::new());
    fs_err::remove_file(data.path().join("registry/key")).expect("remove the key");
    let server = RegistryServer::start_on(&data, "127.0.0.1:0", &[]);
    assert_eq!(send(&server.client(), &password, "GET", "/v2/", b"").status, 401);
    server.stop();
}

#[test]
fn bh2_the_command_prints_a_password_or_json_and_wants_to_know_what_for() {
    let data = Data::new();
    let json = ["registry", "credentials", "--pull", "--expiration-minutes", "5", "--json"];
    let output = RegistryServer::command(&data, json).output().expect("run berth");
    let shown: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((&shown["username"], &shown["account_id"]), (&"v1".into(), &"local".into()));
    let output = RegistryServer::command(&data, ["registry", "credentials"]).output();
    let output = output.expect("run berth");
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("--pull, --push or both") && said.contains("hint:"), "{said}");
}

#[test]
fn nothing_is_served_to_other_machines_without_tls_or_without_asking_who_they_are() {
    let data = Data::new();
    for (args, said) in [
        (vec!["--listen", "0.0.0.0:0"], "there is no TLS"),
        (
            vec!["--listen", "0.0.0.0:0", "--anonymous", "--plain-http"],
            "--anonymous is for loopback",
        ),
    ] {
        let mut command = RegistryServer::command(&data, ["registry", "serve"]);
        let output = command.args(&args).output().expect("run berth");
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains(said) && stderr.contains("hint:"), "{stderr}");
    }
    let server = RegistryServer::start_on(&data, "127.0.0.1:0", &[]);
    let second = RegistryServer::command(&data, ["registry", "serve", "--listen", "127.0.0.1:0"]);
    let output = { second }.output().expect("run berth");
    assert_eq!(output.status.code(), Some(6), "one registry works on a folder");
    server.stop();
}

#[test]
fn i9_an_account_has_no_more_than_its_quota_until_it_deletes_something() {
    let server = RegistryServer::start(&["--quota", "100KB"]);
    let client = server.client();
    let password = server.credential(&["--pull", "--push"]);
    let push = |bytes: &[u8]| {
        let path = format!("/v2/acc/app/blobs/uploads/?digest={}", digest(bytes));
        send(&client, &password, "POST", &path, bytes)
    };
    let (first, second) = (vec![1; 60_000], vec![2; 60_000]);
    assert_eq!(push(&first).status, 201);
    let reply = push(&second);
    assert_eq!(code(&reply), (403, "DENIED".to_owned()));
    assert!(reply.text().contains("quota is 100000 bytes"), "{reply}");
    // What is here already takes no more room in another repository.
    let path = format!("/v2/acc/copy/blobs/uploads/?mount={}&from=acc/app", digest(&first));
    assert_eq!(send(&client, &password, "POST", &path, b"").status, 201);
    for repository in ["app", "copy"] {
        let path = format!("/v2/acc/{repository}/blobs/{}", digest(&first));
        assert_eq!(send(&client, &password, "DELETE", &path, b"").status, 202);
    }
    assert_eq!(push(&second).status, 201);
    server.stop();
}

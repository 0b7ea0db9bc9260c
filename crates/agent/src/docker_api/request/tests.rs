//! Every request of the recorded conversations is understood; no bytes at all make it panic.

use proptest::prelude::*;

use super::*;

const NAME: &str =
    "workerd-app-Raw-00f948a1a53b68568ae49a26df2da50187ec4a328453f2225064725a0d80f26f";

fn parse(method: &str, target: &str, body: &str) -> Result<DockerRequest, ParseError> {
    DockerRequest::parse(&method.parse().unwrap(), target, body.as_bytes())
}

fn call(method: &str, rest: &str, body: &str) -> ContainerCall {
    match parse(method, &format!("/containers/{NAME}{rest}"), body) {
        Ok(DockerRequest::Container(_, call)) => call,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_calls_workerd_makes_are_understood() {
    let filters = "/volumes?filters=%7B%22name%22%3A%5B%22workerd-snap-%22%5D%7D";
    assert_eq!(parse("GET", filters, ""), Ok(DockerRequest::ListVolumes));
    assert_eq!(parse("GET", "/networks/bridge", ""), Ok(DockerRequest::InspectBridge));
    assert_eq!(call("GET", "/json", ""), ContainerCall::Inspect);
    assert_eq!(call("POST", "/start", ""), ContainerCall::Start);
    assert_eq!(call("DELETE", "?force=true", ""), ContainerCall::Delete);
    assert_eq!(call("POST", "/kill?signal=SIGTERM", ""), ContainerCall::Kill(15));
    assert_eq!(call("POST", "/kill", ""), ContainerCall::Kill(9));
    assert_eq!(call("POST", "/wait", ""), ContainerCall::Wait(WaitCondition::NotRunning));
    assert_eq!(
        call("POST", "/wait?condition=removed", ""),
        ContainerCall::Wait(WaitCondition::Removed)
    );
    let path = "/data/.".to_owned();
    assert_eq!(call("GET", "/archive?path=%2Fdata%2F.", ""), ContainerCall::GetArchive(path));
    let path = "/etc".to_owned();
    assert_eq!(call("PUT", "/archive?path=%2Fetc", ""), ContainerCall::PutArchive(path));
    assert_eq!(
        parse("POST", "/exec/e1/resize?h=24&w=80", ""),
        Ok(DockerRequest::Exec("e1".to_owned(), ExecCall::Resize { rows: 24, columns: 80 }))
    );
}

#[test]
fn a_version_prefix_makes_no_difference() {
    assert_eq!(parse("GET", "/v1.43/networks/bridge", ""), parse("GET", "/networks/bridge", ""));
}

#[test]
fn a_create_is_read_for_image_command_and_environment() {
    let body = r#"{"Image":"fast","Env":["A=1"],"Cmd":["x"],"StopTimeout":10,
        "HostConfig":{"Memory":0,"NetworkMode":"container:x"}}"#;
    let target = format!("/containers/create?name={NAME}");
    let Ok(DockerRequest::CreateContainer(name, create)) = parse("POST", &target, body) else {
        panic!("not a create");
    };
    assert_eq!(name.to_string(), NAME);
    assert_eq!(create.image, "fast");
    assert_eq!(create.env, Some(vec!["A=1".to_owned()]));
    assert_eq!(create.cmd, Some(vec!["x".to_owned()]));
}

#[test]
fn an_exec_start_gives_rows_before_columns() {
    let parsed = parse("POST", "/exec/e1/start", r#"{"Tty":true,"ConsoleSize":[30,100]}"#);
    let Ok(DockerRequest::Exec(_, ExecCall::Start(start))) = parsed else { panic!("{parsed:?}") };
    assert_eq!(start.console_size, Some((30, 100)));
}

#[test]
fn what_is_not_done_yet_says_what_it_is() {
    for (method, target, what) in [
        ("POST", "/containers/create".to_owned(), "container without a name"),
        ("GET", "/events".to_owned(), "has no GET /events"),
    ] {
        let error = parse(method, &target, "").unwrap_err().to_string();
        assert!(error.contains(what), "{error}");
    }
}

#[test]
fn the_calls_of_snapshots_are_understood() {
    let owned = str::to_owned;
    let id = "workerd-snap-1";
    assert_eq!(
        parse("POST", "/volumes/create", r#"{"Name":"workerd-snap-1","Labels":{"a":"b"}}"#),
        Ok(DockerRequest::CreateVolume(owned(id)))
    );
    let volume = format!("/volumes/{id}");
    assert_eq!(parse("GET", &volume, ""), Ok(DockerRequest::InspectVolume(owned(id))));
    assert_eq!(parse("DELETE", &volume, ""), Ok(DockerRequest::RemoveVolume(owned(id))));
    let name = ContainerName::parse(NAME).unwrap();
    assert_eq!(
        parse("POST", &format!("/commit?container={NAME}&pause=true&repo=workerd-x"), ""),
        Ok(DockerRequest::Commit(name, owned("workerd-x")))
    );
    assert_eq!(
        parse("GET", "/images/a%2Fb%3A1/json", ""),
        Ok(DockerRequest::InspectImage(owned("a/b:1")))
    );
    assert_eq!(
        parse("DELETE", "/images/x?noprune=true", ""),
        Ok(DockerRequest::RemoveImage(owned("x")))
    );
    assert_eq!(
        parse("POST", "/containers/berth-helper-1/wait?condition=not-running", ""),
        Ok(DockerRequest::Helper(
            owned("berth-helper-1"),
            ContainerCall::Wait(WaitCondition::NotRunning)
        ))
    );
}

#[test]
fn a_name_that_is_not_workerds_is_no_container() {
    assert_eq!(
        parse("GET", "/containers/nginx/json", ""),
        Err(ParseError::NoSuchContainer("nginx".to_owned()))
    );
}

/// The recorded conversations of the real workerd, one request after the other.
fn recorded() -> Vec<serde_json::Value> {
    [
        include_str!("../../../tests/fixtures/request-log-lifecycle.jsonl"),
        include_str!("../../../tests/fixtures/request-log-rawapi.jsonl"),
    ]
    .iter()
    .flat_map(|log| log.lines())
    .map(|line| serde_json::from_str(line).unwrap())
    .collect()
}

#[test]
fn every_recorded_request_is_understood_or_refused_by_name() {
    let mut understood = 0;
    for entry in recorded().iter().filter(|entry| entry["ev"] == "req") {
        let body = match &entry["body"] {
            serde_json::Value::Object(_) => entry["body"].to_string(),
            _ => String::new(),
        };
        let (method, path) = (entry["m"].as_str().unwrap(), entry["path"].as_str().unwrap());
        match parse(method, path, &body) {
            Ok(_) => understood += 1,
            Err(ParseError::NotSupported(_)) => {}
            Err(error) => panic!("{method} {path}: {error}"),
        }
    }
    assert!(understood > 80, "{understood}");
}

proptest! {
    #[test]
    fn arbitrary_requests_never_panic(
        method in "[A-Z]{1,8}",
        target in "\\PC{0,200}",
        body in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let _ = DockerRequest::parse(&method.parse().unwrap(), &target, &body);
    }

    #[test]
    fn arbitrary_calls_on_known_paths_never_panic(
        method in prop_oneof!["GET", "POST", "PUT", "DELETE"],
        head in prop_oneof!["/containers/", "/exec/", "/v1.4/containers/", "/volumes", "/images/"],
        id in "[a-z0-9%/-]{0,90}",
        tail in prop_oneof!["/json", "/start", "/wait", "/kill", "/exec", "/archive", "/resize", ""],
        query in "\\PC{0,60}",
        body in "[{}\\[\\]\":,a-zA-Z0-9 ]{0,120}",
    ) {
        let target = format!("{head}{id}{tail}?{query}");
        let _ = DockerRequest::parse(&method.parse().unwrap(), &target, body.as_bytes());
    }
}

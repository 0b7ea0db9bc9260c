//! Scaling with explicit IDs (features R4, E1, E2, A13): a stub starts nothing, `start` does.

use e2e::{Dev, Process, Project};

fn instance(dev: &Dev, name: &str) -> String {
    dev.get(&format!("/{name}/who")).json()["instance"].as_str().expect("an ID").to_owned()
}

#[test]
fn r4_two_ids_started_and_waited_for_are_two_running_instances() {
    let dev = Dev::start(&Project::probe(""));
    assert_eq!(dev.get("/one/_startAndWaitForPorts").text(), "started");
    assert_eq!(dev.get("/two/_startAndWaitForPorts").text(), "started");
    for name in ["one", "two"] {
        assert_eq!(dev.get(&format!("/{name}/_state")).json()["status"], "healthy");
    }
    let (one, two) = (instance(&dev, "one"), instance(&dev, "two"));
    assert_ne!(one, two);
    assert_eq!((Process::of_instance(&one).len(), Process::of_instance(&two).len()), (1, 1));
    dev.stop();
}

#[test]
fn a13_getting_a_stub_starts_nothing() {
    let dev = Dev::start(&Project::probe(""));
    assert_eq!(dev.get("/one/_get").text(), "a stub is no container");
    assert_eq!(dev.get("/one/_state").json()["status"], "stopped");
    assert_eq!(dev.lines_with("onStart"), Vec::<String>::new());
    dev.stop();
}

#[test]
fn e2_concurrent_first_requests_for_one_id_share_one_instance() {
    let dev = Dev::start(&Project::probe(""));
    let instances: Vec<String> = std::thread::scope(|scope| {
        let requests: Vec<_> = (0..8).map(|_| scope.spawn(|| instance(&dev, "one"))).collect();
        requests.into_iter().map(|request| request.join().expect("an answer")).collect()
    });
    assert!(instances.iter().all(|id| *id == instances[0]), "{instances:?}");
    assert_eq!(Process::of_instance(&instances[0]).len(), 1);
    dev.stop();
}

#[test]
fn d11_b3_requests_wait_while_the_container_starts() {
    let dev = Dev::start(&Project::probe("envVars = { START_DELAY: \"2\" };"));
    assert_eq!(dev.get("/slow/who").status, 200);
    dev.stop();
}

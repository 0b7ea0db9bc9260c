//! The overview page's example (feature R1): one container for each session in a request's body.

use e2e::{Dev, Project};
use serde_json::{Value, json};

fn visit(dev: &Dev, session: &str) -> Value {
    dev.post("/", json!({ "session-id": session }).to_string()).json()
}

#[test]
fn r1_each_session_has_a_container_that_remembers_it() {
    let dev = Dev::start(&Project::example("sessions"));
    let first = visit(&dev, "ada");
    assert_eq!((&first["session"], &first["requests"]), (&json!("ada"), &json!(1)));
    let second = visit(&dev, "ada");
    assert_eq!((&second["instance"], &second["requests"]), (&first["instance"], &json!(2)));
    let other = visit(&dev, "grace");
    assert_ne!(other["instance"], first["instance"]);
    assert_eq!(other["requests"], 1);
    assert_eq!(dev.get("/").status, 405);
    dev.stop();
}

//! What `ctx.container` refuses, in workerd's words (features §3.4), through Berth's engine.

use e2e::{Dev, Project};
use serde_json::Value;

/// Answers with what each call throws.
const WORKER: &str = r#"
import { DurableObject } from "cloudflare:workers";

export class MyContainer extends DurableObject {
  async fetch() {
    const { container } = this.ctx;
    const errors = {};
    const tried = async (name, call) => {
      try {
        errors[name] = `no error: ${await call()}`;
      } catch (error) {
        errors[name] = `${error.name}: ${error.message}`;
      }
    };
    await tried("monitor before start", () => container.monitor());
    await tried("signal before start", () => container.signal(15));
    await tried("environment with =", () => container.start({ env: { "A=B": "1" } }));
    await tried("destroy before start", () => container.destroy());
    container.start({ entrypoint: ["sleep", "1000"] });
    container.monitor().catch(() => {});
    await tried("start twice", () => container.start());
    await tried("port 0", () => container.getTcpPort(0));
    await tried("port 65536", () => container.getTcpPort(65536));
    await tried("https", () => container.getTcpPort(80).fetch("https://container/"));
    await tried("signal 0", () => container.signal(0));
    await tried("signal 65", () => container.signal(65));
    await container.destroy();
    errors.running = container.running;
    return Response.json(errors);
  }
}

export default {
  fetch: (request, env) => env.MY_CONTAINER.getByName("one").fetch(request),
};
"#;

#[test]
fn c7_wrong_calls_are_refused_and_the_container_goes_on() {
    let dev = Dev::start(&Project::with(WORKER, "FROM busybox\nCMD [\"sleep\", \"1000\"]\n"));
    let errors = dev.get("/").json();
    let error = |name: &str| errors[name].as_str().unwrap_or_else(|| panic!("{name}: {errors}"));
    for (name, text) in [
        ("monitor before start", "monitor() cannot be called on a container that is not running"),
        ("signal before start", "signal() cannot be called on a container that is not running"),
        ("environment with =", "="),
        ("destroy before start", "no error: undefined"),
        ("start twice", "start() cannot be called on a container that is already running"),
        ("port 0", "TypeError: Invalid port number: 0"),
        ("port 65536", "TypeError: Invalid port number: 65536"),
        ("https", "Connecting to a container using HTTPS is not currently supported"),
        ("signal 0", "RangeError"),
        ("signal 65", "RangeError"),
    ] {
        assert!(error(name).contains(text), "{name}: {}", error(name));
    }
    assert_eq!(errors["running"], Value::Bool(false));
    dev.stop();
}

//! Outbound handlers of the `Container` class (features BG1–BG3, BG5–BG7): a container's HTTP goes
//! to its Worker, by rules of the class and of the moment.

use e2e::{Dev, Internet, Project, until};
use serde_json::{Value, json};

/// The probe with `ContainerProxy`, more of its class, and statements after the class.
fn project(class_body: &str, after: &str) -> Project {
    let project = Project::probe(class_body);
    project.replace("src/index.js", "import { Container,", "import { Container, ContainerProxy,");
    let exports = format!("export {{ ContainerProxy }};\n{after}\n\nexport default {{");
    project.replace("src/index.js", "export default {", &exports);
    project
}

const TELLS: &str = "MyContainer.outbound = (request, env, ctx) => Response.json({ by: \"static\", \
     method: request.method, url: request.url, className: ctx.className, \
     sameId: ctx.containerId.length === 64, setting: env.SETTING ?? null });";

/// What the container's program gets for a URL: JSON, text, or an error.
fn fetch(dev: &Dev, url: &str) -> Value {
    // The class turns the first "https:" of a request's URL into "http:", wherever it stands.
    let url = url.replace(':', "%3A");
    let answer = dev.get(&format!("/one/fetch?url={url}")).json();
    match answer["text"].as_str() {
        Some(text) => serde_json::from_str(text).unwrap_or_else(|_| text.into()),
        None => answer["error"].clone(),
    }
}

/// Calls a method of the class.
fn call(dev: &Dev, method: &str, arguments: Value) {
    let reply = dev.post(&format!("/one/_call/{method}"), arguments.to_string());
    assert_eq!(reply.status, 200, "{method}: {reply}");
}

#[test]
fn bg1_bg6_a_handler_answers_requests_to_names_that_exist_for_it_alone() {
    let project = project("enableInternet = false;", TELLS)
        .configured(|config| config["vars"] = json!({ "SETTING": "of the Worker" }));
    let dev = Dev::start(&project);
    let wanted = json!({ "by": "static", "method": "GET", "url": "http://my.kv/key?q=1",
        "className": "MyContainer", "sameId": true, "setting": "of the Worker" });
    assert_eq!(fetch(&dev, "http://my.kv/key?q=1"), wanted);
    assert_eq!(fetch(&dev, "http://10.1.2.3/x")["url"], "http://10.1.2.3/x", "addresses too");
    dev.stop();
}

#[test]
fn bg5_without_internet_nothing_else_goes_out() {
    let handlers = "MyContainer.outboundByHost = { \"my.kv\": () => new Response(\"mine\") };";
    let dev = Dev::start(&project("enableInternet = false;", handlers));
    assert_eq!(fetch(&dev, "http://my.kv/"), "mine");
    let unknown = fetch(&dev, "http://other.kv/");
    assert!(unknown.as_str().is_some_and(|error| error.contains("not known")), "{unknown}");
    for url in ["http://my.kv:8080/", "https://my.kv/", "http://192.0.2.80/", "http://9.9.9.9:22/"]
    {
        let refused = fetch(&dev, url);
        assert!(refused.as_str().is_some_and(|e| e.contains("reset")), "{url}: {refused}");
    }
    dev.stop();
}

#[test]
fn bg2_rules_are_taken_in_their_documented_order() {
    let handlers = "const by = (name) => () => new Response(name);\n\
         MyContainer.outbound = by(\"static catch-all\");\n\
         MyContainer.outboundByHost = { \"host.test\": by(\"static host\"), \
             \"denied.test\": by(\"unreachable\") };\n\
         MyContainer.outboundHandlers = { named: by(\"runtime host\"), \
             all: by(\"runtime catch-all\") };";
    let body = "enableInternet = false; deniedHosts = [\"denied.test\", \"*.bad.test\"];";
    let dev = Dev::start(&project(body, handlers));
    let refused = |url: &str| {
        let answer = fetch(&dev, url);
        assert!(answer.as_str().is_some_and(|e| e.contains("520")), "{url}: {answer}");
    };
    refused("http://denied.test/");
    refused("http://very.bad.test/");
    assert_eq!(fetch(&dev, "http://host.test/"), "static host");
    assert_eq!(fetch(&dev, "http://any.test/"), "static catch-all");
    call(&dev, "setOutboundHandler", json!(["all"]));
    assert_eq!(fetch(&dev, "http://any.test/"), "runtime catch-all");
    assert_eq!(fetch(&dev, "http://host.test/"), "static host");
    call(&dev, "setOutboundByHost", json!(["host.test", "named"]));
    assert_eq!(fetch(&dev, "http://host.test/"), "runtime host");
    call(&dev, "setAllowedHosts", json!([["host.*"]]));
    assert_eq!(fetch(&dev, "http://host.test/"), "runtime host");
    refused("http://any.test/");
    call(&dev, "denyHost", json!(["host.test"]));
    refused("http://host.test/");
    dev.stop();
}

#[test]
fn bg3_rules_of_the_moment_can_be_changed_and_outlive_a_new_version_of_the_worker() {
    let body = "enableInternet = false; withParams() { \
         return this.setOutboundByHost(\"c.test\", \"first\", outboundParams(null, { n: 2 })); }";
    let handlers = "MyContainer.outboundHandlers = {\n\
         first: (request, env, ctx) => new Response(`first ${ctx.params?.n}`),\n\
         second: () => new Response(\"second\") };";
    let project = project(body, handlers);
    project.replace("src/index.js", "ContainerProxy,", "ContainerProxy, outboundParams,");
    let dev = Dev::start(&project);
    call(
        &dev,
        "setOutboundByHosts",
        json!([{ "a.test": { "method": "first", "params": { "n": 1 } },
        "b.test": "second" }]),
    );
    assert_eq!(fetch(&dev, "http://a.test/"), "first 1");
    assert_eq!(fetch(&dev, "http://b.test/"), "second");
    call(&dev, "withParams", json!([]));
    assert_eq!(fetch(&dev, "http://c.test/"), "first 2");
    call(&dev, "removeOutboundByHost", json!(["b.test"]));
    let gone = fetch(&dev, "http://b.test/");
    assert!(gone.as_str().is_some_and(|error| error.contains("520")), "{gone}");
    for (method, host, answer) in [
        ("setDeniedHosts", json!([["a.test"]]), "520"),
        ("removeDeniedHost", json!(["a.test"]), "first 1"),
        ("denyHost", json!(["a.test"]), "520"),
        ("setDeniedHosts", json!([[]]), "first 1"),
        ("setAllowedHosts", json!([["b.test"]]), "520"),
        ("allowHost", json!(["a.test"]), "first 1"),
        ("removeAllowedHost", json!(["a.test"]), "520"),
        ("allowHost", json!(["a.test"]), "first 1"),
    ] {
        call(&dev, method, host);
        let got = fetch(&dev, "http://a.test/");
        assert!(got.as_str().is_some_and(|text| text.contains(answer)), "{method}: {got}");
    }
    let wrong = dev.post("/one/_call/setOutboundHandler", json!(["nothing"]).to_string());
    assert_eq!(wrong.status, 500, "{wrong}");
    dev.wait_for_line("Outbound handler method 'nothing' not found");

    let instance = dev.get("/one/who").json()["instance"].clone();
    project.replace("src/index.js", "`first ${", "`again ${");
    dev.wait_for_line("Reloaded");
    until("the new version's handler", || {
        (fetch(&dev, "http://a.test/") == "again 1").then_some(())
    });
    assert_eq!(dev.get("/one/who").json()["instance"], instance, "the container has stayed");
    dev.stop();
}

#[test]
fn bg7_a_handler_adds_what_the_container_must_not_know_and_passes_the_request_on() {
    let internet = Internet::saying("hello from outside");
    let handlers = format!(
        "MyContainer.outboundByHost = {{ \"api.test\": async (request, env) => {{\n\
         const answer = await fetch(\"http://{}/\", \
             {{ headers: {{ authorization: env.TOKEN }} }});\n\
         return new Response(`${{env.TOKEN.length}} ${{await answer.text()}}`); }} }};",
        internet.address()
    );
    let project = project("enableInternet = true;", &handlers)
        .configured(|config| config["vars"] = json!({ "TOKEN": "secret" }));
    let dev = Dev::start(&internet.reachable_from(project));
    assert_eq!(fetch(&dev, "http://api.test/"), "6 hello from outside");
    assert_eq!(dev.get("/one/env").json()["TOKEN"], Value::Null);
    // What no handler is for goes out directly, and by the same rules as ever.
    let outside = format!("http://{}/", internet.address());
    assert_eq!(fetch(&dev, &outside), "hello from outside");
    let host = fetch(&dev, "http://203.0.113.1/");
    assert!(host.as_str().is_some_and(|error| error.contains("reset")), "{host}");
    dev.stop();
}

#[test]
fn bg1_allowed_hosts_reach_the_internet_without_enable_internet() {
    let internet = Internet::saying("hello from outside");
    let body = format!("enableInternet = false; allowedHosts = [\"{}\"];", internet.address());
    let dev = Dev::start(&internet.reachable_from(project(&body, "")));
    assert_eq!(fetch(&dev, &format!("http://{}/", internet.address())), "hello from outside");
    let other = fetch(&dev, "http://203.0.113.1/");
    assert!(other.as_str().is_some_and(|error| error.contains("520")), "{other}");
    dev.stop();
}

#[test]
fn bb8_one_connection_carries_many_requests_and_picks_up_new_handlers() {
    let handlers = "MyContainer.outboundHandlers = { first: () => new Response(\"first\"), \
         second: () => new Response(\"second\") };";
    let dev = Dev::start(&project("enableInternet = false;", handlers));
    call(&dev, "setOutboundHandler", json!(["first"]));
    let keep = || dev.get("/one/keep?host=a.test&path=/").json()["text"].clone();
    assert_eq!((keep(), keep()), (json!("first"), json!("first")));
    call(&dev, "setOutboundHandler", json!(["second"]));
    assert_eq!(keep(), "second");
    assert_eq!(dev.get("/one/keep?host=a.test&path=/").json()["connections"], 1);
    dev.stop();
}

#[test]
fn bg1_a_websocket_goes_through_a_handler() {
    let handlers = "MyContainer.outbound = (request) => {\n\
         if (request.headers.get(\"upgrade\") !== \"websocket\") return new Response(\"no\");\n\
         const [client, server] = Object.values(new WebSocketPair());\n\
         server.accept();\n\
         server.addEventListener(\"message\", (event) => server.send(`echo ${event.data}`));\n\
         return new Response(null, { status: 101, webSocket: client }); };";
    let dev = Dev::start(&project("enableInternet = false;", handlers));
    let answer = dev.get("/one/websocket?host=ws.test&text=hello").json();
    assert_eq!(answer["text"], "echo hello", "{answer}");
    dev.stop();
}

//! Console lines and exceptions: each once, at once, with its origin and its place in the sources.

use std::process::Stdio;

use workers::spec::{Module, ModuleKind, TailConsumer};
use workers::{Event, Level, Origin, Trigger};

use crate::host::{Host, object_binding, object_class, toolchain};

fn log(event: &Event) -> Option<(Level, String, Origin)> {
    match event {
        Event::Log { level, message, origin, .. } => {
            Some((*level, message.clone(), origin.clone()))
        }
        _ => None,
    }
}

fn exception(event: &Event) -> Option<String> {
    match event {
        Event::Exception { stack, .. } => Some(stack.clone()),
        _ => None,
    }
}

#[tokio::test]
async fn console_lines_are_printed_as_node_prints_them() {
    let mut host = Host::serving(
        r#"console.log("top level");
        export default {
          fetch() {
            console.log("hello", { a: 1 }, new Map([[1, 2]]), undefined, 10n);
            console.warn("two\nlines");
            process.stderr.write("written");
            return new Response("ok");
          },
        };"#,
    )
    .await;
    assert_eq!(host.event(log).await.1, "top level");
    host.get("/").await;
    let (level, message, origin) = host.event(log).await;
    assert_eq!(
        (level, message.as_str()),
        (Level::Log, "hello { a: 1 } Map(1) { 1 => 2 } undefined 10n")
    );
    assert_eq!(origin, Origin::default());
    assert_eq!(host.event(log).await.1, "two\nlines");
    assert_eq!(host.event(log).await.1, "written");
    host.process.stop().await;
    assert!(host.events().iter().all(|event| log(event).is_none()), "nothing is told twice");
}

#[tokio::test]
async fn lines_of_a_durable_object_name_it_even_while_its_alarm_is_in_flight() {
    let mut host = Host::new().await;
    let mut spec = host.spec(
        r#"import { DurableObject } from "cloudflare:workers";
        export class Clock extends DurableObject {
          async set() { console.log("set"); await this.ctx.storage.setAlarm(Date.now()); }
          async alarm() { console.log("alarm begins"); await new Promise((done) => (this.done = done)); }
          async end() { this.done(); }
        }
        export default {
          async fetch(request, env) {
            const clock = env.CLOCK.getByName("c");
            await (request.url.endsWith("/end") ? clock.end() : clock.set());
            return new Response(env.CLOCK.idFromName("c").toString());
          },
        };"#,
    );
    spec.bindings = vec![object_binding("CLOCK", "Clock")];
    spec.durable_objects = vec![object_class("Clock")];
    host.deploy(spec).await.expect("the Worker starts");
    let id = host.get("/").await.1;
    let expected = |trigger| Origin {
        entrypoint: Some("Clock".to_owned()),
        object: Some(id.clone()),
        trigger: Some(trigger),
    };
    let (_, message, origin) = host.event(log).await;
    assert_eq!((message.as_str(), origin), ("set", expected(Trigger::Rpc)));
    let (_, message, origin) = host.event(log).await;
    assert_eq!((message.as_str(), origin), ("alarm begins", expected(Trigger::Alarm)));
    host.get("/end").await;
    host.process.stop().await;
}

#[tokio::test]
async fn an_uncaught_exception_arrives_once_with_its_stack_in_the_sources() {
    let mut host = Host::new().await;
    let sources = host.dir.path().join("src");
    fs_err::create_dir(&sources).expect("a folder");
    let source = "interface Env {}\n\nfunction fail(): never {\n  throw new Error(\"boom\");\n}\n\nexport default {\n  fetch(request: Request, env: Env): Response {\n    return fail();\n  },\n};\n";
    fs_err::write(sources.join("index.ts"), source).expect("a file");
    let bundled = tokio::process::Command::new(&toolchain().await.esbuild)
        .args(["src/index.ts", "--bundle", "--format=esm", "--sourcemap", "--outfile=index.js"])
        .current_dir(host.dir.path())
        .stderr(Stdio::null())
        .status()
        .await;
    assert!(bundled.expect("esbuild runs").success());
    let mut spec = host.spec("");
    let read = |name: &str| fs_err::read(host.dir.path().join(name)).expect("a file");
    spec.modules[0].contents = read("index.js");
    spec.modules[0].source_map = Some(read("index.js.map"));
    host.deploy(spec).await.expect("the Worker starts");
    assert_eq!(host.get("/").await.0, 500);
    let stack = host.event(exception).await;
    let expected =
        "Error: boom\n    at fail (src/index.ts:4:9)\n    at Object.fetch (src/index.ts:9:12)";
    assert_eq!(stack, expected);
    host.process.stop().await;
    let rest = host.events();
    assert!(rest.is_empty(), "told twice: {rest:?}");
}

#[tokio::test]
async fn an_exception_in_a_durable_object_has_the_objects_own_stack() {
    let mut host = Host::new().await;
    let mut spec = host.spec(
        r#"import { DurableObject } from "cloudflare:workers";
        export class Bad extends DurableObject { work() { throw new TypeError("in the object"); } }
        export default {
          async fetch(request, env) { return new Response(await env.BAD.getByName("b").work()); },
        };"#,
    );
    spec.bindings = vec![object_binding("BAD", "Bad")];
    spec.durable_objects = vec![object_class("Bad")];
    host.deploy(spec).await.expect("the Worker starts");
    assert_eq!(host.get("/").await.0, 500);
    let stack = host.event(exception).await;
    assert!(stack.starts_with("TypeError: in the object\n    at Bad.work (index.js:2:"), "{stack}");
    let stack = host.event(exception).await;
    assert!(stack.contains("at async Object.fetch"), "the Worker's own: {stack}");
    host.process.stop().await;
}

#[tokio::test]
async fn a_flood_of_lines_neither_stops_the_worker_nor_goes_unnoticed() {
    let mut host = Host::serving(
        r#"export default {
          fetch() { for (let i = 0; i < 20000; i++) console.log(`line ${i}`); return new Response("ok"); },
        };"#,
    )
    .await;
    assert_eq!(host.get("/").await.1, "ok");
    host.process.stop().await;
    let events = host.events();
    assert!(events.len() < 20000 && events.len() > 1000, "{}", events.len());
}

#[tokio::test]
async fn a_class_that_is_not_exported_is_warned_about() {
    let mut host = Host::new().await;
    let mut spec = host.spec("export default { fetch: () => new Response('ok') }");
    spec.durable_objects = vec![object_class("Gone")];
    host.deploy(spec).await.expect("the Worker starts");
    let message = host
        .event(|event| match event {
            Event::Runtime { level: Level::Warn, message } => Some(message.clone()),
            _ => None,
        })
        .await;
    assert!(message.contains("\"Gone\""), "{message}");
    host.process.stop().await;
}

#[tokio::test]
async fn without_attribution_lines_still_come() {
    let mut host = Host::new().await;
    let mut spec =
        host.spec("export default { fetch() { console.log('x'); return new Response() } }");
    spec.attribute_logs = false;
    spec.modules.push(Module {
        name: "unused.json".to_owned(),
        kind: ModuleKind::Json,
        contents: b"{}".to_vec(),
        source_map: None,
    });
    host.deploy(spec).await.expect("the Worker starts");
    host.get("/").await;
    assert_eq!(host.event(log).await.1, "x");
    host.process.stop().await;
}

#[tokio::test]
async fn a_tail_consumer_is_told_what_happened_and_where_but_not_that_it_was_told() {
    let mut host = Host::new().await;
    let mut spec = host.spec(
        r#"export default {
          fetch(request) {
            console.log("asked");
            return new Response(null, { status: 201 });
          },
          tail(events, env, ctx) {
            for (const { scriptName, scriptVersion, event, outcome, logs } of events) {
              const { status } = event.response ?? {};
              const lines = logs.map(({ message }) => message);
              console.log(JSON.stringify([scriptName, scriptVersion.id, status, outcome, lines]));
            }
          },
        };"#,
    );
    spec.tail_consumers = vec![TailConsumer { name: "test".to_owned(), socket: None }];
    spec.version = Some("v1".to_owned());
    host.deploy(spec).await.expect("the Worker starts");
    let told = |event: &Event| log(event).filter(|(_, message, _)| message.starts_with('['));
    for _ in 0..2 {
        host.get("/").await;
        assert_eq!(host.event(told).await.1, r#"["test","v1",201,"ok",[["asked"]]]"#);
    }
    host.process.stop().await;
    let more: Vec<_> = host.events().iter().filter_map(told).collect();
    assert!(more.is_empty(), "to be told is no event: {more:?}");
}

#[tokio::test]
async fn a_tail_consumer_that_fails_is_told_of_once() {
    let mut host = Host::new().await;
    let code = "export default { fetch() { return new Response() } }";
    let mut spec = host.spec(code);
    let socket = Some("/nowhere/at/all.sock".into());
    spec.tail_consumers = vec![TailConsumer { name: "gone".to_owned(), socket }];
    host.deploy(spec).await.expect("the Worker starts");
    assert_eq!(host.get("/").await.0.as_u16(), 200, "it serves all the same");
    let (level, message, _) = host.event(log).await;
    assert_eq!(level, Level::Error);
    assert!(message.starts_with("The tail consumer \"gone\" fails"), "{message}");
    host.process.stop().await;
}

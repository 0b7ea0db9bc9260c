//! Requests, bindings, storage, assets, cron triggers.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use http::{Request, StatusCode};
use model::{NotFoundHandling, RunWorkerFirst};
use serde_json::{Value, json};
use workers::spec::{AssetRules, Assets, BindingValue, Module, ModuleKind};
use workers::{Event, Ingress, ScheduledError, ingress_headers};

use crate::host::{Host, binding, object_binding, object_class};

const COUNTER: &str = r#"
import { DurableObject } from "cloudflare:workers";
export class Counter extends DurableObject {
  async next() {
    const n = ((await this.ctx.storage.get("n")) ?? 0) + 1;
    await this.ctx.storage.put("n", n);
    return n;
  }
}
export default {
  async fetch(request, env) { return new Response(await env.COUNTER.getByName("a").next()); },
};
"#;

#[tokio::test]
async fn a_worker_answers_and_sees_what_the_client_sent() {
    let host = Host::serving(
        "export default { fetch: (r) => Response.json([r.url, r.cf?.country ?? null, [...r.headers.keys()]]) }",
    )
    .await;
    let (status, body) = host.get("/a/b?c=d").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(body, r#"["http://worker.test/a/b?c=d",null,["host"]]"#);
    let tls = Some(("TLSv1.3", "AEAD-AES128-GCM-SHA256"));
    let request = ingress_headers(&Ingress { tls, https: true, ..Ingress::default() })
        .into_iter()
        .fold(Request::get("/"), |request, (name, value)| request.header(name, value));
    let body = host.request(request).await.into_body();
    assert_eq!(&body[..], br#"["https://worker.test/","XX",["host"]]"#);
    host.process.stop().await;
}

#[tokio::test]
async fn every_kind_of_binding_arrives() {
    let host = Host::new().await;
    let mut spec = host.spec(
        r#"
        import { WorkerEntrypoint } from "cloudflare:workers";
        import text from "./note.txt";
        import data from "./bytes.bin";
        export class Admin extends WorkerEntrypoint { who() { return this.ctx.props.name; } }
        export default {
          async fetch(request, env) {
            let missing;
            try { await env.MISSING.get(); } catch (error) { missing = error.message; }
            return Response.json({
              text: env.TEXT, secret: env.SECRET, json: env.JSON, key: await env.KEY.get(), missing,
              admin: await env.ADMIN.who(), module: text, bytes: data.byteLength,
            });
          },
        };
        "#,
    );
    let module = |name: &str, kind, contents: &[u8]| Module {
        name: name.to_owned(),
        kind,
        contents: contents.to_vec(),
        source_map: None,
    };
    spec.modules.push(module("note.txt", ModuleKind::Text, "größe\n".as_bytes()));
    spec.modules.push(module("bytes.bin", ModuleKind::Data, &[0, 255, 0]));
    let odd = "quote \" backslash \\ line\nfeed \u{1} ünïcode 🚢";
    let secret = |name: &str, value: Option<&str>| BindingValue::SecretsStoreSecret {
        name: name.to_owned(),
        value: value.map(str::to_owned),
    };
    spec.bindings = vec![
        binding("TEXT", BindingValue::Text(odd.to_owned())),
        binding("SECRET", BindingValue::Secret("s3cret".to_owned())),
        binding("JSON", BindingValue::Json(json!({"a": [1, odd]}))),
        binding("KEY", secret("api-key", Some("k3y"))),
        binding("MISSING", secret("gone", None)),
        binding(
            "ADMIN",
            BindingValue::Service {
                entrypoint: Some("Admin".to_owned()),
                props: Some(json!({"name": "root"})),
            },
        ),
    ];
    host.deploy(spec).await.expect("the Worker starts");
    let (_, body) = host.get("/").await;
    let expected = json!({
        "text": odd, "secret": "s3cret", "json": {"a": [1, odd]}, "key": "k3y",
        "missing": "Secret \"gone\" not found", "admin": "root", "module": "größe\n", "bytes": 3,
    });
    assert_eq!(serde_json::from_str::<Value>(&body).expect("JSON"), expected);
    host.process.stop().await;
}

#[tokio::test]
async fn secrets_are_in_files_of_this_user_alone_and_on_no_command_line() {
    let host = Host::new().await;
    let mut spec = host.spec("export default { fetch: () => new Response('ok') }");
    spec.bindings = vec![binding("S", BindingValue::Secret("s3cret-value".to_owned()))];
    host.deploy(spec).await.expect("the Worker starts");
    let pid = host.process.pid().expect("a process");
    for file in ["cmdline", "environ"] {
        let text = fs_err::read(format!("/proc/{pid}/{file}")).expect("a process");
        assert!(!String::from_utf8_lossy(&text).contains("s3cret"), "in {file}");
    }
    let mut files = 0;
    walk(&host.dir.path().join("run"), &mut |path, mode| {
        if path.is_dir() {
            assert_eq!(mode, 0o700, "{}", path.display());
        } else if path.extension().is_none_or(|extension| extension != "sock") {
            files += 1;
            assert_eq!(mode, 0o600, "{}", path.display());
        }
    });
    assert!(files >= 3, "{files} files");
    host.process.stop().await;
    assert!(!host.dir.path().join("run").exists(), "nothing is left");
}

fn walk(path: &Path, check: &mut impl FnMut(&Path, u32)) {
    let mode = fs_err::metadata(path).expect("a file").permissions().mode() & 0o777;
    check(path, mode);
    if path.is_dir() {
        for entry in fs_err::read_dir(path).expect("a folder") {
            walk(&entry.expect("an entry").path(), check);
        }
    }
}

#[tokio::test]
async fn durable_objects_keep_their_storage_over_restarts_and_kills() {
    let mut host = Host::new().await;
    let mut spec = host.spec(COUNTER);
    spec.bindings = vec![object_binding("COUNTER", "Counter")];
    spec.durable_objects = vec![object_class("Counter")];
    host.deploy(spec.clone()).await.expect("the Worker starts");
    assert_eq!(host.get("/").await.1, "1");
    host.deploy(spec).await.expect("the Worker starts again");
    assert_eq!(host.get("/").await.1, "2");

    let before = host.process.pid().expect("a process");
    let pid = rustix::process::Pid::from_raw(before.cast_signed()).expect("an ID");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("a process");
    let status = host
        .event(|event| match event {
            Event::Crashed { status, .. } => Some(status.clone()),
            _ => None,
        })
        .await;
    assert_eq!(status, "signal 9");
    assert_eq!(host.get("/").await.1, "3", "the next request is answered");
    assert_ne!(host.process.pid(), Some(before));
    host.process.stop().await;
}

#[tokio::test]
async fn assets_come_first_and_the_worker_answers_the_rest() {
    let host = Host::new().await;
    let public = host.dir.path().join("public");
    fs_err::create_dir(&public).expect("a folder");
    fs_err::write(public.join("index.html"), "<h1>home</h1>").expect("a file");
    fs_err::write(public.join("a.txt"), "file a").expect("a file");
    fs_err::write(public.join("_headers"), "/a.txt\n  X-Custom: yes\n").expect("a file");
    fs_err::write(public.join("_redirects"), "/old /a.txt 301\n").expect("a file");
    let mut spec = host.spec(
        r#"export default {
          async fetch(request, env) {
            const { pathname } = new URL(request.url);
            if (pathname === "/via") return env.ASSETS.fetch("http://x/a.txt");
            return new Response(`worker ${pathname}`);
          },
        };"#,
    );
    spec.bindings = vec![binding("ASSETS", BindingValue::Assets)];
    let mut assets = Assets { directory: public, rules: AssetRules::default() };
    spec.assets = Some(assets.clone());
    host.deploy(spec.clone()).await.expect("the Worker starts");
    assert_eq!(host.get("/").await.1, "<h1>home</h1>");
    assert_eq!(host.get("/via").await.1, "file a");
    assert_eq!(host.get("/api").await.1, "worker /api");
    assert_eq!(host.get("/old").await.0, StatusCode::MOVED_PERMANENTLY);
    assert_eq!(host.get("/_headers").await.1, "worker /_headers", "rules are no assets");
    let answer = host.request(Request::get("/a.txt")).await;
    assert_eq!(
        (answer.headers()["x-custom"].as_bytes(), &answer.body()[..]),
        (&b"yes"[..], &b"file a"[..])
    );

    assets.rules.run_worker_first = RunWorkerFirst::Paths(vec!["/a.*".to_owned()]);
    spec.assets = Some(assets.clone());
    host.deploy(spec.clone()).await.expect("the Worker starts");
    assert_eq!(host.get("/a.txt").await.1, "worker /a.txt");
    assert_eq!(host.get("/").await.1, "<h1>home</h1>");

    assets.rules.run_worker_first = RunWorkerFirst::Always(false);
    assets.rules.not_found_handling = NotFoundHandling::SinglePageApplication;
    spec.assets = Some(assets);
    (spec.modules, spec.bindings) = (vec![], vec![]);
    host.deploy(spec).await.expect("assets alone start");
    assert_eq!(host.get("/some/page").await.1, "<h1>home</h1>");
    assert_eq!(host.get("/old").await.0, StatusCode::MOVED_PERMANENTLY);
    host.process.stop().await;
}

#[tokio::test]
async fn scheduled_runs_with_its_expression_and_time_and_tells_how_it_went() {
    let mut host = Host::serving(
        r#"export default {
          fetch: () => new Response("ok"),
          async scheduled({ cron, scheduledTime }) {
            console.log(`${cron} at ${scheduledTime}`);
            if (cron === "bad") throw new Error("no");
          },
        };"#,
    )
    .await;
    let time = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let outcome = host.process.scheduled("*/2 * * * *", time).await.expect("an outcome");
    assert_eq!(outcome.outcome, "ok");
    let message = host
        .event(|event| match event {
            Event::Log { message, .. } => Some(message.clone()),
            _ => None,
        })
        .await;
    assert_eq!(message, "*/2 * * * * at 1700000000000");
    let outcome = host.process.scheduled("bad", time).await.expect("an outcome");
    assert_eq!(outcome.outcome, "exception");
    host.process.stop().await;
    assert!(matches!(host.process.scheduled("bad", time).await, Err(ScheduledError::NotRunning)));
}

#[tokio::test]
async fn a_worker_without_scheduled_says_so() {
    let host = Host::serving("export default { fetch: () => new Response('ok') }").await;
    let outcome = host.process.scheduled("* * * * *", UNIX_EPOCH).await;
    assert!(matches!(&outcome, Ok(outcome) if outcome.outcome != "ok"), "{outcome:?}");
    host.process.stop().await;
}

#[tokio::test]
async fn two_workers_run_side_by_side() {
    let a = Host::serving("export default { fetch: () => new Response('a') }").await;
    let b = Host::serving("export default { fetch: () => new Response('b') }").await;
    let (a_says, b_says) = tokio::join!(a.get("/"), b.get("/"));
    assert_eq!((a_says.1.as_str(), b_says.1.as_str()), ("a", "b"));
    assert_ne!(a.process.pid(), b.process.pid());
    a.process.stop().await;
    assert_eq!(b.get("/").await.1, "b");
    b.process.stop().await;
}

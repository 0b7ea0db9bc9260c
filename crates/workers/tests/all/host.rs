//! A host in a folder of its own, asked over HTTP, with its events collected.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio::sync::{OnceCell, mpsc};
use workers::spec::{Binding, BindingValue, DurableObjectNamespace, Module, ModuleKind};
use workers::toolchain::{self, Toolchain};
use workers::{DeployError, Event, Options, WorkerProcess, WorkerSpec};

/// Waits for states end here.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// The pinned toolchain, installed once for all tests.
pub(crate) async fn toolchain() -> &'static Toolchain {
    static ONCE: OnceCell<Toolchain> = OnceCell::const_new();
    ONCE.get_or_init(|| async {
        let options = toolchain_options(Path::new(env!("CARGO_TARGET_TMPDIR")));
        toolchain::ensure(&options, &|_| {}).await.expect("npm installs the toolchain")
    })
    .await
}

pub(crate) fn toolchain_options(cache: &Path) -> toolchain::Options {
    toolchain::Options {
        cache_dir: cache.join("toolchain"),
        workerd: None,
        esbuild: None,
        npm: "npm".into(),
    }
}

pub(crate) struct Host {
    pub(crate) process: WorkerProcess,
    pub(crate) dir: tempfile::TempDir,
    events: mpsc::Receiver<Event>,
}

impl Host {
    pub(crate) async fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let options = Options {
            workerd: toolchain().await.workerd.clone(),
            run_dir: dir.path().join("run"),
            cron_runs: None,
            grace: Duration::from_secs(2),
        };
        let (process, events) = WorkerProcess::new(options).expect("a host");
        Self { process, dir, events }
    }

    /// A host that serves this code.
    pub(crate) async fn serving(code: &str) -> Self {
        let host = Self::new().await;
        host.deploy(host.spec(code)).await.expect("the Worker starts");
        host
    }

    pub(crate) fn spec(&self, code: &str) -> WorkerSpec {
        WorkerSpec {
            name: "test".to_owned(),
            modules: vec![Module {
                name: "index.js".to_owned(),
                kind: ModuleKind::EsModule,
                contents: code.as_bytes().to_vec(),
                source_map: None,
            }],
            compatibility_date: "2026-11-17".to_owned(),
            compatibility_flags: vec![],
            bindings: vec![],
            durable_objects: vec![],
            assets: None,
            crons: vec![],
            container_engine: None,
            objects: self.dir.path().join("objects"),
            entrypoints: None,
            private_network: false,
            attribute_logs: true,
            watchable: false,
            tail_consumers: vec![],
            version: None,
        }
    }

    pub(crate) async fn deploy(&self, spec: WorkerSpec) -> Result<(), DeployError> {
        self.process.deploy(spec, std::future::ready(())).await
    }

    /// Waits for a process and asks it.
    pub(crate) async fn get(&self, path: &str) -> (StatusCode, String) {
        let response = self.request(Request::get(path)).await;
        let (parts, body) = response.into_parts();
        (parts.status, String::from_utf8(body.to_vec()).expect("text"))
    }

    pub(crate) async fn request(&self, request: http::request::Builder) -> Response<Bytes> {
        let socket = self.upstream().await;
        let request = request.header("host", "worker.test").body(Full::new(Bytes::new()));
        send(&socket, request.expect("a request")).await.expect("an answer")
    }

    pub(crate) async fn upstream(&self) -> PathBuf {
        let mut upstream = self.process.upstream();
        let path = tokio::time::timeout(DEADLINE, upstream.wait_for(Option::is_some)).await;
        path.expect("in time").expect("a host").clone().expect("a path")
    }

    /// The next event that `pick` accepts; others before it are passed over.
    pub(crate) async fn event<T>(&mut self, mut pick: impl FnMut(&Event) -> Option<T>) -> T {
        let deadline = Instant::now() + DEADLINE;
        let mut passed = Vec::new();
        loop {
            match tokio::time::timeout_at(deadline.into(), self.events.recv()).await {
                Ok(Some(event)) => match pick(&event) {
                    Some(picked) => return picked,
                    None => passed.push(event),
                },
                Ok(None) => panic!("the host ended after {passed:#?}"),
                Err(_) => panic!("only {passed:#?}"),
            }
        }
    }

    /// Every event so far.
    pub(crate) fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.events.try_recv().ok()).collect()
    }
}

pub(crate) async fn send(
    socket: &Path,
    request: Request<Full<Bytes>>,
) -> Result<Response<Bytes>, Box<dyn std::error::Error + Send + Sync>> {
    let stream = UnixStream::connect(socket).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let driver = tokio::spawn(connection);
    let (parts, body) = sender.send_request(request).await?.into_parts();
    let body = body.collect().await?.to_bytes();
    driver.abort();
    Ok(Response::from_parts(parts, body))
}

pub(crate) fn binding(name: &str, value: BindingValue) -> Binding {
    Binding { name: name.to_owned(), value }
}

pub(crate) fn object_binding(name: &str, class: &str) -> Binding {
    binding(name, BindingValue::DurableObject { class_name: class.to_owned() })
}

pub(crate) fn object_class(class: &str) -> DurableObjectNamespace {
    DurableObjectNamespace {
        class_name: class.to_owned(),
        unique_key: format!("test-{class}"),
        sqlite: true,
        container: None,
    }
}

//! Renders a [`WorkerSpec`] as a workerd configuration: files to be written into one folder.
//!
//! Pure; [`crate::process`] writes the files and starts workerd in that folder, so every path of
//! ours is relative and socket paths stay short.

use std::path::Path;

use serde_json::json;

use crate::spec::{
    Assets, Binding, BindingValue, ContainerImages, DurableObjectNamespace, EntrypointSocket,
    Module, ModuleKind, RPC_SOCKET, TailConsumer, WorkerSpec,
};
use capnp::Value;

mod capnp;
mod files;

#[cfg(test)]
mod tests;

pub use files::FileError;
pub(crate) use files::{private_dir, write};

/// Sockets that workerd makes or connects to, in its folder.
pub(crate) const HTTP_SOCKET: &str = "http.sock";
/// Runs `scheduled()`.
pub(crate) const CONTROL_SOCKET: &str = "control.sock";
/// Takes whether somebody watches.
pub(crate) const WATCH_SOCKET: &str = "watch.sock";
/// Where workerd tells whose console lines are whose; ours.
pub(crate) const TAIL_SOCKET: &str = "tail.sock";
/// The configuration itself.
pub(crate) const CONFIG_FILE: &str = "config.capnp";

/// What workerd's own scripts run with.
const OWN_DATE: &str = "2026-11-17";
/// The header that becomes `request.cf`, as JSON; without it `request.cf` is undefined.
const CF_HEADER: &str = "x-berth-cf";
/// The header that becomes the scheme of `request.url`; workerd hides it from the Worker, which is
/// why it is not `X-Forwarded-Proto`.
const PROTO_HEADER: &str = "x-berth-proto";
/// The host of a `CONNECT` by which one process calls methods of another.
const RPC_HOST: &str = "berth-rpc";
/// How a request came, as `request.cf` tells it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ingress<'a> {
    /// Such as `HTTP/2`; `HTTP/1.1` where it is empty.
    pub http: &'a str,
    /// Whether its URL is `https`: the TLS may be that of a proxy.
    pub https: bool,
    /// Version and cipher of its TLS session in Cloudflare's words; `None` where that is not known.
    pub tls: Option<(&'a str, &'a str)>,
    /// Its `Accept-Encoding`.
    pub accept_encoding: Option<&'a str>,
}

/// `request.cf` of a request that no Cloudflare location received.
#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct RequestCf<'a> {
    client_accept_encoding: Option<&'a str>,
    colo: &'static str,
    country: &'static str,
    http_protocol: &'a str,
    timezone: &'static str,
    tls_cipher: &'a str,
    tls_version: &'a str,
}

/// Headers that whoever forwards requests to a Worker sets on each of them, replacing what a client
/// sent: `request.cf`, and the scheme (`http` or `https`) that the client used. Lower-case names.
#[must_use]
pub fn ingress_headers(ingress: &Ingress<'_>) -> [(&'static str, String); 2] {
    let (tls_version, tls_cipher) = ingress.tls.unwrap_or_default();
    let cf = RequestCf {
        client_accept_encoding: ingress.accept_encoding,
        colo: "LOC",
        country: "XX",
        http_protocol: if ingress.http.is_empty() { "HTTP/1.1" } else { ingress.http },
        timezone: "Etc/UTC",
        tls_cipher,
        tls_version,
    };
    let cf = serde_json::to_string(&cf).expect("texts alone become JSON");
    let scheme = if ingress.https { "https" } else { "http" };
    [(CF_HEADER, cf), (PROTO_HEADER, scheme.to_owned())]
}

const CONTROL: &str = include_str!("scripts/control.mjs");
const TAIL: &str = include_str!("scripts/tail.mjs");
const SECRETS: &str = include_str!("scripts/secrets.mjs");
const CONSUMERS: &str = include_str!("scripts/consumers.mjs");

/// The files of an assets folder that are rules, not assets.
#[derive(Debug, Default)]
pub(crate) struct AssetTexts {
    /// `_headers`.
    pub(crate) headers: Option<String>,
    /// `_redirects`.
    pub(crate) redirects: Option<String>,
    /// `.assetsignore`.
    pub(crate) ignore: Option<String>,
}

/// A file of the folder.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct File {
    /// Relative.
    pub(crate) path: String,
    pub(crate) contents: Vec<u8>,
}

/// Every file of the folder, the configuration last.
pub(crate) fn render(spec: &WorkerSpec, texts: &AssetTexts) -> Vec<File> {
    let mut files = Vec::new();
    let config = Value::Struct(vec![
        ("logging", logging()),
        ("services", services(spec, texts, &mut files)),
        ("sockets", sockets(spec)),
    ]);
    let mut text = String::from(
        "using Workerd = import \"/workerd/workerd.capnp\";\n\nconst config :Workerd.Config = ",
    );
    config.write(&mut text, 0);
    text.push_str(";\n");
    files.push(File { path: CONFIG_FILE.to_owned(), contents: text.into_bytes() });
    files
}

/// One JSON object a line, which user code cannot forge. What it writes to `process.stdout` and
/// `process.stderr` comes the same way, without the prefixes it would have.
fn logging() -> Value {
    Value::Struct(vec![
        ("structuredLogging", Value::bool(true)),
        ("stdoutPrefix", Value::text("")),
        ("stderrPrefix", Value::text("")),
    ])
}

fn services(spec: &WorkerSpec, texts: &AssetTexts, files: &mut Vec<File>) -> Value {
    let mut services = Vec::new();
    let mut service = |name: &str, kind: &'static str, value: Value| {
        services.push(Value::Struct(vec![("name", Value::text(name)), (kind, value)]));
    };
    if has_worker(spec) {
        service("worker", "worker", worker(spec, files));
        service("control", "worker", control(files));
        service("objects", "disk", disk(&spec.objects));
        if attributes_logs(spec) {
            service("tail", "worker", tail(files));
            service("host", "external", external(TAIL_SOCKET));
        }
        if spec.bindings.iter().any(|b| matches!(b.value, BindingValue::SecretsStoreSecret { .. }))
        {
            service("secrets", "worker", own_worker("secrets.mjs", SECRETS, vec![], vec![], files));
        }
        for (index, socket) in others(spec).enumerate() {
            service(&other(index), "external", other_worker(socket));
        }
        if !spec.tail_consumers.is_empty() {
            service("consumers", "worker", consumers(spec, files));
        }
        for (index, TailConsumer { socket, .. }) in spec.tail_consumers.iter().enumerate() {
            if let Some(socket) = socket {
                service(&consumer(index), "external", other_worker(socket));
            }
        }
        if spec.private_network {
            service("internet", "network", any_network());
        }
    }
    if let Some(assets) = &spec.assets {
        service("assets", "assets", asset_service(spec, assets, texts));
    }
    Value::List(services)
}

/// Whether workerd tells which object wrote a line; where there is no object there is nothing to tell.
pub(crate) fn attributes_logs(spec: &WorkerSpec) -> bool {
    has_worker(spec)
        && (spec.watchable || (spec.attribute_logs && !spec.durable_objects.is_empty()))
}

/// How many sockets listen once the process serves.
pub(crate) fn sockets_of(spec: &WorkerSpec) -> usize {
    let inside = spec.entrypoints.as_ref().map_or(0, |entrypoints| 1 + entrypoints.len());
    if has_worker(spec) { 2 + inside + usize::from(spec.watchable) } else { 1 }
}

/// The sockets of other Workers that it binds.
fn others(spec: &WorkerSpec) -> impl Iterator<Item = &Path> {
    spec.bindings.iter().filter_map(|binding| match &binding.value {
        BindingValue::OtherService { socket } => Some(socket.as_path()),
        _ => None,
    })
}

/// The service of one of [`others`].
fn other(index: usize) -> String {
    format!("other-{index}")
}

fn has_worker(spec: &WorkerSpec) -> bool {
    !spec.modules.is_empty()
}

fn worker(spec: &WorkerSpec, files: &mut Vec<File>) -> Value {
    let mut fields = vec![
        ("modules", Value::List(spec.modules.iter().map(|m| module(m, files)).collect())),
        ("compatibilityDate", Value::text(&spec.compatibility_date)),
        ("compatibilityFlags", Value::texts(&spec.compatibility_flags)),
        ("bindings", bindings(spec)),
        (
            "durableObjectNamespaces",
            Value::List(spec.durable_objects.iter().map(namespace).collect()),
        ),
        ("durableObjectStorage", Value::Struct(vec![("localDisk", Value::text("objects"))])),
    ];
    if let Some(engine) = &spec.container_engine {
        let docker = Value::Struct(vec![
            ("socketPath", Value::text(unix_address(&engine.socket))),
            ("containerEgressInterceptorImage", Value::text(&engine.interceptor_image)),
        ]);
        fields.push(("containerEngine", Value::Struct(vec![("localDocker", docker)])));
    }
    if attributes_logs(spec) {
        fields.push(("streamingTails", Value::texts(["tail"])));
    }
    if !spec.tail_consumers.is_empty() {
        fields.push(("tails", Value::texts(["consumers"])));
    }
    Value::Struct(fields)
}

/// Modules go to files named by number: their own names may be any text.
fn module(module: &Module, files: &mut Vec<File>) -> Value {
    let kind = match module.kind {
        ModuleKind::EsModule => "esModule",
        ModuleKind::CommonJs => "commonJsModule",
        ModuleKind::Text => "text",
        ModuleKind::Data => "data",
        ModuleKind::Wasm => "wasm",
        ModuleKind::Json => "json",
    };
    let path = format!("modules/{}", files.len());
    files.push(File { path: path.clone(), contents: module.contents.clone() });
    Value::Struct(vec![("name", Value::text(&module.name)), (kind, Value::Embed(path))])
}

fn bindings(spec: &WorkerSpec) -> Value {
    let mut others = 0..;
    let all = spec.bindings.iter().map(|it| {
        let is_other = matches!(it.value, BindingValue::OtherService { .. });
        binding(it, is_other.then(|| others.next()).flatten().map(other))
    });
    Value::List(all.collect())
}

/// A member of `env`; `other` names the service of another Worker.
fn binding(binding: &Binding, other: Option<String>) -> Value {
    let (kind, value) = match &binding.value {
        BindingValue::Text(text) | BindingValue::Secret(text) => ("text", Value::text(text)),
        BindingValue::Json(value) => ("json", Value::text(value.to_string())),
        BindingValue::DurableObject { class_name } => {
            ("durableObjectNamespace", Value::text(class_name))
        }
        BindingValue::Service { entrypoint, props } => {
            ("service", designator("worker", entrypoint.as_deref(), props.as_ref()))
        }
        BindingValue::OtherService { .. } => ("service", Value::text(other.unwrap_or_default())),
        BindingValue::Assets => ("service", designator("assets", Some("AssetWorker"), None)),
        BindingValue::SecretsStoreSecret { name, value } => {
            let props = value.as_ref().map_or_else(
                || json!({ "name": name }),
                |value| json!({ "name": name, "value": value }),
            );
            ("service", designator("secrets", Some("SecretsStoreSecret"), Some(&props)))
        }
    };
    Value::Struct(vec![("name", Value::text(&binding.name)), (kind, value)])
}

fn designator(service: &str, entrypoint: Option<&str>, props: Option<&serde_json::Value>) -> Value {
    let mut fields = vec![("name", Value::text(service))];
    fields.extend(entrypoint.map(|entrypoint| ("entrypoint", Value::text(entrypoint))));
    fields.extend(
        props.map(|props| ("props", Value::Struct(vec![("json", Value::text(props.to_string()))]))),
    );
    Value::Struct(fields)
}

fn namespace(namespace: &DurableObjectNamespace) -> Value {
    let mut fields = vec![
        ("className", Value::text(&namespace.class_name)),
        ("uniqueKey", Value::text(&namespace.unique_key)),
        ("enableSql", Value::bool(namespace.sqlite)),
    ];
    fields.extend(namespace.container.as_ref().map(|images| ("container", container(images))));
    Value::Struct(fields)
}

fn container(images: &ContainerImages) -> Value {
    let default = images.default.iter().map(|image| ("imageName", Value::text(image)));
    let mut fields: Vec<_> = default.collect();
    if !images.named.is_empty() {
        let named = images.named.iter().map(|(name, image)| {
            Value::Struct(vec![("name", Value::text(name)), ("image", Value::text(image))])
        });
        fields.push(("images", Value::List(named.collect())));
    }
    Value::Struct(fields)
}

fn asset_service(spec: &WorkerSpec, assets: &Assets, texts: &AssetTexts) -> Value {
    let mut config = json!(assets.rules);
    for (name, text) in
        [("headers", &texts.headers), ("redirects", &texts.redirects), ("ignore", &texts.ignore)]
    {
        if let Some(text) = text {
            config[name] = json!(text);
        }
    }
    let mut fields = vec![
        ("path", Value::text(assets.directory.to_string_lossy())),
        ("config", Value::text(config.to_string())),
    ];
    if has_worker(spec) {
        fields.push(("userWorker", Value::text("worker")));
    } else {
        fields.push(("compatibilityDate", Value::text(&spec.compatibility_date)));
        fields.push(("compatibilityFlags", Value::texts(&spec.compatibility_flags)));
    }
    Value::Struct(fields)
}

fn control(files: &mut Vec<File>) -> Value {
    let worker = Value::Struct(vec![
        ("name", Value::text("WORKER")),
        ("service", designator("worker", None, None)),
    ]);
    own_worker("control.mjs", CONTROL, vec!["service_binding_extra_handlers"], vec![worker], files)
}

fn tail(files: &mut Vec<File>) -> Value {
    let host = Value::Struct(vec![("name", Value::text("HOST")), ("service", Value::text("host"))]);
    own_worker("tail.mjs", TAIL, vec!["streaming_tail_worker"], vec![host], files)
}

/// The service of one of the tail consumers that are other Workers.
fn consumer(index: usize) -> String {
    format!("consumer-{index}")
}

/// Our script that tells the tail consumers, each a member of its `env`.
fn consumers(spec: &WorkerSpec, files: &mut Vec<File>) -> Value {
    let mut origin = json!({ "scriptName": spec.name });
    if let Some(version) = &spec.version {
        origin["scriptVersion"] = json!({ "id": version });
    }
    let member = |name: &str, kind: &'static str, value: Value| {
        Value::Struct(vec![("name", Value::text(name)), (kind, value)])
    };
    let bound = |(index, TailConsumer { name, socket }): (usize, &TailConsumer)| {
        let service = match socket {
            Some(_) => Value::text(consumer(index)),
            None => designator("worker", None, None),
        };
        member(name, "service", service)
    };
    let mut bindings = vec![member("ORIGIN", "json", Value::text(origin.to_string()))];
    bindings.extend(spec.tail_consumers.iter().enumerate().map(bound));
    own_worker("consumers.mjs", CONSUMERS, vec![], bindings, files)
}

fn own_worker(
    name: &str,
    script: &str,
    flags: Vec<&str>,
    bindings: Vec<Value>,
    files: &mut Vec<File>,
) -> Value {
    files.push(File { path: name.to_owned(), contents: script.as_bytes().to_vec() });
    let module = vec![("name", Value::text(name)), ("esModule", Value::Embed(name.to_owned()))];
    Value::Struct(vec![
        ("modules", Value::List(vec![Value::Struct(module)])),
        ("compatibilityDate", Value::text(OWN_DATE)),
        ("compatibilityFlags", Value::texts(flags)),
        ("bindings", Value::List(bindings)),
    ])
}

fn disk(path: &Path) -> Value {
    Value::Struct(vec![
        ("path", Value::text(path.to_string_lossy())),
        ("writable", Value::bool(true)),
    ])
}

fn external(socket: &str) -> Value {
    Value::Struct(vec![
        ("address", Value::text(format!("unix:{socket}"))),
        ("http", Value::Struct(vec![])),
    ])
}

/// Another workerd process, which takes requests, and method calls within a `CONNECT`.
fn other_worker(socket: &Path) -> Value {
    Value::Struct(vec![("address", Value::text(unix_address(socket))), ("http", inside())])
}

/// HTTP between Workers: `request.cf` and the scheme of a request's URL are passed on.
fn inside() -> Value {
    Value::Struct(vec![
        ("forwardedProtoHeader", Value::text(PROTO_HEADER)),
        ("cfBlobHeader", Value::text(CF_HEADER)),
        ("capnpConnectHost", Value::text(RPC_HOST)),
    ])
}

/// workerd's built-in `internet` service reaches public addresses only.
fn any_network() -> Value {
    let tls = Value::Struct(vec![("trustBrowserCas", Value::bool(true))]);
    Value::Struct(vec![("allow", Value::texts(["public", "private"])), ("tlsOptions", tls)])
}

fn unix_address(path: &Path) -> String {
    format!("unix:{}", path.display())
}

fn sockets(spec: &WorkerSpec) -> Value {
    let options = Value::Struct(vec![
        ("forwardedProtoHeader", Value::text(PROTO_HEADER)),
        ("cfBlobHeader", Value::text(CF_HEADER)),
    ]);
    let to = |name: &str, path: &str, http: Value, service: Value| {
        Value::Struct(vec![
            ("name", Value::text(name)),
            ("address", Value::text(format!("unix:{path}"))),
            ("http", http),
            ("service", service),
        ])
    };
    let socket = |name: &str, path: &str, http: Value, service: &str| {
        to(name, path, http, Value::text(service))
    };
    let first = if spec.assets.is_some() { "assets" } else { "worker" };
    let mut sockets = vec![socket("http", HTTP_SOCKET, options, first)];
    if has_worker(spec) {
        sockets.push(socket("control", CONTROL_SOCKET, Value::Struct(vec![]), "control"));
        if spec.watchable {
            sockets.push(socket("watch", WATCH_SOCKET, Value::Struct(vec![]), "tail"));
        }
        if let Some(entrypoints) = &spec.entrypoints {
            sockets.push(socket("rpc", RPC_SOCKET, inside(), "worker"));
            for EntrypointSocket { entrypoint, socket } in entrypoints {
                let worker = designator("worker", Some(entrypoint), None);
                sockets.push(to(socket, socket, inside(), worker));
            }
        }
    }
    Value::List(sockets)
}

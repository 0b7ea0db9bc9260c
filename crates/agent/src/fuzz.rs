//! Entry points for `tests/fuzzing` alone: what the bytes of a caller meet first, without an engine
//! behind it. Each returns whatever comes, or a promise is broken.

use http::Method;

use crate::docker_api::DockerRequest;
use crate::engine;
use crate::sidecar;

/// A call of the Docker Engine API: `METHOD target`, a newline, and the body.
pub fn docker_request(bytes: &[u8]) {
    let split = bytes.iter().position(|&byte| byte == b'\n').unwrap_or(bytes.len());
    let head = String::from_utf8_lossy(&bytes[..split]);
    let body = bytes.get(split + 1..).unwrap_or_default();
    let (method, target) = head.split_once(' ').unwrap_or(("GET", &head));
    if let Ok(method) = method.parse::<Method>() {
        let _ = DockerRequest::parse(&method, target, body);
    }
}

/// A call of the Docker Engine API as the `docker` command and scripts make them, in the same form.
pub fn engine_request(bytes: &[u8]) {
    let split = bytes.iter().position(|&byte| byte == b'\n').unwrap_or(bytes.len());
    let head = String::from_utf8_lossy(&bytes[..split]);
    let body = bytes.get(split + 1..).unwrap_or_default();
    let (method, target) = head.split_once(' ').unwrap_or(("GET", &head));
    if let Ok(method) = method.parse::<Method>() {
        engine::fuzz(&method, target, body);
    }
}

/// A `--format` template, and, after a newline, the JSON it is applied to.
pub fn go_template(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (template, json) = text.split_once('\n').unwrap_or((&text, ""));
    engine::fuzz_template(template, &serde_json::from_str(json).unwrap_or_default());
}

/// Everything a connection to an instance's port brings, by the server and the decisions that serve
/// it.
pub fn connect_head(bytes: &[u8]) {
    sidecar::fuzz(bytes);
}

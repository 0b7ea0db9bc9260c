//! `…/content/v2`: the modules of a version, as they were uploaded.

use bytes::Bytes;
use http::{HeaderValue, Response, header};
use http_body_util::Full;
use uuid::Uuid;

use super::Asked;
use crate::blobs::BlobId;
use crate::envelope::{Body, Failure};
use crate::workers::Workers;

/// Names the part that is the main module.
const ENTRYPOINT: &str = "cf-entrypoint";

pub(super) fn answer(
    workers: &Workers,
    name: &str,
    asked: &Asked,
) -> Result<Response<Body>, Failure> {
    let script = workers.state.script(name)?.value;
    let wanted = asked.query("version");
    let id = match wanted {
        Some(id) => id.parse().map_err(|_| Failure::no_version())?,
        None => script.current.ok_or_else(Failure::no_version)?,
    };
    let version = workers.state.version(&script, id)?;
    let read = |blob: &BlobId| {
        let content = workers.state.blobs.get(blob);
        content.map_err(|error| Failure::internal(format!("failed to read a module: {error}")))
    };
    // No module holds a random UUID's text at the beginning of a line.
    let boundary = Uuid::new_v4().simple().to_string();
    let mut form = Vec::new();
    for module in &version.modules {
        part(
            &mut form,
            &boundary,
            &module.name,
            module.kind.media_type(),
            &read(&module.contents)?,
        );
        if let Some(map) = &module.source_map {
            let name = format!("{}.map", module.name);
            part(&mut form, &boundary, &name, "application/source-map", &read(map)?);
        }
    }
    form.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    let mut response = Response::new(Full::from(Bytes::from(form)));
    let value = |text: &str| {
        HeaderValue::from_str(text).map_err(|error| Failure::internal(error.to_string()))
    };
    let main = version.modules.first().map(|module| module.name.as_str()).unwrap_or_default();
    let content_type = format!("multipart/form-data; boundary={boundary}");
    response.headers_mut().insert(header::CONTENT_TYPE, value(&content_type)?);
    response.headers_mut().insert(ENTRYPOINT, value(main)?);
    Ok(response)
}

fn part(form: &mut Vec<u8>, boundary: &str, name: &str, mime: &str, content: &[u8]) {
    let name = name.replace('"', "%22");
    let head = format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"{name}\"\r\n\
         Content-Type: {mime}\r\n\r\n"
    );
    form.extend_from_slice(head.as_bytes());
    form.extend_from_slice(content);
    form.extend_from_slice(b"\r\n");
}

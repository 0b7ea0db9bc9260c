//! The body of a Worker's upload: `multipart/form-data` with its metadata and its modules.

mod metadata;

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use multer::{Constraints, Multipart, SizeLimit};

use crate::envelope::Failure;
use crate::plan::{ModuleKind, PlannedModule};
pub(crate) use metadata::{
    Atomic, Metadata, MigrationStep, Migrations, WireAssets, WireContainer, WireExport,
    WireTailConsumer,
};

/// Most bytes of all modules: Cloudflare's limit of a paid account is 10 MB compressed; source maps
/// come on top.
const MOST_BYTES: u64 = 64 * 1024 * 1024;

/// An upload as it came.
#[derive(Debug)]
pub(crate) struct Upload {
    pub(crate) metadata: Metadata,
    /// The main one first; none if there are static files alone.
    pub(crate) modules: Vec<PlannedModule>,
}

impl Upload {
    /// Reads a request's body.
    ///
    /// # Errors
    /// It is no such form, or misses what it must have; the answer names the part.
    pub(crate) async fn read(headers: &HeaderMap, body: Incoming) -> Result<Self, Failure> {
        let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let boundary = multer::parse_boundary(content_type.unwrap_or_default())
            .map_err(|error| Failure::bad_request(format!("Content-Type: {error}")))?;
        Self::from_form(body.into_data_stream(), &boundary).await
    }

    /// Reads a form, whose parts are separated by `boundary`.
    ///
    /// # Errors
    /// As of [`Self::read`].
    pub(crate) async fn from_form<S, E>(body: S, boundary: &str) -> Result<Self, Failure>
    where
        S: futures_core::Stream<Item = Result<Bytes, E>> + Send + 'static,
        E: Into<Box<dyn std::error::Error + Send + Sync>> + 'static,
    {
        let limit = Constraints::new().size_limit(SizeLimit::new().whole_stream(MOST_BYTES));
        let mut form = Multipart::with_constraints(body, boundary, limit);
        let (mut metadata, mut parts) = (None, Vec::new());
        while let Some(field) = form.next_field().await.map_err(|error| wrong(&error))? {
            let name = field.name().unwrap_or_default().to_owned();
            let kind = field.content_type().map(|kind| kind.essence_str().to_owned());
            let content = field.bytes().await.map_err(|error| wrong(&error))?;
            match name.as_str() {
                "metadata" => metadata = Some(Metadata::parse(&content)?),
                _ => parts.push(Part { name, kind: kind.unwrap_or_default(), content }),
            }
        }
        let metadata =
            metadata.ok_or_else(|| Failure::bad_request("the form has no part `metadata`"))?;
        let modules = modules(&metadata, parts)?;
        Ok(Self { metadata, modules })
    }
}

/// One part of a form, whose other parts nobody wants.
///
/// # Errors
/// The body is no such form, or has no such part.
pub(crate) async fn field(
    headers: &HeaderMap,
    body: Incoming,
    wanted: &str,
) -> Result<Bytes, Failure> {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let boundary = multer::parse_boundary(content_type.unwrap_or_default())
        .map_err(|error| Failure::bad_request(format!("Content-Type: {error}")))?;
    let limit = Constraints::new().size_limit(SizeLimit::new().whole_stream(MOST_BYTES));
    let mut form = Multipart::with_constraints(body.into_data_stream(), boundary, limit);
    while let Some(field) = form.next_field().await.map_err(|error| wrong(&error))? {
        if field.name() == Some(wanted) {
            return field.bytes().await.map_err(|error| wrong(&error));
        }
    }
    Err(Failure::bad_request(format!("the form has no part `{wanted}`")))
}

/// One part of the form.
struct Part {
    name: String,
    kind: String,
    content: Bytes,
}

fn wrong(error: &multer::Error) -> Failure {
    match error {
        multer::Error::StreamSizeExceeded { limit } => Failure::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            10027,
            format!("Your Worker exceeded the size limit of {} MiB", limit / 1024 / 1024),
        ),
        error => Failure::bad_request(format!("the form cannot be read: {error}")),
    }
}

fn modules(metadata: &Metadata, parts: Vec<Part>) -> Result<Vec<PlannedModule>, Failure> {
    let (maps, parts): (Vec<_>, Vec<_>) =
        parts.into_iter().partition(|part| part.kind == "application/source-map");
    let mut modules = Vec::new();
    for part in parts {
        let map = maps.iter().find(|map| map.name == format!("{}.map", part.name));
        modules.push(PlannedModule {
            kind: kind(&part)?,
            contents: part.content.to_vec(),
            source_map: map.map(|map| map.content.to_vec()),
            name: part.name,
        });
    }
    let main = metadata.main_module.as_deref();
    if main.is_none() && modules.is_empty() && metadata.assets.is_some() {
        return Ok(modules);
    }
    let main = main.ok_or_else(|| {
        Failure::validation("`main_module` is missing: Berth runs Workers of ES modules")
    })?;
    let position = modules.iter().position(|module| module.name == main);
    let position = position.ok_or_else(|| {
        Failure::validation(format!("`main_module` is \"{main}\", and no part has that name"))
    })?;
    modules[..=position].rotate_right(1);
    Ok(modules)
}

fn kind(part: &Part) -> Result<ModuleKind, Failure> {
    Ok(match part.kind.as_str() {
        "application/javascript+module" | "text/javascript+module" => ModuleKind::EsModule,
        "application/javascript" | "text/javascript" => ModuleKind::CommonJs,
        "application/wasm" => ModuleKind::Wasm,
        "application/octet-stream" => ModuleKind::Data,
        "text/plain" => ModuleKind::Text,
        "application/json" => ModuleKind::Json,
        other => {
            let message = format!("module \"{}\" has a type that is not run: {other}", part.name);
            return Err(Failure::validation(message));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a form of these parts: name, type, content.
    async fn read(parts: &[(&str, &str, &str)]) -> Result<Upload, Failure> {
        let part = |(name, kind, content): &(&str, &str, &str)| {
            let kind = match *kind {
                "" => String::new(),
                kind => format!("Content-Type: {kind}\r\n"),
            };
            format!(
                "--B\r\nContent-Disposition: form-data; name=\"{name}\"\r\n{kind}\r\n{content}\r\n"
            )
        };
        let text: String = parts.iter().map(part).chain(["--B--\r\n".to_owned()]).collect();
        let stream = tokio_stream::iter([Ok::<_, std::io::Error>(Bytes::from(text))]);
        Upload::from_form(stream, "B").await
    }

    const METADATA: (&str, &str, &str) =
        ("metadata", "", r#"{"main_module":"index.js","compatibility_date":"2026-08-01"}"#);
    const INDEX: (&str, &str, &str) =
        ("index.js", "application/javascript+module", "export default {}");

    #[tokio::test]
    async fn the_main_module_comes_first_with_its_source_map() {
        let map = ("index.js.map", "application/source-map", "{}");
        let text = ("a.txt", "text/plain", "hello");
        let upload = read(&[METADATA, text, map, INDEX]).await.unwrap();
        let names: Vec<_> = upload.modules.iter().map(|module| module.name.as_str()).collect();
        assert_eq!(names, ["index.js", "a.txt"]);
        assert_eq!(upload.modules[0].source_map.as_deref(), Some(&b"{}"[..]));
        assert_eq!(upload.modules[1].kind, ModuleKind::Text);
    }

    #[tokio::test]
    async fn static_files_need_no_module() {
        let upload = read(&[("metadata", "", r#"{"assets":{"jwt":"x"}}"#)]).await.unwrap();
        assert!(upload.modules.is_empty());
    }

    #[tokio::test]
    async fn what_is_missing_or_not_run_is_named() {
        let says = async |parts: &[_], text: &str| {
            let failure = format!("{:?}", read(parts).await.unwrap_err());
            assert!(failure.contains(text), "{failure}");
        };
        says(&[INDEX], "no part `metadata`").await;
        says(&[METADATA], "no part has that name").await;
        says(&[("metadata", "", "{}"), INDEX], "`main_module` is missing").await;
        says(&[("metadata", "", "{"), INDEX], "metadata").await;
        says(&[METADATA, ("x.py", "text/x-python", "")], "text/x-python").await;
    }
}

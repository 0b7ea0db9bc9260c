//! Entry points for `tests/fuzzing` alone: what clients of the API send, as it is first met. Each
//! returns whatever comes, or a promise is broken.

use std::convert::Infallible;
use std::path::{Component, Path};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt as _, stream};
use jiff::Timestamp;
use serde_json::Value;

use crate::assets::Manifest;
use crate::records::ApplicationRecord;
use crate::tails::Filters;
use crate::upload::Upload;
use crate::wanted;

/// A Worker's upload: a form whose parts are separated by `--boundary`.
///
/// # Panics
/// It is all there, and reading it waits for more.
pub fn upload(bytes: &[u8]) {
    let body = stream::iter([Ok::<_, Infallible>(Bytes::copy_from_slice(bytes))]);
    let read = Upload::from_form(body, "boundary").now_or_never();
    assert!(read.is_some(), "the form is at its end");
    if let Some(Ok(upload)) = read {
        let _ = (upload.metadata.check(), upload.metadata.atomic());
    }
}

/// A container application as a client wants it; what is not refused can be run or says why not.
pub fn application(bytes: &[u8]) {
    let Ok(wanted) = serde_json::from_slice::<Value>(bytes) else { return };
    let _ = (wanted::steps(&wanted), wanted::rollout_kind(&wanted));
    let mut merged = wanted.clone();
    wanted::merge(&mut merged, &wanted);
    if wanted::check(&wanted).is_err() {
        return;
    }
    let record = ApplicationRecord {
        id: String::new(),
        created_at: Timestamp::UNIX_EPOCH,
        updated_at: Timestamp::UNIX_EPOCH,
        version: 1,
        image: wanted["configuration"]["image"].as_str().map(str::to_owned),
        wanted: wanted::with_limits(wanted),
        rollouts: 0,
        settled: None,
    };
    let _ = (record.name(), wanted::plan(&record, None, Duration::ZERO));
}

/// The static files that a client wants to upload: none is outside the folder.
///
/// # Panics
/// One is.
pub fn asset_manifest(bytes: &[u8]) {
    let Ok(manifest) = serde_json::from_slice::<Manifest>(bytes) else { return };
    for path in manifest.check().into_iter().flat_map(|files| files.into_keys()) {
        let mut components = Path::new(&path).components();
        assert!(components.all(|part| matches!(part, Component::Normal(_))), "{path:?}");
    }
}

/// Filters of a tail on one line, and on the next an event that they are asked about.
pub fn tail_filters(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (filters, event) = text.split_once('\n').unwrap_or((&text, "{}"));
    let Ok(filters) = serde_json::from_str::<Vec<Value>>(filters) else { return };
    if let Ok(filters) = Filters::parse(&filters, None) {
        let _ = filters.pass(&serde_json::from_str(event).unwrap_or_default(), || 0.5);
    }
}

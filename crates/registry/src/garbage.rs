//! Collecting what nothing needs any more: once an hour, and when it is asked for.

use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use http::{Method, Response, StatusCode};
use image::Collected;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::api::Api;
use crate::body::blocking;
use crate::error::ApiError;
use crate::reply::{Body, Reply};

/// How often it is done without being asked for.
const PERIOD: Duration = Duration::from_secs(60 * 60);
/// A client waits this long at most; the work goes on.
const PATIENCE: Duration = Duration::from_secs(10);

/// `PUT /v2/gc/layers`
pub(crate) async fn answer(api: &Arc<Api>, head: &Parts) -> Result<Response<Body>, ApiError> {
    if head.method != Method::PUT {
        return Err(ApiError::method("PUT"));
    }
    let api = Arc::clone(api);
    // A build or a pull holds on to the content while it works.
    let work = tokio::spawn(async move { collect(&api).await });
    match tokio::time::timeout(PATIENCE, work).await {
        Err(_) => Ok(Reply::new(StatusCode::ACCEPTED).done()),
        Ok(Err(panicked)) => Err(ApiError::internal(&panicked)),
        Ok(Ok(result)) => {
            let Collected { manifests, blobs, uploads, content } = result?;
            Ok(Reply::json(&json!({
                "manifests": manifests,
                "blobs": blobs,
                "uploads": uploads,
                "bytes": content.bytes,
            }))
            .done())
        }
    }
}

async fn collect(api: &Arc<Api>) -> Result<Collected, ApiError> {
    // Whoever asks meanwhile waits, and then finds nothing to do.
    let _turn = api.collecting.lock().await;
    let inner = Arc::clone(api);
    let collected = blocking(move || inner.repositories.collect(&(inner.options.roots)()));
    let collected = collected.await?;
    if collected != Collected::default() {
        api.quota.forget();
        tracing::info!(?collected, "collected garbage");
    }
    Ok(collected)
}

/// Collects until told to stop.
pub(crate) async fn regularly(api: Arc<Api>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(PERIOD) => {}
        }
        if let Err(error) = collect(&api).await {
            tracing::warn!(?error, "garbage stays");
        }
    }
}

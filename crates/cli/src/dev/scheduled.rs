//! `GET /cdn-cgi/handler/scheduled?cron=…&time=…`: runs the Worker's `scheduled()` now, as wrangler's
//! `dev` does; `/__scheduled` is its older name.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use edge::{Answer, Intercept};
use http::{Response, StatusCode};
use http_body_util::Full;
use workers::WorkerProcess;

/// Answers requests for the two paths; all others are the Worker's.
pub(crate) fn intercept(worker: WorkerProcess) -> Intercept {
    Arc::new(move |request| {
        if !matches!(request.uri.path(), "/cdn-cgi/handler/scheduled" | "/__scheduled") {
            return None;
        }
        let (cron, time) = parse(request.uri.query().unwrap_or_default());
        let worker = worker.clone();
        Some(Box::pin(async move { run(&worker, &cron, time).await }) as Answer)
    })
}

async fn run(worker: &WorkerProcess, cron: &str, time: SystemTime) -> Response<Full<Bytes>> {
    let (status, text) = match worker.scheduled(cron, time).await {
        // wrangler's own texts: the outcome, and 500 for every other one.
        Ok(outcome) if outcome.outcome == "ok" => (StatusCode::OK, "ok".to_owned()),
        Ok(outcome) => (StatusCode::INTERNAL_SERVER_ERROR, outcome.outcome),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response
}

/// `cron`, empty when absent, and `time` in milliseconds since 1970, by default now.
fn parse(query: &str) -> (String, SystemTime) {
    let value = |name: &str| {
        form_urlencoded::parse(query.as_bytes())
            .find_map(|(key, value)| (key == name).then(|| value.into_owned()))
    };
    let time = value("time")
        .and_then(|text| text.parse().ok())
        .and_then(|ms| UNIX_EPOCH.checked_add(Duration::from_millis(ms)))
        .unwrap_or_else(SystemTime::now);
    (value("cron").unwrap_or_default(), time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_expression_is_decoded_and_the_time_is_in_milliseconds() {
        let (cron, time) = parse("cron=*%2F2+*+*+*+*&time=1500");
        assert_eq!(cron, "*/2 * * * *");
        assert_eq!(time, UNIX_EPOCH + Duration::from_millis(1500));
    }

    #[test]
    fn without_a_query_it_is_now_and_no_expression() {
        let before = SystemTime::now();
        let (cron, time) = parse("");
        assert!(cron.is_empty() && time >= before);
    }
}

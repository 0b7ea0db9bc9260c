//! Why one request gave nothing, and whether it may give something next time.

use std::io::Read;
use std::time::Duration;

use ureq::Body;
use ureq::http::{Response, StatusCode, header};

/// Largest error body or token answer that is read.
pub(super) const ANSWER_BYTES: u64 = 64 * 1024;

/// Why one request failed.
pub(super) struct Trouble {
    pub(super) outcome: String,
    pub(super) status: Option<u16>,
    pub(super) transient: bool,
    pub(super) retry_after: Option<Duration>,
}

impl Trouble {
    pub(super) fn of_text(outcome: String) -> Self {
        Self { outcome, status: None, transient: false, retry_after: None }
    }

    pub(super) fn of_error(error: ureq::Error) -> Self {
        let transient = match &error {
            ureq::Error::Io(_)
            | ureq::Error::Timeout(_)
            | ureq::Error::ConnectionFailed
            | ureq::Error::Protocol(_) => true,
            // A certificate that is wrong stays wrong.
            _ => false,
        };
        let outcome = match error {
            ureq::Error::Io(error) => error.to_string(),
            error => error.to_string(),
        };
        Self { outcome, status: None, transient, retry_after: None }
    }

    /// Whether somebody who speaks TLS may have answered so to who does not.
    pub(super) fn may_be_tls(&self) -> bool {
        self.status.is_none_or(|status| status == StatusCode::BAD_REQUEST.as_u16())
    }

    /// TLS did not work either. What is wrong is told by whoever got an answer of any kind.
    pub(super) fn also_by_tls(&mut self, tls: &Self) {
        if self.status.is_none() && self.outcome != tls.outcome {
            self.outcome = format!("{}; with TLS: {}", self.outcome, tls.outcome);
            self.transient = tls.transient;
        }
    }

    /// Of an answer that is no success, with what the registry says about it.
    pub(super) fn of(response: Response<Body>) -> Self {
        let status = response.status();
        let retry_after = response
            .headers()
            .get(header::RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.trim().parse().ok())
            .map(Duration::from_secs);
        let mut outcome = status.to_string();
        if let Some(message) = registry_message(response) {
            outcome = format!("{outcome} ({message})");
        }
        let transient = status.is_server_error()
            || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT);
        Self { outcome, status: Some(status.as_u16()), transient, retry_after }
    }
}

/// The first message of a registry's error answer, on one line; its code where it has no message.
fn registry_message(response: Response<Body>) -> Option<String> {
    let reader = response.into_body().into_reader().take(ANSWER_BYTES);
    let value: serde_json::Value = serde_json::from_reader(reader).ok()?;
    let error = &value["errors"][0];
    let said = error["message"].as_str().filter(|message| !message.is_empty());
    let message = said.or_else(|| error["code"].as_str())?;
    let line: String = message.chars().filter(|c| !c.is_control()).take(200).collect();
    (!line.is_empty()).then_some(line)
}

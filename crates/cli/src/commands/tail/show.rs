//! An event of a Worker as lines for people, as wrangler writes them: pure.

use std::fmt::Write as _;

use jiff::Timestamp;
use serde_json::Value;

/// What happened, then what was written to the console, then exceptions.
pub(super) fn lines(event: &Value) -> Vec<String> {
    let mut lines = vec![head(event)];
    for log in list(&event["logs"]) {
        let words: Vec<String> = list(&log["message"]).map(word).collect();
        lines.push(format!("  ({}) {}", word(&log["level"]), words.join(" ")));
    }
    for exception in list(&event["exceptions"]) {
        lines.push(format!("{}: {}", word(&exception["name"]), word(&exception["message"])));
        if let Some(stack) = exception["stack"].as_str() {
            lines.push(escaped(stack));
        }
    }
    lines
}

fn head(event: &Value) -> String {
    let (what, outcome) = (&event["event"], outcome(&event["outcome"]));
    let at = moment(&event["eventTimestamp"]);
    let has = |key: &str| what.get(key).is_some_and(|value| !value.is_null());
    if has("cron") {
        format!("\"{}\" @ {} - {outcome}", word(&what["cron"]), moment(&what["scheduledTime"]))
    } else if has("request") {
        let request = &what["request"];
        format!("{} {} - {outcome} @ {at}", word(&request["method"]), word(&request["url"]))
    } else if has("rpcMethod") {
        let entry = event["entrypoint"].as_str().unwrap_or("default");
        format!("{}.{} - {outcome} @ {at}", escaped(entry), word(&what["rpcMethod"]))
    } else if has("message") {
        word(&what["message"])
    } else if has("scheduledTime") {
        format!("Alarm @ {} - {outcome}", moment(&what["scheduledTime"]))
    } else {
        format!("Unknown Event - {outcome} @ {at}")
    }
}

fn outcome(value: &Value) -> &'static str {
    match value.as_str() {
        Some("ok") => "Ok",
        Some("canceled") => "Canceled",
        Some("exceededCpu") => "Exceeded CPU Limit",
        Some("exceededMemory") => "Exceeded Memory Limit",
        Some("exception") => "Exception Thrown",
        _ => "Unknown",
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// A text as it is, anything else as JSON.
fn word(value: &Value) -> String {
    match value {
        Value::String(text) => escaped(text),
        other => other.to_string(),
    }
}

/// A moment in milliseconds since 1970, or as a text.
fn moment(value: &Value) -> String {
    let seconds = value.as_i64().map(|milliseconds| milliseconds.div_euclid(1000));
    match seconds.and_then(|seconds| Timestamp::from_second(seconds).ok()) {
        Some(time) => time.to_string(),
        None => word(value),
    }
}

/// What a Worker writes moves no cursor and sets no colour here.
fn escaped(text: &str) -> String {
    text.chars().fold(String::new(), |mut shown, char| {
        if char.is_control() && !matches!(char, '\n' | '\t') {
            _ = write!(shown, "\\u{:04x}", u32::from(char));
        } else {
            shown.push(char);
        }
        shown
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_kind_of_event_has_a_line_and_its_logs_below() {
        let request = json!({"outcome": "exception", "eventTimestamp": 1000,
            "event": {"request": {"method": "GET", "url": "http://w/"}},
            "logs": [{"level": "log", "message": ["a\u{1b}[2Jb", {"c": 1}]}],
            "exceptions": [{"name": "TypeError", "message": "no", "stack": "at x"}]});
        let expected = [
            "GET http://w/ - Exception Thrown @ 1970-01-01T00:00:01Z",
            "  (log) a\\u001b[2Jb {\"c\":1}",
            "TypeError: no",
            "at x",
        ];
        assert_eq!(lines(&request), expected);
        let line = |event: Value| {
            lines(&json!({"outcome": "ok", "eventTimestamp": 0,
            "event": event}))[0]
                .clone()
        };
        let cron = line(json!({"cron": "* * * * *", "scheduledTime": 0}));
        assert_eq!(cron, "\"* * * * *\" @ 1970-01-01T00:00:00Z - Ok");
        let alarm = line(json!({"scheduledTime": "2026-01-02T00:00:00Z"}));
        assert_eq!(alarm, "Alarm @ 2026-01-02T00:00:00Z - Ok");
        let rpc = line(json!({"rpcMethod": "add"}));
        assert_eq!(rpc, "default.add - Ok @ 1970-01-01T00:00:00Z");
        assert_eq!(line(json!({"type": "overload", "message": "too many"})), "too many");
        assert_eq!(line(Value::Null), "Unknown Event - Ok @ 1970-01-01T00:00:00Z");
    }
}

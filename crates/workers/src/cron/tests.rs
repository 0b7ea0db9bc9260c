//! Against Cloudflare's own parser, which is old but defines what expressions mean.

use std::time::{Duration, UNIX_EPOCH};

use chrono::DateTime;
use proptest::prelude::*;

use super::*;

/// 1 January 2026, 00:00 UTC.
const START: i64 = 1_767_225_600;

/// The next matches after [`START`], in seconds since 1970.
fn ours(expression: &str) -> Option<Vec<u64>> {
    let schedule = Schedule::parse(expression).ok()?;
    let mut time = UNIX_EPOCH + Duration::from_secs(START.unsigned_abs());
    let next = std::iter::from_fn(|| {
        time = schedule.next_after(time)?;
        Some(time.duration_since(UNIX_EPOCH).expect("after 1970").as_secs())
    });
    Some(next.take(40).collect())
}

fn cloudflares(expression: &str) -> Option<Vec<u64>> {
    let cron: saffron::Cron = expression.parse().ok()?;
    let start = DateTime::from_timestamp(START, 0).expect("a valid time");
    Some(cron.iter_after(start).take(40).map(|time| time.timestamp().unsigned_abs()).collect())
}

#[test]
fn expressions_of_cloudflares_documentation_mean_what_they_mean_there() {
    for expression in [
        "* * * * *",
        "*/2 * * * *",
        "*/30 * * * *",
        "45 * * * *",
        "0 17 * * sun",
        "0 17 * * 1",
        "10 7 * * mon-fri",
        "10 7 * * 2-6",
        "0 15 1 * *",
        "0 18 * * 6L",
        "0 18 * * friL",
        "59 23 LW * *",
        "0 0 L * *",
        "0 0 15W * *",
        "0 9 * jan,JUL MON#1",
        "0 0 13 * FRI",
        "5/15 * * * *",
        "0 0 * * L",
        "0 0 29 2 *",
    ] {
        let times = ours(expression);
        assert!(times.as_ref().is_some_and(|times| times.len() == 40), "{expression}");
        assert_eq!(times, cloudflares(expression), "{expression}");
    }
    assert_eq!(ours("0 0 30 2 *"), Some(vec![]), "never, but an expression");
}

#[test]
fn what_cloudflare_refuses_is_refused_with_a_reason() {
    for (expression, reason) in [
        ("* * * *", "it has 4 fields, not 5"),
        ("@daily", "it has 1 field, not 5"),
        ("* * * * * *", "it has 6 fields, not 5"),
        ("60 * * * *", "out of bounds"),
        ("0 0 * * 0", "less than the input offset"),
        ("0 0 ? * *", "day of the month \"?\": '?' has no meaning here"),
        ("*/60 * * * *", "minute \"*/60\": a step is a number from 1 to 59"),
        ("/5 * * * *", "a value is missing"),
        ("1,,2 * * * *", "a value is missing"),
        ("0 0 1,L * *", "L cannot be in a list"),
        ("0 0 * * +2", "'+' has no meaning here"),
    ] {
        let error = Schedule::parse(expression).expect_err(expression).to_string();
        assert!(
            error.starts_with(&format!("invalid cron expression \"{expression}\": ")),
            "{error}"
        );
        assert!(error.contains(reason), "{error}");
        assert_eq!(cloudflares(expression), None, "{expression}");
    }
    let error = Schedule::parse("0 0 L-3 * *").expect_err("not supported").to_string();
    assert!(error.contains("not supported"), "{error}");
}

/// An element of a field with values from `low` to `high`.
fn element(low: u32, high: u32) -> impl Strategy<Value = String> {
    prop_oneof![
        Just("*".to_owned()),
        (low..=high).prop_map(|n| n.to_string()),
        (low..=high, low..=high).prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b))),
        (1..high - low).prop_map(|step| format!("*/{step}")),
        (low..=high, low..=high, 1..high - low).prop_map(|(a, b, step)| format!(
            "{}-{}/{step}",
            a.min(b),
            a.max(b)
        )),
    ]
}

fn field(low: u32, high: u32) -> impl Strategy<Value = String> {
    proptest::collection::vec(element(low, high), 1..3).prop_map(|elements| {
        // Lists of stars are odd; one star is common.
        if elements.contains(&"*".to_owned()) { "*".to_owned() } else { elements.join(",") }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn any_expression_means_what_it_means_at_cloudflare(
        minute in field(0, 59), hour in field(0, 23), day in field(1, 28), month in field(1, 12),
        weekday in field(1, 7),
    ) {
        let expression = format!("{minute} {hour} {day} {month} {weekday}");
        prop_assert_eq!(ours(&expression), cloudflares(&expression), "{}", expression);
    }

    #[test]
    fn no_text_panics(text in ".{0,30}", odd in "[0-9*/,#LW a-z-]{0,30}") {
        let _ = Schedule::parse(&text);
        let _ = Schedule::parse(&odd);
    }
}

//! `containers[].rollout_*`: in which steps a new version replaces the old one.

use std::time::Duration;

use model::limits::MAX_INSTANCES_DEFAULT;

use crate::check::{self, Report};
use crate::config::{Rollout, RolloutKind};
use crate::tree::{Entry, Node, Object};

/// What a single number may be.
const SINGLE: [u8; 6] = [5, 10, 20, 25, 50, 100];

const STEPS: &str = "\"containers.rollout_step_percentage\"";

/// The rollout keys of an entry. Without steps: 10 and 100 percent, or all at once where there is
/// at most one instance (features BF1).
pub(super) fn rollout(report: &mut Report, object: &Object, max_instances: Option<u32>) -> Rollout {
    let few = max_instances.unwrap_or(MAX_INSTANCES_DEFAULT) < 2;
    let default = if few { vec![100] } else { vec![10, 100] };
    let steps = check::value(object, "rollout_step_percentage");
    let steps = steps.and_then(|entry| match entry.node.as_array() {
        Some(items) => list(report, entry, items, max_instances),
        None => single(report, entry),
    });
    let kind = check::value(object, "rollout_kind").and_then(|entry| {
        let choices = ["full_auto", "full_manual", "none"];
        check::choice(report, "containers.rollout_kind", &entry.node, &choices)
    });
    Rollout {
        steps: steps.unwrap_or(default),
        kind: match kind {
            Some("full_manual") => RolloutKind::FullManual,
            Some("none") => RolloutKind::None,
            _ => RolloutKind::FullAuto,
        },
        active_grace_period: grace_period(report, object),
    }
}

fn grace_period(report: &mut Report, object: &Object) -> Duration {
    let Some(entry) = check::value(object, "rollout_active_grace_period") else {
        return Duration::ZERO;
    };
    let seconds = entry.node.as_f64().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds.unwrap_or_else(|| {
        let got = entry.node.json();
        report.error(
            &entry.node.span,
            format!(
                "\"containers.rollout_active_grace_period\" field should be a positive number but got \"{}\"",
                got.trim_matches('"')
            ),
        );
        Duration::ZERO
    })
}

/// One number: the share of each step.
fn single(report: &mut Report, entry: &Entry) -> Option<Vec<u8>> {
    let Some(number) = entry.node.as_f64() else {
        let got = entry.node.json();
        report.error(
            &entry.node.span,
            format!(
                "{STEPS} must be a number or array of numbers, but got \"{}\"",
                got.trim_matches('"')
            ),
        );
        return None;
    };
    let Some(step) = SINGLE.into_iter().find(|step| f64::from(*step) == number) else {
        report.error(
            &entry.node.span,
            format!("{STEPS} must be one of [5, 10, 20, 25, 50, 100], but got {number}"),
        );
        return None;
    };
    Some((1..=100 / step).map(|count| count * step).collect())
}

/// A list: the share that is replaced after each step.
fn list(
    report: &mut Report,
    entry: &Entry,
    items: &[Node],
    max_instances: Option<u32>,
) -> Option<Vec<u8>> {
    let numbers: Vec<(f64, &Node)> =
        items.iter().filter_map(|item| Some((item.as_f64()?, item))).collect();
    let mut wrong = false;
    let mut error = |node: &Node, message: String| {
        wrong = true;
        report.error(&node.span, message);
    };
    for item in items.iter().filter(|item| item.as_f64().is_none()) {
        let got = item.json();
        error(
            item,
            format!(
                "{STEPS} array elements must be numbers, but got \"{}\"",
                got.trim_matches('"')
            ),
        );
    }
    for (number, item) in &numbers {
        if !(10.0..=100.0).contains(number) {
            error(
                item,
                format!("{STEPS} array elements must be between 10 and 100, but got \"{number}\""),
            );
        }
    }
    if let Some(pair) = numbers.windows(2).find(|pair| pair[1].0 < pair[0].0) {
        let all: Vec<_> = numbers.iter().map(|(number, _)| number.to_string()).collect();
        error(
            pair[1].1,
            format!(
                "{STEPS} array elements must be in ascending order, but got \"{}\"",
                all.join(",")
            ),
        );
    }
    if let Some((last, item)) = numbers.last().filter(|(last, _)| *last != 100.0) {
        error(item, format!("The final step in {STEPS} must be 100, but got \"{last}\""));
    }
    if let Some(max) = max_instances.filter(|max| items.len() > *max as usize) {
        let count = items.len();
        error(
            &entry.node,
            format!("{STEPS} cannot have more steps ({count}) than \"max_instances\" ({max})"),
        );
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 10 and 100, or `wrong` is set"
    )]
    let steps: Vec<u8> = numbers.iter().map(|(number, _)| number.round() as u8).collect();
    (!wrong && !steps.is_empty()).then_some(steps)
}

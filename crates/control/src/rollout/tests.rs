//! The table of decisions.

use std::sync::LazyLock;

use jiff::Timestamp;
use model::Share;
use serde_json::Value;
use uuid::Uuid;

use super::*;
use crate::records::RolloutKind;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_000_000 + second).unwrap()
}

/// The same, by the clock that nobody sets.
fn moment(second: i64) -> Instant {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    *START + Duration::from_secs(u64::try_from(1_000 + second).unwrap())
}

/// From then on until a later second.
fn between(from: i64, second: i64) -> Duration {
    Duration::from_secs(u64::try_from(second - from).unwrap_or_default())
}

fn object(name: &str) -> DurableObjectId {
    DurableObjectId::try_from(name.repeat(64)).unwrap()
}

/// The second rollout of its application, whose first version ran before it.
fn rollout(kind: RolloutKind, runs: Vec<StepRun>) -> Rollout {
    let wanted_steps = if kind == RolloutKind::FullAuto { usize::MAX } else { runs.len() };
    Rollout {
        id: Uuid::nil(),
        number: 1,
        created_at: at(0),
        updated_at: at(0),
        description: String::new(),
        status: RolloutStatus::Progressing,
        reason: String::new(),
        target_configuration: Value::Null,
        configuration: Value::Null,
        previous_configuration: None,
        kind,
        steps: vec![50, 100],
        descriptions: Vec::new(),
        runs,
        wanted_steps,
        reverting: false,
        previous_image: None,
    }
}

/// A step that began at once and has stopped one instance.
fn begun(share: u32) -> StepRun {
    let share = Share::percent(share);
    StepRun { share, started_at: at(0), stopped: 1, replaced_at: None, completed_at: None }
}

fn replaced(share: u32) -> StepRun {
    StepRun { replaced_at: Some(at(1)), ..begun(share) }
}

fn done(share: u32) -> StepRun {
    StepRun { completed_at: Some(at(2)), ..replaced(share) }
}

fn one(name: &str, version: u32, status: InstanceStatus) -> InstanceView {
    InstanceView {
        id: format!("{name}{version}"),
        object: object(name),
        version,
        status,
        listens: false,
        silent_port: None,
        running_for: (status != InstanceStatus::Placed).then_some(Duration::ZERO),
    }
}

fn old(name: &str) -> InstanceView {
    one(name, 1, InstanceStatus::Running)
}

fn ready(name: &str) -> InstanceView {
    InstanceView { listens: true, ..one(name, 2, InstanceStatus::Running) }
}

fn silent(name: &str) -> InstanceView {
    InstanceView { silent_port: Some(8080), ..one(name, 2, InstanceStatus::Running) }
}

fn failure(name: &str, id: &str, second: i64) -> InstanceFailure {
    let reason = "ended with exit code 1".into();
    InstanceFailure { id: id.into(), object: object(name), at: moment(second), reason }
}

/// What is seen in a second: the step began in the first one and had stopped its instances in the next,
/// and what runs does so since the first.
fn seen(second: i64, instances: &[InstanceView], failures: &[InstanceFailure]) -> Seen {
    let mut instances = instances.to_vec();
    for running_for in instances.iter_mut().filter_map(|one| one.running_for.as_mut()) {
        *running_for += between(0, second);
    }
    Seen {
        began: Some(moment(0)),
        waited: between(1, second),
        instances,
        failures: failures.to_vec(),
        old: BTreeSet::from(["01".to_owned()]),
        active_grace: Duration::ZERO,
    }
}

fn stop(ids: &[&str]) -> Decision {
    Decision::Stop(ids.iter().map(|id| (*id).to_owned()).collect())
}

#[track_caller]
fn table(rows: &[(&str, Vec<StepRun>, Seen, Decision)]) {
    for (what, runs, seen, wanted) in rows {
        let rollout = rollout(RolloutKind::FullAuto, runs.clone());
        assert_eq!(decide(&rollout, seen), *wanted, "{what}");
    }
}

#[test]
fn bf4_a_step_replaces_its_share_and_waits_for_what_comes() {
    let stopping = one("0", 1, InstanceStatus::Stopping);
    let starting = one("0", 2, InstanceStatus::Running);
    table(&[
        ("nothing has begun", vec![], seen(0, &[old("0"), old("f")], &[]), Decision::Begin),
        ("half", vec![begun(50)], seen(0, &[old("0"), old("f")], &[]), stop(&["01"])),
        ("it has its grace", vec![begun(50)], seen(0, &[stopping, old("f")], &[]), Decision::Wait),
        ("it has ended", vec![begun(50)], seen(1, &[old("f")], &[]), Decision::Replaced),
        ("nobody asks", vec![replaced(50)], seen(2, &[old("f")], &[]), Decision::Wait),
        ("nobody asked", vec![replaced(50)], seen(11, &[old("f")], &[]), Decision::Finish),
        ("it starts", vec![replaced(50)], seen(12, &[starting], &[]), Decision::Wait),
        ("it is there", vec![replaced(50)], seen(2, &[ready("0")], &[]), Decision::Finish),
        (
            "it waits",
            vec![replaced(50)],
            seen(20, &[one("0", 2, InstanceStatus::Placed)], &[]),
            Decision::Wait,
        ),
        (
            "it waits on",
            vec![replaced(50)],
            seen(61, &[one("0", 2, InstanceStatus::Placed)], &[]),
            Decision::Finish,
        ),
        (
            "it is a job",
            vec![replaced(50)],
            seen(2, &[one("0", 2, InstanceStatus::Stopped)], &[]),
            Decision::Finish,
        ),
        (
            "no port is asked for",
            vec![replaced(50)],
            seen(31, &[one("0", 2, InstanceStatus::Running)], &[]),
            Decision::Finish,
        ),
        ("a step is done", vec![done(50)], seen(3, &[ready("0"), old("f")], &[]), Decision::Begin),
        ("all", vec![done(50), begun(100)], seen(3, &[ready("0"), old("f")], &[]), stop(&["f1"])),
        (
            "all steps are done",
            vec![done(50), done(100)],
            seen(9, &[ready("0")], &[]),
            Decision::End(RolloutStatus::Completed),
        ),
    ]);
}

#[test]
fn new_instances_that_fail_turn_a_rollout_back() {
    let reverts = |seen: Seen, text: &str| match decide(
        &rollout(RolloutKind::FullAuto, vec![replaced(50)]),
        &seen,
    ) {
        Decision::Revert(reason) => assert!(reason.contains(text), "{reason}"),
        other => panic!("{text}: {other:?}"),
    };
    reverts(
        seen(2, &[], &[failure("0", "02", 2)]),
        "1 of 1 new instances failed; that of 00000000… ended with exit code 1",
    );
    reverts(seen(2, &[one("0", 2, InstanceStatus::Running)], &[failure("0", "02", 2)]), "1 of 1");
    reverts(seen(31, &[silent("0")], &[]), "does not listen on port 8080 after 30 s");
    reverts(seen(2, &[ready("1")], &[failure("0", "02", 2), failure("2", "22", 2)]), "2 of 3");
    table(&[
        ("late", vec![replaced(50)], seen(29, &[silent("0")], &[]), Decision::Wait),
        (
            "a later try was well",
            vec![replaced(50)],
            seen(2, &[ready("0")], &[failure("0", "02", 2)]),
            Decision::Finish,
        ),
        (
            "as many are well",
            vec![replaced(50)],
            seen(2, &[ready("1")], &[failure("0", "02", 2)]),
            Decision::Finish,
        ),
        (
            "an old one failed",
            vec![replaced(50)],
            seen(2, &[], &[failure("0", "01", 2)]),
            Decision::Wait,
        ),
        (
            "one that is not of the step",
            vec![replaced(50)],
            seen(2, &[], &[failure("f", "f1", 2)]),
            Decision::Wait,
        ),
        (
            "before it began",
            vec![replaced(50)],
            seen(2, &[], &[failure("0", "02", -1)]),
            Decision::Wait,
        ),
        ("after a step", vec![done(50)], seen(3, &[], &[failure("0", "02", 3)]), Decision::Begin),
    ]);
}

#[test]
fn a_rollout_that_goes_back_ends_what_it_has_started() {
    let reverting = Rollout { reverting: true, ..rollout(RolloutKind::FullAuto, vec![begun(50)]) };
    let instances = [ready("0"), old("f")];
    assert_eq!(decide(&reverting, &seen(2, &instances, &[])), stop(&["02"]));
    let gone = seen(2, &[old("0"), old("f")], &[failure("0", "02", 2)]);
    assert_eq!(decide(&reverting, &gone), Decision::End(RolloutStatus::Reverted));
}

#[test]
fn somebody_says_when_a_manual_rollout_goes_on_or_back() {
    let manual = |runs: Vec<StepRun>| rollout(RolloutKind::FullManual, runs);
    let instances = [old("0"), old("f")];
    assert_eq!(decide(&manual(vec![]), &seen(0, &instances, &[])), Decision::Wait);
    let asked = Rollout { wanted_steps: 1, ..manual(vec![]) };
    assert_eq!(decide(&asked, &seen(0, &instances, &[])), Decision::Begin);
    let first = [ready("0"), old("f")];
    assert_eq!(decide(&manual(vec![done(50)]), &seen(3, &first, &[])), Decision::Wait);
    // The second step was gone back from.
    let both = [ready("0"), ready("f")];
    assert_eq!(decide(&manual(vec![done(50)]), &seen(9, &both, &[])), stop(&["f2"]));
}

#[test]
fn bf2_an_instance_has_run_for_the_active_grace_before_it_is_replaced() {
    let rollout = rollout(RolloutKind::FullAuto, vec![begun(100)]);
    let grace = Duration::from_secs(30);
    let aged = |seconds: u64| {
        let young = InstanceView { running_for: Some(Duration::from_secs(seconds)), ..old("f") };
        Seen { active_grace: grace, ..seen(0, &[young], &[]) }
    };
    let mut both = aged(10);
    both.instances.insert(0, InstanceView { running_for: Some(grace * 2), ..old("0") });
    assert_eq!(decide(&rollout, &both), stop(&["01"]));
    assert_eq!(decide(&rollout, &aged(30)), stop(&["f1"]));
    assert_eq!(decide(&rollout, &aged(10)), Decision::Wait);
}

#[test]
fn what_the_clock_on_the_wall_said_when_a_step_began_decides_nothing() {
    // It was set to another day, forwards or back, between the step's beginning and now.
    for day in [-86_400, 86_400] {
        let set = StepRun { started_at: at(day), replaced_at: Some(at(day)), ..begun(50) };
        let rollout = rollout(RolloutKind::FullAuto, vec![set]);
        let after = |second: i64, failures: &[InstanceFailure]| {
            decide(&rollout, &seen(second, &[old("f")], failures))
        };
        assert_eq!(after(2, &[]), Decision::Wait, "{day}");
        assert_eq!(after(11, &[]), Decision::Finish, "{day}");
        assert_eq!(after(2, &[failure("0", "02", -1)]), Decision::Wait, "{day}");
        assert!(matches!(after(2, &[failure("0", "02", 2)]), Decision::Revert(_)), "{day}");
        let crashing = [failure("0", "02", -1)];
        let of_another_process = Seen { began: None, ..seen(2, &[old("f")], &crashing) };
        assert!(matches!(decide(&rollout, &of_another_process), Decision::Revert(_)), "{day}");
    }
}

//! What happens, step after step: a sequence that follows from the seed alone. Which process is "the
//! third running init" is found out when the step is taken.

use std::fmt;

use super::random::Random;

/// A class of the project; how its objects treat their instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// Stays until somebody ends it.
    Steady,
    /// Sleeps after two seconds.
    Drowsy,
    /// Ignores SIGTERM.
    Stubborn,
    /// Has no class around `ctx.container`; goes with its object, which leaves when idle.
    Raw,
}

/// A Durable Object with its instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Object {
    pub(super) kind: Kind,
    pub(super) number: u64,
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Steady => "steady",
            Kind::Drowsy => "drowsy",
            Kind::Stubborn => "stubborn",
            Kind::Raw => "raw",
        };
        write!(f, "{kind}/{}", self.number)
    }
}

/// The objects that live through a run; [`Step::Fresh`] adds others.
pub(super) const OBJECTS: [Object; 8] = [
    Object { kind: Kind::Steady, number: 0 },
    Object { kind: Kind::Steady, number: 1 },
    Object { kind: Kind::Steady, number: 2 },
    Object { kind: Kind::Drowsy, number: 0 },
    Object { kind: Kind::Drowsy, number: 1 },
    Object { kind: Kind::Stubborn, number: 0 },
    Object { kind: Kind::Raw, number: 0 },
    Object { kind: Kind::Raw, number: 1 },
];

/// Whom a `kill -9` hits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Victim {
    Berth,
    Workerd,
    Launcher,
    ParkedInit,
    RunningInit,
    Program,
}

/// A `kill -9` of the `nth` process of its kind, modulo how many there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kill {
    pub(super) victim: Victim,
    pub(super) nth: u64,
}

/// What a client asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// Count one more, in storage.
    Hit,
    Start,
    Stop,
    Destroy,
    /// The program ends by itself with this code.
    Exit(i32),
}

/// One step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// One request.
    Do(Object, Action),
    /// A request to every object at once, each several times.
    Burst,
    /// An object that never was: counted once, destroyed.
    Fresh(u64),
    /// New code, under load.
    Reload,
    /// Nothing for so many milliseconds.
    Pause(u64),
    /// A kill.
    Fault(Kill),
    /// Two at once.
    Faults(Kill, Kill),
    /// A kill so many milliseconds after a request was sent.
    During(Object, Action, Kill, u64),
    /// A kill so many milliseconds after the code was changed.
    DuringReload(Kill, u64),
    /// Berth is killed and is away for so many milliseconds, in which a program prints and then ends
    /// with this code.
    Away { object: Object, code: i32, millis: u64 },
    /// Berth is killed so many milliseconds after it was asked to stop.
    DuringStop(u64),
    /// Berth is killed, and the next one so many milliseconds after its start.
    DuringStart(u64),
    /// Berth is stopped as with Ctrl-C: nothing may be left. Then it starts again.
    Restart,
}

/// The sequence of steps of a seed; it has no end.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    random: Random,
    fresh: u64,
}

/// The kinds of steps, before their details are drawn.
#[derive(Debug, Clone, Copy)]
enum Draw {
    Do,
    Burst,
    Fresh,
    Reload,
    Pause,
    Fault,
    Faults,
    During,
    DuringReload,
    Away,
    DuringStop,
    DuringStart,
    Restart,
}

const WEIGHTS: [(u64, Draw); 13] = [
    (30, Draw::Do),
    (6, Draw::Burst),
    (5, Draw::Fresh),
    (4, Draw::Reload),
    (4, Draw::Pause),
    (12, Draw::Fault),
    (5, Draw::Faults),
    (14, Draw::During),
    (3, Draw::DuringReload),
    (5, Draw::Away),
    (2, Draw::DuringStop),
    (3, Draw::DuringStart),
    (2, Draw::Restart),
];

const VICTIMS: [(u64, Victim); 6] = [
    (3, Victim::Berth),
    (3, Victim::Workerd),
    (2, Victim::Launcher),
    (3, Victim::ParkedInit),
    (2, Victim::RunningInit),
    (2, Victim::Program),
];

impl Plan {
    pub(super) fn new(seed: u64) -> Self {
        Self { random: Random::new(seed), fresh: 0 }
    }

    fn kill(&mut self) -> Kill {
        Kill { victim: self.random.weighted(&VICTIMS), nth: self.random.below(64) }
    }

    fn object(&mut self) -> Object {
        self.random.one_of(&OBJECTS)
    }

    /// Codes that mean nothing to a shell or a kernel.
    fn code(&mut self) -> i32 {
        i32::try_from(self.random.below(90)).expect("a small number") + 1
    }

    fn action(&mut self) -> Action {
        let drawn = self.random.weighted(&[
            (10, Action::Hit),
            (2, Action::Start),
            (2, Action::Stop),
            (2, Action::Destroy),
            (2, Action::Exit(0)),
        ]);
        match drawn {
            Action::Exit(_) => Action::Exit(self.code()),
            action => action,
        }
    }

    fn fresh(&mut self) -> u64 {
        self.fresh += 1;
        self.fresh
    }
}

impl Iterator for Plan {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        Some(match self.random.weighted(&WEIGHTS) {
            Draw::Do => Step::Do(self.object(), self.action()),
            Draw::Burst => Step::Burst,
            Draw::Fresh => Step::Fresh(self.fresh()),
            Draw::Reload => Step::Reload,
            Draw::Pause => Step::Pause(self.random.below(3000)),
            Draw::Fault => Step::Fault(self.kill()),
            Draw::Faults => Step::Faults(self.kill(), self.kill()),
            Draw::During => {
                // Half of them at a first start, which has the most to lose.
                let fresh = self.random.below(2) == 0;
                let object = match fresh {
                    true => Object { kind: Kind::Steady, number: 1000 + self.fresh() },
                    false => self.object(),
                };
                let action = if fresh { Action::Hit } else { self.action() };
                Step::During(object, action, self.kill(), self.random.below(60))
            }
            Draw::DuringReload => Step::DuringReload(self.kill(), self.random.below(600)),
            Draw::Away => {
                let number = self.random.below(3);
                let object = Object { kind: Kind::Steady, number };
                Step::Away { object, code: self.code(), millis: 200 + self.random.below(1800) }
            }
            Draw::DuringStop => Step::DuringStop(self.random.below(1500)),
            Draw::DuringStart => Step::DuringStart(self.random.below(1500)),
            Draw::Restart => Step::Restart,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::mem::discriminant;

    use super::*;

    fn first(seed: u64, count: usize) -> Vec<Step> {
        Plan::new(seed).take(count).collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_steps_and_another_gives_others() {
        assert_eq!(first(1, 500), first(1, 500));
        assert_ne!(first(1, 500), first(2, 500));
    }

    #[test]
    fn every_kind_of_step_and_every_victim_comes() {
        for seed in 1..4 {
            let steps = first(seed, 600);
            for kind in [
                Step::Burst,
                Step::Reload,
                Step::Restart,
                Step::Fresh(0),
                Step::DuringStop(0),
                Step::DuringStart(0),
                Step::Away { object: OBJECTS[0], code: 0, millis: 0 },
            ] {
                let same = |step: &Step| discriminant(step) == discriminant(&kind);
                assert!(steps.iter().any(same), "seed {seed} has no {kind:?}");
            }
            let victims: BTreeSet<Victim> = steps
                .iter()
                .filter_map(|step| match step {
                    Step::Fault(kill) | Step::During(_, _, kill, _) => Some(kill.victim),
                    _ => None,
                })
                .collect();
            assert_eq!(victims.len(), VICTIMS.len(), "seed {seed}");
        }
    }

    #[test]
    fn no_object_is_fresh_twice() {
        let mut seen = BTreeSet::new();
        for step in first(3, 2000) {
            let fresh = match step {
                Step::Fresh(number) => number,
                Step::During(Object { number: number @ 1000.., .. }, ..) => number - 1000,
                _ => continue,
            };
            assert!(seen.insert(fresh), "{fresh} came twice");
        }
    }
}

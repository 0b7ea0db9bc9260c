//! The proof that no object ever has two instances: a thread that looks at all processes of the run's
//! process namespace every few milliseconds. An instance is a process whose environment names its
//! object; two of one object that are both alive before and after the look break the promise.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use e2e::{Process, processes};

/// Between two looks.
const PERIOD: Duration = Duration::from_millis(5);

/// A program of an instance.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Member {
    /// The Durable Object's id.
    pub(super) object: String,
    /// The instance's id.
    pub(super) instance: String,
    pub(super) process: Process,
}

/// Looks until it is dropped.
#[derive(Debug)]
pub(super) struct Watch {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    found: Mutex<Found>,
}

#[derive(Debug, Default)]
struct Found {
    /// Alive at the last look.
    alive: Vec<Member>,
    violations: BTreeSet<String>,
    looks: u64,
    instances: BTreeSet<String>,
}

impl Watch {
    pub(super) fn start() -> Self {
        let shared = Arc::new(Shared::default());
        let ours = Arc::clone(&shared);
        let thread = thread::spawn(move || {
            let mut known = BTreeMap::new();
            while !ours.stop.load(Ordering::Relaxed) {
                ours.look(&mut known);
                thread::sleep(PERIOD);
            }
        });
        Self { shared, thread: Some(thread) }
    }

    /// The programs of instances that run now.
    pub(super) fn alive(&self) -> Vec<Member> {
        let alive = self.shared.found().alive.clone();
        alive.into_iter().filter(|member| member.process.is_alive()).collect()
    }

    /// Moments at which an object had two instances.
    pub(super) fn violations(&self) -> Vec<String> {
        self.shared.found().violations.iter().cloned().collect()
    }

    /// How often it looked, and how many instances it saw.
    pub(super) fn counts(&self) -> (u64, usize) {
        let found = self.shared.found();
        (found.looks, found.instances.len())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn found(&self) -> MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn look(&self, known: &mut BTreeMap<Process, Option<Member>>) {
        let now = processes();
        known.retain(|process, _| now.contains(process));
        for process in now {
            // A name changes with the program, and a program that is just being executed has no
            // environment yet: what is a fork of init now is read again later.
            if !known.contains_key(&process) {
                let environment = process.environment();
                if !environment.is_empty() {
                    known.insert(process.clone(), member(process, &environment));
                }
            }
        }
        let alive: Vec<Member> = known.values().flatten().cloned().collect();
        let violations = at_once(&alive);
        let mut found = self.found();
        found.looks += 1;
        found.instances.extend(alive.iter().map(|member| member.instance.clone()));
        found.alive = alive;
        found.violations.extend(violations);
    }
}

/// The instance that a process is the program of.
fn member(process: Process, environment: &[String]) -> Option<Member> {
    let value = |name: &str| {
        environment.iter().find_map(|variable| variable.strip_prefix(name)?.strip_prefix('='))
    };
    let object = value("CLOUDFLARE_DURABLE_OBJECT_ID")?.to_owned();
    let instance = value("CLOUDFLARE_DEPLOYMENT_ID")?.to_owned();
    Some(Member { object, instance, process })
}

/// Objects with two instances that are alive at the same time: each was seen, and each lives still
/// now that all were.
fn at_once(seen: &[Member]) -> Vec<String> {
    let mut objects: BTreeMap<&str, Vec<&Member>> = BTreeMap::new();
    for member in seen {
        objects.entry(&member.object).or_default().push(member);
    }
    let several = |members: &[&Member]| {
        members.iter().map(|member| &member.instance).collect::<BTreeSet<_>>().len() > 1
    };
    objects
        .into_iter()
        .filter(|(_, members)| several(members))
        .filter_map(|(object, members)| {
            let living: Vec<&Member> =
                members.into_iter().filter(|member| member.process.is_alive()).collect();
            several(&living).then(|| {
                let who = |member: &&Member| {
                    format!("{} (process {})", member.instance, member.process.pid)
                };
                let who: Vec<String> = living.iter().map(who).collect();
                format!("object {object} has more than one instance: {}", who.join(", "))
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_living_instances_of_one_object_are_found_and_dead_ones_are_not() {
        let this = Process::with_pid(std::process::id()).unwrap();
        let member = |object: &str, instance: &str, process: &Process| Member {
            object: object.to_owned(),
            instance: instance.to_owned(),
            process: process.clone(),
        };
        let (a, b) = (member("o", "a", &this), member("o", "b", &this));
        assert_eq!(at_once(&[a.clone(), b.clone()]).len(), 1);
        assert!(at_once(&[a.clone(), a.clone()]).is_empty());
        assert!(at_once(&[a.clone(), member("p", "b", &this)]).is_empty());
        let mut ended = this.clone();
        ended.pid = u32::MAX;
        assert!(at_once(&[a, member("o", "b", &ended)]).is_empty());
    }
}

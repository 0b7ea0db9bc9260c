//! The clients: they ask objects, keep the ledger and look whether instances are alive.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use e2e::eventually;
use serde_json::Value;

use super::ledger::{Answer, Ledger};
use super::plan::{Action, Kind, OBJECTS, Object};
use super::stage::ADDRESS;
use super::watch::Watch;
use crate::http;

/// An object answers again within this time, whatever was killed.
const RECOVERY: Duration = Duration::from_secs(60);
/// Longest wait for a part of an answer.
const ANSWER: Duration = Duration::from_secs(60);
/// An exit is known to its object within this time.
pub(super) const EXIT_KNOWN: Duration = Duration::from_secs(30);
/// `berth.stop_grace` of the project, and what a busy machine may add to it.
const STOP_DEADLINE: Duration = Duration::from_secs(2 + 10);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(50);
/// What the class says of an end that its alarm was first to see.
const BY_THE_ALARM: i64 = 0;
/// Milliseconds until a program ends that was asked to, so that its answer gets out.
const BEFORE_EXIT: u64 = 300;

/// The same where Berth is to be dead by then, on a busy machine too: what it has read from a program
/// when it is killed, and not yet printed, is lost.
const BEFORE_EXIT_ALONE: u64 = 1500;
/// SIGKILL and SIGTERM, as exit codes.
const KILLED: i64 = 128 + 9;
const TERMINATED: i64 = 128 + 15;

/// All clients together.
#[derive(Debug)]
pub(super) struct Clients {
    ledger: Mutex<Ledger>,
    /// Which object has which id.
    ids: Mutex<Vec<(String, Object)>>,
    pub(super) watch: Watch,
}

impl Clients {
    pub(super) fn new() -> Self {
        Self { ledger: Mutex::default(), ids: Mutex::default(), watch: Watch::start() }
    }

    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One request, once.
    fn ask(&self, object: Object, action: &str) -> Result<Value> {
        // What is not idempotent is sent once: the edge sends no request again that may have counted.
        let reply = http::post_within(ANSWER, ADDRESS, &format!("/{object}/{action}"))
            .with_context(|| format!("{object} does not answer to {action}"))?;
        let text = String::from_utf8_lossy(&reply.body);
        let shown: String = text.chars().take(300).collect();
        ensure!(reply.status == 200, "{object} answers {action} with {}: {shown}", reply.status);
        serde_json::from_str(&text)
            .with_context(|| format!("{object} answers {action} with {shown}"))
    }

    /// The same until it is answered.
    fn ask_until_answered(&self, object: Object, action: &str) -> Result<Value> {
        self.try_until_answered(|| self.ask(object, action))
    }

    fn try_until_answered<T>(&self, mut ask: impl FnMut() -> Result<T>) -> Result<T> {
        let deadline = Instant::now() + RECOVERY;
        loop {
            match ask() {
                Err(error) if Instant::now() > deadline => {
                    return Err(error.context(format!("not answered within {RECOVERY:?}")));
                }
                Err(error) if error.is::<Broken>() => return Err(error),
                Err(_) => thread::sleep(PAUSE),
                answered => return answered,
            }
        }
    }

    /// Counts one more. Unless something was ended or killed, or is `excused` beforehand, the first
    /// try must succeed.
    pub(super) fn hit(&self, object: Object, excused: bool) -> Result<()> {
        if !excused && self.ledger().is_settled(object) {
            return self.hit_once(object).context("nothing was done to it");
        }
        self.try_until_answered(|| self.hit_once(object))
    }

    fn hit_once(&self, object: Object) -> Result<()> {
        let ticket = self.ledger().begin(object);
        let answer = self.ask(object, "hit")?;
        let text = |name: &str| answer[name].as_str().unwrap_or_default().to_owned();
        let (id, instance) = (text("object"), text("instance"));
        let count = answer["count"].as_u64().context("an answer without a count")?;
        self.ids.lock().unwrap_or_else(PoisonError::into_inner).push((id, object));
        let answer = Answer { count, instance };
        self.ledger().answered(ticket, &answer).map_err(|violation| Broken(violation).into())
    }

    /// Counts at every object at once, several times.
    pub(super) fn hit_all(&self, times: usize) -> Result<()> {
        thread::scope(|scope| {
            let hits = OBJECTS.iter().flat_map(|object| vec![*object; times]);
            let threads: Vec<_> =
                hits.map(|object| scope.spawn(move || self.hit(object, false))).collect();
            let results = threads.into_iter().map(|thread| thread.join().expect("no panic"));
            results.collect::<Result<Vec<()>>>().map(drop)
        })
    }

    /// Does something while nothing is killed: it must work, and have the effect it has.
    pub(super) fn act(&self, object: Object, action: Action) -> Result<()> {
        match action {
            Action::Hit => self.hit(object, false),
            Action::Start => self.ask_until_answered(object, "start").map(drop),
            // Its own end and ours would be mixed up.
            _ if object.kind == Kind::Drowsy => self.hit(object, false),
            Action::Stop => {
                let code = if object.kind == Kind::Stubborn { KILLED } else { TERMINATED };
                self.end(object, "stop", Some(code))
            }
            Action::Destroy => self.end(object, "destroy", None),
            Action::Exit(code) => {
                let action = format!("exit?code={code}&after={BEFORE_EXIT}");
                self.end(object, &action, Some(code.into()))
            }
        }
    }

    /// Ends an instance that runs; it must be gone in time, and its object be told the code.
    fn end(&self, object: Object, action: &str, code: Option<i64>) -> Result<()> {
        self.hit(object, false)?;
        let (_, before) = self.books(object)?;
        let instance = self.ledger().instance(object).unwrap_or_default().to_owned();
        self.ledger().disturb(object);
        if object.kind == Kind::Raw {
            // It may have left before the request came, and come back for it.
            return self.ask_until_answered(object, action).map(drop);
        }
        self.ask(object, action)?;
        let alive = || self.watch.alive().iter().any(|member| member.instance == instance);
        let gone = eventually(STOP_DEADLINE, || (!alive()).then_some(()));
        ensure!(gone.is_some(), "{object}: {instance} runs {STOP_DEADLINE:?} after `{action}`");
        match code {
            Some(code) => self.until_ended(object, &before, code),
            None => Ok(()),
        }
    }

    /// The same while something is killed: it may fail.
    pub(super) fn try_to(&self, object: Object, action: Action, excused: bool) -> Result<()> {
        let path = match action {
            Action::Hit => return self.hit(object, excused),
            Action::Start => "start".to_owned(),
            Action::Stop => "stop".to_owned(),
            Action::Destroy => "destroy".to_owned(),
            Action::Exit(code) => format!("exit?code={code}&after=0"),
        };
        let _ = self.ask(object, &path);
        if action != Action::Start {
            self.ledger().disturb_by_request(object);
        }
        Ok(())
    }

    /// Lets the program print and end in a moment; returns what it takes to see that in the end.
    pub(super) fn leave(&self, object: Object, code: i32) -> Result<Vec<i64>> {
        self.hit(object, false)?;
        let (_, before) = self.books(object)?;
        self.ledger().disturb(object);
        self.ask(object, &format!("exit?code={code}&after={BEFORE_EXIT_ALONE}"))?;
        Ok(before)
    }

    /// What an object has in storage: its count, and how its instances ended.
    pub(super) fn books(&self, object: Object) -> Result<(u64, Vec<i64>)> {
        let books = self.ask_until_answered(object, "count")?;
        let count = books["count"].as_u64().context("no count")?;
        let ends = books["ends"].as_array().context("no ends")?;
        Ok((count, ends.iter().filter_map(Value::as_i64).collect()))
    }

    /// Waits until the object knows of one more end, with that code. Or with 0: where a new workerd calls
    /// the class's alarm just as the end is told, the alarm may find that nothing runs before the class has
    /// taken the code down, and then it makes 0 of it (`syncPendingStoppedEvents`).
    pub(super) fn until_ended(&self, object: Object, before: &[i64], code: i64) -> Result<()> {
        let deadline = Instant::now() + EXIT_KNOWN;
        loop {
            let (_, ends) = self.books(object)?;
            if ends.len() > before.len() {
                let new = &ends[before.len()..];
                ensure!(
                    new.contains(&code) || *new == [BY_THE_ALARM],
                    "{object} was told of the ends {ends:?} instead of {code} after {before:?}"
                );
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("{object} was not told that its instance ended with {code} ({ends:?})");
            }
            thread::sleep(PAUSE);
        }
    }

    /// The object whose program or init this is expects a new instance.
    pub(super) fn disturb_owner(&self, pid: u32) {
        let members = self.watch.alive().into_iter();
        for member in members.filter(|it| it.process.pid == pid || it.process.parent == pid) {
            let ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
            let owner = ids.iter().find(|(id, _)| *id == member.object).map(|(_, object)| *object);
            drop(ids);
            if let Some(object) = owner {
                self.ledger().disturb(object);
            }
        }
    }

    /// Counts, one request after the other and without a single failure, until the Worker is of that
    /// version.
    pub(super) fn hit_until_version(&self, object: Object, version: u64) -> Result<()> {
        let deadline = Instant::now() + RECOVERY;
        self.hit(object, false)?;
        while self.version()? != version {
            ensure!(Instant::now() < deadline, "the Worker is not reloaded within {RECOVERY:?}");
            self.hit(object, false)?;
        }
        self.hit(object, false)
    }

    /// Waits until the Worker is of that version.
    pub(super) fn until_version(&self, version: u64) -> Result<()> {
        let reached =
            eventually(RECOVERY, || self.version().ok().filter(|now| *now == version).map(drop));
        reached.ok_or_else(|| anyhow!("the Worker is not reloaded within {RECOVERY:?}"))
    }

    fn version(&self) -> Result<u64> {
        let reply = http::get_within(ANSWER, ADDRESS, "/").context("the Worker does not answer")?;
        ensure!(reply.status == 200, "the Worker answers {}", reply.status);
        let reply: Value = serde_json::from_slice(&reply.body).context("the Worker's answer")?;
        reply["version"].as_u64().context("the Worker's answer has no version")
    }
}

/// A broken promise: no further try mends it.
#[derive(Debug)]
struct Broken(String);

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Broken {}

//! Taking the steps: who is killed when, and what is started again.

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use e2e::{Process, eventually};

use super::clients::{Clients, EXIT_KNOWN};
use super::leftovers::{Before, secrets};
use super::plan::{Action, Kill, Kind, OBJECTS, Object, Step, Victim};
use super::stage::{Berth, Stage};

/// A process that was killed is gone within this time.
const DEATH: Duration = Duration::from_secs(30);

/// A run under way.
#[derive(Debug)]
pub(super) struct Run {
    clients: Clients,
    host: Host,
    version: u64,
    before: Before,
}

/// What is killed and started again.
#[derive(Debug)]
struct Host {
    stage: Stage,
    berth: Option<Berth>,
    starts: usize,
    kills: Vec<Victim>,
}

impl Run {
    /// Starts `berth dev` and asks every object once.
    pub(super) fn begin(stage: Stage) -> Result<Self> {
        let before = Before::note();
        let host = Host { stage, berth: None, starts: 0, kills: Vec::new() };
        let mut run = Self { clients: Clients::new(), host, version: 0, before };
        run.host.start()?;
        run.before.note_session(&run.host.stage);
        run.clients.hit_all(1)?;
        Ok(run)
    }

    pub(super) fn stage(&self) -> &Stage {
        &self.host.stage
    }

    /// What the current `berth dev` printed last.
    pub(super) fn said(&self) -> String {
        self.host.berth.as_ref().map_or_else(String::new, Berth::said)
    }

    /// What there was to see, in words.
    pub(super) fn seen(&self) -> String {
        let (looks, instances) = self.clients.watch.counts();
        let hits = self.clients.ledger().hits();
        let killed = |victim| self.host.kills.iter().filter(|killed| **killed == victim).count();
        format!(
            "{hits} counted requests, {instances} instances, {looks} looks at them; killed: {} berth, \
             {} workerd, {} launcher, {} parked init, {} running init, {} program",
            killed(Victim::Berth),
            killed(Victim::Workerd),
            killed(Victim::Launcher),
            killed(Victim::ParkedInit),
            killed(Victim::RunningInit),
            killed(Victim::Program),
        )
    }

    /// Takes one step. An error is a broken promise.
    pub(super) fn take(&mut self, step: Step) -> Result<()> {
        let Self { clients, host, .. } = self;
        match step {
            Step::Do(object, action) => clients.act(object, action)?,
            Step::Burst => clients.hit_all(3)?,
            Step::Fresh(number) => {
                let object = Object { kind: Kind::Steady, number: 1000 + number };
                clients.act(object, Action::Hit)?;
                clients.act(object, Action::Destroy)?;
            }
            Step::Reload => self.reload()?,
            Step::Pause(millis) => thread::sleep(Duration::from_millis(millis)),
            Step::Fault(kill) => host.kill(clients, &[kill])?,
            Step::Faults(one, other) => host.kill(clients, &[one, other])?,
            Step::During(object, action, kill, millis) => {
                let after = Duration::from_millis(millis);
                self.during(object, action, kill, after)?;
            }
            Step::DuringReload(kill, millis) => {
                self.version += 1;
                host.stage.change_code(self.version)?;
                thread::sleep(Duration::from_millis(millis));
                host.kill(clients, &[kill])?;
                clients.until_version(self.version)?;
                // The old workerd is ended while the new one comes: a kill in between is forgiven.
                clients.ledger().unsettle_all();
            }
            Step::Away { object, code, millis } => {
                self.away(object, code, Duration::from_millis(millis))?;
            }
            Step::DuringStop(millis) => {
                clients.ledger().disturb_all();
                host.berth()?.interrupt();
                thread::sleep(Duration::from_millis(millis));
                host.crash(clients)?;
                host.start()?;
            }
            Step::DuringStart(millis) => {
                host.crash(clients)?;
                host.spawn()?;
                thread::sleep(Duration::from_millis(millis));
                host.crash(clients)?;
                host.start()?;
            }
            Step::Restart => {
                self.stop()?;
                self.host.start()?;
            }
        }
        self.never_two()
    }

    /// Every object answers, its count is what it must be, and after a stop nothing is left.
    pub(super) fn end(&mut self) -> Result<()> {
        self.clients.hit_all(1)?;
        let objects = self.clients.ledger().objects();
        for object in objects {
            let (count, _) = self.clients.books(object)?;
            let booked = self.clients.ledger().finally(object, count);
            booked.map_err(|violation| anyhow!(violation))?;
        }
        self.stop()?;
        self.never_two()
    }

    fn never_two(&self) -> Result<()> {
        let violations = self.clients.watch.violations();
        ensure!(violations.is_empty(), "{}", violations.join("\n"));
        Ok(())
    }

    /// Stops Berth well: nothing may be left.
    fn stop(&mut self) -> Result<()> {
        let seen = secrets(&self.host.stage);
        ensure!(seen.is_empty(), "{}", seen.join("\n"));
        self.clients.ledger().disturb_all();
        self.host.berth.take().context("no `berth dev` runs")?.stop()?;
        let left = self.before.left(&self.host.stage);
        ensure!(left.is_empty(), "`berth dev` ended and left:\n{}", left.join("\n"));
        Ok(())
    }

    /// New code while requests come: none of them fails.
    fn reload(&mut self) -> Result<()> {
        self.version += 1;
        let Self { clients, host, version, .. } = self;
        let (clients, version) = (&*clients, *version);
        thread::scope(|scope| {
            let steady = OBJECTS.iter().filter(|object| object.kind == Kind::Steady);
            let threads: Vec<_> = steady
                .map(|object| scope.spawn(move || clients.hit_until_version(*object, version)))
                .collect();
            host.stage.change_code(version)?;
            let results = threads.into_iter().map(|thread| thread.join().expect("no panic"));
            results.collect::<Result<Vec<()>>>().map(drop)
        })
    }

    /// A program prints and ends while no Berth runs, or just as it is back.
    fn away(&mut self, object: Object, code: i32, time: Duration) -> Result<()> {
        let Self { clients, host, .. } = self;
        let before = clients.leave(object, code)?;
        host.crash(clients)?;
        thread::sleep(time);
        host.start()?;
        clients.until_ended(object, &before, code.into())?;
        let berth = host.berth()?;
        let said = format!("ends with {code}");
        let shown = eventually(EXIT_KNOWN, || berth.has_said(&said).then_some(()));
        ensure!(shown.is_some(), "{object}: what it printed while Berth was away is lost");
        Ok(())
    }

    /// A kill while a request is under way.
    fn during(&mut self, object: Object, action: Action, kill: Kill, at: Duration) -> Result<()> {
        let Self { clients, host, .. } = self;
        let clients = &*clients;
        let excused = !matches!(kill.victim, Victim::Launcher | Victim::ParkedInit);
        if !matches!(action, Action::Hit | Action::Start) {
            clients.ledger().disturb_by_request(object);
        }
        thread::scope(|scope| {
            let request = scope.spawn(move || clients.try_to(object, action, excused));
            thread::sleep(at);
            let killed = host.kill(clients, &[kill]);
            let done = request.join().expect("no panic");
            killed.and(done)
        })
    }
}

impl Host {
    fn berth(&self) -> Result<&Berth> {
        self.berth.as_ref().context("no `berth dev` runs")
    }

    fn spawn(&mut self) -> Result<()> {
        self.berth = Some(self.stage.start(self.starts)?);
        self.starts += 1;
        Ok(())
    }

    fn start(&mut self) -> Result<()> {
        self.spawn()?;
        self.berth.as_mut().context("it was spawned")?.ready()
    }

    /// `kill -9` of Berth; instances go on.
    fn crash(&mut self, clients: &Clients) -> Result<()> {
        self.kills.push(Victim::Berth);
        clients.ledger().unsettle_all();
        self.berth.take().context("no `berth dev` runs")?.kill()
    }

    /// `kill -9` of one after the other, and a new Berth if it was among them.
    fn kill(&mut self, clients: &Clients, kills: &[Kill]) -> Result<()> {
        for kill in kills {
            let Some(berth) = &self.berth else { continue };
            let Some(process) = berth.victim(*kill) else { continue };
            if kill.victim == Victim::Berth {
                self.crash(clients)?;
            } else {
                self.kill_process(clients, kill.victim, &process)?;
            }
        }
        if self.berth.is_none() {
            self.start()?;
        }
        Ok(())
    }

    fn kill_process(&mut self, clients: &Clients, who: Victim, process: &Process) -> Result<()> {
        match who {
            Victim::RunningInit | Victim::Program => clients.disturb_owner(process.pid),
            Victim::Workerd => clients.ledger().unsettle_all(),
            Victim::Berth | Victim::Launcher | Victim::ParkedInit => {}
        }
        self.kills.push(who);
        process.kill();
        let gone = eventually(DEATH, || (!process.is_alive()).then_some(()));
        ensure!(gone.is_some(), "{} does not die", process.name);
        Ok(())
    }
}

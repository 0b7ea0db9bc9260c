//! `bench cold-start`: new instances, and the memory that they hold.

use anyhow::{Context, Result};

use super::bare::Bare;
use super::docker::Docker;
use super::load;
use super::memory::{self, Memory};
use super::options::Options;
use super::report::{Figure, Report, Row, Table};
use super::sample::Sample;
use super::session::{Engine, LITE, Session};
use super::{Inside, sandbox};

const PERCENTILES: [(&str, usize); 2] = [("p50", 50), ("p95", 95)];
const RATIO: &str = "p50 : Berth";
const BURST_RATIO: &str = "to the last : Berth";

pub(super) const BERTH: &str = "Berth";
const BARE: &str = "engine that starts nothing";
pub(super) const DOCKER: &str = "Docker Engine";

/// The tables that every engine adds a row to.
struct Tables {
    sandbox: Table,
    new_id: Table,
    burst: Table,
    memory: Vec<Table>,
}

/// Measures everything about new instances, one engine after the other.
pub(crate) fn measure(inside: &Inside, options: &Options, report: &mut Report) -> Result<()> {
    let mut tables = Tables {
        sandbox: Table::new("sandbox", "(a) The sandbox alone: decision → program answers"),
        new_id: Table::new("new_id", "(b) A new ID through the whole path, one after the other"),
        burst: burst_table(options),
        memory: Vec::new(),
    };
    let (server, sidecar) = (inside.workshop.server(), inside.workshop.sidecar());

    inside.say("Berth");
    tables.sandbox.push(sandbox::of_berth(inside, BERTH, options.new_ids())?);
    let berth = Engine::Berth(LITE);
    let sizes = ("memory_berth", "Memory: `berth dev`");
    tables.measure(inside, options, &berth, BERTH, Some(sizes))?;
    {
        inside.say(BARE);
        let bare = Bare::start(&inside.dir, &server, &sidecar)?;
        tables.measure(inside, options, &bare.engine(), BARE, None)?;
    }
    if options.has_peer() {
        inside.say(DOCKER);
        let docker = Docker::start(&inside.dir, &server, &sidecar)?;
        let sample = sandbox::of_docker(&docker, options.new_ids())?;
        tables.sandbox.push(sample_row(DOCKER, &sample));
        let sizes = ("memory_docker", "Memory: the same with Docker Engine");
        tables.measure(inside, options, &docker.engine(), DOCKER, Some(sizes))?;
        report.notes.push(peer_note(&docker));
    }
    tables.finish(report);
    Ok(())
}

/// Measures the burst alone.
pub(crate) fn measure_burst(inside: &Inside, options: &Options, report: &mut Report) -> Result<()> {
    let mut table = burst_table(options);
    let (server, sidecar) = (inside.workshop.server(), inside.workshop.sidecar());
    inside.say(BERTH);
    table.push(burst(inside, options, &Engine::Berth(LITE), BERTH)?);
    {
        inside.say(BARE);
        let bare = Bare::start(&inside.dir, &server, &sidecar)?;
        table.push(burst(inside, options, &bare.engine(), BARE)?);
    }
    if options.has_peer() {
        inside.say(DOCKER);
        let docker = Docker::start(&inside.dir, &server, &sidecar)?;
        table.push(burst(inside, options, &docker.engine(), DOCKER)?);
        report.notes.push(peer_note(&docker));
    }
    table.add_ratios(BURST_RATIO, "to the last");
    report.tables.push(table);
    Ok(())
}

fn burst_table(options: &Options) -> Table {
    Table::new("burst", format!("(c) {} new IDs at once", options.burst))
}

/// A fresh session, and new IDs at once.
fn burst(inside: &Inside, options: &Options, engine: &Engine, label: &str) -> Result<Row> {
    let session = inside.session(engine)?;
    new_ids(&session, "first", 1);
    let targets: Vec<String> =
        (0..options.burst).map(|number| format!("/container/burst-{number}")).collect();
    let burst = load::at_once(session.address(), &targets);
    inside.tell(label, &burst.sample, &session);
    session.stop().context("stop the session of the burst")?;
    Ok(sample_row(label, &burst.sample).with("to the last", Figure::Time(burst.last)))
}

/// What a reader must know about a run with Docker Engine.
pub(crate) fn peer_note(docker: &Docker) -> String {
    format!(
        "Peer: Docker Engine {} behind the same workerd and package. workerd's sidecar image is \
         replaced by a minimal stand-in (`benches/sidecar`) that enforces no egress rules and, like \
         the original, answers 400 at once while nothing listens. workerd gives Docker no limits.",
        docker.version
    )
}

impl Tables {
    /// A session for IDs in turn and a fresh one for the burst.
    fn measure(
        &mut self,
        inside: &Inside,
        options: &Options,
        engine: &Engine,
        label: &'static str,
        sizes: Option<(&'static str, &str)>,
    ) -> Result<()> {
        let session = inside.session(engine)?;
        let idle = Memory::of_all();
        new_ids(&session, "first", 1);
        let sample = new_ids(&session, "turn", options.new_ids());
        inside.tell(label, &sample, &session);
        self.new_id.push(sample_row(label, &sample));
        if let Some(sizes) = sizes {
            let busy = Memory::of_all();
            self.memory.push(memory::table(sizes, &idle, &busy, options.new_ids() + 1));
        }
        session.stop().context("stop the session of IDs in turn")?;

        self.burst.push(burst(inside, options, engine, label)?);
        Ok(())
    }

    fn finish(mut self, report: &mut Report) {
        self.sandbox.note(
            "Docker's port is published on the host's loopback, as `wrangler dev` does. It gets the \
             limits of `lite` with 1 vCPU.",
        );
        let gap = load::GAP.as_millis();
        self.new_id.note(format!(
            "`GET /container/<new ID>` until its 200, {gap} ms apart, after one ID that isn't \
             counted. All instances stay up. The engine that starts nothing is the floor: its \
             containers are one server that runs already, so what it takes, workerd and the \
             unmodified class take."
        ));
        self.sandbox.add_ratios(RATIO, "p50");
        self.new_id.add_ratios(RATIO, "p50");
        self.burst.add_ratios(BURST_RATIO, "to the last");
        report.tables.extend([self.sandbox, self.new_id, self.burst]);
        report.tables.extend(self.memory);
    }
}

pub(super) fn new_ids(session: &Session, name: &str, count: usize) -> Sample {
    let targets = (0..count).map(|number| format!("/container/{name}-{number}"));
    load::in_turn(session.address(), targets)
}

pub(super) fn sample_row(label: &str, sample: &Sample) -> Row {
    Row::new(label).with_sample(sample, &PERCENTILES)
}

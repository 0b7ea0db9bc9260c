//! `bench warm`: requests to an instance that runs, beside the floors under them.

use anyhow::Result;

use super::Inside;
use super::bare::{self, Bare};
use super::cold_start::peer_note;
use super::docker::Docker;
use super::load::{self, Sustained};
use super::options::Options;
use super::report::{Figure, Report, Row, Table};
use super::sample::Sample;
use super::session::{Engine, ONE_PROCESSOR, Session};

const PERCENTILES: [(&str, usize); 3] = [("p50", 50), ("p95", 95), ("p99", 99)];
/// Paths are measured in rounds, so that a busy moment of the machine hits all of them.
const ROUNDS: usize = 5;

/// A way to the server, and where it starts.
struct Way {
    label: &'static str,
    target: &'static str,
    sustained: Option<Sustained>,
}

/// Measures with one connection and with 16.
pub(crate) fn measure(inside: &Inside, options: &Options, report: &mut Report) -> Result<()> {
    let docker = options
        .has_peer()
        .then(|| Docker::start(&inside.dir, &inside.workshop.server(), &inside.workshop.sidecar()));
    let docker = docker.transpose()?;
    for (key, connections) in [("warm_1", 1), ("warm_16", 16)] {
        inside.say(&format!("{connections} connections"));
        report.tables.push(with_connections(inside, options, docker.as_ref(), key, connections)?);
    }
    report.notes.extend(docker.as_ref().map(peer_note));
    Ok(())
}

fn with_connections(
    inside: &Inside,
    options: &Options,
    docker: Option<&Docker>,
    key: &'static str,
    connections: usize,
) -> Result<Table> {
    let count = options.warm_requests();
    let title = format!("(d) Warm requests, {connections} kept connections");
    let mut table = Table::new(key, title);
    let mut ways = in_berth(inside, connections, count)?;
    let bare = Bare::start(&inside.dir, &inside.workshop.server(), &inside.workshop.sidecar())?;
    let label = "the same, engine that starts nothing: a bare local port";
    ways.push(elsewhere(inside, &bare.engine(), label, connections, count)?);
    drop(bare);
    if let Some(docker) = docker {
        let label = "the same, Docker Engine";
        ways.push(elsewhere(inside, &docker.engine(), label, connections, count)?);
    }
    for way in ways {
        table.push(way.row());
    }
    table.add_ratios("p50 : Berth", "p50");
    table.add_ratios("rate : Berth", "rate");
    Ok(table)
}

/// Berth's own way and what is left of it without containers, without the object, without workerd.
fn in_berth(inside: &Inside, connections: usize, count: usize) -> Result<Vec<Way>> {
    let mut ways = vec![
        Way::new("Worker → object → instance", "/container/warm"),
        Way::new("Worker → object → fetch of a local port", "/floor/object"),
        Way::new("Worker → fetch of a local port", "/floor/worker"),
        Way::new("Worker", "/"),
    ];
    let server = bare::start_server(&inside.dir, &inside.workshop.server())?;
    // The other engines limit nothing: what waits for its share of a processor is no overhead.
    let session = inside.session(&Engine::Berth(ONE_PROCESSOR))?;
    measure_ways(inside, &session, &mut ways, connections, count)?;
    session.stop()?;
    drop(server);
    Ok(ways)
}

/// Worker → object → instance, where another engine started it.
fn elsewhere(
    inside: &Inside,
    engine: &Engine,
    label: &'static str,
    connections: usize,
    count: usize,
) -> Result<Way> {
    let mut way = Way::new(label, "/container/warm");
    let session = inside.session(engine)?;
    measure_ways(inside, &session, std::slice::from_mut(&mut way), connections, count)?;
    session.stop()?;
    Ok(way)
}

fn measure_ways(
    inside: &Inside,
    session: &Session,
    ways: &mut [Way],
    connections: usize,
    count: usize,
) -> Result<()> {
    for way in &*ways {
        load::sustained(session.address(), way.target, connections, count / 10)?;
    }
    for _ in 0..ROUNDS {
        for way in &mut *ways {
            let share = count.div_ceil(ROUNDS);
            let round = load::sustained(session.address(), way.target, connections, share)?;
            way.add(round);
        }
    }
    ways.iter().for_each(|way| inside.tell(way.label, way.sample(), session));
    Ok(())
}

impl Way {
    fn new(label: &'static str, target: &'static str) -> Self {
        Self { label, target, sustained: None }
    }

    fn add(&mut self, round: Sustained) {
        match &mut self.sustained {
            Some(all) => {
                all.sample.merge(round.sample);
                all.elapsed += round.elapsed;
            }
            None => self.sustained = Some(round),
        }
    }

    fn sample(&self) -> &Sample {
        &self.sustained.as_ref().expect("every way was measured").sample
    }

    fn row(&self) -> Row {
        let elapsed = self.sustained.as_ref().map_or(f64::NAN, |all| all.elapsed.as_secs_f64());
        #[expect(clippy::cast_precision_loss, reason = "a count far below 2^52")]
        let rate = self.sample().count() as f64 / elapsed;
        Row::new(self.label)
            .with("rate", Figure::PerSecond(rate))
            .with_sample(self.sample(), &PERCENTILES)
    }
}

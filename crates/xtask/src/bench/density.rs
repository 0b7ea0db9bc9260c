//! `bench density`: many instances that run and do nothing, what they hold of the memory, and what a
//! new one takes beside them.

use anyhow::{Context, Result, ensure};

use super::Inside;
use super::cold_start::{BERTH, DOCKER, new_ids, peer_note, sample_row};
use super::docker::Docker;
use super::load;
use super::memory::{self, Memory};
use super::options::Options;
use super::report::{Report, Table};
use super::session::{Engine, LITE};

/// So many are started at once: more would only wait for each other.
const AT_ONCE: usize = 20;
/// New IDs in turn at each density.
const NEW_IDS: usize = 20;

/// Measures one engine after the other.
pub(crate) fn measure(inside: &Inside, options: &Options, report: &mut Report) -> Result<()> {
    let mut starts = Table::new("density", "(e) A new ID beside many that run");
    let mut sizes = Vec::new();
    inside.say(BERTH);
    let memory = fill(inside, options, &Engine::Berth(LITE), BERTH, &mut starts)?;
    sizes.push(memory.table(("density_berth", "Memory: `berth dev`")));
    if options.has_peer() {
        inside.say(DOCKER);
        let (server, sidecar) = (inside.workshop.server(), inside.workshop.sidecar());
        let docker = Docker::start(&inside.dir, &server, &sidecar)?;
        let memory = fill(inside, options, &docker.engine(), DOCKER, &mut starts)?;
        sizes.push(memory.table(("density_docker", "Memory: the same with Docker Engine")));
        report.notes.push(peer_note(&docker));
    }
    starts.add_ratios("p50 : first row", "p50");
    starts.note(format!(
        "{NEW_IDS} new IDs, one after the other, while that many instances run and do nothing."
    ));
    report.tables.push(starts);
    report.tables.extend(sizes);
    Ok(())
}

/// The memory before the first instance and with all.
struct Sizes {
    idle: Memory,
    full: Memory,
    instances: usize,
}

impl Sizes {
    fn table(&self, name: (&'static str, &str)) -> Table {
        memory::table(name, &self.idle, &self.full, self.instances)
    }
}

/// One session that gets fuller and fuller.
fn fill(
    inside: &Inside,
    options: &Options,
    engine: &Engine,
    label: &str,
    starts: &mut Table,
) -> Result<Sizes> {
    let session = inside.session(engine)?;
    let mut sizes = Sizes { idle: Memory::of_all(), full: Memory::of_all(), instances: 0 };
    let mut running = 0;
    for wanted in options.instances() {
        let targets: Vec<String> =
            (running..wanted).map(|number| format!("/container/fill-{number}")).collect();
        for some in targets.chunks(AT_ONCE) {
            let burst = load::at_once(session.address(), some);
            inside.tell(label, &burst.sample, &session);
            let failed = burst.sample.failures().len();
            ensure!(failed == 0, "{failed} of {} instances did not start", some.len());
        }
        running = running.max(wanted);
        inside.say(&format!("{running} instances run"));
        if running > 0 {
            sizes = Sizes { full: Memory::of_all(), instances: running, ..sizes };
        }
        let sample = new_ids(&session, &format!("beside-{running}"), NEW_IDS);
        inside.tell(label, &sample, &session);
        starts.push(sample_row(&format!("{label}, beside {running}"), &sample));
        running += NEW_IDS;
    }
    session.stop().context("stop the full session")?;
    Ok(sizes)
}

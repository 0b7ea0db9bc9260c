//! `cargo xtask bench`: the hot paths, beside a peer, in one run; ratios are what counts.
//!
//! The outer process prepares and makes an [`enclosure`]; the inner one, the same program in
//! namespaces of its own, measures and prints. No time is ever asserted: a slow machine is no bug.

mod bare;
mod cold_start;
mod density;
mod deploy;
mod docker;
mod edge;
mod images;
mod load;
mod machine;
mod memory;
mod options;
mod prepare;
mod report;
mod sample;
mod sandbox;
mod session;
mod warm;

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

pub(crate) use options::Options;

use options::Part;
use prepare::Workshop;
use report::Report;
use sample::Sample;
use session::{Engine, Session};

use crate::enclosure::Enclosure;
use crate::say;

/// Where every session listens; the network is the run's own.
const ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8787);

/// Runs the benchmark.
pub(crate) fn run(options: &Options) -> Result<()> {
    if options.part == Part::Edge {
        return edge::run(options);
    }
    let workshop = Workshop::find()?;
    if let Some(dir) = &options.inside {
        return measure(workshop, dir, options);
    }
    let peer = prepare::find_peer(options)?;
    let enclosure = Enclosure::make("berth-bench", Some(&workshop.home()))?;
    workshop.prepare(enclosure.dir())?;
    if options.part == Part::Images {
        images::prepare(&workshop, options)?;
    }
    if options.part == Part::Deploy {
        deploy::prepare();
    }
    let more: &[String] = if peer { &[] } else { &["--no-peer".to_owned()] };
    enclosure.run(more)
}

/// What a measurement needs once it is inside.
#[derive(Debug)]
struct Inside {
    workshop: Workshop,
    /// For whatever a run writes.
    dir: PathBuf,
}

impl Inside {
    fn session(&self, engine: &Engine) -> Result<Session> {
        Session::start(&self.workshop, engine, &self.dir, ADDRESS)
    }

    fn say(&self, what: &str) {
        say(&format!("bench: {what}"));
    }

    /// Says what failed, if anything did.
    fn tell(&self, what: &str, sample: &Sample, session: &Session) {
        if let Some(first) = sample.failures().first() {
            let (failed, count) = (sample.failures().len(), sample.count());
            self.say(&format!("{what}: {failed} of {count} failed, the first with {first:?}"));
            say(&session.said());
        }
    }
}

fn measure(workshop: Workshop, dir: &Path, options: &Options) -> Result<()> {
    let inside = Inside { workshop, dir: dir.to_owned() };
    let mut report = Report { machine: machine::describe()?, ..Report::default() };
    match options.part {
        Part::ColdStart => cold_start::measure(&inside, options, &mut report)?,
        Part::Warm => warm::measure(&inside, options, &mut report)?,
        Part::Burst => cold_start::measure_burst(&inside, options, &mut report)?,
        Part::Density => density::measure(&inside, options, &mut report)?,
        Part::Images => images::measure(&inside, options, &mut report)?,
        Part::Deploy => deploy::measure(&inside, options, &mut report)?,
        Part::Edge => unreachable!("it needs no enclosure"),
    }
    print(options, &report)
}

fn print(options: &Options, report: &Report) -> Result<()> {
    let text = if options.json { format!("{:#}\n", report.json()) } else { report.markdown() };
    io::stdout().write_all(text.as_bytes()).context("print the report")
}

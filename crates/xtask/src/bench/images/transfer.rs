//! Pushes and pulls of a large image by one client, skopeo.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use fs_err as fs;

use super::server::{Kind, Server};
use super::timed::{self, Runs};
use crate::bench::Inside;
use crate::bench::cold_start::sample_row;
use crate::bench::options::Options;
use crate::bench::report::{Figure, Report, Row, Table};
use crate::bench::sample::Sample;

const RATIO: &str = "p50 : Berth";

pub(super) fn measure(inside: &Inside, options: &Options, report: &mut Report) -> Result<()> {
    let image = super::large_image(&inside.workshop);
    let megabytes = size(&image)? / 1_000_000;
    let title = |what: &str| format!("{what} of an image of {megabytes} MB");
    let mut push = Table::new("push", title("(d) Push"));
    let mut pull = Table::new("pull", title("(e) Pull"));
    for kind in super::registries() {
        inside.say(&format!("pushes to and pulls from {}", kind.label()));
        let (mut pushes, mut pulls) = (Runs::default(), Runs::default());
        let (mut push_peak, mut pull_peak) = (0, 0);
        for _ in 0..options.transfers() {
            let data = inside.dir.join("registry");
            let server = Server::start(inside, kind, &data)?;
            let there = format!("docker://{}", server.image());
            let here = format!("dir:{}", image.display());
            pushes.push(copy(inside, &here, &there)?);
            push_peak = server.peak()?.max(push_peak);
            drop(server);
            // What is in no cache of its own any more has to be read.
            let server = Server::start(inside, kind, &data)?;
            let out = inside.dir.join("pulled");
            pulls.push(copy(inside, &there, &format!("dir:{}", out.display()))?);
            pull_peak = server.peak()?.max(pull_peak);
            drop(server);
            fs::remove_dir_all(&out).ok();
            fs::remove_dir_all(&data)?;
        }
        push.push(row(kind, pushes, push_peak, megabytes));
        pull.push(row(kind, pulls, pull_peak, megabytes));
    }
    for mut table in [push, pull] {
        table.add_ratios(RATIO, "p50");
        report.tables.push(table);
    }
    report.notes.push(
        "Pushes and pulls: by skopeo, over loopback, each to a registry that was started with empty \
         storage; layers that no compression makes smaller. Peak memory is the registry's."
            .to_owned(),
    );
    Ok(())
}

/// Copies an image by skopeo, which trusts whatever it gets.
pub(super) fn copy(inside: &Inside, from: &str, to: &str) -> Result<Result<timed::Run, String>> {
    let mut skopeo = Command::new("skopeo");
    skopeo.args(["--insecure-policy", "copy", "--quiet"]);
    skopeo.args(["--src-tls-verify=false", "--dest-tls-verify=false", from, to]);
    timed::run(&mut skopeo, &inside.dir.join("skopeo.log"))
}

#[expect(clippy::cast_precision_loss, reason = "megabytes far below 2^52")]
fn row(kind: Kind, runs: Runs, peak: u64, megabytes: u64) -> Row {
    let sample = Sample::of(runs.results);
    let rate = sample.percentile(50).map(|time| megabytes as f64 / time.as_secs_f64());
    let rate = rate.map_or(Figure::Missing, Figure::Megabytes);
    let row = sample_row(kind.label(), &sample).with("rate", rate);
    row.with("peak memory", Figure::bytes(peak))
}

fn size(folder: &Path) -> Result<u64> {
    let files = fs::read_dir(folder).context("read the large image")?;
    files.map(|file| Ok(file?.metadata()?.len())).sum()
}

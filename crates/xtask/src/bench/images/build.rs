//! Builds of a Python service with a thousand vendored files: from nothing, and after one file of
//! the program has changed.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};
use fs_err as fs;

use super::builder::Builder;
use super::timed::{self, Runs};
use crate::bench::Inside;
use crate::bench::cold_start::sample_row;
use crate::bench::options::Options;
use crate::bench::report::{Figure, Report, Table};
use crate::bench::sample::Sample;
use crate::prerequisites;
use crate::programs::run;
use crate::repository;

/// What is vendored: so many packages of so many modules.
const PACKAGES: usize = 50;
const MODULES: usize = 20;
const FUNCTIONS: usize = 40;
const RATIO: &str = "p50 : Berth";

/// How a build differs from the one before it.
#[derive(Debug, Clone, Copy)]
enum Change {
    /// The cache is not used.
    Everything,
    /// One file of the program.
    OneFile,
    Nothing,
}

pub(super) fn measure(inside: &Inside, options: &Options, report: &mut Report) -> Result<()> {
    let context = make_context(&inside.dir)?;
    let mut builders = vec![Builder::berth(inside)];
    if prerequisites::is_there("buildah") {
        builders.push(Builder::buildah(inside)?);
    }
    let mut tables = [
        (Change::Everything, Table::new("build_clean", "(a) A build without a cache")),
        (Change::OneFile, Table::new("build_changed", "(b) A build after one file changed")),
        (Change::Nothing, Table::new("build_unchanged", "(c) A build after nothing changed")),
    ];
    for builder in &builders {
        inside.say(&format!("builds by {}", builder.label()));
        let log = inside.dir.join("build.log");
        // Its base image is there before anything counts.
        if let Err(failure) = timed::run(&mut builder.build(&context, true), &log)? {
            bail!("{} cannot build: {failure}\n{}", builder.label(), fs::read_to_string(log)?);
        }
        for (change, table) in &mut tables {
            let mut runs = Runs::default();
            for number in 0..options.builds() {
                apply(*change, &context, number)?;
                let cached = !matches!(change, Change::Everything);
                runs.push(timed::run(&mut builder.build(&context, cached), &log)?);
            }
            let row = sample_row(builder.label(), &Sample::of(runs.results));
            table.push(row.with("peak memory", Figure::bytes(runs.peak)));
        }
    }
    for (_, mut table) in tables {
        table.add_ratios(RATIO, "p50");
        report.tables.push(table);
    }
    report.notes.push(format!(
        "Builds: `benches/images`, {} vendored files, two stages, one layer for each step; the base \
         image is there already. buildah runs steps by chroot, Berth in a sandbox with limits. Peak \
         memory is that of the builder's own process, without the steps' programs.",
        PACKAGES * MODULES
    ));
    Ok(())
}

/// The project, with what is vendored.
fn make_context(dir: &Path) -> Result<PathBuf> {
    let context = dir.join("context");
    let source = repository::root().join("benches/images");
    run(Command::new("cp").args(["-rT"]).arg(&source).arg(&context))?;
    for package in 0..PACKAGES {
        let folder = context.join(format!("vendor/package{package}"));
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("__init__.py"), format!("NUMBER = {package}\n"))?;
        for module in 1..MODULES {
            let mut text = String::new();
            for function in 0..FUNCTIONS {
                let number = (package * MODULES + module) * FUNCTIONS + function;
                writeln!(
                    text,
                    "def f{function}(value):\n    return value * {number} + {module}\n"
                )?;
            }
            fs::write(folder.join(format!("module{module}.py")), text)?;
        }
    }
    Ok(context)
}

fn apply(change: Change, context: &Path, number: usize) -> Result<()> {
    if matches!(change, Change::OneFile) {
        fs::write(context.join("app/version.py"), format!("VERSION = {number}\n"))?;
    }
    Ok(())
}

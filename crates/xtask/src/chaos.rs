//! `cargo xtask chaos`: random requests, starts, stops, reloads and `kill -9`s of every kind of process
//! against the real `berth dev`, and what must be true all the while (the invariants 1 to 5).
//!
//! The sequence of steps follows from the seed ([`plan`]), what is expected from the answers
//! ([`ledger`]), and what is seen from the processes ([`watch`]). It runs in an [`enclosure`] of its
//! own, so whatever is left at the end is Berth's.

mod clients;
mod ledger;
mod leftovers;
mod plan;
mod random;
mod run;
mod stage;
mod watch;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use clap::Args;
use fs_err as fs;

use crate::enclosure::Enclosure;
use crate::{repository, say};
use plan::Plan;
use run::Run;
use stage::{Stage, Workshop};

/// Which sequence, and for how long.
#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// The same seed gives the same steps [default: from the clock].
    #[arg(long)]
    seed: Option<u64>,
    /// For how long.
    #[arg(long, default_value_t = 1.0)]
    minutes: f64,
    /// No more steps than these, to replay a failure.
    #[arg(long)]
    steps: Option<usize>,
    /// Another binary than this build's.
    #[arg(long, value_name = "PATH")]
    berth: Option<PathBuf>,
    /// Print the steps and take none.
    #[arg(long)]
    dry_run: bool,
    /// The folder of a run whose process is already inside its own namespaces.
    #[arg(long, hide = true)]
    inside: Option<PathBuf>,
}

/// Runs it; the first broken promise ends it.
pub(crate) fn run(options: &Options) -> Result<()> {
    let seed = options.seed.unwrap_or_else(seed_of_now);
    if options.dry_run {
        for (number, step) in Plan::new(seed).take(options.steps.unwrap_or(100)).enumerate() {
            say(&format!("{number:4} {step:?}"));
        }
        return Ok(());
    }
    let workshop = Workshop::find(options.berth.as_deref())?;
    if let Some(dir) = &options.inside {
        return perform(&workshop, dir, seed, options);
    }
    workshop.prepare()?;
    let enclosure = Enclosure::make("berth-chaos", None)?;
    let more = match options.seed {
        Some(_) => Vec::new(),
        None => vec!["--seed".to_owned(), seed.to_string()],
    };
    enclosure.run(&more)
}

/// The short form that `cargo xtask ci` runs.
pub(crate) fn run_briefly() -> Result<()> {
    repository::run("cargo", &["xtask", "chaos", "--seed", "1", "--minutes", "1"])
}

fn perform(workshop: &Workshop, dir: &Path, seed: u64, options: &Options) -> Result<()> {
    let length = Duration::try_from_secs_f64(options.minutes * 60.0).context("--minutes")?;
    say(&format!("chaos: seed {seed}, {} minutes", options.minutes));
    let stage = Stage::make(workshop, dir)?;
    let begin = Instant::now();
    let mut run = Run::begin(stage).context("chaos could not begin")?;
    let mut taken = Vec::new();
    let mut result = Ok(());
    let most = options.steps.unwrap_or(usize::MAX);
    for step in Plan::new(seed).take(most).take_while(|_| begin.elapsed() < length) {
        taken.push(format!("{:4} {:7.2} s {step:?}", taken.len(), begin.elapsed().as_secs_f64()));
        result = run.take(step);
        if result.is_err() {
            break;
        }
    }
    let result = result.and_then(|()| run.end());
    let seen = run.seen();
    if let Err(error) = &result {
        say(&format!("\nchaos: seed {seed} broke a promise at step {}:", taken.len() - 1));
        taken.iter().for_each(|line| say(line));
        say(&format!("{error:#}\n{}", run.said()));
        let kept = workshop.keep_logs(run.stage(), seed)?;
        say(&format!("chaos: all that was printed is in {}", kept.display()));
    }
    say(&format!(
        "chaos: seed {seed}: {} steps in {:.1} minutes, {seen}",
        taken.len(),
        begin.elapsed().as_secs_f64() / 60.0
    ));
    ensure!(
        result.is_ok(),
        "chaos found something (replay: --seed {seed} --steps {})",
        taken.len()
    );
    say("chaos: nothing was lost and nothing is left");
    Ok(())
}

fn seed_of_now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.as_secs() % 1_000_000
}

impl Workshop {
    /// Copies the logs of a run that failed to where they stay.
    fn keep_logs(&self, stage: &Stage, seed: u64) -> Result<PathBuf> {
        let kept = self.folder().join(format!("failed-{seed}"));
        fs::create_dir_all(&kept)?;
        for entry in fs::read_dir(&stage.logs)? {
            let entry = entry?;
            fs::copy(entry.path(), kept.join(entry.file_name()))?;
        }
        Ok(kept)
    }
}

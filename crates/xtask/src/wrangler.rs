//! `cargo xtask wrangler`: every command of the unmodified wrangler that the platform is for, in its
//! real form, by its newest version and by the last for Node 20, each against `berth serve`; and what
//! they deploy is driven with requests.
//!
//! A [`Scene`] is a platform of its own with commands that follow each other. What each should say is
//! written beside it; what is refused by design is refused with the words given there, for the reason
//! given there. Whatever comes instead is in the table, and makes the task fail.

mod account;
mod containers;
mod examples;
mod images;
mod refusals;
mod stage;
mod table;
mod worker;

use std::collections::VecDeque;
use std::panic;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, ensure};
use clap::Args;
use e2e::{NEWEST, ON_NODE_20, Wrangler};

use crate::say;
use stage::Stage;
use table::Row;

/// Which of it.
#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// Scenes whose name, or one of whose commands, contains this.
    #[arg(long, value_name = "PATTERN")]
    only: Option<String>,
    /// One version of wrangler alone.
    #[arg(long, value_name = "VERSION")]
    version: Option<String>,
}

/// Commands that follow each other on a platform of their own.
struct Scene {
    name: &'static str,
    /// The commands that it runs, as people look for them.
    commands: &'static [&'static str],
    run: fn(&mut Stage) -> Result<()>,
}

/// The longest first: several are played at once, and none is left over at the end.
static SCENES: [Scene; 8] = [
    worker::SCENE,
    examples::SCENE,
    containers::SCENE,
    account::SCENE,
    refusals::SCENE,
    images::SCENE,
    worker::TAIL,
    containers::DEV,
];

/// Platforms at once. A command is a processor's work for a second or two, most of it Node's start.
const AT_ONCE: usize = 3;

/// Runs it, and prints what came of it, scene by scene.
pub(crate) fn run(options: &Options) -> Result<()> {
    let begin = Instant::now();
    let wanted = SCENES.iter().filter(|scene| options.wants(scene));
    let parts = wanted.flat_map(|scene| [NEWEST, ON_NODE_20].map(|version| (version, scene)));
    let parts = parts.filter(|(version, _)| options.wants_version(*version));
    let rows = played(&Mutex::new(parts.collect()))?;
    let differ = rows.iter().filter(|row| row.differs()).count();
    let seconds = begin.elapsed().as_secs();
    say(&format!("wrangler: {} rows, {differ} of them differ, {seconds} s", rows.len()));
    ensure!(!rows.is_empty(), "no scene is called that");
    ensure!(differ == 0, "{differ} commands of wrangler did not do what they should");
    Ok(())
}

/// The same as a step of CI.
pub(crate) fn run_all() -> Result<()> {
    run(&Options { only: None, version: None })
}

/// Scenes that are still to be played, each with a version.
type Parts = Mutex<VecDeque<(Wrangler, &'static Scene)>>;

/// Plays all, a few at once.
fn played(parts: &Parts) -> Result<Vec<Row>> {
    be_silent_on_panics_of(STAGE_HAND);
    let next = || parts.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    let play = || {
        let one = |(version, scene)| {
            let rows = Stage::play(version, scene);
            say(&table::show(&rows).join("\n"));
            rows
        };
        std::iter::from_fn(next).flat_map(one).collect::<Vec<_>>()
    };
    thread::scope(|scope| {
        let hand = || thread::Builder::new().name(STAGE_HAND.to_owned());
        let spawn = |_| hand().spawn_scoped(scope, play).context("start a thread");
        let running = (0..AT_ONCE).map(spawn).collect::<Result<Vec<_>>>()?;
        let rows = running.into_iter().map(|one| one.join());
        let rows = rows.collect::<thread::Result<Vec<_>>>();
        let rows = rows.map_err(|_| anyhow!("a scene panicked"))?;
        Ok(rows.into_iter().flatten().collect())
    })
}

/// The threads that play.
const STAGE_HAND: &str = "wrangler";

/// A fixture that cannot do its work panics; the table tells of it. Other steps of CI run beside these
/// threads, and their panics are shown.
fn be_silent_on_panics_of(name: &'static str) {
    let show = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if thread::current().name() != Some(name) {
            show(info);
        }
    }));
}

impl Options {
    fn wants(&self, scene: &Scene) -> bool {
        let contains = |text: &&str| self.only.as_ref().is_none_or(|only| text.contains(&**only));
        contains(&scene.name) || scene.commands.iter().any(contains)
    }

    fn wants_version(&self, version: Wrangler) -> bool {
        self.version.as_ref().is_none_or(|wanted| wanted == version.version())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Those of the newest version that a platform of one's own is for.
    const COMMANDS: [&str; 48] = [
        "containers build",
        "containers delete",
        "containers images delete",
        "containers images list",
        "containers info",
        "containers instances",
        "containers list",
        "containers push",
        "containers registries configure",
        "containers registries credentials",
        "containers registries delete",
        "containers registries list",
        "containers ssh",
        "delete",
        "deploy",
        "deploy --containers-rollout",
        "deploy --dry-run",
        "deploy --keep-vars",
        "deploy --secrets-file",
        "deployments list",
        "deployments status",
        "dev",
        "login",
        "rollback",
        "secret bulk",
        "secret delete",
        "secret list",
        "secret put",
        "secrets-store secret create",
        "secrets-store secret delete",
        "secrets-store secret duplicate",
        "secrets-store secret get",
        "secrets-store secret list",
        "secrets-store secret update",
        "secrets-store store create",
        "secrets-store store delete",
        "secrets-store store list",
        "tail",
        "triggers deploy",
        "types",
        "versions deploy",
        "versions list",
        "versions secret bulk",
        "versions secret delete",
        "versions secret list",
        "versions secret put",
        "versions upload",
        "whoami",
    ];

    #[test]
    fn every_command_is_in_a_scene() {
        for command in COMMANDS {
            let mut all = SCENES.iter().flat_map(|scene| scene.commands);
            assert!(all.any(|there| *there == command), "{command} is in no scene");
        }
    }

    #[test]
    fn scenes_are_chosen_by_their_names_and_by_their_commands() {
        let only = |pattern: &str| {
            let options = Options { only: Some(pattern.to_owned()), version: None };
            SCENES.iter().filter(|scene| options.wants(scene)).map(|scene| scene.name).collect()
        };
        let none: Vec<&str> = only("no such command");
        assert_eq!(none, [""; 0]);
        assert_eq!(only("tail"), ["tail"]);
        assert_eq!(only("images"), ["images"]);
    }
}

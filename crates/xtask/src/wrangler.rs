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

use std::panic;
use std::thread;
use std::time::Instant;

use anyhow::{Result, ensure};
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

const SCENES: [Scene; 8] = [
    account::SCENE,
    worker::SCENE,
    worker::TAIL,
    containers::SCENE,
    containers::DEV,
    images::SCENE,
    refusals::SCENE,
    examples::SCENE,
];

/// Runs it, and prints what came of it, scene by scene.
pub(crate) fn run(options: &Options) -> Result<()> {
    let begin = Instant::now();
    // A fixture that cannot do its work panics; the table tells of it.
    panic::set_hook(Box::new(|_| {}));
    let versions = [NEWEST, ON_NODE_20];
    let rows = thread::scope(|scope| {
        let versions = versions.into_iter().filter(|one| options.wants_version(*one));
        let running: Vec<_> =
            versions.map(|version| scope.spawn(move || rows(version, options))).collect();
        running.into_iter().flat_map(|one| one.join().unwrap_or_default()).collect::<Vec<_>>()
    });
    let _ = panic::take_hook();
    let differ = rows.iter().filter(|row| row.differs()).count();
    let seconds = begin.elapsed().as_secs();
    say(&format!("wrangler: {} rows, {differ} of them differ, {seconds} s", rows.len()));
    ensure!(!rows.is_empty(), "no scene is called that");
    ensure!(differ == 0, "{differ} commands of wrangler did not do what they should");
    Ok(())
}

fn rows(version: Wrangler, options: &Options) -> Vec<Row> {
    let scenes = SCENES.iter().filter(|scene| options.wants(scene));
    let played = scenes.flat_map(|scene| {
        let rows = Stage::play(version, scene);
        say(&table::show(&rows).join("\n"));
        rows
    });
    played.collect()
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

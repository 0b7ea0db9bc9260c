//! Where a scene plays: a platform, a project, and what came so far.

use std::panic::{self, AssertUnwindSafe};
use std::time::Instant;

use anyhow::{Result, anyhow, bail, ensure};
use e2e::{Outcome, Platform, Project, Tool, Wrangler, eventually};
use serde_json::{Value, json};

use super::Scene;
use super::table::{Came, Row};
use crate::say;

/// A scene that plays.
pub(super) struct Stage {
    pub(super) platform: Platform,
    pub(super) project: Project,
    pub(super) wrangler: Wrangler,
    scene: &'static str,
    rows: Vec<Row>,
}

impl Stage {
    /// Plays a scene with a version of wrangler to its end: what came of each of its commands.
    pub(super) fn play(wrangler: Wrangler, scene: &Scene) -> Vec<Row> {
        let begin = Instant::now();
        let mut stage = match caught(|| Ok(Self::new(wrangler, scene.name))) {
            Ok(stage) => stage,
            Err(error) => {
                let (version, what) = (wrangler.version(), "berth serve".to_owned());
                let came = Came::Else(format!("{error:#}"));
                return vec![Row { scene: scene.name, version, what, came, seconds: 0.0 }];
            }
        };
        match caught(|| (scene.run)(&mut stage)) {
            Err(error) if !error.is::<InTheTable>() => {
                stage.add("the scene", begin, Came::Else(format!("{error:#}")));
            }
            _ => {}
        }
        let Self { platform, rows, .. } = stage;
        // What is left of a platform that does not end is shown by the tests; here its rows count.
        let _ = caught(|| {
            platform.stop();
            Ok(())
        });
        let seconds = begin.elapsed().as_secs();
        say(&format!("wrangler {}: {} played in {seconds} s", wrangler.version(), scene.name));
        rows
    }

    fn new(wrangler: Wrangler, scene: &'static str) -> Self {
        let project = Project::empty().with_own_home();
        let platform = match scene {
            // Wrangler asks a registry for its images by HTTPS alone.
            super::images::NAME => Platform::start_with_tls(),
            _ => Platform::start(),
        };
        Self { platform, project, wrangler, scene, rows: Vec::new() }
    }

    /// Whether it is the newest version: some commands and options are its own.
    pub(super) fn is_newest(&self) -> bool {
        self.wrangler.version() == e2e::NEWEST.version()
    }

    /// A compatibility date that this version knows.
    pub(super) fn date(&self) -> &'static str {
        self.wrangler.newest_date().unwrap_or("2026-08-01")
    }

    /// Another project from here on, with a Worker in JavaScript and what its configuration adds.
    pub(super) fn set_worker(&mut self, name: &str, code: &str, more: &Value) {
        let project = Project::empty().with_own_home();
        project.write("index.js", code);
        let mut config = json!({"name": name, "main": "index.js", "workers_dev": true,
            "compatibility_date": self.date()});
        for (field, value) in more.as_object().into_iter().flatten() {
            config[field] = value.clone();
        }
        project.write("wrangler.json", &config.to_string());
        self.project = project;
    }

    pub(super) fn tool(&self, args: &[&str]) -> Tool {
        let tool = self.platform.wrangler(self.wrangler, &self.project, args);
        // Images are built where they are pushed to, and so stored once.
        tool.env("BERTH_HOME", self.platform.data().home())
    }

    /// A command that succeeds and says these words; what it said.
    pub(super) fn succeeds(&mut self, args: &[&str], words: &[&str]) -> Result<String> {
        self.succeeds_with(args, "", words)
    }

    /// The same with that on its standard input.
    pub(super) fn succeeds_with(
        &mut self,
        args: &[&str],
        input: &str,
        words: &[&str],
    ) -> Result<String> {
        let begin = Instant::now();
        let tool = self.tool(args);
        let came = caught(|| said(tool.run_with(input), true, words));
        self.came(&label(args), begin, came)
    }

    /// A command that fails with these words, for a reason that is no fault.
    pub(super) fn refused(&mut self, args: &[&str], words: &[&str], reason: &'static str) {
        self.refused_as(&label(args), args, words, reason);
    }

    /// The same where the configuration says what is refused.
    pub(super) fn refused_as(
        &mut self,
        what: &str,
        args: &[&str],
        words: &[&str],
        reason: &'static str,
    ) {
        self.refused_as_with(what, args, "", words, reason);
    }

    /// The same of a command that reads its standard input.
    pub(super) fn refused_with(
        &mut self,
        args: &[&str],
        input: &str,
        words: &[&str],
        reason: &'static str,
    ) {
        self.refused_as_with(&label(args), args, input, words, reason);
    }

    fn refused_as_with(
        &mut self,
        what: &str,
        args: &[&str],
        input: &str,
        words: &[&str],
        reason: &'static str,
    ) {
        let begin = Instant::now();
        let tool = self.tool(args);
        let came = match caught(|| said(tool.run_with(input), false, words)) {
            Ok(_) => Came::Refused(reason),
            Err(error) => Came::Else(format!("{error:#}")),
        };
        self.add(what, begin, came);
    }

    /// What follows from the commands before: requests, and answers that are as they should be.
    pub(super) fn then<T>(
        &mut self,
        what: &str,
        check: impl FnOnce(&Self) -> Result<T>,
    ) -> Result<T> {
        let begin = Instant::now();
        let came = caught(|| check(self));
        self.came(what, begin, came)
    }

    /// The same for a text that comes after a while.
    pub(super) fn answers(&mut self, worker: &str, path: &str, text: &str) -> Result<()> {
        self.then(&format!("GET {worker}{path}"), |stage| {
            let client = stage.platform.worker(worker);
            let mut last = String::new();
            let came = eventually(e2e::PATIENCE, || {
                last = client.try_get(path).map_or_else(|e| e.to_string(), |r| r.to_string());
                last.contains(text).then_some(())
            });
            came.ok_or_else(|| anyhow!("{text:?} is not in the answer: {last}"))
        })
    }

    /// The `result` of what the API answers below the account.
    pub(super) fn get(&self, path: &str) -> Result<Value> {
        self.ask("GET", path, "")
    }

    /// The `result` of what the API makes below the account.
    pub(super) fn made(&self, path: &str, wanted: &Value) -> Result<Value> {
        self.ask("POST", path, &wanted.to_string())
    }

    /// The API deletes what is below the account.
    pub(super) fn deleted(&self, path: &str) -> Result<()> {
        self.ask("DELETE", path, "").map(drop)
    }

    fn ask(&self, method: &str, path: &str, body: &str) -> Result<Value> {
        let path = format!("/accounts/local{path}");
        let reply = self.platform.ask(self.platform.token(), method, &path, body);
        ensure!(reply.status == 200, "{method} {path}: {reply}");
        Ok(reply.json()["result"].clone())
    }

    fn came<T>(&mut self, what: &str, begin: Instant, came: Result<T>) -> Result<T> {
        let row = match &came {
            Ok(_) => Came::Expected,
            Err(error) => Came::Else(format!("{error:#}")),
        };
        self.add(what, begin, row);
        came.map_err(|_| InTheTable.into())
    }

    fn add(&mut self, what: &str, begin: Instant, came: Came) {
        self.rows.push(Row {
            scene: self.scene,
            version: self.wrangler.version(),
            what: what.to_owned(),
            came,
            seconds: begin.elapsed().as_secs_f64(),
        });
    }
}

/// Ids and the like are not shown in rows.
const LONGEST_WORD: usize = 30;

/// What ended a scene has a row already.
#[derive(Debug)]
struct InTheTable;

impl std::fmt::Display for InTheTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("it is in the table")
    }
}

impl std::error::Error for InTheTable {}

/// A command as a row shows it.
fn label(args: &[&str]) -> String {
    let words = args.iter().map(|word| match word.len() > LONGEST_WORD {
        true => "…",
        false => word,
    });
    format!("wrangler {}", words.collect::<Vec<_>>().join(" "))
}

fn said(outcome: Outcome, succeeds: bool, words: &[&str]) -> Result<String> {
    let all = format!("{}{}", outcome.stdout, outcome.stderr);
    ensure!((outcome.code == 0) == succeeds, "exit code {}: {all}", outcome.code);
    let missing: Vec<_> = words.iter().filter(|word| !all.contains(**word)).collect();
    ensure!(missing.is_empty(), "{missing:?} is not in: {all}");
    Ok(outcome.stdout)
}

/// What a fixture that panics says becomes an error.
fn caught<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    match panic::catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result,
        Err(panic) => match panic.downcast::<String>() {
            Ok(text) => bail!("{text}"),
            Err(panic) => bail!("{}", panic.downcast_ref::<&str>().unwrap_or(&"it panicked")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_what_came() {
        let error = caught::<()>(|| panic!("no {}", "good")).unwrap_err();
        assert_eq!(error.to_string(), "no good");
        assert_eq!(caught(|| Ok(1)).unwrap(), 1);
    }

    #[test]
    fn a_command_says_what_it_should_or_that_is_what_came() {
        let outcome =
            |code| Outcome { code, stdout: "it is done\n".into(), stderr: "well\n".into() };
        assert_eq!(said(outcome(0), true, &["done", "well"]).unwrap(), "it is done\n");
        for (code, succeeds, words) in [(1, true, ["done"]), (0, false, ["done"]), (0, true, ["x"])]
        {
            assert!(said(outcome(code), succeeds, &words).is_err());
        }
    }
}

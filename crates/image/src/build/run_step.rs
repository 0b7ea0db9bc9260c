//! `RUN`: a command over the stage's layers; what it wrote becomes a layer.

use std::collections::VecDeque;
use std::os::unix::fs::PermissionsExt;

use super::builder::{Builder, Work};
use super::dockerfile::{Command, Run, Step};
use super::state::State;
use super::users;
use crate::digest::Digest;
use crate::error::StepProblem;
use crate::progress::{Outcome, Stream, TaskId};
use crate::run_step::RunRequest;

/// Docker's `PATH` where the image sets none.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Build arguments that reach commands without being declared, and do not count for the cache.
const PROXIES: [&str; 10] = [
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "FTP_PROXY",
    "ftp_proxy",
    "NO_PROXY",
    "no_proxy",
    "ALL_PROXY",
    "all_proxy",
];
/// Lines of a failed command's output that its error shows.
const TAIL_LINES: usize = 20;
/// Longest line kept for that, in bytes.
const TAIL_LINE_BYTES: usize = 2000;

impl Builder<'_> {
    pub(super) fn run(
        &self,
        state: &mut State,
        step: &Step,
        run: &Run,
        task: TaskId,
    ) -> Result<((), Outcome), StepProblem> {
        let key = self.run_key(state, run);
        if self.take_cached(state, &step.summary, &key) {
            return Ok(((), Outcome::Cached));
        }
        let work = self.work()?;
        let (args, script) = self.command(state, run, &work)?;
        let env = self.environment(state)?;
        let layers = state.directories(self.layout).map_err(StepProblem::Store)?;
        let request = RunRequest {
            layers: &layers,
            upper: &work.upper,
            args: &args,
            env: &env,
            cwd: state.workdir(),
            user: &state.document.config.user,
            network: self.request.network && run.network,
            cancelled: &|| self.progress.cancelled(),
        };
        let mut tail = Tail::default();
        let result = self.runner.run(&request, &mut |stream: Stream, bytes: &[u8]| {
            tail.push(bytes);
            self.progress.output(task, stream, bytes);
        });
        self.check_cancelled()?;
        match result.map_err(StepProblem::Runner)? {
            0 => {}
            code => return Err(StepProblem::Exit { code, output: tail.finish() }),
        }
        if let Some(script) = script {
            fs_err::remove_file(work.upper.join(script)).map_err(StepProblem::Io)?;
        }
        self.finish_layer(state, &step.summary, Some(&key), &work)?;
        Ok(((), Outcome::Done))
    }

    /// Everything a command's result depends on, as far as it can be known.
    fn run_key(&self, state: &State, run: &Run) -> Digest {
        let mut key = self.key(state, "RUN");
        for word in state.command_line(&run.command) {
            key.field(word.as_bytes());
        }
        key.field(format!("{:?}", run.script).as_bytes());
        for variable in state.environment() {
            key.field(variable.as_bytes());
        }
        key.field(state.workdir().as_bytes());
        key.field(state.document.config.user.as_bytes());
        key.field(&[u8::from(run.network)]);
        key.finish()
    }

    /// The command line; a script with an interpreter of its own becomes a file, whose name in the
    /// upper directory is returned too.
    fn command(
        &self,
        state: &State,
        run: &Run,
        work: &Work,
    ) -> Result<(Vec<String>, Option<String>), StepProblem> {
        let Some(script) = &run.script else {
            return Ok((state.command_line(&run.command), None));
        };
        if !script.starts_with("#!") {
            return Ok((state.command_line(&Command::Shell(script.clone())), None));
        }
        let name = format!(".run-{}", Digest::of(script.as_bytes()).short());
        let path = work.upper.join(&name);
        fs_err::write(&path, script).map_err(StepProblem::Io)?;
        fs_err::set_permissions(&path, std::fs::Permissions::from_mode(0o755))
            .map_err(StepProblem::Io)?;
        Ok((vec![format!("/{name}")], Some(name)))
    }

    fn environment(&self, state: &State) -> Result<Vec<String>, StepProblem> {
        let mut env = state.environment();
        let has = |env: &[String], name: &str| {
            env.iter().any(|entry| entry.split('=').next() == Some(name))
        };
        for name in PROXIES {
            if let Some(value) = self.request.build_args.get(name)
                && !has(&env, name)
            {
                self.plan.unused.borrow_mut().remove(name);
                env.push(format!("{name}={value}"));
            }
        }
        if !has(&env, "PATH") {
            env.push(PATH.to_owned());
        }
        if !has(&env, "HOME") {
            let home = users::home(&self.view(state)?, &state.document.config.user);
            env.push(format!("HOME={home}"));
        }
        Ok(env)
    }
}

/// The last lines of a command's output.
#[derive(Default)]
struct Tail {
    lines: VecDeque<Vec<u8>>,
    /// Whether the last line is complete.
    ended: bool,
}

impl Tail {
    fn push(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            if self.ended || self.lines.is_empty() {
                if self.lines.len() == TAIL_LINES {
                    self.lines.pop_front();
                }
                self.lines.push_back(Vec::new());
            }
            self.ended = piece.ends_with(b"\n");
            let text = piece.strip_suffix(b"\n").unwrap_or(piece);
            if let Some(line) = self.lines.back_mut() {
                let room = TAIL_LINE_BYTES.saturating_sub(line.len());
                line.extend_from_slice(&text[..text.len().min(room)]);
            }
        }
    }

    fn finish(self) -> Vec<String> {
        let lines = self.lines.iter().map(|line| String::from_utf8_lossy(line));
        lines.map(|line| line.trim_end_matches('\r').to_owned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_keeps_the_last_lines_however_they_come() {
        let mut tail = Tail::default();
        for number in 0..30 {
            tail.push(b"li");
            tail.push(format!("ne {number}\r\n").as_bytes());
        }
        tail.push(b"unfinished");
        let lines = tail.finish();
        assert_eq!(lines.len(), TAIL_LINES);
        assert_eq!((lines[0].as_str(), lines[19].as_str()), ("line 11", "unfinished"));
    }

    #[test]
    fn an_endless_line_is_cut() {
        let mut tail = Tail::default();
        (0..100).for_each(|_| tail.push(&[b'x'; 1000]));
        assert_eq!(tail.finish()[0].len(), TAIL_LINE_BYTES);
    }
}

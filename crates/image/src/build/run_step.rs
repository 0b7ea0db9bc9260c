//! `RUN`: a command over the stage's layers; what it wrote becomes a layer.

use std::collections::VecDeque;
use std::os::unix::fs::PermissionsExt;

use super::builder::{Builder, Work};
use super::dockerfile::{Command, Run, Step, is_alone};
use super::mount_step::add_to_key;
use super::redact::Redactor;
use super::state::{PATH, State};
use super::users;
use crate::digest::Digest;
use crate::error::StepProblem;
use crate::options::Platform;
use crate::progress::{Outcome, Stream, TaskId};
use crate::run_step::{RunNetwork, RunRequest};

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
        index: usize,
        step: &Step,
        run: &Run,
        task: TaskId,
    ) -> Result<((), Outcome), StepProblem> {
        let network = run.network.unwrap_or(self.request.network);
        if run.network == Some(RunNetwork::Host) && !self.request.allow_host_network {
            let text = "--network=host reaches this machine's own services, so it has to be allowed \
                        (--allow network.host)";
            return Err(StepProblem::Invalid(text.to_owned()));
        }
        let (mounts, mount_keys) = self.resolve_mounts(state, index, run)?;
        let key = self.run_key(state, run, network, &mount_keys);
        if self.take_cached(state, &step.summary, &key) {
            return Ok(((), Outcome::Cached));
        }
        runs_here(state.platform)?;
        let work = self.work()?;
        let mounted = self.mounted(index, &mounts, &work)?;
        let (args, script) = self.command(state, run, &work)?;
        let mut env = self.environment(state)?;
        env.extend(mounted.env.iter().cloned());
        let layers = state.directories(self.layout)?;
        let request = RunRequest {
            layers: &layers,
            upper: &work.upper,
            args: &args,
            env: &env,
            cwd: state.workdir(),
            user: &state.document.config.user,
            network,
            mounts: &mounted.mounts,
            cancelled: &|| self.progress.cancelled(),
        };
        self.carry_out(&request, task, &mounted.secrets)?;
        if let Some(script) = script {
            fs_err::remove_file(work.upper.join(script)).map_err(StepProblem::Io)?;
        }
        drop(mounted);
        self.finish_layer(state, &step.summary, Some(&key), &work)?;
        Ok(((), Outcome::Done))
    }

    /// Runs the command; what it writes is shown without the secrets it was given.
    fn carry_out(
        &self,
        request: &RunRequest<'_>,
        task: TaskId,
        secrets: &[Vec<u8>],
    ) -> Result<(), StepProblem> {
        let mut tail = Tail::default();
        let mut redactors = [Redactor::new(secrets), Redactor::new(secrets)];
        let mut show = |stream: Stream, bytes: &[u8]| {
            if !bytes.is_empty() {
                tail.push(bytes);
                self.progress.output(task, stream, bytes);
            }
        };
        let result = self.runner.run(request, &mut |stream: Stream, bytes: &[u8]| {
            let shown = redactors[usize::from(stream == Stream::Stderr)].push(bytes);
            show(stream, &shown);
        });
        let [stdout, stderr] = &mut redactors;
        show(Stream::Stdout, &stdout.finish());
        show(Stream::Stderr, &stderr.finish());
        self.check_cancelled()?;
        match result.map_err(StepProblem::Runner)? {
            0 => Ok(()),
            code => Err(StepProblem::Exit { code, output: tail.finish() }),
        }
    }

    /// Everything a command's result depends on, as far as it can be known.
    fn run_key(&self, state: &State, run: &Run, network: RunNetwork, mounts: &[String]) -> Digest {
        let mut key = self.key(state, "RUN");
        for word in state.command_line(&run.command) {
            key.field(word.as_bytes());
        }
        key.field(format!("{:?}", run.documents).as_bytes());
        for variable in state.environment() {
            key.field(variable.as_bytes());
        }
        key.field(state.workdir().as_bytes());
        key.field(state.document.config.user.as_bytes());
        key.field(&[u8::from(network != RunNetwork::None)]);
        key.field(state.platform.architecture().as_bytes());
        add_to_key(mounts, &mut key);
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
        let (text, documents) = match (&run.command, &run.documents[..]) {
            (Command::Exec(_), _) | (_, []) => {
                return Ok((state.command_line(&run.command), None));
            }
            (Command::Shell(text), documents) => (text, documents),
        };
        let [document] = documents else {
            return Ok((state.command_line(&with_documents(run, text)), None));
        };
        if !is_alone(text) {
            return Ok((state.command_line(&with_documents(run, text)), None));
        }
        let script = document.text();
        if !script.starts_with("#!") {
            return Ok((state.command_line(&Command::Shell(script)), None));
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
                self.plan.is_used(name);
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

/// A command and its here-documents, for the shell to make sense of.
fn with_documents(run: &Run, text: &str) -> Command {
    let mut whole = text.to_owned();
    for document in &run.documents {
        whole.push('\n');
        whole.push_str(&document.content);
        whole.push_str(&document.name);
    }
    Command::Shell(whole)
}

/// Whether this machine can run programs for that platform: its own, or by an emulator that the
/// kernel knows (`binfmt_misc`, opened beforehand so that it works in any root).
fn runs_here(platform: Platform) -> Result<(), StepProblem> {
    if platform == Platform::host() {
        return Ok(());
    }
    let emulator = match platform {
        Platform::Amd64 => "qemu-x86_64",
        Platform::Arm64 => "qemu-aarch64",
    };
    let registered = fs_err::read_to_string(format!("/proc/sys/fs/binfmt_misc/{emulator}"));
    let text = registered.unwrap_or_default();
    let fixed = text.lines().any(|line| line.starts_with("flags:") && line.contains('F'));
    if fixed && text.starts_with("enabled") {
        return Ok(());
    }
    Err(StepProblem::Invalid(format!(
        "this machine cannot run programs for {platform} (install {emulator} with binfmt support, or \
         run the step in a stage FROM --platform=$BUILDPLATFORM)"
    )))
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

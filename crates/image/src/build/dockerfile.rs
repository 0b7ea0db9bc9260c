//! A Dockerfile as stages and steps, each with its place. Syntax comes from a library
//! (`parse-dockerfile`); what we do not support is refused here, before anything is built.

mod heredoc;
mod lower;
mod mount;

use std::path::{Path, PathBuf};

use parse_dockerfile as parser;
use parse_dockerfile::Instruction as Parsed;

use crate::error::{BuildError, StepError, StepProblem};
use crate::run_step::RunNetwork;
use lower::Lowering;

pub(super) use heredoc::{HereDocument, is_alone};
pub(super) use mount::{Access, Cache, Mount, MountFlag, Sharing};

/// A parsed Dockerfile.
#[derive(Debug)]
pub(super) struct Dockerfile {
    pub(super) path: PathBuf,
    pub(super) escape: char,
    /// `# check=…`
    pub(super) check: Option<String>,
    /// `ARG`s before the first `FROM`.
    pub(super) globals: Vec<Step>,
    pub(super) stages: Vec<Stage>,
}

#[derive(Debug)]
pub(super) struct Stage {
    /// Lower-cased name of `AS`.
    pub(super) name: Option<String>,
    /// `AS` and the name as written.
    pub(super) written_as: Option<(String, String)>,
    pub(super) from: Step,
    pub(super) image: String,
    pub(super) platform: Option<String>,
    pub(super) steps: Vec<Step>,
}

/// One instruction.
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) place: Place,
    /// The whole instruction on one line, for progress and history.
    pub(super) summary: String,
    pub(super) instruction: Instruction,
}

/// Where something stands in the Dockerfile.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Place {
    /// Line, from 1.
    pub(super) line: usize,
    /// Character in the line, from 1.
    pub(super) column: usize,
    /// The line as written.
    pub(super) text: String,
}

/// Instructions with their arguments, variables not yet expanded.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Instruction {
    From,
    Arg(String),
    Env(String),
    Label(String),
    Run(Run),
    Copy(Copy),
    Cmd(Command),
    Entrypoint(Command),
    Shell(Vec<String>),
    Expose(Vec<String>),
    Volume(Vec<String>),
    Workdir(String),
    User(String),
    StopSignal(String),
    Maintainer(String),
    Healthcheck(Healthcheck),
    /// The instruction to carry out where the image is a base.
    OnBuild(String),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Command {
    Shell(String),
    Exec(Vec<String>),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Run {
    pub(super) command: Command,
    /// Texts that the command announces, in their order.
    pub(super) documents: Vec<HereDocument>,
    pub(super) network: Option<RunNetwork>,
    pub(super) mounts: Vec<MountFlag>,
}

/// `HEALTHCHECK`; without a test it is `NONE`.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Healthcheck {
    pub(super) test: Option<Command>,
    /// `--interval`, `--timeout`, `--start-period`, `--start-interval`, in nanoseconds.
    pub(super) times: Vec<(&'static str, i64)>,
    pub(super) retries: Option<u32>,
}

/// `COPY`, and `ADD` with `add`.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Copy {
    pub(super) sources: Vec<Source>,
    pub(super) destination: String,
    pub(super) from: Option<String>,
    pub(super) chown: Option<String>,
    pub(super) chmod: Option<String>,
    pub(super) exclude: Vec<String>,
    /// Keep the directories that sources are in.
    pub(super) parents: bool,
    /// A layer that does not depend on those below.
    pub(super) link: bool,
    /// Unless it is a `COPY`.
    pub(super) add: Option<Add>,
}

/// What `ADD` has and `COPY` has not.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Add {
    pub(super) checksum: Option<String>,
    pub(super) keep_git_dir: bool,
    /// Whether archives are unpacked; local ones are unless it says no.
    pub(super) unpack: Option<bool>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Source {
    /// A path, a pattern, or for `ADD` a URL.
    Path(String),
    /// A file written in the Dockerfile itself.
    Inline { name: String, content: String, expand: bool },
}

impl Instruction {
    /// Whether a step may make files, and so is worth a line of progress.
    pub(super) fn works(&self) -> bool {
        matches!(self, Self::Run(_) | Self::Copy(_) | Self::Workdir(_))
    }

    /// The stages, images and contexts it reads from, as written.
    pub(super) fn reads(&self) -> Vec<&str> {
        match self {
            Self::Copy(copy) => copy.from.as_deref().into_iter().collect(),
            Self::Run(run) => run.mounts.iter().filter_map(MountFlag::from).collect(),
            _ => Vec::new(),
        }
    }
}

impl Step {
    /// The instruction's name as written.
    pub(super) fn keyword(&self) -> &str {
        self.summary.split(' ').next().unwrap_or_default()
    }

    /// The error of this step.
    pub(super) fn error(&self, file: &Path, problem: StepProblem) -> BuildError {
        self.place.error(file, problem)
    }
}

impl Place {
    pub(super) fn error(&self, file: &Path, problem: StepProblem) -> BuildError {
        let Self { line, column, ref text } = *self;
        let (file, text) = (file.to_owned(), text.clone());
        BuildError::Step(Box::new(StepError { file, line, column, text, problem }))
    }
}

/// Parses the text of the Dockerfile at `path`.
pub(super) fn parse(path: &Path, text: &str) -> Result<Dockerfile, BuildError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let (escape, check) = directives(path, text)?;
    let source = Text { path, text };
    let scanned = heredoc::scan(text, escape).map_err(|heredoc::NotEnded { line, name }| {
        let text = format!("the here-document is not ended: no line is \"{name}\" alone");
        source.line_error(line, StepProblem::Invalid(text))
    })?;
    let instructions = parser::parse_iter(&scanned.text).map_err(|e| source.syntax_error(&e))?;
    let source = Lowering { source, escape, documents: &scanned.documents };
    let mut globals = Vec::new();
    let mut stages: Vec<Stage> = Vec::new();
    for instruction in instructions {
        let instruction = instruction.map_err(|error| source.source.syntax_error(&error))?;
        match (&instruction, stages.last_mut()) {
            (Parsed::From(from), _) => stages.push(source.from(from)?),
            (other, Some(stage)) => stage.steps.push(source.step(other)?),
            (other, None) => globals.push(source.step(other)?),
        }
    }
    Ok(Dockerfile { path: path.to_owned(), escape, check, globals, stages })
}

/// An instruction of `ONBUILD`, carried out where `from` says `FROM` such an image.
pub(super) fn parse_trigger(path: &Path, from: &Step, text: &str) -> Result<Step, BuildError> {
    let whole = format!("FROM scratch\n{text}");
    let refused = |error: BuildError| {
        let text = match error {
            BuildError::Step(step) => step.problem.to_string(),
            error => error.to_string(),
        };
        from.error(path, StepProblem::Invalid(format!("the base image's ONBUILD: {text}")))
    };
    let mut file = parse(path, &whole).map_err(refused)?;
    let mut steps = file.stages.pop().map(|stage| stage.steps).unwrap_or_default();
    match (steps.pop(), steps.is_empty()) {
        (Some(step), true) => Ok(Step { place: from.place.clone(), ..step }),
        _ => {
            let text = format!("the base image's ONBUILD is not one instruction: {text}");
            Err(from.error(path, StepProblem::Invalid(text)))
        }
    }
}

/// The escape character and `# check=`; both stand before anything else.
fn directives(path: &Path, text: &str) -> Result<(char, Option<String>), BuildError> {
    let comments: usize =
        text.split_inclusive('\n').take_while(|line| line.starts_with('#')).map(str::len).sum();
    let head = format!("{}\nFROM scratch\n", &text[..comments]);
    let parsed = parser::parse(&head).map_err(|e| Text { path, text }.syntax_error(&e))?;
    let directives = &parsed.parser_directives;
    let escape = directives.escape.as_ref().map_or('\\', |escape| escape.value.value);
    let check = directives.check.as_ref().map(|check| check.value.value.to_owned());
    Ok((escape, check))
}

struct Text<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Text<'_> {
    /// The place of a byte.
    fn place(&self, at: usize) -> Place {
        let before = &self.text[..at];
        let begin = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = 1 + before.bytes().filter(|byte| *byte == b'\n').count();
        let text = self.text[begin..].lines().next().unwrap_or_default();
        let column = 1 + before[begin..].chars().count();
        Place { line, column, text: text.trim_end().to_owned() }
    }

    /// An error of a line, whose first character that is no space is its place.
    fn line_error(&self, line: usize, problem: StepProblem) -> BuildError {
        let begin: usize = self.text.split_inclusive('\n').take(line - 1).map(str::len).sum();
        let spaces = self.text[begin..].len() - self.text[begin..].trim_start().len();
        let place = self.place(begin + spaces);
        let place = if place.line == line { place } else { self.place(begin) };
        place.error(self.path, problem)
    }

    fn syntax_error(&self, error: &parser::Error) -> BuildError {
        self.line_error(error.line().max(1), StepProblem::Invalid(format!("{error:#}")))
    }
}

/// The text up to the end of its logical line: continued lines belong to it.
fn logical_line(text: &str, escape: char) -> &str {
    let mut end = 0;
    let mut continued = true;
    for line in text.split_inclusive('\n') {
        let comment = end > 0 && line.trim_start().starts_with('#');
        if !continued {
            break;
        }
        end += line.len();
        continued = comment || line.trim().is_empty() || line.trim_end().ends_with(escape);
    }
    text[..end].trim_end()
}

/// Takes line continuations, and comment lines between them, out of a command.
fn join_lines(text: &str, escape: char) -> String {
    let mut joined = String::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim_end_matches('\r');
        if number > 0 && (line.trim_start().starts_with('#') || line.trim().is_empty()) {
            continue;
        }
        let trimmed = line.trim_end_matches([' ', '\t']);
        match trimmed.strip_suffix(escape) {
            Some(continued) => joined.push_str(continued),
            None => joined.push_str(line),
        }
    }
    joined.trim().to_owned()
}

#[cfg(test)]
mod tests;

//! A Dockerfile as stages and steps, each with its line. Syntax comes from a library
//! (`parse-dockerfile`); what we do not support is refused here, before anything is built.

use std::path::{Path, PathBuf};

use parse_dockerfile as parser;
use parse_dockerfile::Instruction as Parsed;

use crate::error::{BuildError, StepError, StepProblem};

/// A parsed Dockerfile.
#[derive(Debug)]
pub(super) struct Dockerfile {
    pub(super) path: PathBuf,
    pub(super) escape: char,
    /// `ARG`s before the first `FROM`.
    pub(super) globals: Vec<Step>,
    pub(super) stages: Vec<Stage>,
}

#[derive(Debug)]
pub(super) struct Stage {
    /// Lower-cased name of `AS`.
    pub(super) name: Option<String>,
    pub(super) from: Step,
    pub(super) image: String,
    pub(super) platform: Option<String>,
    pub(super) steps: Vec<Step>,
}

/// One instruction.
#[derive(Debug)]
pub(super) struct Step {
    /// Line it begins on, from 1.
    pub(super) line: usize,
    /// That line as written.
    pub(super) text: String,
    /// The whole instruction on one line, for progress and history.
    pub(super) summary: String,
    pub(super) instruction: Instruction,
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
    /// `MAINTAINER`: a label by another name.
    Maintainer(String),
    /// `HEALTHCHECK`: Cloudflare has none, so there is nothing to do.
    Healthcheck,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Command {
    Shell(String),
    Exec(Vec<String>),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Run {
    pub(super) command: Command,
    /// A script that stands in place of the command.
    pub(super) script: Option<String>,
    pub(super) network: bool,
}

/// `COPY`, and `ADD` with `extract`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Copy {
    pub(super) sources: Vec<Source>,
    pub(super) destination: String,
    pub(super) from: Option<String>,
    pub(super) chown: Option<String>,
    pub(super) chmod: Option<String>,
    /// Unpack local archives.
    pub(super) extract: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Source {
    Path(String),
    /// A file written in the Dockerfile itself.
    Inline {
        name: String,
        content: String,
        expand: bool,
    },
}

impl Step {
    /// The error of this step.
    pub(super) fn error(&self, file: &Path, problem: StepProblem) -> BuildError {
        let (file, text) = (file.to_owned(), self.text.clone());
        BuildError::Step(Box::new(StepError { file, line: self.line, text, problem }))
    }
}

/// Parses the text of the Dockerfile at `path`.
pub(super) fn parse(path: &Path, text: &str) -> Result<Dockerfile, BuildError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let source = Text { path, text };
    let parsed = parser::parse(text).map_err(|error| source.syntax_error(&error))?;
    let escape = parsed.parser_directives.escape.as_ref().map_or('\\', |escape| escape.value.value);
    let source = Lowering { source, escape };
    let mut globals = Vec::new();
    let mut stages: Vec<Stage> = Vec::new();
    for instruction in &parsed.instructions {
        match (instruction, stages.last_mut()) {
            (Parsed::From(from), _) => stages.push(source.from(from)?),
            (other, Some(stage)) => stage.steps.push(source.step(other)?),
            (other, None) => globals.push(source.step(other)?),
        }
    }
    Ok(Dockerfile { path: path.to_owned(), escape, globals, stages })
}

struct Text<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Text<'_> {
    fn line_text(&self, line: usize) -> String {
        let text = self.text.lines().nth(line.saturating_sub(1)).unwrap_or_default();
        text.trim_end().to_owned()
    }

    fn error(&self, line: usize, problem: StepProblem) -> BuildError {
        let (file, text) = (self.path.to_owned(), self.line_text(line));
        BuildError::Step(Box::new(StepError { file, line, text, problem }))
    }

    fn syntax_error(&self, error: &parser::Error) -> BuildError {
        // The parser knows a here-document only at the beginning of a RUN; where it is elsewhere,
        // its lines are taken for instructions.
        if let Some(line) = self.here_document_within_run(error.line()) {
            let what = "a here-document that is not all of the RUN (write RUN <<EOF)".to_owned();
            return self.error(line, StepProblem::Unsupported(what));
        }
        let line = error.line().max(1);
        self.error(line, StepProblem::Invalid(format!("{error:#}")))
    }

    /// The last `RUN … <<WORD` before `line` whose end comes after it.
    fn here_document_within_run(&self, line: usize) -> Option<usize> {
        let lines: Vec<&str> = self.text.lines().collect();
        let before = lines.get(..line.min(lines.len()))?;
        let (index, word) = before.iter().enumerate().rev().find_map(|(index, text)| {
            let text = text.trim_start();
            let run = text.get(..3).is_some_and(|word| word.eq_ignore_ascii_case("run"));
            let word = text.split_whitespace().find_map(|word| word.strip_prefix("<<"))?;
            let word = word.trim_start_matches('-').trim_matches(['"', '\'']);
            (run && !word.is_empty()).then_some((index, word))
        })?;
        let ends = lines[index + 1..].iter().any(|text| text.trim_start_matches('\t') == word);
        ends.then_some(index + 1)
    }
}

struct Lowering<'a> {
    source: Text<'a>,
    escape: char,
}

impl Lowering<'_> {
    fn bare_step(&self, keyword: &parser::Keyword, instruction: Instruction) -> Step {
        let text = self.source.text;
        let line = 1 + text[..keyword.span.start].bytes().filter(|byte| *byte == b'\n').count();
        let rest = &text[keyword.span.start..];
        let summary = join_lines(logical_line(rest, self.escape), self.escape);
        let summary = summary.split_whitespace().collect::<Vec<_>>().join(" ");
        Step { line, text: self.source.line_text(line), summary, instruction }
    }

    fn refuse(&self, step: &Step, problem: StepProblem) -> BuildError {
        step.error(self.source.path, problem)
    }

    fn from(&self, from: &parser::FromInstruction<'_>) -> Result<Stage, BuildError> {
        let step = self.bare_step(&from.from, Instruction::From);
        let mut platform = None;
        for flag in &from.options {
            match (&*flag.name.value, &flag.value) {
                ("platform", Some(value)) => platform = Some(value.value.to_string()),
                (name, _) => return Err(self.unknown_flag(&step, "FROM", name)),
            }
        }
        let name = from.as_.as_ref().map(|(_, name)| name.value.to_lowercase());
        Ok(Stage { name, image: from.image.value.to_string(), platform, from: step, steps: vec![] })
    }

    fn unknown_flag(&self, step: &Step, instruction: &str, name: &str) -> BuildError {
        self.refuse(step, StepProblem::Unsupported(format!("{instruction} --{name}")))
    }

    fn step(&self, parsed: &Parsed<'_>) -> Result<Step, BuildError> {
        let words = |list: &[parser::UnescapedString<'_>]| {
            list.iter().map(|word| word.value.to_string()).collect::<Vec<_>>()
        };
        let (keyword, instruction) = match parsed {
            Parsed::Arg(i) => (&i.arg, Instruction::Arg(i.arguments.value.to_string())),
            Parsed::Env(i) => (&i.env, Instruction::Env(i.arguments.value.to_string())),
            Parsed::Label(i) => (&i.label, Instruction::Label(i.arguments.value.to_string())),
            Parsed::Cmd(i) => (&i.cmd, Instruction::Cmd(self.command(&i.arguments))),
            Parsed::Entrypoint(i) => {
                (&i.entrypoint, Instruction::Entrypoint(self.command(&i.arguments)))
            }
            Parsed::Shell(i) => (&i.shell, Instruction::Shell(words(&i.arguments))),
            Parsed::Expose(i) => (&i.expose, Instruction::Expose(words(&i.arguments))),
            Parsed::Volume(i) => (&i.volume, Instruction::Volume(volumes(&i.arguments))),
            Parsed::Workdir(i) => (&i.workdir, Instruction::Workdir(i.arguments.value.to_string())),
            Parsed::User(i) => (&i.user, Instruction::User(i.arguments.value.to_string())),
            Parsed::Stopsignal(i) => {
                (&i.stopsignal, Instruction::StopSignal(i.arguments.value.to_string()))
            }
            Parsed::Maintainer(i) => {
                (&i.maintainer, Instruction::Maintainer(i.name.value.to_string()))
            }
            Parsed::Healthcheck(i) => (&i.healthcheck, Instruction::Healthcheck),
            Parsed::Run(i) => return self.run(i),
            Parsed::Copy(i) => return self.copy(&i.copy, &i.options, &i.src, &i.dest, false),
            Parsed::Add(i) => return self.copy(&i.add, &i.options, &i.src, &i.dest, true),
            Parsed::Onbuild(i) => {
                let step = self.bare_step(&i.onbuild, Instruction::Healthcheck);
                return Err(self.refuse(&step, StepProblem::Unsupported("ONBUILD".to_owned())));
            }
            // FROM is taken by the caller; the enum may grow.
            _ => {
                let problem = StepProblem::Unsupported("an instruction of this kind".to_owned());
                return Err(self.source.error(1, problem));
            }
        };
        Ok(self.bare_step(keyword, instruction))
    }

    fn command(&self, command: &parser::Command<'_>) -> Command {
        match command {
            parser::Command::Exec(words) => {
                Command::Exec(words.value.iter().map(|word| word.value.to_string()).collect())
            }
            parser::Command::Shell(text) => Command::Shell(join_lines(text.value, self.escape)),
            _ => Command::Shell(String::new()),
        }
    }

    fn run(&self, run: &parser::RunInstruction<'_>) -> Result<Step, BuildError> {
        let command = self.command(&run.arguments);
        let mut step = self.bare_step(&run.run, Instruction::Healthcheck);
        let mut network = true;
        for flag in &run.options {
            match (&*flag.name.value, flag.value.as_ref().map(|value| &*value.value)) {
                ("network", Some("none")) => network = false,
                ("network", Some("default")) | ("security", Some("sandbox")) => {}
                (name, value) => {
                    let value = value.map_or(String::new(), |value| format!("={value}"));
                    let what = format!("RUN --{name}{value}");
                    return Err(self.refuse(&step, StepProblem::Unsupported(what)));
                }
            }
        }
        let script = run.here_docs.first().map(|document| document.value.to_string());
        let rest = matches!(&command, Command::Shell(text) if !text.is_empty());
        if script.is_some() && (rest || run.here_docs.len() > 1) {
            let what = "a RUN with more than one here-document or a command after it".to_owned();
            return Err(self.refuse(&step, StepProblem::Unsupported(what)));
        }
        if script.is_none() && command == Command::Shell(String::new()) {
            let problem = StepProblem::Invalid("RUN needs a command".to_owned());
            return Err(self.refuse(&step, problem));
        }
        step.instruction = Instruction::Run(Run { command, script, network });
        Ok(step)
    }

    fn copy(
        &self,
        keyword: &parser::Keyword,
        flags: &[parser::Flag<'_>],
        sources: &[parser::Source<'_>],
        destination: &parser::UnescapedString<'_>,
        extract: bool,
    ) -> Result<Step, BuildError> {
        let name = if extract { "ADD" } else { "COPY" };
        let mut step = self.bare_step(keyword, Instruction::Healthcheck);
        let mut copy = Copy {
            sources: Vec::new(),
            destination: destination.value.to_string(),
            from: None,
            chown: None,
            chmod: None,
            extract,
        };
        for flag in flags {
            let value = flag.value.as_ref().map(|value| value.value.to_string());
            match (&*flag.name.value, value) {
                ("chown", Some(value)) => copy.chown = Some(value),
                ("chmod", Some(value)) => copy.chmod = Some(value),
                ("from", Some(value)) if !extract => copy.from = Some(value),
                // Layers are independent of each other here in any case.
                ("link", _) => {}
                (flag, _) => return Err(self.unknown_flag(&step, name, flag)),
            }
        }
        for source in sources {
            let source = match source {
                parser::Source::Path(path) if extract && is_remote(&path.value) => {
                    let what = format!("ADD of {} (download it in a RUN)", path.value);
                    return Err(self.refuse(&step, StepProblem::Unsupported(what)));
                }
                parser::Source::Path(path) => Source::Path(path.value.to_string()),
                parser::Source::HereDoc(document) => Source::Inline {
                    name: self.here_document_name(document),
                    content: document.value.to_string(),
                    expand: document.expand,
                },
                _ => {
                    let what = format!("a source of this kind in {name}");
                    return Err(self.refuse(&step, StepProblem::Unsupported(what)));
                }
            };
            copy.sources.push(source);
        }
        step.instruction = Instruction::Copy(copy);
        Ok(step)
    }

    /// The word that ends a here-document is its file's name.
    fn here_document_name(&self, document: &parser::HereDoc<'_>) -> String {
        let after = &self.source.text[document.span.end.min(self.source.text.len())..];
        after.lines().next().unwrap_or_default().trim().to_owned()
    }
}

fn volumes(volumes: &parser::JsonOrStringArray<'_, 1>) -> Vec<String> {
    let words = match volumes {
        parser::JsonOrStringArray::Json(words) => &words.value,
        parser::JsonOrStringArray::String(words) => words,
    };
    words.iter().map(|word| word.value.to_string()).collect()
}

fn is_remote(source: &str) -> bool {
    ["http://", "https://", "git://", "git@", "ssh://"].iter().any(|p| source.starts_with(p))
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

//! From the parser's instructions to ours.

use std::collections::BTreeMap;

use parse_dockerfile as parser;
use parse_dockerfile::Instruction as Parsed;

use super::heredoc::HereDocument;
use super::mount::MountFlag;
use super::{
    Add, Command, Copy, Healthcheck, Instruction, Run, Source, Stage, Step, Text, join_lines,
    logical_line,
};
use crate::error::{BuildError, StepProblem};
use crate::run_step::RunNetwork;

pub(super) struct Lowering<'a> {
    pub(super) source: Text<'a>,
    pub(super) escape: char,
    /// Here-documents by the line of their instruction.
    pub(super) documents: &'a BTreeMap<usize, Vec<HereDocument>>,
}

type Lowered<T> = Result<T, BuildError>;

impl Lowering<'_> {
    fn bare_step(&self, keyword: &parser::Keyword, instruction: Instruction) -> Step {
        let place = self.source.place(keyword.span.start);
        let summary = self.joined(keyword).split_whitespace().collect::<Vec<_>>().join(" ");
        Step { place, summary, instruction }
    }

    /// The instruction from its keyword on, on one line.
    fn joined(&self, keyword: &parser::Keyword) -> String {
        let rest = &self.source.text[keyword.span.start..];
        join_lines(logical_line(rest, self.escape), self.escape)
    }

    fn refuse(&self, at: &parser::Span, problem: StepProblem) -> BuildError {
        self.source.place(at.start).error(self.source.path, problem)
    }

    fn invalid(&self, at: &parser::Span, text: impl Into<String>) -> BuildError {
        self.refuse(at, StepProblem::Invalid(text.into()))
    }

    pub(super) fn from(&self, from: &parser::FromInstruction<'_>) -> Lowered<Stage> {
        let step = self.bare_step(&from.from, Instruction::From);
        let mut platform = None;
        for flag in &from.options {
            match (&*flag.name.value, &flag.value) {
                ("platform", Some(value)) => platform = Some(value.value.to_string()),
                _ => return Err(self.unknown_flag("FROM", flag)),
            }
        }
        let written_as = from.as_.as_ref().map(|(keyword, name)| {
            (self.source.text[keyword.span.clone()].to_owned(), name.value.to_string())
        });
        let name = written_as.as_ref().map(|(_, name)| name.to_lowercase());
        let image = from.image.value.to_string();
        Ok(Stage { name, written_as, image, platform, from: step, steps: vec![] })
    }

    fn unknown_flag(&self, instruction: &str, flag: &parser::Flag<'_>) -> BuildError {
        let value = flag.value.as_ref().map_or(String::new(), |value| format!("={}", value.value));
        let what = format!("{instruction} --{}{value}", flag.name.value);
        self.refuse(&flag.flag_span(), StepProblem::Unsupported(what))
    }

    pub(super) fn step(&self, parsed: &Parsed<'_>) -> Lowered<Step> {
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
            Parsed::Healthcheck(i) => {
                (&i.healthcheck, Instruction::Healthcheck(self.healthcheck(i)?))
            }
            Parsed::Run(i) => (&i.run, Instruction::Run(self.run(i)?)),
            Parsed::Copy(i) => {
                (&i.copy, Instruction::Copy(self.copy("COPY", &i.options, &i.src, &i.dest)?))
            }
            Parsed::Add(i) => {
                (&i.add, Instruction::Copy(self.copy("ADD", &i.options, &i.src, &i.dest)?))
            }
            Parsed::Onbuild(i) => (&i.onbuild, Instruction::OnBuild(self.on_build(i)?)),
            // FROM is taken by the caller; the enum may grow.
            _ => {
                let problem = StepProblem::Unsupported("an instruction of this kind".to_owned());
                return Err(self.source.line_error(1, problem));
            }
        };
        Ok(self.bare_step(keyword, instruction))
    }

    fn command(&self, command: &parser::Command<'_>) -> Command {
        match command {
            parser::Command::Exec(words) => {
                Command::Exec(words.value.iter().map(|word| word.value.to_string()).collect())
            }
            // As written: here-documents were taken out of what the parser saw.
            parser::Command::Shell(text) => {
                Command::Shell(join_lines(&self.source.text[text.span.clone()], self.escape))
            }
            _ => Command::Shell(String::new()),
        }
    }

    fn documents_of(&self, at: &parser::Span) -> &[HereDocument] {
        self.documents.get(&self.source.place(at.start).line).map_or(&[], Vec::as_slice)
    }

    fn run(&self, run: &parser::RunInstruction<'_>) -> Lowered<Run> {
        let command = self.command(&run.arguments);
        let (mut network, mut mounts) = (None, Vec::new());
        for flag in &run.options {
            match (&*flag.name.value, flag.value.as_ref().map(|value| &*value.value)) {
                ("network", Some("none")) => network = Some(RunNetwork::None),
                ("network", Some("default")) => network = Some(RunNetwork::Default),
                ("network", Some("host")) => network = Some(RunNetwork::Host),
                ("security", Some("sandbox")) => {}
                ("security", Some("insecure")) => {
                    let what = "RUN --security=insecure: a step has the rights of an instance and \
                                no more; it";
                    let problem = StepProblem::Unsupported(what.to_owned());
                    return Err(self.refuse(&flag.flag_span(), problem));
                }
                ("mount", Some(value)) => {
                    let parsed = MountFlag::parse(value);
                    let invalid = |text: String| self.invalid(&flag.flag_span(), text);
                    mounts.push(parsed.map_err(invalid)?);
                }
                _ => return Err(self.unknown_flag("RUN", flag)),
            }
        }
        if command == Command::Shell(String::new()) {
            return Err(self.invalid(&run.run.span, "RUN needs a command"));
        }
        // In a RUN of an ONBUILD too, they belong to the line that the whole begins on.
        let documents = match &command {
            Command::Shell(text) if text.contains("<<") => self.documents_of(&run.run.span),
            _ => &[],
        };
        Ok(Run { command, documents: documents.to_vec(), network, mounts })
    }

    fn copy(
        &self,
        name: &str,
        flags: &[parser::Flag<'_>],
        sources: &[parser::Source<'_>],
        destination: &parser::UnescapedString<'_>,
    ) -> Lowered<Copy> {
        let mut copy = Copy {
            destination: destination.value.to_string(),
            add: (name == "ADD").then(Add::default),
            ..Copy::default()
        };
        for flag in flags {
            self.copy_flag(name, flag, &mut copy)?;
        }
        for source in sources {
            copy.sources.push(match source {
                parser::Source::Path(path) => Source::Path(path.value.to_string()),
                parser::Source::HereDoc(document) => Source::Inline {
                    name: self.here_document_name(document),
                    content: document.value.to_string(),
                    expand: document.expand,
                },
                _ => {
                    let what = format!("a source of this kind in {name}");
                    return Err(self.refuse(&destination.span, StepProblem::Unsupported(what)));
                }
            });
        }
        let inline = |source: &Source| matches!(source, Source::Inline { .. });
        if copy.from.is_some() && copy.sources.iter().any(inline) {
            let text = "a here-document cannot come --from elsewhere";
            return Err(self.invalid(&destination.span, text));
        }
        Ok(copy)
    }

    fn copy_flag(&self, name: &str, flag: &parser::Flag<'_>, copy: &mut Copy) -> Lowered<()> {
        let value = flag.value.as_ref().map(|value| value.value.to_string());
        let yes = || match value.as_deref() {
            None | Some("true" | "1") => Ok(true),
            Some("false" | "0") => Ok(false),
            Some(other) => {
                let text = format!("--{}={other} is neither true nor false", flag.name.value);
                Err(self.invalid(&flag.flag_span(), text))
            }
        };
        match (&*flag.name.value, &mut copy.add) {
            ("link", _) => copy.link = yes()?,
            ("parents", None) => copy.parents = yes()?,
            ("keep-git-dir", Some(add)) => add.keep_git_dir = yes()?,
            ("unpack", Some(add)) => add.unpack = Some(yes()?),
            (text, add) => match (text, value, add) {
                ("chown", Some(value), _) => copy.chown = Some(value),
                ("chmod", Some(value), _) => copy.chmod = Some(value),
                ("exclude", Some(value), _) => copy.exclude.push(value),
                ("from", Some(value), None) => copy.from = Some(value),
                ("checksum", Some(value), Some(add)) => add.checksum = Some(value),
                _ => return Err(self.unknown_flag(name, flag)),
            },
        }
        Ok(())
    }

    /// The word that ends a here-document is its file's name.
    fn here_document_name(&self, document: &parser::HereDoc<'_>) -> String {
        let after = &self.source.text[document.span.end.min(self.source.text.len())..];
        after.lines().next().unwrap_or_default().trim().to_owned()
    }

    fn healthcheck(&self, check: &parser::HealthcheckInstruction<'_>) -> Lowered<Healthcheck> {
        let mut healthcheck = Healthcheck::default();
        match &check.arguments {
            parser::HealthcheckArguments::Cmd { arguments, .. } => {
                healthcheck.test = Some(self.command(arguments));
            }
            _ if check.options.is_empty() => return Ok(healthcheck),
            _ => {
                let text = "HEALTHCHECK NONE takes no options";
                return Err(self.invalid(&check.healthcheck.span, text));
            }
        }
        for flag in &check.options {
            let value = flag.value.as_ref().map_or("", |value| &*value.value);
            let key = match &*flag.name.value {
                "interval" => "Interval",
                "timeout" => "Timeout",
                "start-period" => "StartPeriod",
                "start-interval" => "StartInterval",
                "retries" => {
                    let retries = value.parse().ok().filter(|retries| *retries > 0);
                    let text = || format!("--retries={value} is no number of 1 or more");
                    let retries = retries.ok_or_else(|| self.invalid(&flag.flag_span(), text()))?;
                    healthcheck.retries = Some(retries);
                    continue;
                }
                _ => return Err(self.unknown_flag("HEALTHCHECK", flag)),
            };
            let time = nanoseconds(value).filter(|time| *time >= 1_000_000);
            let text = || format!("--{}={value} is no time of 1ms or more", flag.name.value);
            let time = time.ok_or_else(|| self.invalid(&flag.flag_span(), text()))?;
            healthcheck.times.push((key, time));
        }
        Ok(healthcheck)
    }

    /// The text that an image's config has of an `ONBUILD`; it was checked as an instruction.
    fn on_build(&self, on_build: &parser::OnbuildInstruction<'_>) -> Lowered<String> {
        let at = &on_build.onbuild.span;
        match &*on_build.instruction {
            Parsed::From(_) | Parsed::Maintainer(_) | Parsed::Onbuild(_) => {
                let text = "ONBUILD takes neither FROM, MAINTAINER nor ONBUILD";
                return Err(self.invalid(at, text));
            }
            inner => drop(self.step(inner)?),
        }
        let whole = self.joined(&on_build.onbuild);
        let mut text = whole.get("ONBUILD".len()..).unwrap_or_default().trim().to_owned();
        for document in self.documents_of(at) {
            text.push('\n');
            text.push_str(&document.content);
            text.push_str(&document.name);
        }
        Ok(text)
    }
}

fn volumes(volumes: &parser::JsonOrStringArray<'_, 1>) -> Vec<String> {
    let words = match volumes {
        parser::JsonOrStringArray::Json(words) => &words.value,
        parser::JsonOrStringArray::String(words) => words,
    };
    words.iter().map(|word| word.value.to_string()).collect()
}

/// A time as Go writes them: `1m30s`, `500ms`, `1.5h`.
fn nanoseconds(text: &str) -> Option<i64> {
    let mut rest = text;
    let mut total = 0.0_f64;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..end].parse().ok()?;
        let unit_end =
            rest[end..].find(|c: char| c.is_ascii_digit()).map_or(rest.len(), |at| end + at);
        let unit = match &rest[end..unit_end] {
            "ns" => 1.0,
            "us" | "µs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            _ => return None,
        };
        total += number * unit;
        rest = &rest[unit_end..];
    }
    // Beyond this, nanoseconds are not whole any more.
    #[expect(clippy::cast_possible_truncation, reason = "it is whole and in range")]
    (total > 0.0 && total < 9e15).then_some(total.round() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_go_writes_them() {
        for (text, expected) in [
            ("5s", Some(5_000_000_000)),
            ("1m30s", Some(90_000_000_000)),
            ("1.5ms", Some(1_500_000)),
            ("2h", Some(7_200_000_000_000)),
            ("5", None),
            ("s", None),
            ("", None),
            ("-5s", None),
            ("5 s", None),
        ] {
            assert_eq!(nanoseconds(text), expected, "{text}");
        }
    }
}

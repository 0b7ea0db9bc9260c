//! Warnings about a Dockerfile, by the names and rules of BuildKit's build checks.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use super::dockerfile::{Command, Dockerfile, Instruction, Stage, Step};
use super::plan::{Plan, arguments};
use super::words::{pairs, split};
use crate::progress::Progress;

/// One finding.
#[derive(Debug, PartialEq)]
pub(super) struct Warning {
    pub(super) rule: &'static str,
    pub(super) line: usize,
    pub(super) text: String,
}

/// What `# check=` says, and whether anything was found.
#[derive(Debug, Default)]
pub(super) struct Checks {
    skip_all: bool,
    skip: Vec<String>,
    error: bool,
    found: AtomicBool,
}

impl Checks {
    /// Reads `skip=A,B;error=true`.
    pub(super) fn new(directive: Option<&str>) -> Self {
        let mut checks = Self::default();
        for option in directive.unwrap_or_default().split(';') {
            match option.split_once('=').map(|(key, value)| (key.trim(), value.trim())) {
                Some(("skip", "all")) => checks.skip_all = true,
                Some(("skip", rules)) => {
                    checks.skip = rules.split(',').map(|rule| rule.trim().to_owned()).collect();
                }
                Some(("error", value)) => checks.error = value == "true",
                _ => {}
            }
        }
        checks
    }

    /// Tells of a finding, unless its rule is skipped.
    pub(super) fn tell(&self, file: &Path, warning: &Warning, progress: &dyn Progress) {
        let Warning { rule, line, text } = warning;
        if self.skip_all || self.skip.iter().any(|skipped| skipped.eq_ignore_ascii_case(rule)) {
            return;
        }
        self.found.store(true, Ordering::Relaxed);
        progress.log(&format!("warning: {}:{line}: {text} ({rule})", file.display()));
    }

    /// Whether what was found makes the build fail.
    pub(super) fn fail(&self) -> bool {
        self.error && self.found.load(Ordering::Relaxed)
    }
}

/// Everything that can be found without building.
pub(super) fn findings(file: &Dockerfile, text: &str, plan: &Plan) -> Vec<Warning> {
    let mut found = Findings::default();
    found.empty_continuations(text, file.escape);
    for (stage, name) in &plan.unset {
        let step = &file.stages[*stage].from;
        found.add("UndefinedArgInFrom", step, format!("FROM uses ${name}, which has no value"));
    }
    let steps = file.stages.iter().flat_map(|stage| [&stage.from].into_iter().chain(&stage.steps));
    found.casing(file.globals.iter().chain(steps));
    let mut names: BTreeMap<&str, usize> = BTreeMap::new();
    for stage in &file.stages {
        found.stage_name(stage);
        if let Some(name) = &stage.name
            && let Some(first) = names.insert(name, stage.from.place.line)
        {
            let text = format!("the stage name {name} is taken by line {first}");
            found.add("DuplicateStageName", &stage.from, text);
        }
        found.platform(stage);
        found.stage(stage, file.escape);
    }
    found.0.sort_by_key(|warning| warning.line);
    found.0
}

#[derive(Default)]
struct Findings(Vec<Warning>);

impl Findings {
    fn add(&mut self, rule: &'static str, step: &Step, text: impl Into<String>) {
        self.0.push(Warning { rule, line: step.place.line, text: text.into() });
    }

    /// Later versions take an empty line for the end of the instruction.
    fn empty_continuations(&mut self, text: &str, escape: char) {
        let mut continued = false;
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() && continued {
                let text = "an empty line within an instruction".to_owned();
                self.0.push(Warning { rule: "NoEmptyContinuation", line: number + 1, text });
            } else if !line.is_empty() && !line.starts_with('#') {
                continued = line.ends_with(escape);
            }
        }
    }

    fn casing<'a>(&mut self, steps: impl Iterator<Item = &'a Step>) {
        let steps: Vec<&Step> = steps.collect();
        let is_lower = |step: &&&Step| !step.keyword().contains(|c: char| c.is_ascii_uppercase());
        let lower = steps.iter().filter(is_lower).count() * 2 > steps.len();
        for step in steps {
            let word = step.keyword();
            let right = if lower { word.to_ascii_lowercase() } else { word.to_ascii_uppercase() };
            if word != right {
                let text = format!("{word} is not cased as the others: {right}");
                self.add("ConsistentInstructionCasing", step, text);
            }
        }
    }

    fn stage_name(&mut self, stage: &Stage) {
        let Some((keyword, name)) = &stage.written_as else { return };
        let from = stage.from.keyword();
        let lower = |text: &str| text.chars().all(|c| c.is_ascii_lowercase());
        if lower(keyword) != lower(from) {
            let text = format!("{keyword} and {from} are not cased alike");
            self.add("FromAsCasing", &stage.from, text);
        }
        if name.chars().any(char::is_uppercase) {
            let text = format!("the stage name {name} should be lower case");
            self.add("StageNameCasing", &stage.from, text);
        }
        if matches!(name.to_lowercase().as_str(), "scratch" | "context") {
            self.add(
                "ReservedStageName",
                &stage.from,
                format!("the stage name {name} is reserved"),
            );
        }
    }

    fn platform(&mut self, stage: &Stage) {
        match stage.platform.as_deref() {
            Some("$TARGETPLATFORM" | "${TARGETPLATFORM}") => {
                let text = "--platform=$TARGETPLATFORM is what FROM takes anyway";
                self.add("RedundantTargetPlatform", &stage.from, text);
            }
            Some(platform) if !platform.contains('$') => {
                let text = format!("--platform={platform} builds for that platform alone");
                self.add("FromPlatformFlagConstDisallowed", &stage.from, text);
            }
            _ => {}
        }
    }

    fn stage(&mut self, stage: &Stage, escape: char) {
        let has_shell = stage.steps.iter().any(|s| matches!(s.instruction, Instruction::Shell(_)));
        let mut absolute = false;
        let mut once: BTreeMap<&'static str, usize> = BTreeMap::new();
        for step in &stage.steps {
            let kind = match &step.instruction {
                Instruction::Cmd(command) => {
                    self.exec_form(step, "CMD", command, has_shell);
                    "CMD"
                }
                Instruction::Entrypoint(command) => {
                    self.exec_form(step, "ENTRYPOINT", command, has_shell);
                    "ENTRYPOINT"
                }
                Instruction::Healthcheck(_) => "HEALTHCHECK",
                Instruction::Maintainer(_) => {
                    let text =
                        "MAINTAINER is deprecated: use LABEL org.opencontainers.image.authors";
                    self.add("MaintainerDeprecated", step, text);
                    continue;
                }
                Instruction::Workdir(path) => {
                    absolute |= path.starts_with(['/', '$', '"', '\'']);
                    if !absolute {
                        let text = format!("WORKDIR {path} depends on the base image's");
                        self.add("WorkdirRelativePath", step, text);
                    }
                    continue;
                }
                Instruction::Env(text) | Instruction::Label(text) => {
                    self.pairs(step, text, escape);
                    continue;
                }
                Instruction::Arg(text) => {
                    let names = arguments(text, escape).unwrap_or_default();
                    names.iter().for_each(|(name, _)| self.secret(step, "ARG", name));
                    continue;
                }
                _ => continue,
            };
            if let Some(first) = once.insert(kind, step.place.line) {
                let text = format!("{kind} replaces the one of line {first}");
                self.add("MultipleInstructionsDisallowed", step, text);
            }
        }
    }

    fn exec_form(&mut self, step: &Step, kind: &str, command: &Command, has_shell: bool) {
        if matches!(command, Command::Shell(text) if !text.is_empty()) && !has_shell {
            let text =
                format!("{kind} runs in a shell, which gets the signals: write {kind} [\"…\"]");
            self.add("JSONArgsRecommended", step, text);
        }
    }

    fn pairs(&mut self, step: &Step, text: &str, escape: char) {
        if split(text, escape).first().is_some_and(|first| !first.contains('=')) {
            let text = "write name=value, not name value";
            self.add("LegacyKeyValueFormat", step, text);
        }
        if matches!(step.instruction, Instruction::Env(_)) {
            let pairs = pairs(text, escape).unwrap_or_default();
            pairs.iter().for_each(|(name, _)| self.secret(step, "ENV", name));
        }
    }

    /// Whoever has the image can read those.
    fn secret(&mut self, step: &Step, kind: &str, name: &str) {
        const SECRET: [&str; 9] = [
            "apikey",
            "auth",
            "credential",
            "credentials",
            "key",
            "password",
            "pword",
            "passwd",
            "secret",
        ];
        let lower = name.to_ascii_lowercase();
        let public = lower.split('_').any(|word| word == "public");
        let secret = lower.split('_').any(|word| SECRET.contains(&word) || word == "token");
        if secret && !public {
            let text = format!("{kind} {name} looks like a secret: use RUN --mount=type=secret");
            self.add("SecretsUsedInArgOrEnv", step, text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::BuildRequest;

    fn rules(text: &str) -> Vec<(&'static str, usize)> {
        let file = super::super::dockerfile::parse("Dockerfile".as_ref(), text).unwrap();
        let plan = Plan::new(&file, &BuildRequest::new("Dockerfile", ".")).unwrap();
        let found = findings(&file, text, &plan);
        found.iter().map(|warning| (warning.rule, warning.line)).collect()
    }

    #[test]
    fn a_good_dockerfile_has_no_warnings() {
        let text = "ARG V=1\nFROM alpine:$V AS build\nWORKDIR /app\nWORKDIR src\nENV A=b PUBLIC_KEY=x\n\
                    RUN a \\\n  # why\n  && b\nFROM scratch\nCMD [\"/x\"]\n";
        assert_eq!(rules(text), []);
    }

    #[test]
    fn each_rule_finds_its_line() {
        for (text, expected) in [
            ("FROM a AS Build", ("StageNameCasing", 1)),
            ("FROM a as build", ("FromAsCasing", 1)),
            ("FROM a AS x\nFROM b AS x", ("DuplicateStageName", 2)),
            ("FROM a AS scratch", ("ReservedStageName", 1)),
            ("FROM a\nRUN x\nrun y", ("ConsistentInstructionCasing", 3)),
            ("FROM a\nCMD x", ("JSONArgsRecommended", 2)),
            ("FROM a\nMAINTAINER x", ("MaintainerDeprecated", 2)),
            ("FROM a\nWORKDIR x", ("WorkdirRelativePath", 2)),
            ("FROM a\nENV A b", ("LegacyKeyValueFormat", 2)),
            ("FROM a\nCMD [\"x\"]\nCMD [\"y\"]", ("MultipleInstructionsDisallowed", 3)),
            ("FROM a\nARG DB_PASSWORD", ("SecretsUsedInArgOrEnv", 2)),
            ("FROM --platform=linux/amd64 a", ("FromPlatformFlagConstDisallowed", 1)),
            ("FROM --platform=$TARGETPLATFORM a", ("RedundantTargetPlatform", 1)),
            ("ARG V\nFROM a$V", ("UndefinedArgInFrom", 2)),
            ("FROM a\nRUN x \\\n\n  y", ("NoEmptyContinuation", 3)),
        ] {
            assert_eq!(rules(text), [expected], "{text}");
        }
    }

    #[test]
    fn the_directive_skips_rules_and_makes_errors() {
        let told = |directive: &str| {
            let checks = Checks::new(Some(directive));
            let warning = Warning { rule: "FromAsCasing", line: 1, text: String::new() };
            checks.tell(Path::new("Dockerfile"), &warning, &crate::progress::Silent);
            checks.fail()
        };
        assert!(told("error=true") && told("skip=Other;error=true"));
        assert!(!told("skip=FromAsCasing,Other;error=true") && !told("skip=all;error=true"));
        assert!(!told(""));
    }
}

//! Steps that change the image's config and no file.

use std::path::Path;

use serde_json::{Value, json};

use super::builder::Builder;
use super::dockerfile::{Command, Healthcheck, Instruction};
use super::plan::arguments;
use super::state::State;
use super::tree::within_root;
use super::words::{expand, expand_document, pairs};
use crate::error::StepProblem;
use crate::image::ExposedPort;

/// Ports one range of `EXPOSE` may have.
const PORTS: u16 = 1024;

/// What `SHELL` is unless said otherwise.
const SHELL: [&str; 2] = ["/bin/sh", "-c"];

impl State {
    /// Replaces the variables of a text; those without a value are noted.
    pub(super) fn expand(&mut self, text: &str, escape: char) -> Result<String, StepProblem> {
        let expanded = expand(text, escape, &|name| self.variable(name));
        let expanded = expanded.map_err(StepProblem::Invalid)?;
        self.unset.extend(expanded.unset);
        Ok(expanded.text)
    }

    /// The same for a here-document.
    pub(super) fn expand_document(&mut self, text: &str) -> Result<String, StepProblem> {
        let expanded = expand_document(text, &|name| self.variable(name));
        let expanded = expanded.map_err(StepProblem::Invalid)?;
        self.unset.extend(expanded.unset);
        Ok(expanded.text)
    }

    /// A path as an absolute one, relative to the working directory.
    pub(super) fn absolute(&self, path: &str) -> String {
        format!("/{}", within_root(&Path::new(self.workdir()).join(path)).display())
    }

    /// The command line of a command in either form.
    pub(super) fn command_line(&self, command: &Command) -> Vec<String> {
        match command {
            Command::Exec(words) => words.clone(),
            Command::Shell(text) => {
                let shell = &self.document.config.shell;
                let mut words: Vec<String> = if shell.is_empty() {
                    SHELL.map(str::to_owned).to_vec()
                } else {
                    shell.clone()
                };
                words.push(text.clone());
                words
            }
        }
    }
}

impl Builder<'_> {
    /// Applies a step that changes the config only.
    pub(super) fn configure(
        &self,
        state: &mut State,
        instruction: &Instruction,
    ) -> Result<(), StepProblem> {
        let escape = self.file.escape;
        match instruction {
            Instruction::Arg(text) => self.argument(state, text)?,
            Instruction::Env(text) => {
                // All of one ENV see the values before it.
                for (name, value) in self.expanded_pairs(state, text)? {
                    state.set_env(&name, &value);
                }
            }
            Instruction::Label(text) => {
                let labels = self.expanded_pairs(state, text)?;
                state.config().labels.extend(labels);
            }
            Instruction::Maintainer(name) => {
                state.document.rest.insert("author".to_owned(), Value::String(name.clone()));
            }
            Instruction::Cmd(command) => {
                state.config().cmd = state.command_line(command);
                state.has_cmd = true;
            }
            Instruction::Entrypoint(command) => {
                state.config().entrypoint = state.command_line(command);
                if !state.has_cmd {
                    state.config().cmd.clear();
                }
            }
            Instruction::Shell(words) => state.config().shell.clone_from(words),
            Instruction::Expose(ports) => {
                for text in ports {
                    for word in state.expand(text, escape)?.split_whitespace() {
                        let ports = ports_of(word)?;
                        let keys = ports.into_iter().map(|port| (port.to_string(), empty()));
                        state.config().exposed_ports.extend(keys);
                    }
                }
            }
            Instruction::Volume(paths) => {
                for path in paths {
                    let path = state.expand(path, escape)?;
                    if path.is_empty() {
                        return Err(StepProblem::Invalid("a volume's path is empty".to_owned()));
                    }
                    state.config().volumes.insert(path, empty());
                }
            }
            Instruction::User(user) => state.config().user = state.expand(user, escape)?,
            Instruction::StopSignal(signal) => {
                let signal = state.expand(signal, escape)?;
                if !is_signal(&signal) {
                    let text = format!("\"{signal}\" is no signal (SIGTERM, SIGINT, 15)");
                    return Err(StepProblem::Invalid(text));
                }
                state.config().stop_signal = Some(signal);
            }
            Instruction::Healthcheck(check) => {
                state.config().rest.insert("Healthcheck".to_owned(), healthcheck(check));
            }
            Instruction::OnBuild(text) => state.config().on_build.push(text.clone()),
            Instruction::From
            | Instruction::Workdir(_)
            | Instruction::Run(_)
            | Instruction::Copy(_) => {}
        }
        Ok(())
    }

    fn expanded_pairs(
        &self,
        state: &mut State,
        text: &str,
    ) -> Result<Vec<(String, String)>, StepProblem> {
        let escape = self.file.escape;
        let pairs = pairs(text, escape).map_err(StepProblem::Invalid)?;
        let expand = |(name, value): (String, String)| {
            Ok((state.expand(&name, escape)?, state.expand(&value, escape)?))
        };
        pairs.into_iter().map(expand).collect()
    }

    /// `ARG` in a stage: what was given, else its default, else what it is globally.
    fn argument(&self, state: &mut State, text: &str) -> Result<(), StepProblem> {
        let declared = arguments(text, self.file.escape).map_err(StepProblem::Invalid)?;
        for (name, default) in declared {
            self.plan.is_used(&name);
            let value = match (self.request.build_args.get(&name), default) {
                (Some(given), _) => Some(given.clone()),
                (None, Some(default)) => Some(state.expand(&default, self.file.escape)?),
                (None, None) => self.plan.globals.get(&name).cloned(),
            };
            match value {
                Some(value) => drop(state.args.insert(name, value)),
                // Declared, and nobody says what it is: nothing to be warned of.
                None => drop(state.declared.insert(name)),
            }
        }
        Ok(())
    }
}

/// A `HEALTHCHECK` as Docker's image configs have it.
fn healthcheck(check: &Healthcheck) -> Value {
    let Some(test) = &check.test else { return json!({ "Test": ["NONE"] }) };
    let test: Vec<String> = match test {
        Command::Exec(words) => ["CMD".to_owned()].into_iter().chain(words.clone()).collect(),
        // Whoever runs it takes the image's shell.
        Command::Shell(text) => vec!["CMD-SHELL".to_owned(), text.clone()],
    };
    let mut healthcheck = json!({ "Test": test });
    for (key, time) in &check.times {
        healthcheck[*key] = json!(time);
    }
    if let Some(retries) = check.retries {
        healthcheck["Retries"] = json!(retries);
    }
    healthcheck
}

/// Docker writes sets as objects with empty objects in them.
fn empty() -> serde_json::Value {
    serde_json::Value::Object(serde_json::Map::new())
}

/// `8080`, `8080/udp`, `8000-8010`, `8000-8010/tcp`.
fn ports_of(text: &str) -> Result<Vec<ExposedPort>, StepProblem> {
    let (range, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let port = |port: &str| {
        format!("{port}/{protocol}")
            .parse::<ExposedPort>()
            .map_err(|_| StepProblem::Invalid(format!("\"{text}\" is no port (8080, 53/udp)")))
    };
    let Some((first, last)) = range.split_once('-') else { return Ok(vec![port(range)?]) };
    let (first, last) = (port(first)?, port(last)?);
    let count = last.port.checked_sub(first.port).filter(|count| *count < PORTS);
    if count.is_none() {
        let text = format!("\"{text}\" is no range of at most {PORTS} ports");
        return Err(StepProblem::Invalid(text));
    }
    Ok((first.port..=last.port).map(|port| ExposedPort { port, ..first }).collect())
}

/// Whether it can be a signal; the runtime knows which ones there are.
fn is_signal(text: &str) -> bool {
    match text.parse::<u8>() {
        Ok(number) => (1..=64).contains(&number),
        Err(_) => {
            let name = text.strip_prefix("SIG").unwrap_or(text);
            !name.is_empty()
                && name.starts_with(|c: char| c.is_ascii_uppercase())
                && name
                    .chars()
                    .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || "+-".contains(c))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_and_ranges() {
        let ports = |text: &str| -> Vec<String> {
            ports_of(text).unwrap().iter().map(ToString::to_string).collect()
        };
        assert_eq!(ports("8080"), ["8080/tcp"]);
        assert_eq!(ports("8000-8002/udp"), ["8000/udp", "8001/udp", "8002/udp"]);
        for bad in ["x", "80:80", "9-8", "1-60000", "0", "1-"] {
            assert!(ports_of(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn signals_have_names_and_numbers() {
        for good in ["SIGTERM", "TERM", "15", "SIGRTMIN+3", "SIGUSR1"] {
            assert!(is_signal(good), "{good}");
        }
        for bad in ["", "SIG", "sigterm", "0", "65", "SIG TERM", "-9"] {
            assert!(!is_signal(bad), "{bad}");
        }
    }
}

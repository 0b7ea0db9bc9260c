//! What the documents say of commands and limits is so.

use std::path::{Path, PathBuf};

use clap::{CommandFactory, Parser};
use fs_err as fs;
use model::{InstanceType, LARGEST_ASSET, MOST_ASSETS, limits};

use super::Args;
use crate::serve::default_file;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// README and the documents, each with its name.
fn documents() -> Vec<(String, String)> {
    let docs = fs::read_dir(repository().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let docs = docs.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    let all = docs.chain([repository().join("README.md")]);
    all.map(|path| (path.display().to_string(), fs::read_to_string(&path).unwrap())).collect()
}

/// Commands of the blocks that are for a shell, each on one line, with the number of its first.
fn shell_lines(text: &str) -> Vec<(usize, String)> {
    let (mut found, mut inside): (Vec<(usize, String)>, _) = (Vec::new(), false);
    let mut goes_on = false;
    for (number, line) in text.lines().enumerate() {
        if let Some(language) = line.strip_prefix("```") {
            inside = !inside && language == "sh";
            continue;
        }
        if !inside {
            continue;
        }
        let part = line.trim_end_matches('\\').trim();
        match found.last_mut().filter(|_| goes_on) {
            Some((_, command)) => *command = format!("{command} {part}"),
            None => found.push((number + 1, part.to_owned())),
        }
        goes_on = line.ends_with('\\');
    }
    found
}

/// The words of a simple command, up to what is the shell's.
fn words(command: &str) -> Vec<String> {
    let (mut words, mut quote): (Vec<String>, Option<char>) = (Vec::new(), None);
    let (mut word, mut depth): (Option<String>, _) = (None, 0);
    for letter in command.chars() {
        // `$(date +%F)` is one word.
        depth += i32::from(letter == '(') - i32::from(letter == ')');
        match (quote, letter) {
            (Some(open), letter) if letter == open => quote = None,
            (None, '"' | '\'') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (None, '#' | '|' | '>' | '<' | '&' | ';') if word.is_none() => break,
            (None, ' ') if depth == 0 => words.extend(word.take()),
            (_, letter) => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    words
}

#[test]
fn every_command_of_the_documents_is_one() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for (document, text) in documents() {
        for (line, command) in shell_lines(&text) {
            let command = command.replacen("cargo run --release --", "berth", 1);
            if !command.starts_with("berth ") {
                continue;
            }
            count += 1;
            if let Err(error) = Args::try_parse_from(words(&command)) {
                wrong.push(format!("{document}:{line}: `{command}`: {error}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count > 20, "{count} commands were found");
}

#[test]
fn every_command_is_in_the_reference() {
    let reference = fs::read_to_string(repository().join("docs/cli.md")).unwrap();
    let mut missing = Vec::new();
    for command in Args::command().get_subcommands().filter(|command| !command.is_hide_set()) {
        let name = format!("`berth {}", command.get_name());
        if command.get_name() != "help" && !reference.contains(&name) {
            missing.push(name);
        }
    }
    assert!(missing.is_empty(), "not in docs/cli.md: {missing:?}");
}

const SETTINGS: &str = "\
# Settings of `berth serve`

What `berth serve --print-config` prints; [how settings are said](self-host.md#settings). What a project says of
itself is in its wrangler.jsonc: Cloudflare's keys, and [a few of Berth's](cli.md#configuration-of-berths-own).

```toml
";

#[test]
fn every_setting_is_in_the_reference() {
    let path = repository().join("docs/config.md");
    let (is, settings) = (fs::read_to_string(&path).unwrap_or_default(), default_file());
    let wanted = format!("{SETTINGS}{}\n```\n", settings.trim_end());
    if is != wanted && std::env::var_os("CI").is_none() {
        fs::write(&path, &wanted).unwrap();
        panic!("docs/config.md was not what `--print-config` prints; it is written anew");
    }
    assert_eq!(is, wanted);
}

#[test]
fn the_limits_are_those_of_the_code() {
    let document = fs::read_to_string(repository().join("docs/limits.md")).unwrap();
    let types = InstanceType::NAMES.map(|name| {
        let limits = InstanceType::from_name(name).unwrap().limits();
        let (vcpu, memory, disk) = (limits.vcpu, limits.memory_mib, limits.disk_mb / 1000);
        format!("| `{name}` | {vcpu} | {memory} MiB | {disk} GB | {} |", limits.pids)
    });
    let mib = |bytes: u64| bytes / 1024 / 1024;
    let row = |what: &str, value: String| format!("| {what} | {value} |");
    let rows = [
        row(
            "Instances of an application, `max_instances` unset",
            limits::MAX_INSTANCES_DEFAULT.to_string(),
        ),
        row(
            "Starts of an application, `berth.start_rate` unset",
            format!("{} a second", limits::STARTS_PER_SECOND),
        ),
        row(
            "A start beyond `max_instances` waits for its turn",
            format!("{} seconds, then 503", limits::CAPACITY_WAIT.as_secs()),
        ),
        row(
            "Between SIGTERM and SIGKILL",
            format!("{} minutes", limits::STOP_GRACE.as_secs() / 60),
        ),
        row(
            "The same where code and containers switch together, at most",
            format!("{} seconds", limits::SWITCH_GRACE.as_secs()),
        ),
        row(
            "A request waits for a program that does not listen yet",
            format!("{} seconds after its start", limits::CONNECT_HOLD_WINDOW.as_secs()),
        ),
        row("Open files of a process", limits::OPEN_FILES.to_string()),
        row("`/dev/shm`", format!("{} MiB", mib(limits::SHM_BYTES))),
        row(
            "Output that is kept of an instance",
            format!("{} files of {} MiB", limits::LOG_FILES, mib(limits::LOG_FILE_BYTES)),
        ),
        row(
            "Logs of instances that have ended, of `berth serve`",
            format!(
                "{} day, the last {}, {} GiB of all",
                limits::ENDED_LOG_TTL.as_secs() / 86_400,
                limits::ENDED_LOGS,
                mib(limits::ENDED_LOG_BYTES) / 1024
            ),
        ),
        row(
            "A snapshot, if nothing else is said",
            format!("{} days", limits::SNAPSHOT_TTL.as_secs() / 86_400),
        ),
        row("Static files of a version", MOST_ASSETS.to_string()),
        row("One static file", format!("{} MiB", mib(LARGEST_ASSET))),
    ];
    for row in types.iter().chain(&rows) {
        assert!(document.contains(row.as_str()), "not in docs/limits.md: {row}");
    }
}

#[test]
fn words_are_a_shells() {
    let words = words("berth build -t 'a b' \"$X\" $(a b) # why");
    assert_eq!(words, ["berth", "build", "-t", "a b", "$X", "$(a b)"]);
}

//! What the documents promise: links that lead somewhere, commands and examples that exist.

use std::path::Path;

use clap::CommandFactory;

use super::{File, Finding};

pub(super) fn check(files: &[File], root: &Path) -> Vec<Finding> {
    let documents = files.iter().filter(|f| f.path.extension().is_some_and(|e| e == "md"));
    documents.flat_map(|file| check_document(file, root)).collect()
}

fn check_document(file: &File, root: &Path) -> Vec<Finding> {
    let folder = root.join(file.path.parent().unwrap_or(Path::new("")));
    let mut findings = Vec::new();
    for (index, line) in file.text.lines().enumerate() {
        let mut found = |what: String| findings.push(Finding::new(&file.path, index + 1, what));
        for link in links(line).filter(|link| !link.contains(':')) {
            if !leads_somewhere(link, file, &folder) {
                found(format!("the link to {link} leads nowhere"));
            }
        }
        for task in words_after(line, "cargo xtask ") {
            if crate::Args::command().find_subcommand(task).is_none() {
                found(format!("there is no `cargo xtask {task}`"));
            }
        }
        for test in words_after(line, " --test promises ") {
            let file = test.trim_end_matches("::");
            if !root.join("tests/e2e/tests/promises").join(file).with_extension("rs").exists() {
                found(format!("there is no test `{file}`"));
            }
        }
        for example in words_after(line, " dev examples/") {
            if !root.join("examples").join(example).is_dir() && example != "<name>" {
                found(format!("there is no example `{example}`"));
            }
        }
    }
    findings
}

/// Whether there is such a file, and in it, if it is a document, such a heading.
fn leads_somewhere(link: &str, from: &File, folder: &Path) -> bool {
    let (target, part) = link.split_once('#').map_or((link, None), |(to, part)| (to, Some(part)));
    let path = folder.join(target);
    let has = |text: &str, part: &str| text.lines().filter_map(anchor).any(|one| one == part);
    match part {
        Some(part) if target.is_empty() => has(&from.text, part),
        Some(part) if target.ends_with(".md") => {
            fs_err::read_to_string(path).is_ok_and(|text| has(&text, part))
        }
        _ => path.exists(),
    }
}

/// What a heading is called in a link, as GitHub does it.
fn anchor(line: &str) -> Option<String> {
    let title = line.strip_prefix('#')?.trim_start_matches('#').strip_prefix(' ')?;
    let kept = title.chars().filter(|char| char.is_alphanumeric() || " -_".contains(*char));
    Some(kept.collect::<String>().to_lowercase().replace(' ', "-"))
}

/// Targets of `[text](target)`.
fn links(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0))
}

/// The words that directly follow `prefix`.
fn words_after<'a>(line: &'a str, prefix: &'a str) -> impl Iterator<Item = &'a str> {
    let ends = |char: char| char.is_whitespace() || "`,;)|".contains(char);
    line.split(prefix).skip(1).map(move |rest| rest.split(ends).next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<String> {
        let root = tempfile::tempdir().unwrap();
        fs_err::create_dir_all(root.path().join("examples/hello")).unwrap();
        fs_err::create_dir_all(root.path().join("docs")).unwrap();
        let file = File::new("docs/a.md", text);
        check(&[file], root.path()).into_iter().map(|finding| finding.what).collect()
    }

    #[test]
    fn a_link_must_lead_somewhere() {
        let text =
            "# Of `it`, and X\n[it](../examples/hello), [up](#of-it-and-x), [there](https://x)";
        assert_eq!(found(text), [""; 0]);
        assert_eq!(found("[here](#x)"), ["the link to #x leads nowhere"]);
        assert_eq!(found("[it](gone.md#part)"), ["the link to gone.md#part leads nowhere"]);
    }

    #[test]
    fn a_command_must_exist() {
        assert_eq!(found("`cargo xtask ci`, then cargo run -- dev examples/hello"), [""; 0]);
        assert_eq!(found("`cargo xtask fly`"), ["there is no `cargo xtask fly`"]);
        assert_eq!(found("berth dev examples/gone"), ["there is no example `gone`"]);
        assert_eq!(found("cargo test -p e2e --test promises gone::"), ["there is no test `gone`"]);
    }
}

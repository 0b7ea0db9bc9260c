//! Rust files: module docs, sizes, where `unsafe` may stand, and words that belong to a draft.

use std::path::Path;

use super::{CORPUS, File, Finding};

/// Lines of code that a file may have; blank lines and comments are free.
const CODE_LINES: usize = 500;

pub(super) fn check(file: &File) -> Vec<Finding> {
    let mut findings = machine_paths(file);
    if !file.is_rust() {
        return findings;
    }
    if !file.text.starts_with("//!") {
        findings.push(Finding::new(&file.path, 1, "open with `//!`: what it is, what it isn't"));
    }
    let code = file.text.lines().enumerate().filter(|(_, line)| is_code(line));
    let count = code.clone().count();
    if count > CODE_LINES {
        let what = format!("{count} lines of code; split it below {CODE_LINES}");
        findings.push(Finding::new(&file.path, 0, what));
    }
    for (index, line) in code {
        let mut found = |what: &str| findings.push(Finding::new(&file.path, index + 1, what));
        if has_word(line, "unsafe") && !may_be_unsafe(&file.path) {
            found("`unsafe` stands in a crate's `src/sys` alone");
        }
        // In two parts, so that this file does not find itself.
        for draft in [concat!("todo", "!("), concat!("unimpl", "emented!("), concat!("dbg", "!(")] {
            if line.contains(draft) {
                found(&format!("`{draft}…)` belongs to a draft"));
            }
        }
    }
    findings
}

/// Paths of one developer's machine, in any file.
fn machine_paths(file: &File) -> Vec<Finding> {
    const HOME: &str = concat!("/root", "/.");
    const PATHS: [&str; 4] =
        [concat!("/work", "/main"), concat!("/work", "/shared"), HOME, concat!("/tmp", "/berth/")];
    // In the images of those projects it is no machine's.
    let of_an_image = file.path.starts_with(CORPUS);
    let lines = file.text.lines().enumerate();
    lines
        .filter_map(|(index, line)| {
            let is_here = |path: &&&str| line.contains(**path) && !(of_an_image && **path == HOME);
            let path = PATHS.iter().find(is_here)?;
            Some(Finding::new(&file.path, index + 1, format!("`{path}` is a path of one machine")))
        })
        .collect()
}

fn is_code(line: &str) -> bool {
    let line = line.trim_start();
    !line.is_empty() && !line.starts_with("//")
}

/// `crates/*/src/sys.rs` and what lies in `crates/*/src/sys`; programs that tests run in a sandbox
/// make system calls too.
fn may_be_unsafe(path: &Path) -> bool {
    let parts: Vec<_> = path.iter().filter_map(|part| part.to_str()).collect();
    matches!(
        parts[..],
        ["crates", _, "src", "sys.rs"]
            | ["crates", _, "src", "sys", ..]
            | ["crates", _, "tests", ..]
            | ["tests", "escape", "attacker", ..]
    )
}

/// Whether `word` stands in the code of `line`: not as part of another, nor in a comment or a
/// string that ends on the same line.
fn has_word(line: &str, word: &str) -> bool {
    let is_part = |char: char| char.is_alphanumeric() || char == '_';
    let unescaped = line.replace("\\\"", "");
    let code = unescaped.split("//").next().unwrap_or_default();
    // Every second piece between quotes is a string.
    code.split('"').step_by(2).any(|piece| piece.split(|char| !is_part(char)).any(|w| w == word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> usize {
        check(&File::new(path, text)).len()
    }

    #[test]
    fn a_file_opens_with_its_doc() {
        assert_eq!(found("a.rs", "//! What it is.\nfn f() {}\n"), 0);
        assert_eq!(found("a.rs", "fn f() {}\n"), 1);
        assert_eq!(found("a.md", "text"), 0);
    }

    #[test]
    fn comments_don_t_make_a_file_long() {
        let long = "fn f() {}\n".repeat(501);
        assert_eq!(found("a.rs", &format!("//! A.\n{long}")), 1);
        let commented = "// fn f() {}\n\n".repeat(600);
        assert_eq!(found("a.rs", &format!("//! A.\n{commented}")), 0);
    }

    #[test]
    fn unsafe_stands_in_sys_alone() {
        let text = "//! A.\nunsafe { f() }\n";
        assert_eq!(found("crates/agent/src/net.rs", text), 1);
        assert_eq!(found("tests/e2e/src/sys.rs", text), 1);
        assert_eq!(found("crates/init/src/sys.rs", text), 0);
        assert_eq!(found("crates/runtime/src/sys/mount.rs", text), 0);
        assert_eq!(
            found("a.rs", "//! A.\n#![deny(unsafe_code)] // no unsafe\nf(\"unsafe\");\n"),
            0
        );
    }

    #[test]
    fn drafts_and_machine_paths_are_found() {
        let text =
            format!("//! A.\n{}\n// see {}\n", concat!("todo", "!()"), concat!("/work", "/main/x"));
        assert_eq!(found("a.rs", &text), 2);
        let home = concat!("target=/root", "/.cache");
        assert_eq!(found("a/Dockerfile", home), 1);
        assert_eq!(found("tests/differential/corpus/a/Dockerfile", home), 0);
    }
}

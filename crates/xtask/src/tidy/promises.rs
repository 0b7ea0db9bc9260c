//! Promises and their tests: in the table of the API in docs/compatibility.md each test that is named
//! exists, and nothing is marked as working without one; no file of tests is left out of their program.

use std::path::Path;

use super::{File, Finding};

/// The document.
const DOCUMENT: &str = "docs/compatibility.md";
/// The heading below which every row that says so must be proved.
const PROVED: &str = "## Every member";
/// Where the tests lie.
const TESTS: &str = "tests/e2e/tests/promises";

pub(super) fn check(files: &[File]) -> Vec<Finding> {
    let mut findings = check_document(files);
    findings.extend(left_out(files));
    findings
}

/// Files of tests that the program does not name would never run.
fn left_out(files: &[File]) -> Vec<Finding> {
    let main = Path::new(TESTS).join("main.rs");
    let program = files.iter().find(|file| file.path == main).map_or("", |file| &file.text);
    let is_left_out = |file: &&File| {
        let stem = file.path.file_stem().unwrap_or_default().to_string_lossy();
        let named = program.lines().any(|line| line == format!("mod {stem};"));
        file.path.parent() == Some(Path::new(TESTS)) && file.path != main && !named
    };
    let files = files.iter().filter(is_left_out);
    files
        .map(|file| Finding::new(&file.path, 0, "main.rs does not name it: it never runs"))
        .collect()
}

fn check_document(files: &[File]) -> Vec<Finding> {
    let Some(document) = files.iter().find(|file| file.path == Path::new(DOCUMENT)) else {
        return Vec::new();
    };
    let (mut findings, mut proved) = (Vec::new(), false);
    for (index, line) in document.text.lines().enumerate() {
        if line.starts_with("## ") {
            proved = line.starts_with(PROVED);
        }
        if !line.starts_with('|') {
            continue;
        }
        let mut found = |what: String| findings.push(Finding::new(&document.path, index + 1, what));
        let named: Vec<&str> = tests_of(line).collect();
        for test in named.iter().filter(|test| !exists(test, files)) {
            found(format!("there is no test `{test}`"));
        }
        if proved && works(line) && named.is_empty() {
            found("marked as working without a test (`file::name`)".to_owned());
        }
    }
    findings
}

/// The words of a row that name a test: `file::name`.
fn tests_of(line: &str) -> impl Iterator<Item = &str> {
    let is_name =
        |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    line.split('`').skip(1).step_by(2).filter(move |word| {
        word.split_once("::").is_some_and(|(file, name)| is_name(file) && is_name(name))
    })
}

fn exists(test: &str, files: &[File]) -> bool {
    let Some((file, name)) = test.split_once("::") else { return false };
    let path = Path::new(TESTS).join(file).with_extension("rs");
    let function = format!("fn {name}(");
    files.iter().any(|file| file.path == path && file.text.contains(&function))
}

/// Whether the row's second column says that it works.
fn works(line: &str) -> bool {
    line.split('|').nth(2).is_some_and(|state| state.trim().starts_with("works"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(rows: &str) -> Vec<String> {
        let text =
            format!("| x | works | |\n## Every member of it\n{rows}\n## Else\n| y | works | |");
        let files = [
            File::new(DOCUMENT, &text),
            File::new("tests/e2e/tests/promises/hello.rs", "fn b1_it_says_hello() {}"),
            File::new("tests/e2e/tests/promises/main.rs", "mod hello;"),
        ];
        check(&files).into_iter().map(|finding| finding.what).collect()
    }

    #[test]
    fn a_row_that_works_names_a_test_that_exists() {
        assert_eq!(found("| `start` | works | `hello::b1_it_says_hello` |"), [""; 0]);
        assert_eq!(found("| `start` | not yet: `a::b c` | |"), [""; 0]);
        assert_eq!(
            found("| `start` | works | `hello::gone` |"),
            ["there is no test `hello::gone`"]
        );
        assert_eq!(
            found("| `start` | works, mostly | |"),
            ["marked as working without a test (`file::name`)"]
        );
    }
}

//! Module rules: which files are text, data or wasm modules, by globs.
//!
//! Two readings of a glob exist, both wrangler's: against the text of an import a `*` crosses
//! slashes; against the path of a file it does not, and `**` does.

use crate::config::{Rule, RuleKind};

/// The rules in effect, and those that an earlier rule of the same kind shadows.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) active: Vec<Rule>,
    pub(super) shadowed: Vec<Rule>,
    /// What to tell the user about shadowed rules.
    pub(super) warnings: Vec<String>,
}

/// The user's rules, then the defaults. After a rule without `fallthrough` later ones of its kind
/// don't count.
pub(super) fn parse(user: &[Rule]) -> Rules {
    let default = |kind, globs: &[&str]| Rule {
        kind,
        globs: globs.iter().map(|glob| (*glob).to_owned()).collect(),
        fallthrough: None,
    };
    let all: Vec<Rule> = user
        .iter()
        .cloned()
        .chain([
            default(RuleKind::Text, &["**/*.txt", "**/*.html", "**/*.sql"]),
            default(RuleKind::Data, &["**/*.bin"]),
            default(RuleKind::CompiledWasm, &["**/*.wasm", "**/*.wasm?module"]),
        ])
        .collect();
    let mut rules = Rules { active: Vec::new(), shadowed: Vec::new(), warnings: Vec::new() };
    for rule in all {
        let complete = rules
            .active
            .iter()
            .find(|other| other.kind == rule.kind && other.fallthrough != Some(true));
        match complete {
            Some(complete) => {
                if complete.fallthrough.is_none() {
                    let warning = format!(
                        "The module rule {} does not have a fallback, the following rule will be ignored: {}\n\
                         Add `fallthrough = true` to rule to allow next rule to be used or `fallthrough = false` to silence this warning",
                        describe(complete),
                        describe(&rule)
                    );
                    rules.warnings.push(warning);
                }
                rules.shadowed.push(rule);
            }
            None => rules.active.push(rule),
        }
    }
    rules
}

/// The rule as it stands in a configuration.
pub(super) fn describe(rule: &Rule) -> String {
    let kind = match rule.kind {
        RuleKind::EsModule => "ESModule",
        RuleKind::CommonJs => "CommonJS",
        RuleKind::CompiledWasm => "CompiledWasm",
        RuleKind::Text => "Text",
        RuleKind::Data => "Data",
    };
    let globs: Vec<_> = rule.globs.iter().map(|glob| crate::tree::quoted(glob)).collect();
    format!("{{\"type\":\"{kind}\",\"globs\":[{}]}}", globs.join(","))
}

/// A regular expression (Go's syntax) for the imports that a glob names.
pub(super) fn import_filter(glob: &str) -> String {
    let mut filter = String::from("^");
    let mut chars = glob.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '*' {
            while chars.next_if_eq(&'*').is_some() {}
            filter.push_str(".*");
        } else {
            push_escaped(&mut filter, c);
        }
    }
    filter.push('$');
    filter
}

/// A regular expression that matches exactly one of these texts.
pub(super) fn exact_filter<'a>(texts: impl Iterator<Item = &'a str>) -> String {
    let mut filter = String::from("^(?:");
    for (index, text) in texts.enumerate() {
        if index > 0 {
            filter.push('|');
        }
        text.chars().for_each(|c| push_escaped(&mut filter, c));
    }
    filter.push_str(")$");
    filter
}

fn push_escaped(filter: &mut String, c: char) {
    if r"\.+*?()|[]{}^$".contains(c) {
        filter.push('\\');
    }
    filter.push(c);
}

/// Whether a glob names a file, by its path below the module root.
pub(super) fn matches_file(glob: &str, path: &str) -> bool {
    let glob: Vec<&str> = glob.split('/').collect();
    let path: Vec<&str> = path.split('/').collect();
    segments(&glob, &path)
}

fn segments(glob: &[&str], path: &[&str]) -> bool {
    // `reached[j]`: the globs so far can stand for the first `j` segments of the path.
    let mut reached = vec![false; path.len() + 1];
    reached[0] = true;
    for part in glob {
        let mut next = vec![false; path.len() + 1];
        let any = part.len() > 1 && part.bytes().all(|b| b == b'*');
        for from in (0..=path.len()).filter(|from| reached[*from]) {
            if any {
                next[from..].fill(true);
                break;
            }
            if from < path.len() && segment(part.as_bytes(), path[from].as_bytes()) {
                next[from + 1] = true;
            }
        }
        reached = next;
    }
    reached[path.len()]
}

/// `*` within one segment.
fn segment(glob: &[u8], text: &[u8]) -> bool {
    let (mut g, mut t) = (0, 0);
    let mut star = None;
    while t < text.len() {
        if g < glob.len() && glob[g] == b'*' {
            star = Some((g, t));
            g += 1;
        } else if g < glob.len() && glob[g] == text[t] {
            g += 1;
            t += 1;
        } else if let Some((at, from)) = star {
            g = at + 1;
            t = from + 1;
            star = Some((at, from + 1));
        } else {
            return false;
        }
    }
    glob[g..].iter().all(|b| *b == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_match_files_as_wrangler_does() {
        for (glob, path) in [
            ("**/*.txt", "a.txt"),
            ("**/*.txt", "x/y/a.txt"),
            ("*.txt", "a.txt"),
            ("data/**/*.json", "data/a.json"),
            ("data/**/*.json", "data/x/a.json"),
            ("**/*.wasm?module", "a.wasm?module"),
            ("**/*", "x/a"),
            ("a*b*c.js", "axxbyyc.js"),
        ] {
            assert!(matches_file(glob, path), "{glob} {path}");
        }
        for (glob, path) in [
            ("*.txt", "x/a.txt"),
            ("data/*.json", "data/x/a.json"),
            ("**/*.txt", "a.txt.js"),
            ("a", "b"),
        ] {
            assert!(!matches_file(glob, path), "{glob} {path}");
        }
    }

    #[test]
    fn a_rule_without_fallthrough_hides_the_default() {
        let rule =
            Rule { kind: RuleKind::Text, globs: vec!["**/*.md".to_owned()], fallthrough: None };
        let rules = parse(std::slice::from_ref(&rule));
        assert_eq!(rules.active.len(), 3);
        assert_eq!(rules.shadowed.len(), 1);
        assert!(rules.warnings[0].contains("does not have a fallback"), "{:?}", rules.warnings);
        let rules = parse(&[Rule { fallthrough: Some(true), ..rule }]);
        assert_eq!((rules.active.len(), rules.warnings.len()), (4, 0));
    }

    #[test]
    fn filters_are_escaped() {
        assert_eq!(import_filter("**/*.wasm?module"), r"^.*/.*\.wasm\?module$");
        assert_eq!(exact_filter(["a.b", "c"].into_iter()), r"^(?:a\.b|c)$");
    }
}

//! What the suites print, read and shown as one table.

/// Kinds of outcomes with how many there were.
pub(super) type Counts = Vec<(String, u32)>;

/// The newest suite's lines `  Pass......: 123`.
pub(super) fn of_suite(report: &str) -> Counts {
    let after = report.split("OCI Conformance Result:").nth(1).unwrap_or_default();
    let lines = after.lines().skip(1).take_while(|line| !line.trim().is_empty());
    lines
        .filter_map(|line| {
            let (name, count) = line.split_once(':')?;
            Some((name.trim().trim_end_matches('.').to_owned(), count.trim().parse().ok()?))
        })
        .collect()
}

/// Ginkgo's line `SUCCESS! -- 74 Passed | 0 Failed | 0 Pending | 5 Skipped`.
pub(super) fn of_workflows(report: &str) -> Counts {
    let line = report.lines().rev().find(|line| line.contains(" Passed") && line.contains('|'));
    let line = line.and_then(|line| line.split("--").nth(1)).unwrap_or_default();
    line.split('|')
        .filter_map(|part| {
            let (count, name) = part.trim().split_once(' ')?;
            Some((name.trim().to_owned(), count.parse().ok()?))
        })
        .collect()
}

/// Names of the tests that ginkgo skipped: each is on the line below its `S [SKIPPED]`.
pub(super) fn skipped(report: &str) -> impl Iterator<Item = &str> {
    let lines = report.lines().zip(report.lines().skip(1));
    let heads = lines.filter(|(line, _)| line.starts_with("S [SKIPPED]"));
    heads.map(|(_, name)| name.split_once("[It] ").map_or(name, |(_, name)| name))
}

/// Whether something passed, and nothing did anything else but `skipped`, each of them an alternative.
pub(super) fn all_pass(counts: &Counts, skipped: &[&str], alternatives: &[&str]) -> bool {
    let count = |names: &[&str]| -> u32 {
        counts.iter().filter(|(name, _)| names.contains(&name.as_str())).map(|(_, n)| n).sum()
    };
    let passed = count(&["Pass", "Passed"]);
    let all: u32 = counts.iter().map(|(_, count)| count).sum::<u32>() - count(&["Total"]);
    let named = u32::try_from(skipped.len()).is_ok_and(|named| all == passed + named);
    passed > 0 && named && skipped.iter().all(|name| alternatives.contains(name))
}

pub(super) fn show(title: &str, counts: &Counts) -> String {
    let mut text = format!("\n{title}");
    for (name, count) in counts {
        text += &format!("\n  {name:<10} {count:>5}");
    }
    if counts.is_empty() {
        text += "\n  it said nothing that can be understood";
    }
    text
}

/// Lines of a report that name what did not pass.
pub(super) fn troubles(report: &str) -> impl Iterator<Item = &str> {
    let trouble = |line: &&str| {
        ["FAIL", "[FAIL]", "Error", "Skip"]
            .iter()
            .any(|word| line.trim_end().ends_with(word) || line.contains(&format!("{word}:")))
    };
    report.lines().filter(trouble).take(40)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_reports_are_understood() {
        let suite = "x\nOCI Conformance Result: FAIL\n  Pass...........:        12\n  \
                     FAIL...........:         1\n  Total..........:        13\n\nAPI conformance:\n  \
                     Ping....: Pass\n";
        let counts = of_suite(suite);
        assert_eq!(counts.len(), 3);
        assert_eq!(counts[1], ("FAIL".to_owned(), 1));
        assert!(!all_pass(&counts, &[], &[]));
        let workflows = "S [SKIPPED] [0.000 seconds]\n\
                         Tests Pull Setup [It] Get a tag\n\
                         /a/b.go:117\n\
                         Ran 75 of 76 Specs in 1.2 seconds\n\
                         SUCCESS! -- 75 Passed | 0 Failed | 0 Pending | 1 Skipped\nPASS\n";
        let counts = of_workflows(workflows);
        assert_eq!(counts[0], ("Passed".to_owned(), 75));
        let skipped: Vec<&str> = skipped(workflows).collect();
        assert_eq!(skipped, ["Get a tag"]);
        assert!(all_pass(&counts, &skipped, &["Get a tag"]));
        assert!(!all_pass(&counts, &skipped, &["Another"]));
        assert!(!all_pass(&counts, &[], &["Get a tag"]), "a skipped test without a name");
        assert!(!all_pass(&Vec::new(), &[], &[]));
    }
}

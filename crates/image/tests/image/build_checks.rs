//! Warnings about a Dockerfile, and what `# check=` makes of them.

use image::BuildError;

use crate::support::builder::Project;

#[test]
fn a_variable_without_a_value_is_warned_of_with_its_line() {
    let project = Project::new(&[("f", "f")]);
    let text = "FROM scratch\nARG DECLARED\nENV A=${OTHER:-x} B=$DECLARED\nCOPY f /$TYPO/\n";
    let log = project.build(text).progress.log();
    assert!(log.contains("Dockerfile:4: variable $TYPO is used and has no value"), "{log}");
    assert!(log.contains("(UndefinedVar)"), "{log}");
    assert!(!log.contains("OTHER") && !log.contains("DECLARED"), "{log}");
}

#[test]
fn the_check_directive_skips_a_rule_or_makes_warnings_errors() {
    let project = Project::new(&[]);
    let log = project.build("FROM scratch as x\nCMD y\n").progress.log();
    assert!(log.contains("FromAsCasing") && log.contains("JSONArgsRecommended"), "{log}");
    let log = project.build("# check=skip=FromAsCasing\nFROM scratch as x\nCMD y\n").progress.log();
    assert!(!log.contains("FromAsCasing") && log.contains("JSONArgsRecommended"), "{log}");
    for text in
        ["# check=error=true\nFROM scratch as x\n", "# check=error=true\nFROM scratch\nENV A=$X\n"]
    {
        let result = project.try_build(text, |_| {});
        assert!(matches!(result, Err(BuildError::Warnings { .. })), "{text}");
    }
}

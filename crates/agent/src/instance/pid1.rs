//! Whether a program is to be PID 1: what the image's label says, else whether it is known to insist.
//!
//! Everything else runs as PID 2 under the sandbox's init, so that it gets the signals it has no
//! handler for and need not reap.

use std::collections::BTreeMap;

/// The label by which an image asks for it (`true`) or for the contrary (`false`).
const LABEL: &str = "berth.pid1";

/// Where distributions and s6-overlay put the program that boots everything else.
const PATHS: [&str; 5] =
    ["/init", "/sbin/init", "/usr/sbin/init", "/lib/systemd/systemd", "/usr/lib/systemd/systemd"];

/// Programs made to be PID 1, wherever they lie: some refuse to be anything else, others complain.
const NAMES: [&str; 11] = [
    "systemd",
    "s6-svscan",
    "s6-linux-init",
    "openrc-init",
    "runit-init",
    "my_init",
    "catatonit",
    "dumb-init",
    "docker-init",
    "tini",
    "tini-static",
];

/// Whether the command line's program is to be PID 1.
pub(super) fn is_wanted(args: &[String], labels: &BTreeMap<String, String>) -> bool {
    match labels.get(LABEL).map(|value| value.trim()) {
        Some("true" | "1") => return true,
        Some("false" | "0") => return false,
        Some(other) => {
            tracing::warn!(label = LABEL, value = other, "neither true nor false; ignored");
        }
        None => {}
    }
    let Some(program) = args.first() else { return false };
    let name = program.rsplit('/').next().unwrap_or_default();
    PATHS.contains(&program.as_str()) || NAMES.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_wanted(program: &str, label: Option<&str>) -> bool {
        let labels = label.map(|value| (LABEL.to_owned(), value.to_owned()));
        super::is_wanted(&[program.to_owned(), "x".to_owned()], &labels.into_iter().collect())
    }

    #[test]
    fn what_boots_a_system_is_known_by_its_path_or_name() {
        for program in ["/init", "/sbin/init", "/lib/systemd/systemd", "tini", "/opt/s6-svscan"] {
            assert!(is_wanted(program, None), "{program}");
        }
        for program in ["init", "/app/init", "/usr/bin/python3", "sh", "", "/init/", "mytini"] {
            assert!(!is_wanted(program, None), "{program}");
        }
        assert!(!super::is_wanted(&[], &BTreeMap::new()));
    }

    #[test]
    fn a_label_decides_and_one_that_says_nothing_does_not() {
        assert!(is_wanted("/app", Some("true")) && is_wanted("/app", Some(" 1 ")));
        assert!(!is_wanted("tini", Some("false")) && !is_wanted("tini", Some("0")));
        assert!(is_wanted("tini", Some("perhaps")) && !is_wanted("/app", Some("perhaps")));
    }
}

//! workerd's exec wrapper and its kill helper, recognised word by word.
//!
//! workerd runs every exec under `/bin/sh -c 'echo $$ > <pid file>; exec "$@"'` and kills it with
//! another shell that reads the file. An image `FROM scratch` has no shell, so the agent runs the
//! inner command itself and serves the helper from its own record of the exec. Anything that is
//! not exactly one of the two is an ordinary command.

/// What an exec's command line is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wrapped {
    /// A user's command and the id workerd knows its process by.
    Run {
        /// The name in the pid file's name.
        key: String,
        /// The command itself.
        argv: Vec<String>,
    },
    /// "Send this signal to that exec."
    Kill {
        /// The name in the pid file's name.
        key: String,
        /// The signal.
        signal: i32,
    },
    /// A command like any other.
    Plain(Vec<String>),
}

const PID_FILE: &str = "/tmp/.workerd-exec-";

impl Wrapped {
    /// Takes a command line apart.
    pub(crate) fn recognise(command: Vec<String>) -> Self {
        match command.as_slice() {
            [sh, c, script, zero, ..] if sh == "/bin/sh" && c == "-c" && zero == "sh" => {
                match run_key(script) {
                    Some(key) => Self::Run { key: key.to_owned(), argv: command[4..].to_vec() },
                    None => Self::Plain(command),
                }
            }
            [sh, c, script] if sh == "/bin/sh" && c == "-c" => match kill_key(script) {
                Some((key, signal)) => Self::Kill { key: key.to_owned(), signal },
                None => Self::Plain(command),
            },
            _ => Self::Plain(command),
        }
    }
}

/// `echo $$ > /tmp/.workerd-exec-<key>.pid; exec "$@"`
fn run_key(script: &str) -> Option<&str> {
    let rest = script.strip_prefix("echo $$ > ")?.strip_prefix(PID_FILE)?;
    let key = rest.strip_suffix(".pid; exec \"$@\"")?;
    is_key(key).then_some(key)
}

/// `[ -s <file> ] || exit 3; kill -<n> "$(cat <file>)"`
fn kill_key(script: &str) -> Option<(&str, i32)> {
    let rest = script.strip_prefix("[ -s ")?.strip_prefix(PID_FILE)?;
    let (key, rest) = rest.split_once(".pid ] || exit 3; kill -")?;
    let (signal, rest) = rest.split_once(" \"$(cat ")?;
    let again = rest.strip_prefix(PID_FILE)?.strip_suffix(".pid)\"")?;
    let signal = signal.parse().ok().filter(|signal| (1..=64).contains(signal))?;
    (key == again && is_key(key)).then_some((key, signal))
}

fn is_key(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY: &str = "31771b1a-5a89-4a89-aba7-25ef11855263";

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    fn wrapper() -> String {
        format!("echo $$ > /tmp/.workerd-exec-{KEY}.pid; exec \"$@\"")
    }

    fn helper(signal: &str) -> String {
        format!(
            "[ -s /tmp/.workerd-exec-{KEY}.pid ] || exit 3; \
             kill -{signal} \"$(cat /tmp/.workerd-exec-{KEY}.pid)\""
        )
    }

    #[test]
    fn the_wrapper_gives_the_inner_command() {
        let command = words(&["/bin/sh", "-c", &wrapper(), "sh", "sleep", "30"]);
        assert_eq!(
            Wrapped::recognise(command),
            Wrapped::Run { key: KEY.to_owned(), argv: words(&["sleep", "30"]) }
        );
    }

    #[test]
    fn the_helper_gives_the_signal() {
        let command = words(&["/bin/sh", "-c", &helper("9")]);
        assert_eq!(Wrapped::recognise(command), Wrapped::Kill { key: KEY.to_owned(), signal: 9 });
    }

    #[test]
    fn whatever_differs_is_an_ordinary_command() {
        for command in [
            words(&["/bin/sh", "-c", "echo hi"]),
            words(&["/bin/sh", "-c", &helper("0")]),
            words(&["/bin/sh", "-c", &helper("9; rm -rf /")]),
            words(&["/bin/sh", "-c", &format!("{}; true", helper("9"))]),
            words(&["/bin/bash", "-c", &wrapper(), "sh", "x"]),
            words(&["/bin/sh", "-c", &wrapper()]),
            words(&["sleep", "1"]),
            words(&[]),
        ] {
            assert_eq!(Wrapped::recognise(command.clone()), Wrapped::Plain(command));
        }
    }

    proptest! {
        #[test]
        fn no_script_makes_it_panic(script in "\\PC{0,120}", argv in proptest::collection::vec("\\PC{0,9}", 0..4)) {
            let mut command = words(&["/bin/sh", "-c", &script, "sh"]);
            command.extend(argv.clone());
            let _ = Wrapped::recognise(command);
            let _ = Wrapped::recognise(argv);
        }
    }
}

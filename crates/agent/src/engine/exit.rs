//! Why a container does not start, in words by which the `docker` command knows its exit code.

use super::error::EngineError;

/// An error of a start. The `docker` command looks for Docker's words in it: 127 is a program that
/// is not there, 126 one that cannot be executed.
pub(super) fn not_started(reason: &str) -> EngineError {
    let words =
        if reason.ends_with(": not found") { ": executable file not found in $PATH" } else { "" };
    EngineError::BadParameter(format!("failed to {reason}{words}: unknown"))
}

/// The exit code that goes with it.
pub(super) fn code_of(error: &EngineError) -> i32 {
    let text = error.to_string();
    if text.contains("executable file not found") || text.contains("no such file or directory") {
        127
    } else if text.contains("permission denied") {
        126
    } else {
        128
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_docker_command_knows_what_is_missing_and_what_is_not_allowed() {
        let missing = not_started("execute `nope`: not found");
        assert!(missing.to_string().contains("executable file not found in $PATH"));
        assert_eq!(code_of(&missing), 127);
        assert_eq!(code_of(&not_started("execute `/etc/passwd`: permission denied")), 126);
    }
}

//! Names of containers.

use sha2::{Digest as _, Sha256};

use super::error::EngineError;

/// Whether a container may be called that.
pub(super) fn is_container_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    let first = bytes.next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    let rest = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    first && name.len() >= 2 && name.len() <= 200 && bytes.all(rest)
}

/// Refuses what no container may be called.
pub(super) fn check(name: &str) -> Result<(), EngineError> {
    if is_container_name(name) {
        return Ok(());
    }
    Err(EngineError::BadParameter(format!(
        "Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
    )))
}

/// A name for a container that was given none: two words, by its id.
pub(super) fn invented(id: &str) -> String {
    const FIRST: [&str; 16] = [
        "amber", "brave", "calm", "dapper", "eager", "fair", "gentle", "hardy", "idle", "jolly",
        "keen", "lively", "mellow", "noble", "proud", "quiet",
    ];
    const SECOND: [&str; 16] = [
        "anchor", "barge", "clipper", "dock", "estuary", "ferry", "galley", "harbor", "inlet",
        "jetty", "keel", "lagoon", "mast", "pier", "quay", "sloop",
    ];
    let digest = Sha256::digest(id.as_bytes());
    let pick = |at: usize| usize::from(digest[at]) % 16;
    format!("{}_{}_{}", FIRST[pick(0)], SECOND[pick(1)], &id[..4])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invented_names_are_names() {
        let name = invented(&"ab".repeat(32));
        assert!(is_container_name(&name), "{name}");
        for bad in ["", "a", "-a", "a b", "a/b", "_x"] {
            assert!(!is_container_name(bad), "{bad}");
        }
    }
}

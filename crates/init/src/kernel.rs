//! Which kernel this is. Asked only where trying would not tell, or would leave traces in its log.

use std::sync::OnceLock;

/// The first user namespace, the same on every machine (`PROC_USER_INIT_INO`).
const FIRST_USER_NAMESPACE: &[u8] = b"user:[4026531837]";

/// Whether the kernel is that version or later.
pub(crate) fn at_least(major: u32, minor: u32) -> bool {
    is_at_least(&rustix::system::uname().release().to_string_lossy(), (major, minor))
}

fn is_at_least(release: &str, wanted: (u32, u32)) -> bool {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) >= wanted,
        _ => false,
    }
}

/// Whether root here is not the machine's root. Asked of the kernel once: a program that is PID 1
/// gets a `/proc` in which its init is not to be found.
pub(crate) fn in_a_user_namespace() -> bool {
    static ANSWER: OnceLock<bool> = OnceLock::new();
    *ANSWER.get_or_init(|| {
        let name = rustix::fs::readlink("/proc/self/ns/user", Vec::new());
        name.is_ok_and(|name| name.as_bytes() != FIRST_USER_NAMESPACE)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_compared_by_its_first_two_numbers() {
        for release in ["6.7.0", "6.12.9-arch1-1", "6.18.44-fc", "7.0-rc1", "10.1"] {
            assert!(is_at_least(release, (6, 7)), "{release}");
        }
        for release in ["6.6.99", "6.1.0-56-cloud-amd64", "5.15.0-generic", "", "x"] {
            assert!(!is_at_least(release, (6, 7)), "{release}");
        }
    }
}

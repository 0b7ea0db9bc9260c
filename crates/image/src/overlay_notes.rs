//! Where overlayfs keeps what it notes on a file of a layer.

use std::sync::OnceLock;

/// The first user namespace's inode, the same on every machine (`PROC_USER_INIT_INO`).
const FIRST_USER_NAMESPACE: &str = "user:[4026531837]";

/// Extended attributes of one kind.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Notes {
    /// Before each note's name.
    pub(crate) prefix: &'static str,
    /// Marks a directory that hides all it has in lower layers.
    pub(crate) opaque: &'static str,
    /// What a mount must be told to use them.
    pub(crate) option: Option<&'static str>,
}

const TRUSTED: Notes =
    Notes { prefix: "trusted.overlay.", opaque: "trusted.overlay.opaque", option: None };

const USER: Notes =
    Notes { prefix: "user.overlay.", opaque: "user.overlay.opaque", option: Some("userxattr") };

/// Those that overlay mounts of this process use: in a user namespace `trusted.` cannot be had.
pub(crate) fn notes() -> Notes {
    static NOTES: OnceLock<Notes> = OnceLock::new();
    *NOTES.get_or_init(|| {
        let namespace = fs_err::read_link("/proc/self/ns/user");
        let first = namespace.is_ok_and(|name| name.as_os_str() == FIRST_USER_NAMESPACE);
        if first { TRUSTED } else { USER }
    })
}

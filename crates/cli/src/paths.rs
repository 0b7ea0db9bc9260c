//! Where Berth keeps things on this machine.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use rustix::process::geteuid;
use sha2::{Digest, Sha256};

/// `BERTH_HOME`, or root's `/var/lib/berth`, or an ordinary user's `~/.local/share/berth`: short,
/// because unix socket paths end at 107 bytes, and on a real disk, because the instances' writable
/// layers live here.
pub(crate) fn home() -> PathBuf {
    let root = geteuid().is_root() && runtime::ordinary_user::ids().is_none();
    home_of(root, |name| std::env::var_os(name).filter(|value| !value.is_empty()))
}

fn home_of(root: bool, variable: impl Fn(&str) -> Option<OsString>) -> PathBuf {
    let own = || {
        let data = variable("XDG_DATA_HOME").map(PathBuf::from);
        let data = data.or_else(|| Some(PathBuf::from(variable("HOME")?).join(".local/share")))?;
        data.is_absolute().then(|| data.join("berth"))
    };
    match variable("BERTH_HOME") {
        Some(home) => home.into(),
        None if root => "/var/lib/berth".into(),
        None => own().unwrap_or_else(|| "/var/lib/berth".into()),
    }
}

/// What all projects share: the toolchain and the images.
#[derive(Debug, Clone)]
pub(crate) struct Shared {
    /// Installed workerd and esbuild.
    pub(crate) toolchain: PathBuf,
    /// Image content and unpacked layers.
    pub(crate) images: PathBuf,
}

impl Shared {
    pub(crate) fn under(home: &Path) -> Self {
        Self { toolchain: home.join("toolchain"), images: home.join("images") }
    }
}

/// What one `berth dev` session keeps.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    /// Short name of the session: twelve hex digits of its state folder's hash.
    pub(crate) key: String,
    /// Held while a `berth dev` runs on this project.
    pub(crate) lock: PathBuf,
    /// Durable Object storage; stays.
    pub(crate) objects: PathBuf,
    /// Rendered Worker configuration; removed at the end.
    pub(crate) worker: PathBuf,
    /// Running instances; empty after a clean end.
    pub(crate) instances: PathBuf,
    /// The agent's records and sockets; empty after a clean end.
    pub(crate) agent: PathBuf,
    /// Everything of this session that does not outlive it.
    pub(crate) scratch: PathBuf,
}

impl Session {
    /// The session of the project whose state folder is `state`, which must exist.
    pub(crate) fn of(state: &Path, home: &Path) -> Self {
        let key = key(state);
        let scratch = home.join("dev").join(&key);
        Self {
            lock: state.join("dev.lock"),
            objects: state.join("objects"),
            worker: scratch.join("w"),
            instances: scratch.join("i"),
            agent: scratch.join("a"),
            scratch,
            key,
        }
    }
}

/// Twelve hex digits of a folder's hash: a short name for what belongs to it.
pub(crate) fn key(folder: &Path) -> String {
    let digest = Sha256::digest(folder.as_os_str().as_encoded_bytes());
    digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_and_each_user_have_a_home_and_a_variable_overrides_it() {
        let set = |pairs: &'static [(&str, &str)]| {
            move |name: &str| pairs.iter().find(|(n, _)| *n == name).map(|(_, v)| v.into())
        };
        assert_eq!(home_of(true, set(&[("HOME", "/root")])), Path::new("/var/lib/berth"));
        assert_eq!(home_of(false, set(&[("HOME", "/u")])), Path::new("/u/.local/share/berth"));
        let both = set(&[("HOME", "/u"), ("XDG_DATA_HOME", "/d")]);
        assert_eq!(home_of(false, both), Path::new("/d/berth"));
        assert_eq!(home_of(true, set(&[("BERTH_HOME", "/b")])), Path::new("/b"));
    }

    #[test]
    fn two_projects_have_two_sessions_and_one_has_one() {
        let home = Path::new("/h");
        let a = Session::of(Path::new("/a/.berth"), home);
        let b = Session::of(Path::new("/b/.berth"), home);
        assert_ne!(a.key, b.key);
        assert_eq!(a.key, Session::of(Path::new("/a/.berth"), home).key);
        assert!(a.instances.as_os_str().len() < 40);
    }
}

//! Berth as an ordinary user: the process becomes root of a user namespace of its own.
//!
//! Inside, it may make all that sandboxes need but cgroups nobody has delegated to it, disks and
//! further user namespaces for programs. Root in an instance is then the user outside, no more.

mod standing;

use std::io::{self, Write};
use std::os::fd::AsFd as _;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use fs_err as fs;
use rustix::process::{getgid, getuid};
use rustix::thread::LinkNameSpaceType;

use crate::sys;

/// Ids of the namespace beside root's own, as images expect them.
const SUBORDINATE_MIN: u32 = 65_536;

static BECAME: OnceLock<Ids> = OnceLock::new();

/// The users and groups there are in the namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ids {
    /// Root and 65,536 more, which `/etc/subuid` and `/etc/subgid` give to this user.
    Subordinate,
    /// Root alone: every file belongs to it, and images' other users cannot be had.
    RootAlone {
        /// Why there are no more.
        reason: String,
    },
}

/// The namespace could not be made.
#[derive(Debug, thiserror::Error)]
#[error("failed to {step} as an ordinary user: {source}")]
pub struct OrdinaryUserError {
    step: &'static str,
    source: io::Error,
}

/// What [`become_root`] found, if it was called and worked.
#[must_use]
pub fn ids() -> Option<&'static Ids> {
    BECAME.get()
}

/// Moves this process, which must have one thread, into a user namespace and a new mount namespace,
/// as root there. The user namespace is that of this user's other Berths and instances, or a new one.
///
/// # Errors
/// The host does not let ordinary users make user namespaces.
pub fn become_root() -> Result<&'static Ids, OrdinaryUserError> {
    let at = |step| move |source| OrdinaryUserError { step, source };
    let (uid, gid) = (getuid().as_raw(), getgid().as_raw());
    let mappers = Mappers::start(uid, gid);
    let _turn = standing::turn();
    if let Some(namespace) = standing::find(mappers.is_ok()) {
        let user = Some(LinkNameSpaceType::User);
        let joined = rustix::thread::move_into_link_name_space(namespace.as_fd(), user);
        joined.map_err(|e| at("join the user namespace of what runs")(e.into()))?;
        sys::unshare_mounts().map_err(at("make a mount namespace"))?;
        let ids = match mappers {
            Ok(mappers) => {
                mappers.send_away();
                Ids::Subordinate
            }
            Err(reason) => Ids::RootAlone { reason },
        };
        return Ok(BECAME.get_or_init(|| ids));
    }
    sys::unshare_user_and_mounts().map_err(at("make a user namespace"))?;
    let ids = match mappers.and_then(Mappers::map) {
        Ok(()) => Ids::Subordinate,
        Err(reason) => {
            map_root_alone(uid, gid).map_err(at("map ids"))?;
            Ids::RootAlone { reason }
        }
    };
    Ok(BECAME.get_or_init(|| ids))
}

/// The setuid helpers of Debian's `uidmap` (shadow), waiting outside of the namespace that they are
/// to write the maps of.
struct Mappers([Child; 2]);

impl Mappers {
    fn start(uid: u32, gid: u32) -> Result<Self, String> {
        let names = [name_of(uid).unwrap_or_default(), uid.to_string()];
        let start = |program: &str, own: u32, file: &str| {
            let text = fs::read_to_string(file).unwrap_or_default();
            let (first, count) = subordinate_ids(&text, &names)
                .ok_or_else(|| format!("{file} gives this user no {SUBORDINATE_MIN} ids"))?;
            let numbers = [std::process::id(), 0, own, 1, 1, first, count];
            Command::new("sh")
                .args(["-c", "read -r go && exec \"$@\"", "sh", program])
                .args(numbers.map(|number| number.to_string()))
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .map_err(|error| format!("{program}: {error}"))
        };
        let users = start("newuidmap", uid, "/etc/subuid")?;
        Ok(Self([users, start("newgidmap", gid, "/etc/subgid")?]))
    }

    /// Ends them: there is nothing to write.
    fn send_away(self) {
        for mut child in self.0 {
            drop(child.stdin.take());
            let _ = child.wait();
        }
    }

    /// Lets them write, now that this process is in its namespace.
    fn map(self) -> Result<(), String> {
        for (mut child, program) in self.0.into_iter().zip(["newuidmap", "newgidmap"]) {
            let mut stdin = child.stdin.take().expect("it was given a pipe");
            let go = stdin.write_all(b"go\n");
            drop(stdin);
            let ended = go.and_then(|()| child.wait()).map_err(|e| format!("{program}: {e}"))?;
            if !ended.success() {
                return Err(format!("{program} failed ({ended}); it is in Debian's `uidmap`"));
            }
        }
        Ok(())
    }
}

/// What everybody may do without help: one id. Maps that are there already stay.
fn map_root_alone(uid: u32, gid: u32) -> io::Result<()> {
    if fs::read_to_string("/proc/self/uid_map")?.is_empty() {
        fs::write("/proc/self/uid_map", format!("0 {uid} 1"))?;
    }
    if fs::read_to_string("/proc/self/gid_map")?.is_empty() {
        fs::write("/proc/self/setgroups", "deny")?;
        fs::write("/proc/self/gid_map", format!("0 {gid} 1"))?;
    }
    Ok(())
}

fn name_of(uid: u32) -> Option<String> {
    let users = fs::read_to_string("/etc/passwd").ok()?;
    // name:password:uid:…
    let mut lines = users.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let own = |fields: &Vec<&str>| fields.get(2).is_some_and(|id| id.parse() == Ok(uid));
    lines.find(own).map(|fields| fields[0].to_owned())
}

/// The first range that is large enough, of lines `user:first:count`.
fn subordinate_ids(text: &str, names: &[String]) -> Option<(u32, u32)> {
    text.lines().find_map(|line| {
        let fields: Vec<&str> = line.trim().split(':').collect();
        let [name, first, count] = fields[..] else { return None };
        let (first, count): (u32, u32) = (first.parse().ok()?, count.parse().ok()?);
        let ours = names.iter().any(|own| own == name) && count >= SUBORDINATE_MIN;
        ours.then_some((first, count.min(SUBORDINATE_MIN)))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_first_large_enough_range_of_a_user_is_taken() {
        let text = "bob:100000:65536\nalice:5:10\nalice:165536:200000\n1000:1:65536\n";
        let names = |name: &str| [name.to_owned(), "1000".to_owned()];
        assert_eq!(subordinate_ids(text, &names("alice")), Some((165_536, 65_536)));
        assert_eq!(subordinate_ids(text, &names("carol")), Some((1, 65_536)));
        assert_eq!(subordinate_ids(text, &["dave".to_owned()]), None);
    }

    proptest! {
        #[test]
        fn any_file_is_read_without_harm(text in ".*") {
            let _ = subordinate_ids(&text, &["a".to_owned()]);
        }
    }
}

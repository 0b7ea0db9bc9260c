//! Who a program runs as: `USER` of an image, resolved against the image's own files.
//!
//! The files are whatever the image has: every line that cannot be understood is passed over.

use std::io::Read;
use std::rc::Rc;

use berth_init::message::{Failure, FailureKind};
use rustix::fs::{Gid, OFlags, Uid};

use crate::rootfs;
use crate::userns::UserNamespace;

/// Longest `/etc/passwd` or `/etc/group` that is read.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// The ids a program gets.
#[derive(Debug, Clone)]
pub(crate) struct User {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Supplementary groups; `gid` is the first of them.
    pub(crate) groups: Vec<u32>,
    /// Home directory.
    pub(crate) home: String,
    /// What the ids are those of; the host's if none.
    namespace: Option<Rc<UserNamespace>>,
}

impl User {
    /// Moves this process into the user's namespace. The ids are taken after that.
    pub(crate) fn enter_namespace(&self) -> rustix::io::Result<()> {
        self.namespace.as_ref().map_or(Ok(()), |namespace| namespace.enter())
    }

    /// The ids as the host has them.
    pub(crate) fn on_host(&self) -> (Uid, Gid) {
        let host = |id| self.namespace.as_ref().map_or(Some(id), |n| n.host(id));
        let host = |id| host(id).expect("resolved only with ids that the namespace has");
        (Uid::from_raw(host(self.uid)), Gid::from_raw(host(self.gid)))
    }
}

/// Resolves `user` (`""`, `name`, `uid`, each with `:group` or `:gid`) inside the root.
pub(crate) fn resolve(user: &str, namespace: Option<&Rc<UserNamespace>>) -> Result<User, Failure> {
    let found = find(user, &read("/etc/passwd"), &read("/etc/group")).ok_or_else(|| Failure {
        kind: FailureKind::User,
        what: user.to_owned(),
        errno: 0,
    })?;
    let ids = found.groups.iter().chain([&found.uid, &found.gid]);
    let missing = ids.copied().find(|&id| namespace.is_some_and(|n| n.host(id).is_none()));
    if let Some(id) = missing {
        let what = format!("run as user `{user}`: an instance has no id {id}");
        return Err(Failure { kind: FailureKind::Setup, what, errno: libc::EINVAL });
    }
    Ok(User { namespace: namespace.cloned(), ..found })
}

/// A file's text, or nothing: an image need not have it.
fn read(path: &str) -> String {
    let mut bytes = Vec::new();
    // Not blocking: the file may be a pipe that nobody writes to.
    if let Ok(fd) = rootfs::open_inside(path, OFlags::RDONLY | OFlags::NONBLOCK) {
        let _ = std::fs::File::from(fd).take(FILE_BYTES_MAX).read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Docker's rules: a number need not be in the files and has group 0 then; an explicit group
/// replaces all supplementary ones. The program's own group is a supplementary one too: otherwise a
/// set-group-ID program would lose what is denied to that group (CVE-2023-25173).
fn find(user: &str, passwd: &str, group: &str) -> Option<User> {
    let (user, wanted_group) = match user.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (user, None),
    };
    let user = if user.is_empty() { "0" } else { user };
    // name:password:uid:gid:comment:home:shell
    let entry = passwd
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .filter(|fields| fields.len() >= 6 && id(fields[2]).is_some())
        .find(|fields| fields[0] == user || id(user).is_some_and(|uid| id(fields[2]) == Some(uid)));
    let uid = entry.as_ref().and_then(|fields| id(fields[2])).or_else(|| id(user))?;
    let mut gid = entry.as_ref().and_then(|fields| id(fields[3])).unwrap_or(0);
    let mut others = Vec::new();
    match wanted_group.filter(|group| !group.is_empty()) {
        Some(wanted) => gid = find_group(wanted, group)?,
        None => {
            if let Some(fields) = &entry {
                others = groups_of(fields[0], group);
            }
        }
    }
    others.retain(|other| *other != gid);
    let groups = [vec![gid], others].concat();
    let home = entry.map_or("/", |fields| fields[5]);
    let home = if home.is_empty() { "/" } else { home }.to_owned();
    Some(User { uid, gid, groups, home, namespace: None })
}

fn find_group(wanted: &str, group: &str) -> Option<u32> {
    group
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .find(|fields| fields.len() >= 3 && fields[0] == wanted)
        .and_then(|fields| id(fields[2]))
        .or_else(|| id(wanted))
}

/// Groups that list `name` as a member.
fn groups_of(name: &str, group: &str) -> Vec<u32> {
    group
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .filter(|fields| fields.len() >= 4 && fields[3].split(',').any(|member| member == name))
        .filter_map(|fields| id(fields[2]))
        .take(64)
        .collect()
}

/// A user or group id: digits that fit, without the value that means "none".
fn id(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|&id| digits && id != u32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\n\
        broken\nbad:x:minus:1::/:\n\
        app:x:1000:100:App:/home/app:/bin/sh\n42:x:7:7::/odd:\n";
    const GROUP: &str = "root:x:0:\nusers:x:100:app\nwheel:x:10:root,app\nvideo:x:44:app\nx:y\n";

    fn found(user: &str) -> Option<(u32, u32, Vec<u32>, String)> {
        find(user, PASSWD, GROUP).map(|u| (u.uid, u.gid, u.groups, u.home))
    }

    #[test]
    fn a_name_gives_its_ids_groups_and_home() {
        assert_eq!(found("app"), Some((1000, 100, vec![100, 10, 44], "/home/app".into())));
        assert_eq!(found(""), Some((0, 0, vec![0, 10], "/root".into())));
    }

    #[test]
    fn a_number_in_the_file_counts_as_its_name_and_another_has_group_0() {
        assert_eq!(found("1000"), found("app"));
        assert_eq!(found("1234"), Some((1234, 0, vec![0], "/".into())));
    }

    #[test]
    fn an_explicit_group_replaces_all_others() {
        assert_eq!(found("app:video"), Some((1000, 44, vec![44], "/home/app".into())));
        assert_eq!(found("5:6"), Some((5, 6, vec![6], "/".into())));
        assert_eq!(found(":10"), Some((0, 10, vec![10], "/root".into())));
    }

    #[test]
    fn unknown_names_are_refused() {
        for user in ["nobody", "bad", "app:nogroup", "-1", "4294967295", "99999999999", "broken"] {
            assert_eq!(found(user), None, "{user}");
        }
    }

    proptest! {
        #[test]
        fn any_files_are_read_without_harm(user in ".*", passwd in ".*", group in ".*") {
            let _ = find(&user, &passwd, &group);
        }
    }
}

//! Users and groups of an image, as its own `/etc/passwd` and `/etc/group` name them.

use std::path::Path;

use crate::root::Root;

/// Largest `/etc/passwd` that is read.
const FILE_BYTES: u64 = 4 * 1024 * 1024;

/// A user of `/etc/passwd`.
#[derive(Debug, Clone, PartialEq)]
struct User {
    uid: u32,
    gid: u32,
    home: String,
}

/// Resolves `user`, `user:group`, `uid` or `uid:gid` to numbers. A number without a group has the
/// group of the same number, a name that of `/etc/passwd`, as with Docker.
pub(super) fn resolve(root: &Root, text: &str) -> Result<(u32, u32), String> {
    let (user, group) = match text.split_once(':') {
        Some((user, group)) => (user, Some(group).filter(|group| !group.is_empty())),
        None => (text, None),
    };
    let (uid, own_gid) = if user.is_empty() {
        (0, 0)
    } else if let Some(uid) = number(user) {
        (uid, uid)
    } else {
        let found = passwd(root)?.into_iter().find(|(name, _)| name == user);
        let (_, user) =
            found.ok_or_else(|| format!("the image's /etc/passwd has no user \"{user}\""))?;
        (user.uid, user.gid)
    };
    let gid = match group {
        None => own_gid,
        Some(group) => match number(group) {
            Some(gid) => gid,
            None => group_id(root, group)?,
        },
    };
    Ok((uid, gid))
}

/// The home directory of a user as `USER` gives it; `/` when nothing says so.
pub(super) fn home(root: &Root, text: &str) -> String {
    let user = text.split(':').next().unwrap_or_default();
    let uid = if user.is_empty() { Some(0) } else { number(user) };
    let known = passwd(root).unwrap_or_default();
    let found = known.into_iter().find(|(name, entry)| match uid {
        Some(uid) => entry.uid == uid,
        None => name == user,
    });
    match found {
        Some((_, entry)) if !entry.home.is_empty() => entry.home,
        _ if uid == Some(0) => "/root".to_owned(),
        _ => "/".to_owned(),
    }
}

fn number(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| digits && *number != u32::MAX)
}

fn lines(root: &Root, path: &str) -> Result<Vec<Vec<String>>, String> {
    let bytes = root
        .read(Path::new(path), FILE_BYTES)
        .map_err(|error| format!("the image's /{path} cannot be read: {error}"))?
        .unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    Ok(text.lines().map(|line| line.split(':').map(str::to_owned).collect()).collect())
}

fn passwd(root: &Root) -> Result<Vec<(String, User)>, String> {
    let parse = |fields: Vec<String>| {
        let [name, _, uid, gid, _, home, ..] = &fields[..] else { return None };
        let user = User { uid: number(uid)?, gid: number(gid)?, home: home.clone() };
        Some((name.clone(), user))
    };
    Ok(lines(root, "etc/passwd")?.into_iter().filter_map(parse).collect())
}

fn group_id(root: &Root, group: &str) -> Result<u32, String> {
    let groups = lines(root, "etc/group")?;
    let found = groups.iter().find(|fields| fields.first().is_some_and(|name| name == group));
    found
        .and_then(|fields| number(fields.get(2)?))
        .ok_or_else(|| format!("the image's /etc/group has no group \"{group}\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> (tempfile::TempDir, Root) {
        let dir = tempfile::tempdir().unwrap();
        fs_err::create_dir(dir.path().join("etc")).unwrap();
        let passwd = "root:x:0:0:root:/root:/bin/sh\nbroken\napp:x:1000:100::/home/app:\n";
        fs_err::write(dir.path().join("etc/passwd"), passwd).unwrap();
        fs_err::write(dir.path().join("etc/group"), "root:x:0:\nusers:x:100:app\n").unwrap();
        let root = Root::open(dir.path()).unwrap();
        (dir, root)
    }

    #[test]
    fn names_and_numbers_resolve_in_the_image() {
        let (_dir, root) = root();
        for (text, expected) in [
            ("app", (1000, 100)),
            ("app:", (1000, 100)),
            ("app:users", (1000, 100)),
            ("app:root", (1000, 0)),
            ("7", (7, 7)),
            ("7:8", (7, 8)),
            ("7:users", (7, 100)),
            (":users", (0, 100)),
            ("", (0, 0)),
        ] {
            assert_eq!(resolve(&root, text), Ok(expected), "{text}");
        }
        assert!(resolve(&root, "nobody").unwrap_err().contains("no user \"nobody\""));
        assert!(resolve(&root, "app:x").unwrap_err().contains("no group \"x\""));
    }

    #[test]
    fn a_home_is_found_or_a_harmless_one_given() {
        let (_dir, root) = root();
        for (user, expected) in
            [("", "/root"), ("app", "/home/app"), ("1000:5", "/home/app"), ("9", "/"), ("x", "/")]
        {
            assert_eq!(home(&root, user), expected, "{user}");
        }
        let empty = tempfile::tempdir().unwrap();
        let empty = Root::open(empty.path()).unwrap();
        assert_eq!(home(&empty, "0"), "/root");
        assert_eq!(home(&empty, "app"), "/");
    }
}

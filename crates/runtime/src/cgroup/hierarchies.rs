//! Which cgroup hierarchies the host has, and the parent cgroup of our sandboxes in each.
//!
//! Root's sandboxes have theirs below a hierarchy's root. An ordinary user's have them below the
//! cgroup that this process was started in, if it was delegated: if the user may write to it.

use std::io;
use std::path::{Path, PathBuf};

use fs_err as fs;

use crate::{Warning, ordinary_user};

/// The controllers that limits need.
const WANTED: [&str; 3] = ["cpu", "memory", "pids"];

/// What only shares better: without it nothing is unlimited, so nobody is warned.
const OPTIONAL: [&str; 1] = ["io"];

/// The v1 controllers sandboxes join; the freezer is for pausing.
pub(super) const V1: [&str; 6] = ["cpu", "cpuacct", "memory", "pids", "freezer", "blkio"];

/// Where this process goes to leave a delegated cgroup to its sandboxes.
const OWN: &str = "berth-own";

/// The mounted hierarchies.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Hierarchies {
    v1: Vec<V1Mount>,
    v2: Option<V2Mount>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct V1Mount {
    dir: PathBuf,
    /// Below which our cgroups are.
    root: PathBuf,
    /// Its mount options that name controllers.
    controllers: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct V2Mount {
    /// Below which our cgroups are.
    root: PathBuf,
    /// Controllers our sandboxes can have, known after [`Hierarchies::prepare`].
    controllers: Vec<String>,
}

impl Hierarchies {
    /// Finds the mounted hierarchies, makes `parent` in each and turns on v2's controllers down to
    /// it.
    pub(crate) fn prepare(parent: &str) -> io::Result<(Self, Vec<Warning>)> {
        let mut found = Self::parse(&fs::read_to_string("/proc/self/mountinfo")?);
        if ordinary_user::ids().is_some() {
            found.use_delegated(&fs::read_to_string("/proc/self/cgroup")?);
        }
        let mut reasons = Vec::new();
        if let Some(v2) = &mut found.v2 {
            let available = fs::read_to_string(v2.root.join("cgroup.controllers"))?;
            for controller in WANTED.into_iter().chain(OPTIONAL) {
                if !available.split_whitespace().any(|c| c == controller) {
                    continue;
                }
                match enable(&v2.root, parent, controller) {
                    Ok(()) => v2.controllers.push(controller.to_owned()),
                    Err(e) => reasons.push((controller, e.to_string())),
                }
            }
        }
        // A directory that cannot be made is a controller we do not have.
        found.v1.retain(|mount| match fs::create_dir_all(mount.root.join(parent)) {
            Ok(()) => true,
            Err(e) => {
                let missing = WANTED.iter().filter(|c| mount.controllers.iter().any(|o| o == *c));
                reasons.extend(missing.map(|c| (*c, e.to_string())));
                false
            }
        });
        let warnings = WANTED.iter().filter(|c| !found.has(c)).map(|&controller| {
            let reason = reasons.iter().find(|(c, _)| *c == controller);
            let reason = reason.map_or("the kernel has none mounted", |(_, reason)| reason);
            Warning::NoController { controller, reason: reason.to_owned() }
        });
        let warnings = warnings.collect();
        Ok((found, warnings))
    }

    /// Reads the text of `/proc/self/mountinfo`.
    fn parse(mountinfo: &str) -> Self {
        let mut found = Self::default();
        for line in mountinfo.lines() {
            // id parent major:minor root mount-point options optional* - type source super-options
            let Some((left, right)) = line.split_once(" - ") else { continue };
            let Some(dir) = left.split(' ').nth(4) else { continue };
            let mut right = right.split(' ');
            let (kind, options) = (right.next().unwrap_or(""), right.nth(1).unwrap_or(""));
            let dir = PathBuf::from(unescape(dir));
            match kind {
                "cgroup2" if found.v2.is_none() => {
                    found.v2 = Some(V2Mount { root: dir, controllers: Vec::new() });
                }
                "cgroup" => {
                    let ours = |option: &&str| V1.contains(option);
                    let controllers: Vec<String> =
                        options.split(',').filter(ours).map(str::to_owned).collect();
                    let known = controllers.iter().any(|c| found.v1_mount(c).is_some());
                    if !controllers.is_empty() && !known {
                        found.v1.push(V1Mount { root: dir.clone(), dir, controllers });
                    }
                }
                _ => {}
            }
        }
        found
    }

    /// Goes below this process's own cgroups, of which `own` is the list in `/proc/self/cgroup`, where
    /// it may write to them.
    fn use_delegated(&mut self, own: &str) {
        let writable =
            |dir: &PathBuf| rustix::fs::access(dir, rustix::fs::Access::WRITE_OK).is_ok();
        for mount in &mut self.v1 {
            let path = mount.controllers.iter().find_map(|controller| own_path(own, controller));
            let own = path.map(|path| mount.root.join(path)).filter(writable);
            mount.root = own.unwrap_or_else(|| mount.root.clone());
        }
        if let Some(v2) = &mut self.v2
            && let Some(own) = own_path(own, "").map(|path| v2.root.join(path)).filter(writable)
        {
            // Only a cgroup without processes may share its controllers among those below it.
            let leaf = own.join(OWN);
            let pid = std::process::id().to_string();
            let moved =
                fs::create_dir_all(&leaf).and_then(|()| fs::write(leaf.join("cgroup.procs"), pid));
            if let Err(error) = moved {
                tracing::debug!(%error, "the delegated cgroup cannot be left");
            }
            v2.root = own;
        }
    }

    /// Below which our cgroups of a v1 controller are.
    pub(super) fn v1_mount(&self, controller: &str) -> Option<&Path> {
        let has = |mount: &&V1Mount| mount.controllers.iter().any(|c| c == controller);
        self.v1.iter().find(has).map(|mount| mount.root.as_path())
    }

    /// Below which our v2 cgroups are, if they have that controller.
    pub(super) fn v2_mount(&self, controller: &str) -> Option<&Path> {
        let v2 = self.v2.as_ref()?;
        v2.controllers.iter().any(|c| c == controller).then_some(v2.root.as_path())
    }

    /// Below which our v2 cgroups are, if any controller of theirs is used.
    pub(super) fn v2_in_use(&self) -> Option<&Path> {
        self.v2.as_ref().filter(|v2| !v2.controllers.is_empty()).map(|v2| v2.root.as_path())
    }

    fn has(&self, controller: &str) -> bool {
        self.v1_mount(controller).is_some() || self.v2_mount(controller).is_some()
    }

    /// The v1 mounts to show inside, by directory name and mount options.
    pub(crate) fn shown_inside(&self) -> Vec<(String, String)> {
        let name =
            |mount: &V1Mount| mount.dir.file_name().map(|n| n.to_string_lossy().into_owned());
        self.v1.iter().filter_map(|m| Some((name(m)?, m.controllers.join(",")))).collect()
    }

    /// Removes cgroups below `parent` that have no processes and no sandbox.
    pub(crate) fn sweep(&self, parent: &str, in_use: impl Fn(&str) -> bool) {
        for dir in self.mounts().map(|mount| mount.join(parent)) {
            let Ok(entries) = fs::read_dir(&dir) else { continue };
            for entry in entries.flatten() {
                if !in_use(&entry.file_name().to_string_lossy()) {
                    // One with processes refuses, and so do plain files.
                    let _ = fs::remove_dir(entry.path());
                }
            }
        }
    }

    /// Removes `parent` and what is above it, as far as it is empty.
    pub(crate) fn remove_parent(&self, parent: &str) {
        for mount in self.mounts() {
            let mut dir = Path::new(parent);
            while !dir.as_os_str().is_empty() && fs::remove_dir(mount.join(dir)).is_ok() {
                dir = dir.parent().unwrap_or(Path::new(""));
            }
        }
    }

    fn mounts(&self) -> impl Iterator<Item = &PathBuf> {
        self.v1.iter().map(|m| &m.root).chain(self.v2.as_ref().map(|m| &m.root))
    }
}

/// The path of this process's cgroup in the hierarchy of a v1 controller, or of v2 if that is empty;
/// relative. `own` is the text of `/proc/self/cgroup`.
fn own_path<'a>(own: &'a str, controller: &str) -> Option<&'a str> {
    own.lines().find_map(|line| {
        // number:controller,…:/path
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        let is_it = controllers.split(',').any(|one| one == controller);
        is_it.then(|| path.trim_start_matches('/'))
    })
}

/// Makes `parent` below the v2 root, with `controller` turned on for its children.
fn enable(root: &Path, parent: &str, controller: &str) -> io::Result<()> {
    let mut dir = root.to_owned();
    fs::create_dir_all(root.join(parent))?;
    for name in std::iter::once("").chain(parent.split('/')) {
        dir.push(name);
        let file = dir.join("cgroup.subtree_control");
        let on = fs::read_to_string(&file)?;
        if !on.split_whitespace().any(|c| c == controller) {
            fs::write(&file, format!("+{controller}"))?;
        }
    }
    Ok(())
}

/// Undoes the escapes of mountinfo (`\040` for a space).
fn unescape(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let octal = |b: &[u8]| {
            let digits = std::str::from_utf8(b.get(..3)?).ok()?;
            u8::from_str_radix(digits, 8).ok()
        };
        match (first, octal(tail)) {
            (b'\\', Some(byte)) => {
                bytes.push(byte);
                rest = &tail[3..];
            }
            _ => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HYBRID: &str = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
42 31 0:32 / /mnt/my\\040memory rw,relatime - cgroup cgroup rw,memory";

    #[test]
    fn a_process_finds_its_own_cgroup_in_each_hierarchy() {
        let own = "4:cpu,cpuacct:/user/a\n3:memory:/\n1:name=systemd:/x\n0::/user.slice/b\n";
        assert_eq!(own_path(own, "cpuacct"), Some("user/a"));
        assert_eq!(own_path(own, "memory"), Some(""));
        assert_eq!(own_path(own, ""), Some("user.slice/b"));
        assert_eq!(own_path(own, "pids"), None);
    }

    #[test]
    fn a_host_that_mixes_versions_has_both() {
        let found = Hierarchies::parse(HYBRID);
        assert_eq!(found.v1_mount("cpu"), Some(Path::new("/sys/fs/cgroup/cpu,cpuacct")));
        assert_eq!(found.v1_mount("memory"), Some(Path::new("/sys/fs/cgroup/memory")));
        assert_eq!(found.v1_mount("pids"), None);
        assert_eq!(found.v2.as_ref().unwrap().root, Path::new("/sys/fs/cgroup/unified"));
        assert_eq!(found.v2_in_use(), None);
        let shown = found.shown_inside();
        assert_eq!(shown[0], ("cpu,cpuacct".to_owned(), "cpu,cpuacct".to_owned()));
    }

    #[test]
    fn a_host_with_version_2_alone_has_no_other() {
        let line = "24 23 0:22 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw,nsdelegate";
        let found = Hierarchies::parse(line);
        assert!(found.v1.is_empty() && found.v2.is_some());
    }

    #[test]
    fn escapes_of_a_path_are_undone() {
        assert_eq!(unescape("/a\\040b\\134c\\9"), "/a b\\c\\9");
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_harm(text in "[ -~\\n]{0,200}") {
            let _ = Hierarchies::parse(&text);
        }
    }
}

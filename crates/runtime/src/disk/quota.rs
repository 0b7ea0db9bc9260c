//! Project quotas: a limit for all that is written below a directory.
//!
//! Only of XFS, where a project that is full answers ENOSPC, as a disk does. ext4 has project quotas too,
//! but answers EDQUOT, which programs take for something else. Only for programs in a user namespace:
//! the kernel lets no other change the project of its files (`fileattr_set_prepare`).
//!
//! A project's id follows from the sandbox's user ids, which no other sandbox of the machine has. That
//! keeps the ids dense: a file system keeps a record of each id it has ever seen. The directory names the
//! project, so whoever removes it finds the limit to forget, also after a crash.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use init::message::UserIds;
use model::limits::{DISK_BYTES_PER_FILE, PROJECTS_FIRST, USER_IDS, USER_IDS_FIRST, USER_IDS_LAST};

use crate::sys;

/// Where overlayfs writes. It renames from one to the other, which the kernel does within a project only.
const DIRS: [&str; 2] = ["upper", "work"];

/// The unit of limits.
const KIB: u64 = 1024;

/// `XFS_SUPER_MAGIC` of linux/magic.h.
const XFS: i64 = 0x5846_5342;

/// The projects of a file system that has quotas for them.
#[derive(Debug)]
pub(crate) struct Projects {
    file_system: File,
}

impl Projects {
    /// Those of the file system of `dir`, if it has any that serve.
    pub(crate) fn open(dir: &Path) -> Option<Self> {
        let file_system = File::open(dir).ok()?;
        let is_xfs = rustix::fs::fstatfs(&file_system).is_ok_and(|stat| stat.f_type == XFS);
        let kept = is_xfs && sys::keeps_project_quotas(file_system.as_fd()).unwrap_or(false);
        kept.then_some(Self { file_system })
    }

    /// Puts the directories of a sandbox, which are empty, into its project. False if that has files of
    /// a sandbox that is gone and not yet removed.
    pub(crate) fn claim(&self, dir: &Path, user_ids: UserIds) -> io::Result<bool> {
        let project = project_of(user_ids);
        if sys::files_of_project(self.file_system.as_fd(), project)? > 0 {
            return Ok(false);
        }
        for name in DIRS {
            sys::set_project(File::open(dir.join(name))?.as_fd(), project)?;
        }
        Ok(true)
    }

    /// Limits the sandbox that has claimed `dir`. Blocking.
    pub(crate) fn limit(&self, dir: &Path, bytes: u64) -> io::Result<()> {
        let project = sys::project(File::open(dir.join(DIRS[0]))?.as_fd())?;
        let files = bytes / DISK_BYTES_PER_FILE;
        sys::limit_project(self.file_system.as_fd(), project, bytes / KIB, files)
    }
}

/// Forgets the limit of a sandbox that has ended, if it had one. Before its directory is removed: as long
/// as that is there, nobody else claims the project.
pub(crate) fn forget(dir: &Path) -> io::Result<()> {
    let Ok(upper) = File::open(dir.join(DIRS[0])) else { return Ok(()) };
    // Not every file system has projects, and not every project is ours.
    match sys::project(upper.as_fd()) {
        Ok(project) if is_ours(project) => sys::limit_project(upper.as_fd(), project, 0, 0),
        _ => Ok(()),
    }
}

fn project_of(user_ids: UserIds) -> u32 {
    PROJECTS_FIRST + (user_ids.first - USER_IDS_FIRST) / USER_IDS
}

fn is_ours(project: u32) -> bool {
    let last = PROJECTS_FIRST + (USER_IDS_LAST - USER_IDS_FIRST) / USER_IDS;
    (PROJECTS_FIRST..=last).contains(&project)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_range_of_user_ids_has_a_project_of_its_own_beside_the_next() {
        let at = |first| project_of(UserIds { first, count: USER_IDS });
        assert_eq!(at(USER_IDS_FIRST), PROJECTS_FIRST);
        assert_eq!(at(USER_IDS_FIRST + USER_IDS), PROJECTS_FIRST + 1);
        assert!(is_ours(at(USER_IDS_LAST + 1 - USER_IDS)));
        assert!(!is_ours(0) && !is_ours(at(USER_IDS_LAST + 1 - USER_IDS) + 1));
    }

    #[test]
    fn what_never_had_a_project_has_nothing_to_forget() {
        let dir = tempfile::tempdir().unwrap();
        forget(dir.path()).unwrap();
        fs_err::create_dir(dir.path().join("upper")).unwrap();
        forget(dir.path()).unwrap();
    }
}

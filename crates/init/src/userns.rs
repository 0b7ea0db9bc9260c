//! The user namespace of a sandbox's programs: root inside is nobody outside.
//!
//! Only the programs are in it. We stay in the host's, and so do all other namespaces of the sandbox:
//! root inside has no capability over its mounts, network or host name, just over its own processes
//! and files. Files are stored with the ids they have inside, because the mounts below the root map
//! them (`mount_setattr(2)`, "ID-mapped mounts").

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use berth_init::message::{Failure, Probe, UserIds};
use rustix::fs::{CWD, Mode, OFlags, Uid};
use rustix::mount::OpenTreeFlags;
use rustix::thread::{CapabilitiesSecureBits, LinkNameSpaceType};

use crate::failure::Step;
use crate::park::write_file;
use crate::{kernel, sys};

/// A user namespace that nobody is in yet.
#[derive(Debug)]
pub(crate) struct UserNamespace {
    fd: OwnedFd,
    ids: UserIds,
    /// Keeps the ids from other sandboxes as long as we live.
    _reservation: Option<OwnedFd>,
}

impl UserNamespace {
    /// Makes one with those ids of the host. For a process with one thread, whose children the
    /// kernel reaps.
    pub(crate) fn create(ids: UserIds, reservation: Option<OwnedFd>) -> io::Result<Self> {
        // Changing ids below must not cost capabilities; nor must it later in the forks.
        rustix::thread::set_capabilities_secure_bits(CapabilitiesSecureBits::NO_SETUID_FIXUP)?;
        let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        // Owned by root inside, not by the host's: what the kernel limits for each owner (inotify
        // watches, for one) is then limited for each sandbox.
        let owner = |id| rustix::thread::set_thread_res_uid(Uid::ROOT, id, Uid::ROOT);
        owner(Uid::from_raw(ids.first))?;
        let forked = sys::fork(sys::USER_NAMESPACE, None);
        if let Ok(sys::Fork::Child) = forked {
            drop(writer);
            // Until the parent has what it needs, or has died.
            let _ = rustix::io::read(reader, &mut [0; 1]);
            sys::exit(0)
        }
        owner(Uid::ROOT)?;
        let sys::Fork::Parent { pid, .. } = forked? else { unreachable!("the child has ended") };
        let map = format!("0 {} {}", ids.first, ids.count);
        write_file(&format!("/proc/{pid}/uid_map"), map.as_bytes())?;
        write_file(&format!("/proc/{pid}/gid_map"), map.as_bytes())?;
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(format!("/proc/{pid}/ns/user"), flags, Mode::empty())?;
        Ok(Self { fd, ids, _reservation: reservation })
    }

    /// Makes this process's new files root's inside. Capabilities stay as they are.
    pub(crate) fn own_new_files(&self) -> io::Result<()> {
        sys::set_file_ids(self.ids.first)
    }

    /// The host's id of an id inside, if there is one.
    pub(crate) fn host(&self, id: u32) -> Option<u32> {
        (id < self.ids.count).then(|| self.ids.first.checked_add(id)).flatten()
    }

    /// Moves this process in, for good: it has every capability inside and none outside.
    pub(crate) fn enter(&self) -> rustix::io::Result<()> {
        let kind = Some(LinkNameSpaceType::User);
        rustix::thread::move_into_link_name_space(self.fd.as_fd(), kind)
    }

    /// Lets the disk's root be root inside on a detached mount.
    pub(crate) fn map(&self, tree: BorrowedFd<'_>, recursive: bool) -> io::Result<()> {
        sys::map_ids(tree, self.fd.as_fd(), recursive)
    }
}

/// Whether sandboxes whose files are in these directories can have user namespaces.
pub(crate) fn probe(probe: &Probe) -> Result<(), Failure> {
    if !kernel::at_least(5, 19) {
        return Err(rustix::io::Errno::NOSYS)
            .step("map the ids of overlayfs's layers (Linux 5.19 can)");
    }
    let namespace = UserNamespace::create(probe.user_ids, None).step("make a user namespace")?;
    for dir in &probe.dirs {
        let dir = Path::new(OsStr::from_bytes(dir));
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        let tree = rustix::mount::open_tree(CWD, dir, flags);
        tree.map_err(io::Error::from)
            .and_then(|tree| namespace.map(tree.as_fd(), false))
            .step_on("map the ids of the file system at", &dir.to_string_lossy())?;
    }
    Ok(())
}

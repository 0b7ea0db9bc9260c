//! What a running `berth dev` holds on this machine, and the proof that nothing of it is left.
//!
//! A footprint is taken of one session, not of the machine, so that tests can run side by side.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fs_err as fs;

use crate::process::{Process, processes};
use crate::wait::eventually;

/// How long the kernel may take to let go of what the last process held.
const PATIENCE: Duration = Duration::from_secs(10);

/// Processes, namespaces, cgroups, mounts and folders of one session.
#[derive(Debug, Default)]
pub struct Footprint {
    processes: BTreeSet<Process>,
    networks: BTreeSet<PathBuf>,
    cgroups: BTreeSet<PathBuf>,
    /// Folders that must be empty or gone, and beneath which nothing may be mounted.
    folders: BTreeSet<PathBuf>,
}

impl Footprint {
    /// What `pid` and its descendants hold now; `folders` are those that must end up empty.
    #[must_use]
    pub fn of(pid: u32, folders: &[PathBuf]) -> Self {
        let mut footprint = Self { folders: folders.iter().cloned().collect(), ..Self::default() };
        footprint.add(pid);
        footprint
    }

    /// Adds what `pid` and its descendants hold now.
    pub fn add(&mut self, pid: u32) {
        let own = fs::read_link("/proc/self/ns/net").ok();
        for process in Process::descendants_of(pid).into_iter().chain(Process::with_pid(pid)) {
            self.networks
                .extend(process.network_namespace().filter(|net| Some(net) != own.as_ref()));
            let cgroups = process.cgroups();
            let ours = cgroups.iter().filter(|cgroup| cgroup.contains("/berth/"));
            self.cgroups.extend(ours.flat_map(|cgroup| cgroup_folders(cgroup)));
            self.processes.insert(process);
        }
    }

    /// Processes of the session that were alive when the footprint was taken.
    pub fn processes(&self) -> impl Iterator<Item = &Process> {
        self.processes.iter()
    }

    /// How many network namespaces and cgroups the session held, so that a test can tell that it
    /// looked at something.
    #[must_use]
    pub fn namespaces_and_cgroups(&self) -> (usize, usize) {
        (self.networks.len(), self.cgroups.len())
    }

    /// Waits until nothing of the session is left.
    ///
    /// # Panics
    /// Something is; the message lists it.
    pub fn assert_gone(&self) {
        let gone = eventually(PATIENCE, || self.left().is_empty().then_some(()));
        assert!(gone.is_some(), "the session left behind:\n{}", self.left());
    }

    /// Whether a cgroup holds another session's, too: engines of `berth docker` share theirs.
    fn others_use(&self, cgroup: &Path) -> bool {
        let below = fs::read_dir(cgroup).into_iter().flatten().flatten();
        below.map(|entry| entry.path()).any(|path| path.is_dir() && !self.cgroups.contains(&path))
    }

    /// What is left, one thing on a line.
    #[must_use]
    pub fn left(&self) -> String {
        let mut left = String::new();
        for process in self.processes.iter().filter(|process| process.is_alive()) {
            let command = process.command().join(" ");
            let _ = writeln!(left, "  process {} {} ({command})", process.pid, process.name);
        }
        for process in processes() {
            if let Some(network) = process.network_namespace().filter(|n| self.networks.contains(n))
            {
                let _ = writeln!(left, "  {} of process {}", network.display(), process.pid);
            }
        }
        let left_over = |cgroup: &&PathBuf| cgroup.exists() && !self.others_use(cgroup);
        for cgroup in self.cgroups.iter().filter(left_over) {
            let _ = writeln!(left, "  cgroup {}", cgroup.display());
        }
        for mount in
            mounts().iter().filter(|mount| self.folders.iter().any(|f| mount.starts_with(f)))
        {
            let _ = writeln!(left, "  mount {}", mount.display());
        }
        for file in self.folders.iter().flat_map(|folder| files_beneath(folder)) {
            let _ = writeln!(left, "  file {}", file.display());
        }
        left
    }
}

/// The folders of a cgroup of ours in every hierarchy, and those above it up to the session's.
fn cgroup_folders(cgroup: &str) -> Vec<PathBuf> {
    let mut roots = vec![PathBuf::from("/sys/fs/cgroup")];
    if let Ok(entries) = fs::read_dir("/sys/fs/cgroup") {
        roots.extend(entries.filter_map(|entry| Some(entry.ok()?.path())));
    }
    let relative = Path::new(cgroup.trim_start_matches('/'));
    // The topmost folder, `berth`, is shared by all sessions; an ordinary user's is in its own cgroup.
    let is_shared = |path: &Path| path.ends_with("berth");
    let ours: Vec<&Path> = relative.ancestors().take_while(|path| !is_shared(path)).collect();
    let folders = roots.iter().flat_map(|root| ours.iter().map(|path| root.join(path)));
    folders.filter(|folder| folder.exists()).collect()
}

/// Mount points of this mount namespace.
fn mounts() -> Vec<PathBuf> {
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    text.lines().filter_map(|line| Some(PathBuf::from(line.split(' ').nth(4)?))).collect()
}

/// Files beneath a folder that contain `text` and that any user of the machine may read.
#[must_use]
pub fn readable_files_with(folder: &Path, text: &str) -> Vec<PathBuf> {
    let open = |path: &Path| fs::metadata(path).is_ok_and(|it| it.mode() & 0o005 != 0);
    let has_text = |path: &Path| {
        fs::read(path)
            .is_ok_and(|bytes| bytes.windows(text.len()).any(|window| window == text.as_bytes()))
    };
    let files = files_beneath(folder).into_iter();
    let readable = files.filter(|file| {
        file.ancestors().take_while(|path| *path != folder).all(open) && file.is_file()
    });
    readable.filter(|file| has_text(file)).collect()
}

/// Every file, socket and pipe beneath a folder; folders themselves don't count.
fn files_beneath(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    paths
        .flat_map(|path| {
            if path.is_dir() && !path.is_symlink() { files_beneath(&path) } else { vec![path] }
        })
        .collect()
}

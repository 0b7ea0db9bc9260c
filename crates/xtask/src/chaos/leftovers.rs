//! What must not be there: after a stop anything at all, at any time the secret where others see it.
//!
//! The run has namespaces of its own, so all processes and mounts in them are its own.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use e2e::{eventually, processes, readable_files_with};
use fs_err as fs;

use super::stage::{SECRET, Stage};

/// How long the kernel may take to let go of what the last process held.
const PATIENCE: Duration = Duration::from_secs(10);

/// What to compare with when all has ended.
#[derive(Debug)]
pub(super) struct Before {
    mounts: BTreeSet<String>,
    /// Keys of the sessions this run had: their cgroups' names.
    sessions: BTreeSet<String>,
}

impl Before {
    /// To be called before anything starts.
    pub(super) fn note() -> Self {
        Self { mounts: mounts().collect(), sessions: BTreeSet::new() }
    }

    /// To be called while a session runs.
    pub(super) fn note_session(&mut self, stage: &Stage) {
        let names = entries(&stage.home.join("dev")).into_iter();
        self.sessions.extend(names.filter_map(|p| Some(p.file_name()?.to_str()?.to_owned())));
    }

    /// What is left of a `berth dev` that ended well, one thing for each entry.
    pub(super) fn left(&self, stage: &Stage) -> Vec<String> {
        let left = || self.look(stage);
        eventually(PATIENCE, || left().is_empty().then(Vec::new)).unwrap_or_else(left)
    }

    fn look(&self, stage: &Stage) -> Vec<String> {
        let this = std::process::id();
        // The first process of the namespace, which started us, and us.
        let processes = processes().into_iter().filter(|p| p.pid != 1 && p.pid != this);
        let processes =
            processes.map(|process| format!("process {} {}", process.pid, process.name));
        let mounts = mounts().filter(|mount| !self.mounts.contains(mount));
        let folders = [stage.home.join("dev"), stage.temporary.clone()];
        let files = folders.iter().flat_map(|folder| entries(folder));
        processes
            .chain(mounts.map(|mount| format!("mount {mount}")))
            .chain(files.map(|path| format!("file {}", path.display())))
            .chain(self.cgroups().map(|path| format!("cgroup {}", path.display())))
            .chain(loop_devices(&stage.home).map(|device| format!("device {device}")))
            .collect()
    }

    fn cgroups(&self) -> impl Iterator<Item = PathBuf> {
        let mut roots = entries(Path::new("/sys/fs/cgroup"));
        roots.push("/sys/fs/cgroup".into());
        let session = |key: &String| {
            let name = format!("berth/dev-{key}");
            roots.iter().map(|root| root.join(&name)).collect::<Vec<_>>()
        };
        let all: Vec<PathBuf> = self.sessions.iter().flat_map(session).collect();
        all.into_iter().filter(|folder| folder.exists())
    }
}

/// Mount points of this mount namespace.
fn mounts() -> impl Iterator<Item = String> {
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let points = text.lines().filter_map(|line| Some(line.split(' ').nth(4)?.to_owned()));
    points.collect::<Vec<_>>().into_iter()
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    entries.filter_map(|entry| Some(entry.ok()?.path())).collect()
}

/// Loop devices whose file lies in that folder.
fn loop_devices(home: &Path) -> impl Iterator<Item = String> {
    let devices = entries(Path::new("/sys/block")).into_iter();
    devices.filter_map(|device| {
        let file = fs::read_to_string(device.join("loop/backing_file")).ok()?;
        file.starts_with(home.to_str()?).then(|| device.display().to_string())
    })
}

/// Places where the secret can be seen that must not show it.
pub(super) fn secrets(stage: &Stage) -> Vec<String> {
    let mut seen = Vec::new();
    if stage.said().contains(SECRET) {
        seen.push("the secret is in the output of `berth dev`".to_owned());
    }
    for process in processes() {
        if process.command().iter().any(|word| word.contains(SECRET)) {
            seen.push(format!("the secret is in the command line of {}", process.name));
        }
    }
    for folder in [&stage.home, &stage.state, &stage.temporary, &stage.project] {
        let files = readable_files_with(folder, SECRET);
        seen.extend(files.iter().map(|file| format!("anyone may read it in {}", file.display())));
    }
    seen
}

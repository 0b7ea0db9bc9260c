//! The runtime: a launcher, a pool of parked sandboxes, and the directory they live in.

use std::collections::HashSet;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use fs_err as fs;
use init::message::{Confinement, Probe};
use model::InstanceType;
use model::limits::MB;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::CapabilitySet;

use crate::cgroup::{Cgroup, Hierarchies};
use crate::disk::Disks;
use crate::footprint::{self, Footprint};
use crate::launcher::Launcher;
use crate::park::{Parked, Removals};
use crate::pool::Pool;
use crate::starts::Starts;
use crate::{
    DestroyError, Leftover, SandboxHandle, capabilities, ordinary_user, process_info, seccomp,
    user_ids,
};

/// Where and how sandboxes are made.
#[derive(Debug, Clone, Default)]
pub struct RuntimeConfig {
    /// Each sandbox lives in `<dir>/<id>/`. One runtime at a time may use it; the caller locks it.
    pub dir: PathBuf,
    /// Parent cgroup below each hierarchy's mount point, for example `berth/dev-1f2e`.
    pub cgroup: String,
    /// Sandboxes kept parked, and disks of each size: at least so many, and up to eight times as many
    /// after bursts.
    pub parked: usize,
    /// Sizes in MB (10^6 bytes) of the disks that are kept ready; others are made when first asked
    /// for, and kept from then on.
    pub disks: Vec<u64>,
    /// Where the layers of images are kept, to find out whether their ids can be mapped there.
    pub layers: Vec<PathBuf>,
}

/// Makes and finds sandboxes; clones are the same one.
#[derive(Debug, Clone)]
pub struct Runtime {
    pub(crate) inner: Arc<Inner>,
}

/// What the clones share.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) config: RuntimeConfig,
    pub(crate) hierarchies: Hierarchies,
    pub(crate) launcher: Launcher,
    pub(crate) pool: Pool,
    pub(crate) starts: Starts,
    pub(crate) removals: Removals,
    pub(crate) confinement: Confinement,
    /// Whether programs get a user namespace.
    pub(crate) user_namespaces: bool,
    /// What limits their writes, if the host has it.
    pub(crate) disks: Option<Disks>,
    warnings: Vec<Warning>,
    /// Ids of sandboxes this runtime has started or adopted and not destroyed.
    known: Mutex<HashSet<String>>,
}

/// Something the host lacks that sandboxes can live without.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Warning {
    /// A limit is not enforced because its cgroup controller cannot be had.
    #[error("the limit of `{controller}` is not enforced: no such cgroup controller: {reason}")]
    NoController {
        /// `cpu`, `memory` or `pids`.
        controller: &'static str,
        /// What is missing.
        reason: String,
    },
    /// What an instance writes is a directory of the host.
    #[error("the limit of disk is not enforced, an instance can fill this machine's: {reason}")]
    NoDiskLimit {
        /// What is missing.
        reason: String,
    },
    /// Programs run in the host's user namespace.
    #[error("root in an instance is the host's root, without most of its capabilities: {reason}")]
    NoUserNamespaces {
        /// What is missing.
        reason: String,
    },
}

/// What a host has for sandboxes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Examination {
    /// What it lacks.
    pub warnings: Vec<Warning>,
    /// What limits their writes; nothing does if there is a [`Warning::NoDiskLimit`].
    pub disk_limit: Option<DiskLimit>,
}

/// What limits how much a sandbox writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskLimit {
    /// A quota for the project of its directory.
    ProjectQuota,
    /// A file system of its own on a loop device.
    LoopDevice,
}

/// The runtime or a parked sandbox could not be made. Texts complete "failed to …".
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// A step failed.
    #[error("{step}: {source}")]
    Step {
        /// What was being done.
        step: String,
        /// Why it failed.
        source: io::Error,
    },
    /// The process may not make namespaces.
    #[error("make namespaces: run as root (CAP_SYS_ADMIN and CAP_NET_ADMIN are needed)")]
    NotPermitted,
}

impl RuntimeError {
    pub(crate) fn step(step: &str, source: io::Error) -> Self {
        Self::Step { step: step.to_owned(), source }
    }
}

impl Inner {
    /// Sandboxes this runtime looks after.
    pub(crate) fn known(&self) -> MutexGuard<'_, HashSet<String>> {
        self.known.lock().expect("no code panics while it holds the lock")
    }

    /// The traces of a sandbox that was started earlier.
    pub(crate) fn footprint(&self, handle: &SandboxHandle) -> Footprint {
        Footprint {
            id: handle.id.clone(),
            dir: handle.dir.clone(),
            cgroup: Cgroup::named(&self.hierarchies, &self.config.cgroup, &handle.id),
            work: handle.work.clone(),
            stubs: None,
        }
    }
}

impl Runtime {
    /// Starts the launcher, removes what parked sandboxes of a former runtime left in the directory
    /// and begins to fill the pool.
    ///
    /// # Errors
    /// The directory or the launcher could not be made, or namespaces are not permitted.
    pub async fn open(config: RuntimeConfig) -> Result<Self, RuntimeError> {
        let needed = CapabilitySet::SYS_ADMIN | CapabilitySet::NET_ADMIN;
        if !rustix::thread::capabilities(None).is_ok_and(|sets| sets.effective.contains(needed)) {
            return Err(RuntimeError::NotPermitted);
        }
        allow_many_files();
        let opened = tokio::task::spawn_blocking(move || prepare(config)).await;
        let (config, hierarchies, mut warnings) = opened
            .map_err(|e| RuntimeError::step("prepare the runtime's directory", e.into()))??;
        let launcher =
            Launcher::start().map_err(|e| RuntimeError::step("start the launcher", e))?;
        let starts = Starts::default();
        let (user_namespaces, disks) = abilities(&launcher, &config, &starts, &mut warnings).await;
        let confinement = Confinement {
            capabilities: capabilities::BOUNDING,
            seccomp: seccomp::filter(),
            open_files: model::limits::OPEN_FILES,
        };
        let inner = Arc::new(Inner {
            pool: Pool::new(config.parked),
            starts,
            config,
            hierarchies,
            launcher,
            removals: Removals::default(),
            confinement,
            user_namespaces,
            disks,
            warnings,
            known: Mutex::default(),
        });
        Pool::fill(&inner);
        Ok(Self { inner })
    }

    /// What this host has for sandboxes of that configuration, apart from cgroups. Leaves nothing.
    ///
    /// # Errors
    /// The launcher could not be started.
    pub async fn examine(config: &RuntimeConfig) -> Result<Examination, RuntimeError> {
        let launcher =
            Launcher::start().map_err(|e| RuntimeError::step("start the launcher", e))?;
        let mut warnings = Vec::new();
        let (_, disks) = abilities(&launcher, config, &Starts::default(), &mut warnings).await;
        if let Some(disks) = &disks {
            disks.close().await;
        }
        launcher.stop().await;
        Ok(Examination { warnings, disk_limit: disks.as_ref().map(Disks::kind) })
    }

    /// What the host lacks; limits that are not enforced.
    #[must_use]
    pub fn warnings(&self) -> &[Warning] {
        &self.inner.warnings
    }

    /// The launcher's pid while it runs, for diagnosis.
    pub async fn launcher_pid(&self) -> Option<u32> {
        self.inner.launcher.pid().await
    }

    /// A parked sandbox, from the pool or made now.
    ///
    /// # Errors
    /// None could be made.
    pub async fn prepare(&self) -> Result<Parked, RuntimeError> {
        let underway = self.inner.starts.begin();
        let parked = match self.inner.pool.take() {
            Some(parked) => parked,
            None => Parked::make(self.inner.clone()).await?,
        };
        Ok(parked.underway(underway))
    }

    /// Started sandboxes in the directory that this runtime has neither started nor adopted.
    ///
    /// # Errors
    /// The directory could not be read.
    pub async fn leftovers(&self) -> io::Result<Vec<Leftover>> {
        let inner = self.inner.clone();
        tokio::task::spawn_blocking(move || {
            let handles = started(&inner.config.dir)?;
            let known = inner.known();
            let mut leftovers = Vec::new();
            for handle in handles.into_iter().filter(|handle| !known.contains(&handle.id)) {
                let running = process_info::open(handle.pid, handle.start_time).is_some();
                leftovers.push(Leftover { handle, running });
            }
            Ok(leftovers)
        })
        .await?
    }

    /// Ends a sandbox that was not adopted and removes everything of it.
    ///
    /// # Errors
    /// Something could not be removed.
    pub async fn remove(&self, handle: &SandboxHandle) -> Result<(), DestroyError> {
        let footprint = self.inner.footprint(handle);
        let failed = |source| DestroyError { step: "end the sandbox".to_owned(), source };
        if let Some(pidfd) = process_info::open(handle.pid, handle.start_time) {
            use std::os::fd::AsFd;
            process_info::kill(pidfd.as_fd()).map_err(failed)?;
            process_info::ended(pidfd.as_fd()).await.map_err(failed)?;
        }
        let removed = tokio::task::spawn_blocking(move || footprint.remove()).await;
        removed.map_err(|e| failed(e.into()))?
    }

    /// Ends the launcher and removes parked sandboxes. Running ones go on.
    pub async fn close(self) {
        self.inner.pool.close().await;
        if let Some(disks) = &self.inner.disks {
            disks.close().await;
        }
        self.inner.removals.finished().await;
        self.inner.launcher.stop().await;
        let inner = self.inner;
        let _ = tokio::task::spawn_blocking(move || {
            inner.hierarchies.remove_parent(&inner.config.cgroup);
        })
        .await;
    }
}

/// What depends on the host's kernel and file systems: user namespaces, and disks.
async fn abilities(
    launcher: &Launcher,
    config: &RuntimeConfig,
    starts: &Starts,
    warnings: &mut Vec<Warning>,
) -> (bool, Option<Disks>) {
    // An ordinary user's are in one already: root inside is the user outside, and a further one cannot
    // map the ids of the host's file systems.
    let user_namespaces = match probe_user_namespaces(launcher, config).await {
        _ if ordinary_user::ids().is_some() => false,
        Ok(()) => true,
        Err(e) => {
            warnings.push(Warning::NoUserNamespaces { reason: format!("failed to {e}") });
            false
        }
    };
    let sizes: Vec<u64> = match config.disks.is_empty() {
        true => vec![InstanceType::Lite.limits().disk_bytes()],
        false => config.disks.iter().map(|mb| mb.saturating_mul(MB)).collect(),
    };
    let (dir, least) = (&config.dir, config.parked);
    let disks = Disks::open(dir, user_namespaces, &sizes, least, starts.clone()).await;
    if let Err(e) = &disks {
        warnings.push(Warning::NoDiskLimit { reason: format!("failed to {e}") });
    }
    (user_namespaces, disks.ok())
}

/// Whether sandboxes can have user namespaces, with their files and images where they are.
async fn probe_user_namespaces(launcher: &Launcher, config: &RuntimeConfig) -> io::Result<()> {
    // One that does not exist yet will be on its parent's file system.
    let existing = |dir: &PathBuf| dir.ancestors().find(|dir| dir.exists()).map(Path::to_owned);
    let dirs = config.layers.iter().filter_map(existing).chain([config.dir.clone()]);
    let dirs = dirs.map(|dir| dir.into_os_string().into_vec()).collect();
    let reserved = tokio::task::spawn_blocking(|| user_ids::reserve(0)).await?;
    let reserved =
        reserved.map_err(|e| io::Error::new(e.kind(), format!("reserve user ids: {e}")))?;
    launcher.probe(Probe { user_ids: reserved.ids, dirs }).await
}

/// Each sandbox takes about ten descriptors, and the usual limit of 1,024 is a soft one. Where it
/// cannot be raised, later starts say so.
fn allow_many_files() {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

/// Makes the directory and the parent cgroups, and sweeps both.
fn prepare(
    mut config: RuntimeConfig,
) -> Result<(RuntimeConfig, Hierarchies, Vec<Warning>), RuntimeError> {
    let at = |step: &'static str| move |e| RuntimeError::step(step, e);
    fs::create_dir_all(&config.dir).map_err(at("make the runtime's directory"))?;
    // The launcher works from `/`, and handles are read by processes that work from elsewhere.
    config.dir = fs::canonicalize(&config.dir).map_err(at("find the runtime's directory"))?;
    let (hierarchies, warnings) =
        Hierarchies::prepare(&config.cgroup).map_err(at("prepare cgroups"))?;
    sweep(&config, &hierarchies).map_err(at("sweep the runtime's directory"))?;
    Ok((config, hierarchies, warnings))
}

/// Handles of all sandboxes in `dir` that were started.
fn started(dir: &Path) -> io::Result<Vec<SandboxHandle>> {
    let mut handles = Vec::new();
    for entry in fs::read_dir(dir)? {
        let dir = entry?.path();
        let started = footprint::read_record(&dir) != init::record::Record::Parked;
        handles.extend(footprint::read_handle(&dir).filter(|_| started));
    }
    Ok(handles)
}

/// Removes directories and cgroups of sandboxes that were only ever parked: their inits have ended
/// with the runtime that made them.
fn sweep(config: &RuntimeConfig, hierarchies: &Hierarchies) -> io::Result<()> {
    let started: HashSet<String> =
        started(&config.dir)?.into_iter().map(|handle| handle.id).collect();
    for entry in fs::read_dir(&config.dir)? {
        let entry = entry?;
        let id = entry.file_name().to_string_lossy().into_owned();
        if started.contains(&id) {
            continue;
        }
        let cgroup = Cgroup::named(hierarchies, &config.cgroup, &id);
        let dir = entry.path();
        if let Err(e) = (Footprint { id, dir, cgroup, work: None, stubs: None }).remove() {
            tracing::warn!("failed to {e}");
        }
    }
    hierarchies.sweep(&config.cgroup, |id| started.contains(id));
    Ok(())
}

//! Where `berth serve` keeps what it keeps.

use std::fs::{DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use control::KeyPlace;
use fs_err as fs;
use rustix::fs::Access;

use crate::error::{CliError, Kind};
use crate::paths::Shared;

/// A key of the secrets, for whoever keeps it elsewhere than on this disk.
const SECRETS_KEY: &str = "BERTH_SECRETS_KEY";
/// The one before it, until `berth rotate-key` has encrypted all secrets anew.
const SECRETS_KEY_BEFORE: &str = "BERTH_SECRETS_KEY_BEFORE";

/// The data directory, in its parts.
#[derive(Debug, Clone)]
pub(crate) struct Folders {
    /// All of it.
    pub(crate) data: PathBuf,
    /// The control plane's records.
    pub(crate) database: PathBuf,
    /// What encrypts the secrets among them.
    pub(crate) key: PathBuf,
    /// The next key, while they are encrypted with it.
    pub(crate) next_key: PathBuf,
    /// What the platform proves itself by to SSH clients.
    pub(crate) ssh_host_key: PathBuf,
    /// Modules and static files of Workers by their hashes.
    pub(crate) blobs: PathBuf,
    /// Static files as they are served, a folder for each Worker.
    pub(crate) assets: PathBuf,
    /// Durable Object storage, a folder for each Worker.
    pub(crate) objects: PathBuf,
    /// When cron triggers last ran, a folder for each Worker.
    pub(crate) crons: PathBuf,
    /// Rendered Worker configurations and sockets; short, because sockets are in it.
    pub(crate) workers: PathBuf,
    /// Sockets by which Workers reach each other.
    pub(crate) doors: PathBuf,
    /// Where clients reach the platform.
    pub(crate) address: PathBuf,
    /// The agent's records, logs and sockets.
    pub(crate) agent: PathBuf,
    /// Instances.
    pub(crate) instances: PathBuf,
    /// Images and the toolchain.
    pub(crate) shared: Shared,
}

impl Folders {
    /// Below this directory.
    pub(crate) fn under(data: &Path) -> Self {
        Self {
            database: data.join("db/control.sqlite"),
            next_key: control::Sealer::next_key_file(&data.join("db/secrets.key")),
            key: data.join("db/secrets.key"),
            ssh_host_key: data.join("db/ssh_host_key"),
            blobs: data.join("workers/modules"),
            assets: data.join("workers/assets"),
            objects: data.join("objects"),
            crons: data.join("workers/crons"),
            workers: data.join("run/w"),
            doors: data.join("run/d"),
            address: data.join("run/address.json"),
            agent: data.join("run/a"),
            instances: data.join("instances"),
            shared: Shared::under(data),
            data: data.to_owned(),
        }
    }

    /// The key of the secrets: in its file, or in the environment, with the one before.
    pub(crate) fn secrets_key(&self) -> Result<KeyPlace, CliError> {
        let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let Some(key) = variable(SECRETS_KEY) else { return Ok(KeyPlace::file(&self.key)) };
        let before = variable(SECRETS_KEY_BEFORE);
        KeyPlace::given(&self.key, &key, before.as_deref()).map_err(|error| {
            CliError::failure(&format!("use {SECRETS_KEY} and {SECRETS_KEY_BEFORE}"), error)
                .hint("`openssl rand -hex 32` makes a key")
        })
    }

    /// Makes those that must be there; only their owner may look into them.
    pub(crate) fn make(&self) -> Result<(), CliError> {
        let failed = |error| CliError::failure("make the data directory", error);
        for folder in
            [self.data.join("db"), self.data.join("run"), self.objects.clone(), self.doors.clone()]
        {
            DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(failed)?;
        }
        Ok(())
    }

    /// The right to serve from this directory: one process has it.
    pub(crate) fn hold(&self) -> Result<Held, CliError> {
        let mut options = fs::OpenOptions::new();
        let file = options.create(true).truncate(false).write(true).open(self.lock());
        self.locked(file.map_err(not_locked)?)
    }

    /// Whether one could serve from this directory; makes nothing, and says what there is.
    pub(crate) fn check(&self) -> Result<String, CliError> {
        let data = self.data.display();
        // The directory itself, or where it would be made.
        let there = self.data.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
        let elsewhere = "name another directory by --data, BERTH_HOME or `data` in berth.toml";
        if !there.is_dir() {
            let text = format!("{data} cannot be the data directory: {} is none", there.display());
            return Err(CliError::new(Kind::Failure, text).hint(elsewhere));
        }
        rustix::fs::access(there, Access::WRITE_OK | Access::EXEC_OK).map_err(|error| {
            let attempt = format!("write to {}", there.display());
            CliError::failure(&attempt, io::Error::from(error)).hint(elsewhere)
        })?;
        match fs::OpenOptions::new().write(true).open(self.lock()) {
            Ok(file) => self.locked(file).map(drop)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(not_locked(error)),
        }
        let state = if there == self.data { "can be written to" } else { "will be made" };
        Ok(format!("{data} {state}"))
    }

    fn lock(&self) -> PathBuf {
        self.data.join("run/lock")
    }

    fn locked(&self, file: fs::File) -> Result<Held, CliError> {
        let file = file.into_parts().0;
        match file.try_lock() {
            Ok(()) => Ok(Held(file)),
            Err(TryLockError::WouldBlock) => {
                let text = format!("another `berth serve` runs on {}", self.data.display());
                Err(CliError::new(Kind::Held, text)
                    .hint("stop it, or give this one its own --data"))
            }
            Err(TryLockError::Error(error)) => Err(not_locked(error)),
        }
    }
}

fn not_locked(error: io::Error) -> CliError {
    CliError::failure("lock the data directory", error)
}

/// A data directory that is this process's while this lives.
#[derive(Debug)]
pub(crate) struct Held(#[expect(dead_code, reason = "dropped to give the lock back")] File);

//! What `RUN --mount` asks for: part of the step's key before it runs, files and sockets while it
//! does.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use super::builder::{Builder, Work};
use super::copy::{Copier, Links};
use super::copy_step::Origin;
use super::dockerfile::{Access, Cache, Mount, Run, Sharing};
use super::ssh::Relay;
use super::state::State;
use super::tree::{Selection, within_root};
use crate::cache_mounts::CacheMount;
use crate::digest::Digest;
use crate::error::StepProblem;
use crate::options::{SecretSource, UnpackLimits};
use crate::root::Root;
use crate::run_step::RunMount;
use crate::snapshot::make_root;
use crate::view::View;

/// Largest secret, as BuildKit has it.
const SECRET_BYTES: u64 = 500 * 1024;

/// What a step's mounts are, as long as it runs.
#[derive(Default)]
pub(super) struct Mounted {
    pub(super) mounts: Vec<RunMount>,
    /// `NAME=value` of secrets.
    pub(super) env: Vec<String>,
    /// What must not be shown.
    pub(super) secrets: Vec<Vec<u8>>,
    caches: Vec<CacheMount>,
    relays: Vec<Relay>,
}

impl Builder<'_> {
    /// The step's mounts with their variables expanded, and what of them counts for the cache: files
    /// of stages and contexts do, secrets and caches do not.
    pub(super) fn resolve_mounts(
        &self,
        state: &mut State,
        index: usize,
        run: &Run,
    ) -> Result<(Vec<Mount>, Vec<String>), StepProblem> {
        let (mut mounts, mut keys) = (Vec::new(), Vec::new());
        for flag in &run.mounts {
            let expanded = flag.expanded(|text| state.expand(text, self.file.escape))?;
            let mut mount = expanded.resolve().map_err(StepProblem::Invalid)?;
            match &mut mount {
                Mount::Bind { target, .. } | Mount::Tmpfs { target, .. } => {
                    *target = mount_point(state, target)?;
                }
                Mount::Cache(cache) => cache.target = mount_point(state, &cache.target)?,
                Mount::Secret { target, .. } | Mount::Ssh { target, .. } => {
                    if let Some(target) = target {
                        *target = mount_point(state, target)?;
                    }
                }
            }
            keys.push(self.mount_key(index, &mount)?);
            mounts.push(mount);
        }
        Ok((mounts, keys))
    }

    fn mount_key(&self, index: usize, mount: &Mount) -> Result<String, StepProblem> {
        Ok(match mount {
            Mount::Bind { from, source, target, .. } => {
                let from = self.source_of(index, from.as_deref())?;
                let digest = self
                    .sources_digest(&from, std::slice::from_ref(source), &Selection::default())?
                    .0;
                format!("bind {target} {digest}")
            }
            Mount::Cache(Cache { id, target, from: Some(from), source, .. }) => {
                let from = self.source_of(index, Some(from))?;
                let digest = self
                    .sources_digest(&from, std::slice::from_ref(source), &Selection::default())?
                    .0;
                format!("cache {id} {target} {digest}")
            }
            Mount::Cache(Cache { id, target, .. }) => format!("cache {id} {target}"),
            Mount::Tmpfs { target, .. } => format!("tmpfs {target}"),
            Mount::Secret { id, target, env, .. } => format!("secret {id} {target:?} {env:?}"),
            Mount::Ssh { id, target, .. } => format!("ssh {id} {target:?}"),
        })
    }

    /// Makes ready what the step is to see; it goes with what is returned.
    pub(super) fn mounted(
        &self,
        index: usize,
        mounts: &[Mount],
        work: &Work,
    ) -> Result<Mounted, StepProblem> {
        let mut mounted = Mounted::default();
        for (number, mount) in mounts.iter().enumerate() {
            let place = work.beside(&format!("mount-{number}"));
            match mount {
                Mount::Bind { from, source, target, read_only } => {
                    let from = self.source_of(index, from.as_deref())?;
                    let source = self.bound(&from, source, *read_only, &place)?;
                    let (target, read_only) = (target.clone(), *read_only);
                    mounted.mounts.push(RunMount::Bind { source, target, read_only });
                }
                Mount::Cache(cache) => self.cache(index, cache, &mut mounted)?,
                Mount::Tmpfs { target, size } => {
                    mounted.mounts.push(RunMount::Tmpfs { target: target.clone(), size: *size });
                }
                Mount::Secret { id, target, env, access } => {
                    let Some(secret) = self.secret(id, *access)? else { continue };
                    if let Some(target) = target {
                        mounted.mounts.push(secret_file(&secret, target, *access, &place)?);
                    }
                    if let Some(name) = env {
                        mounted.env.push(format!("{name}={}", String::from_utf8_lossy(&secret)));
                    }
                    mounted.secrets.push(secret);
                }
                Mount::Ssh { id, target, access } => {
                    let target = target.clone();
                    let target =
                        target.unwrap_or_else(|| format!("/run/buildkit/ssh_agent.{number}"));
                    self.agent(id, target, *access, &place, &mut mounted)?;
                }
            }
        }
        Ok(mounted)
    }

    /// The directory or file of a bind mount: the very one of a layer, where nobody writes to it and
    /// no other layer has any of it; a copy otherwise.
    fn bound(
        &self,
        from: &Origin,
        source: &str,
        read_only: bool,
        place: &Path,
    ) -> Result<PathBuf, StepProblem> {
        if read_only && let Some(path) = self.in_one_layer(from, source)? {
            return Ok(path);
        }
        fs_err::create_dir(place).map_err(StepProblem::Io)?;
        self.copy_out(from, source, &place.join("files"))?;
        Ok(place.join("files"))
    }

    fn in_one_layer(&self, from: &Origin, source: &str) -> Result<Option<PathBuf>, StepProblem> {
        let Some((state, _)) = from.state() else { return Ok(None) };
        let layers = state.directories(self.layout).map_err(StepProblem::Store)?;
        let view = View::open(&layers).map_err(StepProblem::Io)?;
        let path = view.resolve(Path::new(source)).map_err(StepProblem::Io)?;
        let mut found = layers.iter().map(|layer| layer.join(&path)).filter(|path| {
            let metadata = fs_err::symlink_metadata(path);
            metadata.is_ok_and(|metadata| metadata.is_dir() || metadata.is_file())
        });
        match (found.next(), found.next()) {
            (Some(path), None) => Ok(Some(path)),
            _ => Ok(None),
        }
    }

    /// Copies a source to the new path `to`.
    fn copy_out(&self, from: &Origin, source: &str, to: &Path) -> Result<(), StepProblem> {
        let tree = self.tree(from)?;
        let sources = tree.select(source, &Selection::default())?;
        let parent = Root::open(to.parent().unwrap_or(to)).map_err(StepProblem::Io)?;
        let name = to.file_name().unwrap_or_default().to_string_lossy();
        let copier = Copier {
            root: &parent,
            destination: &format!("/{name}"),
            owner: None,
            mode: None,
            extract: false,
            limits: UnpackLimits::default(),
            cancelled: &|| self.progress.cancelled(),
            links: Links::default(),
        };
        sources.iter().try_for_each(|source| copier.source(&tree, source))
    }

    fn cache(&self, index: usize, cache: &Cache, mounted: &mut Mounted) -> Result<(), StepProblem> {
        let Cache { id, target, from, source, sharing, read_only, access } = cache;
        let cancelled = || self.progress.cancelled();
        let opened = match sharing {
            Sharing::Shared => self.layout.shared_cache(id, &cancelled),
            Sharing::Private => self.layout.private_cache(id),
            Sharing::Locked => self.layout.locked_cache(id, &cancelled),
        };
        let cache = opened.map_err(StepProblem::Store)?;
        let fill = |directory: &Path| match from {
            Some(from) => self.copy_out(&self.source_of(index, Some(from))?, source, directory),
            None => {
                make_root(directory).map_err(StepProblem::Store)?;
                settle(directory, *access).map_err(StepProblem::Io)
            }
        };
        let source = cache.directory(fill)?;
        let (target, read_only) = (target.clone(), *read_only);
        mounted.mounts.push(RunMount::Bind { source, target, read_only });
        mounted.caches.push(cache);
        Ok(())
    }

    /// A secret's bytes; none when it was not given and the step can do without it.
    fn secret(&self, id: &str, access: Access) -> Result<Option<Vec<u8>>, StepProblem> {
        let invalid = |text: String| StepProblem::Invalid(text);
        let secret = match self.request.secrets.get(id) {
            Some(SecretSource::File(path)) => {
                let read = |path: &Path| {
                    let mut bytes = Vec::new();
                    let file = fs_err::File::open(path)?;
                    io::Read::read_to_end(&mut io::Read::take(file, SECRET_BYTES + 1), &mut bytes)?;
                    Ok(bytes)
                };
                read(path).map_err(StepProblem::Io)?
            }
            Some(SecretSource::Variable(name)) => {
                use std::os::unix::ffi::OsStringExt;
                let value = std::env::var_os(name).ok_or_else(|| {
                    invalid(format!("the secret {id} is in the variable {name}, which is not set"))
                })?;
                value.into_vec()
            }
            None if access.required => {
                let hint = format!("give it with --secret id={id},src=FILE or env=VARIABLE");
                return Err(invalid(format!("the step needs the secret {id} ({hint})")));
            }
            None => return Ok(None),
        };
        if secret.len() as u64 > SECRET_BYTES {
            return Err(invalid(format!("the secret {id} is larger than 500 KiB")));
        }
        Ok(Some(secret))
    }

    fn agent(
        &self,
        id: &str,
        target: String,
        access: Access,
        place: &Path,
        mounted: &mut Mounted,
    ) -> Result<(), StepProblem> {
        let Some(agent) = self.request.ssh.get(id) else {
            if access.required {
                let text = format!("the step needs the SSH agent {id} (give it with --ssh {id})");
                return Err(StepProblem::Invalid(text));
            }
            return Ok(());
        };
        fs_err::create_dir(place).map_err(StepProblem::Io)?;
        let source = place.join("agent");
        let relay = Relay::start(&source, agent).map_err(|error| {
            let text =
                format!("the SSH agent {id} at {} does not answer: {error}", agent.display());
            StepProblem::Invalid(text)
        })?;
        settle(&source, access).map_err(StepProblem::Io)?;
        if !mounted.env.iter().any(|entry| entry.starts_with("SSH_AUTH_SOCK=")) {
            mounted.env.push(format!("SSH_AUTH_SOCK={target}"));
        }
        mounted.mounts.push(RunMount::Bind { source, target, read_only: false });
        mounted.relays.push(relay);
        Ok(())
    }
}

/// A file that only the step sees, in a directory that only root may enter.
fn secret_file(
    secret: &[u8],
    target: &str,
    access: Access,
    place: &Path,
) -> Result<RunMount, StepProblem> {
    use fs_err::os::unix::fs::OpenOptionsExt;
    let write = || {
        let mut options = fs_err::OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        io::Write::write_all(&mut options.open(place)?, secret)?;
        settle(place, access)
    };
    write().map_err(StepProblem::Io)?;
    let (source, target) = (place.to_owned(), target.to_owned());
    Ok(RunMount::Bind { source, target, read_only: true })
}

fn settle(path: &Path, access: Access) -> io::Result<()> {
    chown(path, Some(access.uid), Some(access.gid))?;
    fs_err::set_permissions(path, Permissions::from_mode(access.mode))
}

/// A mount point as an absolute path.
fn mount_point(state: &State, target: &str) -> Result<String, StepProblem> {
    let target = state.absolute(target);
    if within_root(Path::new(&target)).as_os_str().is_empty() {
        let text = "nothing can be mounted in the place of /".to_owned();
        return Err(StepProblem::Invalid(text));
    }
    Ok(target)
}

/// What the digests of mounts are for, in the words of a key.
pub(super) fn add_to_key(keys: &[String], key: &mut crate::digest::Hasher) {
    keys.iter().for_each(|text| key.field(Digest::of(text.as_bytes()).as_str().as_bytes()));
}

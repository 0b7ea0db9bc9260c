//! Layers as one tree without mounting them: what is at a path, and where its symlinks lead.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::layer::{xattr, xattr_names};
use crate::overlay_notes::notes;
use crate::root::{Root, is_whiteout, kind};
use crate::unpack::is_kept;

/// Symlinks followed for one path, as the kernel does.
const MOST_LINKS: usize = 40;

/// The layers of an image, open.
pub(crate) struct View {
    /// Topmost first.
    layers: Vec<Root>,
}

/// A directory of the view: who may do what with it.
#[derive(Debug, Clone)]
pub(crate) struct Directory {
    pub(crate) stat: Stat,
    pub(crate) xattrs: Vec<(String, Vec<u8>)>,
}

/// What one layer says about a path.
enum Answer {
    /// Nothing: a layer below may.
    Silence,
    /// That nothing is there.
    Nothing,
    Something(OwnedFd, Stat),
}

impl View {
    pub(crate) fn open(layers: &[PathBuf]) -> io::Result<Self> {
        let layers = layers.iter().map(|layer| Root::open(layer)).collect::<io::Result<_>>()?;
        Ok(Self { layers })
    }

    /// Where `path` leads when every symlink on the way is followed. What does not exist is taken
    /// as it is written.
    pub(crate) fn resolve(&self, path: &Path) -> io::Result<PathBuf> {
        let mut rest: VecDeque<OsString> = words(path);
        let mut resolved = PathBuf::new();
        let mut links = 0;
        while let Some(word) = rest.pop_front() {
            if word == ".." {
                resolved.pop();
                continue;
            }
            let next = resolved.join(&word);
            let Some((parent, stat)) = self.find(&next)? else {
                resolved = next;
                continue;
            };
            if kind(&stat) != FileType::Symlink {
                resolved = next;
                continue;
            }
            links += 1;
            if links > MOST_LINKS {
                return Err(Errno::LOOP.into());
            }
            let target = rustix::fs::readlinkat(&parent, "", Vec::new())?;
            let target = Path::new(OsStr::from_bytes(target.as_bytes()));
            if target.is_absolute() {
                resolved = PathBuf::new();
            }
            for word in words(target).into_iter().rev() {
                rest.push_front(word);
            }
        }
        Ok(resolved)
    }

    /// The directory at a path without symlinks; `None` when nothing or something else is there.
    pub(crate) fn directory(&self, path: &Path) -> io::Result<Option<Directory>> {
        let Some((fd, stat)) = self.find(path)? else { return Ok(None) };
        if kind(&stat) != FileType::Directory {
            return Ok(None);
        }
        let fd = rustix::fs::openat(&fd, ".", directory_flags(), Mode::empty())?;
        let mut xattrs = Vec::new();
        for name in xattr_names(fd.as_fd())?.into_iter().filter(|name| is_kept(name)) {
            let value = xattr(fd.as_fd(), &name)?;
            xattrs.push((name, value));
        }
        Ok(Some(Directory { stat, xattrs }))
    }

    fn find(&self, path: &Path) -> io::Result<Option<(OwnedFd, Stat)>> {
        for layer in &self.layers {
            match ask(layer, path)? {
                Answer::Silence => {}
                Answer::Nothing => return Ok(None),
                Answer::Something(fd, stat) => return Ok(Some((fd, stat))),
            }
        }
        Ok(None)
    }
}

fn ask(layer: &Root, path: &Path) -> io::Result<Answer> {
    let mut current =
        rustix::fs::openat(layer, ".", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    let mut stat = rustix::fs::fstat(&current)?;
    let mut hides = false;
    for name in path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name),
        _ => None,
    }) {
        if kind(&stat) != FileType::Directory {
            return Ok(Answer::Nothing);
        }
        hides |= is_opaque(current.as_fd())?;
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        current = match rustix::fs::openat(&current, name, flags, Mode::empty()) {
            Err(Errno::NOENT) if hides => return Ok(Answer::Nothing),
            Err(Errno::NOENT) => return Ok(Answer::Silence),
            result => result?,
        };
        stat = rustix::fs::statat(&current, "", AtFlags::EMPTY_PATH)?;
        if is_whiteout(&stat) {
            return Ok(Answer::Nothing);
        }
    }
    Ok(Answer::Something(current, stat))
}

fn is_opaque(directory: impl AsFd) -> io::Result<bool> {
    let fd = rustix::fs::openat(directory, ".", directory_flags(), Mode::empty())?;
    let mut value = [0; 1];
    match rustix::fs::fgetxattr(&fd, notes().opaque, &mut value) {
        Ok(_) => Ok(&value == b"y"),
        Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::RANGE) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

fn directory_flags() -> OFlags {
    OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC
}

fn words(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter_map(|part| match part {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some(OsString::from("..")),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use fs_err as fs;

    use super::*;
    use crate::unpack::set_opaque;

    fn layers() -> (tempfile::TempDir, Vec<PathBuf>) {
        let dir = tempfile::tempdir().unwrap();
        let (top, bottom) = (dir.path().join("top"), dir.path().join("bottom"));
        fs::create_dir_all(top.join("opaque")).unwrap();
        fs::create_dir_all(top.join("merged")).unwrap();
        fs::create_dir_all(bottom.join("opaque/hidden")).unwrap();
        fs::create_dir_all(bottom.join("merged/seen")).unwrap();
        fs::create_dir_all(bottom.join("run/lock")).unwrap();
        fs::create_dir_all(bottom.join("var")).unwrap();
        symlink("../run", bottom.join("var/run")).unwrap();
        symlink("/var/run/../run/lock", top.join("here")).unwrap();
        symlink("loop", bottom.join("loop")).unwrap();
        fs::write(bottom.join("file"), "").unwrap();
        (dir, vec![top, bottom])
    }

    #[test]
    fn symlinks_are_followed_across_layers_and_stay_inside() {
        let (_dir, layers) = layers();
        let view = View::open(&layers).unwrap();
        for (path, resolved) in [
            ("/here/x", "run/lock/x"),
            ("/var/run", "run"),
            ("../../var/./run/lock", "run/lock"),
            ("not/there/../at/all", "not/at/all"),
            ("/", ""),
        ] {
            assert_eq!(view.resolve(Path::new(path)).unwrap(), Path::new(resolved), "{path}");
        }
        assert!(view.resolve(Path::new("loop")).is_err());
    }

    #[test]
    fn directories_are_those_a_program_would_see() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let (_dir, layers) = layers();
        set_opaque(Root::open(&layers[0].join("opaque")).unwrap().as_fd()).unwrap();
        let view = View::open(&layers).unwrap();
        let is = |path: &str| view.directory(Path::new(path)).unwrap().is_some();
        assert!(is("") && is("opaque") && is("merged/seen") && is("run/lock"));
        assert!(!is("opaque/hidden") && !is("file") && !is("file/x") && !is("none"));
    }
}

//! The file system of an image: its layers, read as archives and laid over each other by the rules
//! of the OCI image specification. Nothing is unpacked, so the file system of this machine cannot
//! hide a difference.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fmt;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use sha2::{Digest, Sha256};
use tar::EntryType;

/// A name that stands for "this name is gone" has this in front.
const WHITEOUT: &[u8] = b".wh.";
/// Nothing of the layers below is in this directory.
const OPAQUE: &[u8] = b".wh..wh..opq";
/// How a PAX header names an extended attribute.
const XATTR: &str = "SCHILY.xattr.";
/// A file up to this size is kept, so that a difference can be shown.
const SHOWN: u64 = 4096;

/// All files of an image, by their absolute path.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    inodes: Vec<Inode>,
    names: BTreeMap<PathBuf, usize>,
}

/// A file, whatever its names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inode {
    /// What it is.
    pub kind: Kind,
    /// Permissions, with set-user-ID, set-group-ID and sticky.
    pub mode: u32,
    /// Owner.
    pub uid: u64,
    /// Group.
    pub gid: u64,
    /// Seconds since 1970.
    pub mtime: u64,
    /// Extended attributes.
    pub xattrs: BTreeMap<String, Vec<u8>>,
}

/// What a file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File(Content),
    /// A directory.
    Directory,
    /// A symbolic link and where it leads.
    Symlink(PathBuf),
    /// A device, `c` or `b`, with its numbers.
    Device(char, u32, u32),
    /// A named pipe.
    Fifo,
}

/// A regular file's bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// Their number.
    pub size: u64,
    /// Their SHA-256.
    pub digest: String,
    /// The bytes themselves, of a small file.
    pub text: Option<String>,
}

impl Tree {
    /// Lays a layer, an uncompressed archive, over what is there.
    ///
    /// # Errors
    /// It is no archive, or a link in it leads to nothing.
    pub fn apply(&mut self, layer: impl Read) -> io::Result<()> {
        let mut archive = tar::Archive::new(layer);
        let (mut gone, mut opaque, mut added) = (Vec::new(), Vec::new(), Vec::new());
        for entry in archive.entries()? {
            let entry = entry?;
            let path = absolute(&entry.path_bytes());
            let name = path.file_name().unwrap_or_default().as_bytes();
            if name == OPAQUE {
                opaque.push(path.parent().unwrap_or(&path).to_owned());
            } else if let Some(name) = name.strip_prefix(WHITEOUT) {
                gone.push(path.with_file_name(OsStr::from_bytes(name)));
            } else {
                added.push((path, Added::read(entry)?));
            }
        }
        // They are about the layers below alone, wherever in the archive they stand.
        for path in &gone {
            self.remove(path);
        }
        for path in &opaque {
            self.names.retain(|name, _| name == path || !name.starts_with(path));
        }
        for (path, added) in added {
            self.add(path, added)?;
        }
        Ok(())
    }

    /// All paths, sorted.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.names.keys().map(PathBuf::as_path)
    }

    /// The file at a path.
    #[must_use]
    pub fn get(&self, path: &Path) -> Option<&Inode> {
        self.names.get(path).map(|inode| &self.inodes[*inode])
    }

    /// The other names of the file at a path.
    #[must_use]
    pub fn other_names(&self, path: &Path) -> BTreeSet<&Path> {
        let Some(inode) = self.names.get(path) else { return BTreeSet::new() };
        let names = self.names.iter().filter(|(name, other)| *other == inode && *name != path);
        names.map(|(name, _)| name.as_path()).collect()
    }

    fn add(&mut self, path: PathBuf, added: Added) -> io::Result<()> {
        let inode = match added {
            Added::Inode(inode) => {
                self.inodes.push(inode);
                self.inodes.len() - 1
            }
            Added::Link(target) => *self.names.get(&target).ok_or_else(|| {
                let what = format!("{} is a link to {}", path.display(), target.display());
                io::Error::new(io::ErrorKind::InvalidData, format!("{what}, which is not there"))
            })?,
        };
        if self.inodes[inode].kind != Kind::Directory {
            self.remove(&path);
        }
        self.names.insert(path, inode);
        Ok(())
    }

    fn remove(&mut self, path: &Path) {
        self.names.retain(|name, _| !name.starts_with(path));
    }
}

/// What an entry of a layer adds.
enum Added {
    Inode(Inode),
    Link(PathBuf),
}

impl Added {
    fn read(mut entry: tar::Entry<'_, impl Read>) -> io::Result<Self> {
        let target = entry.link_name_bytes().map(|name| name.into_owned());
        let header = entry.header().clone();
        let target = target.unwrap_or_default();
        let kind = match header.entry_type() {
            EntryType::Link => return Ok(Self::Link(absolute(&target))),
            EntryType::Directory => Kind::Directory,
            EntryType::Symlink => Kind::Symlink(PathBuf::from(OsStr::from_bytes(&target))),
            EntryType::Fifo => Kind::Fifo,
            kind @ (EntryType::Char | EntryType::Block) => {
                let letter = if kind == EntryType::Char { 'c' } else { 'b' };
                let (major, minor) = (header.device_major()?, header.device_minor()?);
                Kind::Device(letter, major.unwrap_or(0), minor.unwrap_or(0))
            }
            _ => Kind::File(Content::read(&mut entry)?),
        };
        let mut inode = Inode {
            kind,
            mode: header.mode()? & 0o7777,
            uid: header.uid()?,
            gid: header.gid()?,
            mtime: header.mtime()?,
            xattrs: BTreeMap::new(),
        };
        for extension in entry.pax_extensions()?.into_iter().flatten() {
            let extension = extension?;
            let key = extension.key().map_err(io::Error::other)?;
            if let Some(name) = key.strip_prefix(XATTR) {
                inode.xattrs.insert(name.to_owned(), extension.value_bytes().to_vec());
            } else if key == "mtime" {
                let whole = extension.value().ok().and_then(|value| value.split('.').next());
                inode.mtime = whole.and_then(|whole| whole.parse().ok()).unwrap_or(inode.mtime);
            }
        }
        Ok(Self::Inode(inode))
    }
}

impl Content {
    fn read(entry: &mut tar::Entry<'_, impl Read>) -> io::Result<Self> {
        let (mut hash, mut start, mut size) = (Sha256::new(), Vec::new(), 0);
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let count = entry.read(&mut buffer)?;
            if count == 0 {
                break;
            }
            hash.update(&buffer[..count]);
            size += count as u64;
            if size <= SHOWN {
                start.extend_from_slice(&buffer[..count]);
            }
        }
        let digest = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        let text = (size <= SHOWN).then(|| String::from_utf8(start).ok()).flatten();
        Ok(Self { size, digest, text })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(_) => write!(f, "file"),
            Self::Directory => write!(f, "directory"),
            Self::Symlink(target) => write!(f, "link to {}", target.display()),
            Self::Device(letter, major, minor) => write!(f, "device {letter} {major}:{minor}"),
            Self::Fifo => write!(f, "fifo"),
        }
    }
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.text {
            Some(text) => write!(f, "{text:?}"),
            None => write!(f, "{} bytes, sha256:{}", self.size, self.digest),
        }
    }
}

/// An archive's name as a path from the root: `./a/`, `/a` and `a` are the same.
fn absolute(name: &[u8]) -> PathBuf {
    let path = Path::new(OsStr::from_bytes(name));
    let names = path.components().filter(|part| matches!(part, Component::Normal(_)));
    Path::new("/").join(names.collect::<PathBuf>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(entries: &[(&str, EntryType, &str)]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (path, kind, content) in entries {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(*kind);
            header.set_mode(0o644);
            header.set_uid(0);
            header.set_gid(0);
            header.set_mtime(0);
            header.set_size(0);
            if matches!(kind, EntryType::Link | EntryType::Symlink) {
                builder.append_link(&mut header, path, content).unwrap();
            } else {
                header.set_size(content.len() as u64);
                builder.append_data(&mut header, path, content.as_bytes()).unwrap();
            }
        }
        builder.into_inner().unwrap()
    }

    fn paths(layers: &[Vec<u8>]) -> Vec<String> {
        let mut tree = Tree::default();
        for layer in layers {
            tree.apply(layer.as_slice()).unwrap();
        }
        tree.paths().map(|path| path.display().to_string()).collect()
    }

    const FILE: EntryType = EntryType::Regular;
    const DIRECTORY: EntryType = EntryType::Directory;

    #[test]
    fn a_whiteout_removes_what_lies_below_and_not_beside() {
        let below = layer(&[("d/", DIRECTORY, ""), ("d/a", FILE, ""), ("d/b", FILE, "")]);
        let above = layer(&[("d/b", FILE, ""), ("d/.wh.a", FILE, ""), ("d/.wh.b", FILE, "")]);
        assert_eq!(paths(&[below, above]), ["/d", "/d/b"]);
    }

    #[test]
    fn an_opaque_directory_hides_what_lies_below() {
        let below = layer(&[("d/", DIRECTORY, ""), ("d/a", FILE, ""), ("da", FILE, "")]);
        let above =
            layer(&[("d/", DIRECTORY, ""), ("d/new", FILE, ""), ("d/.wh..wh..opq", FILE, "")]);
        assert_eq!(paths(&[below, above]), ["/d", "/d/new", "/da"]);
    }

    #[test]
    fn names_of_one_file_know_each_other() {
        let mut tree = Tree::default();
        let one = layer(&[("a", FILE, "x"), ("b", EntryType::Link, "a"), ("c", FILE, "x")]);
        tree.apply(one.as_slice()).unwrap();
        assert_eq!(tree.other_names(Path::new("/a")), BTreeSet::from([Path::new("/b")]));
        assert_eq!(tree.other_names(Path::new("/c")), BTreeSet::new());
        let replaced = layer(&[("b", FILE, "y")]);
        tree.apply(replaced.as_slice()).unwrap();
        assert_eq!(tree.other_names(Path::new("/a")), BTreeSet::new());
    }

    #[test]
    fn a_file_in_place_of_a_directory_removes_what_was_in_it() {
        let below = layer(&[("d/", DIRECTORY, ""), ("d/a", FILE, "")]);
        assert_eq!(paths(&[below, layer(&[("d", FILE, "")])]), ["/d"]);
    }
}

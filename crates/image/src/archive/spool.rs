//! An archive's files in the store's temporary folder, until it is clear which of them are blobs of
//! an image: what leads to them may come last.

use std::collections::HashMap;
use std::io::{self, BufReader, Read, Write as _};
use std::path::{Component, Path, PathBuf};

use tar::EntryType;

use super::ImportOptions;
use crate::content::DOCUMENT_BYTES;
use crate::digest::Digest;
use crate::document::Compression;
use crate::error::{ArchiveError, StoreError};
use crate::layout::Layout;
use crate::progress::Progress;
use crate::unpack::{Guard, State, Tripped, checked_path, decompress, each_entry, large_headers};

/// Most files an archive may have: an image has some dozens.
const FILES: u64 = 20_000;
/// Links that may lead from one to the next.
const LINKS: usize = 8;

/// A file of the archive.
#[derive(Debug)]
pub(super) struct Spooled {
    pub(super) digest: Digest,
    pub(super) size: u64,
    /// Where it is; `None` when the store had it already.
    path: Option<tempfile::TempPath>,
}

/// What an archive has, by its own paths.
#[derive(Debug, Default)]
pub(super) struct Spool {
    files: HashMap<PathBuf, Spooled>,
    /// Symbolic and hard links, with where they lead from the archive's root.
    links: HashMap<PathBuf, PathBuf>,
}

impl Spool {
    /// Reads an archive, compressed or not, to its very end.
    pub(super) fn read(
        layout: &Layout,
        archive: impl Read,
        options: &ImportOptions,
        progress: &dyn Progress,
    ) -> Result<Self, ArchiveError> {
        let damaged = |source| ArchiveError::Read { source };
        let archive = BufReader::with_capacity(256 * 1024, archive);
        let cancelled = || progress.cancelled();
        let plain = decompress(archive).map_err(damaged)?;
        let guard = Guard::new(plain, options.bytes, &cancelled);
        let state = guard.state();
        let mut spool = Self::default();
        let result = spool.read_entries(layout, tar::Archive::new(guard), &state, options);
        // What the guard stopped surfaces as some reading error; the guard knows better.
        match state.tripped() {
            Some(Tripped::Cancelled) => Err(ArchiveError::Cancelled),
            Some(Tripped::Bytes) => {
                Err(ArchiveError::TooLarge { limit: options.bytes, unit: "bytes" })
            }
            Some(Tripped::Headers) => Err(damaged(large_headers())),
            None => result.map(|()| spool),
        }
    }

    fn read_entries(
        &mut self,
        layout: &Layout,
        archive: tar::Archive<impl Read>,
        state: &State,
        options: &ImportOptions,
    ) -> Result<(), ArchiveError> {
        let damaged = |source| ArchiveError::Read { source };
        each_entry(archive, state, damaged, |count, entry| {
            if count > FILES {
                return Err(ArchiveError::TooLarge { limit: FILES, unit: "files" });
            }
            self.entry(layout, entry, options)
        })
    }

    fn entry<R: Read>(
        &mut self,
        layout: &Layout,
        entry: &mut tar::Entry<'_, R>,
        options: &ImportOptions,
    ) -> Result<(), ArchiveError> {
        let bytes = entry.path_bytes().into_owned();
        let shown = String::from_utf8_lossy(&bytes).into_owned();
        let refused = |reason: String| ArchiveError::Entry { path: shown.clone().into(), reason };
        let path = checked_path(&bytes, &shown).map_err(|error| refused(error.to_string()))?;
        let kind = entry.header().entry_type();
        match kind {
            EntryType::Regular | EntryType::Continuous if !bytes.ends_with(b"/") => {
                let limit = options.limits.bytes;
                if entry.size() > limit {
                    return Err(refused(format!("it is larger than {limit} bytes")));
                }
                let spooled = spool(layout, entry, &path, &shown)?;
                self.links.remove(&path);
                self.files.insert(path, spooled);
                Ok(())
            }
            EntryType::Symlink | EntryType::Link => {
                let target = entry.link_name_bytes().unwrap_or_default().into_owned();
                let target = Path::new(std::str::from_utf8(&target).unwrap_or_default());
                let from = match kind {
                    EntryType::Symlink => path.parent().unwrap_or(Path::new("")),
                    _ => Path::new(""),
                };
                let target = inside(&from.join(target))
                    .ok_or_else(|| refused("it is a link that leaves the archive".to_owned()))?;
                self.files.remove(&path);
                self.links.insert(path, target);
                Ok(())
            }
            EntryType::Directory | EntryType::Regular | EntryType::XGlobalHeader => Ok(()),
            other => {
                let kind = char::from(other.as_byte());
                Err(refused(format!(
                    "an entry of type '{kind}' has no place in an archive of images"
                )))
            }
        }
    }

    /// The file at a path, through links.
    fn find(&self, path: &Path) -> Option<(&Path, &Spooled)> {
        let mut path = path;
        for _ in 0..LINKS {
            if let Some((path, file)) = self.files.get_key_value(path) {
                return Some((path, file));
            }
            path = self.links.get(path)?;
        }
        None
    }

    /// The file that a document of the archive names.
    pub(super) fn get(&self, path: &str) -> Option<&Spooled> {
        self.find(&inside(Path::new(path))?).map(|(_, file)| file)
    }

    /// A small file's content.
    pub(super) fn document(
        &self,
        layout: &Layout,
        path: &str,
    ) -> Result<Option<Vec<u8>>, ArchiveError> {
        let Some(file) = self.get(path) else { return Ok(None) };
        if file.size > DOCUMENT_BYTES {
            let reason = "it is larger than 4 MiB".to_owned();
            return Err(ArchiveError::Entry { path: path.into(), reason });
        }
        let mut bytes = Vec::new();
        file.open(layout)?.read_to_end(&mut bytes).map_err(StoreError::from)?;
        Ok(Some(bytes))
    }

    /// Makes a file a blob of the store; the file stays readable.
    pub(super) fn commit(&mut self, layout: &Layout, path: &str) -> Result<(), StoreError> {
        let found = inside(Path::new(path)).and_then(|path| Some(self.find(&path)?.0.to_owned()));
        let file = found.and_then(|path| self.files.get_mut(&path));
        let Some(file) = file else { return Ok(()) };
        match file.path.take() {
            Some(temporary) => crate::content::persist_path(layout, temporary, &file.digest),
            None => Ok(()),
        }
    }
}

impl Spooled {
    fn open(&self, layout: &Layout) -> Result<fs_err::File, StoreError> {
        match &self.path {
            Some(path) => Ok(fs_err::File::open(path)?),
            None => Ok(fs_err::File::open(layout.blob(&self.digest))?),
        }
    }

    /// How it is compressed.
    pub(super) fn compression(&self, layout: &Layout) -> Result<Compression, StoreError> {
        let mut first = Vec::new();
        self.open(layout)?.take(4).read_to_end(&mut first)?;
        Ok(Compression::of(&first))
    }
}

/// Writes an entry to the temporary folder, unless it is a blob that the store has.
fn spool<R: Read>(
    layout: &Layout,
    entry: &mut tar::Entry<'_, R>,
    path: &Path,
    shown: &str,
) -> Result<Spooled, ArchiveError> {
    let damaged = |source| ArchiveError::Read { source };
    let size = entry.size();
    let cut_off = || damaged(io::Error::new(io::ErrorKind::UnexpectedEof, "it ends too early"));
    let named = path.strip_prefix("blobs/sha256").ok().and_then(Path::to_str);
    let named = named.and_then(|hex| format!("sha256:{hex}").parse::<Digest>().ok());
    if let Some(digest) = named.clone().filter(|digest| layout.blob_size(digest) == Some(size)) {
        let read = io::copy(entry, &mut io::sink()).map_err(damaged)?;
        let here = Spooled { digest, size, path: None };
        return if read == size { Ok(here) } else { Err(cut_off()) };
    }
    let mut writer = layout.blob_writer()?;
    let mut buffer = vec![0; 128 * 1024];
    let mut read = 0;
    loop {
        let count = match entry.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(damaged(error)),
        };
        read += count as u64;
        writer
            .write_all(&buffer[..count])
            .map_err(|source| StoreError::at(writer.path(), source))?;
    }
    if read != size {
        return Err(cut_off());
    }
    let (path, digest, size) = writer.spool()?;
    if let Some(named) = named.filter(|named| *named != digest) {
        let reason = format!("its content has digest {digest}, its name says {named}");
        return Err(ArchiveError::Entry { path: shown.into(), reason });
    }
    Ok(Spooled { digest, size, path: Some(path) })
}

/// A path from the archive's root without `.` and `..`, if it stays inside.
fn inside(path: &Path) -> Option<PathBuf> {
    let mut inside = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => inside.push(name),
            Component::ParentDir if !inside.pop() => return None,
            Component::ParentDir | Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(inside)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_nowhere_outside() {
        let path = |text: &str| inside(Path::new(text));
        assert_eq!(path("a/../b/./c").unwrap(), Path::new("b/c"));
        assert_eq!(path("a/b/../../c").unwrap(), Path::new("c"));
        for bad in ["..", "a/../..", "/etc/passwd", "a/../../b"] {
            assert_eq!(path(bad), None, "{bad}");
        }
    }
}

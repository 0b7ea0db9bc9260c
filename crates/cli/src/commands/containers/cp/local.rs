//! Files here: packed into an archive, and out of one.

use std::ffi::OsString;
use std::fs::{Metadata, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::Path;

use tar::{Archive, Builder, EntryType, Header};

/// Permissions of files that are made here; their owner is whoever makes them.
const PERMISSIONS: u32 = 0o777;

/// The name of what is at a path; none if that is the root.
pub(super) fn own_name(path: &Path) -> io::Result<Option<OsString>> {
    match path.file_name() {
        Some(name) => Ok(Some(name.to_owned())),
        // `..` has a name where it leads to.
        None => Ok(fs_err::canonicalize(path)?.file_name().map(OsString::from)),
    }
}

/// Writes an archive of what is at `from`, under `name`, or of what that directory has. In it all
/// belongs to root, as with `docker cp`.
pub(super) fn pack(from: &Path, name: Option<&Path>, to: &mut impl Write) -> io::Result<()> {
    let mut builder = Builder::new(to);
    match name {
        Some(name) => add(&mut builder, from, name)?,
        None => add_contents(&mut builder, from, Path::new(""))?,
    }
    builder.finish()
}

fn add_contents(builder: &mut Builder<impl Write>, from: &Path, name: &Path) -> io::Result<()> {
    let mut names = Vec::new();
    for entry in fs_err::read_dir(from)? {
        names.push(entry?.file_name());
    }
    names.sort();
    names.iter().try_for_each(|own| add(builder, &from.join(own), &name.join(own)))
}

fn add(builder: &mut Builder<impl Write>, from: &Path, name: &Path) -> io::Result<()> {
    let metadata = fs_err::symlink_metadata(from)?;
    let kind = metadata.file_type();
    if kind.is_dir() {
        let mut header = header(&metadata, EntryType::Directory);
        builder.append_data(&mut header, name, io::empty())?;
        return add_contents(builder, from, name);
    }
    if kind.is_symlink() {
        let target = fs_err::read_link(from)?;
        return builder.append_link(&mut header(&metadata, EntryType::Symlink), name, target);
    }
    if kind.is_file() {
        let file = fs_err::File::open(from)?;
        let mut header = header(&metadata, EntryType::Regular);
        return builder.append_data(&mut header, name, Exactly { file, left: metadata.len() });
    }
    if kind.is_fifo() {
        let mut header = header(&metadata, EntryType::Fifo);
        header.set_size(0);
        return builder.append_data(&mut header, name, io::empty());
    }
    // A socket means nothing without its process.
    if kind.is_socket() {
        return Ok(());
    }
    let text = format!("{} is a device, which no instance takes", from.display());
    Err(io::Error::other(text))
}

fn header(metadata: &Metadata, kind: EntryType) -> Header {
    let mut header = Header::new_gnu();
    header.set_metadata(metadata);
    header.set_entry_type(kind);
    header.set_mode(metadata.permissions().mode() & 0o7777);
    header.set_uid(0);
    header.set_gid(0);
    header
}

/// As many bytes of a file as its entry says that it has.
struct Exactly {
    file: fs_err::File,
    left: u64,
}

impl Read for Exactly {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.file.read(&mut buffer[..most])?;
        if count == 0 && most > 0 {
            let text = format!("{} has become shorter meanwhile", self.file.path().display());
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
        }
        self.left -= count as u64;
        Ok(count)
    }
}

/// Unpacks an archive of what a directory has into the directory `into`, which is made, with these
/// permissions, if it is missing. No entry leads out of it.
pub(super) fn unpack_directory(archive: impl Read, into: &Path, mode: u32) -> io::Result<()> {
    let is_new = !into.is_dir();
    if is_new {
        fs_err::create_dir(into)?;
    }
    let mut archive = Archive::new(archive);
    archive.unpack(into)?;
    read_to_end(archive)?;
    if is_new {
        fs_err::set_permissions(into, Permissions::from_mode(mode & PERMISSIONS))?;
    }
    Ok(())
}

/// The one thing of an archive becomes `into`, a file or a symbolic link.
pub(super) fn unpack_file(archive: impl Read, into: &Path) -> io::Result<()> {
    let mut archive = Archive::new(archive);
    {
        let first = archive.entries()?.next().transpose()?;
        let kind = first.as_ref().map(|entry| entry.header().entry_type());
        let is_kept = |kind: EntryType| kind.is_file() || kind.is_symlink() || kind.is_gnu_sparse();
        let Some(mut entry) = first.filter(|_| kind.is_some_and(is_kept)) else {
            let text = "what is there is neither a file nor a directory nor a symbolic link";
            return Err(io::Error::other(text));
        };
        if into.is_dir() {
            let text =
                format!("{} is a directory, which no file takes the place of", into.display());
            return Err(io::Error::other(text));
        }
        entry.unpack(into)?;
    }
    read_to_end(archive)
}

/// Who sends it is not to wait for a reader of its end.
fn read_to_end(archive: Archive<impl Read>) -> io::Result<()> {
    io::copy(&mut archive.into_inner(), &mut io::sink()).map(drop)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn packed(from: &Path, name: Option<&str>) -> Vec<u8> {
        let mut archive = Vec::new();
        pack(from, name.map(Path::new), &mut archive).unwrap();
        archive
    }

    #[test]
    fn a_directory_comes_out_as_it_went_in() {
        let folder = tempfile::tempdir().unwrap();
        let from = folder.path().join("from");
        fs_err::create_dir_all(from.join("deep")).unwrap();
        fs_err::write(from.join("deep/file"), "text").unwrap();
        fs_err::set_permissions(from.join("deep/file"), Permissions::from_mode(0o640)).unwrap();
        fs_err::set_permissions(from.join("deep"), Permissions::from_mode(0o500)).unwrap();
        symlink("deep/file", from.join("link")).unwrap();
        let into = folder.path().join("into");
        unpack_directory(packed(&from, None).as_slice(), &into, 0o750).unwrap();
        assert_eq!(fs_err::read_to_string(into.join("link")).unwrap(), "text");
        assert_eq!(fs_err::read_link(into.join("link")).unwrap(), Path::new("deep/file"));
        let mode = |path: &Path| fs_err::metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode(&into), 0o750);
        assert_eq!((mode(&into.join("deep")), mode(&into.join("deep/file"))), (0o500, 0o640));
        for tree in [&from, &into] {
            fs_err::set_permissions(tree.join("deep"), Permissions::from_mode(0o700)).unwrap();
        }
    }

    #[test]
    fn what_is_packed_is_roots_and_has_the_name_that_it_is_to_get() {
        let folder = tempfile::tempdir().unwrap();
        fs_err::write(folder.path().join("a"), "text").unwrap();
        let bytes = packed(folder.path(), Some("other"));
        let mut archive = Archive::new(bytes.as_slice());
        let entries = archive.entries().unwrap().map(Result::unwrap);
        let seen: Vec<_> = entries
            .map(|entry| {
                let path = entry.path().unwrap().display().to_string();
                (path, entry.header().uid().unwrap(), entry.size())
            })
            .collect();
        assert_eq!(seen, [("other".to_owned(), 0, 0), ("other/a".to_owned(), 0, 4)]);
    }

    #[test]
    fn one_file_becomes_what_it_is_to_be_called_and_no_directory_gives_way() {
        let folder = tempfile::tempdir().unwrap();
        fs_err::write(folder.path().join("a"), "text").unwrap();
        let bytes = packed(&folder.path().join("a"), Some("a"));
        let into = folder.path().join("b");
        fs_err::write(&into, "a longer text that was there before").unwrap();
        unpack_file(bytes.as_slice(), &into).unwrap();
        assert_eq!(fs_err::read_to_string(&into).unwrap(), "text");
        assert!(unpack_file(bytes.as_slice(), folder.path()).is_err());
        assert!(unpack_file(packed(folder.path(), Some("d")).as_slice(), &into).is_err());
    }
}

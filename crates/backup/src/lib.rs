//! The archive of a backup: a tar file whose last two members say what is in it.
//!
//! ```text
//! berth-backup.json     what this is, and of which version
//! <path> …              the files, by their paths below the data directory
//! manifest.json         the same again, and each file with its length and SHA-256
//! manifest.sha256       the SHA-256 of the manifest: whoever has it has the whole archive
//! ```
//!
//! Which files these are, and how they are read while others write them, is `cli/src/backup`'s business.
#![forbid(unsafe_code)]

use std::collections::{BTreeMap, HashSet};
use std::io::{self, Read, Write};
use std::path::{Component, Path};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tar::{Builder, EntryType, Header};

/// The newest form of archives that is known; written into each.
pub const FORMAT: u32 = 1;

const HEAD: &str = "berth-backup.json";
const MANIFEST: &str = "manifest.json";
const CHECKSUM: &str = "manifest.sha256";
/// Longest manifest that is read: ten million files have a shorter one.
const LONGEST_MANIFEST: u64 = 4 << 30;

/// What an archive is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The form of the archive: [`FORMAT`].
    pub format: u32,
    /// The version of Berth that wrote it.
    pub berth: String,
    /// When that was.
    pub created_at: Timestamp,
    /// Whether the keys are in it.
    pub keys: bool,
    /// Whether images are in it.
    pub images: bool,
}

/// A file in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// Below the data directory, parts separated by `/`.
    pub path: String,
    /// Its length in bytes.
    pub size: u64,
    /// SHA-256 of its content, in hex.
    pub sha256: String,
}

/// All that is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// What the archive is.
    pub head: Head,
    /// Its files, in the order in which they are in it.
    pub files: Vec<File>,
}

/// Why an archive cannot be read. Texts complete "failed to …".
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The file cannot be read, or ends in the middle.
    #[error("read the archive: {0}")]
    Read(#[from] io::Error),
    /// It is something else.
    #[error("read the archive: it is no backup of Berth's")]
    Other,
    /// It was written by a newer Berth.
    #[error(
        "read the archive: its format is {found} (Berth {berth}), and this Berth knows {FORMAT}"
    )]
    Newer {
        /// Its format.
        found: u32,
        /// Who wrote it.
        berth: String,
    },
    /// It is not what was written.
    #[error("read the archive: it is damaged: {0}")]
    Damaged(String),
}

/// Writes an archive.
pub struct Writer<W: Write> {
    tar: Builder<W>,
    manifest: Manifest,
}

impl<W: Write> std::fmt::Debug for Writer<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").field("manifest", &self.manifest).finish_non_exhaustive()
    }
}

impl<W: Write> Writer<W> {
    /// Begins one.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn begin(to: W, head: Head) -> io::Result<Self> {
        let mut tar = Builder::new(to);
        append(&mut tar, HEAD, &json(&head))?;
        Ok(Self { tar, manifest: Manifest { head, files: Vec::new() } })
    }

    /// Adds a file with this many bytes, which its reader has.
    ///
    /// # Errors
    /// It cannot be read or written, or has become shorter.
    pub fn add(&mut self, path: &str, size: u64, reader: impl Read) -> io::Result<()> {
        let mut reader = Hashing { reader: reader.take(size), hash: Sha256::new(), read: 0 };
        self.tar.append_data(&mut header(size), path, &mut reader)?;
        if reader.read != size {
            let text = format!("{path} has become shorter while it was read");
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
        }
        let sha256 = hex(&reader.hash.finalize());
        self.manifest.files.push(File { path: path.to_owned(), size, sha256 });
        Ok(())
    }

    /// Ends the archive; what it was written to, and what is in it.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn finish(mut self) -> io::Result<(W, Manifest)> {
        let manifest = json(&self.manifest);
        append(&mut self.tar, MANIFEST, &manifest)?;
        append(&mut self.tar, CHECKSUM, hex(&Sha256::digest(&manifest)).as_bytes())?;
        Ok((self.tar.into_inner()?, self.manifest))
    }
}

/// Reads an archive to its end and checks every byte; what it was written to be. `keep` is given each
/// file as it comes, before it is known whether the archive is whole.
///
/// # Errors
/// It is damaged, newer, or something else; or `keep` fails.
pub fn read(
    from: impl Read,
    mut keep: impl FnMut(&Path, &mut dyn Read) -> io::Result<()>,
) -> Result<Manifest, ArchiveError> {
    let mut archive = tar::Archive::new(from);
    let mut head: Option<Head> = None;
    let mut found: BTreeMap<String, File> = BTreeMap::new();
    let mut manifest: Option<Vec<u8>> = None;
    let mut checksum: Option<Vec<u8>> = None;
    for entry in archive.entries()? {
        let mut entry = entry.map_err(|error| match &head {
            None => ArchiveError::Other,
            Some(_) => ArchiveError::Read(error),
        })?;
        let path = entry.path().map_err(|_| ArchiveError::Other)?.to_string_lossy().into_owned();
        match (path.as_str(), &head) {
            (HEAD, None) => head = Some(check_head(&whole(&mut entry)?)?),
            (_, None) => return Err(ArchiveError::Other),
            (MANIFEST, _) => manifest = Some(whole(&mut entry)?),
            (CHECKSUM, _) => checksum = Some(whole(&mut entry)?),
            _ => {
                let is_file = entry.header().entry_type() == EntryType::Regular;
                if !is_file || !is_inside(&path) {
                    return Err(damaged(format!("\"{path}\" is no file of a data directory")));
                }
                let mut reader = Hashing { reader: &mut entry, hash: Sha256::new(), read: 0 };
                keep(Path::new(&path), &mut reader)?;
                io::copy(&mut reader, &mut io::sink())?;
                let file = File {
                    path: path.clone(),
                    size: reader.read,
                    sha256: hex(&reader.hash.finalize()),
                };
                if found.insert(path.clone(), file).is_some() {
                    return Err(damaged(format!("\"{path}\" is in it twice")));
                }
            }
        }
    }
    check(head, &found, manifest, checksum)
}

fn check(
    head: Option<Head>,
    found: &BTreeMap<String, File>,
    manifest: Option<Vec<u8>>,
    checksum: Option<Vec<u8>>,
) -> Result<Manifest, ArchiveError> {
    let head = head.ok_or(ArchiveError::Other)?;
    let (Some(bytes), Some(checksum)) = (manifest, checksum) else {
        return Err(damaged("its end is missing".to_owned()));
    };
    if hex(&Sha256::digest(&bytes)).as_bytes() != checksum {
        return Err(damaged("its manifest is another".to_owned()));
    }
    let manifest: Manifest =
        serde_json::from_slice(&bytes).map_err(|error| damaged(format!("manifest: {error}")))?;
    if manifest.head != head {
        return Err(damaged("its head and its manifest differ".to_owned()));
    }
    let listed: HashSet<&str> = manifest.files.iter().map(|file| file.path.as_str()).collect();
    if let Some(extra) = found.keys().find(|path| !listed.contains(path.as_str())) {
        return Err(damaged(format!("\"{extra}\" is not in its manifest")));
    }
    match manifest.files.iter().find(|file| found.get(&file.path) != Some(file)) {
        Some(file) => Err(damaged(format!("\"{}\" is missing or not what was saved", file.path))),
        None => Ok(manifest),
    }
}

/// The version comes first, so that nothing else of a newer archive is looked at.
fn check_head(bytes: &[u8]) -> Result<Head, ArchiveError> {
    #[derive(Deserialize)]
    struct Version {
        format: u32,
        #[serde(default)]
        berth: String,
    }
    let version: Version = serde_json::from_slice(bytes).map_err(|_| ArchiveError::Other)?;
    if version.format > FORMAT {
        return Err(ArchiveError::Newer { found: version.format, berth: version.berth });
    }
    serde_json::from_slice(bytes).map_err(|error| damaged(format!("{HEAD}: {error}")))
}

fn damaged(what: String) -> ArchiveError {
    ArchiveError::Damaged(what)
}

/// A path that leads nowhere else than below the folder that it is put in.
fn is_inside(path: &str) -> bool {
    let mut parts = Path::new(path).components();
    !path.is_empty() && parts.all(|part| matches!(part, Component::Normal(_)))
}

fn whole(entry: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    entry.take(LONGEST_MANIFEST).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn append(tar: &mut Builder<impl Write>, path: &str, bytes: &[u8]) -> io::Result<()> {
    tar.append_data(&mut header(bytes.len() as u64), path, bytes)
}

fn header(size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_size(size);
    header.set_mode(0o600);
    header.set_entry_type(EntryType::Regular);
    header
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("it has text keys and whole numbers")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads on, and knows the hash and the length of what was read.
struct Hashing<R> {
    reader: R,
    hash: Sha256,
    read: u64,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        self.hash.update(&buffer[..count]);
        self.read += count as u64;
        Ok(count)
    }
}

/// Entry point for `tests/fuzzing` alone: an archive of whoever.
///
/// # Panics
/// A file would be put elsewhere than below the folder of a restore, or what was read is not what its
/// manifest says.
pub fn fuzz(bytes: &[u8]) {
    let mut kept = Vec::new();
    let manifest = read(bytes, |path, _| {
        assert!(path.components().all(|part| matches!(part, Component::Normal(_))), "{path:?}");
        kept.push(path.to_string_lossy().into_owned());
        Ok(())
    });
    if let Ok(manifest) = manifest {
        let mut listed: Vec<_> = manifest.files.into_iter().map(|file| file.path).collect();
        listed.sort();
        kept.sort();
        assert_eq!(kept, listed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(format: u32) -> Head {
        let berth = "9.9.9".to_owned();
        Head { format, berth, created_at: Timestamp::UNIX_EPOCH, keys: false, images: true }
    }

    fn archive(format: u32) -> Vec<u8> {
        let mut writer = Writer::begin(Vec::new(), head(format)).unwrap();
        writer.add("db/control.sqlite", 7, &b"records"[..]).unwrap();
        let long = format!("objects/{}/{}", "a".repeat(100), "b".repeat(100));
        writer.add(&long, 0, io::empty()).unwrap();
        writer.finish().unwrap().0
    }

    fn names(bytes: &[u8]) -> Result<Vec<String>, ArchiveError> {
        let mut names = Vec::new();
        read(bytes, |path, _| {
            names.push(path.display().to_string());
            Ok(())
        })?;
        Ok(names)
    }

    #[test]
    fn what_was_written_is_read() {
        let mut content = Vec::new();
        let manifest = read(&archive(FORMAT)[..], |_, reader| {
            reader.read_to_end(&mut content)?;
            Ok(())
        });
        assert_eq!(content, b"records");
        let manifest = manifest.unwrap();
        assert_eq!((manifest.head, manifest.files.len()), (head(FORMAT), 2));
        assert_eq!(names(&archive(FORMAT)).unwrap()[0], "db/control.sqlite");
    }

    #[test]
    fn whatever_is_cut_off_is_damaged() {
        let whole = archive(FORMAT);
        // Two empty blocks end a tar file, and its last member is padded: nothing is lost with them.
        for length in (0..whole.len() - 1024 - 448).step_by(97) {
            assert!(names(&whole[..length]).is_err(), "{length} of {}", whole.len());
        }
    }

    #[test]
    fn whatever_is_changed_is_damaged() {
        let whole = archive(FORMAT);
        let at = |text: &[u8]| whole.windows(text.len()).position(|part| part == text).unwrap();
        for place in [at(b"records"), at(b"\"sha256\""), at(b"\"9.9.9\""), at(b"bbbb")] {
            let mut changed = whole.clone();
            changed[place + 1] ^= 1;
            assert!(names(&changed).is_err(), "at {place}");
        }
    }

    #[test]
    fn a_newer_archive_and_one_of_somebody_else_are_told_apart() {
        let newer = names(&archive(FORMAT + 1)).unwrap_err().to_string();
        assert!(newer.contains("Berth 9.9.9"), "{newer}");
        let mut other = Builder::new(Vec::new());
        append(&mut other, "a", b"b").unwrap();
        for other in [other.into_inner().unwrap(), b"x".repeat(2000), Vec::new()] {
            assert!(matches!(names(&other), Err(ArchiveError::Other)), "{:?}", names(&other));
        }
    }

    #[test]
    fn nothing_is_put_elsewhere() {
        for path in ["", "/etc/passwd", "../a", "a/../../b"] {
            assert!(!is_inside(path), "{path}");
        }
        assert!(is_inside("db/control.sqlite"));
    }

    #[test]
    fn a_file_that_became_shorter_is_an_error() {
        let mut writer = Writer::begin(Vec::new(), head(FORMAT)).unwrap();
        assert!(writer.add("a", 5, &b"abc"[..]).is_err());
    }
}

//! The files behind disks: sparse, and without a name from the beginning.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{Mode, OFlags, SeekFrom};

use super::named;

/// Where distributions put programs for root; not every `PATH` has these.
const ROOTS: [&str; 3] = ["/usr/sbin", "/sbin", "/usr/local/sbin"];

/// An empty file system of `bytes`, to be copied. Blocking, for about 10 ms.
pub(super) fn template(dir: &Path, bytes: u64) -> io::Result<File> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs = std::env::split_paths(&path).chain(ROOTS.map(PathBuf::from));
    let mkfs = dirs.map(|dir| dir.join("mkfs.ext4")).find(|path| path.exists());
    let missing = || io::Error::new(io::ErrorKind::NotFound, "find mkfs.ext4 (package e2fsprogs)");
    let mkfs = mkfs.ok_or_else(missing)?;
    let file = nameless(dir)?;
    file.set_len(bytes)?;
    let output = Command::new(mkfs)
        .args(["-q", "-F", "-m", "0", "-b", "4096"])
        .args(["-O", "^has_journal,^resize_inode"])
        .args(["-E", "lazy_itable_init=1,nodiscard,root_owner=0:0"])
        .arg(format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd()))
        .stdin(Stdio::null())
        .output()?;
    if output.status.success() {
        return Ok(file);
    }
    let reason = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ");
    Err(io::Error::other(format!("run mkfs.ext4: {reason}")))
}

/// A copy that takes no more space than the template does. Blocking, for about 1 ms.
pub(super) fn copy(template: &File, dir: &Path) -> io::Result<File> {
    let len = template.metadata()?.len();
    let copy = nameless(dir)?;
    copy.set_len(len)?;
    // A descriptor of its own: several may be copied at once, each with its position.
    let source = File::open(format!("/proc/self/fd/{}", template.as_raw_fd()))?;
    let mut end = 0;
    while let Ok(start) = rustix::fs::seek(&source, SeekFrom::Data(end)) {
        end = rustix::fs::seek(&source, SeekFrom::Hole(start))?;
        copy_range(&source, &copy, start, end)?;
    }
    Ok(copy)
}

fn copy_range(source: &File, copy: &File, start: u64, end: u64) -> io::Result<()> {
    let (mut from, mut to) = (start, start);
    while from < end {
        let len = usize::try_from(end - from).map_err(io::Error::other)?;
        let n = rustix::fs::copy_file_range(source, Some(&mut from), copy, Some(&mut to), len)?;
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}

/// A new file in `dir` that no path leads to.
fn nameless(dir: &Path) -> io::Result<File> {
    let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
    let file = rustix::fs::open(dir, flags, Mode::from_raw_mode(0o600));
    Ok(file.map_err(|e| named(&format!("make a file in `{}`", dir.display()), &e.into()))?.into())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek, SeekFrom, Write};
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn a_copy_has_the_same_bytes_and_no_more_blocks() {
        let dir = tempfile::tempdir().unwrap();
        let mut template = nameless(dir.path()).unwrap();
        template.set_len(64 * 1024 * 1024).unwrap();
        for at in [0, 5_000_000, 64 * 1024 * 1024 - 3] {
            template.seek(SeekFrom::Start(at)).unwrap();
            template.write_all(b"abc").unwrap();
        }
        let mut copy = copy(&template, dir.path()).unwrap();
        let (one, two) = (template.metadata().unwrap(), copy.metadata().unwrap());
        assert_eq!(one.len(), two.len());
        assert!(two.blocks() <= one.blocks(), "{} {}", two.blocks(), one.blocks());
        let mut bytes = [0; 3];
        copy.seek(SeekFrom::Start(5_000_000)).unwrap();
        copy.read_exact(&mut bytes).unwrap();
        assert_eq!(&bytes, b"abc");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}

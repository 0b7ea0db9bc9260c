//! What an entry says about a file beside its content: owner, mode, time, extended attributes.

use std::io::{self, Read};
use std::os::fd::BorrowedFd;

use rustix::fs::{Gid, Mode, Timespec, Timestamps, UTIME_OMIT, Uid, XattrFlags};
use rustix::io::Errno;

use crate::error::UnpackError;
use crate::ids::Ids;

/// Prefix of extended attributes in PAX headers.
pub(crate) const PAX_XATTR: &str = "SCHILY.xattr.";

/// Owner, mode, time and extended attributes of one file.
#[derive(Debug, Clone)]
pub(super) struct Attributes {
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mode: u32,
    pub(super) mtime: (i64, u32),
    pub(super) xattrs: Vec<(String, Vec<u8>)>,
}

impl Attributes {
    /// Reads them from an entry's headers.
    pub(super) fn of<R: Read>(
        entry: &mut tar::Entry<'_, R>,
        path: &str,
        owner: Option<(u32, u32)>,
        map: Option<&Ids>,
    ) -> Result<Self, UnpackError> {
        let damaged = |source| UnpackError::Archive { source };
        let header = entry.header();
        let raw = header.as_old();
        let (uid, gid) = (field(header.uid(), &raw.uid), field(header.gid(), &raw.gid));
        let id = |id: u64| u32::try_from(id).ok().filter(|id| *id != u32::MAX);
        let ids = (id(uid.map_err(damaged)?), id(gid.map_err(damaged)?));
        let (Some(uid), Some(gid)) = ids else {
            return Err(UnpackError::Path {
                path: path.to_owned(),
                reason: "its owner is larger than any user id",
            });
        };
        let mapped = map.map_or(Some((uid, gid)), |map| map.outside(uid, gid));
        let Some((uid, gid)) = owner.or(mapped) else {
            return Err(UnpackError::Path {
                path: path.to_owned(),
                reason: "its owner is no user the sandbox has",
            });
        };
        let mut attributes = Self {
            uid,
            gid,
            mode: field(header.mode(), &raw.mode).map_err(damaged)? & 0o7777,
            mtime: (i64::try_from(header.mtime().unwrap_or(0)).unwrap_or(i64::MAX), 0),
            xattrs: Vec::new(),
        };
        attributes.read_pax(entry, path)?;
        Ok(attributes)
    }

    fn read_pax<R: Read>(
        &mut self,
        entry: &mut tar::Entry<'_, R>,
        path: &str,
    ) -> Result<(), UnpackError> {
        let damaged = |source| UnpackError::Archive { source };
        let Some(extensions) = entry.pax_extensions().map_err(damaged)? else { return Ok(()) };
        for extension in extensions {
            let extension = extension.map_err(damaged)?;
            let Ok(key) = extension.key() else { continue };
            if key.starts_with("GNU.sparse.") {
                return Err(UnpackError::Unsupported {
                    path: path.to_owned(),
                    kind: "a sparse file in PAX form".to_owned(),
                });
            }
            if key == "mtime" {
                if let Some(time) = extension.value().ok().and_then(parse_time) {
                    self.mtime = time;
                }
            } else if let Some(name) = key.strip_prefix(PAX_XATTR)
                && is_kept(name)
            {
                self.xattrs.push((name.to_owned(), extension.value_bytes().to_vec()));
            }
        }
        Ok(())
    }

    pub(super) fn owner(&self) -> (Option<Uid>, Option<Gid>) {
        (Some(Uid::from_raw(self.uid)), Some(Gid::from_raw(self.gid)))
    }

    pub(super) fn times(&self) -> Timestamps {
        times(self.mtime)
    }

    /// Applies owner, mode and extended attributes; the time comes last, by [`Self::set_time`].
    pub(super) fn apply(&self, fd: BorrowedFd<'_>) -> Result<(), Errno> {
        let (uid, gid) = self.owner();
        known(rustix::fs::fchown(fd, uid, gid))?;
        // After the owner: a change of owner clears setuid and capabilities.
        rustix::fs::fchmod(fd, Mode::from_raw_mode(self.mode))?;
        for (name, value) in &self.xattrs {
            match rustix::fs::fsetxattr(fd, name.as_str(), value, XattrFlags::empty()) {
                Err(Errno::OPNOTSUPP) if name.starts_with("user.") => {}
                // In a user namespace; no program inside could use them there.
                Err(Errno::PERM) if name.starts_with("security.") => {}
                result => result?,
            }
        }
        Ok(())
    }

    pub(super) fn set_time(&self, fd: BorrowedFd<'_>) -> Result<(), Errno> {
        rustix::fs::futimens(fd, &self.times())
    }
}

/// What a change of owner came to. An ordinary user may have fewer ids than an image: files of the
/// others stay its own.
pub(super) fn known(changed: Result<(), Errno>) -> Result<(), Errno> {
    if changed == Err(Errno::INVAL) { Ok(()) } else { changed }
}

/// A number in a header; left blank, it is zero.
fn field<T: Default>(value: io::Result<T>, raw: &[u8]) -> io::Result<T> {
    match value {
        Err(_) if raw.iter().all(|b| matches!(b, 0 | b' ')) => Ok(T::default()),
        value => value,
    }
}

/// A modification time as `utimensat` takes it; the access time is left alone.
pub(crate) fn times((seconds, nanoseconds): (i64, u32)) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: seconds, tv_nsec: nanoseconds.into() },
    }
}

/// Whether an extended attribute of an image is its own business. Those of overlayfs would change
/// what a layer means, `trusted.` and the rest of `security.` are the host's.
pub(crate) fn is_kept(name: &str) -> bool {
    name == "security.capability"
        || (name.starts_with("user.") && !name.starts_with("user.overlay."))
}

/// A PAX time: seconds with an optional fraction, possibly negative.
fn parse_time(text: &str) -> Option<(i64, u32)> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = whole.parse().ok()?;
    if !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let digits: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    let nanoseconds: u32 = digits.parse().ok()?;
    if whole.starts_with('-') && nanoseconds > 0 {
        return Some((seconds.checked_sub(1)?, 1_000_000_000 - nanoseconds));
    }
    Some((seconds, nanoseconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pax_times_have_fractions_and_signs() {
        for (text, time) in [
            ("0", Some((0, 0))),
            ("1700000000.5", Some((1_700_000_000, 500_000_000))),
            ("12.1234567899", Some((12, 123_456_789))),
            ("-1.25", Some((-2, 750_000_000))),
            ("", None),
            ("1.x", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(parse_time(text), time, "{text}");
        }
    }

    #[test]
    fn attributes_that_would_trick_overlayfs_are_not_kept() {
        assert!(is_kept("security.capability") && is_kept("user.mime_type"));
        for name in ["trusted.overlay.redirect", "user.overlay.opaque", "security.selinux"] {
            assert!(!is_kept(name), "{name}");
        }
    }
}

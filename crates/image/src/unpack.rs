//! Unpacks an archive from anywhere into a directory, without trusting a byte of it.
//!
//! Every entry is made relative to the open root ([`crate::root`]); devices are refused, sizes are
//! bounded, whiteouts become overlayfs's. Dropping half of the result is the caller's business: it
//! unpacks into a temporary directory.

mod attributes;
mod entry;
mod guard;

use std::io::{self, Read};
use std::path::Path;

pub(crate) use attributes::{PAX_XATTR, is_kept, times};
pub(crate) use entry::{OPAQUE, WHITEOUT, checked_path, set_opaque};
pub(crate) use guard::{Guard, State, Tripped};

use crate::document::Compression;
use crate::error::UnpackError;
use crate::ids::Ids;
use crate::options::UnpackLimits;
use crate::root::Root;
use entry::Unpacker;

/// Bytes of headers (names, extended attributes) one entry may have.
const HEADER_BYTES: u64 = 2 * 1024 * 1024;

/// How an archive is unpacked.
#[derive(Clone, Copy)]
pub(crate) struct Unpack<'a> {
    /// Where paths are shown to be unpacked to, in errors.
    pub(crate) place: &'a Path,
    /// Directory inside the root that entries go to; empty for the root itself.
    pub(crate) prefix: &'a Path,
    /// Whether `.wh.` names are whiteouts (a layer) or plain names (an archive for `ADD`).
    pub(crate) whiteouts: bool,
    /// Owner of everything instead of the archive's owners.
    pub(crate) owner: Option<(u32, u32)>,
    /// How the archive's owners are written to disk, when they are those of a sandbox.
    pub(crate) ids: Option<&'a Ids>,
    /// Bounds.
    pub(crate) limits: UnpackLimits,
    /// Asked before each read.
    pub(crate) cancelled: &'a dyn Fn() -> bool,
}

/// A reader of the uncompressed bytes, by what the first bytes are.
pub(crate) fn decompress<'a>(mut source: impl io::BufRead + 'a) -> io::Result<Box<dyn Read + 'a>> {
    Ok(match Compression::of(source.fill_buf()?) {
        Compression::None => Box::new(source),
        Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(source)),
        Compression::Zstd => Box::new(zstd::Decoder::with_buffer(source)?),
    })
}

/// Unpacks the uncompressed tar archive `archive` into `root`, and reads it to its very end.
pub(crate) fn unpack(
    archive: impl Read,
    root: &Root,
    options: &Unpack<'_>,
) -> Result<(), UnpackError> {
    let guard = Guard::new(archive, options.limits.bytes, options.cancelled);
    let state = guard.state();
    let mut unpacker = Unpacker::new(root, options);
    let archive = tar::Archive::new(guard);
    let result = unpack_entries(archive, &state, &mut unpacker, options.limits.entries)
        .and_then(|()| unpacker.finish());
    // What the guard stopped surfaces as some reading error; the guard knows better.
    match (state.tripped(), result) {
        (Some(Tripped::Bytes), _) => {
            Err(UnpackError::TooLarge { limit: options.limits.bytes, unit: "bytes" })
        }
        (Some(Tripped::Headers), _) => Err(UnpackError::Archive { source: large_headers() }),
        (Some(Tripped::Cancelled), _) => Err(UnpackError::Cancelled),
        (None, result) => result,
    }
}

fn unpack_entries(
    archive: tar::Archive<impl Read>,
    state: &State,
    unpacker: &mut Unpacker<'_>,
    limit: u64,
) -> Result<(), UnpackError> {
    let damaged = |source| UnpackError::Archive { source };
    each_entry(archive, state, damaged, |count, entry| {
        if count > limit {
            return Err(UnpackError::TooLarge { limit, unit: "entries" });
        }
        unpacker.entry(entry)?;
        // The rest of what was not used, so that only headers are read under their limit.
        io::copy(entry, &mut io::sink()).map(drop).map_err(damaged)
    })
}

/// Hands out the entries of an archive, counted from 1, with their headers bounded, and reads the archive
/// to its very end.
pub(crate) fn each_entry<R: Read, E>(
    mut archive: tar::Archive<R>,
    state: &State,
    damaged: impl Fn(io::Error) -> E,
    mut take: impl FnMut(u64, &mut tar::Entry<'_, R>) -> Result<(), E>,
) -> Result<(), E> {
    let mut count = 0;
    {
        let mut entries = archive.entries().map_err(&damaged)?;
        loop {
            state.limit_headers(Some(HEADER_BYTES));
            let Some(entry) = entries.next() else { break };
            let mut entry = entry.map_err(&damaged)?;
            state.limit_headers(None);
            count += 1;
            take(count, &mut entry)?;
        }
    }
    state.limit_headers(None);
    // Trailing blocks belong to the content's digest too, and a compressed archive that is cut off shows
    // it at its end alone.
    io::copy(&mut archive.into_inner(), &mut io::sink()).map(drop).map_err(damaged)
}

/// What is wrong where the guard stopped for [`Tripped::Headers`].
pub(crate) fn large_headers() -> io::Error {
    io::Error::other("the headers of one entry are larger than 2 MiB")
}

#[cfg(test)]
mod tests;

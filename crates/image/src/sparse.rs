//! Files with holes: where their data is, and how GNU's tar describes them.

use std::fs::File;
use std::io::{self, Read};

use rustix::fs::{SeekFrom, Stat};
use rustix::io::Errno;
use tar::{GnuExtSparseHeader, Header};

/// Holes smaller than this together are not worth describing.
const WORTH: u64 = 64 * 1024;

/// Where a file has data: offset and length, in order. The last piece may be empty and stands at
/// the file's end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Data(Vec<(u64, u64)>);

/// The data of a file that has holes worth describing.
pub(crate) fn data(file: &File, stat: &Stat) -> io::Result<Option<Data>> {
    let size = u64::try_from(stat.st_size).unwrap_or_default();
    let blocks = u64::try_from(stat.st_blocks).unwrap_or_default();
    if size.saturating_sub(blocks.saturating_mul(512)) < WORTH {
        return Ok(None);
    }
    let pieces = pieces(file, size)?;
    let on_disk: u64 = pieces.iter().map(|(_, length)| length).sum();
    // The kernel gives whole blocks; pieces that are not would not be understood by readers.
    let aligned = pieces.iter().rev().skip(1).all(|(offset, length)| (offset + length) % 512 == 0);
    Ok((aligned && size.saturating_sub(on_disk) >= WORTH).then(|| {
        let mut pieces = pieces;
        if pieces.last().is_none_or(|(offset, length)| offset + length < size) {
            pieces.push((size, 0));
        }
        Data(pieces)
    }))
}

/// Pieces with data; the whole file where the file system cannot tell.
pub(crate) fn pieces(file: &File, size: u64) -> io::Result<Vec<(u64, u64)>> {
    let mut pieces = Vec::new();
    let mut at = 0;
    while at < size {
        let start = match rustix::fs::seek(file, SeekFrom::Data(at)) {
            Ok(start) => start.min(size),
            Err(Errno::NXIO) => break,
            Err(Errno::INVAL | Errno::OPNOTSUPP) if pieces.is_empty() => {
                return Ok(vec![(0, size)]);
            }
            Err(errno) => return Err(errno.into()),
        };
        let end = rustix::fs::seek(file, SeekFrom::Hole(start))?.min(size);
        if end > start {
            pieces.push((start, end - start));
        }
        at = end.max(at + 1);
    }
    Ok(pieces)
}

impl Data {
    /// Bytes of data.
    pub(crate) fn bytes(&self) -> u64 {
        self.0.iter().map(|(_, length)| length).sum()
    }

    /// Writes the map into a header, and returns what of it comes behind the header.
    pub(crate) fn describe(&self, header: &mut Header) -> Vec<u8> {
        header.set_size(self.bytes());
        let gnu = header.as_gnu_mut().expect("headers are made in GNU's form");
        let (last, length) = self.0.last().copied().unwrap_or_default();
        gnu.set_real_size(last + length);
        for (place, (offset, length)) in gnu.sparse.iter_mut().zip(&self.0) {
            place.set_offset(*offset);
            place.set_length(*length);
        }
        let rest = self.0.get(gnu.sparse.len()..).unwrap_or_default();
        gnu.set_is_extended(!rest.is_empty());
        let mut extended = Vec::new();
        let mut chunks = rest.chunks(GnuExtSparseHeader::new().sparse.len()).peekable();
        while let Some(chunk) = chunks.next() {
            let mut header = GnuExtSparseHeader::new();
            for (place, (offset, length)) in header.sparse.iter_mut().zip(chunk) {
                place.set_offset(*offset);
                place.set_length(*length);
            }
            header.set_is_extended(chunks.peek().is_some());
            extended.extend_from_slice(header.as_bytes());
        }
        extended
    }

    /// The data, piece after piece; what a file has lost meanwhile is filled up.
    pub(crate) fn reader<'a>(&'a self, file: &'a File) -> impl Read + 'a {
        Pieces { file, pieces: self.0.iter().copied().collect() }
    }
}

struct Pieces<'a> {
    file: &'a File,
    pieces: std::collections::VecDeque<(u64, u64)>,
}

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.pieces.front().is_some_and(|(_, length)| *length == 0) {
            self.pieces.pop_front();
        }
        let Some((offset, length)) = self.pieces.front_mut() else { return Ok(0) };
        let most = usize::try_from(*length).unwrap_or(usize::MAX).min(buffer.len());
        if most == 0 {
            return Ok(0);
        }
        let mut count = rustix::io::pread(self.file, &mut buffer[..most], *offset)?;
        if count == 0 {
            buffer[..most].fill(0);
            count = most;
        }
        *offset += count as u64;
        *length -= count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Seek as _, Write as _};

    use super::*;

    /// A file with `count` pieces of one block, a megabyte apart.
    fn holey(count: u64) -> File {
        let mut file = tempfile::tempfile().unwrap();
        for n in 0..count {
            file.seek(io::SeekFrom::Start(n << 20)).unwrap();
            file.write_all(&[u8::try_from(n % 250).unwrap() + 1; 4096]).unwrap();
        }
        file.set_len(count << 20).unwrap();
        file
    }

    #[test]
    fn a_file_with_many_holes_is_the_same_after_an_archive() {
        for count in [1, 3, 4, 5, 25, 26, 60] {
            let mut file = holey(count);
            let stat = rustix::fs::fstat(&file).unwrap();
            let data = data(&file, &stat).unwrap().expect("it has holes");
            assert_eq!(data.bytes(), count * 4096);
            let mut header = Header::new_gnu();
            header.set_entry_type(tar::EntryType::GNUSparse);
            let extended = data.describe(&mut header);
            let mut builder = tar::Builder::new(Vec::new());
            let content = extended.as_slice().chain(data.reader(&file));
            builder.append_data(&mut header, "f", content).unwrap();
            let bytes = builder.into_inner().unwrap();
            assert!(bytes.len() < usize::try_from(count * 4096).unwrap() + 16 * 512);
            let mut archive = tar::Archive::new(bytes.as_slice());
            let mut entry = archive.entries().unwrap().next().unwrap().unwrap();
            let (mut unpacked, mut original) = (Vec::new(), Vec::new());
            entry.read_to_end(&mut unpacked).unwrap();
            file.rewind().unwrap();
            file.read_to_end(&mut original).unwrap();
            assert!(unpacked == original, "{count} pieces");
        }
    }

    #[test]
    fn a_file_without_holes_is_described_as_it_is() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[7; 200_000]).unwrap();
        let stat = rustix::fs::fstat(&file).unwrap();
        assert_eq!(data(&file, &stat).unwrap(), None);
    }
}

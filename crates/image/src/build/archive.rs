//! Archives of `ADD`: tar, plain or compressed by gzip, bzip2, xz or zstd.

use std::io::{self, BufRead, Read};

/// A reader of the uncompressed bytes, by what the first bytes are.
pub(super) fn decompress<'a>(mut source: impl BufRead + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let start = source.fill_buf()?;
    if start.starts_with(b"BZh") {
        Ok(Box::new(bzip2::bufread::MultiBzDecoder::new(source)))
    } else if start.starts_with(b"\xfd7zXZ\0") {
        Ok(Box::new(lzma_rust2::XzReader::new(source, true)))
    } else {
        crate::unpack::decompress(source)
    }
}

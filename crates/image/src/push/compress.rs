//! Layers that are stored as plain archives, as builds make them, are sent compressed. What became of
//! a layer is kept beside the build cache, so that it is compressed once; the same layer becomes the
//! same bytes wherever it is compressed.

use std::collections::VecDeque;
use std::io::{self, BufReader, Read};
use std::sync::Mutex;

use flate2::{Compression, GzBuilder};
use serde_json::{Value, json};

use super::Push;
use crate::cache::CachedLayer;
use crate::content::{Expected, check};
use crate::digest::{Digest, DigestReader};
use crate::document::{Descriptor, Manifest};
use crate::error::{PushError, StoreError};
use crate::layout::Layout;
use crate::progress::{Outcome, Progress, Task, TaskKind, next_task};
use crate::workers::{each, pop};

/// What an image is sent as.
pub(super) struct Sent {
    pub(super) manifest: Manifest,
    pub(super) bytes: Vec<u8>,
    pub(super) digest: Digest,
}

impl Push<'_> {
    /// The image with every layer compressed, stored beside the image itself; the image itself if
    /// every layer is.
    pub(super) fn compressed(
        &self,
        image: Sent,
        progress: &dyn Progress,
    ) -> Result<Sent, PushError> {
        if !image.manifest.layers.iter().any(|layer| layer.compressed_type().is_some()) {
            return Ok(image);
        }
        self.compress_all(&image, progress).map_err(|error| self.store_error(error))
    }

    fn compress_all(&self, image: &Sent, progress: &dyn Progress) -> Result<Sent, StoreError> {
        let diff_ids = self.layout.config(&image.manifest)?.rootfs.diff_ids;
        let layers: VecDeque<_> = image.manifest.layers.iter().zip(diff_ids).enumerate().collect();
        let workers = self.options.parallel.clamp(1, layers.len().max(1));
        let (queue, done) = (Mutex::new(layers), Mutex::new(Vec::new()));
        each(workers, progress, |progress| {
            while let Some((index, (layer, diff_id))) = pop(&queue) {
                let layer = self.layout.compress(layer, &diff_id, progress)?;
                done.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((index, layer));
            }
            Ok::<(), StoreError>(())
        })?;
        let mut document: Value = serde_json::from_slice(&image.bytes).map_err(io::Error::from)?;
        let mut manifest = image.manifest.clone();
        for (index, layer) in done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner) {
            let entry = &mut document["layers"][index];
            // Whatever else the entry says stays.
            entry["mediaType"] = json!(layer.media_type);
            entry["digest"] = json!(layer.digest);
            entry["size"] = json!(layer.size);
            manifest.layers[index] = layer;
        }
        let bytes = serde_json::to_vec(&document).map_err(io::Error::from)?;
        let digest = self.layout.write_blob(&bytes)?;
        Ok(Sent { manifest, bytes, digest })
    }
}

impl Layout {
    /// A layer compressed by gzip, unless it is compressed already.
    fn compress(
        &self,
        layer: &Descriptor,
        diff_id: &Digest,
        progress: &dyn Progress,
    ) -> Result<Descriptor, StoreError> {
        let Some(media_type) = layer.compressed_type() else { return Ok(layer.clone()) };
        let name = format!("gzip-{}", layer.digest.hex());
        // Who pushes the same layer at the same time finds it then.
        let _lock = self.lock(&name, &|| progress.cancelled())?;
        if let Some(known) = self.compressed_layer(&layer.digest) {
            return Ok(Descriptor { media_type, ..known });
        }
        let (id, label) = (next_task(), format!("layer {}", layer.digest.short()));
        progress.begin(&Task { id, kind: TaskKind::Compress, label, total: Some(layer.size) });
        let advance = |done| progress.advance(id, done);
        let result = self.write_compressed(layer, &advance, &|| progress.cancelled());
        let outcome = if result.is_ok() { Outcome::Done } else { Outcome::Failed };
        progress.finish(id, outcome);
        let (digest, size) = result?;
        let blob = Descriptor { media_type, digest, size, platform: None };
        let entry = CachedLayer { blob: blob.clone(), diff_id: diff_id.clone(), created: 0 };
        self.cache_compressed(&layer.digest, &entry)?;
        Ok(blob)
    }

    fn write_compressed(
        &self,
        layer: &Descriptor,
        advance: &dyn Fn(u64),
        cancelled: &dyn Fn() -> bool,
    ) -> Result<(Digest, u64), StoreError> {
        let path = self.blob(&layer.digest);
        let at = |error| StoreError::at(&path, error);
        let file = BufReader::with_capacity(1 << 18, self.open_blob(&layer.digest)?);
        let mut reader = DigestReader::new(file);
        // No name and no time: the same bytes become the same bytes.
        let mut writer = GzBuilder::new().write(self.blob_writer()?, Compression::default());
        let (mut buffer, mut done) = (vec![0; 1 << 18], 0);
        loop {
            if cancelled() {
                return Err(StoreError::Cancelled);
            }
            let count = reader.read(&mut buffer).map_err(at)?;
            if count == 0 {
                break;
            }
            io::Write::write_all(&mut writer, &buffer[..count]).map_err(at)?;
            done += count as u64;
            advance(done);
        }
        // A damaged layer must not come to look like a whole one.
        let (digest, size) = reader.finish();
        check(&Expected { digest: &layer.digest, size: layer.size }, &digest, size)?;
        writer.finish().map_err(at)?.commit(None)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::document::OCI_LAYER;
    use crate::progress::Silent;

    fn layer(layout: &Layout, bytes: &[u8]) -> Descriptor {
        let mut writer = layout.blob_writer().unwrap();
        writer.write_all(bytes).unwrap();
        let (digest, size) = writer.commit(None).unwrap();
        fs_err::create_dir(layout.snapshot(&digest)).unwrap();
        Descriptor { media_type: OCI_LAYER.to_owned(), digest, size, platform: None }
    }

    #[test]
    fn a_layer_is_compressed_once_and_to_the_same_bytes_everywhere() {
        let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let bytes = b"a layer ".repeat(10_000);
        let compressed = dirs.each_ref().map(|dir| {
            let layout = Layout::open(dir.path()).unwrap();
            let plain = layer(&layout, &bytes);
            let first = layout.compress(&plain, &plain.digest, &Silent).unwrap();
            assert!(first.size < plain.size / 10 && first.media_type.ends_with("+gzip"));
            let mut unpacked = Vec::new();
            let blob = layout.open_blob(&first.digest).unwrap();
            flate2::read::GzDecoder::new(blob).read_to_end(&mut unpacked).unwrap();
            assert_eq!(unpacked, bytes);
            // What is not read again need not be there.
            fs_err::remove_file(layout.blob(&plain.digest)).unwrap();
            assert_eq!(layout.compress(&plain, &plain.digest, &Silent).unwrap(), first);
            first
        });
        assert_eq!(compressed[0], compressed[1]);
    }

    #[test]
    fn a_damaged_layer_is_not_compressed() {
        let (_dir, layout) = Layout::of_tests();
        let plain = layer(&layout, b"whole");
        fs_err::write(layout.blob(&plain.digest), b"holes").unwrap();
        let error = layout.compress(&plain, &plain.digest, &Silent).unwrap_err();
        assert!(matches!(error, StoreError::Digest { .. }), "{error}");
    }
}

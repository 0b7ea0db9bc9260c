//! An image as a builder hands it over: an OCI layout, or the folder of containers/image's `dir:`.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use fs_err as fs;
use serde::Deserialize;
use serde_json::Value;

use crate::tree::Tree;

/// What is compared of an image.
#[derive(Debug)]
pub struct Image {
    /// Its config document.
    pub config: Value,
    /// Its files.
    pub tree: Tree,
    /// How many layers it has.
    pub layers: usize,
}

#[derive(Debug, Deserialize)]
struct Index {
    manifests: Vec<Descriptor>,
}

#[derive(Debug, Deserialize)]
struct Manifest {
    config: Descriptor,
    layers: Vec<Descriptor>,
}

#[derive(Debug, Deserialize)]
struct Descriptor {
    digest: String,
}

impl Image {
    /// Reads the only image of an OCI layout.
    ///
    /// # Panics
    /// It is none.
    #[must_use]
    pub fn of_oci_layout(folder: &Path) -> Self {
        let index: Index = read(&folder.join("index.json"));
        assert_eq!(index.manifests.len(), 1, "the layout has one image");
        let blobs = folder.join("blobs/sha256");
        Self::read(&blobs, &blobs.join(hex(&index.manifests[0])))
    }

    /// Reads what `push … dir:<folder>` has written.
    ///
    /// # Panics
    /// It is none.
    #[must_use]
    pub fn of_directory(folder: &Path) -> Self {
        Self::read(folder, &folder.join("manifest.json"))
    }

    fn read(blobs: &Path, manifest: &Path) -> Self {
        let manifest: Manifest = read(manifest);
        let config: Value = read(&blobs.join(hex(&manifest.config)));
        let mut tree = Tree::default();
        for layer in &manifest.layers {
            let path = blobs.join(hex(layer));
            let applied = uncompressed(&path).and_then(|layer| tree.apply(layer));
            applied.unwrap_or_else(|error| panic!("read layer {}: {error}", path.display()));
        }
        Self { config, tree, layers: manifest.layers.len() }
    }
}

fn hex(descriptor: &Descriptor) -> PathBuf {
    PathBuf::from(descriptor.digest.strip_prefix("sha256:").expect("digests are SHA-256"))
}

fn read<T: for<'a> Deserialize<'a>>(path: &Path) -> T {
    let bytes = fs::read(path).expect("read a document of an image");
    let parsed = serde_json::from_slice(&bytes);
    parsed.unwrap_or_else(|error| panic!("read {}: {error}", path.display()))
}

/// A layer's archive, whatever it is packed by.
fn uncompressed(path: &Path) -> io::Result<Box<dyn Read>> {
    let mut file = File::open(path)?;
    let mut magic = [0; 4];
    let length = file.read(&mut magic)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(match &magic[..length] {
        [0x1f, 0x8b, ..] => Box::new(flate2::read::MultiGzDecoder::new(BufReader::new(file))),
        [0x28, 0xb5, 0x2f, 0xfd] => Box::new(zstd::Decoder::new(file)?),
        _ => Box::new(BufReader::new(file)),
    })
}

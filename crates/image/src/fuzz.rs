//! Entry points for `tests/fuzzing` alone: parsers of what registries and projects send, otherwise
//! private. Each returns whatever comes, or a promise is broken.

use std::path::Path;

use crate::document::{ConfigDocument, Top, is_image_config};
use crate::options::Platform;
use crate::root::Root;
use crate::unpack::{Unpack, decompress, unpack};
use crate::{Digest, ImageStore, ImportOptions, Silent, UnpackLimits, build};

/// A manifest or an index.
pub fn manifest(bytes: &[u8]) {
    match Top::parse(bytes) {
        Ok(Top::Index(index)) => {
            let _ = index.choose(Platform::Amd64);
            let _ = index.platforms();
        }
        Ok(Top::Manifest(manifest)) => {
            let _ = is_image_config(&manifest.config.media_type);
        }
        Err(_) => {}
    }
}

/// A manifest that is pushed to the registry; what is understood can be kept.
///
/// # Panics
/// It cannot.
pub fn pushed_manifest(bytes: &[u8]) {
    crate::repositories::fuzz_manifest(bytes);
}

/// An image's config; what was understood can be written and read again.
///
/// # Panics
/// It cannot.
pub fn config(bytes: &[u8]) {
    if let Ok(document) = serde_json::from_slice::<ConfigDocument>(bytes) {
        let _ = document.config.to_config();
        let text = serde_json::to_vec(&document).expect("what was read can be written");
        let again: ConfigDocument = serde_json::from_slice(&text).expect("and read again");
        assert_eq!(document.config.to_config(), again.config.to_config());
    }
}

/// An archive of images, imported into the store in `place`. Up to 1 MiB. What was taken from it is
/// what it says it is.
///
/// # Panics
/// It is not.
pub fn archive(bytes: &[u8], place: &Path) {
    let limits = UnpackLimits { bytes: 1 << 20, entries: 200 };
    let options = ImportOptions { limits, bytes: 1 << 20, parallel: 1, platform: Platform::Amd64 };
    let Ok(store) = ImageStore::open(place) else { return };
    if let Ok(imported) = store.import(bytes, &options, &Silent) {
        for image in imported {
            let here = store.image_by_digest(&image.digest).expect("what was imported is whole");
            assert_eq!(here.expect("and is here").digest, image.digest);
        }
    }
    for entry in fs_err::read_dir(store.layout().blobs()).expect("the store is there") {
        let entry = entry.expect("a blob has a name");
        let content = fs_err::read(entry.path()).expect("a blob can be read");
        assert_eq!(entry.file_name().to_str(), Some(Digest::of(&content).hex()));
    }
}

/// A Dockerfile.
pub fn dockerfile(text: &str) {
    build::fuzz(text);
}

/// A layer, compressed or not, unpacked into `place`. Up to 1 MiB and 200 entries.
pub fn layer(bytes: &[u8], place: &Path) {
    let limits = UnpackLimits { bytes: 1 << 20, entries: 200 };
    let options = Unpack {
        place,
        prefix: Path::new(""),
        whiteouts: true,
        owner: None,
        ids: None,
        limits,
        cancelled: &|| false,
    };
    if let (Ok(root), Ok(archive)) = (Root::open(place), decompress(bytes)) {
        let _ = unpack(archive, &root, &options);
    }
}

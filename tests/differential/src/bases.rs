//! Base images: made from Debian packages by buildah, kept beside the build's output, and served to
//! both builders by one registry.
//!
//! Each has a folder in `bases/` like that of a case. `busybox` is the end-to-end tests' own.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use e2e::Registry;
use fs_err as fs;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::buildah::Buildah;
use crate::case::Case;

/// Those that have a folder in `bases/`, with their tags.
const BASES: [(&str, &str); 7] = [
    ("debian", "bookworm-slim"),
    ("gcc", "12"),
    ("golang", "1"),
    ("node", "18-slim"),
    ("onbuild", "1"),
    ("python", "3-slim"),
    ("rust", "1-slim"),
];

/// The registry, and what it serves by now.
#[derive(Debug)]
pub struct Bases {
    folder: PathBuf,
    registry: Registry,
}

impl Bases {
    /// Those of this test program.
    #[must_use]
    pub fn get() -> &'static Self {
        static BASES: OnceLock<Bases> = OnceLock::new();
        BASES.get_or_init(|| {
            let folder = e2e::cache_dir().join("differential/registry");
            let (blobs, tags) = (folder.join("blobs"), folder.join("tags"));
            fs::create_dir_all(&blobs).expect("make the registry's folder");
            let common = e2e::base_images::folder();
            for file in fs::read_dir(common.join("blobs")).expect("read base images") {
                let file = file.expect("read base images");
                link(&file.path(), &blobs.join(file.file_name()));
            }
            let digest = fs::read_to_string(common.join("tags/busybox/latest"));
            write_tag(&tags, "busybox", "latest", &digest.expect("read busybox's tag"));
            Self { registry: Registry::serve(folder.clone()), folder }
        })
    }

    /// The registry's URL.
    #[must_use]
    pub fn registry(&self) -> String {
        self.registry.url()
    }

    /// Makes the base images that a Dockerfile names, unless they are there.
    ///
    /// # Panics
    /// One can't be made.
    pub fn provide(&self, dockerfile: &Path) {
        let text = fs::read_to_string(dockerfile).expect("read a Dockerfile");
        for (repository, tag) in named_in(&text) {
            let image = self.make(repository);
            let manifest = fs::read(image.join("manifest.json")).expect("read a manifest");
            let digest = hex(&manifest);
            for file in blobs_of(&manifest) {
                link(&image.join(&file), &self.folder.join("blobs").join(&file));
            }
            link(&image.join("manifest.json"), &self.folder.join("blobs").join(&digest));
            let digest = format!("sha256:{digest}");
            write_tag(&self.folder.join("tags"), repository, tag, &digest);
        }
    }

    /// The folder with the image, made now unless it is there.
    fn make(&self, repository: &str) -> PathBuf {
        e2e::cache_entry(&format!("base-{repository}-{}", recipe(repository)), |entry| {
            let case = Case::prepare(&folder().join(repository));
            self.provide(&case.dockerfile());
            let made = case.path(".image");
            Buildah::get().build_to(&made, &case, &[]);
            for file in fs::read_dir(&made).expect("read the base image") {
                let file = file.expect("read the base image");
                // Folders for temporary files may be on another disk.
                fs::copy(file.path(), entry.join(file.file_name())).expect("keep a base image");
            }
        })
    }
}

/// Where their recipes are.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("bases")
}

/// What a base image is made from, in few letters: it and those below it.
fn recipe(repository: &str) -> String {
    let mut all = Vec::new();
    for file in ["Dockerfile", "prepare.sh"] {
        let text = fs::read_to_string(folder().join(repository).join(file)).unwrap_or_default();
        for (below, _) in named_in(&text) {
            all.extend(recipe(below).into_bytes());
        }
        all.extend(text.into_bytes());
    }
    hex(&all)[..12].to_owned()
}

/// The base images that a Dockerfile names.
fn named_in(text: &str) -> Vec<(&'static str, &'static str)> {
    let named = |(repository, tag): &(&str, &str)| text.contains(&format!("{repository}:{tag}"));
    BASES.into_iter().filter(named).collect()
}

/// Names of the files with a manifest's config and layers.
fn blobs_of(manifest: &[u8]) -> Vec<String> {
    let manifest: Value = serde_json::from_slice(manifest).expect("a manifest is JSON");
    let layers = manifest["layers"].as_array().expect("a manifest has layers").iter();
    let blobs = layers.chain([&manifest["config"]]);
    let digests = blobs.map(|blob| blob["digest"].as_str().expect("a blob has a digest"));
    digests.map(|digest| digest.trim_start_matches("sha256:").to_owned()).collect()
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn write_tag(tags: &Path, repository: &str, tag: &str, digest: &str) {
    let folder = tags.join(repository);
    fs::create_dir_all(&folder).expect("make a tag's folder");
    // At once, for it may be read just now.
    let file = tempfile::NamedTempFile::new_in(&folder).expect("write a tag");
    fs::write(file.path(), digest).expect("write a tag");
    file.persist(folder.join(tag)).expect("write a tag");
}

fn link(from: &Path, to: &Path) {
    match fs::hard_link(from, to) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            panic!("serve a base image: {error}")
        }
        _ => {}
    }
}

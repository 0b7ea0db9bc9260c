//! Writing OCI images: blobs by digest, and tags that name one.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use flate2::{Compression, GzBuilder, write::GzEncoder};
use fs_err as fs;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// A folder of blobs and tags.
pub(super) struct Layout {
    blobs: PathBuf,
    tags: PathBuf,
}

/// What of an image's config the recipes set.
pub(super) struct Config<'a> {
    pub(super) env: &'a [&'a str],
    pub(super) command: &'a [String],
}

/// A layer that was written.
pub(super) struct Layer {
    descriptor: Value,
    diff_id: String,
}

impl Layout {
    pub(super) fn new(folder: &Path) -> Self {
        let layout = Self { blobs: folder.join("blobs"), tags: folder.join("tags") };
        fs::create_dir_all(&layout.blobs).expect("make the blobs' folder");
        layout
    }

    /// Packs a root file system.
    pub(super) fn layer(&self, root: &Path) -> Layer {
        let mut tar = Command::new("tar");
        tar.args(["--create", "--sort=name", "--mtime=@0", "--numeric-owner", "--owner=0"]);
        tar.args(["--group=0", "--directory"]).arg(root).arg(".").stdout(Stdio::piped());
        let mut tar = tar.spawn().expect("run tar");
        let mut stream = tar.stdout.take().expect("stdout is a pipe");
        // The digest of the content goes over what is packed, that of the blob over the result.
        let mut packer = Hashing {
            hash: Sha256::new(),
            inner: GzBuilder::new().write(Vec::new(), Compression::fast()),
        };
        io::copy(&mut stream, &mut packer).expect("pack a layer");
        assert!(tar.wait().is_ok_and(|status| status.success()), "pack {}", root.display());
        let blob = packer.inner.finish().expect("finish the layer");
        Layer { descriptor: self.blob(LAYER, &blob), diff_id: digest(packer.hash) }
    }

    /// Writes an image for this machine's architecture and returns its manifest's descriptor.
    pub(super) fn image(&self, config: &Config<'_>, layers: &[&Layer]) -> Value {
        let config = json!({
            "architecture": architecture(),
            "os": "linux",
            "config": { "Env": config.env, "Cmd": config.command, "WorkingDir": "/" },
            "rootfs": {
                "type": "layers",
                "diff_ids": layers.iter().map(|layer| &layer.diff_id).collect::<Vec<_>>(),
            },
            // Builders that add layers count those that a base image tells of.
            "history": layers.iter().map(|_| json!({ "created_by": "debian" })).collect::<Vec<_>>(),
        });
        let config = self.blob(CONFIG, config.to_string().as_bytes());
        let layers: Vec<&Value> = layers.iter().map(|layer| &layer.descriptor).collect();
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers,
        });
        self.blob(MANIFEST, manifest.to_string().as_bytes())
    }

    /// Writes an index that has this image and one for a platform nobody runs.
    pub(super) fn index(&self, image: &Value) -> Value {
        let mut ours = image.clone();
        ours["platform"] = json!({ "os": "linux", "architecture": architecture() });
        let mut other = image.clone();
        other["digest"] = json!(format!("sha256:{}", "0".repeat(64)));
        other["platform"] = json!({ "os": "linux", "architecture": "s390x" });
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [other, ours] });
        self.blob(INDEX, index.to_string().as_bytes())
    }

    /// Lets a tag name a manifest or index.
    pub(super) fn tag(&self, repository: &str, tag: &str, manifest: &Value) {
        let folder = self.tags.join(repository);
        fs::create_dir_all(&folder).expect("make a tag's folder");
        let digest = manifest["digest"].as_str().expect("a descriptor has a digest");
        fs::write(folder.join(tag), digest).expect("write a tag");
    }

    fn blob(&self, media_type: &str, bytes: &[u8]) -> Value {
        let digest = digest(Sha256::new_with_prefix(bytes));
        let name = digest.trim_start_matches("sha256:");
        fs::write(self.blobs.join(name), bytes).expect("write a blob");
        json!({ "mediaType": media_type, "digest": digest, "size": bytes.len() })
    }
}

/// Hashes what goes through it.
struct Hashing {
    hash: Sha256,
    inner: GzEncoder<Vec<u8>>,
}

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hash.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

fn digest(hash: Sha256) -> String {
    let hex: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

fn architecture() -> &'static str {
    if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }
}

//! What the tests of this crate share: a registry, images for it, and a progress that remembers.

pub(crate) mod builder;
pub(crate) mod files;
pub(crate) mod registry;

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use image::{Digest, ImageStore, Outcome, Progress, PullOptions, Stream, Task, TaskId, TaskKind};

/// A store in a folder of its own.
pub(crate) struct Place {
    pub(crate) _dir: tempfile::TempDir,
    pub(crate) store: ImageStore,
}

/// A store with nothing in it.
pub(crate) fn place() -> Place {
    let dir = tempfile::tempdir().unwrap();
    let store = ImageStore::open(dir.path().join("data")).unwrap();
    Place { _dir: dir, store }
}

/// The layers of an image: the second one hides a file of the first.
pub(crate) fn layers() -> Vec<Vec<u8>> {
    vec![
        tar(&[("etc/", "", 0o755), ("etc/os-release", "one", 0o644), ("gone", "x", 0o644)]),
        tar(&[("server", "two", 0o755), (".wh.gone", "", 0o644)]),
    ]
}

/// A tar archive of files, each with its content and mode.
pub(crate) fn tar(files: &[(&str, &str, u32)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, content, mode) in files {
        let mut header = tar::Header::new_gnu();
        header.set_mode(*mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_000_000_000);
        if path.ends_with('/') {
            header.set_entry_type(tar::EntryType::Directory);
            header.set_size(0);
        } else {
            header.set_size(content.len() as u64);
        }
        builder.append_data(&mut header, path, content.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap()
}

/// 400,000 random characters: as large when compressed.
pub(crate) fn noise() -> String {
    let mut state = 1_u64;
    let next = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        char::from(b' ' + (state >> 57) as u8 % 90)
    };
    (0..400_000).map(next).collect()
}

/// How an image's layers are compressed and its documents named.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Form {
    OciGzip,
    OciZstd,
    OciPlain,
    Docker,
}

/// The blobs of an image with one manifest.
pub(crate) struct TestImage {
    pub(crate) manifest: Vec<u8>,
    pub(crate) media_type: &'static str,
    pub(crate) blobs: Vec<Vec<u8>>,
}

impl TestImage {
    pub(crate) fn new(form: Form, layers: &[Vec<u8>]) -> Self {
        Self::for_platform(form, layers, "amd64")
    }

    pub(crate) fn for_platform(form: Form, layers: &[Vec<u8>], architecture: &str) -> Self {
        let diff_ids: Vec<String> = layers.iter().map(|l| Digest::of(l).to_string()).collect();
        let config = serde_json::json!({
            "architecture": architecture, "os": "linux",
            "config": {
                "Env": ["PATH=/bin", "FROM=registry"], "Cmd": ["/server"], "WorkingDir": "/srv",
                "ExposedPorts": {"8080/tcp": {}}, "User": "app", "StopSignal": "SIGINT",
                "Labels": {"a": "b"},
            },
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        });
        let config = serde_json::to_vec(&config).unwrap();
        let (media_type, config_type, layer_type) = match form {
            Form::OciGzip => (OCI, OCI_CONFIG, "application/vnd.oci.image.layer.v1.tar+gzip"),
            Form::OciZstd => (OCI, OCI_CONFIG, "application/vnd.oci.image.layer.v1.tar+zstd"),
            Form::OciPlain => (OCI, OCI_CONFIG, "application/vnd.oci.image.layer.v1.tar"),
            Form::Docker => (
                "application/vnd.docker.distribution.manifest.v2+json",
                "application/vnd.docker.container.image.v1+json",
                "application/vnd.docker.image.rootfs.diff.tar.gzip",
            ),
        };
        let mut blobs: Vec<Vec<u8>> = layers.iter().map(|layer| compress(form, layer)).collect();
        let layers: Vec<_> = blobs.iter().map(|blob| descriptor(layer_type, blob)).collect();
        let manifest = serde_json::json!({
            "schemaVersion": 2, "mediaType": media_type,
            "config": descriptor(config_type, &config), "layers": layers,
        });
        blobs.push(config);
        Self { manifest: serde_json::to_vec(&manifest).unwrap(), media_type, blobs }
    }
}

const OCI: &str = "application/vnd.oci.image.manifest.v1+json";
const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";

pub(crate) fn descriptor(media_type: &str, blob: &[u8]) -> serde_json::Value {
    serde_json::json!({
        "mediaType": media_type, "digest": Digest::of(blob).to_string(), "size": blob.len(),
    })
}

fn compress(form: Form, layer: &[u8]) -> Vec<u8> {
    match form {
        Form::OciPlain => layer.to_vec(),
        Form::OciZstd => zstd::encode_all(layer, 1).unwrap(),
        Form::OciGzip | Form::Docker => {
            let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            gzip.write_all(layer).unwrap();
            gzip.finish().unwrap()
        }
    }
}

/// Options that know nothing of the machine the tests run on.
pub(crate) fn options() -> PullOptions {
    PullOptions { docker_config: None, ..PullOptions::default() }
}

/// Remembers what it was told.
#[derive(Default)]
pub(crate) struct Recorder {
    pub(crate) tasks: Mutex<Vec<(Task, Option<Outcome>)>>,
    pub(crate) output: Mutex<Vec<u8>>,
    pub(crate) lines: Mutex<Vec<String>>,
    pub(crate) cancel: AtomicBool,
    advanced: AtomicU64,
}

impl Recorder {
    /// Labels of the steps that ended with this outcome.
    pub(crate) fn steps(&self, outcome: Outcome) -> Vec<String> {
        self.labels(outcome, |kind| matches!(kind, TaskKind::Step { .. }))
    }

    pub(crate) fn labels(&self, outcome: Outcome, kind: impl Fn(TaskKind) -> bool) -> Vec<String> {
        let tasks = self.tasks.lock().unwrap();
        let fits = |(task, ended): &&(Task, Option<Outcome>)| {
            kind(task.kind.clone()) && *ended == Some(outcome)
        };
        tasks.iter().filter(fits).map(|(task, _)| task.label.clone()).collect()
    }

    /// The furthest that any task has come.
    pub(crate) fn furthest(&self) -> u64 {
        self.advanced.load(Ordering::Relaxed)
    }

    pub(crate) fn log(&self) -> String {
        self.lines.lock().unwrap().join("\n")
    }
}

impl Progress for Recorder {
    fn begin(&self, task: &Task) {
        self.tasks.lock().unwrap().push((task.clone(), None));
    }

    fn advance(&self, _: TaskId, done: u64) {
        self.advanced.fetch_max(done, Ordering::Relaxed);
    }

    fn finish(&self, task: TaskId, outcome: Outcome) {
        let mut tasks = self.tasks.lock().unwrap();
        let (_, ended) = tasks.iter_mut().find(|(known, _)| known.id == task).unwrap();
        assert_eq!(ended.replace(outcome), None, "a task ends once");
    }

    fn output(&self, _: TaskId, _: Stream, bytes: &[u8]) {
        self.output.lock().unwrap().extend_from_slice(bytes);
    }

    fn log(&self, line: &str) {
        self.lines.lock().unwrap().push(line.to_owned());
    }

    fn cancelled(&self) -> bool {
        self.cancel.load(Ordering::Relaxed)
    }
}

/// A file system of that size (`1m`) that is mounted nowhere: it goes away with the descriptor.
pub(crate) fn small_disk(size: &str) -> (std::os::fd::OwnedFd, PathBuf) {
    small_disk_with(&[("size", size)])
}

/// The same with these options of tmpfs.
pub(crate) fn small_disk_with(options: &[(&str, &str)]) -> (std::os::fd::OwnedFd, PathBuf) {
    use std::os::fd::AsRawFd;

    use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};
    let context = rustix::mount::fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC).unwrap();
    for (key, value) in options {
        rustix::mount::fsconfig_set_string(&context, *key, *value).unwrap();
    }
    rustix::mount::fsconfig_create(&context).unwrap();
    let (flags, attributes) = (FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty());
    let disk = rustix::mount::fsmount(&context, flags, attributes).unwrap();
    let path = PathBuf::from(format!("/proc/self/fd/{}", disk.as_raw_fd()));
    (disk, path)
}

/// Names in a directory, sorted.
pub(crate) fn names(path: impl Into<PathBuf>) -> Vec<String> {
    let mut names: Vec<String> = fs_err::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

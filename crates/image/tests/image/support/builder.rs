//! A project on disk that is built, with a runner that really runs commands: overlay and chroot in
//! a mount namespace of their own, which leaves no mount however a test ends.

use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use image::{
    BuildError, BuildRequest, Image, ImageStore, Outcome, RunMount, RunRequest, RunStep,
    RunStepError, StepError, Stream,
};

use super::{Recorder, options};

/// A context directory and a store.
pub(crate) struct Project {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) store: ImageStore,
}

/// What a build did.
pub(crate) struct Built {
    pub(crate) image: Image,
    pub(crate) progress: Recorder,
}

impl Built {
    /// Labels of steps that did something.
    pub(crate) fn done(&self) -> Vec<String> {
        let steps = self.progress.steps(Outcome::Done).into_iter();
        steps.filter(|step| !step.starts_with("FROM")).collect()
    }

    /// The image's environment but for the `PATH` that every image has.
    pub(crate) fn env(&self) -> Vec<String> {
        let env = self.image.config.env.iter();
        env.filter(|entry| !entry.starts_with("PATH=/usr/local/sbin")).cloned().collect()
    }

    pub(crate) fn output(&self) -> String {
        String::from_utf8(self.progress.output.lock().unwrap().clone()).unwrap()
    }

    /// The image's files, as overlayfs shows them, as long as the file is open.
    pub(crate) fn read(&self, path: &str) -> Option<String> {
        self.find(path).map(|path| fs_err::read_to_string(path).unwrap())
    }

    /// Where the topmost layer with this path has it; `None` when there is none or it is removed.
    pub(crate) fn find(&self, path: &str) -> Option<PathBuf> {
        use std::os::unix::fs::{FileTypeExt, MetadataExt};
        let path = path.trim_start_matches('/');
        for layer in &self.image.layers {
            let mut here = layer.clone();
            for component in Path::new(path).components() {
                here.push(component);
                match fs_err::symlink_metadata(&here) {
                    Ok(m) if m.file_type().is_char_device() && m.rdev() == 0 => return None,
                    Ok(_) => {}
                    Err(_) => break,
                }
            }
            if fs_err::symlink_metadata(layer.join(path)).is_ok() {
                return Some(layer.join(path));
            }
        }
        None
    }

    /// Owner, group and mode.
    pub(crate) fn stat(&self, path: &str) -> (u32, u32, u32) {
        use std::os::unix::fs::MetadataExt;
        let path = self.find(path).unwrap_or_else(|| panic!("{path} is not in the image"));
        let metadata = fs_err::symlink_metadata(path).unwrap();
        (metadata.uid(), metadata.gid(), metadata.mode() & 0o7777)
    }
}

impl Project {
    /// A context of these files; `bin/sh` is there too if `RUN` is to work.
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = ImageStore::open(dir.path().join("store")).unwrap();
        let project = Self { dir, store };
        files.iter().for_each(|(path, content)| project.write(path, content));
        project
    }

    /// With the program for `RUN` in the context.
    pub(crate) fn with_shell(files: &[(&str, &str)]) -> Self {
        let project = Self::new(files);
        fs_err::create_dir_all(project.path("rootfs/bin")).unwrap();
        fs_err::copy(tool(), project.path("rootfs/bin/sh")).unwrap();
        project
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join("context").join(path)
    }

    pub(crate) fn write(&self, path: &str, content: &str) {
        let path = self.path(path);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, content).unwrap();
    }

    pub(crate) fn request(&self) -> BuildRequest {
        let mut request = BuildRequest::new(self.path("Dockerfile"), self.path(""));
        request.pull = options();
        request
    }

    pub(crate) fn build(&self, dockerfile: &str) -> Built {
        self.try_build(dockerfile, |_| {}).unwrap_or_else(|error| panic!("{error}"))
    }

    pub(crate) fn try_build(
        &self,
        dockerfile: &str,
        change: impl FnOnce(&mut BuildRequest),
    ) -> Result<Built, BuildError> {
        self.write("Dockerfile", dockerfile);
        let mut request = self.request();
        change(&mut request);
        let progress = Recorder::default();
        let image = self.store.build(&request, &Chroot, &progress)?;
        Ok(Built { image, progress })
    }

    /// The error of a build that fails at a line.
    pub(crate) fn error(&self, dockerfile: &str) -> StepError {
        match self.try_build(dockerfile, |_| {}) {
            Err(BuildError::Step(error)) => *error,
            Err(error) => panic!("{error}"),
            Ok(_) => panic!("the build succeeded"),
        }
    }

    /// Nothing half-made is in the store.
    pub(crate) fn assert_is_clean(&self) {
        for session in super::names(self.store.dir().join("tmp")) {
            assert_eq!(super::names(self.store.dir().join("tmp").join(session)), ["lock"]);
        }
        let mounts = fs_err::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(self.dir.path().to_str().unwrap()));
    }
}

/// Runs nothing, and remembers what it was asked to run.
#[derive(Default)]
pub(crate) struct Remembers(pub(crate) std::sync::Mutex<Vec<Vec<String>>>);

impl RunStep for Remembers {
    fn run(
        &self,
        request: &RunRequest<'_>,
        _: &mut dyn FnMut(Stream, &[u8]),
    ) -> Result<i32, RunStepError> {
        self.0.lock().unwrap().push(request.args.to_vec());
        Ok(0)
    }
}

/// The program for `RUN`, compiled once for all tests.
fn tool() -> &'static Path {
    static TOOL: OnceLock<PathBuf> = OnceLock::new();
    TOOL.get_or_init(|| {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/image/support/tool.rs");
        let binary = Path::new(env!("CARGO_TARGET_TMPDIR")).join("image-test-tool");
        let modified = |path: &Path| fs_err::metadata(path).ok()?.modified().ok();
        if modified(&binary) > modified(Path::new(source)) {
            return binary;
        }
        // Test programs run at once: each compiles for itself, the last one stays.
        let own = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let output = own.path().join("tool");
        let status = Command::new(std::env::var_os("RUSTC").unwrap_or("rustc".into()))
            .args(["--edition=2024", "-O", "-Cstrip=symbols", "-Ctarget-feature=+crt-static", "-o"])
            .args([output.as_os_str(), source.as_ref()])
            .status()
            .unwrap();
        assert!(status.success());
        fs_err::rename(output, &binary).unwrap();
        binary
    })
}

/// Runs each command with `unshare`, `mount` and `chroot`.
pub(crate) struct Chroot;

/// Mounts the overlay at `$3/root`, then what `$4` says, and runs the rest of the arguments.
const SCRIPT: &str = "mount -t overlay overlay -o \
    \"lowerdir=$1,upperdir=$2,workdir=$3/work\" \"$3/root\" && cd \"$3/root\" && eval \"$4\" && \
    shift 4 && exec \"$@\"";

/// Commands that make a mount's point and mount it, in the directory of the root.
fn mount_script(mount: &RunMount) -> String {
    match mount {
        RunMount::Bind { source, target, read_only } => {
            let (source, target) = (source.display(), target.trim_start_matches('/'));
            let point = if source.to_string().ends_with('/') || is_directory(mount) {
                format!("mkdir -p '{target}'")
            } else {
                format!("mkdir -p \"$(dirname '{target}')\" && : >>'{target}'")
            };
            let restrict = format!("&& mount -o remount,ro,bind '{target}'");
            let restrict = if *read_only { restrict } else { String::new() };
            format!("{point} && mount --bind '{source}' '{target}' {restrict}")
        }
        RunMount::Tmpfs { target, size } => {
            let target = target.trim_start_matches('/');
            let size = size.map_or(String::new(), |size| format!("-o size={size}"));
            format!("mkdir -p '{target}' && mount -t tmpfs {size} tmpfs '{target}'")
        }
    }
}

fn is_directory(mount: &RunMount) -> bool {
    match mount {
        RunMount::Bind { source, .. } => source.is_dir(),
        RunMount::Tmpfs { .. } => true,
    }
}

/// Takes empty mount points out of the layer again.
fn remove_mount_point(upper: &Path, mount: &RunMount) {
    let (RunMount::Bind { target, .. } | RunMount::Tmpfs { target, .. }) = mount;
    let mut path = upper.join(target.trim_start_matches('/'));
    let empty = fs_err::metadata(&path).is_ok_and(|m| m.is_file() && m.len() == 0);
    if empty {
        fs_err::remove_file(&path).unwrap();
    }
    // Only those that are empty can be removed.
    while path != upper && (fs_err::remove_dir(&path).is_ok() || !path.exists()) {
        path.pop();
    }
}

impl RunStep for Chroot {
    fn run(
        &self,
        request: &RunRequest<'_>,
        output: &mut dyn FnMut(Stream, &[u8]),
    ) -> Result<i32, RunStepError> {
        let beside = request.upper.parent().unwrap();
        for folder in ["work", "root"] {
            fs_err::create_dir(beside.join(folder))?;
        }
        let lower: Vec<&str> = request.layers.iter().map(|layer| layer.to_str().unwrap()).collect();
        let mounts: Vec<String> = request.mounts.iter().map(mount_script).collect();
        let mounts = if mounts.is_empty() { "true".to_owned() } else { mounts.join(" && ") };
        let user = if request.user.is_empty() { "0:0" } else { request.user };
        let mut child = Command::new("unshare")
            .args(["--mount", "--propagation=private", "sh", "-c", SCRIPT, "sh"])
            .args([&lower.join(":"), request.upper.to_str().unwrap(), beside.to_str().unwrap()])
            .arg(mounts)
            .args(["env", "-i", &format!("TEST_CWD={}", request.cwd)])
            .args(request.env)
            .args(["/usr/sbin/chroot", &format!("--userspec={user}")])
            .arg(beside.join("root"))
            .args(request.args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut out = Vec::new();
        child.stdout.take().unwrap().read_to_end(&mut out)?;
        output(Stream::Stdout, &out);
        let mut err = Vec::new();
        child.stderr.take().unwrap().read_to_end(&mut err)?;
        output(Stream::Stderr, &err);
        let status = child.wait()?;
        request.mounts.iter().rev().for_each(|mount| remove_mount_point(request.upper, mount));
        Ok(status.code().unwrap_or_else(|| 128 + status.signal().unwrap()))
    }
}

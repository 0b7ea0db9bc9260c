//! Debian's buildah: the builder that ours is compared with.
//!
//! It runs steps by chroot, which works wherever root does, and keeps its storage beside the build's
//! output, so that base images are pulled once.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use fs_err as fs;
use rustix::fs::{MemfdFlags, memfd_create};

use crate::bases::Bases;
use crate::case::Case;
use crate::image::Image;

/// Its storage where the disk allows it.
const OVERLAY: &str = "overlay";

/// buildah with its storage and a registry in place of Docker Hub.
#[derive(Debug)]
pub struct Buildah {
    storage: PathBuf,
    driver: &'static str,
    registries: File,
}

impl Buildah {
    /// The one of this test program.
    ///
    /// # Panics
    /// It is not installed.
    #[must_use]
    pub fn get() -> &'static Self {
        static BUILDAH: OnceLock<Buildah> = OnceLock::new();
        BUILDAH.get_or_init(Self::set_up)
    }

    fn set_up() -> Self {
        let version = Command::new("buildah").arg("--version").output();
        assert!(
            version.is_ok_and(|output| output.status.success()),
            "buildah is missing, and without it nothing is compared: apt-get install buildah"
        );
        let folder = e2e::cache_dir().join("differential");
        fs::create_dir_all(folder.join("buildah")).expect("make buildah's folder");
        let mirror = Bases::get().registry();
        let mirror = mirror.strip_prefix("http://").expect("the registry speaks plain HTTP");
        let text = format!(
            "unqualified-search-registries = [\"docker.io\"]\nshort-name-mode = \"permissive\"\n\
             [[registry]]\nprefix = \"docker.io\"\nlocation = \"{mirror}\"\ninsecure = true\n"
        );
        // A file without a name: it goes with this process.
        let registries = memfd_create("registries.conf", MemfdFlags::CLOEXEC);
        let mut registries = File::from(registries.expect("make registries.conf"));
        registries.write_all(text.as_bytes()).expect("write registries.conf");
        let mut buildah = Self { storage: folder.join("buildah"), driver: OVERLAY, registries };
        let info = buildah.command().arg("info").output().expect("run buildah");
        if !info.status.success() {
            // Where the disk is an overlay itself, each layer is a copy.
            buildah.driver = "vfs";
        }
        buildah
    }

    /// Builds a case and reads the image.
    ///
    /// # Panics
    /// It does not build.
    #[must_use]
    pub fn build(&self, case: &Case, arguments: &[String]) -> Image {
        let folder = case.path(".buildah");
        self.build_to(&folder, case, arguments);
        Image::of_directory(&folder)
    }

    /// Builds a case into a folder of containers/image's `dir:` form.
    ///
    /// # Panics
    /// It does not build.
    pub fn build_to(&self, folder: &Path, case: &Case, arguments: &[String]) {
        let id = folder.with_extension("id");
        let mut build = self.command();
        // Docker's format has all fields; OCI's has no health check.
        build.args(["build", "--isolation=chroot", "--format=docker", "--no-cache"]);
        build.arg(format!("--layers={}", case.expect.layers));
        build.arg("--identity-label=false").arg("--iidfile").arg(&id);
        build.arg("--file").arg(case.dockerfile_of_buildah()).args(arguments);
        run(build.arg(case.path("context")), &format!("buildah cannot build {}", case.name));
        let id = fs::read_to_string(id).expect("read the image's ID");
        let mut push = self.command();
        push.args(["push", "--disable-compression", id.trim()]);
        run(push.arg(format!("dir:{}", folder.display())), "buildah cannot write the image");
        // Also what is left of its stages; another test's may be in use.
        let mut remove = self.command();
        _ = remove.args(["rmi", "--force", id.trim()]).stderr(Stdio::null()).output();
    }

    fn command(&self) -> Command {
        let mut command = Command::new("buildah");
        command.arg("--root").arg(self.storage.join("root"));
        command.arg("--runroot").arg(self.storage.join("run"));
        let registries = format!("/proc/{}/fd/{}", std::process::id(), self.registries.as_raw_fd());
        command.args(["--storage-driver", self.driver, "--registries-conf", &registries]);
        if self.driver == OVERLAY {
            // Otherwise a mount of its own folder stays when it has ended.
            command.args(["--storage-opt", "overlay.skip_mount_home=true"]);
        }
        // Its caches and its unfinished work, which would outlive the test.
        command.env("TMPDIR", &self.storage).stdin(Stdio::null());
        command
    }
}

/// What buildah says when it could not seal the copy of itself that it executes: a fork beside it had
/// it open at that moment.
const NOT_SEALED: &str = "sealing memfd copy: Device or resource busy";
/// How often it may.
const ATTEMPTS: u32 = 5;

/// Runs a command to its end; `what` is said when it fails.
pub(crate) fn run(command: &mut Command, what: &str) {
    for attempt in 1..=ATTEMPTS {
        let output = command.output().unwrap_or_else(|error| panic!("{what}: {error}"));
        let (out, err) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        if output.status.success() {
            return;
        }
        let again = err.contains(NOT_SEALED) && attempt < ATTEMPTS;
        assert!(again, "{what}: {}\n{out}\n{err}", output.status);
    }
}

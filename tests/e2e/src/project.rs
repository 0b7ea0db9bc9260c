//! A project in a folder of its own: a copy of an example, or files a test writes.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use fs_err as fs;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::cache::{berth_home, entry, make_folder, repository};

/// The home that all projects share.
const HOME: &str = "home";

/// A project that no other test sees. Its folder goes with the last of its clones; a running
/// `berth dev` holds one.
#[derive(Debug, Clone)]
pub struct Project {
    folder: Arc<TempDir>,
    home: PathBuf,
}

impl Project {
    /// A copy of `examples/<name>` with its packages installed.
    ///
    /// # Panics
    /// There is no such example, or npm fails.
    #[must_use]
    pub fn example(name: &str) -> Self {
        let project = Self::example_without_packages(name);
        project.link_packages();
        project
    }

    /// A copy of `examples/<name>` as a clone of the repository has it: without `node_modules`.
    ///
    /// # Panics
    /// There is no such example.
    #[must_use]
    pub fn example_without_packages(name: &str) -> Self {
        let project = Self::empty();
        copy(&repository().join("examples").join(name), project.path());
        project
    }

    /// A project with one container class, `MyContainer`, bound as `MY_CONTAINER`, that runs the
    /// given Worker (JavaScript) and builds the given Dockerfile.
    ///
    /// # Panics
    /// npm fails.
    #[must_use]
    pub fn with(worker: &str, dockerfile: &str) -> Self {
        let project = Self::empty();
        let config = json!({
            "name": "e2e",
            "main": "src/index.js",
            "compatibility_date": "2026-08-01",
            "containers": [{ "class_name": "MyContainer", "image": "./Dockerfile" }],
            "durable_objects": {
                "bindings": [{ "name": "MY_CONTAINER", "class_name": "MyContainer" }]
            },
            "migrations": [{ "tag": "v1", "new_sqlite_classes": ["MyContainer"] }],
        });
        project.write("wrangler.json", &config.to_string());
        project.write("src/index.js", worker);
        project.write("Dockerfile", dockerfile);
        let hello = repository().join("examples/hello");
        for file in ["package.json", "package-lock.json"] {
            fs::copy(hello.join(file), project.path().join(file)).expect("copy a package file");
        }
        project.link_packages();
        project
    }

    /// A project whose container does and tells what a test asks for (`probe/`); `class_body` is
    /// more of its class, such as `sleepAfter = "2s";`.
    ///
    /// # Panics
    /// npm fails.
    #[must_use]
    pub fn probe(class_body: &str) -> Self {
        let worker = include_str!("../probe/worker.js").replace("/* CLASS BODY */", class_body);
        // No EXPOSE: every port is reachable without (features J9, C6).
        let dockerfile = "FROM python:3-slim\nCOPY server.py /server.py\n\
                          CMD [\"python3\", \"/server.py\"]\n";
        let project = Self::with(&worker, dockerfile);
        project.write("server.py", include_str!("../probe/server.py"));
        project
    }

    /// A project whose Durable Object uses `ctx.container` itself, by scenarios
    /// (`probe/machine.js`); `dockerfile` makes its image.
    ///
    /// # Panics
    /// It can't be written.
    #[must_use]
    pub fn machine(dockerfile: &str) -> Self {
        let project = Self::empty();
        let config = json!({
            "name": "e2e",
            "main": "src/index.js",
            "compatibility_date": "2026-08-01",
            "containers": [{ "class_name": "Machine", "image": "./Dockerfile" }],
            "durable_objects": { "bindings": [{ "name": "MACHINE", "class_name": "Machine" }] },
            "migrations": [{ "tag": "v1", "new_sqlite_classes": ["Machine"] }],
        });
        project.write("wrangler.json", &config.to_string());
        project.write("src/index.js", include_str!("../probe/machine.js"));
        project.write("Dockerfile", dockerfile);
        project
    }

    /// A folder with nothing in it.
    ///
    /// # Panics
    /// No folder can be made.
    #[must_use]
    pub fn empty() -> Self {
        let folder = tempfile::Builder::new().prefix("berth-e2e-").tempdir();
        let folder = Arc::new(folder.expect("make a folder for a project"));
        Self { folder, home: berth_home(HOME) }
    }

    /// Gives the project a `BERTH_HOME` of its own, so that it shares no image with others; the
    /// toolchain stays shared.
    ///
    /// # Panics
    /// It can't be made.
    #[must_use]
    pub fn with_own_home(self) -> Self {
        self.with_bare_home().with_shared_toolchain()
    }

    /// Lets its home have the toolchain of all projects.
    ///
    /// # Panics
    /// It can't be linked.
    #[must_use]
    pub fn with_shared_toolchain(self) -> Self {
        let shared = berth_home(HOME).join("toolchain");
        make_folder(&shared);
        fs::os::unix::fs::symlink(shared, self.home.join("toolchain")).expect("link the toolchain");
        self
    }

    /// Gives the project an empty `BERTH_HOME`, as a new machine has it: not even a toolchain.
    ///
    /// # Panics
    /// It can't be made.
    #[must_use]
    pub fn with_bare_home(mut self) -> Self {
        self.home = self.path().join(".home");
        fs::create_dir_all(&self.home).expect("make a home");
        self
    }

    /// Lets every user of the machine write to the project.
    ///
    /// # Panics
    /// It can't be changed.
    pub fn open_to_all(&self) {
        let chmod = Command::new("chmod").args(["-R", "a+rwX"]).arg(self.path()).status();
        assert!(chmod.is_ok_and(|status| status.success()), "open the project");
    }

    /// A disk of 4 MiB in place of a folder of the project's home.
    ///
    /// # Panics
    /// It can't be mounted.
    #[must_use]
    pub fn small_disk_for(&self, folder: &str) -> SmallDisk {
        let path = self.home.join(folder);
        fs::create_dir_all(&path).expect("make a mount point");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"]).arg(&path);
        assert!(mount.status().is_ok_and(|status| status.success()), "mount a small disk");
        SmallDisk(path)
    }

    /// The project's folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The `BERTH_HOME` it runs with.
    #[must_use]
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// Writes a file, and the folders above it.
    ///
    /// # Panics
    /// It can't be written.
    pub fn write(&self, path: &str, text: &str) {
        let path = self.path().join(path);
        let folder = path.parent().expect("a file lies in a folder");
        fs::create_dir_all(folder).expect("make a folder in the project");
        fs::write(path, text).expect("write a file of the project");
    }

    /// Writes a file that its owner alone may read.
    ///
    /// # Panics
    /// It can't be written.
    pub fn write_private(&self, path: &str, bytes: &[u8]) {
        use fs_err::os::unix::fs::OpenOptionsExt as _;
        let mut options = fs::OpenOptions::new();
        let file = options.create(true).truncate(true).write(true).mode(0o600);
        let file = file.open(self.path().join(path)).expect("make a file of the project");
        std::io::Write::write_all(&mut file.into_parts().0, bytes).expect("write a file");
    }

    /// The text of a file.
    ///
    /// # Panics
    /// It can't be read.
    #[must_use]
    pub fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path().join(path)).expect("read a file of the project")
    }

    /// Replaces text in a file.
    ///
    /// # Panics
    /// The text is not there.
    pub fn replace(&self, path: &str, old: &str, new: &str) {
        let text = self.read(path);
        assert!(text.contains(old), "{path} does not contain {old:?}:\n{text}");
        self.write(path, &text.replace(old, new));
    }

    /// Changes the Wrangler configuration (its JSON forms).
    ///
    /// # Panics
    /// The project has none.
    #[must_use]
    pub fn configured(self, change: impl FnOnce(&mut Value)) -> Self {
        self.configure(change);
        self
    }

    /// Changes the Wrangler configuration (its JSON forms) in place.
    ///
    /// # Panics
    /// The project has none.
    pub fn configure(&self, change: impl FnOnce(&mut Value)) {
        let name = ["wrangler.jsonc", "wrangler.json"]
            .into_iter()
            .find(|name| self.path().join(name).exists())
            .expect("the project has a JSON configuration");
        let parsed = jsonc_parser::parse_to_serde_value(&self.read(name), &Default::default());
        let mut config: Value = parsed.expect("the configuration is JSON");
        change(&mut config);
        self.write(name, &config.to_string());
    }

    /// Installs what the lock file names, once for all projects with the same one.
    fn link_packages(&self) {
        let lock = self.path().join("package-lock.json");
        if !lock.exists() {
            return;
        }
        let digest = Sha256::digest(fs::read(&lock).expect("read the lock file"));
        let key: String = digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        let packages = entry(&format!("npm-{key}"), |folder| {
            for file in ["package.json", "package-lock.json"] {
                fs::copy(self.path().join(file), folder.join(file)).expect("copy a package file");
            }
            let npm = Command::new("npm")
                .args(["ci", "--no-audit", "--no-fund"])
                .current_dir(folder)
                .output();
            let npm = npm.expect("run npm");
            assert!(npm.status.success(), "npm ci: {}", String::from_utf8_lossy(&npm.stderr));
        });
        let modules = packages.join("node_modules");
        fs::os::unix::fs::symlink(modules, self.path().join("node_modules"))
            .expect("link packages");
    }
}

/// A mounted disk with little room; unmounted when dropped.
#[derive(Debug)]
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Takes all the room there is.
    ///
    /// # Panics
    /// It can't be written to for another reason.
    pub fn fill(&self) {
        let mut file = fs::File::create(self.filler()).expect("fill a disk");
        let full = std::iter::repeat_with(|| file.write_all(&[0; 4096])).find_map(Result::err);
        assert_eq!(full.expect("it ends").kind(), std::io::ErrorKind::StorageFull);
    }

    /// Gives it back.
    ///
    /// # Panics
    /// It was not taken.
    pub fn empty(&self) {
        fs::remove_file(self.filler()).expect("empty a disk");
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

/// Copies a folder, without what a run leaves in it.
fn copy(from: &Path, to: &Path) {
    const LEFT_BY_RUNS: [&str; 5] = ["node_modules", ".berth", ".wrangler", ".dev.vars", "target"];
    fs::create_dir_all(to).expect("make a folder of the copy");
    for entry in fs::read_dir(from).expect("read an example") {
        let entry = entry.expect("read an example");
        let name = entry.file_name();
        if LEFT_BY_RUNS.iter().any(|left| name == *left) {
            continue;
        }
        if entry.file_type().expect("look at a file").is_dir() {
            copy(&entry.path(), &to.join(name));
        } else {
            fs::copy(entry.path(), to.join(name)).expect("copy a file");
        }
    }
}

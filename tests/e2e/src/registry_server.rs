//! A running `berth registry serve`.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::cache::berth_binary;
use crate::client::Client;
use crate::lines::Lines;
use crate::process::Process;
use crate::wait::eventually;

const START: Duration = Duration::from_secs(60);
/// Longer than it gives requests in flight.
const STOP: Duration = Duration::from_secs(60);
const READY: &str = "Registry on ";
/// The account of its repositories.
const ACCOUNT: &str = "acc";

/// A registry on a free port of this machine, with data of its own. When dropped it is killed; its
/// data goes with the last of its clones.
#[derive(Debug)]
pub struct RegistryServer {
    child: Child,
    lines: Lines,
    address: String,
    data: Data,
}

/// Where a registry keeps what it has; several may have it one after the other.
#[derive(Debug, Clone)]
pub struct Data {
    path: PathBuf,
    /// Removes it with the last clone.
    _folder: Option<Arc<TempDir>>,
}

impl Data {
    /// A new folder, removed with its last clone.
    ///
    /// # Panics
    /// It can't be made.
    #[must_use]
    pub fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("berth-registry-").tempdir();
        let folder = Arc::new(folder.expect("make a folder for a registry"));
        Self { path: folder.path().to_owned(), _folder: Some(folder) }
    }

    /// A folder that is somebody else's.
    #[must_use]
    pub fn at(path: &Path) -> Self {
        Self { path: path.to_owned(), _folder: None }
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The blobs in the store, each checked: it is what its name says.
    ///
    /// # Panics
    /// One is not.
    #[must_use]
    pub fn blobs(&self) -> Vec<String> {
        use sha2::{Digest, Sha256};
        let folder = self.path.join("images/content/sha256");
        let entries = fs_err::read_dir(folder).expect("list the blobs");
        let names = entries.map(|entry| entry.expect("a blob").path());
        names
            .map(|path| {
                let name = path.file_name().and_then(OsStr::to_str).expect("a digest").to_owned();
                let digest = Sha256::digest(fs_err::read(&path).expect("read a blob"));
                let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
                assert_eq!(digest, name, "a corrupt blob");
                name
            })
            .collect()
    }
}

impl Default for Data {
    fn default() -> Self {
        Self::new()
    }
}

impl RegistryServer {
    /// Starts one with new data and further arguments.
    ///
    /// # Panics
    /// It does not get ready; the message holds what it said.
    #[must_use]
    pub fn start(args: &[&str]) -> Self {
        Self::start_on(&Data::new(), "127.0.0.1:0", args)
    }

    /// Starts one with data that may have been another's, on an address.
    ///
    /// # Panics
    /// It does not get ready; the message holds what it said.
    #[must_use]
    pub fn start_on(data: &Data, address: &str, args: &[&str]) -> Self {
        let mut command = Self::command(data, ["registry", "serve", "--listen", address]);
        command.args(["--account", ACCOUNT]).args(args);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("start berth registry serve");
        let lines = Lines::default();
        lines.gather(child.stdout.take().expect("stdout is a pipe"));
        lines.gather(child.stderr.take().expect("stderr is a pipe"));
        let ready = eventually(START, || {
            let ended = child.try_wait().expect("look after the registry").is_some();
            lines.with(READY).pop().map(Some).or(ended.then_some(None))
        });
        let Some(Some(line)) = ready else {
            let _ = child.kill();
            panic!("the registry did not get ready:\n{lines}");
        };
        let (_, address) = line.split_once("://").expect("the line holds the address");
        Self { child, lines, address: address.trim().to_owned(), data: data.clone() }
    }

    /// `berth <args>` on this data, not started yet.
    #[must_use]
    pub fn command<A: AsRef<OsStr>>(data: &Data, args: impl IntoIterator<Item = A>) -> Command {
        let mut command = Command::new(berth_binary());
        command
            .args(args)
            .env("BERTH_HOME", data.path())
            .env_remove("CLOUDFLARE_ACCOUNT_ID")
            .stdin(Stdio::null());
        command
    }

    /// Its host and port.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Its data.
    #[must_use]
    pub fn data(&self) -> &Data {
        &self.data
    }

    /// A client of it.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::new(&self.address)
    }

    /// A credential by `berth registry credentials <args>`: the password of the user `v1`.
    ///
    /// # Panics
    /// The command fails.
    #[must_use]
    pub fn credential(&self, args: &[&str]) -> String {
        let mut command = Self::command(&self.data, ["registry", "credentials"]);
        let output = command.args(["--account", ACCOUNT]).args(args).output().expect("run berth");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("a password is text").trim().to_owned()
    }

    /// The process.
    ///
    /// # Panics
    /// It has ended.
    #[must_use]
    pub fn process(&self) -> Process {
        Process::with_pid(self.child.id()).expect("the registry runs")
    }

    /// Kills it, as a crash would.
    ///
    /// # Panics
    /// It cannot be killed.
    pub fn kill(mut self) {
        self.child.kill().expect("kill the registry");
        self.child.wait().expect("wait for the registry");
    }

    /// Tells it to stop, as Ctrl-C does, and waits until it has ended well.
    ///
    /// # Panics
    /// It does not, or not with exit code 0.
    pub fn stop(mut self) {
        self.process().signal(Signal::INT);
        let ended = eventually(STOP, || self.child.try_wait().expect("look after the registry"));
        let status = ended.unwrap_or_else(|| panic!("it did not end:\n{}", self.lines));
        assert!(status.success(), "{status}:\n{}", self.lines);
    }
}

impl Drop for RegistryServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            #[expect(clippy::print_stderr, reason = "a failed test shows what it said")]
            {
                eprintln!("the registry said:\n{}", self.lines);
            }
        }
    }
}

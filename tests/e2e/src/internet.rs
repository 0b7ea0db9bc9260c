//! A stand-in for the internet: a server in a network namespace of its own, at a public address.
//!
//! 203.0.113.0/24 is set aside for documentation (RFC 5737), so nobody has it. For the same reason
//! instances may not reach it unless a project says so: see [`Internet::reachable_from`].

use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use fs_err as fs;
use rustix::fs::{FlockOperation, flock};
use serde_json::json;
use tempfile::TempDir;

use crate::base_images;
use crate::cache::cache_dir;
use crate::project::Project;
use crate::wait::until;

const HOST: &str = "203.0.113.1";
const SERVER: &str = "203.0.113.2";

/// A reachable public address with a web server on port 80. One at a time on a machine; it goes
/// when it is dropped.
#[derive(Debug)]
pub struct Internet {
    server: Child,
    _network: Network,
    _folder: TempDir,
    _turn: fs::File,
}

impl Internet {
    /// Makes it; waits while another test has it.
    ///
    /// # Panics
    /// `ip` is missing or refuses.
    #[must_use]
    pub fn saying(text: &str) -> Self {
        fs::create_dir_all(cache_dir()).expect("make the cache");
        let turn = fs::File::create(cache_dir().join("internet.lock")).expect("open the lock");
        flock(turn.file(), FlockOperation::LockExclusive).expect("wait for the internet");
        let folder = tempfile::tempdir().expect("make a folder for the server");
        fs::write(folder.path().join("index.html"), text).expect("write the page");

        static COUNT: AtomicU32 = AtomicU32::new(0);
        // The names of links end at 15 bytes.
        let count = COUNT.fetch_add(1, Ordering::Relaxed) % 100;
        let name = format!("e2e{}-{count}", std::process::id());
        let network = Network { near: format!("{name}n"), name };
        let (name, near, far) = (&network.name, &network.near, &format!("{}f", network.name));
        ip(&["netns", "add", name]);
        ip(&["link", "add", near, "type", "veth", "peer", "name", far, "netns", name]);
        ip(&["addr", "add", &format!("{HOST}/30"), "dev", near]);
        ip(&["link", "set", near, "up"]);
        ip(&["-n", name, "addr", "add", &format!("{SERVER}/30"), "dev", far]);
        ip(&["-n", name, "link", "set", far, "up"]);

        let server = Command::new("ip")
            .args(["netns", "exec", name])
            .arg(base_images::busybox_program())
            .args(["httpd", "-f", "-p", &format!("{SERVER}:80"), "-h"])
            .arg(folder.path())
            .stdin(Stdio::null())
            .spawn()
            .expect("start the server");
        let internet = Self { server, _network: network, _folder: folder, _turn: turn };
        let client = crate::client::Client::new(internet.address());
        until("the server outside answers", || client.try_get("/").ok());
        internet
    }

    /// The project, with instances that may reach the server.
    #[must_use]
    pub fn reachable_from(&self, project: Project) -> Project {
        project
            .configured(|config| config["berth"]["egress_allow"] = json!([format!("{SERVER}/32")]))
    }

    /// The server's address.
    #[must_use]
    pub fn address(&self) -> &'static str {
        SERVER
    }
}

impl Drop for Internet {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// A network namespace and the link into it; both go with this.
#[derive(Debug)]
struct Network {
    name: String,
    near: String,
}

impl Drop for Network {
    fn drop(&mut self) {
        // The link would go with the namespace, but later than the next one comes.
        let _ = Command::new("ip").args(["link", "del", &self.near]).stderr(Stdio::null()).status();
        let _ = Command::new("ip").args(["netns", "del", &self.name]).status();
    }
}

fn ip(args: &[&str]) {
    let output = Command::new("ip").args(args).output().expect("run ip (package iproute2)");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {}: {said}", args.join(" "));
}

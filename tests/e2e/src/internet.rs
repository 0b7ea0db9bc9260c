//! A stand-in for the internet: a server in a network namespace of its own, at a public address.
//!
//! 203.0.113.0/24 is set aside for documentation (RFC 5737), so it is neither private nor anyone's.

use std::process::{Child, Command, Stdio};

use fs_err as fs;
use rustix::fs::{FlockOperation, flock};
use tempfile::TempDir;

use crate::base_images;
use crate::cache::cache_dir;
use crate::wait::until;

const HOST: &str = "203.0.113.1";
const SERVER: &str = "203.0.113.2";

/// A reachable public address with a web server on port 80. One at a time on a machine; it goes
/// when it is dropped.
#[derive(Debug)]
pub struct Internet {
    name: String,
    server: Child,
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

        let name = format!("e2e-{}", std::process::id());
        let (near, far) = (format!("{name}n"), format!("{name}f"));
        ip(&["netns", "add", &name]);
        ip(&["link", "add", &near, "type", "veth", "peer", "name", &far, "netns", &name]);
        ip(&["addr", "add", &format!("{HOST}/30"), "dev", &near]);
        ip(&["link", "set", &near, "up"]);
        ip(&["-n", &name, "addr", "add", &format!("{SERVER}/30"), "dev", &far]);
        ip(&["-n", &name, "link", "set", &far, "up"]);

        let server = Command::new("ip")
            .args(["netns", "exec", &name])
            .arg(base_images::busybox_program())
            .args(["httpd", "-f", "-p", &format!("{SERVER}:80"), "-h"])
            .arg(folder.path())
            .stdin(Stdio::null())
            .spawn()
            .expect("start the server");
        let internet = Self { name, server, _folder: folder, _turn: turn };
        let client = crate::client::Client::new(internet.address());
        until("the server outside answers", || client.try_get("/").ok());
        internet
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
        // The pair of links goes with the namespace.
        let _ = Command::new("ip").args(["netns", "del", &self.name]).status();
    }
}

fn ip(args: &[&str]) {
    let output = Command::new("ip").args(args).output().expect("run ip (package iproute2)");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {}: {said}", args.join(" "));
}

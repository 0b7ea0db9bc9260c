//! The unmodified Wrangler, from npm, with Berth in Docker's place.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::cache::entry;
use crate::client::Client;
use crate::engine::{Background, Engine, Tool, berth_docker_binary};
use crate::project::Project;

/// A first start bundles, builds and starts workerd.
const START: Duration = Duration::from_secs(180);
/// Precedes the address once requests are answered.
const READY: &str = "Ready on http://";
/// Wrangler looks for free ports and listens on them a moment later: a test beside it may be faster.
const LOST_A_PORT: &str = "Address already in use";
const TRIES: usize = 3;

/// A version of Wrangler, and the Node it runs on.
#[derive(Debug, Clone, Copy)]
pub struct Wrangler {
    version: &'static str,
    /// The version of the npm package `node` that it runs on, whatever the machine has.
    node: &'static str,
    /// The newest compatibility date that its workerd knows, where the examples' is newer.
    date: Option<&'static str>,
}

/// The newest that these tests were made with, and the Node it asks for.
pub const NEWEST: Wrangler = Wrangler { version: "4.164.0", node: "22.23.3", date: None };
/// The last that runs on Node 20.
pub const ON_NODE_20: Wrangler =
    Wrangler { version: "4.86.0", node: "20.20.2", date: Some("2026-05-03") };

/// Wrangler is fifteen megabytes of JavaScript, and a command's work is mostly to load them. With room
/// for what that makes, Node does not search it for garbage over and over.
const NODE_OPTIONS: [&str; 2] = ["--min-semi-space-size=64", "--max-semi-space-size=64"];

impl Wrangler {
    /// Which version.
    #[must_use]
    pub fn version(self) -> &'static str {
        self.version
    }

    /// The newest compatibility date that it knows, where the examples' is newer.
    #[must_use]
    pub fn newest_date(self) -> Option<&'static str> {
        self.date
    }

    /// A copy of an example that this version can run, and a home of its own: no two engines have
    /// one.
    #[must_use]
    pub fn example(self, name: &str) -> Project {
        let project = Project::example(name).with_own_home();
        match self.date {
            // The others are older than either version.
            Some(date) if project.path().join("wrangler.jsonc").exists() => {
                project.configured(|config| config["compatibility_date"] = date.into())
            }
            _ => project,
        }
    }

    /// `wrangler <args>` in a project's folder, which is its home too, with Berth's `docker` command
    /// and nothing of Cloudflare's set.
    ///
    /// # Panics
    /// npm fails.
    #[must_use]
    pub fn command(self, project: &Project, args: &[&str]) -> Tool {
        let folder = self.folder();
        let script = folder.join("node_modules/wrangler/bin/wrangler.js");
        let options = NODE_OPTIONS.iter().map(|option| option.as_ref());
        let args = args.iter().map(|arg| arg.as_ref());
        let words = options.chain([script.as_os_str()]).chain(args);
        let tool = Tool::program(&folder.join("node_modules/node/bin/node"), project, words);
        // What Node 22 has compiled once, it need not compile again; Node 20 knows no such thing.
        tool.env("NODE_COMPILE_CACHE", folder.join("compiled"))
            .env("WRANGLER_DOCKER_BIN", berth_docker_binary())
            .env("WRANGLER_SEND_METRICS", "false")
            // With its banner comes the question to npm's registry whether there is a newer one.
            .env("WRANGLER_HIDE_BANNER", "true")
            .env("WRANGLER_LOG_PATH", project.path().join(".logs"))
            .env("HOME", project.path())
            .env("XDG_CONFIG_HOME", project.path())
            .env("CI", "true")
    }

    /// `wrangler dev` on a free port, once it is ready.
    ///
    /// # Panics
    /// It does not get ready.
    #[must_use]
    pub fn dev(self, project: &Project, engine: &Engine) -> WranglerDev {
        let args =
            ["dev", "--port", "0", "--ip", "127.0.0.1", "--show-interactive-dev-session=false"];
        let started = (0..TRIES).find_map(|_| {
            let tool = self.command(project, &args).env("DOCKER_HOST", engine.host());
            let process = tool.start();
            let line = process.wait_for_one_of(&[READY, LOST_A_PORT], START);
            let (_, address) = line.split_once(READY)?;
            let client = Client::new(address.trim().trim_end_matches('/'));
            Some(WranglerDev { client, process })
        });
        started.expect("wrangler finds a port that stays free")
    }

    /// Where it is installed, with its Node: once for all tests.
    fn folder(self) -> PathBuf {
        let (wrangler, node) = (self.version, self.node);
        entry(&format!("wrangler-{wrangler}-node-{node}"), |folder| {
            fs_err::write(folder.join("package.json"), "{\"private\":true}").expect("write a file");
            let npm = Command::new("npm")
                .args(["install", "--no-audit", "--no-fund", "--save-exact"])
                .args([format!("wrangler@{wrangler}"), format!("node@{node}")])
                .current_dir(folder)
                .output();
            let npm = npm.expect("run npm");
            assert!(npm.status.success(), "npm: {}", String::from_utf8_lossy(&npm.stderr));
        })
    }
}

/// A running `wrangler dev`; a [`Client`] of the address it listens on.
#[derive(Debug)]
pub struct WranglerDev {
    client: Client,
    process: Background,
}

impl WranglerDev {
    /// Ends it as Ctrl-C does.
    pub fn stop(self) {
        let _ = self.process.interrupt();
    }

    /// All it said.
    #[must_use]
    pub fn said(&self) -> String {
        self.process.said()
    }
}

impl std::ops::Deref for WranglerDev {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

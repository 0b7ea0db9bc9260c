//! The real `wrangler`, from npm: the last version that runs on Node 20.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cache::entry;

const VERSION: &str = "4.86.0";

/// `wrangler`, installed once, with a home of its own and nothing of Cloudflare's set.
///
/// # Panics
/// npm cannot install it.
#[must_use]
pub fn wrangler(home: &Path) -> Command {
    let mut command = Command::new(program());
    let settings = std::env::vars_os().map(|(name, _)| name);
    for name in settings.filter(|name| name.to_string_lossy().starts_with("CLOUDFLARE_")) {
        command.env_remove(name);
    }
    command
        .current_dir(home)
        .env("HOME", home)
        .env("XDG_CONFIG_HOME", home)
        .env("CI", "true")
        .env("WRANGLER_SEND_METRICS", "false");
    command
}

fn program() -> PathBuf {
    let folder = entry(&format!("wrangler-{VERSION}"), |folder| {
        let mut npm = Command::new("npm");
        npm.args(["install", "--no-audit", "--no-fund", "--loglevel=error"]);
        npm.arg("--prefix").arg(folder).arg(format!("wrangler@{VERSION}"));
        let status = npm.status().expect("run npm");
        assert!(status.success(), "npm cannot install wrangler: {status}");
    });
    folder.join("node_modules/.bin/wrangler")
}

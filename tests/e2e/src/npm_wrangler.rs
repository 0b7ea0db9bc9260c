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
pub fn wrangler_from_npm(home: &Path) -> Command {
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
        fs_err::write(folder.join("package.json"), "{\"private\":true}").expect("write a file");
        let wrangler = format!("wrangler@{VERSION}");
        let npm = Command::new("npm")
            .args(["install", "--no-audit", "--no-fund", "--save-exact", &wrangler])
            .current_dir(folder)
            .output();
        let npm = npm.expect("run npm");
        assert!(npm.status.success(), "npm: {}", String::from_utf8_lossy(&npm.stderr));
    });
    folder.join("node_modules/.bin/wrangler")
}

//! `cargo xtask fixtures`: makes the base images ahead of the tests, which else make them.

use anyhow::Result;

use crate::say;

pub(crate) fn run() -> Result<()> {
    say("making busybox, debian:stable-slim and python:3-slim from Debian packages");
    let folder = e2e::base_images::folder();
    say(&format!("they are in {}", folder.display()));
    Ok(())
}

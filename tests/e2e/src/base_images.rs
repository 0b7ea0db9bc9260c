//! Base images for tests, made from Debian packages: what Docker Hub has under the same names, as
//! far as the examples use it, on a machine that reaches no container registry.
//!
//! `busybox` is one static program; `debian:stable-slim` a shell with the usual tools; and
//! `python:3-slim` lies above it. They are made once and kept in the cache as a folder of blobs and
//! tags, which [`crate::Registry`] serves.

mod debian;
mod oci;

use std::path::{Path, PathBuf};

use fs_err as fs;

use crate::cache::{entry_in, own_dir};
use oci::{Config, Layout};

/// Raised whenever a recipe below changes.
const RECIPES: u32 = 2;

const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A busybox that runs on the host.
///
/// # Panics
/// The images can't be made.
#[must_use]
pub fn busybox_program() -> PathBuf {
    folder().join("busybox")
}

/// The folder with the images, made now unless it is there.
///
/// # Panics
/// A package can't be had or unpacked.
#[must_use]
pub fn folder() -> PathBuf {
    entry_in(&own_dir(), &format!("base-images-{RECIPES}"), make)
}

fn make(folder: &Path) {
    let work = tempfile::tempdir_in(folder).expect("make a folder to unpack in");
    let layout = Layout::new(folder);
    let shell = ["sh".to_owned()];

    let root = debian::busybox(&work.path().join("busybox"));
    fs::copy(root.join("bin/busybox"), folder.join("busybox")).expect("keep busybox");
    let busybox = layout.layer(&root);
    let config = Config { env: &[PATH], command: &shell };
    let image = layout.image(&config, &[&busybox]);
    layout.tag("busybox", "latest", &image);

    let root = debian::slim(&work.path().join("debian"));
    let debian = layout.layer(&root);
    let config = Config { env: &[PATH], command: &["bash".to_owned()] };
    let image = layout.image(&config, &[&debian]);
    layout.tag("debian", "stable-slim", &image);

    let root = debian::python(&work.path().join("python"));
    let python = layout.layer(&root);
    let config = Config { env: &[PATH, "LANG=C.UTF-8"], command: &["python3".to_owned()] };
    let image = layout.image(&config, &[&debian, &python]);
    // Docker Hub answers with an index over the platforms; the others' tags point at one image.
    layout.tag("python", "3-slim", &layout.index(&image));

    work.close().expect("remove what was unpacked");
}

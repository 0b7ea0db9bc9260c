//! Images: manifests, configs, layers, Dockerfiles.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

pub(crate) fn manifest(bytes: &[u8]) {
    image::fuzz::manifest(bytes);
}

pub(crate) fn pushed_manifest(bytes: &[u8]) {
    image::fuzz::pushed_manifest(bytes);
}

pub(crate) fn config(bytes: &[u8]) {
    image::fuzz::config(bytes);
}

pub(crate) fn dockerfile(bytes: &[u8]) {
    image::fuzz::dockerfile(&String::from_utf8_lossy(bytes));
}

/// A layer, unpacked into a directory beside one that no layer may touch.
pub(crate) fn layer(bytes: &[u8]) {
    let place = tempfile::tempdir_in(memory()).expect("make a directory");
    let (root, outside) = (place.path().join("root"), place.path().join("outside"));
    for dir in [&root, &outside] {
        fs_err::create_dir(dir).expect("make a directory");
    }
    let secret = outside.join("secret");
    fs_err::write(&secret, "secret").expect("write a file");
    let before = fs_err::metadata(&secret).expect("look at the file");
    image::fuzz::layer(bytes, &root);
    let count = |dir: &Path| fs_err::read_dir(dir).expect("read a directory").count();
    assert_eq!((count(place.path()), count(&outside)), (2, 1), "nothing is made outside");
    let after = fs_err::metadata(&secret).expect("the file is still there");
    assert_eq!((after.nlink(), after.mode()), (1, before.mode()), "nothing leads outside");
    let text = fs_err::read_to_string(&secret).expect("read the file");
    assert_eq!(text, "secret", "nothing is written outside");
}

/// An archive of images, imported beside a file that no archive may touch.
pub(crate) fn archive(bytes: &[u8]) {
    let place = tempfile::tempdir_in(memory()).expect("make a directory");
    let secret = place.path().join("secret");
    fs_err::write(&secret, "secret").expect("write a file");
    image::fuzz::archive(bytes, &place.path().join("store"));
    let count = fs_err::read_dir(place.path()).expect("read a directory").count();
    assert_eq!(count, 2, "nothing is made outside");
    let text = fs_err::read_to_string(&secret).expect("read the file");
    assert_eq!(text, "secret", "nothing is written outside");
}

/// Where files cost least.
fn memory() -> std::path::PathBuf {
    let shm = Path::new("/dev/shm");
    if shm.is_dir() { shm.to_owned() } else { std::env::temp_dir() }
}

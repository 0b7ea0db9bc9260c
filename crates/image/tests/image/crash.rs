//! Pulls that are killed at any moment, and pulls of several processes at once: what is left is
//! whole, and the next one goes on.

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use image::{Digest, ImageStore, Silent};

use crate::support::registry::{Behaviour, Registry};
use crate::support::{Form, Recorder, TestImage, names, noise, options, tar};

const STORE: &str = "TEST_STORE";
const NAME: &str = "TEST_NAME";

/// What the processes of these tests do: they are this program again.
#[test]
#[ignore = "run by other tests, in a process of its own"]
fn a_process_that_pulls() {
    let (Ok(store), Ok(name)) = (std::env::var(STORE), std::env::var(NAME)) else { return };
    let store = ImageStore::open(store).unwrap();
    store.pull(&name.parse().unwrap(), &options(), &Silent).unwrap();
}

fn puller(store: &Path, registry: &Registry) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::a_process_that_pulls", "--ignored"])
        .env(STORE, store)
        .env(NAME, registry.name("a/b:v1").to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn image() -> TestImage {
    let noise = noise();
    let layer = |name: &str| tar(&[(name, &noise, 0o644), ("file", name, 0o644)]);
    TestImage::new(Form::OciGzip, &[layer("one"), layer("two"), layer("three")])
}

/// Every blob is what its name says, and every unpacked layer is whole.
fn assert_is_whole(store: &Path) {
    let (content, snapshots) = (store.join("content/sha256"), store.join("snapshots/sha256"));
    // Killed before it had made its folders.
    if !snapshots.exists() {
        return;
    }
    for name in names(&content) {
        let bytes = fs_err::read(content.join(&name)).unwrap();
        assert_eq!(Digest::of(&bytes).hex(), name);
    }
    for name in names(&snapshots) {
        assert_eq!(names(snapshots.join(&name)).len(), 2, "{name}");
    }
}

#[test]
fn a_pull_killed_at_any_moment_leaves_nothing_torn_and_the_next_goes_on() {
    let behaviour = Behaviour { ranges: true, ..Behaviour::default() };
    let registry = Registry::start(behaviour);
    let digest = registry.push("v1", &image());
    let dir = tempfile::tempdir().unwrap();
    // How long one takes when nobody kills it: what the moments are chosen from.
    let begun = Instant::now();
    assert!(puller(&dir.path().join("whole"), &registry).wait().unwrap().success());
    let whole = begun.elapsed();
    let (mut killed, mut state) = (0, 7_u64);
    for round in 0..6 {
        let store = dir.path().join(format!("store-{round}"));
        // One store is killed over several times before somebody lets it finish.
        for _ in 0..6 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let moment = whole.mul_f64((state >> 40) as f64 / f64::from(1 << 24));
            let mut child = puller(&store, &registry);
            // Nobody sends: this is a wait for that long.
            let (_keep, never) = mpsc::channel::<()>();
            let _ = never.recv_timeout(moment);
            child.kill().unwrap();
            killed += usize::from(child.wait().unwrap().signal() == Some(9));
            assert_is_whole(&store);
        }
        assert!(puller(&store, &registry).wait().unwrap().success());
        assert_is_whole(&store);
        let opened = ImageStore::open(&store).unwrap();
        let image = opened.image(&registry.name("a/b:v1")).unwrap().unwrap();
        assert_eq!(image.digest, digest);
        assert!(names(store.join("ingest")).is_empty());
        assert_eq!(names(store.join("tmp")).len(), 1, "this process's own folder");
    }
    assert!(killed >= 10, "{killed} of 36 were killed before they ended");
}

#[test]
fn what_a_killed_process_had_downloaded_is_not_downloaded_again() {
    // The second half of the layer never comes while the first process lives.
    let stall_after = Some(200_000);
    let registry = Registry::start(Behaviour { ranges: true, stall_after, ..Behaviour::default() });
    registry.push("v1", &TestImage::new(Form::OciPlain, &[tar(&[("noise", &noise(), 0o644)])]));
    let dir = tempfile::tempdir().unwrap();
    let mut first = puller(dir.path(), &registry);
    let partial = || {
        let ingest = dir.path().join("ingest");
        let sizes = fs_err::read_dir(ingest).into_iter().flatten();
        sizes.filter_map(|entry| Some(entry.ok()?.metadata().ok()?.len())).max().unwrap_or(0)
    };
    let begun = Instant::now();
    while partial() < 190_000 {
        assert!(begun.elapsed() < Duration::from_secs(30), "{}", partial());
        std::thread::yield_now();
    }
    // Another one, at the same time, waits for it and shows its progress as its own.
    let waiting = Recorder::default();
    let store = ImageStore::open(dir.path()).unwrap();
    let name = registry.name("a/b:v1");
    std::thread::scope(|scope| {
        let second = scope.spawn(|| store.pull(&name, &options(), &waiting));
        while waiting.furthest() < 190_000 {
            assert!(begun.elapsed() < Duration::from_secs(60));
            std::thread::yield_now();
        }
        // The first is killed: the second takes over where it was.
        first.kill().unwrap();
        first.wait().unwrap();
        registry.go_on();
        second.join().unwrap().unwrap();
    });
    let ranges: Vec<u64> = registry
        .requests_for("/blobs/")
        .into_iter()
        .filter_map(|request| {
            request.headers.get("range")?.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()
        })
        .collect();
    assert_eq!(ranges.len(), 1);
    assert!(ranges[0] >= 190_000, "{ranges:?}");
}

#[test]
fn what_was_left_damaged_is_downloaded_anew() {
    let registry = Registry::start(Behaviour { ranges: true, ..Behaviour::default() });
    let image = TestImage::new(Form::OciPlain, &[tar(&[("noise", &noise(), 0o644)])]);
    registry.push("v1", &image);
    let dir = tempfile::tempdir().unwrap();
    let store = ImageStore::open(dir.path()).unwrap();
    let layer = &image.blobs[0];
    let part = dir.path().join("ingest").join(Digest::of(layer).hex());
    for left in [vec![0; 1000], vec![7; layer.len()], vec![7; layer.len() + 1]] {
        fs_err::write(&part, left).unwrap();
        let pulled = store.pull(&registry.name("a/b:v1"), &options(), &Silent).unwrap();
        assert!(pulled.layers[0].join("noise").exists());
        fs_err::remove_file(dir.path().join("content/sha256").join(Digest::of(layer).hex()))
            .unwrap();
    }
}

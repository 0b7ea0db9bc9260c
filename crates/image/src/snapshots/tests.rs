//! What a snapshot keeps, that it can be had again from its blobs alone, and how it goes.

use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt, symlink};

use fs_err as fs;
use rustix::fs::{FileType, Mode, XattrFlags};

use super::*;
use crate::gc::Pruned;
use crate::overlay_notes::notes;
use crate::root::is_whiteout;

const DAY: i64 = 24 * 60 * 60;
const TTL: Duration = Duration::from_secs(30 * 24 * 60 * 60);

struct Fixture {
    _dir: tempfile::TempDir,
    upper: PathBuf,
    snapshots: Snapshots,
    /// An image with `/base`.
    image: Digest,
}

fn archive(files: &[(&str, &str)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, text) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, path, text.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap()
}

fn directory(snapshots: &Snapshots, id: &str, files: &[(&str, &str)]) -> Snapshot {
    let mut upload = snapshots.store().upload(1 << 20).unwrap();
    upload.write(&archive(files)).unwrap();
    let origin = Origin { path: Some("/data".into()), created: 5, ..Origin::default() };
    snapshots.keep_directory(id, upload, UnpackLimits::default(), &origin).unwrap()
}

fn fixture() -> Option<Fixture> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let dir = tempfile::tempdir().unwrap();
    let store = ImageStore::open(dir.path().join("store")).unwrap();
    let snapshots = Snapshots::new(store, "abc123");
    let image = directory(&snapshots, "base", &[("base", "of the image")]).digest;
    let upper = dir.path().join("upper");
    fs::create_dir(&upper).unwrap();
    Some(Fixture { _dir: dir, upper, snapshots, image })
}

impl Fixture {
    fn snapshot(&self, id: &str, excluded: &[&str]) -> Snapshot {
        let upper = Root::open(&self.upper).unwrap();
        let excluded: Vec<PathBuf> = excluded.iter().map(PathBuf::from).collect();
        let captured = self.snapshots.capture(upper.as_fd(), &excluded).unwrap();
        let origin = Origin { application: Some("app".into()), created: 9, ..Origin::default() };
        self.snapshots.keep_container(id, captured, &self.image, &origin).unwrap()
    }
}

/// Everything overlayfs and programs may leave in an upper directory.
fn fill(upper: &Path) {
    fs::create_dir_all(upper.join("dir/sub")).unwrap();
    fs::write(upper.join("dir/sub/file"), "text").unwrap();
    fs::set_permissions(upper.join("dir/sub/file"), PermissionsExt::from_mode(0o4711)).unwrap();
    std::os::unix::fs::chown(upper.join("dir/sub"), Some(1000), Some(1001)).unwrap();
    fs::hard_link(upper.join("dir/sub/file"), upper.join("second-name")).unwrap();
    symlink("dir/sub/file", upper.join("link")).unwrap();
    let root = Root::open(upper).unwrap();
    let (whiteout, mode) = (FileType::CharacterDevice, Mode::empty());
    rustix::fs::mknodat(&root, "removed", whiteout, mode, 0).unwrap();
    rustix::fs::mknodat(&root, "fifo", FileType::Fifo, Mode::from_raw_mode(0o620), 0).unwrap();
    fs::create_dir(upper.join("opaque")).unwrap();
    let set = |name: &str, key: &str, value: &[u8]| {
        rustix::fs::setxattr(upper.join(name), key, value, XattrFlags::empty()).unwrap();
    };
    set("opaque", notes().opaque, b"y");
    set("dir", "trusted.overlay.impure", b"y");
    set("dir/sub/file", "user.note", b"kept");
    let sparse = fs::File::create(upper.join("sparse")).unwrap();
    sparse.set_len(64 << 20).unwrap();
    std::os::unix::fs::FileExt::write_all_at(sparse.file(), b"end", (64 << 20) - 3).unwrap();
    let _listener = std::os::unix::net::UnixListener::bind(upper.join("socket")).unwrap();
    fs::create_dir(upper.join("mounted")).unwrap();
    fs::write(upper.join("mounted/file"), "of a volume").unwrap();
}

fn assert_filled(layer: &Path) {
    let file = fs::metadata(layer.join("dir/sub/file")).unwrap();
    assert_eq!((file.mode() & 0o7777, file.nlink()), (0o4711, 2));
    assert_eq!(fs::metadata(layer.join("second-name")).unwrap().ino(), file.ino());
    assert_eq!(fs::metadata(layer.join("dir/sub")).unwrap().uid(), 1000);
    assert_eq!(fs::read_link(layer.join("link")).unwrap(), Path::new("dir/sub/file"));
    assert!(is_whiteout(&rustix::fs::lstat(layer.join("removed")).unwrap()));
    assert!(fs::symlink_metadata(layer.join("fifo")).unwrap().file_type().is_fifo());
    let mut value = [0; 16];
    let mut get = |name: &str, key: &str| {
        let count = rustix::fs::getxattr(layer.join(name), key, &mut value);
        count.map(|count| value[..count].to_vec())
    };
    assert_eq!(get("opaque", notes().opaque).unwrap(), b"y");
    assert_eq!(get("dir/sub/file", "user.note").unwrap(), b"kept");
    assert!(get("dir", "trusted.overlay.impure").is_err());
    let sparse = fs::metadata(layer.join("sparse")).unwrap();
    assert_eq!(sparse.len(), 64 << 20);
    assert!(sparse.blocks() * 512 < 1 << 20, "its holes take no space");
    assert!(fs::read(layer.join("sparse")).unwrap().ends_with(b"\0end"));
    assert!(!layer.join("socket").exists() && !layer.join("mounted").exists());
}

#[test]
fn a_containers_writes_become_one_layer_above_its_image() {
    let Some(fixture) = fixture() else { return };
    fill(&fixture.upper);
    let snapshot = fixture.snapshot("c1", &["mounted"]);
    assert!(snapshot.own_size < 1 << 20, "{}", snapshot.own_size);
    assert_eq!(snapshot.origin.application.as_deref(), Some("app"));
    let image = fixture.snapshots.restore(&snapshot).unwrap().unwrap();
    assert_eq!(image.layers.len(), 2);
    assert_filled(&image.layers[0]);
    assert!(image.layers[1].join("base").exists());
    // The container goes on with what it has.
    assert!(fixture.upper.join("mounted/file").exists());
    let mut value = [0; 1];
    rustix::fs::getxattr(fixture.upper.join("dir"), "trusted.overlay.impure", &mut value).unwrap();
}

#[test]
fn a_snapshot_can_be_unpacked_again_from_its_blobs() {
    let Some(fixture) = fixture() else { return };
    fill(&fixture.upper);
    let snapshot = fixture.snapshot("c1", &["mounted"]);
    let image = fixture.snapshots.restore(&snapshot).unwrap().unwrap();
    fs::remove_dir_all(&image.layers[0]).unwrap();
    let again = fixture.snapshots.restore(&snapshot).unwrap().unwrap();
    assert_eq!(again, image);
    assert_filled(&again.layers[0]);
}

#[test]
fn equal_writes_are_stored_once() {
    let Some(fixture) = fixture() else { return };
    fs::write(fixture.upper.join("a"), "same").unwrap();
    let layers = |snapshot: &Snapshot| fixture.snapshots.restore(snapshot).unwrap().unwrap().layers;
    assert_eq!(layers(&fixture.snapshot("c1", &[])), layers(&fixture.snapshot("c2", &[])));
}

#[test]
fn a_device_node_is_refused_by_name() {
    let Some(fixture) = fixture() else { return };
    let root = Root::open(&fixture.upper).unwrap();
    rustix::fs::mknodat(&root, "null", FileType::CharacterDevice, Mode::empty(), 0x103).unwrap();
    let error = fixture.snapshots.capture(root.as_fd(), &[]).unwrap_err().to_string();
    assert!(error.contains("null") && error.contains("device"), "{error}");
}

#[test]
fn a_directorys_snapshot_keeps_names_that_look_like_whiteouts() {
    let Some(fixture) = fixture() else { return };
    let snapshot = directory(&fixture.snapshots, "d1", &[(".wh.x", "plain"), ("y", "z")]);
    let image = fixture.snapshots.restore(&snapshot).unwrap().unwrap();
    assert_eq!(fs::read_to_string(image.layers[0].join(".wh.x")).unwrap(), "plain");
    assert_eq!(snapshot.origin.path.as_deref(), Some("/data"));
}

#[test]
fn each_project_sees_its_own() {
    let Some(fixture) = fixture() else { return };
    fixture.snapshot("c1", &[]);
    let other = Snapshots::new(fixture.snapshots.store().clone(), "def456");
    assert_eq!(other.list().unwrap(), []);
    assert_eq!(other.find(SnapshotKind::Container, "c1").unwrap(), None);
    assert_eq!(fixture.snapshots.list().unwrap().len(), 2);
    for id in ["", "../x", "C1", "a/b", "a:b"] {
        assert_eq!(fixture.snapshots.find(SnapshotKind::Container, id).unwrap(), None, "{id}");
    }
}

#[test]
fn what_nobody_used_for_thirty_days_is_gone_and_a_restore_counts_anew() {
    let Some(fixture) = fixture() else { return };
    let snapshot = fixture.snapshot("c1", &[]);
    let expire = |days| fixture.snapshots.expire(snapshot.used + days * DAY, TTL, &[]).unwrap();
    assert_eq!(expire(29), []);
    fixture.snapshots.restore(&snapshot).unwrap().unwrap();
    assert!(fixture.snapshots.find(snapshot.kind, "c1").unwrap().unwrap().used >= snapshot.used);
    assert_eq!(expire(31).len(), 2);
    assert_eq!(fixture.snapshots.list().unwrap(), []);
}

#[test]
fn removing_one_leaves_what_others_and_running_instances_need() {
    let Some(fixture) = fixture() else { return };
    fs::write(fixture.upper.join("a"), "1").unwrap();
    let first = fixture.snapshot("c1", &[]);
    fs::write(fixture.upper.join("a"), "2").unwrap();
    let second = fixture.snapshot("c2", &[]);
    let layer = |snapshot: &Snapshot| {
        fixture.snapshots.store().image_by_digest(&snapshot.digest).unwrap().unwrap().layers
    };
    let (of_first, of_second) = (layer(&first), layer(&second));
    let remove = |id, running: &[Digest]| {
        fixture.snapshots.remove(SnapshotKind::Container, id, running).unwrap()
    };
    let pruned = remove("c1", &[]).unwrap();
    assert_eq!((pruned.blobs, pruned.snapshots), (3, 1), "manifest, config, layer");
    assert!(!of_first[0].exists() && of_second[0].exists() && of_second[1].exists());
    assert_eq!(remove("c1", &[]), None);
    assert_eq!(remove("c2", std::slice::from_ref(&second.digest)).unwrap(), Pruned::default());
    assert!(of_second[0].exists(), "an instance runs on it");
}

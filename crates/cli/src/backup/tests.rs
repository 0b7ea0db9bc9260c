//! A restore changes everything or nothing, also when it is cut off.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use fs_err as fs;

use super::take_up::cut_off_after;
use super::*;

/// An archive with these files, whose content is their names.
fn archive_of(folder: &Path, paths: &[&str]) -> PathBuf {
    let head = Head {
        format: FORMAT,
        berth: "1.0.0".into(),
        created_at: Timestamp::UNIX_EPOCH,
        keys: false,
        images: true,
    };
    let mut writer = Writer::begin(Vec::new(), head).unwrap();
    for path in paths {
        let text = format!("new {path}");
        writer.add(path, text.len() as u64, text.as_bytes()).unwrap();
    }
    let path = folder.join("archive");
    fs::write(&path, writer.finish().unwrap().0).unwrap();
    path
}

const RECORDS: &str = "db/control.sqlite";

fn archive(folder: &Path) -> PathBuf {
    archive_of(folder, &[RECORDS, "objects/a/b.sqlite"])
}

fn restore_into(data: &Path, archive: &Path, replace: bool) -> Result<Restored, CliError> {
    let permitted = Permitted { key: None, replace };
    restore(archive, &Folders::under(data), permitted).map(|(_, restored)| restored)
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> =
        entries.map(|it| it.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Every file below a folder with its content, but for the lock.
fn contents(data: &Path) -> Vec<(String, String)> {
    let all = gather::files(data).unwrap();
    let all = all.iter().filter(|path| !path.ends_with("run/lock"));
    let below = |path: &PathBuf| path.strip_prefix(data).unwrap().display().to_string();
    all.map(|path| (below(path), fs::read_to_string(path).unwrap())).collect()
}

fn write(data: &Path, path: &str, text: &str) {
    let path = data.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

#[test]
fn everything_is_there_and_its_owners_alone() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("new/data");
    assert_eq!(restore_into(&data, &archive(folder.path()), false).unwrap(), Restored::Done);
    assert_eq!(names(&data), ["db", "objects"]);
    let file = data.join(RECORDS);
    assert_eq!(fs::read_to_string(&file).unwrap(), "new db/control.sqlite");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(data.join("db")).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn a_damaged_archive_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let archive = archive(folder.path());
    let mut bytes = fs::read(&archive).unwrap();
    bytes.truncate(2000);
    fs::write(&archive, bytes).unwrap();
    let (new, empty) = (folder.path().join("new"), folder.path().join("empty"));
    fs::create_dir(&empty).unwrap();
    assert!(restore_into(&new, &archive, false).is_err());
    assert!(restore_into(&empty, &archive, false).is_err());
    assert!(!new.exists());
    assert_eq!(names(&empty), [""; 0]);
}

#[test]
fn what_may_not_be_replaced_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let archive = archive(folder.path());
    let data = folder.path().join("data");
    write(&data, "precious", "");
    for replace in [false, true] {
        let error = format!("{:?}", restore_into(&data, &archive, replace).unwrap_err());
        assert!(error.contains("precious"), "{error}");
    }
    write(&data, RECORDS, "old");
    let error = format!("{:?}", restore_into(&data, &archive, false).unwrap_err());
    assert!(error.contains("--replace"), "{error}");
    let expected = [(RECORDS, "old"), ("precious", "")];
    assert_eq!(contents(&data), expected.map(|(path, text)| (path.into(), text.into())));
}

#[test]
fn what_a_killed_one_has_left_is_no_obstacle() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    write(&data, "restoring/half", "");
    restore_into(&data, &archive(folder.path()), false).unwrap();
    assert_eq!(names(&data), ["db", "objects"]);
}

/// A platform, and an archive to take its place.
fn platform(folder: &Path) -> (PathBuf, PathBuf) {
    let data = folder.join("data");
    fs::create_dir_all(data.join("run")).unwrap();
    for path in [
        RECORDS,
        "db/control.sqlite-wal",
        "db/secrets.key",
        "workers/modules/x",
        "objects/a/b.sqlite",
        "images/images/x",
        "images/content/sha256/old",
        "images/content/sha256/both",
        "registry/key",
    ] {
        write(&data, path, "old");
    }
    let names = [
        RECORDS,
        "images/images/y",
        "images/content/sha256/both",
        "images/content/sha256/new",
        "registry/key",
    ];
    (data, archive_of(folder, &names))
}

const REPLACED: [(&str, &str); 11] = [
    (RECORDS, "new db/control.sqlite"),
    ("db/secrets.key", "old"),
    ("images/content/sha256/both", "new images/content/sha256/both"),
    ("images/content/sha256/new", "new images/content/sha256/new"),
    ("images/content/sha256/old", "old"),
    ("images/images/y", "new images/images/y"),
    ("registry/key", "new registry/key"),
    ("replaced/db/control.sqlite", "old"),
    ("replaced/db/control.sqlite-wal", "old"),
    ("replaced/images/images/x", "old"),
    ("replaced/objects/a/b.sqlite", "old"),
];
const REPLACED_TOO: [(&str, &str); 2] =
    [("replaced/registry/key", "old"), ("replaced/workers/modules/x", "old")];

fn expected() -> Vec<(String, String)> {
    let all = REPLACED.into_iter().chain(REPLACED_TOO);
    all.map(|(path, text)| (path.into(), text.into())).collect()
}

/// Key and records are no real ones, so nothing is looked at in them.
fn take_the_place(data: &Path, archive: &Path) -> Result<(), CliError> {
    let folders = Folders::under(data);
    restore::unpack_to(archive, &take_up::now(&folders)).unwrap();
    finish(&folders)
}

#[test]
fn a_platform_is_replaced_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (data, archive) = platform(folder.path());
    take_the_place(&data, &archive).unwrap();
    assert_eq!(contents(&data), expected());
}

#[test]
fn wherever_it_is_cut_off_the_next_start_goes_on() {
    let whole = |steps: usize| {
        let folder = tempfile::tempdir().unwrap();
        let (data, archive) = platform(folder.path());
        cut_off_after(Some(steps));
        let cut_off = take_the_place(&data, &archive).is_err();
        cut_off_after(None);
        finish(&Folders::under(&data)).unwrap();
        assert_eq!(contents(&data), expected(), "after {steps} steps");
        !cut_off
    };
    let steps = (0..100).find(|steps| whole(*steps)).expect("it has an end");
    assert!(steps > 10, "{steps}");
}

#[test]
fn one_that_waits_is_not_overtaken() {
    let folder = tempfile::tempdir().unwrap();
    let (data, archive) = platform(folder.path());
    let folders = Folders::under(&data);
    fs::create_dir(next(&folders)).unwrap();
    let error = format!("{:?}", restore_into(&data, &archive, true).unwrap_err());
    assert!(error.contains("a restore waits"), "{error}");
    accept(&folders).unwrap();
    assert!(take_up::now(&folders).exists() && !next(&folders).exists());
}

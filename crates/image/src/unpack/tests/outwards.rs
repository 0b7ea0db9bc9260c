//! Archives that want out of the root.

use std::os::unix::fs::symlink;
use std::path::Path;

use proptest::prelude::*;
use tar::{EntryType, Header};

use super::{Archive, Place, mode};
use crate::error::UnpackError;

#[test]
fn dot_dot_in_a_path_is_refused() {
    for path in ["../outside/x", "a/../../outside/x", "/../outside/x", "a/.."] {
        let error = Place::new().unpack(Archive::default().file(path, "x")).unwrap_err();
        assert!(matches!(error, UnpackError::Path { .. }), "{path}: {error}");
        assert!(error.to_string().contains(path), "{error}");
    }
}

#[test]
fn an_absolute_path_is_taken_from_the_root() {
    let place = Place::new();
    place.unpack(Archive::default().file("/etc/passwd", "mine")).unwrap();
    assert_eq!(fs_err::read_to_string(place.root("etc/passwd")).unwrap(), "mine");
}

#[test]
fn a_long_absolute_pax_path_stays_inside_too() {
    let place = Place::new();
    let path = format!("{}/x", place.outside());
    let archive = Archive::default().pax(&[("path", path.as_bytes())]).file("short", "x");
    place.unpack(archive).unwrap();
    assert!(place.root(path.trim_start_matches('/')).exists());
}

#[test]
fn a_file_below_an_absolute_symlink_stays_inside() {
    let place = Place::new();
    let out = place.outside();
    let archive = Archive::default().symlink("evil", &out).file("evil/x", "x");
    // Inside the root there is no such directory: nothing to write to.
    assert!(place.unpack(archive).is_err());
    let place = Place::new();
    let archive = Archive::default().dir("real").symlink("link", "/real").file("link/x", "x");
    place.unpack(archive).unwrap();
    assert!(place.root("real/x").exists());
}

#[test]
fn a_file_below_a_symlink_that_climbs_stays_inside() {
    let place = Place::new();
    let archive = Archive::default()
        .dir("a")
        .symlink("a/up", "../../../../../../..")
        .file("a/up/outside/x", "x");
    place.unpack(archive).unwrap();
    assert!(place.root("outside/x").exists());
}

#[test]
fn a_chain_of_symlinks_stays_inside() {
    let place = Place::new();
    let archive = Archive::default()
        .symlink("one", "two")
        .symlink("two", "../outside")
        .dir("outside")
        .file("one/x", "x");
    place.unpack(archive).unwrap();
    assert!(place.root("outside/x").exists());
}

#[test]
fn a_file_replaces_a_symlink_and_does_not_write_through_it() {
    let place = Place::new();
    let secret = format!("{}/secret", place.outside());
    let archive = Archive::default().symlink("x", &secret).file("x", "mine");
    place.unpack(archive).unwrap();
    assert!(fs_err::symlink_metadata(place.root("x")).unwrap().is_file());
}

#[test]
fn a_directory_replaces_a_symlink_and_does_not_change_what_it_points_to() {
    let place = Place::new();
    let out = place.outside();
    let before = mode(Path::new(&out));
    let mut header = Header::new_gnu();
    header.as_old_mut().name[0] = b'd';
    header.set_entry_type(EntryType::Directory);
    header.set_mode(0o7777);
    header.set_size(0);
    place.unpack(Archive::default().symlink("d", &out).append(header, b"")).unwrap();
    assert!(fs_err::symlink_metadata(place.root("d")).unwrap().is_dir());
    assert_eq!(mode(Path::new(&out)), before);
}

#[test]
fn a_symlink_that_was_in_the_root_before_leads_nowhere() {
    let place = Place::new();
    symlink(place.outside(), place.root("planted")).unwrap();
    assert!(place.unpack(Archive::default().file("planted/x", "x")).is_err());
}

#[test]
fn a_directory_swapped_for_a_symlink_between_entries_leads_nowhere() {
    let place = Place::new();
    let archive = Archive::default()
        .dir("d")
        .file("d/a", "a")
        .symlink("d", &place.outside())
        .file("d/b", "b");
    assert!(place.unpack(archive).is_err());
}

#[test]
fn hard_links_to_the_outside_are_refused() {
    let place = Place::new();
    let secret = format!("{}/secret", place.outside());
    let archive = Archive::default().link("x", &secret);
    let error = place.unpack(archive).unwrap_err();
    assert!(matches!(error, UnpackError::HardLink { .. }), "{error}");
    let error = place.unpack(Archive::default().link("x", "../outside/secret")).unwrap_err();
    assert!(matches!(error, UnpackError::Path { .. }), "{error}");
}

#[test]
fn hard_links_through_symlinks_to_the_outside_are_refused() {
    let place = Place::new();
    let archive = Archive::default().symlink("door", &place.outside()).link("x", "door/secret");
    assert!(matches!(place.unpack(archive), Err(UnpackError::HardLink { .. })));
    let secret = format!("{}/secret", place.outside());
    // A link to a symlink is a second symlink, not a link to what it points to.
    place.unpack(Archive::default().symlink("s", &secret).link("x", "s")).unwrap();
    assert!(fs_err::symlink_metadata(place.root("x")).unwrap().is_symlink());
}

#[test]
fn hard_links_to_directories_and_whiteouts_are_refused() {
    for archive in [
        Archive::default().dir("d").link("x", "d"),
        Archive::default().file(".wh.gone", "").link("x", "gone"),
        Archive::default().link("x", "missing"),
    ] {
        let error = Place::new().unpack(archive).unwrap_err();
        assert!(matches!(error, UnpackError::HardLink { .. }), "{error}");
    }
}

#[test]
fn devices_are_refused_by_name_and_number() {
    let mut header = Header::new_gnu();
    header.as_old_mut().name[..4].copy_from_slice(b"disk");
    header.set_entry_type(EntryType::Block);
    header.set_device_major(8).unwrap();
    header.set_device_minor(1).unwrap();
    header.set_size(0);
    let error = Place::new().unpack(Archive::default().append(header, b"")).unwrap_err();
    assert_eq!(error.to_string(), "entry \"disk\" is refused: it is a block device (8:1)");
    // A device 0:0 would be a whiteout to overlayfs; only `.wh.` makes those.
    let null = Archive::default().entry(EntryType::Char, "null", "", b"");
    assert!(matches!(Place::new().unpack(null), Err(UnpackError::Device { .. })));
}

/// Entries that play with the same few names, links and whiteouts.
fn entries() -> impl Strategy<Value = Vec<(u8, String, String)>> {
    let name = prop::sample::select(vec![
        "a",
        "b",
        "a/b",
        "a/b/c",
        "b/a",
        ".wh.a",
        "a/.wh.b",
        "a/.wh..wh..opq",
        "./",
        "/",
        "..",
        "../outside/secret",
        "a/../b",
    ]);
    let link = prop::sample::select(vec![
        "a",
        "b",
        "..",
        "../outside",
        "/",
        "../../outside/secret",
        "a/b",
        ".",
        "b/../../outside",
    ]);
    let kind = prop::sample::select(b"0125637gLSxV".to_vec());
    let entry = (kind, name, link).prop_map(|(kind, name, link)| (kind, name.into(), link.into()));
    prop::collection::vec(entry, 0..12)
}

proptest! {
    #[test]
    fn no_archive_reaches_the_outside(entries in entries()) {
        let place = Place::new();
        let mut archive = Archive::default();
        for (kind, name, link) in entries {
            let content: &[u8] = if kind == b'0' { b"content" } else { b"" };
            archive = archive.entry(EntryType::new(kind), &name, &link, content);
        }
        let _ = place.unpack(archive);
    }
}

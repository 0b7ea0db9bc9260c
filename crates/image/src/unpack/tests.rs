//! Archives that lie, and what honest ones become.

mod outwards;

use std::io::Write as _;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::PathBuf;

use proptest::prelude::*;
use tar::{EntryType, Header};

use super::*;

/// An archive written entry by entry, with names no honest writer accepts.
#[derive(Default)]
struct Archive(Vec<u8>);

impl Archive {
    fn entry(self, kind: EntryType, path: &str, link: &str, content: &[u8]) -> Self {
        let mut header = Header::new_gnu();
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(if kind == EntryType::Directory { 0o755 } else { 0o644 });
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_000_000_000);
        header.set_size(content.len() as u64);
        self.append(header, content)
    }

    fn append(mut self, mut header: Header, content: &[u8]) -> Self {
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
        self.0.extend_from_slice(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    fn pax(self, records: &[(&str, &[u8])]) -> Self {
        let mut builder = tar::Builder::new(Vec::new());
        builder.append_pax_extensions(records.iter().copied()).unwrap();
        let mut bytes = builder.into_inner().unwrap();
        bytes.truncate(bytes.len() - 1024);
        Self([self.0, bytes].concat())
    }

    fn file(self, path: &str, content: &str) -> Self {
        self.entry(EntryType::Regular, path, "", content.as_bytes())
    }

    fn dir(self, path: &str) -> Self {
        self.entry(EntryType::Directory, path, "", b"")
    }

    fn symlink(self, path: &str, target: &str) -> Self {
        self.entry(EntryType::Symlink, path, target, b"")
    }

    fn link(self, path: &str, target: &str) -> Self {
        self.entry(EntryType::Link, path, target, b"")
    }

    fn bytes(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        self.0
    }
}

/// A root beside a directory that nobody may touch.
struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs_err::create_dir(dir.path().join("root")).unwrap();
        fs_err::create_dir(dir.path().join("outside")).unwrap();
        fs_err::write(dir.path().join("outside/secret"), "secret").unwrap();
        Self { dir }
    }

    fn root(&self, path: &str) -> PathBuf {
        self.dir.path().join("root").join(path)
    }

    fn outside(&self) -> String {
        self.dir.path().join("outside").display().to_string()
    }

    fn unpack(&self, archive: Archive) -> Result<(), UnpackError> {
        self.unpack_bytes(&archive.bytes(), |_| {})
    }

    fn unpack_bytes(
        &self,
        bytes: &[u8],
        change: impl FnOnce(&mut Unpack<'_>),
    ) -> Result<(), UnpackError> {
        let place = self.root("");
        let mut options = Unpack {
            place: &place,
            prefix: Path::new(""),
            whiteouts: true,
            owner: None,
            ids: None,
            limits: UnpackLimits::default(),
            cancelled: &|| false,
        };
        change(&mut options);
        let result = unpack(bytes, &Root::open(&place).unwrap(), &options);
        self.assert_outside_is_untouched();
        result
    }

    fn assert_outside_is_untouched(&self) {
        let outside = self.dir.path().join("outside");
        let names: Vec<_> = fs_err::read_dir(&outside).unwrap().collect();
        assert_eq!(names.len(), 1);
        assert_eq!(fs_err::read_to_string(outside.join("secret")).unwrap(), "secret");
        assert_eq!(fs_err::metadata(outside.join("secret")).unwrap().nlink(), 1);
        assert_eq!(fs_err::read_dir(self.dir.path()).unwrap().count(), 2);
    }
}

fn mode(path: &Path) -> u32 {
    fs_err::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

fn opaque(path: &Path) -> bool {
    let mut buffer = [0; 8];
    rustix::fs::getxattr(path, crate::overlay_notes::notes().opaque, &mut buffer)
        .is_ok_and(|n| &buffer[..n] == b"y")
}

fn is_whiteout(path: &Path) -> bool {
    let metadata = fs_err::symlink_metadata(path).unwrap();
    metadata.file_type().is_char_device() && metadata.rdev() == 0
}

#[test]
fn whiteouts_become_those_of_overlayfs() {
    let place = Place::new();
    let archive = Archive::default()
        .dir("etc")
        .file("etc/.wh.passwd", "")
        .dir("var")
        .file("var/.wh..wh..opq", "")
        .file("var/.wh..wh.plnk", "");
    place.unpack(archive).unwrap();
    assert!(is_whiteout(&place.root("etc/passwd")));
    assert!(opaque(&place.root("var")));
    assert_eq!(fs_err::read_dir(place.root("var")).unwrap().count(), 0);
}

#[test]
fn a_whiteout_hides_lower_layers_and_not_its_own() {
    let place = Place::new();
    let archive = Archive::default()
        .dir("kept")
        .file("kept/a", "a")
        .file(".wh.kept", "")
        .file(".wh.again", "")
        .dir("again")
        .file("file", "f")
        .file(".wh.file", "");
    place.unpack(archive).unwrap();
    assert!(place.root("kept/a").exists() && opaque(&place.root("kept")));
    assert!(place.root("again").is_dir() && opaque(&place.root("again")));
    assert_eq!(fs_err::read_to_string(place.root("file")).unwrap(), "f");
}

#[test]
fn whiteouts_of_no_name_are_refused() {
    for name in [".wh.", ".wh..", ".wh...", "a/.wh..."] {
        let error = Place::new().unpack(Archive::default().file(name, "")).unwrap_err();
        assert!(matches!(error, UnpackError::Path { .. }), "{name}: {error}");
    }
}

#[test]
fn owner_mode_time_and_capabilities_are_kept() {
    let place = Place::new();
    // cap_net_bind_service=ep, revision 2.
    let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let mut header = Header::new_gnu();
    header.as_old_mut().name[..2].copy_from_slice(b"su");
    header.set_entry_type(EntryType::Regular);
    header.set_mode(0o4755);
    header.set_uid(1234);
    header.set_gid(5678);
    header.set_mtime(1_000_000_000);
    header.set_size(2);
    let archive = Archive::default()
        .pax(&[
            ("SCHILY.xattr.security.capability", &capability),
            ("SCHILY.xattr.trusted.overlay.redirect", b"/etc"),
            ("mtime", b"1000000000.25"),
        ])
        .append(header, b"hi");
    place.unpack(archive).unwrap();
    let metadata = fs_err::metadata(place.root("su")).unwrap();
    assert_eq!((metadata.uid(), metadata.gid()), (1234, 5678));
    assert_eq!(metadata.mode() & 0o7777, 0o4755);
    assert_eq!((metadata.mtime(), metadata.mtime_nsec()), (1_000_000_000, 250_000_000));
    let mut buffer = [0; 64];
    let count = rustix::fs::getxattr(place.root("su"), "security.capability", &mut buffer).unwrap();
    assert_eq!(buffer[..count], capability);
    let redirect = rustix::fs::getxattr(place.root("su"), "trusted.overlay.redirect", &mut buffer);
    assert!(redirect.is_err());
}

#[test]
fn directories_keep_their_times_although_files_come_after_them() {
    let place = Place::new();
    place.unpack(Archive::default().dir("./").dir("d").file("d/x", "x")).unwrap();
    for path in ["", "d"] {
        assert_eq!(fs_err::metadata(place.root(path)).unwrap().mtime(), 1_000_000_000, "{path}");
    }
}

#[test]
fn links_fifos_and_repeated_entries_come_out_as_written() {
    let place = Place::new();
    let archive = Archive::default()
        .file("a", "old")
        .file("a", "new")
        .link("b", "./a")
        .link("b", "a")
        .link("a", "a")
        .symlink("c", "../anything")
        .entry(EntryType::Fifo, "p", "", b"");
    place.unpack(archive).unwrap();
    assert_eq!(fs_err::read_to_string(place.root("b")).unwrap(), "new");
    assert_eq!(fs_err::metadata(place.root("a")).unwrap().nlink(), 2);
    assert_eq!(fs_err::read_link(place.root("c")).unwrap(), Path::new("../anything"));
    assert!(fs_err::symlink_metadata(place.root("p")).unwrap().file_type().is_fifo());
}

#[test]
fn an_archive_for_add_goes_below_its_prefix_with_its_own_names() {
    let place = Place::new();
    fs_err::create_dir(place.root("real")).unwrap();
    symlink("/real", place.root("app")).unwrap();
    let bytes = Archive::default().dir("./").file("./.wh.x", "x").link("y", ".wh.x").bytes();
    place
        .unpack_bytes(&bytes, |options| {
            options.prefix = Path::new("app");
            options.whiteouts = false;
            options.owner = Some((7, 8));
        })
        .unwrap();
    let metadata = fs_err::metadata(place.root("real/.wh.x")).unwrap();
    assert_eq!((metadata.uid(), metadata.gid(), metadata.nlink()), (7, 8, 2));
}

#[test]
fn too_many_bytes_or_entries_are_refused() {
    let bytes = Archive::default().file("a", &"x".repeat(4000)).bytes();
    let limit = |bytes, entries| {
        move |options: &mut Unpack<'_>| options.limits = UnpackLimits { bytes, entries }
    };
    let error = Place::new().unpack_bytes(&bytes, limit(3000, 10)).unwrap_err();
    assert!(matches!(error, UnpackError::TooLarge { unit: "bytes", .. }), "{error}");
    let bytes = Archive::default().file("a", "").file("b", "").file("c", "").bytes();
    let error = Place::new().unpack_bytes(&bytes, limit(1 << 20, 2)).unwrap_err();
    assert!(matches!(error, UnpackError::TooLarge { unit: "entries", .. }), "{error}");
}

#[test]
fn an_endless_header_does_not_fill_the_memory() {
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::GNULongName);
    header.set_size(8 * 1024 * 1024);
    header.set_cksum();
    let archive = Archive::default().append(header, &vec![b'a'; 8 * 1024 * 1024]).file("x", "");
    let error = Place::new().unpack(archive).unwrap_err();
    assert!(error.to_string().contains("headers"), "{error}");
}

#[test]
fn a_cut_off_archive_is_damaged() {
    let bytes = Archive::default().file("a", &"x".repeat(4000)).bytes();
    let error = Place::new().unpack_bytes(&bytes[..2000], |_| {}).unwrap_err();
    assert!(matches!(error, UnpackError::Archive { .. }), "{error}");
}

#[test]
fn unpacking_stops_when_cancelled() {
    let bytes = Archive::default().file("a", "a").bytes();
    let error = Place::new().unpack_bytes(&bytes, |options| options.cancelled = &|| true);
    assert!(matches!(error, Err(UnpackError::Cancelled)));
}

#[test]
fn all_three_compressions_are_told_apart() {
    let plain = Archive::default().file("a", "content").bytes();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&plain).unwrap();
    for bytes in [plain.clone(), gzip.finish().unwrap(), zstd::encode_all(&plain[..], 1).unwrap()] {
        let place = Place::new();
        let mut uncompressed = Vec::new();
        decompress(&bytes[..]).unwrap().read_to_end(&mut uncompressed).unwrap();
        place.unpack_bytes(&uncompressed, |_| {}).unwrap();
        assert_eq!(fs_err::read_to_string(place.root("a")).unwrap(), "content");
    }
}

proptest! {
    #[test]
    fn a_damaged_archive_never_panics(
        position in 0_usize..3000,
        bytes in prop::collection::vec(any::<u8>(), 1..40),
    ) {
        let mut archive =
            Archive::default().dir("d").file("d/x", "content").symlink("s", "d").bytes();
        for (offset, byte) in bytes.iter().enumerate() {
            if let Some(place) = archive.get_mut(position + offset) {
                *place = *byte;
            }
        }
        let _ = Place::new().unpack_bytes(&archive, |options| {
            options.limits = UnpackLimits { bytes: 1 << 20, entries: 100 };
        });
    }

    #[test]
    fn any_bytes_are_refused_or_unpacked_without_panic(bytes in any::<Vec<u8>>()) {
        let mut plain = Vec::new();
        if let Ok(mut reader) = decompress(&bytes[..]) {
            let _ = reader.by_ref().take(1 << 20).read_to_end(&mut plain);
        }
        let _ = Place::new().unpack_bytes(&plain, |_| {});
    }
}

//! A disk that fills up at any moment of a pull, a build, an import or a new name: it is said, what
//! is left is whole, and with room again the same work succeeds.

use std::fmt::Write as _;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use image::{
    ArchiveFormat, Exported, Image, ImageStore, ImportOptions, Platform, Reference, Silent,
};

use crate::support::builder::{Chroot, Project};
use crate::support::registry::{Behaviour, Registry};
use crate::support::{Form, TestImage, names, noise, options, small_disk_with, tar};

/// What a full disk has none of.
#[derive(Debug, Clone, Copy)]
enum Lacks {
    /// Room for content.
    Pages,
    /// Room for further files and directories.
    Files,
}

const PAGE: u64 = 4096;
/// More than any of the works needs, of pages and of files.
const ENOUGH: u64 = 400;
const PATIENCE: Duration = Duration::from_secs(10);

struct Disk {
    _mount: OwnedFd,
    store: ImageStore,
    filler: PathBuf,
}

impl Disk {
    /// A disk with an empty store, and room for that many pages or files.
    fn with_room(lacks: Lacks, room: u64) -> Self {
        let (mount, path) = small_disk_with(&[("size", "2m"), ("nr_inodes", "500")]);
        let store = ImageStore::open(path.join("store")).unwrap();
        let filler = path.join("filler");
        match lacks {
            Lacks::Pages => {
                let mut file = fs_err::File::create(&filler).unwrap();
                let mut size = 0;
                while file.write_all(&[0; PAGE as usize]).is_ok() {
                    size += PAGE;
                }
                file.set_len(size.checked_sub(room * PAGE).unwrap()).unwrap();
            }
            Lacks::Files => {
                fs_err::create_dir(&filler).unwrap();
                let name = |number: u64| filler.join(number.to_string());
                let full = (0..).find(|number| fs_err::File::create(name(*number)).is_err());
                let full = full.unwrap();
                (full.checked_sub(room).unwrap()..full)
                    .for_each(|number| fs_err::remove_file(name(number)).unwrap());
            }
        }
        Self { _mount: mount, store, filler }
    }

    fn make_room(&self) {
        if self.filler.is_dir() {
            return fs_err::remove_dir_all(&self.filler).unwrap();
        }
        let wanted = self.free_bytes() + fs_err::metadata(&self.filler).unwrap().len();
        fs_err::remove_file(&self.filler).unwrap();
        // What a test beside this one has forked may hold the file until it executes its program.
        let deadline = Instant::now() + PATIENCE;
        while self.free_bytes() < wanted {
            assert!(Instant::now() < deadline, "the filler's room does not come back");
            std::thread::yield_now();
        }
    }

    fn free_bytes(&self) -> u64 {
        let disk = rustix::fs::statvfs(self.store.dir()).unwrap();
        disk.f_bfree * disk.f_frsize
    }

    /// Nothing half-made is there: no session's files, and every blob is what its name says.
    fn assert_is_whole(&self) {
        for session in names(self.store.dir().join("tmp")) {
            assert_eq!(names(self.store.dir().join("tmp").join(session)), ["lock"]);
        }
        let content = self.store.dir().join("content/sha256");
        for name in names(&content) {
            let digest = image::Digest::of(&fs_err::read(content.join(&name)).unwrap());
            assert_eq!(digest.to_string(), format!("sha256:{name}"));
        }
    }
}

/// Does a work on disks with more and more room until it succeeds; gives how many were too small.
fn on_ever_larger_disks<E: std::fmt::Display>(
    lacks: Lacks,
    work: impl Fn(&ImageStore) -> Result<Image, E>,
    hint: impl Fn(&E) -> Option<String>,
) -> u64 {
    for room in 0..ENOUGH {
        let disk = Disk::with_room(lacks, room);
        let error = match work(&disk.store) {
            Ok(image) => {
                assert_is_the_image(&image);
                return room;
            }
            Err(error) => error,
        };
        let mut told = error.to_string();
        let hint = hint(&error);
        write!(told, " ({lacks:?}, room for {room})").unwrap();
        assert!(told.contains("the disk is full"), "{told}");
        assert!(hint.is_some_and(|hint| hint.contains("free space")), "{told}");
        disk.assert_is_whole();
        disk.make_room();
        let image = work(&disk.store).unwrap_or_else(|error| panic!("{error} after: {told}"));
        assert_is_the_image(&image);
        disk.assert_is_whole();
    }
    panic!("it did not succeed with room for {ENOUGH}");
}

fn assert_is_the_image(image: &Image) {
    let [top, bottom] = &image.layers[..] else { panic!("{image:?}") };
    assert_eq!(fs_err::read_to_string(top.join("etc/b")).unwrap(), "b");
    assert_eq!(fs_err::read_to_string(bottom.join("etc/a")).unwrap(), content());
}

/// Some pages that stay as many when compressed.
fn content() -> String {
    noise()[..20_000].to_owned()
}

fn layers() -> [Vec<u8>; 2] {
    [
        tar(&[("etc/", "", 0o755), ("etc/a", &content(), 0o644)]),
        tar(&[("etc/", "", 0o755), ("etc/b", "b", 0o644)]),
    ]
}

#[test]
fn while_pulling() {
    for form in [Form::OciGzip, Form::OciPlain] {
        let registry = Registry::start(Behaviour::default());
        registry.push("v1", &TestImage::new(form, &layers()));
        let name = registry.name("a/b:v1");
        for (lacks, stages) in [(Lacks::Pages, 10), (Lacks::Files, 10)] {
            let pull = |store: &ImageStore| store.pull(&name, &options(), &Silent);
            let small = on_ever_larger_disks(lacks, pull, image::PullError::hint);
            assert!(small >= stages, "{lacks:?}: {small}");
        }
    }
}

#[test]
fn while_building() {
    let project = Project::new(&[("a", &content()), ("b", "b")]);
    project.write("Dockerfile", "FROM scratch\nCOPY a /etc/a\nCOPY b /etc/b\n");
    for (lacks, stages) in [(Lacks::Pages, 10), (Lacks::Files, 10)] {
        let build = |store: &ImageStore| store.build(&project.request(), &Chroot, &Silent);
        let small = on_ever_larger_disks(lacks, build, image::BuildError::hint);
        assert!(small >= stages, "{lacks:?}: {small}");
    }
}

#[test]
fn while_importing() {
    let registry = Registry::start(Behaviour::default());
    let digest = registry.push("v1", &TestImage::new(Form::OciGzip, &layers()));
    let from = tempfile::tempdir().unwrap();
    let from = ImageStore::open(from.path().join("store")).unwrap();
    from.pull(&registry.name("a/b:v1"), &options(), &Silent).unwrap();
    let reference: Reference = "app:1".parse().unwrap();
    let exported = [Exported { digest, references: vec![reference.clone()] }];
    let mut archive = Vec::new();
    from.export(&exported, ArchiveFormat::Oci, &mut archive, &Silent).unwrap();
    for (lacks, stages) in [(Lacks::Pages, 10), (Lacks::Files, 10)] {
        let import = |store: &ImageStore| {
            let options = ImportOptions { platform: Platform::Amd64, ..ImportOptions::default() };
            store.import(&archive[..], &options, &Silent)?;
            Ok(store.image(&reference).unwrap().unwrap())
        };
        let small = on_ever_larger_disks(lacks, import, image::ArchiveError::hint);
        assert!(small >= stages, "{lacks:?}: {small}");
    }
}

//! Layers that one instance alone has: above its image's, they put something at one path.
//!
//! They are how files get into a container before it runs, and how a directory's snapshot is
//! mounted: as layers both are copied when they are written to, count against the instance's disk
//! and need no mount of their own.

use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::Mode;

use crate::copy_tree::{Files, TreeCopy, apply};
use crate::error::{StoreError, UnpackError};
use crate::options::UnpackLimits;
use crate::root::{Root, open_child};
use crate::unpack::{Unpack, set_opaque, unpack};
use crate::view::View;

/// Makes the new directory `into` a layer that adds the files of a tar archive at `path`, above
/// `layers` (topmost first). Directories on the way there that the layers have stay what they are.
///
/// # Errors
/// The archive is damaged or wants out, `path` leads nowhere, or the disk is full.
pub fn inject(
    archive: impl Read,
    layers: &[PathBuf],
    path: &Path,
    into: &Path,
    limits: UnpackLimits,
) -> Result<(), UnpackError> {
    let failed = |source| UnpackError::Write {
        entry: path.display().to_string(),
        path: into.to_owned(),
        source,
    };
    let (root, place) = begin(layers, path, into).map_err(failed)?;
    make(&root, &View::open(layers).map_err(failed)?, &place).map_err(failed)?;
    let options = Unpack {
        place: into,
        prefix: &place,
        whiteouts: false,
        owner: None,
        ids: None,
        limits,
        cancelled: &|| false,
    };
    unpack(archive, &root, &options)
}

/// Makes the new directory `into` a layer that shows the directory `tree`, which nobody changes any
/// more, at `path` and in place of what `layers` (topmost first) have there. Returns where that is
/// once symlinks are followed.
///
/// # Errors
/// `path` leads nowhere or to the root, or the file system refuses.
pub fn graft(
    tree: &Path,
    layers: &[PathBuf],
    path: &Path,
    into: &Path,
) -> Result<PathBuf, StoreError> {
    let failed = |source| StoreError::at(path, source);
    let (root, place) = begin(layers, path, into).map_err(failed)?;
    if place.as_os_str().is_empty() {
        return Err(failed(io::Error::other("nothing can be mounted in the root's place")));
    }
    let view = View::open(layers).map_err(failed)?;
    let target = make(&root, &view, &place).map_err(failed)?;
    let tree = Root::open(tree)?;
    TreeCopy::new(target.as_fd(), Files::Linked, &[]).run(tree.as_fd())?;
    set_opaque(target.as_fd()).map_err(|errno| failed(errno.into()))?;
    Ok(place)
}

fn begin(layers: &[PathBuf], path: &Path, into: &Path) -> io::Result<(Root, PathBuf)> {
    fs_err::create_dir(into)?;
    Ok((Root::open(into)?, View::open(layers)?.resolve(path)?))
}

/// Makes the directories along `place`, each as the layers have it. Returns the last.
fn make(root: &Root, view: &View, place: &Path) -> io::Result<OwnedFd> {
    let mut current = root.directory(Path::new(""))?;
    settle(&current, view, Path::new(""))?;
    let mut walked = PathBuf::new();
    for name in place {
        walked.push(name);
        rustix::fs::mkdirat(&current, name, Mode::RWXU)?;
        current = open_child(current.as_fd(), name)?;
        settle(&current, view, &walked)?;
    }
    Ok(current)
}

fn settle(fd: &OwnedFd, view: &View, path: &Path) -> io::Result<()> {
    match view.directory(path)? {
        Some(known) => apply(fd.as_fd(), &known.stat, &known.xattrs),
        None => Ok(rustix::fs::fchmod(fd, Mode::from_raw_mode(0o755))?),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt, symlink};

    use fs_err as fs;

    use super::*;
    use crate::overlay;

    struct Fixture {
        dir: tempfile::TempDir,
        layers: Vec<PathBuf>,
    }

    /// An image whose `/data` is a link to `/srv/data`, which is somebody's.
    fn fixture() -> Option<Fixture> {
        if !rustix::process::geteuid().is_root() {
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let bottom = dir.path().join("bottom");
        fs::create_dir_all(bottom.join("srv/data/old")).unwrap();
        fs::create_dir_all(dir.path().join("empty")).unwrap();
        symlink("/srv/data", bottom.join("data")).unwrap();
        std::os::unix::fs::chown(bottom.join("srv"), Some(7), Some(8)).unwrap();
        fs::set_permissions(bottom.join("srv"), PermissionsExt::from_mode(0o710)).unwrap();
        let tree = dir.path().join("tree");
        fs::create_dir_all(tree.join("deep")).unwrap();
        fs::set_permissions(&tree, PermissionsExt::from_mode(0o1777)).unwrap();
        fs::write(tree.join("deep/file"), "from the snapshot").unwrap();
        Some(Fixture { layers: vec![bottom], dir })
    }

    impl Fixture {
        fn path(&self, name: &str) -> PathBuf {
            self.dir.path().join(name)
        }

        fn read(&self, path: &str) -> Option<Vec<u8>> {
            let root = overlay::mount(&self.layers, None, &self.path("empty")).unwrap();
            root.read(Path::new(path), 100).unwrap()
        }
    }

    #[test]
    fn a_grafted_tree_hides_what_was_there_and_shares_its_files() {
        let Some(mut fixture) = fixture() else { return };
        let (tree, into) = (fixture.path("tree"), fixture.path("layer"));
        let place = graft(&tree, &fixture.layers, Path::new("/data"), &into).unwrap();
        assert_eq!(place, Path::new("srv/data"));
        let srv = fs::metadata(into.join("srv")).unwrap();
        assert_eq!((srv.uid(), srv.gid(), srv.mode() & 0o7777), (7, 8, 0o710), "it stays theirs");
        assert_eq!(fs::metadata(into.join("srv/data")).unwrap().mode() & 0o7777, 0o1777);
        let inode = |path: PathBuf| fs::metadata(path).unwrap().ino();
        assert_eq!(inode(tree.join("deep/file")), inode(into.join("srv/data/deep/file")));
        fixture.layers.insert(0, into);
        assert_eq!(fixture.read("data/deep/file").unwrap(), b"from the snapshot");
        let root = overlay::mount(&fixture.layers, None, &fixture.path("empty")).unwrap();
        assert!(root.stat(Path::new("srv/data/old")).unwrap().is_none());
    }

    #[test]
    fn nothing_is_grafted_in_the_roots_place() {
        let Some(fixture) = fixture() else { return };
        for path in ["/", "/data/../.."] {
            let into = fixture.path(&format!("layer-{}", path.len()));
            assert!(graft(&fixture.path("tree"), &fixture.layers, Path::new(path), &into).is_err());
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_refused_or_stay_inside(bytes in proptest::collection::vec(0_u8.., 0..3000)) {
            let Some(fixture) = fixture() else { return Ok(()) };
            let (into, limits) = (fixture.path("layer"), UnpackLimits::default());
            let _ = inject(bytes.as_slice(), &fixture.layers, Path::new("/data"), &into, limits);
            let names = fs::read_dir(fixture.dir.path()).unwrap().count();
            proptest::prop_assert_eq!(names, 4, "bottom, empty, tree and the layer");
        }
    }

    #[test]
    fn injected_files_stand_beside_what_was_there() {
        let Some(mut fixture) = fixture() else { return };
        fs::write(fixture.layers[0].join("srv/data/old/kept"), "kept").unwrap();
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(3);
        header.set_mode(0o644);
        builder.append_data(&mut header, "cloudflare/certs/ca.crt", &b"PEM"[..]).unwrap();
        let archive = builder.into_inner().unwrap();
        let into = fixture.path("layer");
        let limits = UnpackLimits::default();
        inject(archive.as_slice(), &fixture.layers, Path::new("/data/old"), &into, limits).unwrap();
        fixture.layers.insert(0, into);
        assert_eq!(fixture.read("data/old/cloudflare/certs/ca.crt").unwrap(), b"PEM");
        assert_eq!(fixture.read("srv/data/old/kept").unwrap(), b"kept");
    }
}

//! What is listed, what a prune keeps and what it frees, and how much of the disk is whose.

use std::time::Duration;

use image::{
    Digest, Found, ImageStore, ImportOptions, PruneRequest, Pruned, Reference, RootFileSystem,
    Silent,
};

use crate::support::{Place, names, place, small_disk, tar};

/// An image of one file, with that name if it gets one.
fn image(store: &ImageStore, content: &str, name: Option<&str>, created: i64) -> Digest {
    let root = tar(&[("file", content, 0o644)]);
    let about = RootFileSystem {
        reference: name.map(|name| name.parse().unwrap()),
        created,
        ..RootFileSystem::default()
    };
    store.import_root_file_system(&root[..], &about, &ImportOptions::default(), &Silent).unwrap()
}

fn prune(store: &ImageStore, request: &PruneRequest) -> Pruned {
    store.prune(request, &Silent).unwrap()
}

#[test]
fn images_are_listed_newest_first_with_all_their_names_or_none() {
    let Place { store, _dir } = place();
    let old = image(&store, "old", Some("app:1"), 1);
    let new = image(&store, "newer", None, 2);
    store.tag(&"app:latest".parse().unwrap(), &old).unwrap();
    let all = store.list().unwrap();
    let shown: Vec<_> = all
        .iter()
        .map(|image| {
            let names: Vec<_> = image.references.iter().map(Reference::familiar).collect();
            (image.digest.clone(), names.join(" "), image.created, image.size)
        })
        .collect();
    assert_eq!(
        shown,
        [(new, String::new(), Some(2), 5), (old, "app:1 app:latest".to_owned(), Some(1), 3)]
    );
}

#[test]
fn an_image_is_found_by_name_id_and_digest_as_long_as_it_is_clear() {
    let Place { store, _dir } = place();
    let digest = image(&store, "content", Some("owner/app:1"), 1);
    let summary = store.list().unwrap().remove(0);
    for text in [
        "owner/app:1",
        "docker.io/owner/app:1",
        summary.id.short(),
        summary.id.as_str(),
        &digest.hex()[..8],
        &format!("owner/app@{digest}"),
    ] {
        match store.find(text).unwrap() {
            Found::Image(found, _) => assert_eq!(*found, summary, "{text}"),
            other => panic!("{text}: {other:?}"),
        }
    }
    for text in ["owner/app", "app:1", "", "sha256:", "zz", &format!("other/app@{digest}")] {
        assert_eq!(store.find(text).unwrap(), Found::Nothing, "{text}");
    }
    // So many that some two begin alike.
    for count in 0..17 {
        image(&store, &format!("content {count}"), None, count);
    }
    let first = (0..16).map(|digit| format!("{digit:x}"));
    let several = first.filter(|text| matches!(store.find(text).unwrap(), Found::Several(_)));
    assert!(several.count() > 0);
}

#[test]
fn an_image_without_a_name_goes_and_what_a_process_has_leased_stays() {
    let Place { store, _dir } = place();
    let other = ImageStore::open(store.dir()).unwrap();
    image(&store, "named", Some("app:1"), 1);
    let leased = image(&store, "leased", None, 2);
    let running = image(&store, "running", None, 3);
    image(&store, "dangling", None, 4);
    other.lease(&leased).unwrap();
    // However young it is: an image is whole, and nobody is pushing it.
    let (roots, grace) = (vec![running], Duration::from_secs(3600));
    let request = PruneRequest { roots, grace };
    let pruned = prune(&store, &request);
    assert_eq!((pruned.blobs, pruned.snapshots), (3, 1));
    assert_eq!(store.list().unwrap().len(), 3);
    drop(other);
    assert_eq!(prune(&store, &PruneRequest::default()).snapshots, 2);
    assert_eq!(names(store.dir().join("snapshots/sha256")).len(), 1);
}

#[test]
fn a_removed_image_frees_what_no_other_has() {
    let Place { store, _dir } = place();
    let one = image(&store, "shared", Some("app:1"), 1);
    // Another config over the same layer.
    let two = image(&store, "shared", Some("app:2"), 2);
    store.untag(&"app:1".parse().unwrap()).unwrap();
    let pruned = store.reclaim(std::slice::from_ref(&one), &[]).unwrap();
    assert_eq!((pruned.blobs, pruned.snapshots), (2, 0), "manifest and config");
    store.untag(&"app:2".parse().unwrap()).unwrap();
    let pruned = store.reclaim(std::slice::from_ref(&two), std::slice::from_ref(&two)).unwrap();
    assert_eq!(pruned, Pruned::default(), "an instance runs on it");
    let pruned = store.reclaim(&[two], &[]).unwrap();
    assert_eq!((pruned.blobs, pruned.snapshots), (3, 1));
    assert!(names(store.dir().join("content/sha256")).is_empty());
    assert!(names(store.dir().join("sizes")).is_empty());
}

#[test]
fn usage_tells_what_could_be_had_back() {
    let Place { store, _dir } = place();
    let used = image(&store, "used", Some("app:1"), 1);
    image(&store, "idle image", Some("app:2"), 2);
    let usage = store.usage(std::slice::from_ref(&used)).unwrap();
    assert_eq!((usage.images.total, usage.images.active), (2, 1));
    assert_eq!((usage.layers.total, usage.layers.active), (2, 1));
    assert_eq!((usage.layers.size, usage.layers.reclaimable), (14, 10));
    let idle = usage.images.reclaimable;
    assert!(idle > usage.layers.reclaimable && idle < usage.images.size, "{usage:?}");
    assert_eq!(usage.unused, image::UsageRow::default());
    // What is said to be reclaimable is what a prune frees.
    store.untag(&"app:2".parse().unwrap()).unwrap();
    let request = PruneRequest { roots: vec![used], ..PruneRequest::default() };
    let pruned = prune(&store, &request);
    assert_eq!(pruned.bytes + pruned.unpacked, idle);
}

#[test]
fn a_name_that_no_longer_fits_on_the_disk_leaves_the_old_one_as_it_was() {
    let (_disk, path) = small_disk("1m");
    let store = ImageStore::open(&path).unwrap();
    let old = image(&store, "old", Some("app:1"), 1);
    let new = image(&store, "new", None, 2);
    let (filler, chunk) = (path.join("filler"), [0; 4096]);
    let mut file = fs_err::File::create(&filler).unwrap();
    while std::io::Write::write_all(&mut file, &chunk).is_ok() {}
    drop(file);
    let name: Reference = "app:1".parse().unwrap();
    let error = store.tag(&name, &new).unwrap_err();
    assert!(error.to_string().contains("the disk is full"), "{error}");
    assert!(error.hint().unwrap().contains("free space"));
    assert_eq!(store.image(&name).unwrap().unwrap().digest, old);
    fs_err::remove_file(filler).unwrap();
    store.tag(&name, &new).unwrap();
}

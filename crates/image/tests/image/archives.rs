//! Images as archives: what is written, what is read, and what is refused.

use std::io::Write as _;

use image::{
    ArchiveError, ArchiveFormat, Digest, Exported, ImageConfig, ImageStore, ImportOptions,
    Platform, Reference, RootFileSystem, Silent, UnpackLimits,
};
use serde_json::json;

use crate::support::registry::{Behaviour, Registry};
use crate::support::{
    Form, Place, TestImage, descriptor, layers, names, noise, options, place, small_disk, tar,
};

/// A store with images of that form under these names, pulled from a registry that is gone.
fn stored(form: Form, tags: &[&str]) -> (Place, Vec<Exported>) {
    let place = place();
    let mut images = Vec::new();
    for (count, tag) in tags.iter().enumerate() {
        let registry = Registry::start(Behaviour::default());
        let digest = registry.push("v1", &TestImage::new(form, &layers()[..=count % 2]));
        let pulled = registry.name("a/b:v1");
        place.store.pull(&pulled, &options(), &Silent).unwrap();
        let reference: Reference = tag.parse().unwrap();
        place.store.tag(&reference, &digest).unwrap();
        place.store.untag(&pulled).unwrap();
        images.push(Exported { digest, references: vec![reference] });
    }
    (place, images)
}

fn export(store: &ImageStore, images: &[Exported], format: ArchiveFormat) -> Vec<u8> {
    let mut bytes = Vec::new();
    store.export(images, format, &mut bytes, &Silent).unwrap();
    bytes
}

fn import(store: &ImageStore, bytes: &[u8]) -> Result<Vec<image::Imported>, ArchiveError> {
    let options = ImportOptions { platform: Platform::Amd64, ..ImportOptions::default() };
    store.import(bytes, &options, &Silent)
}

/// Nothing half-made is in the store, and no name.
fn assert_took_nothing(store: &ImageStore) {
    assert!(store.images().unwrap().is_empty());
    for session in names(store.dir().join("tmp")) {
        assert_eq!(names(store.dir().join("tmp").join(session)), ["lock"]);
    }
}

/// An archive of files that are not executable.
fn files(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(content.len() as u64);
        builder.append_data(&mut header, path, *content).unwrap();
    }
    builder.into_inner().unwrap()
}

fn layout_of(image: &TestImage, annotations: serde_json::Value) -> Vec<u8> {
    let mut entry = descriptor(image.media_type, &image.manifest);
    entry["annotations"] = annotations;
    let index = json!({"schemaVersion": 2, "manifests": [entry]}).to_string();
    let path = |blob: &[u8]| format!("blobs/sha256/{}", Digest::of(blob).hex());
    let blobs: Vec<(String, &[u8])> =
        image.blobs.iter().chain([&image.manifest]).map(|blob| (path(blob), &blob[..])).collect();
    let mut all: Vec<(&str, &[u8])> =
        blobs.iter().map(|(path, blob)| (path.as_str(), *blob)).collect();
    all.push(("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#));
    all.push(("index.json", index.as_bytes()));
    files(&all)
}

#[test]
fn what_is_exported_is_imported_with_its_digests_and_names() {
    for format in [ArchiveFormat::Docker, ArchiveFormat::Oci] {
        for form in [Form::OciGzip, Form::OciZstd, Form::OciPlain, Form::Docker] {
            let (from, images) = stored(form, &["app:1", "localhost:5000/other/app:2"]);
            let archive = export(&from.store, &images, format);
            assert_eq!(archive, export(&from.store, &images, format), "the same bytes each time");
            let to = place();
            let imported = import(&to.store, &archive).unwrap();
            assert_eq!(imported.len(), 2);
            for image in &images {
                let found = to.store.image(&image.references[0]).unwrap().unwrap();
                assert_eq!(found.digest, image.digest);
            }
            // Nothing is new the second time.
            import(&to.store, &archive).unwrap();
            assert_eq!(to.store.images().unwrap().len(), 2);
        }
    }
}

#[test]
fn an_archive_may_be_compressed() {
    let (from, images) = stored(Form::OciPlain, &["app:1"]);
    let archive = export(&from.store, &images, ArchiveFormat::Docker);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&archive).unwrap();
    for bytes in [gzip.finish().unwrap(), zstd::encode_all(&archive[..], 1).unwrap()] {
        let to = place();
        assert_eq!(import(&to.store, &bytes).unwrap()[0].digest, images[0].digest);
        // Cut off after the last file, where nothing of an image is missing.
        let error = import(&place().store, &bytes[..bytes.len() - 5]).unwrap_err();
        assert!(matches!(error, ArchiveError::Read { .. }), "{error}");
    }
}

#[test]
fn an_image_has_all_its_names_again() {
    let (from, mut images) = stored(Form::OciGzip, &["app:1"]);
    images[0].references.push("app:latest".parse().unwrap());
    let archive = export(&from.store, &images, ArchiveFormat::Docker);
    let to = place();
    let imported = import(&to.store, &archive).unwrap();
    assert_eq!(imported.len(), 1);
    assert_eq!(imported[0].references, images[0].references);
    assert_eq!(to.store.images().unwrap().len(), 2);
}

#[test]
fn what_older_dockers_save_is_read_with_links_between_equal_layers() {
    let [bottom, top] = &layers()[..] else { unreachable!() };
    let ids: Vec<String> =
        [bottom, top, bottom].iter().map(|layer| Digest::of(layer).to_string()).collect();
    let config = json!({
        "architecture": "amd64", "os": "linux", "config": {"Cmd": ["/server"]},
        "rootfs": {"type": "layers", "diff_ids": ids},
    })
    .to_string();
    let manifest = json!([{
        "Config": "c0ffee.json", "RepoTags": ["app:old"],
        "Layers": ["1/layer.tar", "2/layer.tar", "3/layer.tar"],
    }])
    .to_string();
    let mut begun = files(&[
        ("c0ffee.json", config.as_bytes()),
        ("1/VERSION", b"1.0"),
        ("1/layer.tar", bottom),
        ("2/layer.tar", top),
    ]);
    // Without the blocks that mark the end.
    begun.truncate(begun.len() - 1024);
    let mut builder = tar::Builder::new(begun);
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    builder.append_link(&mut header, "3/layer.tar", "../1/layer.tar").unwrap();
    let mut header = tar::Header::new_gnu();
    header.set_size(manifest.len() as u64);
    builder.append_data(&mut header, "manifest.json", manifest.as_bytes()).unwrap();
    let archive = builder.into_inner().unwrap();
    let to = place();
    let imported = import(&to.store, &archive).unwrap();
    assert_eq!(imported[0].references, ["app:old".parse().unwrap()]);
    let image = to.store.image_by_digest(&imported[0].digest).unwrap().unwrap();
    assert_eq!(image.config.cmd, ["/server"]);
    assert_eq!(fs_err::read_to_string(image.layers[1].join("server")).unwrap(), "two");
}

#[test]
fn an_oci_layout_names_its_images_as_podman_and_as_containerd_do() {
    let image = TestImage::new(Form::OciGzip, &layers());
    for (annotations, name) in [
        (json!({"org.opencontainers.image.ref.name": "docker.io/library/app:1"}), Some("app:1")),
        (json!({"io.containerd.image.name": "ghcr.io/a/b:2"}), Some("ghcr.io/a/b:2")),
        (json!({"org.opencontainers.image.ref.name": "1"}), None),
    ] {
        let to = place();
        let imported = import(&to.store, &layout_of(&image, annotations)).unwrap();
        let expected: Vec<Reference> = name.iter().map(|name| name.parse().unwrap()).collect();
        assert_eq!(imported[0].references, expected);
        assert_eq!(imported[0].digest, Digest::of(&image.manifest));
    }
}

#[test]
fn an_image_for_another_platform_is_refused_by_name() {
    let image = TestImage::for_platform(Form::OciGzip, &layers(), "s390x");
    let to = place();
    let error = import(&to.store, &layout_of(&image, json!({}))).unwrap_err();
    assert!(error.to_string().contains("linux/s390x, not for linux/amd64"), "{error}");
    assert_took_nothing(&to.store);
}

#[test]
fn an_archive_cut_off_anywhere_is_refused_and_leaves_nothing() {
    let (from, images) = stored(Form::OciPlain, &["app:1"]);
    let archive = export(&from.store, &images, ArchiveFormat::Docker);
    let to = place();
    // The last 1024 bytes mark the end, and nothing is missing without them.
    for length in (0..archive.len() - 1024).step_by(397) {
        import(&to.store, &archive[..length]).unwrap_err();
        assert_took_nothing(&to.store);
    }
}

#[test]
fn a_blob_that_is_not_what_its_name_says_is_refused() {
    let image = TestImage::new(Form::OciPlain, &layers());
    let good = layout_of(&image, json!({"org.opencontainers.image.ref.name": "a/b:1"}));
    let position = good.windows(3).position(|window| window == b"one").unwrap();
    let mut bad = good.clone();
    bad[position] = b'O';
    let to = place();
    let error = import(&to.store, &bad).unwrap_err();
    assert!(matches!(error, ArchiveError::Entry { .. }), "{error}");
    assert!(error.to_string().contains("blobs/sha256/"), "{error}");
    assert_took_nothing(&to.store);
}

#[test]
fn a_layer_that_is_not_the_configs_is_refused() {
    let config = json!({
        "architecture": "amd64", "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [Digest::of(b"another")]},
    })
    .to_string();
    let manifest =
        json!([{"Config": "c.json", "RepoTags": ["app:1"], "Layers": ["l.tar"]}]).to_string();
    let layer = layers().remove(0);
    let archive = files(&[
        ("c.json", config.as_bytes()),
        ("l.tar", &layer),
        ("manifest.json", manifest.as_bytes()),
    ]);
    let to = place();
    let error = import(&to.store, &archive).unwrap_err();
    assert!(error.to_string().contains("the image's config says"), "{error}");
    assert_took_nothing(&to.store);
}

#[test]
fn what_is_missing_is_named() {
    let config = json!({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers"}});
    let manifest = |config: &str, layer: &str| {
        json!([{"Config": config, "RepoTags": null, "Layers": [layer]}]).to_string()
    };
    for (manifest, missing) in
        [(manifest("c.json", "l.tar"), "l.tar"), (manifest("d.json", "c.json"), "d.json")]
    {
        let config = config.to_string();
        let archive =
            files(&[("c.json", config.as_bytes()), ("manifest.json", manifest.as_bytes())]);
        let error = import(&place().store, &archive).unwrap_err();
        assert!(error.to_string().contains(&format!("read {missing} of the archive")), "{error}");
    }
}

#[test]
fn paths_and_links_that_leave_the_archive_are_refused() {
    let escape = |path: &str, link: Option<&str>| {
        let mut header = tar::Header::new_gnu();
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_size(0);
        if let Some(link) = link {
            header.set_entry_type(tar::EntryType::Symlink);
            header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
        }
        header.set_cksum();
        [header.as_bytes().to_vec(), vec![0; 1024]].concat()
    };
    let to = place();
    for archive in [
        escape("../outside", None),
        escape("a/../../outside", None),
        escape("manifest.json", Some("/etc/passwd")),
        escape("a/layer.tar", Some("../../etc/passwd")),
    ] {
        let error = import(&to.store, &archive).unwrap_err();
        assert!(matches!(error, ArchiveError::Entry { .. }), "{error}");
        assert_took_nothing(&to.store);
    }
}

#[test]
fn an_archive_larger_than_allowed_is_refused() {
    let zeros = vec![0; 3_000_000];
    let archive = zstd::encode_all(&files(&[("zeros", &zeros)])[..], 1).unwrap();
    let to = place();
    let layer = UnpackLimits { bytes: 1_000_000, ..UnpackLimits::default() };
    let options = ImportOptions { limits: layer, ..ImportOptions::default() };
    let error = to.store.import(&archive[..], &options, &Silent).unwrap_err();
    assert!(
        error.to_string().contains("zeros") && error.to_string().contains("1000000"),
        "{error}"
    );
    let options = ImportOptions { bytes: 2_000_000, ..ImportOptions::default() };
    let error = to.store.import(&archive[..], &options, &Silent).unwrap_err();
    assert!(matches!(error, ArchiveError::TooLarge { unit: "bytes", .. }), "{error}");
    assert_took_nothing(&to.store);
}

#[test]
fn a_root_file_system_becomes_an_image_and_is_no_archive_of_images() {
    let root = tar(&[("bin/", "", 0o755), ("bin/server", "x", 0o755)]);
    let to = place();
    let error = import(&to.store, &root).unwrap_err();
    assert!(matches!(error, ArchiveError::NoImages), "{error}");
    assert!(error.hint().unwrap().contains("--rootfs"));
    let reference: Reference = "base:1".parse().unwrap();
    let config = ImageConfig { cmd: vec!["/bin/server".into()], ..ImageConfig::default() };
    let about = RootFileSystem {
        reference: Some(reference.clone()),
        config: config.clone(),
        message: "imported from root.tar".to_owned(),
        created: 1_700_000_000,
    };
    let compressed = zstd::encode_all(&root[..], 1).unwrap();
    let options = ImportOptions::default();
    let first = to.store.import_root_file_system(&root[..], &about, &options, &Silent).unwrap();
    let again =
        to.store.import_root_file_system(&compressed[..], &about, &options, &Silent).unwrap();
    assert_eq!(first, again, "the same files give the same image");
    let image = to.store.image(&reference).unwrap().unwrap();
    assert_eq!(image.config, config);
    assert_eq!(fs_err::read_to_string(image.layers[0].join("bin/server")).unwrap(), "x");
    assert_eq!(to.store.history(&first).unwrap()[0].comment, "imported from root.tar");
    let about = RootFileSystem::default();
    let error =
        to.store.import_root_file_system(&b"no archive at all"[..], &about, &options, &Silent);
    assert!(error.unwrap_err().to_string().contains("damaged"));
}

#[test]
fn a_full_disk_is_named_wherever_the_archive_no_longer_fits() {
    let noise = noise();
    let (from, images) = {
        let place = place();
        let root = tar(&[("noise", &noise, 0o644)]);
        let about = RootFileSystem { reference: "big:1".parse().ok(), ..RootFileSystem::default() };
        let options = ImportOptions::default();
        let digest =
            place.store.import_root_file_system(&root[..], &about, &options, &Silent).unwrap();
        (place, vec![Exported { digest, references: vec!["big:1".parse().unwrap()] }])
    };
    let archive = export(&from.store, &images, ArchiveFormat::Docker);
    // Too small for the blob, for what is unpacked, and large enough.
    for (size, fits) in [("300k", false), ("600k", false), ("2m", true)] {
        let (_disk, path) = small_disk(size);
        let store = ImageStore::open(path).unwrap();
        let result = import(&store, &archive);
        assert_eq!(result.is_ok(), fits, "{size}: {result:?}");
        if let Err(error) = result {
            assert!(error.to_string().contains("the disk is full"), "{size}: {error}");
            assert!(error.hint().unwrap().contains("free space"));
            assert_took_nothing(&store);
        }
    }
    // And where it is written to.
    let (_disk, path) = small_disk("100k");
    let mut file = fs_err::File::create(path.join("archive.tar")).unwrap();
    let error = from.store.export(&images, ArchiveFormat::Docker, &mut file, &Silent).unwrap_err();
    assert!(matches!(error, ArchiveError::Write { .. }), "{error}");
    assert!(error.hint().unwrap().contains("free space"));
}

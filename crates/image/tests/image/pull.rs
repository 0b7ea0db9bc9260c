//! Pulling from registries: what is asked, what is believed, what is kept.

use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::support::registry::{Behaviour, Registry};
use crate::support::{
    Form, Place, Recorder, TestImage, descriptor, layers, names, noise, options, place, small_disk,
    tar,
};
use image::{
    Credentials, Digest, Image, ImageStore, Outcome, PruneRequest, PullError, Silent, StoreError,
    TaskKind, UnpackError, UnpackLimits,
};

/// A layer of random bytes, so that it stays as large when compressed.
fn large_layer() -> Vec<u8> {
    tar(&[("noise", &noise(), 0o644)])
}

fn assert_is_the_image(image: &Image) {
    assert_eq!(image.config.cmd, ["/server"]);
    assert_eq!(image.config.env, ["PATH=/bin", "FROM=registry"]);
    assert_eq!(image.config.working_dir, "/srv");
    assert_eq!(image.config.user, "app");
    assert_eq!(image.config.stop_signal.as_deref(), Some("SIGINT"));
    assert_eq!(image.config.exposed_ports.iter().next().unwrap().port, 8080);
    assert_eq!(image.layers.len(), 2);
    let [top, bottom] = &image.layers[..] else { unreachable!() };
    assert_eq!(fs_err::read_to_string(top.join("server")).unwrap(), "two");
    assert_eq!(fs_err::read_to_string(bottom.join("etc/os-release")).unwrap(), "one");
    assert_eq!(names(top), ["gone", "server"]);
    let mode = fs_err::metadata(top.join("server")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o755);
}

/// Nothing half-made is in the store.
fn assert_is_clean(store: &ImageStore) {
    for session in names(store.dir().join("tmp")) {
        assert_eq!(names(store.dir().join("tmp").join(session)), ["lock"]);
    }
}

#[test]
fn images_of_every_form_are_pulled_and_unpacked() {
    for form in [Form::OciGzip, Form::OciZstd, Form::OciPlain, Form::Docker] {
        let registry = Registry::start(Behaviour::default());
        let digest = registry.push("v1", &TestImage::new(form, &layers()));
        let place = place();
        let image = place.store.pull(&registry.name("a/b:v1"), &options(), &Silent).unwrap();
        assert_eq!(image.digest, digest);
        assert_is_the_image(&image);
        assert_eq!(place.store.image(&registry.name("a/b:v1")).unwrap(), Some(image));
        assert_is_clean(&place.store);
    }
}

#[test]
fn a_zstd_chunked_layer_is_unpacked_as_plain_zstd() {
    let registry = Registry::start(Behaviour::default());
    let layer = layers().remove(0);
    let mut image = TestImage::new(Form::OciZstd, std::slice::from_ref(&layer));
    // Several frames, and tables of contents in frames that are skipped, as estargz's relative has.
    let (first, rest) = layer.split_at(700);
    let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0][..], b"toc!"].concat();
    let frame = |bytes| zstd::encode_all(bytes, 3).unwrap();
    let blob = [frame(first), skippable.clone(), frame(rest), skippable].concat();
    let mut manifest: serde_json::Value = serde_json::from_slice(&image.manifest).unwrap();
    manifest["layers"][0] = descriptor("application/vnd.oci.image.layer.v1.tar+zstd", &blob);
    image.manifest = serde_json::to_vec(&manifest).unwrap();
    image.blobs.push(blob);
    registry.push("v1", &image);
    let place = place();
    let pulled = place.store.pull(&registry.name("a/b:v1"), &options(), &Silent).unwrap();
    assert_eq!(fs_err::read_to_string(pulled.layers[0].join("etc/os-release")).unwrap(), "one");
}

#[test]
fn a_layer_that_was_not_on_disk_when_the_system_went_down_is_unpacked_anew() {
    let registry = Registry::start(Behaviour::default());
    registry.push("v1", &TestImage::new(Form::OciGzip, &layers()));
    let (name, place) = (registry.name("a/b:v1"), place());
    let image = place.store.pull(&name, &options(), &Silent).unwrap();
    drop(registry);
    let (top, marks) = (&image.layers[0], place.store.dir().join("unsynced"));
    // Taken off in the background, when all is on disk.
    let started = Instant::now();
    while !names(&marks).is_empty() {
        assert!(started.elapsed() < Duration::from_secs(60));
        std::thread::yield_now();
    }
    fs_err::write(top.join("server"), "").unwrap();
    fs_err::write(marks.join(top.file_name().unwrap()), "another boot").unwrap();
    assert_is_the_image(&place.store.image(&name).unwrap().unwrap());
}

#[test]
fn the_image_of_this_platform_is_chosen_from_an_index() {
    let registry = Registry::start(Behaviour::default());
    let ours = TestImage::new(Form::OciGzip, &layers());
    let other = TestImage::for_platform(Form::OciGzip, &[], "s390x");
    registry.push_index("multi", &[("s390x", &other), ("amd64", &ours)]);
    registry.push_index("foreign", &[("s390x", &other)]);
    let mut options = options();
    options.platform = image::Platform::Amd64;
    let Place { _dir, store } = place();
    assert_is_the_image(&store.pull(&registry.name("a/b:multi"), &options, &Silent).unwrap());
    let error = store.pull(&registry.name("a/b:foreign"), &options, &Silent).unwrap_err();
    assert!(matches!(error, PullError::Platform { .. }));
    assert!(error.to_string().contains("only for linux/s390x"), "{error}");
    let error = store.pull(&registry.name("a/b:s390x"), &options, &Silent).unwrap_err();
    assert!(matches!(error, PullError::Platform { .. }), "{error}");
}

#[test]
fn what_is_here_is_not_transferred_again() {
    let registry = Registry::start(Behaviour::default());
    let digest = registry.push("v1", &TestImage::new(Form::OciGzip, &layers()));
    let place = place();
    place.store.pull(&registry.name("a/b:v1"), &options(), &Silent).unwrap();
    registry.forget_requests();
    let progress = Recorder::default();
    place.store.pull(&registry.name("a/b:v1"), &options(), &progress).unwrap();
    assert!(registry.requests_for("/blobs/").is_empty());
    assert_eq!(progress.labels(Outcome::Cached, |kind| kind == TaskKind::Download).len(), 3);
    // Pinned by digest, not even the manifest is asked for, whatever the repository is called.
    registry.forget_requests();
    let pinned = registry.name(&format!("c/d@{digest}"));
    assert_is_the_image(&place.store.pull(&pinned, &options(), &Silent).unwrap());
    assert!(registry.requests().is_empty());
}

#[test]
fn a_tag_that_moved_is_followed() {
    let registry = Registry::start(Behaviour::default());
    let name = registry.name("a/b:latest");
    let place = place();
    registry.push("latest", &TestImage::new(Form::OciGzip, &layers()));
    let first = place.store.pull(&name, &options(), &Silent).unwrap();
    registry.push("latest", &TestImage::new(Form::OciGzip, &layers()[..1]));
    let second = place.store.pull(&name, &options(), &Silent).unwrap();
    assert_ne!(first.digest, second.digest);
    assert_eq!(place.store.image(&name).unwrap().unwrap().digest, second.digest);
}

#[test]
fn a_token_is_fetched_once_and_not_sent_to_storage() {
    let behaviour = Behaviour { token: true, redirect: true, ..Behaviour::default() };
    let registry = Registry::start(behaviour);
    registry.push("v1", &TestImage::new(Form::OciGzip, &layers()));
    let mut options = options();
    options.parallel = 1;
    place().store.pull(&registry.name("a/b:v1"), &options, &Silent).unwrap();
    let tokens = registry.requests_for("/token");
    assert_eq!(tokens.len(), 1);
    assert_eq!(tokens[0].path, "/token?service=test&scope=repository:a/b:pull");
    assert_eq!(registry.requests_for("/storage/").len(), 3);
}

#[test]
fn credentials_go_to_the_token_server_and_to_basic_registries() {
    for basic in [false, true] {
        let password = (!basic).then(|| "user:secret".to_owned());
        let behaviour = Behaviour { token: !basic, basic, password, ..Behaviour::default() };
        let registry = Registry::start(behaviour);
        registry.push("v1", &TestImage::new(Form::OciGzip, &layers()));
        let name = registry.name("a/b:v1");
        let place = place();
        let error = place.store.pull(&name, &options(), &Silent).unwrap_err();
        assert!(error.to_string().contains("401"), "{error}");
        assert!(error.hint().unwrap().contains("log in"), "{error}");
        let mut options = options();
        let credentials = Credentials { username: "user".into(), password: "secret".into() };
        options.credentials.insert(registry.address.to_string(), credentials);
        place.store.pull(&name, &options, &Silent).unwrap();
    }
}

#[test]
fn credentials_of_dockers_config_file_are_used() {
    let behaviour =
        Behaviour { token: true, password: Some("user:secret".to_owned()), ..Behaviour::default() };
    let registry = Registry::start(behaviour);
    registry.push("v1", &TestImage::new(Form::OciGzip, &layers()));
    let place = place();
    let file = place.store.dir().join("config.json");
    let auths = serde_json::json!({
        "auths": {registry.address.to_string(): {"auth": "dXNlcjpzZWNyZXQ="}},
    });
    fs_err::write(&file, auths.to_string()).unwrap();
    let mut options = options();
    options.docker_config = Some(file);
    place.store.pull(&registry.name("a/b:v1"), &options, &Silent).unwrap();
}

#[test]
fn a_registry_that_is_down_for_a_moment_is_asked_again() {
    let registry = Registry::start(Behaviour { unavailable: 2, ..Behaviour::default() });
    registry.push("v1", &TestImage::new(Form::OciGzip, &layers()));
    let progress = Recorder::default();
    place().store.pull(&registry.name("a/b:v1"), &options(), &progress).unwrap();
    assert!(progress.log().contains("503"), "{}", progress.log());
}

#[test]
fn a_registry_that_stays_down_is_named_with_its_status() {
    let registry = Registry::start(Behaviour { status: Some(503), ..Behaviour::default() });
    let error = place().store.pull(&registry.name("a/b:v1"), &options(), &Silent).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("503") && text.contains("because"), "{text}");
    assert!(text.contains(&format!("{}/v2/a/b/manifests/v1", registry.url())), "{text}");
    assert_eq!(registry.requests().len(), 4);
}

#[test]
fn a_broken_download_goes_on_where_it_ended() {
    let behaviour = Behaviour { cut_after: Some(100_000), ranges: true, ..Behaviour::default() };
    let registry = Registry::start(behaviour);
    registry.push("v1", &TestImage::new(Form::OciPlain, &[large_layer()]));
    place().store.pull(&registry.name("a/b:v1"), &options(), &Silent).unwrap();
    let ranges: Vec<_> = registry
        .requests_for("/blobs/")
        .into_iter()
        .filter_map(|request| request.headers.get("range").cloned())
        .collect();
    assert_eq!(ranges, ["bytes=100000-"]);
}

#[test]
fn a_broken_download_starts_over_where_ranges_are_unknown() {
    let behaviour = Behaviour { cut_after: Some(100_000), ..Behaviour::default() };
    let registry = Registry::start(behaviour);
    registry.push("v1", &TestImage::new(Form::OciPlain, &[large_layer()]));
    place().store.pull(&registry.name("a/b:v1"), &options(), &Silent).unwrap();
}

#[test]
fn a_damaged_blob_is_refused_and_not_kept() {
    let registry = Registry::start(Behaviour { damage: true, ..Behaviour::default() });
    registry.push("v1", &TestImage::new(Form::OciGzip, &layers()));
    let place = place();
    let error = place.store.pull(&registry.name("a/b:v1"), &options(), &Silent).unwrap_err();
    assert!(error.to_string().contains("damaged"), "{error}");
    assert_eq!(names(place.store.dir().join("content/sha256")).len(), 1, "only the manifest");
    assert!(place.store.images().unwrap().is_empty());
    assert!(names(place.store.dir().join("ingest")).is_empty());
    assert_is_clean(&place.store);
}

#[test]
fn a_mirror_is_asked_first_and_the_registry_after_it() {
    let mirror = Registry::start(Behaviour::default());
    let registry = Registry::start(Behaviour::default());
    mirror.push("both", &TestImage::new(Form::OciGzip, &layers()));
    registry.push("both", &TestImage::new(Form::OciGzip, &layers()));
    registry.push("only-here", &TestImage::new(Form::Docker, &layers()));
    let mut options = options();
    options.mirrors.insert(registry.address.to_string(), format!("{}/", mirror.url()));
    let Place { _dir, store } = place();
    store.pull(&registry.name("a/b:both"), &options, &Silent).unwrap();
    assert!(registry.requests().is_empty());
    let asked = &mirror.requests()[0].path;
    assert_eq!(*asked, format!("/v2/a/b/manifests/both?ns={}", registry.address));
    store.pull(&registry.name("a/b:only-here"), &options, &Silent).unwrap();
    let error = store.pull(&registry.name("a/b:nowhere"), &options, &Silent).unwrap_err();
    let text = error.to_string();
    assert!(text.contains(&format!("tried mirror {}", mirror.url())), "{text}");
    assert!(text.contains(&format!("tried registry {}", registry.url())), "{text}");
    assert!(text.contains("404") && text.contains("manifest unknown"), "{text}");
    assert!(error.hint().unwrap().contains("exists"), "{error}");
}

#[test]
fn docker_hub_is_pulled_through_a_mirror() {
    let mirror = Registry::start(Behaviour::default());
    mirror.push("latest", &TestImage::new(Form::OciGzip, &layers()));
    let mut options = options();
    options.mirrors.insert("docker.io".into(), mirror.url());
    let place = place();
    let image = place.store.pull(&"nginx".parse().unwrap(), &options, &Silent).unwrap();
    assert_is_the_image(&image);
    let asked = &mirror.requests()[0].path;
    assert_eq!(asked, "/v2/library/nginx/manifests/latest?ns=docker.io");
}

#[test]
fn a_refused_connection_is_told_with_what_to_do() {
    let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let name = format!("{unused}/a/b:v1").parse().unwrap();
    let error = place().store.pull(&name, &options(), &Silent).unwrap_err();
    assert!(error.to_string().contains("refused"), "{error}");
    assert!(error.hint().unwrap().contains("mirror"), "{error}");
}

#[test]
fn a_layer_that_is_not_what_the_config_says_is_refused() {
    let registry = Registry::start(Behaviour::default());
    let mut image = TestImage::new(Form::OciPlain, &layers());
    // The config of another image: right size and shape, wrong content.
    let other = TestImage::new(Form::OciPlain, &[layers()[1].clone(), layers()[0].clone()]);
    let mut manifest: serde_json::Value = serde_json::from_slice(&image.manifest).unwrap();
    let theirs: serde_json::Value = serde_json::from_slice(&other.manifest).unwrap();
    manifest["config"] = theirs["config"].clone();
    image.manifest = serde_json::to_vec(&manifest).unwrap();
    image.blobs.extend(other.blobs);
    registry.push("v1", &image);
    let place = place();
    let error = place.store.pull(&registry.name("a/b:v1"), &options(), &Silent).unwrap_err();
    assert!(error.to_string().contains("the image's config says"), "{error}");
    assert!(names(place.store.dir().join("snapshots/sha256")).is_empty());
    assert_is_clean(&place.store);
}

#[test]
fn a_layer_larger_than_allowed_is_refused_and_leaves_nothing() {
    let registry = Registry::start(Behaviour::default());
    let bomb = tar(&[("zeros", &"\0".repeat(4_000_000), 0o644)]);
    registry.push("v1", &TestImage::new(Form::OciGzip, &[bomb]));
    let mut options = options();
    options.limits = UnpackLimits { bytes: 1_000_000, entries: 10 };
    let place = place();
    let error = place.store.pull(&registry.name("a/b:v1"), &options, &Silent).unwrap_err();
    assert!(error.to_string().contains("more than 1000000 bytes"), "{error}");
    assert!(names(place.store.dir().join("snapshots/sha256")).is_empty());
    assert_is_clean(&place.store);
}

#[test]
fn an_artifact_that_is_no_image_is_refused() {
    let registry = Registry::start(Behaviour::default());
    let mut image = TestImage::new(Form::OciGzip, &layers());
    let text = String::from_utf8(image.manifest).unwrap();
    let text = text.replace("vnd.oci.image.config.v1+json", "vnd.cncf.helm.config.v1+json");
    image.manifest = text.into_bytes();
    registry.push("v1", &image);
    let error = place().store.pull(&registry.name("a/b:v1"), &options(), &Silent).unwrap_err();
    assert!(error.to_string().contains("helm"), "{error}");
}

#[test]
fn a_pull_that_is_cancelled_ends_soon_and_leaves_nothing() {
    let registry = Registry::start(Behaviour { status: Some(503), ..Behaviour::default() });
    let place = place();
    let progress = Recorder::default();
    let started = Instant::now();
    let name = registry.name("a/b:v1");
    std::thread::scope(|scope| {
        let pull = scope.spawn(|| place.store.pull(&name, &options(), &progress));
        while registry.requests().is_empty() {
            assert!(started.elapsed() < Duration::from_secs(10));
            std::thread::yield_now();
        }
        progress.cancel.store(true, Ordering::Relaxed);
        let error = pull.join().unwrap().unwrap_err();
        assert!(error.is_cancelled(), "{error}");
    });
    assert_is_clean(&place.store);
}

#[test]
fn pulls_of_one_image_at_once_transfer_each_blob_once() {
    let registry = Registry::start(Behaviour::default());
    registry.push("v1", &TestImage::new(Form::OciGzip, &layers()));
    let place = place();
    // Two stores over one directory stand for two processes.
    let stores = [place.store.clone(), ImageStore::open(place.store.dir()).unwrap()];
    std::thread::scope(|scope| {
        for store in stores.iter().cycle().take(6) {
            scope.spawn(|| {
                let image = store.pull(&registry.name("a/b:v1"), &options(), &Silent).unwrap();
                assert_is_the_image(&image);
            });
        }
    });
    assert_eq!(registry.requests_for("/blobs/").len(), 3);
}

#[test]
fn a_removed_snapshot_is_unpacked_again_without_a_registry() {
    let registry = Registry::start(Behaviour::default());
    registry.push("v1", &TestImage::new(Form::OciGzip, &layers()));
    let name = registry.name("a/b:v1");
    let place = place();
    let image = place.store.pull(&name, &options(), &Silent).unwrap();
    drop(registry);
    fs_err::remove_dir_all(&image.layers[0]).unwrap();
    assert_is_the_image(&place.store.image(&name).unwrap().unwrap());
}

#[test]
fn pruning_keeps_what_names_and_roots_need() {
    let registry = Registry::start(Behaviour::default());
    registry.push("one", &TestImage::new(Form::OciGzip, &layers()));
    registry.push("two", &TestImage::new(Form::OciGzip, &layers()[..1]));
    let Place { _dir, store } = place();
    let one = store.pull(&registry.name("a/b:one"), &options(), &Silent).unwrap();
    let two = store.pull(&registry.name("a/b:two"), &options(), &Silent).unwrap();
    let prune = |roots: &[Digest]| {
        store.prune(&PruneRequest { roots: roots.to_vec(), ..PruneRequest::default() }, &Silent)
    };
    assert_eq!(prune(&[]).unwrap(), image::Pruned::default());
    assert!(store.untag(&registry.name("a/b:one")).unwrap());
    assert!(!store.untag(&registry.name("a/b:one")).unwrap());
    assert_eq!(prune(std::slice::from_ref(&one.digest)).unwrap().blobs, 0);
    let pruned = prune(&[]).unwrap();
    // Manifest, config and the layer that the other image does not share.
    assert_eq!((pruned.blobs, pruned.snapshots), (3, 1));
    assert_eq!(store.image_by_digest(&one.digest).unwrap(), None);
    assert_eq!(store.image_by_digest(&two.digest).unwrap(), Some(two));
    assert_eq!(store.images().unwrap().len(), 1);
}

#[test]
fn a_full_disk_is_named_and_leaves_no_half_of_a_layer() {
    let (_disk, path) = small_disk("1m");
    let store = ImageStore::open(path).unwrap();
    let registry = Registry::start(Behaviour::default());
    let zeros = tar(&[("zeros", &"\0".repeat(4_000_000), 0o644)]);
    registry.push("unpacked", &TestImage::new(Form::OciGzip, &[zeros]));
    registry.push(
        "packed",
        &TestImage::new(
            Form::OciPlain,
            &[large_layer(), [large_layer(), vec![0; 900_000]].concat()],
        ),
    );
    let error = store.pull(&registry.name("a/b:unpacked"), &options(), &Silent).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("the disk is full") && text.contains("snapshots/sha256"), "{text}");
    assert!(text.contains("\"zeros\""), "{text}");
    let PullError::Store { source: StoreError::Unpack { source, .. }, .. } = &error else {
        panic!("{error:?}")
    };
    assert!(matches!(source, UnpackError::DiskFull { .. }));
    assert!(error.hint().unwrap().contains("free space"));
    assert!(names(store.dir().join("snapshots/sha256")).is_empty());
    assert_is_clean(&store);
    let error = store.pull(&registry.name("a/b:packed"), &options(), &Silent).unwrap_err();
    assert!(error.to_string().contains("the disk is full"), "{error}");
    assert_is_clean(&store);
}

//! Pushing to registries: what arrives, what is not sent twice, and what is said when it fails.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use image::{
    Credentials, Digest, ImageStore, Outcome, PushError, PushOptions, Reference, Silent, TaskKind,
};

use crate::support::registry::{Behaviour, Registry};
use crate::support::{Form, Place, Recorder, TestImage, noise, options, tar};

fn layers() -> Vec<Vec<u8>> {
    vec![tar(&[("noise", &noise(), 0o644)]), tar(&[("server", "two", 0o755)])]
}

fn push_options() -> PushOptions {
    PushOptions { docker_config: None, compress: false, ..PushOptions::default() }
}

/// A store with an image of that form, pulled from a registry that is gone, under the name.
fn place(form: Form, name: &Reference) -> (Place, TestImage) {
    let image = TestImage::new(form, &layers());
    let source = Registry::start(Behaviour::default());
    let digest = source.push("v1", &image);
    let place = crate::support::place();
    let pulled: Reference = source.name("a/b:v1");
    place.store.pull(&pulled, &options(), &Silent).unwrap();
    place.store.tag(name, &digest).unwrap();
    place.store.untag(&pulled).unwrap();
    (place, image)
}

#[test]
fn what_was_pulled_is_pushed_byte_for_byte() {
    for form in [Form::OciGzip, Form::OciZstd, Form::OciPlain, Form::Docker] {
        let registry = Registry::start(Behaviour::default());
        let name = registry.name("a/b:v2");
        let (place, image) = place(form, &name);
        let digest = place.store.push(&name, &push_options(), &Silent).unwrap();
        let (media_type, manifest) = registry.manifest("v2").unwrap();
        assert_eq!((media_type.as_str(), &manifest), (image.media_type, &image.manifest));
        assert_eq!(registry.manifest(digest.as_str()).unwrap().1, image.manifest);
        assert!(registry.requests().last().unwrap().path.ends_with("/manifests/v2"));
    }
}

#[test]
fn plain_layers_are_compressed_once_and_the_name_leads_to_what_the_registry_has() {
    let registry = Registry::start(Behaviour::default());
    let name = registry.name("a/b:v2");
    let (place, image) = place(Form::OciPlain, &name);
    let options = PushOptions { compress: true, ..push_options() };
    let compressions = |progress: &Recorder| {
        progress.labels(Outcome::Done, |kind| kind == TaskKind::Compress).len()
    };
    let progress = Recorder::default();
    let digest = place.store.push(&name, &options, &progress).unwrap();
    assert_eq!(compressions(&progress), 2);
    let (_, manifest) = registry.manifest("v2").unwrap();
    assert_ne!(manifest, image.manifest);
    assert_eq!(String::from_utf8_lossy(&manifest).matches("tar+gzip\"").count(), 2);
    assert_eq!(place.store.images().unwrap()[0].digest, digest);
    // The image as it was built, pushed once more: nothing is compressed again.
    place.store.tag(&name, &Digest::of(&image.manifest)).unwrap();
    let progress = Recorder::default();
    assert_eq!(place.store.push(&name, &options, &progress).unwrap(), digest);
    assert_eq!(compressions(&progress), 0);
    // Another store takes it, and its layers are what they were.
    let dir = tempfile::tempdir().unwrap();
    let other = ImageStore::open(dir.path()).unwrap();
    let pulled = other.pull(&name, &crate::support::options(), &Silent).unwrap();
    assert_eq!(pulled.digest, digest);
    // It is one image, however it is stored, and is removed as one.
    assert_eq!(place.store.list().unwrap().len(), 1);
    place.store.untag(&name).unwrap();
    place.store.reclaim(&[digest], &[]).unwrap();
    assert_eq!(fs_err::read_dir(place.store.dir().join("content/sha256")).unwrap().count(), 0);
}

#[test]
fn what_the_registry_has_is_not_sent_again() {
    let registry = Registry::start(Behaviour::default());
    let name = registry.name("a/b:v2");
    let (place, _) = place(Form::OciGzip, &name);
    place.store.push(&name, &push_options(), &Silent).unwrap();
    registry.forget_requests();
    let progress = Recorder::default();
    place.store.push(&name, &push_options(), &progress).unwrap();
    assert_eq!(registry.count("POST", "/blobs/uploads/"), 0);
    assert_eq!(progress.labels(Outcome::Cached, |kind| kind == TaskKind::Upload).len(), 3);
}

#[test]
fn a_blob_of_another_repository_is_mounted_from_there() {
    let registry = Registry::start(Behaviour { mount: true, ..Behaviour::default() });
    let (place, _) = place(Form::OciGzip, &registry.name("other/app:v1"));
    let other = registry.name("other/app:v1");
    let digest = place.store.push(&other, &push_options(), &Silent).unwrap();
    let name = registry.name("a/b:v1");
    place.store.tag(&name, &digest).unwrap();
    // The registry knows of one repository, so it says that it has no blob when it is asked.
    registry.forget_requests();
    registry.hide_blobs();
    place.store.push(&name, &push_options(), &Silent).unwrap();
    let mounts = registry.requests_for("mount=");
    assert_eq!(mounts.len(), 2, "both layers");
    assert!(mounts[0].path.ends_with("&from=other/app"), "{}", mounts[0].path);
    assert_eq!(registry.count("PUT", "/blobs/uploads/"), 1, "the config alone is sent");
}

#[test]
fn a_broken_upload_goes_on_where_it_ended() {
    let behaviour = Behaviour { cut_upload_after: Some(100_000), ..Behaviour::default() };
    let registry = Registry::start(behaviour);
    let name = registry.name("a/b:v2");
    let (place, _) = place(Form::OciPlain, &name);
    let progress = Recorder::default();
    place.store.push(&name, &push_options(), &progress).unwrap();
    assert!(progress.log().contains("going on"), "{}", progress.log());
    let ranges: Vec<_> = registry
        .requests_for("/blobs/uploads/")
        .into_iter()
        .filter_map(|request| request.headers.get("content-range").cloned())
        .collect();
    assert_eq!(ranges.len(), 1);
    assert!(ranges[0].starts_with("100000-"), "{ranges:?}");
    assert!(registry.manifest("v2").is_some());
}

#[test]
fn an_upload_that_the_registry_forgot_begins_anew() {
    let behaviour =
        Behaviour { cut_upload_after: Some(100_000), forget_uploads: true, ..Behaviour::default() };
    let registry = Registry::start(behaviour);
    let name = registry.name("a/b:v2");
    let (place, _) = place(Form::OciPlain, &name);
    let progress = Recorder::default();
    place.store.push(&name, &push_options(), &progress).unwrap();
    assert!(progress.log().contains("anew"), "{}", progress.log());
}

#[test]
fn pieces_are_as_large_as_the_registry_takes_them() {
    let registry = Registry::start(Behaviour { chunk: Some(150_000), ..Behaviour::default() });
    let name = registry.name("a/b:v2");
    let (place, _) = place(Form::OciPlain, &name);
    place.store.push(&name, &push_options(), &Silent).unwrap();
    assert_eq!(registry.count("PATCH", "/blobs/uploads/"), 3, "401,920 bytes");
    let options = PushOptions { chunk: Some(100_000), ..push_options() };
    let second = Registry::start(Behaviour::default());
    place.store.tag(&second.name("a/b:v2"), &place.store.images().unwrap()[0].digest).unwrap();
    place.store.push(&second.name("a/b:v2"), &options, &Silent).unwrap();
    assert_eq!(second.count("PATCH", "/blobs/uploads/"), 5);
}

#[test]
fn one_token_with_the_right_to_push_serves_for_all() {
    let password = Some("user:secret".to_owned());
    let registry = Registry::start(Behaviour { token: true, password, ..Behaviour::default() });
    let name = registry.name("a/b:v2");
    let (place, _) = place(Form::OciGzip, &name);
    let error = place.store.push(&name, &push_options(), &Silent).unwrap_err();
    assert!(error.hint().unwrap().contains("log in"), "{error}");
    let mut options = push_options();
    options.parallel = 1;
    let credentials = Credentials { username: "user".into(), password: "secret".into() };
    options.credentials.insert(registry.address.to_string(), credentials);
    registry.forget_requests();
    place.store.push(&name, &options, &Silent).unwrap();
    let tokens = registry.requests_for("/token");
    assert_eq!(tokens.len(), 1);
    assert_eq!(tokens[0].path, "/token?service=test&scope=repository:a/b:pull%2Cpush");
}

#[test]
fn a_refusal_is_told_with_what_to_do() {
    for (status, message, hint) in [
        (403, "requested access is denied", "may write to a/b"),
        (403, "quota exceeded", "quota"),
        (404, "repository unknown", "made beforehand"),
        (413, "too large", "--chunk-size"),
    ] {
        let refuse_upload = Some((status, message));
        let registry = Registry::start(Behaviour { refuse_upload, ..Behaviour::default() });
        let name = registry.name("a/b:v2");
        let (place, _) = place(Form::OciGzip, &name);
        let error = place.store.push(&name, &push_options(), &Silent).unwrap_err();
        let text = error.to_string();
        assert!(text.contains(&status.to_string()) && text.contains(message), "{text}");
        assert!(error.hint().unwrap().contains(hint), "{status}: {:?}", error.hint());
        assert!(registry.manifest("v2").is_none());
    }
}

#[test]
fn a_registry_that_is_not_there_and_an_image_that_is_not_here_are_named() {
    let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let name: Reference = format!("{unused}/a/b:v1").parse().unwrap();
    let (place, _) = place(Form::OciGzip, &name);
    let error = place.store.push(&name, &push_options(), &Silent).unwrap_err();
    assert!(error.to_string().contains("refused"), "{error}");
    assert!(error.hint().unwrap().contains(&format!("{unused} runs")), "{error}");
    let other = format!("{unused}/a/b:v2").parse().unwrap();
    let error = place.store.push(&other, &push_options(), &Silent).unwrap_err();
    assert!(matches!(error, PushError::NotHere { .. }), "{error}");
}

#[test]
fn a_push_that_is_cancelled_ends_soon() {
    let registry = Registry::start(Behaviour { status: Some(503), ..Behaviour::default() });
    let name = registry.name("a/b:v2");
    let (place, _) = place(Form::OciGzip, &name);
    let progress = Recorder::default();
    let started = Instant::now();
    std::thread::scope(|scope| {
        let push = scope.spawn(|| place.store.push(&name, &push_options(), &progress));
        while registry.requests().is_empty() {
            assert!(started.elapsed() < Duration::from_secs(10));
            std::thread::yield_now();
        }
        progress.cancel.store(true, Ordering::Relaxed);
        assert!(push.join().unwrap().unwrap_err().is_cancelled());
    });
}

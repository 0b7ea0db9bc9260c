//! Repositories over a real store: what is here stays here, what is not needed goes, and what is
//! killed halfway is gone on with.

use serde_json::json;

use super::*;
use crate::gc::PruneRequest;
use crate::reference::Reference;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

struct Fixture {
    _dir: tempfile::TempDir,
    store: ImageStore,
    repositories: Repositories,
}

fn fixture() -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let store = ImageStore::open(dir.path()).unwrap();
    let repositories = store.repositories().unwrap();
    Fixture { _dir: dir, store, repositories }
}

fn name(text: &str) -> RepositoryName {
    text.parse().unwrap()
}

fn tag(text: &str) -> Version {
    Version::Tag(text.parse().unwrap())
}

impl Fixture {
    fn blob(&self, repository: &str, bytes: &[u8]) -> serde_json::Value {
        let mut session = self.repositories.begin_upload(&name(repository), None).unwrap();
        session.append(bytes).unwrap();
        let digest = ContentDigest::from(Digest::of(bytes));
        session.finish(&digest).unwrap();
        json!({"mediaType": "", "digest": digest, "size": bytes.len()})
    }

    fn put(
        &self,
        repository: &str,
        kind: &str,
        tags: &[&str],
        manifest: &serde_json::Value,
    ) -> RepositoryManifest {
        let tags: Vec<Tag> = tags.iter().map(|tag| tag.parse().unwrap()).collect();
        let bytes = manifest.to_string();
        let put = PutManifest {
            bytes: bytes.as_bytes(),
            media_type: kind,
            digest: None,
            tags: &tags,
            immutable_tags: false,
            image_limit: u64::MAX,
            complete: true,
        };
        self.repositories.put_manifest(&name(repository), &put).unwrap()
    }

    fn image(&self, repository: &str, tags: &[&str], text: &str) -> RepositoryManifest {
        let config =
            self.blob(repository, json!({"os": "linux", "made": text}).to_string().as_bytes());
        let manifest = json!({"schemaVersion": 2, "config": config, "layers": []});
        self.put(repository, MANIFEST, tags, &manifest)
    }

    /// Makes all blobs of a repository as old as yesterday.
    fn age(&self, repository: &str) {
        let yesterday = std::time::SystemTime::now() - std::time::Duration::from_secs(86_400);
        let layout = self.store.layout();
        for digest in layout.links(&name(repository), files::BLOBS).unwrap() {
            let path = layout.link(&name(repository), files::BLOBS, &digest);
            let file = fs_err::OpenOptions::new().write(true).open(path).unwrap();
            file.file().set_modified(yesterday).unwrap();
        }
    }

    fn blobs(&self) -> usize {
        fs_err::read_dir(self.store.dir().join("content/sha256")).unwrap().count()
    }
}

#[test]
fn an_image_of_one_of_our_hosts_is_found_in_the_store_and_no_other_is() {
    let fixture = fixture();
    let image = fixture.image("acc/app", &["v1"], "one");
    let reference = |text: &str| text.parse::<Reference>().unwrap();
    let find = |text: &str| fixture.store.layout().find(&reference(text)).unwrap();
    assert_eq!(find("localhost:5000/acc/app:v1"), None);
    fixture.repositories.serve_as(&["localhost:5000".to_owned()]).unwrap();
    assert_eq!(find("localhost:5000/acc/app:v1"), Some(image.content.clone()));
    assert_eq!(find("localhost:5000/acc/app:v2"), None);
    assert_eq!(find("localhost:5001/acc/app:v1"), None);
    // An index leads to the image of this machine.
    let part = json!({"mediaType": MANIFEST, "digest": image.digest, "size": image.size,
        "platform": {"os": "linux", "architecture": crate::Platform::host().architecture()}});
    fixture.put("acc/app", INDEX, &["multi"], &json!({"schemaVersion": 2, "manifests": [part]}));
    assert_eq!(find("localhost:5000/acc/app:multi"), Some(image.content));
}

#[test]
fn an_image_of_our_own_registry_is_listed_until_its_name_is_taken_away() {
    let fixture = fixture();
    let pushed = fixture.image("acc/app", &["v1"], "one").content;
    let other = fixture.image("acc/other", &["v1"], "other").content;
    let listed = || -> Vec<(String, Digest)> {
        let images = fixture.store.list().unwrap().into_iter();
        let named = images.filter(|image| !image.references.is_empty());
        named.map(|image| (image.references[0].to_string(), image.digest)).collect()
    };
    assert_eq!(listed(), []);
    fixture.repositories.serve_as(&["localhost:5000".to_owned()]).unwrap();
    let name = |name: &str| format!("localhost:5000/acc/{name}:v1");
    assert_eq!(listed(), [(name("app"), pushed.clone()), (name("other"), other.clone())]);
    // Built or tagged here since then, the name leads to that, and to what is pushed after that.
    let reference: Reference = name("app").parse().unwrap();
    fixture.store.tag(&reference, &other).unwrap();
    assert_eq!(fixture.store.layout().find(&reference).unwrap(), Some(other.clone()));
    assert_eq!(listed(), [(name("app"), other.clone())]);
    let record = fixture.store.layout().record_path(&reference);
    let record = fs_err::File::options().write(true).open(record).unwrap();
    record
        .set_modified(std::time::SystemTime::now() - std::time::Duration::from_millis(100))
        .unwrap();
    assert_eq!(fixture.store.layout().find(&reference).unwrap(), Some(pushed));
    assert!(fixture.store.untag(&reference).unwrap());
    assert_eq!(listed(), [(name("other"), other)]);
    assert!(!fixture.store.untag(&reference).unwrap());
}

#[test]
fn pruning_the_store_takes_nothing_that_a_repository_has() {
    let fixture = fixture();
    fixture.image("acc/app", &["v1"], "one");
    fixture.blob("acc/app", b"its manifest comes later");
    let before = fixture.blobs();
    fixture.store.prune(&PruneRequest::default(), &crate::Silent).unwrap();
    assert_eq!(fixture.blobs(), before);
}

#[test]
fn a_tag_that_is_deleted_frees_what_nothing_else_needs() {
    let fixture = fixture();
    fixture.image("acc/app", &["v1", "v2"], "one");
    fixture.image("acc/app", &["v3"], "other");
    let shared = fixture.image("acc/copy", &["v1"], "one");
    let repository = name("acc/app");
    for version in ["v1", "v2"] {
        assert!(fixture.repositories.remove_manifest(&repository, &tag(version)).unwrap());
        let collected = fixture.repositories.collect(&[]).unwrap();
        assert_eq!(collected.manifests, usize::from(version == "v2"));
    }
    assert_eq!(fixture.blobs(), 4, "another repository has them too");
    assert!(fixture.repositories.remove_manifest(&name("acc/copy"), &tag("v1")).unwrap());
    for repository in ["acc/app", "acc/copy"] {
        fixture.age(repository);
    }
    // An instance runs on it.
    fixture.repositories.collect(std::slice::from_ref(&shared.content)).unwrap();
    assert_eq!(fixture.blobs(), 4);
    // It has ended.
    fixture.repositories.collect(&[]).unwrap();
    assert_eq!(fixture.blobs(), 2);
    assert!(fixture.repositories.manifest(&repository, &tag("v3")).unwrap().is_some());
    assert_eq!(fixture.repositories.names().unwrap(), [repository]);
}

#[test]
fn what_is_removed_by_its_digest_is_gone_at_once_and_its_content_with_the_garbage() {
    let fixture = fixture();
    let image = fixture.image("acc/app", &["v1"], "one");
    let version = Version::Digest(image.digest.clone());
    let repository = name("acc/app");
    assert!(fixture.repositories.remove_manifest(&repository, &version).unwrap());
    assert!(!fixture.repositories.remove_manifest(&repository, &version).unwrap());
    assert!(fixture.repositories.manifest(&repository, &tag("v1")).unwrap().is_none());
    for digest in fixture.store.layout().links(&repository, files::BLOBS).unwrap() {
        assert!(fixture.repositories.remove_blob(&repository, &digest).unwrap());
        assert!(fixture.repositories.blob(&repository, &digest).unwrap().is_none());
    }
    assert_eq!(fixture.blobs(), 2);
    let collected = fixture.repositories.collect(&[]).unwrap();
    assert_eq!((collected.content.blobs, fixture.blobs()), (2, 0));
    assert!(fixture.repositories.all_names().unwrap().is_empty(), "its folders are gone");
}

#[test]
fn an_upload_goes_on_in_another_process_and_its_digest_is_of_the_whole() {
    let fixture = fixture();
    let repository = name("acc/app");
    let mut session = fixture.repositories.begin_upload(&repository, Some("c".into())).unwrap();
    session.append(b"hal").unwrap();
    let id = session.id().to_owned();
    drop(session);
    let other = ImageStore::open(fixture.store.dir()).unwrap().repositories().unwrap();
    assert!(other.resume_upload(&name("acc/other"), &id).unwrap().is_none());
    assert!(other.resume_upload(&repository, "../../content").unwrap().is_none());
    let mut session = other.resume_upload(&repository, &id).unwrap().unwrap();
    assert_eq!((session.size(), session.credential()), (3, Some("c")));
    session.append(b"ves").unwrap();
    let digest = ContentDigest::from(Digest::of(b"halves"));
    assert_eq!(session.finish(&digest).unwrap(), 6);
    assert_eq!(other.blob(&repository, &digest).unwrap().unwrap().size, 6);
    assert!(other.resume_upload(&repository, &id).unwrap().is_none());
    let active = other.active_since(std::time::Duration::from_secs(60)).unwrap();
    assert!(active.is_empty());
}

#[test]
fn what_a_killed_process_left_of_a_link_is_no_link() {
    let fixture = fixture();
    let image = fixture.image("acc/app", &["v1"], "one");
    let layout = fixture.store.layout();
    // The content is gone, or a file is empty after a power failure.
    fs_err::remove_file(layout.blob(&image.content)).unwrap();
    assert!(fixture.repositories.manifest(&name("acc/app"), &tag("v1")).unwrap().is_none());
    fs_err::write(layout.tag_path(&name("acc/app"), &"v2".parse().unwrap()), "").unwrap();
    assert!(fixture.repositories.manifest(&name("acc/app"), &tag("v2")).unwrap().is_none());
    fixture.repositories.collect(&[]).unwrap();
    fixture.image("acc/app", &["v1"], "one");
    assert!(fixture.repositories.manifest(&name("acc/app"), &tag("v1")).unwrap().is_some());
}

#[test]
fn usage_counts_what_several_repositories_have_once() {
    let fixture = fixture();
    fixture.blob("acc/a", &[1; 1000]);
    fixture.blob("acc/b", &[1; 1000]);
    fixture.blob("acc/b", &[2; 500]);
    fixture.blob("other/a", &[3; 10]);
    assert_eq!(fixture.repositories.usage(Some("acc")).unwrap(), 1500);
    assert_eq!(fixture.repositories.usage(None).unwrap(), 1510);
}

//! What a registry keeps: manifests that are complete, tags, referrers, catalogs, and no garbage.

use std::io::Write as _;

use e2e::{Client, Data, Project, Registry, RegistryServer, Reply};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

fn digest(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

fn code(reply: &Reply) -> (u16, String) {
    (reply.status, reply.json()["errors"][0]["code"].as_str().unwrap_or_default().to_owned())
}

fn push_blob(client: &Client, repository: &str, bytes: &[u8]) -> Value {
    let path = format!("/v2/{repository}/blobs/uploads/?digest={}", digest(bytes));
    assert_eq!(client.send("POST", &path, &[], bytes).status, 201);
    json!({"mediaType": "application/x", "digest": digest(bytes), "size": bytes.len()})
}

fn put(client: &Client, repository: &str, version: &str, manifest: &Value) -> Reply {
    let path = format!("/v2/{repository}/manifests/{version}");
    client.send("PUT", &path, &[("content-type", MANIFEST)], manifest.to_string())
}

/// A manifest with one layer; `name` makes its content its own.
fn image(client: &Client, repository: &str, name: &str) -> Value {
    let layer = push_blob(client, repository, name.as_bytes());
    let config = push_blob(client, repository, b"{}");
    json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer]})
}

fn anonymous(args: &[&str]) -> (RegistryServer, Client) {
    let server = RegistryServer::start(&[&["--anonymous"], args].concat());
    let client = server.client();
    (server, client)
}

#[test]
fn a_manifest_whose_blobs_are_missing_or_that_is_none_is_refused() {
    let (server, client) = anonymous(&[]);
    let mut manifest = image(&client, "acc/app", "one");
    manifest["layers"][0]["digest"] = json!(digest(b"never pushed"));
    assert_eq!(
        code(&put(&client, "acc/app", "v1", &manifest)),
        (404, "MANIFEST_BLOB_UNKNOWN".into())
    );
    assert_eq!(code(&put(&client, "acc/app", "v1", &json!([]))), (400, "MANIFEST_INVALID".into()));
    let image = image(&client, "acc/app", "two");
    assert_eq!(
        code(&put(&client, "acc/app", &digest(b"other"), &image)),
        (400, "DIGEST_INVALID".into())
    );
    assert_eq!(code(&put(&client, "acc/app", "-bad-", &image)), (400, "TAG_INVALID".into()));
    let mut huge = image.clone();
    huge["layers"][0]["size"] = json!(30_000_000_000_u64);
    assert_eq!(code(&put(&client, "acc/app", "v1", &huge)), (413, "SIZE_INVALID".into()));
    let mut long = image.clone();
    long["annotations"] = json!({"a": "x".repeat(4 << 20)});
    assert_eq!(put(&client, "acc/app", "v1", &long).status, 413);
    assert_eq!(client.get("/v2/acc/app/tags/list").json()["tags"], json!([]));
    assert_eq!(client.get("/v2/acc/none/tags/list").status, 404);
    server.stop();
}

#[test]
fn a_manifest_that_does_not_fit_on_the_disk_is_told_and_its_tag_stays_where_it_was() {
    let project = Project::empty().with_own_home();
    let _small = project.small_disk_for("images");
    let data = Data::at(project.home());
    let server = RegistryServer::start_on(&data, "127.0.0.1:0", &["--anonymous"]);
    let client = server.client();
    let [old, new] = ["old", "new"].map(|name| image(&client, "acc/app", name));
    assert_eq!(put(&client, "acc/app", "v1", &old).status, 201);
    let filler = data.path().join("images/filler");
    let mut file = fs_err::File::create(&filler).expect("make a filler");
    while file.write_all(&[0; 4096]).is_ok() {}
    drop(file);
    let full = (507, "DISK_FULL".to_owned());
    assert_eq!(code(&put(&client, "acc/app", "v1", &new)), full);
    let path = format!("/v2/acc/app/blobs/uploads/?digest={}", digest(b"more"));
    assert_eq!(code(&client.send("POST", &path, &[], "more")), full);
    assert_eq!(client.get("/v2/acc/app/manifests/v1").json(), old);
    fs_err::remove_file(filler).expect("remove the filler");
    assert_eq!(put(&client, "acc/app", "v1", &new).status, 201);
    assert_eq!(client.get("/v2/acc/app/manifests/v1").json(), new);
    assert_eq!(data.blobs().len(), 5, "two manifests, two layers, one config");
    server.stop();
}

#[test]
fn bh2_catalogs_and_tags_come_in_pages_and_as_wrangler_wants_them() {
    let (server, client) = anonymous(&[]);
    for repository in ["acc/a", "acc/b", "acc/c"] {
        let image = image(&client, repository, repository);
        for tag in ["v1", "v2", "v3"] {
            assert_eq!(put(&client, repository, tag, &image).status, 201);
        }
    }
    let first = client.get("/v2/_catalog?n=2");
    assert_eq!(first.json(), json!({"repositories": ["acc/a", "acc/b"]}));
    let next = first.headers["link"].trim_start_matches('<').split('>').next().expect("a link");
    assert_eq!(client.get(next).json(), json!({"repositories": ["acc/c"]}));
    let tags = client.get("/v2/acc/a/tags/list?n=2&last=v1");
    assert_eq!(tags.json(), json!({"name": "acc/a", "tags": ["v2", "v3"]}));
    let both = client.get("/v2/_catalog?tags=true").json();
    assert_eq!(both["repositories"]["acc/b"], json!(["v1", "v2", "v3"]));
    server.stop();
}

#[test]
fn what_is_attached_to_an_image_is_listed_and_goes_with_it() {
    let (server, client) = anonymous(&[]);
    let subject = image(&client, "acc/app", "subject");
    put(&client, "acc/app", "v1", &subject);
    let of_subject = digest(subject.to_string().as_bytes());
    let mut signature = image(&client, "acc/app", "signature");
    signature["artifactType"] = json!("application/x.signature");
    signature["subject"] = json!({"mediaType": MANIFEST, "digest": of_subject, "size": 1});
    let of_signature = digest(signature.to_string().as_bytes());
    let reply = put(&client, "acc/app", &of_signature, &signature);
    assert_eq!(reply.headers["oci-subject"], of_subject);
    let path = format!("/v2/acc/app/referrers/{of_subject}");
    let index = client.get(&path).json();
    assert_eq!(index["manifests"][0]["digest"], json!(of_signature));
    assert_eq!(index["manifests"][0]["artifactType"], "application/x.signature");
    let other = client.get(&format!("{path}?artifactType=application/y"));
    assert_eq!(other.headers["oci-filters-applied"], "artifactType");
    assert_eq!(other.json()["manifests"], json!([]));
    // Its last tag goes, and with the garbage all that was there for it.
    assert_eq!(client.send("DELETE", "/v2/acc/app/manifests/v1", &[], "").status, 202);
    let collected = client.send("PUT", "/v2/gc/layers", &[], "");
    assert_eq!((collected.status, &collected.json()["manifests"]), (200, &json!(2)));
    for version in [&of_subject, &of_signature] {
        assert_eq!(client.get(&format!("/v2/acc/app/manifests/{version}")).status, 404);
    }
    server.stop();
}

#[test]
fn i10_garbage_is_what_was_deleted_and_not_what_a_deployment_pins() {
    let (server, client) = anonymous(&[]);
    let (old, new) = (image(&client, "acc/app", "old"), image(&client, "acc/app", "new"));
    put(&client, "acc/app", "latest", &old);
    put(&client, "acc/app", "latest", &new);
    let pinned = format!("/v2/acc/app/manifests/{}", digest(old.to_string().as_bytes()));
    assert_eq!(client.send("PUT", "/v2/gc/layers", &[], "").json()["manifests"], 0);
    assert_eq!(client.get(&pinned).status, 200, "a tag that moved deletes nothing");
    assert_eq!(client.send("DELETE", "/v2/acc/app/manifests/latest", &[], "").status, 202);
    assert_eq!(client.send("PUT", "/v2/gc/layers", &[], "").json()["manifests"], 1);
    let gone = format!("/v2/acc/app/manifests/{}", digest(new.to_string().as_bytes()));
    assert_eq!((client.get(&gone).status, client.get(&pinned).status), (404, 200));
    server.stop();
}

#[test]
fn tags_can_be_told_to_stay() {
    let (server, client) = anonymous(&["--immutable-tags"]);
    let first = image(&client, "acc/app", "first");
    assert_eq!(put(&client, "acc/app", "v1", &first).status, 201);
    assert_eq!(put(&client, "acc/app", "v1", &first).status, 201, "the same again is fine");
    let reply = put(&client, "acc/app", "v1", &image(&client, "acc/app", "second"));
    assert_eq!(code(&reply), (403, "DENIED".into()));
    assert_eq!(put(&client, "acc/app", "v2", &image(&client, "acc/app", "second")).status, 201);
    server.stop();
}

#[test]
fn bh1_another_registrys_images_are_kept_here_and_served_when_it_is_gone() {
    let upstream = Registry::of_base_images();
    let data = Data::new();
    let proxy = format!("docker.io={}", upstream.url());
    let server =
        RegistryServer::start_on(&data, "127.0.0.1:0", &["--anonymous", "--proxy", &proxy]);
    let client = server.client();
    let manifest = client.get("/v2/docker.io/library/busybox/manifests/latest");
    assert_eq!(manifest.status, 200, "{manifest}");
    let layer = manifest.json()["layers"][0].clone();
    let of_layer = layer["digest"].as_str().expect("a digest").to_owned();
    // As containerd asks a mirror.
    let path = format!("/v2/library/busybox/blobs/{of_layer}?ns=docker.io");
    let blob = client.get(&path);
    assert_eq!((blob.status, digest(&blob.body)), (200, of_layer.clone()));
    // Not there, or, as nobody reaches Docker Hub itself, not to be had.
    let nothing = client.get("/v2/docker.io/library/nothing/manifests/latest").status;
    assert!(matches!(nothing, 404 | 502), "{nothing}");
    let push = client.send("POST", "/v2/docker.io/library/busybox/blobs/uploads/", &[], "");
    assert_eq!(push.status, 405, "{push}");
    server.stop();
    // Nobody listens there.
    let args = ["--anonymous", "--proxy", "docker.io=http://127.0.0.1:1"];
    let server = RegistryServer::start_on(&data, "127.0.0.1:0", &args);
    let client = server.client();
    let again = client.get("/v2/docker.io/library/busybox/manifests/latest");
    assert_eq!((again.status, &again.body), (200, &manifest.body));
    assert_eq!(client.get(&path).status, 200);
    server.stop();
}

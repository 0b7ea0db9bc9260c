//! Uploads: in any of the specification's ways, broken off and gone on with, also by another
//! process.

use std::io::Write as _;
use std::net::{Shutdown, TcpStream};

use e2e::{Client, Data, Project, RegistryServer, Reply, until};
use sha2::{Digest as _, Sha256, Sha512};

const UPLOADS: &str = "/v2/acc/app/blobs/uploads/";

fn sha256(bytes: &[u8]) -> String {
    format!("sha256:{}", hex(&Sha256::digest(bytes)))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Bytes that repeat nowhere near each other.
fn content(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()[0]
    };
    (0..length).map(|_| next()).collect()
}

/// A registry for anyone, and a client of it.
fn anonymous(data: &Data) -> (RegistryServer, Client) {
    let server = RegistryServer::start_on(data, "127.0.0.1:0", &["--anonymous"]);
    let client = server.client();
    (server, client)
}

fn begin(client: &Client) -> String {
    let reply = client.send("POST", UPLOADS, &[], "");
    assert_eq!(reply.status, 202, "{reply}");
    assert_eq!(reply.headers["range"], "0-0");
    reply.headers["location"].clone()
}

fn patch(client: &Client, location: &str, first: usize, bytes: &[u8]) -> Reply {
    let range = format!("{first}-{}", first + bytes.len() - 1);
    client.send("PATCH", location, &[("content-range", &range)], bytes)
}

/// Bytes of an upload that are here, as the registry says.
fn size(client: &Client, location: &str) -> usize {
    let reply = client.send("GET", location, &[], "");
    assert_eq!(reply.status, 204, "{reply}");
    let last: usize = reply.headers["range"].trim_start_matches("0-").parse().expect("a number");
    if last == 0 { 0 } else { last + 1 }
}

fn finish(client: &Client, location: &str, digest: &str) -> Reply {
    client.send("PUT", &format!("{location}?digest={digest}"), &[], "")
}

fn blob(client: &Client, digest: &str) -> Reply {
    client.get(&format!("/v2/acc/app/blobs/{digest}"))
}

/// Begins a request with this body, of which only a part is sent; the connection stays open.
fn send_part(server: &RegistryServer, location: &str, whole: usize, part: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(server.address()).expect("connect");
    let head =
        format!("PATCH {location} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {whole}\r\n\r\n");
    stream.write_all(head.as_bytes()).expect("send the head");
    stream.write_all(part).expect("send a part");
    stream
}

#[test]
fn a_chunk_must_go_on_where_the_last_one_ended() {
    let (server, client) = anonymous(&Data::new());
    let (bytes, location) = (content(3000), begin(&client));
    assert_eq!(patch(&client, &location, 0, &bytes[..1000]).status, 202);
    for first in [0, 999, 1001, 2000] {
        let reply = patch(&client, &location, first, &bytes[first..first + 10]);
        assert_eq!(reply.status, 416, "{first}: {reply}");
        assert_eq!(reply.headers["range"], "0-999");
    }
    let short = client.send("PATCH", &location, &[("content-range", "1000-1010")], [0; 5]);
    assert_eq!(
        (short.status, short.json()["errors"][0]["code"].as_str()),
        (400, Some("SIZE_INVALID"))
    );
    assert_eq!(patch(&client, &location, 1000, &bytes[1000..]).status, 202);
    let digest = sha256(&bytes);
    let reply = finish(&client, &location, &digest);
    assert_eq!((reply.status, &reply.headers["docker-content-digest"]), (201, &digest));
    assert_eq!(blob(&client, &digest).body, bytes);
    assert_eq!(finish(&client, &location, &digest).status, 404, "it is over");
    server.stop();
}

#[test]
fn a_wrong_digest_is_refused_and_leaves_nothing() {
    let (server, client) = anonymous(&Data::new());
    let wrong = sha256(b"something else");
    let reply = client.send("POST", &format!("{UPLOADS}?digest={wrong}"), &[], "content");
    assert_eq!(
        (reply.status, reply.json()["errors"][0]["code"].as_str()),
        (400, Some("DIGEST_INVALID"))
    );
    for bad in ["sha256:00", "md5:d41d8cd98f00b204e9800998ecf8427e", "", "..%2F..%2Fetc"] {
        let reply = client.send("POST", &format!("{UPLOADS}?digest={bad}"), &[], "content");
        assert_eq!(reply.status, 400, "{bad}: {reply}");
    }
    assert_eq!(blob(&client, &wrong).status, 404);
    assert!(server.data().blobs().is_empty());
    let uploads = server.data().path().join("images/uploads");
    assert_eq!(fs_err::read_dir(uploads).expect("list the uploads").count(), 0);
    server.stop();
}

#[test]
fn content_has_one_place_whatever_its_digest_is_called() {
    let (server, client) = anonymous(&Data::new());
    let bytes = content(5000);
    let (short, long) = (sha256(&bytes), format!("sha512:{}", hex(&Sha512::digest(&bytes))));
    for digest in [&short, &long] {
        let reply = client.send("POST", &format!("{UPLOADS}?digest={digest}"), &[], &bytes);
        assert_eq!((reply.status, &reply.headers["docker-content-digest"]), (201, digest));
        assert_eq!(blob(&client, digest).body, bytes);
    }
    assert_eq!(server.data().blobs().len(), 1);
    server.stop();
}

#[test]
fn a_registry_that_is_killed_leaves_no_corrupt_blob_and_its_uploads_go_on() {
    let data = Data::new();
    let bytes = content(3 << 20);
    let digest = sha256(&bytes);
    let (mut server, mut client) = anonymous(&data);
    let location = begin(&client);
    let mut have = 0;
    // Killed wherever the bytes are just then: within a piece, between two, right after the first.
    for part in [2, 70_000, 600_000, 1_300_000, 3_000_000] {
        let _open = send_part(&server, &location, bytes.len() - have, &bytes[have..part.max(have)]);
        let stored = data.path().join("images").join("uploads");
        let id = location.rsplit('/').next().expect("an id").to_owned();
        until("something is stored", || {
            let length = fs_err::metadata(stored.join(&id).join("data")).ok()?.len();
            (usize::try_from(length).ok()? > have || part <= have + 2).then_some(())
        });
        server.kill();
        assert!(data.blobs().is_empty(), "no blob has its name before it is complete");
        (server, client) = anonymous(&data);
        have = size(&client, &location);
        assert!(have <= part.max(have) && have <= bytes.len());
    }
    assert_eq!(patch(&client, &location, have, &bytes[have..]).status, 202);
    server.kill();
    (server, client) = anonymous(&data);
    assert_eq!(finish(&client, &location, &digest).status, 201);
    server.kill();
    (server, client) = anonymous(&data);
    assert_eq!(blob(&client, &digest).body, bytes);
    assert_eq!(data.blobs().len(), 1);
    server.stop();
}

#[test]
fn an_upload_whose_client_went_away_goes_on_from_the_last_byte() {
    let (server, client) = anonymous(&Data::new());
    let bytes = content(2 << 20);
    let location = begin(&client);
    let stream = send_part(&server, &location, bytes.len(), &bytes[..1 << 20]);
    stream.shutdown(Shutdown::Both).expect("break the connection off");
    let have = until("what came is stored", || Some(size(&client, &location)).filter(|n| *n > 0));
    assert_eq!(patch(&client, &location, have, &bytes[have..]).status, 202);
    assert_eq!(finish(&client, &location, &sha256(&bytes)).status, 201);
    let cancelled = begin(&client);
    assert_eq!(client.send("DELETE", &cancelled, &[], "").status, 204);
    assert_eq!(client.send("GET", &cancelled, &[], "").status, 404);
    server.stop();
}

#[test]
fn a_full_disk_is_told_and_what_was_there_before_stays() {
    let project = Project::empty().with_own_home();
    let _small = project.small_disk_for("images");
    let data = Data::at(project.home());
    let (server, client) = anonymous(&data);
    let push = |bytes: &[u8]| {
        let path = format!("{UPLOADS}?digest={}", sha256(bytes));
        client.send("POST", &path, &[], bytes)
    };
    let small = content(1 << 20);
    assert_eq!(push(&small).status, 201);
    let reply = push(&content(6 << 20));
    assert_eq!(
        (reply.status, reply.json()["errors"][0]["code"].as_str()),
        (507, Some("DISK_FULL"))
    );
    // Nothing of it is left: there is room again.
    assert_eq!(push(&content((1 << 20) + 1)).status, 201);
    assert_eq!(data.blobs().len(), 2);
    let location = begin(&client);
    let bytes = content(6 << 20);
    let reply = client.send("PATCH", &location, &[], &bytes);
    assert_eq!(reply.status, 507, "{reply}");
    // A chunk that does not fit can be sent again once there is room.
    let have = size(&client, &location);
    assert_eq!(reply.headers["range"], format!("0-{}", have - 1));
    assert_eq!(client.send("DELETE", &location, &[], "").status, 204);
    assert_eq!(blob(&client, &sha256(&small)).body, small);
    server.stop();
}

#[test]
fn a_large_blob_passes_without_growing_the_registrys_memory() {
    let (server, client) = anonymous(&Data::new());
    let bytes = content(256 << 20);
    let digest = sha256(&bytes);
    let peak = || server.process().peak_memory().expect("the registry runs");
    let before = peak();
    let reply = client.send("POST", &format!("{UPLOADS}?digest={digest}"), &[], &bytes);
    assert_eq!(reply.status, 201, "{reply}");
    let part = client.send(
        "GET",
        &format!("/v2/acc/app/blobs/{digest}"),
        &[("range", "bytes=200000000-200000009")],
        "",
    );
    assert_eq!((part.status, &part.body[..]), (206, &bytes[200_000_000..200_000_010]));
    let grown = peak() - before;
    assert!(grown < 48 << 20, "256 MiB passed, and its memory grew by {grown} bytes");
    server.stop();
}

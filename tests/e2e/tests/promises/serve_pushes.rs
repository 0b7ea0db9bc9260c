//! A push to the platform's registry that stops half-way: nothing has its name before it is whole, it goes on
//! where it stopped, and what runs is not touched.

use std::io::Write as _;
use std::net::{Shutdown, TcpStream};

use e2e::{Numbered, Platform, Reply, instance_id, until};
use serde_json::json;
use sha2::{Digest as _, Sha256};

const UPLOADS: &str = "/v2/local/half/blobs/uploads/";
const PART: usize = 1 << 20;

/// Somebody who may push.
struct Pusher {
    authorization: String,
}

impl Pusher {
    fn of(platform: &Platform) -> Self {
        let host = platform.api_address();
        let path = format!("/accounts/local/containers/registries/{host}/credentials");
        let wanted = json!({"expiration_minutes": 15, "permissions": ["push", "pull"]});
        let reply = platform.ask(platform.token(), "POST", &path, &wanted.to_string());
        let given = &reply.json()["result"]["password"];
        let password = given.as_str().unwrap_or_else(|| panic!("no password: {reply}"));
        Self { authorization: format!("Bearer {password}") }
    }

    fn send(&self, platform: &Platform, method: &str, path: &str, body: &[u8]) -> Reply {
        platform.api().send(method, path, &[("authorization", &self.authorization)], body)
    }

    fn begin(&self, platform: &Platform) -> String {
        let reply = self.send(platform, "POST", UPLOADS, b"");
        assert_eq!(reply.status, 202, "{reply}");
        reply.headers["location"].clone()
    }

    /// Begins a request with a body of this length, of which only a part is sent.
    fn send_part(
        &self,
        platform: &Platform,
        (method, path): (&str, &str),
        length: usize,
        part: &[u8],
    ) -> TcpStream {
        let host = platform.api_address();
        let mut stream = TcpStream::connect(host).expect("connect");
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: {}\r\nContent-Length: \
             {length}\r\n\r\n",
            self.authorization
        );
        stream.write_all(head.as_bytes()).expect("send the head");
        stream.write_all(part).expect("send a part");
        stream
    }

    /// Bytes of an upload that are here.
    fn size(&self, platform: &Platform, location: &str) -> usize {
        let reply = self.send(platform, "GET", location, b"");
        assert_eq!(reply.status, 204, "{reply}");
        let last = reply.headers["range"].trim_start_matches("0-").parse::<usize>();
        last.ok().filter(|last| *last > 0).map_or(0, |last| last + 1)
    }

    fn blob(&self, platform: &Platform, digest: &str) -> Reply {
        self.send(platform, "GET", &format!("/v2/local/half/blobs/{digest}"), b"")
    }
}

/// Bytes of an upload in the platform's folder.
fn stored(platform: &Platform, location: &str) -> u64 {
    let id = location.rsplit('/').next().expect("an id");
    let uploads = platform.data().home().join("images/uploads");
    fs_err::metadata(uploads.join(id).join("data")).map_or(0, |data| data.len())
}

#[test]
fn a_push_that_stops_half_way_leaves_no_blob_goes_on_and_leaves_what_runs_alone() {
    let mut numbered = Numbered::new();
    let mut platform = Platform::start();
    numbered.deploy(&platform);
    assert_eq!(Numbered::image(&platform, 1), 0);
    let instance = instance_id(&Numbered::worker(&platform).get("/container/1"));
    let pusher = Pusher::of(&platform);
    let bytes = vec![7_u8; 4 * PART];
    let hex: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    let digest = format!("sha256:{hex}");

    // Clients that go away: in the middle of a chunk, and of the request that was to be the last.
    let [chunked, whole] = [pusher.begin(&platform), pusher.begin(&platform)];
    let last = format!("{whole}?digest={digest}");
    for (method, path, location) in [("PATCH", &chunked, &chunked), ("PUT", &last, &whole)] {
        let request = (method, path.as_str());
        let stream = pusher.send_part(&platform, request, bytes.len(), &bytes[..PART]);
        stream.shutdown(Shutdown::Both).expect("break the connection off");
        until("what came is stored", || (pusher.size(&platform, location) > 0).then_some(()));
        assert_eq!(pusher.blob(&platform, &digest).status, 404, "{method}");
    }

    // The platform goes away in the middle of the next chunk.
    let have = pusher.size(&platform, &chunked);
    let before = stored(&platform, &chunked);
    let request = ("PATCH", chunked.as_str());
    let part = &bytes[have..have + PART];
    let open = pusher.send_part(&platform, request, bytes.len() - have, part);
    until("more is stored", || (stored(&platform, &chunked) > before).then_some(()));
    platform.process().kill();
    platform = platform.killed_and_started_again();
    drop(open);
    assert_eq!(pusher.blob(&platform, &digest).status, 404);
    assert_eq!(instance_id(&Numbered::worker(&platform).get("/container/1")), instance);

    // One push is given up, the other goes on.
    assert_eq!(pusher.send(&platform, "DELETE", &whole, b"").status, 204);
    assert_eq!(stored(&platform, &whole), 0);
    let have = pusher.size(&platform, &chunked);
    assert!(have >= usize::try_from(before).expect("a length") && have < bytes.len(), "{have}");
    let rest = pusher.send(&platform, "PATCH", &chunked, &bytes[have..]);
    assert_eq!(rest.status, 202, "{rest}");
    let finished = pusher.send(&platform, "PUT", &format!("{chunked}?digest={digest}"), b"");
    assert_eq!(finished.status, 201, "{finished}");
    assert_eq!(pusher.blob(&platform, &digest).body, bytes);

    numbered.change();
    numbered.deploy(&platform);
    until("the next image answers", || (Numbered::image(&platform, 1) == 1).then_some(()));
    platform.stop();
}

//! The fixtures themselves: what the other tests stand on.

use e2e::{Client, Internet, Registry};

#[test]
fn the_registry_serves_base_images_to_who_asks_for_a_token() {
    let registry = Registry::of_base_images();
    let client = Client::new(registry.url().trim_start_matches("http://"));
    assert_eq!(client.get("/v2/library/busybox/manifests/latest").status, 401);
    assert!(client.get("/token?scope=repository:library/busybox:pull").text().contains("token"));
}

#[test]
fn the_stand_in_for_the_internet_answers_at_a_public_address() {
    let internet = Internet::saying("hello from outside");
    let reply = Client::new(internet.address()).get("/");
    assert_eq!(reply.text(), "hello from outside");
}

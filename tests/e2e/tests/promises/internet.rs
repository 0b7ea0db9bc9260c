//! Internet access (features R15, O1, O2, B7): on, off, and never the host's own network.

use std::net::TcpListener;

use e2e::{Dev, Internet, Project};
use serde_json::{Value, json};

fn fetch(dev: &Dev, name: &str, url: &str) -> Value {
    dev.get(&format!("/{name}/fetch?url={url}")).json()
}

#[test]
fn o1_with_internet_access_a_container_reaches_a_public_address() {
    let internet = Internet::saying("hello from outside");
    let dev = Dev::start(&internet.reachable_from(Project::probe("enableInternet = true;")));
    let answer = fetch(&dev, "one", &format!("http://{}/", internet.address()));
    assert_eq!(answer["text"], "hello from outside", "{answer}");
    dev.stop();
}

#[test]
fn r15_o1_without_internet_access_it_reaches_nothing() {
    let internet = Internet::saying("hello from outside");
    let dev = Dev::start(&internet.reachable_from(Project::probe("enableInternet = false;")));
    let answer = fetch(&dev, "one", &format!("http://{}/", internet.address()));
    assert!(answer["error"].is_string(), "{answer}");
    assert_eq!(dev.get("/one/who").status, 200, "its Worker still reaches it");
    dev.stop();
}

#[test]
fn o2_one_start_may_have_it_off() {
    let internet = Internet::saying("hello from outside");
    let dev = Dev::start(&internet.reachable_from(Project::probe("enableInternet = true;")));
    let off = json!({ "enableInternet": false }).to_string();
    assert_eq!(dev.post("/one/_start", off).text(), "started");
    let url = format!("http://{}/", internet.address());
    assert!(fetch(&dev, "one", &url)["error"].is_string());
    assert_eq!(fetch(&dev, "two", &url)["text"], "hello from outside");
    dev.stop();
}

#[test]
fn a_reserved_network_is_out_of_reach_and_the_terminal_says_why() {
    let internet = Internet::saying("hello from outside");
    let dev = Dev::start(&Project::probe("enableInternet = true;"));
    let answer = fetch(&dev, "one", &format!("http://{}/", internet.address()));
    assert!(answer["error"].is_string(), "{answer}");
    dev.wait_for_line(&format!("may not reach {}:80", internet.address()));
    dev.stop();
}

#[test]
fn invariant_6_a_container_reaches_neither_the_host_nor_its_networks() {
    let internet = Internet::saying("hello from outside");
    let host = TcpListener::bind("0.0.0.0:0").expect("listen on the host");
    let port = host.local_addr().expect("an address").port();
    let dev = Dev::start(&internet.reachable_from(Project::probe("enableInternet = true;")));
    // 203.0.113.1 is the host's end of the link to the stand-in for the internet.
    for address in ["127.0.0.1", "127.0.0.53", "203.0.113.1", "169.254.169.254", "[::1]"] {
        let answer = fetch(&dev, "one", &format!("http://{address}:{port}/"));
        assert!(answer["error"].is_string(), "{address}: {answer}");
    }
    host.set_nonblocking(true).expect("look without waiting");
    assert!(host.accept().is_err(), "something of the container reached the host");
    drop(internet);
    dev.stop();
}

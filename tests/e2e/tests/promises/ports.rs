//! Ports (features C6, J9, J11): each is reachable by the Worker without EXPOSE, and by no one else.

use std::net::TcpStream;

use e2e::{Dev, Project};

const PORTS: &str = "envVars = { PORTS: \"0.0.0.0:9000,127.0.0.1:9001\" };";

#[test]
fn j9_c6_ports_are_reachable_without_expose_even_on_loopback() {
    let dev = Dev::start(&Project::probe(PORTS));
    assert_eq!(dev.get("/one/who").json()["port"], 8080);
    assert_eq!(dev.get("/one/_port/9000").json()["port"], 9000);
    assert_eq!(dev.get("/one/_port/9001").json()["port"], 9001);
    dev.stop();
}

#[test]
fn j11_a_port_nobody_listens_on_fails_with_its_number() {
    let dev = Dev::start(&Project::probe(""));
    assert_eq!(dev.get("/one/who").status, 200);
    let reply = dev.get("/one/_port/9999");
    assert_eq!(reply.status, 500, "{reply}");
    assert!(reply.text().contains("9999"), "{reply}");
    dev.stop();
}

#[test]
fn no_port_of_a_container_is_a_port_of_the_host() {
    let dev = Dev::start(&Project::probe("envVars = { PORTS: \"0.0.0.0:39999\" };"));
    assert_eq!(dev.get("/one/_port/39999").json()["port"], 39999);
    assert!(TcpStream::connect("127.0.0.1:39999").is_err());
    dev.stop();
}

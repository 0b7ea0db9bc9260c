//! Unix sockets with abstract names belong to a network namespace: to no other instance's, nor the
//! host's.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};

use escape::{Host, is_root, within};
use tokio::io::AsyncReadExt;

#[tokio::test(flavor = "multi_thread")]
async fn abstract_sockets_of_the_host_and_of_other_instances_cannot_be_reached() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    let name = format!("escape-{}", uuid::Uuid::new_v4().simple());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let listener = UnixListener::bind_addr(&address).unwrap();
    UnixStream::connect_addr(&address).unwrap();
    let connect = format!("connect-abstract {name}");
    host.inside(&[&connect]).await.refused(&[libc::ECONNREFUSED]);
    drop(listener);

    let listen = format!("listen-abstract {name}");
    let (one, mut output) = host.start(host.spec(&["try", &listen, "wait"])).await;
    let mut said = vec![0; listen.len() + 3];
    within(output.stdout.read_exact(&mut said)).await.unwrap();
    Host::executed(&one, &[&connect]).await.possible();
    host.inside(&[&connect]).await.refused(&[libc::ECONNREFUSED]);
    assert!(UnixStream::connect_addr(&address).is_err());
    one.destroy().await.unwrap();
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_of_the_host_in_files_cannot_be_reached() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    let path = host.path("socket");
    let _listener = UnixListener::bind(&path).unwrap();
    UnixStream::connect(&path).unwrap();
    let attempts = [
        format!("connect-unix {}", path.display()),
        format!("connect-unix /proc/1/root{}", path.display()),
        "connect-unix /var/run/docker.sock".to_owned(),
        "connect-unix /run/systemd/private".to_owned(),
        "connect-unix /run/dbus/system_bus_socket".to_owned(),
    ];
    let attempts: Vec<&str> = attempts.iter().map(String::as_str).collect();
    host.inside(&attempts).await.refused(&[libc::ENOENT, libc::EACCES]);
    host.close().await;
}

//! WebSockets from the client to the container (features R12, A17, B16).

use e2e::{Dev, Project};
use tungstenite::Message;

#[test]
fn r12_text_and_bytes_of_any_length_come_back() {
    let dev = Dev::start(&Project::example("websocket"));
    let mut socket = dev.websocket("/");
    assert_eq!(socket.ask("hello"), Message::text("hello"));
    let bytes: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    assert_eq!(socket.ask_bytes(bytes.clone()), Message::binary(bytes));
    let closed = socket.close(1000, "done").expect("the close has a code");
    assert_eq!(u16::from(closed.code), 1000);
    dev.stop();
}

#[test]
fn r12_the_containers_own_close_code_reaches_the_client() {
    let dev = Dev::start(&Project::example("websocket"));
    let Message::Close(Some(frame)) = dev.websocket("/").ask("close please") else {
        panic!("the container closes");
    };
    assert_eq!((u16::from(frame.code), frame.reason.as_str()), (4001, "as you wish"));
    dev.stop();
}

#[test]
fn a17_many_sockets_share_one_container() {
    let dev = Dev::start(&Project::example("websocket"));
    let mut sockets: Vec<_> = (0..20).map(|_| dev.websocket("/")).collect();
    for (number, socket) in sockets.iter_mut().enumerate() {
        let text = format!("socket {number}");
        assert_eq!(socket.ask(&text), Message::text(text.as_str()));
    }
    dev.stop();
}

#[test]
fn a_plain_request_to_a_websocket_server_gets_its_answer() {
    let dev = Dev::start(&Project::example("websocket"));
    assert_eq!(dev.get("/").status, 426);
    dev.stop();
}

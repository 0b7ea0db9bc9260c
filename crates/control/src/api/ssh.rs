//! `…/instances/<id>/ssh`, and the WebSocket that its ticket opens.

use std::time::Instant;

use http::request::Parts;
use http::{Response, StatusCode};
use hyper::body::Incoming;

use super::bearer;
use super::websocket::{Handshake, address};
use crate::containers::Containers;
use crate::envelope::{Body, Failure, success};
use crate::ssh::keys::{Admission, Keys};
use crate::ssh::{self, Entrance};
use crate::wire::SshTicket;

/// Where a client finds the SSH server of an instance, and what it presents there. wrangler asks for
/// `url` and `token`; `host_key` is beyond Cloudflare, for clients that look whom they have reached.
pub(super) fn ticket(
    containers: &Containers,
    id: &str,
    head: &Parts,
) -> Result<Response<Body>, Failure> {
    let (instance, _) = admitted(containers, id)?;
    let url = address(head, &format!("/ssh/{instance}"));
    let token = containers.ssh.tickets.make(&instance, Instant::now());
    let host_key = containers.ssh.host_key.public();
    Ok(success(&SshTicket { url, token, host_key }))
}

/// Opens the WebSocket of a ticket.
pub(super) fn open(
    containers: &Containers,
    id: &str,
    head: Parts,
    body: Incoming,
) -> Result<Response<Body>, Failure> {
    let handshake = Handshake::of_bytes(&head)?;
    let tickets = &containers.ssh.tickets;
    let is_let_in =
        bearer(&head.headers).is_some_and(|text| tickets.take(text, id, Instant::now()));
    if !is_let_in {
        return Err(Failure::new(StatusCode::FORBIDDEN, 10000, "Authentication error"));
    }
    // The keys as they are now, not as they were when the ticket was asked for.
    let (instance, keys) = admitted(containers, id)?;
    let entrance = Entrance {
        platform: containers.platform.clone(),
        instance,
        keys,
        host_key: containers.ssh.host_key.clone(),
    };
    Ok(handshake.accept(head, body, move |connection| async move {
        if let Some(connection) = connection {
            ssh::serve(connection, entrance).await;
        }
    }))
}

/// An instance that can be entered, and by whom.
fn admitted(containers: &Containers, id: &str) -> Result<(String, Keys), Failure> {
    let (application, found) = containers.find_with_application(id)?;
    let name = application.name();
    let refused =
        |code: &str, why: &str| Err(Failure::bad_request(format!("{code}: {name}: {why}")));
    match Admission::of(&application.configuration())? {
        Admission::Keys(keys) => Ok((found.id, keys)),
        Admission::Off => refused(
            "SSH_NOT_ENABLED",
            "SSH is off; set `ssh.enabled` and `authorized_keys` of the container, and deploy",
        ),
        Admission::NoKeys => refused(
            "SSH_NO_KEYS",
            "no key lets anybody in; add yours to `authorized_keys` of the container, and deploy",
        ),
    }
}

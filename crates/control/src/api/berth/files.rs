//! `…/berth/instances/<id>/file` and `…/archive`: files of an instance, in and out.

use http::Response;

use super::refused;
use crate::api::Asked;
use crate::api::websocket::Handshake;
use crate::containers::Containers;
use crate::envelope::{Body, Failure, success};
use crate::streams::{PROTOCOL, send_archive};
use crate::wire::UnpackedAt;

pub(super) async fn look_at(
    containers: &Containers,
    id: &str,
    asked: Asked,
) -> Result<Response<Body>, Failure> {
    let path = path_in(containers, id, &asked)?;
    let found = containers.platform.look_at(id, &path).await.map_err(refused)?;
    found.map(|file| success(&file)).ok_or_else(|| Failure::no_file(&path))
}

pub(super) async fn read(
    containers: &Containers,
    id: &str,
    asked: Asked,
) -> Result<Response<Body>, Failure> {
    let handshake = Handshake::parse(&asked.head, PROTOCOL)?;
    let path = path_in(containers, id, &asked)?;
    let archive = containers.platform.read_archive(id, &path).await.map_err(refused)?;
    let archive = archive.ok_or_else(|| Failure::no_file(&path))?;
    Ok(handshake.accept(asked.head, asked.body, move |connection| async move {
        if let Some(connection) = connection {
            send_archive(connection, archive).await;
        }
    }))
}

pub(super) async fn write(
    containers: &Containers,
    id: &str,
    asked: Asked,
) -> Result<Response<Body>, Failure> {
    let path = path_in(containers, id, &asked)?;
    containers.platform.write_archive(id, &path, asked.body).await.map_err(refused)?;
    Ok(success(&UnpackedAt { path }))
}

/// The path that a request names in an instance that is there.
fn path_in(containers: &Containers, id: &str, asked: &Asked) -> Result<String, Failure> {
    let path = asked.query("path").filter(|path| !path.is_empty() && !path.contains('\0'));
    let path =
        path.ok_or_else(|| Failure::bad_request("VALIDATE_INPUT: path: the request names none"))?;
    containers.find_instance(id)?;
    Ok(path)
}

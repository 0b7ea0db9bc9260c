//! `…/logs/audit`: who has changed what, in the form of Cloudflare's.

use std::net::SocketAddr;
use std::time::Duration;

use http::{Method, Response};
use jiff::Timestamp;
use uuid::Uuid;

use super::Asked;
use crate::audit::{self, Page, Wanted};
use crate::envelope::{Body, Failure, cursor_page};
use crate::records::AuditEntry;
use crate::route::{AccountRoute, ContainersRoute};
use crate::state::State;
use crate::wire::{AccountName, AuditAction, AuditActor, AuditLine, AuditRequest};

/// What is shown where nobody says since when.
const SHOWN: Duration = Duration::from_hours(24 * 7);
/// Entries of a page: the default, and the most.
const LIMIT: (usize, usize) = (100, 1000);

/// What is written down of a request before it is answered; nothing of one that only looks.
pub(super) fn entry(asked: &Asked, route: &AccountRoute) -> Option<AuditEntry> {
    let Asked { head, token, .. } = asked;
    // Who asks for a ticket is about to change whatever the instance may.
    let is_ticket = matches!(route, AccountRoute::Containers(ContainersRoute::SshTicket(_)));
    (head.method != Method::GET || is_ticket).then(|| AuditEntry {
        id: Uuid::new_v4(),
        at: Timestamp::now(),
        token_id: token.id.clone(),
        token_name: token.name.clone(),
        address: head.extensions.get::<SocketAddr>().map(SocketAddr::ip),
        method: head.method.to_string(),
        path: head.uri.path().to_owned(),
        status: None,
    })
}

pub(super) fn list(state: &State, account: &str, asked: &Asked) -> Result<Response<Body>, Failure> {
    let Page { entries, cursor } = audit::read(state, &wanted(asked)?)?;
    let entries: Vec<_> = entries.iter().map(|entry| shown(account, entry)).collect();
    Ok(cursor_page(&entries, cursor.as_deref()))
}

fn wanted(asked: &Asked) -> Result<Wanted, Failure> {
    let now = Timestamp::now();
    let week = now.checked_sub(SHOWN).unwrap_or(Timestamp::MIN);
    Ok(Wanted {
        since: time(asked, "since")?.unwrap_or(week),
        before: time(asked, "before")?.unwrap_or(now),
        limit: limit(asked.query("limit"))?,
        cursor: asked.query("cursor"),
    })
}

fn time(asked: &Asked, name: &str) -> Result<Option<Timestamp>, Failure> {
    let Some(text) = asked.query(name) else { return Ok(None) };
    let message = |_| {
        let example = "a time such as 2026-01-31T12:00:00Z";
        Failure::bad_request(format!("VALIDATE_INPUT: {name}: \"{text}\" is not {example}"))
    };
    text.parse().map(Some).map_err(message)
}

fn limit(text: Option<String>) -> Result<usize, Failure> {
    let (default, most) = LIMIT;
    let Some(text) = text else { return Ok(default) };
    text.parse().ok().filter(|limit| (1..=most).contains(limit)).ok_or_else(|| {
        Failure::bad_request(format!(
            "VALIDATE_INPUT: limit: \"{text}\" is no number from 1 to {most}"
        ))
    })
}

fn shown(account: &str, entry: &AuditEntry) -> AuditLine {
    let kind = match entry.method.as_str() {
        "POST" => "create",
        "DELETE" => "delete",
        _ => "update",
    };
    // What a crash cut off has no result: the records say what came of it.
    let result = entry.status.map(|status| match status {
        ..400 => "success",
        _ => "failure",
    });
    AuditLine {
        id: entry.id,
        account: AccountName::of(account),
        action: AuditAction { kind, time: entry.at, result },
        actor: AuditActor {
            context: "api_token",
            kind: "user",
            ip_address: entry.address,
            token_id: entry.token_id.clone(),
            token_name: entry.token_name.clone(),
        },
        raw: AuditRequest {
            method: entry.method.clone(),
            uri: entry.path.clone(),
            status_code: entry.status,
        },
    }
}

//! Static files of Workers. A session says which of a version's files are not here yet, takes their
//! content, and is then named by the upload of the version.
//!
//! Content is kept under the hash that its client gives, for the Worker it was uploaded for: clients
//! may take any hash, so one Worker's must not stand for another's.

mod manifest;

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use store::Transaction;
use uuid::Uuid;

use crate::blobs::BlobId;
use crate::envelope::Failure;
use crate::plan::{PlannedAssets, PlannedFile};
use crate::records::{AssetContent, AssetFiles, AssetSession, ClientFile, VersionAssets};
use crate::state::{State, bytes, key};
use crate::upload::WireAssets;
pub(crate) use manifest::Manifest;

/// How long a client may take to upload what is missing and then its version.
const LIFETIME: SignedDuration = SignedDuration::from_hours(1);
/// Bytes that one upload is to bring, unless a file alone is larger.
const BUCKET_BYTES: u64 = 16 * 1024 * 1024;
/// Files that one upload is to bring.
const BUCKET_FILES: usize = 500;
/// What a session's token is encrypted for.
const PLACE: &str = "asset session";

/// A session that has begun.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Started {
    pub(crate) token: String,
    /// The hashes of what is missing, in portions.
    pub(crate) buckets: Vec<Vec<String>>,
}

/// One file's content, as it is uploaded.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) hash: String,
    pub(crate) content: Bytes,
}

/// Begins a session for the files of a Worker's next version.
///
/// # Errors
/// The files cannot be served.
pub(crate) fn start(state: &State, script: &str, manifest: Manifest) -> Result<Started, Failure> {
    let files = manifest.check()?;
    let buckets = buckets(missing(state, script, &files)?);
    let now = Timestamp::now();
    let expires_on = now + LIFETIME;
    let id = Uuid::new_v4();
    let session = AssetSession { script: script.to_owned(), files, expires_on };
    let write = Transaction::new().put(key::asset_session(id), bytes(&session));
    let over = state.asset_sessions()?.into_iter().filter(|(_, other)| other.expires_on <= now);
    let write = over.fold(write, |write, (key, _)| write.delete(key));
    state.commit(&write)?;
    Ok(Started { token: token(state, id, expires_on), buckets })
}

/// Whether a token is that of a session.
///
/// # Errors
/// It is not.
pub(crate) fn check(state: &State, token: &str) -> Result<(), Failure> {
    session(state, token).map(drop)
}

/// Keeps content that a session asked for; the token again, once nothing is missing.
///
/// # Errors
/// The session is none, or the content is not what it said.
pub(crate) fn upload(
    state: &State,
    token: &str,
    parts: Vec<Part>,
    is_base64: bool,
) -> Result<Option<String>, Failure> {
    let session = session(state, token)?;
    let mut write = Transaction::new();
    for Part { hash, content } in parts {
        let wanted = session.files.values().find(|file| file.hash == hash);
        let wanted = wanted.ok_or_else(|| {
            Failure::bad_request(format!("the session has no file with the hash \"{hash}\""))
        })?;
        let content = match is_base64 {
            true => Bytes::from(STANDARD.decode(&content).map_err(|error| {
                Failure::bad_request(format!("the file {hash} is not base64: {error}"))
            })?),
            false => content,
        };
        let size = content.len() as u64;
        if size != wanted.size {
            return Err(Failure::bad_request(format!(
                "the file {hash} has {size} bytes, and was to have {}",
                wanted.size
            )));
        }
        let blob = state.blobs.put(&content).map_err(|error| not_kept(&error))?;
        let record = bytes(&AssetContent { blob, size });
        write = write.put(key::asset(&session.script, &hash), record);
    }
    state.commit(&write)?;
    let is_whole = missing(state, &session.script, &session.files)?.is_empty();
    Ok(is_whole.then(|| token.to_owned()))
}

/// The static files of a new version.
///
/// # Errors
/// Its session is none, is another Worker's, or has not got all its content.
pub(crate) fn of_upload(
    state: &State,
    script: &str,
    wanted: Option<WireAssets>,
    keep: bool,
    previous: Option<&VersionAssets>,
) -> Result<Option<VersionAssets>, Failure> {
    let previous = previous.filter(|_| keep);
    let Some(WireAssets { jwt, config }) = wanted else { return Ok(previous.cloned()) };
    let files = match (jwt, previous) {
        (Some(token), _) => {
            let files = bytes(&files_of(state, script, &token)?);
            state.blobs.put(&files).map_err(|error| not_kept(&error))?
        }
        (None, Some(previous)) => previous.files.clone(),
        (None, None) => {
            let message = "`assets` has no `jwt`: upload the files first, or ask for `keep_assets`";
            return Err(Failure::validation(message));
        }
    };
    Ok(Some(match (config, previous) {
        (None, Some(previous)) => VersionAssets { files, ..previous.clone() },
        (config, _) => {
            let config = config.unwrap_or_default();
            let (headers, redirects) = (config.headers, config.redirects);
            VersionAssets { files, rules: config.rules, headers, redirects }
        }
    }))
}

/// The files that a version's upload names by its session.
fn files_of(state: &State, script: &str, token: &str) -> Result<AssetFiles, Failure> {
    let session = session(state, token)?;
    if session.script != script {
        let message = format!("the assets were uploaded for the Worker \"{}\"", session.script);
        return Err(Failure::validation(message));
    }
    let content = |(path, file): (String, ClientFile)| {
        let found = state.asset(script, &file.hash)?.filter(|found| found.size == file.size);
        let found = found.ok_or_else(|| {
            Failure::validation(format!("the content of the asset \"{path}\" was not uploaded"))
        })?;
        Ok((path, found.blob))
    };
    session.files.into_iter().map(content).collect()
}

/// Everything that is needed to serve a version's files.
pub(crate) fn planned(state: &State, assets: &VersionAssets) -> Result<PlannedAssets, Failure> {
    let VersionAssets { files, rules, headers, redirects } = assets;
    let file =
        |(path, blob): (String, BlobId)| PlannedFile { path, source: state.blobs.path(&blob) };
    let name = json!([files, headers, redirects]);
    Ok(PlannedAssets {
        name: BlobId::of(name.to_string().as_bytes()).to_string(),
        files: state.asset_files(files)?.into_iter().map(file).collect(),
        rules: rules.clone(),
        headers: headers.clone(),
        redirects: redirects.clone(),
    })
}

/// The files whose content is not here: each content once.
fn missing(
    state: &State,
    script: &str,
    files: &BTreeMap<String, ClientFile>,
) -> Result<Vec<ClientFile>, Failure> {
    let (mut seen, mut missing) = (BTreeSet::new(), Vec::new());
    for file in files.values().filter(|file| seen.insert(&file.hash)) {
        let found = state.asset(script, &file.hash)?;
        if found.is_none_or(|found| found.size != file.size) {
            missing.push(file.clone());
        }
    }
    Ok(missing)
}

fn buckets(files: Vec<ClientFile>) -> Vec<Vec<String>> {
    let mut buckets: Vec<(u64, Vec<String>)> = Vec::new();
    for file in files {
        let fits = |(size, hashes): &&mut (u64, Vec<String>)| {
            size.saturating_add(file.size) <= BUCKET_BYTES && hashes.len() < BUCKET_FILES
        };
        match buckets.last_mut().filter(fits) {
            Some((size, hashes)) => {
                *size += file.size;
                hashes.push(file.hash);
            }
            None => buckets.push((file.size, vec![file.hash])),
        }
    }
    buckets.into_iter().map(|(_, hashes)| hashes).collect()
}

/// A session's token, in the form of a JSON Web Token: clients read its end from it. What counts is
/// its last part, which nobody else can make.
fn token(state: &State, id: Uuid, expires_on: Timestamp) -> String {
    let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let head = part(json!({"typ": "JWT", "alg": "dir", "enc": "A256GCM"}));
    let payload = part(json!({"exp": expires_on.as_second()}));
    let sealed = state.sealer.seal(PLACE, &id.to_string());
    format!("{head}.{payload}.{}", sealed.as_str())
}

fn session(state: &State, token: &str) -> Result<AssetSession, Failure> {
    let refused = |message| Failure::new(StatusCode::UNAUTHORIZED, 10000, message);
    let sealed = token.rsplit('.').next().unwrap_or_default();
    let id = state.sealer.open(PLACE, &sealed.into()).ok().and_then(|id| id.parse().ok());
    let id: Uuid =
        id.ok_or_else(|| refused("Authentication error: no token of an asset upload"))?;
    let session = state.asset_session(id)?.filter(|found| Timestamp::now() < found.expires_on);
    session.ok_or_else(|| refused("the upload of the assets has expired: deploy again"))
}

fn not_kept(error: &std::io::Error) -> Failure {
    Failure::internal(format!("failed to keep an asset: {error}"))
}

#[cfg(test)]
mod tests;

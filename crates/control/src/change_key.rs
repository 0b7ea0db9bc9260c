//! Another key for the secrets: each is encrypted anew, and only then is the key before forgotten.
//!
//! The next key lies beside the one before until all is done ([`Sealer::next_key_file`]), or both are given. Whoever opens
//! the secrets meanwhile has both, so it may be cut off at any moment, and is gone on with by the next
//! call.

use std::sync::Arc;

use store::{Record, Store, Transaction};

use crate::bindings::place_of;
use crate::envelope::Failure;
use crate::records::{BindingKind, ExternalRegistry, PrivateCredential, StoredSecret, Version};
use crate::seal::{KeyPlace, Sealer, Unreadable};
use crate::state::{bytes, commit, key, parse, records};

/// Encrypts every secret of a store with a new key, which takes the place of the one in the key's file, or
/// with the one that is given. Nobody else may use the store meanwhile. How many were encrypted anew.
///
/// # Errors
/// The store or the key's file cannot be read or written, or a secret cannot be decrypted. All secrets
/// can be read then as before, and the next call goes on.
pub fn change_key(store: &Arc<dyn Store>, place: &KeyPlace) -> Result<usize, String> {
    let in_words = |failure: Failure| failure.message().to_owned();
    let sealer = Sealer::open_with(place)
        .and_then(|_there| place.begin_change())
        .and_then(|()| Sealer::open_with(place));
    let sealer = sealer.map_err(|error| format!("failed to {error}"))?;
    let mut changed = 0;
    for record in records(store.as_ref(), key::VERSIONS).map_err(in_words)? {
        changed += renew_version(store.as_ref(), &sealer, &record).map_err(in_words)?;
    }
    for record in records(store.as_ref(), key::STORED_SECRETS).map_err(in_words)? {
        changed += renew_stored(store.as_ref(), &sealer, &record).map_err(in_words)?;
    }
    for record in records(store.as_ref(), key::EXTERNAL_REGISTRIES).map_err(in_words)? {
        changed += renew_registry(store.as_ref(), &sealer, &record).map_err(in_words)?;
    }
    place.end_change().map_err(|error| format!("failed to {error}"))?;
    Ok(changed)
}

/// The secrets of a version, all in one transaction.
fn renew_version(store: &dyn Store, sealer: &Sealer, record: &Record) -> Result<usize, Failure> {
    let mut version: Version = parse(&record.key, &record.value)?;
    let tag = record.key.split('/').nth(1).unwrap_or_default().to_owned();
    let mut changed = 0;
    for binding in &mut version.bindings {
        let BindingKind::SecretText(sealed) = &mut binding.kind else { continue };
        let renewed = sealer.renewed(&place_of(&tag, &binding.name), sealed);
        if let Some(renewed) = renewed.map_err(|error| unreadable(&record.key, error))? {
            *sealed = renewed;
            changed += 1;
        }
    }
    write(store, record, changed, || bytes(&version))?;
    Ok(changed)
}

/// A secret of the Secrets Store.
fn renew_stored(store: &dyn Store, sealer: &Sealer, record: &Record) -> Result<usize, Failure> {
    let mut secret: StoredSecret = parse(&record.key, &record.value)?;
    let renewed = sealer.renewed(&StoredSecret::place(&secret.id), &secret.text);
    let Some(text) = renewed.map_err(|error| unreadable(&record.key, error))? else {
        return Ok(0);
    };
    secret.text = text;
    write(store, record, 1, || bytes(&secret))?;
    Ok(1)
}

/// The credential of a registry of others, if it is kept with it.
fn renew_registry(store: &dyn Store, sealer: &Sealer, record: &Record) -> Result<usize, Failure> {
    let mut registry: ExternalRegistry = parse(&record.key, &record.value)?;
    let place = ExternalRegistry::place(&registry.domain);
    let credential = registry.auth.as_mut().map(|auth| &mut auth.private_credential);
    let Some(PrivateCredential::Own(sealed)) = credential else { return Ok(0) };
    let renewed = sealer.renewed(&place, sealed);
    let Some(text) = renewed.map_err(|error| unreadable(&record.key, error))? else {
        return Ok(0);
    };
    *sealed = text;
    write(store, record, 1, || bytes(&registry))?;
    Ok(1)
}

fn write(
    store: &dyn Store,
    record: &Record,
    changed: usize,
    value: impl FnOnce() -> Vec<u8>,
) -> Result<(), Failure> {
    if changed == 0 {
        return Ok(());
    }
    let unchanged = Transaction::new().if_unchanged(record.key.as_str(), Some(record.revision));
    commit(store, &unchanged.put(record.key.as_str(), value()))
}

fn unreadable(key: &str, error: Unreadable) -> Failure {
    Failure::internal(format!("the record \"{key}\": {error}"))
}

#[cfg(test)]
mod tests;

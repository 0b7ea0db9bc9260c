//! The Secrets Store: stores, and the secrets in them.

use http::StatusCode;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;
use store::Transaction;
use uuid::Uuid;

use crate::envelope::Failure;
use crate::records::{SecretScope, SecretStore, StoredSecret};
use crate::state::{Read, State, bytes, key};

/// Longest name of a store or a secret, and longest comment.
const LONGEST_NAME: usize = 255;
/// Longest text of a secret in bytes (Cloudflare's limit).
const LONGEST_TEXT: usize = 64 * 1024;

/// A secret that somebody asks for.
#[derive(Deserialize, JsonSchema)]
pub(crate) struct NewSecret {
    pub(crate) name: String,
    pub(crate) value: String,
    pub(crate) scopes: Vec<SecretScope>,
    #[serde(default)]
    pub(crate) comment: Option<String>,
}

/// What changes of a secret.
#[derive(Deserialize, JsonSchema)]
pub(crate) struct SecretChange {
    #[serde(default)]
    pub(crate) name: Option<String>,
    #[serde(default)]
    pub(crate) value: Option<String>,
    #[serde(default)]
    pub(crate) scopes: Option<Vec<SecretScope>>,
    #[serde(default)]
    pub(crate) comment: Option<String>,
}

/// The name and the use of a copy.
#[derive(Deserialize, JsonSchema)]
pub(crate) struct SecretCopy {
    pub(crate) name: String,
    pub(crate) scopes: Vec<SecretScope>,
    #[serde(default)]
    pub(crate) comment: Option<String>,
}

/// Makes a store.
///
/// # Errors
/// The name is another store's, or makes no sense.
pub(crate) fn create_store(state: &State, name: &str) -> Result<SecretStore, Failure> {
    check_name(name)?;
    if state.secret_stores()?.iter().any(|store| store.name == name) {
        return Err(taken(format!("there is a store \"{name}\" already")));
    }
    let now = Timestamp::now();
    let store = SecretStore { id: new_id(), name: name.to_owned(), created: now, modified: now };
    let key = key::secret_store(&store.id);
    let write = Transaction::new().if_absent(key.as_str()).put(key.as_str(), bytes(&store));
    state.commit(&write)?;
    Ok(store)
}

/// Removes a store that has no secrets.
///
/// # Errors
/// There is no such store, or it has secrets.
pub(crate) fn delete_store(state: &State, id: &str) -> Result<SecretStore, Failure> {
    let Read { value: store, revision } = state.secret_store(id)?;
    if let Some(secret) = state.stored_secrets(id)?.first() {
        let message = format!(
            "the store \"{}\" has secrets, such as \"{}\": delete them first",
            store.name, secret.name
        );
        return Err(taken(message));
    }
    let write = Transaction::new()
        .if_unchanged(key::secret_store(id), Some(revision))
        .delete(key::secret_store(id));
    state.commit(&write)?;
    Ok(store)
}

/// Adds secrets to a store: all of them, or none.
///
/// # Errors
/// There is no such store, or a name is another secret's.
pub(crate) fn create_secrets(
    state: &State,
    store_id: &str,
    wanted: Vec<NewSecret>,
) -> Result<Vec<StoredSecret>, Failure> {
    state.secret_store(store_id)?;
    let (mut all, mut write) = (Vec::new(), Transaction::new());
    for NewSecret { name, value, scopes, comment } in wanted {
        check_name(&name)?;
        check_text(&value)?;
        check_scopes(&scopes)?;
        if all.iter().any(|other: &StoredSecret| other.name == name) {
            return Err(taken(format!("there are two secrets \"{name}\"")));
        }
        let secret = sealed(state, store_id, name, &value, scopes, comment);
        write = add(state, write, &secret)?;
        all.push(secret);
    }
    state.commit(&write)?;
    Ok(all)
}

/// Changes a secret.
///
/// # Errors
/// There is no such secret, or the change makes no sense.
pub(crate) fn change_secret(
    state: &State,
    store_id: &str,
    id: &str,
    change: SecretChange,
) -> Result<StoredSecret, Failure> {
    let Read { value: mut secret, revision } = state.stored_secret(store_id, id)?;
    if change.name.is_some_and(|name| name != secret.name) {
        let message = "the name of a secret stays: `duplicate` it by another";
        return Err(Failure::bad_request(message));
    }
    if let Some(text) = change.value {
        check_text(&text)?;
        secret.text = state.sealer.seal(&StoredSecret::place(id), &text);
    }
    if let Some(scopes) = change.scopes {
        check_scopes(&scopes)?;
        secret.scopes = scopes;
    }
    secret.comment = change.comment.or(secret.comment);
    secret.modified = Timestamp::now();
    let key = key::stored_secret(store_id, &secret.name);
    let write = Transaction::new().if_unchanged(key.as_str(), Some(revision));
    state.commit(&write.put(key.as_str(), bytes(&secret)))?;
    Ok(secret)
}

/// A secret of the same text by another name.
///
/// # Errors
/// There is no such secret, or the name is another's.
pub(crate) fn duplicate_secret(
    state: &State,
    store_id: &str,
    id: &str,
    copy: SecretCopy,
) -> Result<StoredSecret, Failure> {
    let secret = state.stored_secret(store_id, id)?.value;
    let SecretCopy { name, scopes, comment } = copy;
    check_name(&name)?;
    check_scopes(&scopes)?;
    let text = open(state, &secret)?;
    let made = sealed(state, store_id, name, &text, scopes, comment);
    let write = add(state, Transaction::new(), &made)?;
    state.commit(&write)?;
    Ok(made)
}

/// Removes a secret.
///
/// # Errors
/// There is no such secret.
pub(crate) fn delete_secret(
    state: &State,
    store_id: &str,
    id: &str,
) -> Result<StoredSecret, Failure> {
    let Read { value: secret, revision } = state.stored_secret(store_id, id)?;
    let key = key::stored_secret(store_id, &secret.name);
    let write = Transaction::new().if_unchanged(key.as_str(), Some(revision)).delete(key.as_str());
    state.commit(&write)?;
    Ok(secret)
}

/// The text of a secret for one of its uses; `None` if there is no such secret, or not for that.
///
/// # Errors
/// The records cannot be read, or the text cannot be decrypted.
pub(crate) fn text_for(
    state: &State,
    store_id: &str,
    name: &str,
    scope: SecretScope,
) -> Result<Option<String>, Failure> {
    let found = state.find_stored_secret(store_id, name)?.map(|read| read.value);
    let found = found.filter(|secret| secret.scopes.contains(&scope));
    found.map(|secret| open(state, &secret)).transpose()
}

fn open(state: &State, secret: &StoredSecret) -> Result<String, Failure> {
    let opened = state.sealer.open(&StoredSecret::place(&secret.id), &secret.text);
    opened.map_err(|error| Failure::internal(error.to_string()))
}

fn sealed(
    state: &State,
    store_id: &str,
    name: String,
    text: &str,
    scopes: Vec<SecretScope>,
    comment: Option<String>,
) -> StoredSecret {
    let (id, now) = (new_id(), Timestamp::now());
    StoredSecret {
        text: state.sealer.seal(&StoredSecret::place(&id), text),
        store_id: store_id.to_owned(),
        id,
        name,
        comment,
        scopes,
        created: now,
        modified: now,
    }
}

fn add(state: &State, write: Transaction, secret: &StoredSecret) -> Result<Transaction, Failure> {
    if state.find_stored_secret(&secret.store_id, &secret.name)?.is_some() {
        return Err(taken(format!("there is a secret \"{}\" already", secret.name)));
    }
    let key = key::stored_secret(&secret.store_id, &secret.name);
    Ok(write.if_absent(key.as_str()).put(key.as_str(), bytes(secret)))
}

fn new_id() -> String {
    Uuid::new_v4().simple().to_string()
}

fn taken(message: String) -> Failure {
    Failure::new(StatusCode::CONFLICT, 1000, message)
}

fn check_name(name: &str) -> Result<(), Failure> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    match !name.is_empty() && name.len() <= LONGEST_NAME && name.chars().all(allowed) {
        true => Ok(()),
        false => Err(Failure::bad_request(format!(
            "VALIDATE_INPUT: \"{name}\" is no name: it has letters, digits, `_`, `-` and `.`"
        ))),
    }
}

fn check_text(text: &str) -> Result<(), Failure> {
    match (1..=LONGEST_TEXT).contains(&text.len()) {
        true => Ok(()),
        false => Err(Failure::bad_request(format!(
            "VALIDATE_INPUT: the value of a secret has 1 to {LONGEST_TEXT} bytes"
        ))),
    }
}

fn check_scopes(scopes: &[SecretScope]) -> Result<(), Failure> {
    match scopes.is_empty() {
        false => Ok(()),
        true => Err(Failure::bad_request("VALIDATE_INPUT: scopes are workers, containers …")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::state;

    fn new(name: &str, value: &str) -> NewSecret {
        let scopes = vec![SecretScope::Workers];
        NewSecret { name: name.into(), value: value.into(), scopes, comment: None }
    }

    #[test]
    fn secrets_are_made_changed_copied_and_deleted() {
        let (state, _folder) = state();
        let store = create_store(&state, "s").unwrap();
        let made = create_secrets(&state, &store.id, vec![new("A", "one"), new("B", "two")]);
        let made = made.unwrap();
        let text = |name: &str, scope| text_for(&state, &store.id, name, scope).unwrap();
        assert_eq!(text("A", SecretScope::Workers).as_deref(), Some("one"));
        assert_eq!(text("A", SecretScope::Containers), None, "it is for Workers");
        let change = SecretChange {
            name: None,
            value: Some("new".into()),
            scopes: Some(vec![SecretScope::Containers]),
            comment: Some("why".into()),
        };
        let changed = change_secret(&state, &store.id, &made[0].id, change).unwrap();
        assert_eq!(changed.comment.as_deref(), Some("why"));
        assert_eq!(text("A", SecretScope::Containers).as_deref(), Some("new"));
        let scopes = vec![SecretScope::Workers];
        let copy = SecretCopy { name: "C".into(), scopes, comment: None };
        duplicate_secret(&state, &store.id, &made[0].id, copy).unwrap();
        assert_eq!(text("C", SecretScope::Workers).as_deref(), Some("new"));
        delete_secret(&state, &store.id, &made[1].id).unwrap();
        assert_eq!(text("B", SecretScope::Workers), None);
    }

    #[test]
    fn names_are_one_secrets_and_stores_with_secrets_stay() {
        let (state, _folder) = state();
        let store = create_store(&state, "s").unwrap();
        assert!(create_store(&state, "s").is_err());
        create_secrets(&state, &store.id, vec![new("A", "one")]).unwrap();
        let both = vec![new("B", "two"), new("A", "again")];
        assert!(create_secrets(&state, &store.id, both).is_err());
        assert_eq!(state.stored_secrets(&store.id).unwrap().len(), 1, "all of them or none");
        let twice = vec![new("C", "x"), new("C", "y")];
        assert!(create_secrets(&state, &store.id, twice).is_err());
        assert!(delete_store(&state, &store.id).unwrap_err().message().contains("\"A\""));
        for wrong in ["", "a b", "a/b"] {
            assert!(create_secrets(&state, &store.id, vec![new(wrong, "x")]).is_err(), "{wrong}");
        }
        assert!(create_secrets(&state, "none", vec![new("A", "x")]).is_err());
    }
}

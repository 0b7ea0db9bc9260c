//! Tokens: made, presented, revoked. Their secrets are shown once and kept nowhere.

use std::sync::Arc;

use jiff::Timestamp;
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom as _, SystemRandom};
use store::{CommitError, Store, StoreError, Transaction};

use crate::records::{Scope, Token};
use crate::seal::hex;
use crate::state::bytes;

/// What each token's text begins with, so that scanners for leaked secrets can know it.
const PREFIX: &str = "berth_";
const KEYS: &str = "tokens/";
/// Most tokens that are listed.
const MOST: usize = 10_000;

/// The tokens of a server.
#[derive(Debug, Clone)]
pub struct Tokens(Arc<dyn Store>);

/// Why a token could not be made or found. Texts complete "failed to …".
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The store says no.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A record is damaged.
    #[error("read the token record \"{0}\": {1}")]
    Record(String, #[source] serde_json::Error),
    /// There is none of that id.
    #[error("find a token with the id {0}")]
    Unknown(String),
    /// The system gives no random numbers.
    #[error("make a token: the system gives no random numbers")]
    Random,
}

impl Tokens {
    /// The tokens in a store.
    #[must_use]
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self(store)
    }

    /// Makes a token; its text is here and nowhere else.
    ///
    /// # Errors
    /// It cannot be stored.
    pub fn create(
        &self,
        name: &str,
        scopes: &[Scope],
        expires_on: Option<Timestamp>,
    ) -> Result<(Token, String), TokenError> {
        let random = |bytes: &mut [u8]| SystemRandom::new().fill(bytes);
        let (mut id, mut secret) = ([0; 6], [0; 32]);
        random(&mut id).and(random(&mut secret)).map_err(|_| TokenError::Random)?;
        let (id, secret) = (hex(&id), hex(&secret));
        let token = Token {
            hash: hash(&secret),
            name: name.to_owned(),
            scopes: scopes.to_vec(),
            created_on: Timestamp::now(),
            expires_on,
            id,
        };
        let key = format!("{KEYS}{}", token.id);
        let write = Transaction::new().if_absent(key.as_str()).put(key.as_str(), bytes(&token));
        match self.0.commit(&write) {
            Ok(_) => {
                let text = format!("{PREFIX}{}_{secret}", token.id);
                Ok((token, text))
            }
            // One chance in 2^48.
            Err(CommitError::Conflict { .. }) => Err(TokenError::Random),
            Err(CommitError::Store(error)) => Err(error.into()),
        }
    }

    /// All tokens, also those that have expired, the oldest first.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn list(&self) -> Result<Vec<Token>, TokenError> {
        let records = self.0.list(KEYS, None, MOST)?;
        let parse = |record: &store::Record| {
            serde_json::from_slice::<Token>(&record.value)
                .map_err(|error| TokenError::Record(record.key.clone(), error))
        };
        let mut tokens = records.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
        tokens.sort_by(|a, b| (a.created_on, &a.id).cmp(&(b.created_on, &b.id)));
        Ok(tokens)
    }

    /// Removes a token: it is worth nothing from now on.
    ///
    /// # Errors
    /// There is none of that id.
    pub fn revoke(&self, id: &str) -> Result<(), TokenError> {
        let key = format!("{KEYS}{id}");
        if self.0.get(&key)?.is_none() {
            return Err(TokenError::Unknown(id.to_owned()));
        }
        match self.0.commit(&Transaction::new().delete(key)) {
            Ok(_) => Ok(()),
            Err(CommitError::Conflict { .. }) => Err(TokenError::Unknown(id.to_owned())),
            Err(CommitError::Store(error)) => Err(error.into()),
        }
    }

    /// Whose token a text is, if it counts now.
    pub(crate) fn find(&self, text: &str, now: Timestamp) -> Result<Option<Token>, TokenError> {
        let parts = text.strip_prefix(PREFIX).and_then(|text| text.split_once('_'));
        let Some((id, secret)) = parts else { return Ok(None) };
        let key = format!("{KEYS}{id}");
        let Some(record) = self.0.get(&key)? else { return Ok(None) };
        let token: Token = serde_json::from_slice(&record.value)
            .map_err(|error| TokenError::Record(key, error))?;
        // Hashes: how long their comparison takes tells nothing of the secret.
        Ok(Some(token).filter(|token| token.hash == hash(secret) && token.is_valid(now)))
    }
}

/// The token that allows everything, if a text is it.
pub(crate) fn one(own: &str, text: &str) -> Option<Token> {
    let (own, given) = (hash(own), hash(text));
    (own == given).then(|| Token {
        id: "own".into(),
        name: "own".into(),
        hash: own,
        scopes: vec![Scope::Admin],
        created_on: Timestamp::UNIX_EPOCH,
        expires_on: None,
    })
}

fn hash(secret: &str) -> String {
    hex(digest(&SHA256, secret.as_bytes()).as_ref())
}

#[cfg(test)]
mod tests {
    use jiff::ToSpan as _;
    use store::Memory;

    use super::*;

    #[test]
    fn a_token_is_found_by_its_text_until_it_is_revoked() {
        let tokens = Tokens::new(Arc::new(Memory::default()));
        let (token, text) = tokens.create("ci", &[Scope::Read], None).unwrap();
        let now = Timestamp::now();
        assert_eq!(tokens.find(&text, now).unwrap(), Some(token.clone()));
        for other in ["", "berth_", &text[..text.len() - 1], &format!("{text}0"), &token.id] {
            assert_eq!(tokens.find(other, now).unwrap(), None, "{other}");
        }
        assert_eq!(tokens.list().unwrap(), std::slice::from_ref(&token));
        tokens.revoke(&token.id).unwrap();
        assert_eq!(tokens.find(&text, now).unwrap(), None);
        assert!(matches!(tokens.revoke(&token.id), Err(TokenError::Unknown(_))));
    }

    #[test]
    fn a_token_that_has_expired_is_worth_nothing() {
        let tokens = Tokens::new(Arc::new(Memory::default()));
        let now = Timestamp::now();
        let end = now + 1.hour();
        let (_, text) = tokens.create("short", &[Scope::Admin], Some(end)).unwrap();
        assert!(tokens.find(&text, now).unwrap().is_some());
        assert_eq!(tokens.find(&text, end).unwrap(), None);
    }

    #[test]
    fn the_store_has_no_secret() {
        let store = Arc::new(Memory::default());
        let (_, text) = Tokens::new(store.clone()).create("ci", &[Scope::Admin], None).unwrap();
        let secret = text.rsplit_once('_').unwrap().1;
        for record in store.list("", None, 10).unwrap() {
            assert!(!String::from_utf8_lossy(&record.value).contains(secret));
        }
    }
}

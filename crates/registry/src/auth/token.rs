//! The signed texts: JSON web tokens of one kind alone, HMAC with SHA-256.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use image::RepositoryName;
use serde::{Deserialize, Serialize};

use super::key::SigningKey;

/// The first part of each of our tokens; one that says something else is not ours.
const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;
/// Who makes them.
const ISSUER: &str = "berth";
/// Longest text that is looked at.
const MOST_BYTES: usize = 16 * 1024;

/// What a credential is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Permission {
    /// Pulling.
    Pull,
    /// Pushing and deleting.
    Push,
}

/// A credential that somebody is given.
#[derive(Clone)]
pub struct Credential {
    /// The user name.
    pub username: &'static str,
    /// The password: the signed text.
    pub password: String,
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credential").field("username", &self.username).finish_non_exhaustive()
    }
}

impl Credential {
    /// Signs a credential for an account that lasts so many minutes from now.
    #[must_use]
    pub fn issue(
        key: &SigningKey,
        account: &str,
        permissions: &[Permission],
        minutes: u32,
    ) -> Self {
        let now = jiff::Timestamp::now().as_second();
        let claims = Claims {
            issuer: ISSUER.to_owned(),
            account: account.to_owned(),
            id: uuid::Uuid::new_v4().simple().to_string(),
            permissions: permissions.to_vec(),
            issued: now,
            expires: now + 60 * i64::from(minutes),
            access: None,
        };
        Self { username: super::USER, password: encode(key, &claims) }
    }
}

/// What a signed text says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Claims {
    #[serde(rename = "iss")]
    issuer: String,
    #[serde(rename = "sub")]
    pub(crate) account: String,
    /// The credential's id; tokens it was exchanged for have the same.
    #[serde(rename = "jti")]
    pub(crate) id: String,
    pub(crate) permissions: Vec<Permission>,
    #[serde(rename = "iat")]
    issued: i64,
    #[serde(rename = "exp")]
    pub(crate) expires: i64,
    /// What a token is for alone; a credential is for all its account has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    access: Option<Vec<Access>>,
}

impl Claims {
    /// A token for this access.
    pub(super) fn exchanged(&self, access: Vec<Access>, expires: i64) -> Self {
        Self { access: Some(access), expires, ..self.clone() }
    }

    /// Whether its access is to this repository. A credential's is to all of its account.
    pub(super) fn allows(&self, action: &str, name: &RepositoryName) -> bool {
        self.access.as_ref().is_none_or(|access| {
            access.iter().any(|access| {
                access.kind == "repository"
                    && access.name == name.as_str()
                    && access.actions.iter().any(|own| own == action || own == "*")
            })
        })
    }
}

/// Access to one thing, as in `repository:acc/app:pull,push`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Access {
    #[serde(rename = "type")]
    kind: String,
    name: String,
    actions: Vec<String>,
}

impl Access {
    /// Reads scopes, separated by spaces; what is none is left out.
    pub(crate) fn parse_all(scopes: &str) -> Vec<Self> {
        let parse = |scope: &str| {
            let (kind, rest) = scope.split_once(':')?;
            let (name, actions) = rest.rsplit_once(':')?;
            let actions = actions.split(',').filter(|action| !action.is_empty());
            Some(Self {
                kind: kind.to_owned(),
                name: name.to_owned(),
                actions: actions.map(str::to_owned).collect(),
            })
        };
        scopes.split(' ').filter_map(parse).collect()
    }
}

/// The signed text of these claims.
pub(super) fn encode(key: &SigningKey, claims: &Claims) -> String {
    let claims = serde_json::to_vec(claims).expect("claims have only strings and numbers");
    let text = format!("{}.{}", URL_SAFE_NO_PAD.encode(HEADER), URL_SAFE_NO_PAD.encode(claims));
    let signature = URL_SAFE_NO_PAD.encode(key.sign(&text));
    format!("{text}.{signature}")
}

/// What a text says, if it is signed by us.
pub(crate) fn decode(key: &SigningKey, text: &str) -> Option<Claims> {
    if text.len() > MOST_BYTES {
        return None;
    }
    let (signed, signature) = text.rsplit_once('.')?;
    if !key.verifies(signed, &URL_SAFE_NO_PAD.decode(signature).ok()?) {
        return None;
    }
    let (header, claims) = signed.split_once('.')?;
    if header != URL_SAFE_NO_PAD.encode(HEADER) {
        return None;
    }
    let claims: Claims = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
    (claims.issuer == ISSUER).then_some(claims)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key() -> SigningKey {
        SigningKey::from_bytes(&[7; 32])
    }

    #[test]
    fn a_credential_is_known_again_and_none_that_was_changed() {
        let issued = Credential::issue(&key(), "acc", &[Permission::Pull], 5);
        let claims = decode(&key(), &issued.password).unwrap();
        assert_eq!((claims.account.as_str(), claims.expires - claims.issued), ("acc", 300));
        assert!(decode(&SigningKey::from_bytes(&[8; 32]), &issued.password).is_none());
        let parts: Vec<&str> = issued.password.split('.').collect();
        let more = String::from_utf8(URL_SAFE_NO_PAD.decode(parts[1]).unwrap()).unwrap();
        let more = URL_SAFE_NO_PAD.encode(more.replace("acc", "abc"));
        let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#);
        for forged in [
            format!("{}.{more}.{}", parts[0], parts[2]),
            format!("{none}.{}.", parts[1]),
            format!("{}.{}.", parts[0], parts[1]),
            format!("{}.{}", parts[0], parts[1]),
        ] {
            assert!(decode(&key(), &forged).is_none(), "{forged}");
        }
        assert!(!format!("{issued:?}").contains(&issued.password));
    }

    #[test]
    fn a_token_is_for_what_was_asked_for() {
        let claims =
            decode(&key(), &Credential::issue(&key(), "acc", &[Permission::Push], 5).password);
        let access = Access::parse_all("repository:acc/a:pull,push registry:catalog:* junk");
        let token = claims.unwrap().exchanged(access, 0);
        let name = |text: &str| text.parse::<RepositoryName>().unwrap();
        assert!(token.allows("push", &name("acc/a")) && !token.allows("delete", &name("acc/a")));
        assert!(!token.allows("pull", &name("acc/b")));
    }

    proptest! {
        #[test]
        fn no_text_is_ours_by_chance(text in "[A-Za-z0-9_-]{0,40}\\.[A-Za-z0-9_-]{0,40}\\.[A-Za-z0-9_-]{0,50}") {
            prop_assert!(decode(&key(), &text).is_none());
            let _ = Access::parse_all(&text);
        }
    }
}

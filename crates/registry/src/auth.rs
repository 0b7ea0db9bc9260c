//! Who asks, and what they may: short-lived signed credentials, as a password or as a token.
//!
//! A credential is for one account, whose repositories lie below its name, and for pulling, pushing
//! or both. It is a signed text (a JWT of HS256): nothing is kept of it. Its life is extended while an
//! upload that it began goes on, so that a push of many hours ends well.

mod header;
mod key;
mod lease;
mod token;

use std::time::Instant;

use http::{HeaderMap, StatusCode, header as names};
use image::RepositoryName;

pub(crate) use header::parse as parse_authorization;
pub use key::{KeyError, SigningKey};
pub(crate) use lease::{GRACE, Leases};
pub(crate) use token::{Access, Claims, decode};
pub use token::{Credential, Permission};

use crate::error::{ApiError, Code};
use crate::route::Query;

/// The user name that goes with a credential.
pub(crate) const USER: &str = "v1";
/// How long a token lasts that a credential is exchanged for.
const TOKEN_SECONDS: i64 = 300;

/// What a request does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Pull,
    Push,
    Delete,
}

impl Action {
    /// The action's name in a scope.
    fn name(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Push => "push",
            Self::Delete => "delete",
        }
    }

    /// What a credential must permit: deleting is for those who push.
    fn permission(self) -> Permission {
        match self {
            Self::Pull => Permission::Pull,
            Self::Push | Self::Delete => Permission::Push,
        }
    }
}

/// Who asks.
#[derive(Debug, Clone)]
pub(crate) enum Principal {
    /// Anyone, where that is allowed.
    Anonymous,
    /// The holder of a credential, or of a token it was exchanged for.
    Holder(Claims),
}

impl Principal {
    /// The account, which anonymous callers have none of: they see everything.
    pub(crate) fn account(&self) -> Option<&str> {
        match self {
            Self::Anonymous => None,
            Self::Holder(claims) => Some(&claims.account),
        }
    }

    /// The credential's id.
    pub(crate) fn credential(&self) -> Option<&str> {
        match self {
            Self::Anonymous => None,
            Self::Holder(claims) => Some(&claims.id),
        }
    }

    /// Whether this repository is theirs; `shared` are those that everyone may pull.
    pub(crate) fn owns(&self, name: &RepositoryName) -> bool {
        self.account().is_none_or(|account| name.is_below(account))
    }
}

/// Checks credentials.
#[derive(Debug)]
pub(crate) struct Auth {
    pub(crate) key: SigningKey,
    pub(crate) anonymous: bool,
    pub(crate) leases: Leases,
}

/// Where a client is sent for a token.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Challenge<'a> {
    /// `http` or `https`.
    pub(crate) scheme: &'a str,
    /// The host as the client calls it.
    pub(crate) host: &'a str,
}

impl Auth {
    /// Who asks.
    ///
    /// # Errors
    /// Credentials are missing, wrong or expired.
    pub(crate) fn principal(
        &self,
        headers: &HeaderMap,
        challenge: Challenge<'_>,
        scope: Option<&str>,
    ) -> Result<Principal, ApiError> {
        if self.anonymous {
            return Ok(Principal::Anonymous);
        }
        let unauthorized = |message: &str| self.unauthorized(challenge, scope, message);
        let Some(value) = headers.get(names::AUTHORIZATION) else {
            return Err(unauthorized("a credential is needed: `berth registry credentials`"));
        };
        let secret = value.to_str().ok().and_then(parse_authorization);
        let Some(secret) = secret else {
            return Err(unauthorized("this is neither a password nor a token"));
        };
        match self.claims(&secret) {
            Ok(claims) => Ok(Principal::Holder(claims)),
            Err(reason) => Err(unauthorized(reason)),
        }
    }

    /// Who asks for a token by a form (OAuth 2, as containerd does).
    ///
    /// # Errors
    /// The credential in it is missing, wrong or expired.
    pub(crate) fn of_form(
        &self,
        form: Query<'_>,
        challenge: Challenge<'_>,
    ) -> Result<Principal, ApiError> {
        if self.anonymous {
            return Ok(Principal::Anonymous);
        }
        let user = form.get("username").unwrap_or_default();
        let password = form.get("password").or_else(|| form.get("refresh_token"));
        let secret = header::Secret::Password { user, password: password.unwrap_or_default() };
        let claims = self.claims(&secret);
        claims.map(Principal::Holder).map_err(|why| self.unauthorized(challenge, None, why))
    }

    fn claims(&self, secret: &header::Secret) -> Result<Claims, &'static str> {
        let password = match secret {
            header::Secret::Password { user, .. } if user != USER => {
                return Err("the user name of a credential is v1");
            }
            header::Secret::Password { password, .. } => password,
            header::Secret::Token(token) => token,
        };
        let claims = decode(&self.key, password).ok_or("the credential is not one of ours")?;
        let now = jiff::Timestamp::now().as_second();
        let ago = now.saturating_sub(claims.expires);
        if ago >= 0 && !self.leases.extends(&claims.id, ago, Instant::now()) {
            return Err("the credential has expired");
        }
        Ok(claims)
    }

    /// Whether they may do this to a repository, or to the registry as a whole.
    ///
    /// # Errors
    /// They may not.
    pub(crate) fn authorize(
        &self,
        principal: &Principal,
        action: Action,
        name: Option<&RepositoryName>,
        shared: bool,
        challenge: Challenge<'_>,
    ) -> Result<(), ApiError> {
        let Principal::Holder(claims) = principal else { return Ok(()) };
        if !claims.permissions.contains(&action.permission()) {
            let action = action.name();
            return Err(ApiError::denied(format!("this credential is not for {action}ing")));
        }
        let Some(name) = name else { return Ok(()) };
        let readable = shared && action == Action::Pull;
        if !principal.owns(name) && !readable {
            let account = &claims.account;
            let message = format!(
                "{name} is not a repository of the account {account}: those are {account}/…"
            );
            return Err(ApiError::denied(message));
        }
        if claims.allows(action.name(), name) {
            Ok(())
        } else {
            // A token for something else: the client gets another one.
            let scope = format!("repository:{name}:{}", action.name());
            Err(self.unauthorized(challenge, Some(&scope), "the token is for something else"))
        }
    }

    fn unauthorized(
        &self,
        challenge: Challenge<'_>,
        scope: Option<&str>,
        message: &str,
    ) -> ApiError {
        let Challenge { scheme, host } = challenge;
        let mut value = format!("Bearer realm=\"{scheme}://{host}/v2/token\",service=\"{host}\"");
        if let Some(scope) = scope {
            value.push_str(&format!(",scope=\"{scope}\""));
        }
        ApiError::new(StatusCode::UNAUTHORIZED, Code::Unauthorized, message)
            .with(names::WWW_AUTHENTICATE, value)
    }

    /// `GET /v2/token`: a token for what is asked for and permitted.
    pub(crate) fn token(&self, principal: &Principal, query: Query<'_>) -> serde_json::Value {
        let now = jiff::Timestamp::now();
        let token = match principal {
            // Nobody asks an anonymous registry for one; whoever does may go on.
            Principal::Anonymous => "anonymous".to_owned(),
            Principal::Holder(claims) => {
                let access = query.all("scope").flat_map(|scope| Access::parse_all(&scope));
                let expires = now.as_second() + TOKEN_SECONDS;
                token::encode(&self.key, &claims.exchanged(access.collect(), expires))
            }
        };
        serde_json::json!({
            "token": token,
            "access_token": token,
            "expires_in": TOKEN_SECONDS,
            "issued_at": now.to_string(),
        })
    }
}

/// The scope a request needs, as the token server is told.
pub(crate) fn scope(action: Action, name: &RepositoryName) -> String {
    let actions = match action {
        Action::Pull => "pull",
        Action::Push => "pull,push",
        Action::Delete => "pull,push,delete",
    };
    format!("repository:{name}:{actions}")
}

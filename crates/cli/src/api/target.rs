//! Which platform is meant, and who asks: what wrangler reads from the same variables.

use std::collections::BTreeMap;

use project::config::Secret;

use crate::error::{CliError, Kind};

/// Variables by their names.
type Variables = BTreeMap<String, Secret>;

/// A platform, and a token for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// The URL below which the API is, without a slash at its end.
    pub(crate) url: String,
    pub(crate) token: Secret,
    /// The account; the token's where nobody names one.
    pub(crate) account: Option<String>,
    /// Host of the registry that images are pushed to.
    pub(crate) registry: String,
}

const URL: &str = "CLOUDFLARE_API_BASE_URL";
const TOKEN: &str = "CLOUDFLARE_API_TOKEN";
const ACCOUNT: &str = "CLOUDFLARE_ACCOUNT_ID";
const REGISTRY: &str = "CLOUDFLARE_CONTAINER_REGISTRY";

/// What to do without a token, or with one that is not enough.
pub(crate) const GET_A_TOKEN: &str = "on the platform's machine `berth token create NAME --scope workers:write --scope \
     containers:write` makes one: put it into the project's `.env` as CLOUDFLARE_API_TOKEN";

impl Target {
    /// The platform that these variables name.
    ///
    /// # Errors
    /// They name none, or no token for it; the error says how to come by both.
    pub(crate) fn of(variables: &Variables) -> Result<Self, CliError> {
        let get = |name: &str| {
            let value = variables.get(name).map(|value| value.expose().trim());
            value.filter(|value| !value.is_empty()).map(str::to_owned)
        };
        let Some(url) = get(URL) else {
            let text = format!("nobody says which platform to ask: {URL} is not set");
            return Err(CliError::new(Kind::Config, text).hint(
                "put the lines that `berth serve` prints at its first start into the project's `.env`",
            ));
        };
        let url = url.trim_end_matches('/').to_owned();
        let host = host(&url).ok_or_else(|| {
            CliError::new(Kind::Config, format!("{URL} is no http or https URL: {url}"))
                .hint("it looks like http://127.0.0.1:8788/client/v4")
        })?;
        let token = get(TOKEN).ok_or_else(|| {
            let text = format!("there is no token for {url}: {TOKEN} is not set");
            CliError::new(Kind::Config, text).hint(GET_A_TOKEN)
        })?;
        let registry = get(REGISTRY).unwrap_or_else(|| host.to_owned());
        Ok(Self { token: Secret::new(token), account: get(ACCOUNT), registry, url })
    }

    /// Whether the registry is at the API's address, which has no TLS.
    pub(crate) fn is_plain_http(&self) -> bool {
        self.url.starts_with("http://") && host(&self.url) == Some(&self.registry)
    }
}

/// Host and port of a URL.
fn host(url: &str) -> Option<&str> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"))?;
    // A password in a URL would end in messages.
    rest.split('/').next().filter(|host| !host.is_empty() && !host.contains('@'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(pairs: &[(&str, &str)]) -> Variables {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), Secret::new(*value))).collect()
    }

    #[test]
    fn the_registry_is_at_the_apis_address_unless_it_is_said_where() {
        let all = [(URL, "http://127.0.0.1:8788/client/v4/"), (TOKEN, " t "), (ACCOUNT, "")];
        let target = Target::of(&variables(&all)).unwrap();
        assert_eq!(target.url, "http://127.0.0.1:8788/client/v4");
        assert_eq!((target.registry.as_str(), target.token.expose()), ("127.0.0.1:8788", "t"));
        assert_eq!(target.account, None);
        let with = [&all[..], &[(REGISTRY, "localhost:8788"), (ACCOUNT, "a")]].concat();
        let target = Target::of(&variables(&with)).unwrap();
        assert_eq!(target.registry, "localhost:8788");
        assert_eq!(target.account.as_deref(), Some("a"));
    }

    #[test]
    fn what_is_missing_is_named_and_no_token_is_shown() {
        for (pairs, name) in [
            (&[][..], URL),
            (&[(URL, "http://h/client/v4")][..], TOKEN),
            (&[(URL, "h:1"), (TOKEN, "hush")][..], URL),
            (&[(URL, "http://u:p@h/client/v4"), (TOKEN, "hush")][..], URL),
        ] {
            let error = Target::of(&variables(pairs)).unwrap_err();
            let (message, _, hint) = error.parts();
            assert!(message.contains(name) && hint.is_some(), "{error}");
            assert!(!format!("{error:?}").contains("hush"));
        }
    }
}

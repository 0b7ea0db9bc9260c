//! Which platform is meant, and who asks: what wrangler reads from the same variables, or else the last
//! `berth login`.

use std::collections::BTreeMap;
use std::path::Path;

use project::config::{Secret, dot_env};

use super::login;
use crate::dev::project::config_error;
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

/// Below a platform's address, where its API is.
const API: &str = "/client/v4";

const URL: &str = "CLOUDFLARE_API_BASE_URL";
const TOKEN: &str = "CLOUDFLARE_API_TOKEN";
const ACCOUNT: &str = "CLOUDFLARE_ACCOUNT_ID";
const REGISTRY: &str = "CLOUDFLARE_CONTAINER_REGISTRY";

/// What to do without a token, or with one that is not enough.
pub(crate) const GET_A_TOKEN: &str = "on the platform's machine `berth token create NAME --scope workers:write --scope \
     containers:write` makes one: put it into the project's `.env` as CLOUDFLARE_API_TOKEN, or `berth login`";

impl Target {
    /// The platform that the environment, a folder's `.env` files or the last login name.
    ///
    /// # Errors
    /// None is named, or no token for it; the error says how to come by both.
    pub(crate) fn find(folder: &Path, environment: Option<&str>) -> Result<Self, CliError> {
        let variables = dot_env(folder, environment).map_err(config_error)?;
        // Who has no home folder has not logged in.
        let login = login::path().ok().map(|path| login::read(&path)).transpose()?.flatten();
        Self::of(&variables, login)
    }

    /// The platform at an address as people write it.
    ///
    /// # Errors
    /// It is no URL.
    pub(crate) fn at(
        address: &str,
        token: Secret,
        registry: Option<String>,
    ) -> Result<Self, CliError> {
        let address = address.trim_end_matches('/');
        let own = host(address).ok_or_else(|| {
            CliError::new(Kind::Usage, format!("{address} is no http or https URL"))
                .hint("it looks like http://127.0.0.1:8788")
        })?;
        let registry = registry.unwrap_or_else(|| own.to_owned());
        let url = match address.ends_with(API) {
            true => address.to_owned(),
            false => format!("{address}{API}"),
        };
        Ok(Self { url, token, account: None, registry })
    }

    /// What wrangler and `berth deploy` read from a project's `.env` (`spec/wrangler.md` §1).
    pub(crate) fn dot_env(&self) -> [String; 5] {
        [
            format!("{URL}={}", self.url),
            format!("{TOKEN}={}", self.token.expose()),
            format!("{ACCOUNT}={}", self.account.as_deref().unwrap_or_default()),
            format!("{REGISTRY}={}", self.registry),
            "WRANGLER_SEND_METRICS=false".to_owned(),
        ]
    }

    /// The platform that these variables name, or else the one that was logged in to. Their token is for
    /// their platform alone: without an address it may be one of Cloudflare's.
    fn of(variables: &Variables, login: Option<Self>) -> Result<Self, CliError> {
        let get = |name: &str| {
            let value = variables.get(name).map(|value| value.expose().trim());
            value.filter(|value| !value.is_empty()).map(str::to_owned)
        };
        let Some(url) = get(URL) else {
            if let Some(login) = login {
                return Ok(login);
            }
            let text = format!("nobody says which platform to ask: {URL} is not set");
            return Err(CliError::new(Kind::Config, text).hint(
                "put the lines that `berth serve` prints at its first start into the project's `.env` (`berth \
                 env` prints them, too), or `berth login URL`",
            ));
        };
        let url = url.trim_end_matches('/').to_owned();
        let host = host(&url).ok_or_else(|| {
            CliError::new(Kind::Config, format!("{URL} is no http or https URL: {url}"))
                .hint("it looks like http://127.0.0.1:8788/client/v4")
        })?;
        let known = login.filter(|login| login.url == url).map(|login| login.token);
        let token = get(TOKEN).map(Secret::new).or(known).ok_or_else(|| {
            let text = format!("there is no token for {url}: {TOKEN} is not set");
            CliError::new(Kind::Config, text).hint(GET_A_TOKEN)
        })?;
        let registry = get(REGISTRY).unwrap_or_else(|| host.to_owned());
        Ok(Self { token, account: get(ACCOUNT), registry, url })
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
        let target = Target::of(&variables(&all), None).unwrap();
        assert_eq!(target.url, "http://127.0.0.1:8788/client/v4");
        assert_eq!((target.registry.as_str(), target.token.expose()), ("127.0.0.1:8788", "t"));
        assert_eq!(target.account, None);
        let with = [&all[..], &[(REGISTRY, "localhost:8788"), (ACCOUNT, "a")]].concat();
        let target = Target::of(&variables(&with), None).unwrap();
        assert_eq!(target.registry, "localhost:8788");
        assert_eq!(target.account.as_deref(), Some("a"));
    }

    #[test]
    fn a_login_stands_in_and_its_token_goes_to_its_own_platform_alone() {
        let login = Target::at("http://h:1/", Secret::new("own"), None).unwrap();
        assert_eq!((login.url.as_str(), login.registry.as_str()), ("http://h:1/client/v4", "h:1"));
        let of = |pairs: &[_]| Target::of(&variables(pairs), Some(login.clone()));
        assert_eq!(of(&[]).unwrap(), login);
        assert_eq!(of(&[(TOKEN, "cloudflare's")]).unwrap(), login);
        assert_eq!(of(&[(URL, "http://h:1/client/v4")]).unwrap().token.expose(), "own");
        assert!(of(&[(URL, "http://other/client/v4")]).is_err());
        assert!(Target::at("h:1", Secret::new("t"), None).is_err());
    }

    #[test]
    fn what_is_missing_is_named_and_no_token_is_shown() {
        for (pairs, name) in [
            (&[][..], URL),
            (&[(URL, "http://h/client/v4")][..], TOKEN),
            (&[(URL, "h:1"), (TOKEN, "hush")][..], URL),
            (&[(URL, "http://u:p@h/client/v4"), (TOKEN, "hush")][..], URL),
        ] {
            let error = Target::of(&variables(pairs), None).unwrap_err();
            let (message, _, hint) = error.parts();
            assert!(message.contains(name) && hint.is_some(), "{error}");
            assert!(!format!("{error:?}").contains("hush"));
        }
    }
}

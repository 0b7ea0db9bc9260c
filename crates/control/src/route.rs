//! Which endpoint a path means.

use http::{Method, StatusCode};
use percent_encoding::percent_decode_str;

use crate::envelope::Failure;

/// An endpoint below an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Route {
    /// `GET /containers/me`
    Me,
    /// `POST /containers/registries/<host>/credentials`
    Credentials(String),
}

impl Route {
    /// The account and the endpoint.
    ///
    /// # Errors
    /// There is none of that path; the answer names it.
    pub(crate) fn parse(method: &Method, path: &str) -> Result<(String, Self), Failure> {
        let parts: Vec<String> = path
            .split('/')
            .filter(|part| !part.is_empty())
            .map(|part| percent_decode_str(part).decode_utf8_lossy().into_owned())
            .collect();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let (account, rest) = match parts.as_slice() {
            ["client", "v4", "accounts", account, rest @ ..] => (*account, rest),
            _ => return Err(unknown(method, path)),
        };
        let route = match (method, rest) {
            (&Method::GET, ["containers", "me"]) => Self::Me,
            (&Method::POST, ["containers", "registries", host, "credentials"]) => {
                Self::Credentials((*host).to_owned())
            }
            _ => return Err(unknown(method, path)),
        };
        Ok((account.to_owned(), route))
    }
}

fn unknown(method: &Method, path: &str) -> Failure {
    let message = format!("Could not route to {method} {path}: Berth does not have it (yet)");
    Failure::new(StatusCode::NOT_FOUND, 7003, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_wrangler_asks_for_is_found_and_all_else_is_named() {
        let me = Route::parse(&Method::GET, "/client/v4/accounts/a/containers/me");
        assert_eq!(me, Ok(("a".into(), Route::Me)));
        let path = "/client/v4/accounts/a/containers/registries/localhost%3A5000/credentials";
        let credentials = Route::Credentials("localhost:5000".into());
        assert_eq!(Route::parse(&Method::POST, path), Ok(("a".into(), credentials)));
        for (method, path) in [(Method::GET, path), (Method::GET, "/"), (Method::PUT, "/client/v4")]
        {
            let failure = Route::parse(&method, path).unwrap_err();
            assert!(format!("{failure:?}").contains(path), "{failure:?}");
        }
    }
}

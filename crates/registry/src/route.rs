//! Which endpoint a path means. Paths are split first and decoded after.

use std::borrow::Cow;

use image::RepositoryName;
use percent_encoding::percent_decode_str;

use crate::error::{ApiError, Code};

/// An endpoint of the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Route {
    /// `/v2/`
    Base,
    /// `/v2/_catalog`
    Catalog,
    /// `/v2/token`
    Token,
    /// `/v2/gc/layers`
    Garbage,
    /// Something in a repository.
    Repository(RepositoryName, Endpoint),
}

/// Something in a repository. Digests and tags are as the client wrote them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// `blobs/<digest>`
    Blob(String),
    /// `blobs/uploads/`
    Uploads,
    /// `blobs/uploads/<id>`
    Upload(String),
    /// `manifests/<tag or digest>`
    Manifest(String),
    /// `tags/list`
    Tags,
    /// `referrers/<digest>`
    Referrers(String),
}

impl Route {
    /// The endpoint of a path. `namespace` is the registry that is meant where this one stands for
    /// another.
    pub(crate) fn parse(path: &str, namespace: Option<&str>) -> Result<Self, ApiError> {
        let unknown = || {
            let message = format!("{path} is no path of the distribution API");
            ApiError::not_found(Code::Unsupported, message)
        };
        let rest = match path.strip_prefix("/v2") {
            Some("" | "/") => return Ok(Self::Base),
            Some(rest) => rest.strip_prefix('/').ok_or_else(unknown)?,
            None => return Err(unknown()),
        };
        match rest {
            "_catalog" => return Ok(Self::Catalog),
            "token" => return Ok(Self::Token),
            "gc/layers" => return Ok(Self::Garbage),
            _ => {}
        }
        let parts: Vec<Cow<'_, str>> =
            rest.split('/').map(|part| percent_decode_str(part).decode_utf8_lossy()).collect();
        let parts: Vec<&str> = parts.iter().map(AsRef::as_ref).collect();
        // Names may have parts called like endpoints: the path is read from its end.
        let (name, endpoint) = match parts.as_slice() {
            [name @ .., "blobs", "uploads", ""] | [name @ .., "blobs", "uploads"] => {
                (name, Endpoint::Uploads)
            }
            [name @ .., "blobs", "uploads", id] => (name, Endpoint::Upload((*id).to_owned())),
            [name @ .., "blobs", digest] => (name, Endpoint::Blob((*digest).to_owned())),
            [name @ .., "manifests", version] => (name, Endpoint::Manifest((*version).to_owned())),
            [name @ .., "tags", "list"] => (name, Endpoint::Tags),
            [name @ .., "referrers", digest] => (name, Endpoint::Referrers((*digest).to_owned())),
            _ => return Err(unknown()),
        };
        let name = namespace.into_iter().chain(name.iter().copied()).collect::<Vec<_>>().join("/");
        let name = name.parse::<RepositoryName>();
        let name =
            name.map_err(|error| ApiError::bad_request(Code::NameInvalid, error.to_string()))?;
        Ok(Self::Repository(name, endpoint))
    }
}

/// A query string.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Query<'a>(pub(crate) &'a str);

impl<'a> Query<'a> {
    /// The first value of `key`.
    pub(crate) fn get(self, key: &str) -> Option<String> {
        self.all(key).next()
    }

    /// Every value of `key`, in order.
    pub(crate) fn all(self, key: &str) -> impl Iterator<Item = String> {
        form_urlencoded::parse(self.0.as_bytes())
            .filter(move |(name, _)| name == key)
            .map(|(_, value)| value.into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(path: &str) -> (String, Endpoint) {
        match Route::parse(path, None) {
            Ok(Route::Repository(name, endpoint)) => (name.to_string(), endpoint),
            other => panic!("{path}: {other:?}"),
        }
    }

    #[test]
    fn endpoints_are_read_from_the_end_of_the_path() {
        let manifest = |version: &str| Endpoint::Manifest(version.into());
        assert_eq!(endpoint("/v2/a/b/manifests/v1"), ("a/b".into(), manifest("v1")));
        assert_eq!(endpoint("/v2/a/blobs/manifests/v1"), ("a/blobs".into(), manifest("v1")));
        assert_eq!(endpoint("/v2/a/manifests/manifests"), ("a".into(), manifest("manifests")));
        assert_eq!(endpoint("/v2/a/blobs/uploads/"), ("a".into(), Endpoint::Uploads));
        assert_eq!(endpoint("/v2/a/blobs/uploads/x"), ("a".into(), Endpoint::Upload("x".into())));
        assert_eq!(endpoint("/v2/a/blobs/s%3Ax"), ("a".into(), Endpoint::Blob("s:x".into())));
        assert_eq!(endpoint("/v2/tags/tags/list"), ("tags".into(), Endpoint::Tags));
    }

    #[test]
    fn a_registry_that_is_stood_for_is_part_of_the_name() {
        let route = Route::parse("/v2/library/nginx/tags/list", Some("docker.io")).unwrap();
        let name = "docker.io/library/nginx".parse().unwrap();
        assert_eq!(route, Route::Repository(name, Endpoint::Tags));
    }

    #[test]
    fn other_paths_are_not_found_and_names_that_are_none_are_refused() {
        for path in ["/", "/v1/", "/v2x", "/v2/a", "/v2/a/tags", "/v2/a/tags/other", "/v2//x/y"] {
            let error = Route::parse(path, None).unwrap_err();
            assert_eq!(error.status().as_u16(), 404, "{path}");
        }
        for path in [
            "/v2/manifests/x",
            "/v2/A/manifests/x",
            "/v2/a/../b/tags/list",
            "/v2/a%2F..%2Fb/tags/list",
        ] {
            let error = Route::parse(path, None).unwrap_err();
            assert_eq!(error.status().as_u16(), 400, "{path}");
        }
        assert_eq!(Query("tag=a&x=1&tag=b%2Bc").all("tag").collect::<Vec<_>>(), ["a", "b+c"]);
    }
}

//! What there is: tags, repositories and what was attached to a manifest.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::header::HeaderName;
use http::request::Parts;
use http::{Method, Response, header};
use image::{ContentDigest, RepositoryManifest, RepositoryName};
use serde::Serialize;
use serde_json::json;

use crate::api::Api;
use crate::auth::Principal;
use crate::blobs;
use crate::body::blocking;
use crate::error::{ApiError, Code};
use crate::reply::{Body, Reply};
use crate::route::Query;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const FILTERS: HeaderName = HeaderName::from_static("oci-filters-applied");
/// Largest answer of referrers: as large as a manifest may be. More come on a next page.
const REFERRERS_BYTES: usize = 4 * 1024 * 1024 - 4096;

/// `GET /v2/<name>/tags/list`
pub(crate) async fn tags(
    api: &Arc<Api>,
    name: &RepositoryName,
    head: &Parts,
) -> Result<Response<Body>, ApiError> {
    only_get(head)?;
    let page = Page::of(head)?;
    let (repositories, owned) = (api.repositories.clone(), name.clone());
    let tags = blocking(move || repositories.tags(&owned)).await?;
    let Some(tags) = tags else {
        let message = format!("there is no repository {name}");
        return Err(ApiError::not_found(Code::NameUnknown, message));
    };
    let tags = tags.iter().map(|tag| tag.as_str().to_owned());
    let (tags, more) = page.cut(tags);
    let next = more.then(|| tags.last().cloned()).flatten();
    let reply = Reply::json(&json!({"name": name, "tags": tags}));
    Ok(page.link(reply, head.uri.path(), next).done())
}

/// `GET /v2/_catalog`: names, or with `tags=true` names with their tags, as wrangler wants them.
pub(crate) async fn catalog(
    api: &Arc<Api>,
    principal: &Principal,
    head: &Parts,
) -> Result<Response<Body>, ApiError> {
    only_get(head)?;
    let page = Page::of(head)?;
    let query = Query(head.uri.query().unwrap_or_default());
    let with_tags = query.get("tags").is_some_and(|value| value == "true");
    let repositories = api.repositories.clone();
    let names = blocking(move || repositories.names()).await?;
    let own = names.into_iter().filter(|name| principal.owns(name)).map(String::from);
    let (names, more) = page.cut(own);
    let next = more.then(|| names.last().cloned()).flatten();
    let reply = if with_tags {
        let repositories = api.repositories.clone();
        let tags = blocking(move || {
            let mut found = BTreeMap::new();
            for name in names {
                let Ok(parsed) = name.parse::<RepositoryName>() else { continue };
                let tags = repositories.tags(&parsed)?.unwrap_or_default();
                let tags: Vec<String> = tags.iter().map(ToString::to_string).collect();
                found.insert(name, tags);
            }
            Ok::<_, image::StoreError>(found)
        });
        Reply::json(&json!({"repositories": tags.await?}))
    } else {
        Reply::json(&json!({"repositories": names}))
    };
    Ok(page.link(reply, head.uri.path(), next).done())
}

/// `GET /v2/<name>/referrers/<digest>`: an index of what was attached to a manifest.
pub(crate) async fn referrers(
    api: &Arc<Api>,
    name: &RepositoryName,
    subject: &str,
    head: &Parts,
) -> Result<Response<Body>, ApiError> {
    only_get(head)?;
    let subject: ContentDigest = blobs::digest(subject)?;
    let query = Query(head.uri.query().unwrap_or_default());
    let wanted = query.get("artifactType");
    let last = query.get("last");
    let (repositories, owned) = (api.repositories.clone(), name.clone());
    let found = blocking(move || repositories.referrers(&owned, &subject)).await?;
    let after =
        |one: &RepositoryManifest| last.as_deref().is_none_or(|last| one.digest.as_str() > last);
    let fits = |one: &RepositoryManifest| wanted.is_none() || one.artifact_type == wanted;
    let mut page = Vec::new();
    let (mut size, mut next) = (0, None);
    for one in found.iter().filter(|one| after(one) && fits(one)) {
        let bytes = serde_json::to_vec(one).map_or(0, |bytes| bytes.len());
        if size + bytes > REFERRERS_BYTES && !page.is_empty() {
            next = page.last().map(|one: &&RepositoryManifest| one.digest.to_string());
            break;
        }
        size += bytes;
        page.push(one);
    }
    let index = Index { schema_version: 2, media_type: INDEX, manifests: page };
    let bytes = serde_json::to_vec(&index).map_err(|error| ApiError::internal(&error))?;
    let mut reply = Reply::new(http::StatusCode::OK)
        .with(header::CONTENT_TYPE, INDEX)
        .body(crate::reply::whole(bytes));
    if let Some(next) = next {
        let kind = wanted.as_deref().map_or_else(String::new, |kind| {
            format!(
                "&artifactType={}",
                form_urlencoded::byte_serialize(kind.as_bytes()).collect::<String>()
            )
        });
        let link = format!("<{}?last={next}{kind}>; rel=\"next\"", head.uri.path());
        reply = reply.with(header::LINK, link);
    }
    if wanted.is_some() {
        reply = reply.with(FILTERS, "artifactType");
    }
    Ok(reply.done())
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Index<'a> {
    schema_version: u32,
    media_type: &'static str,
    manifests: Vec<&'a RepositoryManifest>,
}

fn only_get(head: &Parts) -> Result<(), ApiError> {
    match head.method {
        Method::GET | Method::HEAD => Ok(()),
        _ => Err(ApiError::method("GET")),
    }
}

/// Which part of a list is wanted: at most so many, after that one.
#[derive(Debug, PartialEq, Eq)]
struct Page {
    most: Option<usize>,
    last: Option<String>,
}

impl Page {
    fn of(head: &Parts) -> Result<Self, ApiError> {
        Self::parse(head.uri.query().unwrap_or_default())
    }

    fn parse(query: &str) -> Result<Self, ApiError> {
        let query = Query(query);
        let most = query.get("n").map(|n| n.parse::<usize>()).transpose().map_err(|_| {
            ApiError::bad_request(Code::Unsupported, "n is how many entries there may be")
        })?;
        Ok(Self { most, last: query.get("last") })
    }

    /// The wanted part of a sorted list, and whether more follow.
    fn cut(&self, sorted: impl Iterator<Item = String>) -> (Vec<String>, bool) {
        let after = |one: &String| self.last.as_ref().is_none_or(|last| one > last);
        let mut rest = sorted.filter(after);
        let Some(most) = self.most else { return (rest.collect(), false) };
        let page: Vec<String> = rest.by_ref().take(most).collect();
        (page, most > 0 && rest.next().is_some())
    }

    /// Where the next part is.
    fn link(&self, reply: Reply, path: &str, next: Option<String>) -> Reply {
        let (Some(most), Some(last)) = (self.most, next) else { return reply };
        let last: String = form_urlencoded::byte_serialize(last.as_bytes()).collect();
        reply.with(header::LINK, format!("<{path}?n={most}&last={last}>; rel=\"next\""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(query: &str) -> (Vec<String>, bool) {
        let list = ["a", "b", "c"].map(str::to_owned);
        Page::parse(query).unwrap().cut(list.into_iter())
    }

    #[test]
    fn a_page_begins_after_the_last_and_says_whether_more_follow() {
        assert_eq!(cut(""), (vec!["a".into(), "b".into(), "c".into()], false));
        assert_eq!(cut("n=2"), (vec!["a".into(), "b".into()], true));
        assert_eq!(cut("n=2&last=a"), (vec!["b".into(), "c".into()], false));
        // The last need not be there (any more).
        assert_eq!(cut("last=aa"), (vec!["b".into(), "c".into()], false));
        assert_eq!(cut("n=0"), (Vec::new(), false));
        assert!(Page::parse("n=x").is_err() && Page::parse("n=-1").is_err());
    }
}

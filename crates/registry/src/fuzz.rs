//! Entry points for `tests/fuzzing` alone: parsers of what clients send, otherwise private. Each
//! returns whatever comes, or a promise is broken.

use crate::auth::{Access, SigningKey, decode, parse_authorization};
use crate::range::{Wanted, chunk, wanted};
use crate::route::{Query, Route};

/// A request's path and query: the endpoint it means has a name that leads nowhere else.
///
/// # Panics
/// It does.
pub fn path(text: &str) {
    let (path, query) = text.split_once('?').unwrap_or((text, ""));
    for namespace in [None, Some("docker.io")] {
        if let Ok(Route::Repository(name, _)) = Route::parse(path, namespace) {
            let part = |part: &str| !part.is_empty() && !part.starts_with(['.', '_', '/']);
            assert!(name.as_str().split('/').all(part), "{name}");
        }
    }
    let query = Query(query);
    let _ = (query.get("n"), query.all("tag").count());
}

/// `Range` and `Content-Range`: no part leaves the blob, no chunk overflows.
///
/// # Panics
/// One does.
pub fn ranges(text: &str) {
    for size in [0, 1, 1000, u64::MAX] {
        if let Wanted::Part { start, length } = wanted(Some(text), size) {
            let end = start.checked_add(length);
            assert!(length > 0 && end.is_some_and(|end| end <= size), "{text}");
        }
    }
    if let Some(chunk) = chunk(text) {
        assert!(chunk.length > 0, "{text}");
    }
}

/// `Authorization` and scopes: nothing that was not signed is a credential.
///
/// # Panics
/// Something is.
pub fn authorization(text: &str) {
    let _ = parse_authorization(text);
    let _ = Access::parse_all(text);
    assert!(decode(&SigningKey::from_bytes(&[7; 32]), text).is_none(), "{text}");
}

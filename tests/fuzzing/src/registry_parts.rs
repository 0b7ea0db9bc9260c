//! What the registry's clients send.

/// A request's path and query.
pub(crate) fn path(bytes: &[u8]) {
    registry::fuzz::path(&String::from_utf8_lossy(bytes));
}

/// `Range` and `Content-Range`.
pub(crate) fn range(bytes: &[u8]) {
    registry::fuzz::ranges(&String::from_utf8_lossy(bytes));
}

/// `Authorization` and scopes.
pub(crate) fn authorization(bytes: &[u8]) {
    registry::fuzz::authorization(&String::from_utf8_lossy(bytes));
}

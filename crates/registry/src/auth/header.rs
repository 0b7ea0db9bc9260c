//! `Authorization`: a password or a token.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// What came with a request. Never shown.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Secret {
    /// `Basic`
    Password { user: String, password: String },
    /// `Bearer`
    Token(String),
}

/// Reads the header's value; nothing when it is neither.
pub(crate) fn parse(value: &str) -> Option<Secret> {
    let (scheme, rest) = value.trim().split_once(' ')?;
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return (!rest.is_empty()).then(|| Secret::Token(rest.to_owned()));
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(rest).ok()?).ok()?;
    let (user, password) = text.split_once(':')?;
    Some(Secret::Password { user: user.to_owned(), password: password.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_and_tokens_are_told_apart_and_others_refused() {
        let password = Secret::Password { user: "v1".into(), password: "a:b".into() };
        assert!(parse(&format!("basic {}", STANDARD.encode("v1:a:b"))) == Some(password));
        assert!(parse("Bearer  x.y.z") == Some(Secret::Token("x.y.z".into())));
        for bad in ["", "Basic", "Basic !!", "Basic djE=", "Digest x", "Bearer "] {
            assert!(parse(bad).is_none(), "{bad}");
        }
    }
}

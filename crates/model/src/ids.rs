//! Ids: validated on parse, distinct by type.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A text that is not the id it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{text}\" is not {what}")]
pub struct IdError {
    text: String,
    what: &'static str,
}

/// One run of one container: new at every start. Seen inside as `CLOUDFLARE_DEPLOYMENT_ID`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct InstanceId(uuid::Uuid);

impl InstanceId {
    /// A fresh random id.
    #[must_use]
    #[expect(
        clippy::new_without_default,
        reason = "two calls give two ids; a default would not say so"
    )]
    pub fn new() -> Self {
        Self(uuid::Uuid::new_v4())
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A Durable Object's id: 64 lower-case hex digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DurableObjectId(String);

impl DurableObjectId {
    /// The id's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first eight digits, for people's eyes.
    #[must_use]
    pub fn short(&self) -> &str {
        &self.0[..8]
    }
}

impl TryFrom<String> for DurableObjectId {
    type Error = IdError;

    fn try_from(text: String) -> Result<Self, IdError> {
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if text.len() == 64 && text.bytes().all(hex) {
            Ok(Self(text))
        } else {
            Err(IdError { text, what: "a Durable Object id (64 hex digits)" })
        }
    }
}

impl From<DurableObjectId> for String {
    fn from(id: DurableObjectId) -> Self {
        id.0
    }
}

impl fmt::Display for DurableObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name workerd gives a container: `workerd-[<session>-]<uniqueKey>-<64 hex>`, and the same with
/// `-proxy` for its sidecar (`workerd.md` §1).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ContainerName {
    /// What stands between `workerd-` and the object's id: the namespace's unique key, with the
    /// session in front when workerd was given one.
    pub key: String,
    /// The Durable Object that owns the container.
    pub object: DurableObjectId,
    /// Whether this names the sidecar, not the container itself.
    pub sidecar: bool,
}

impl ContainerName {
    /// Parses a name as workerd sends it in a path or query.
    ///
    /// # Errors
    /// The name has another form.
    pub fn parse(name: &str) -> Result<Self, IdError> {
        let error = || IdError { text: name.to_owned(), what: "a container name of workerd" };
        let (rest, sidecar) = match name.strip_suffix("-proxy") {
            Some(rest) => (rest, true),
            None => (name, false),
        };
        let rest = rest.strip_prefix("workerd-").ok_or_else(error)?;
        let (key, object) = rest.rsplit_once('-').ok_or_else(error)?;
        if key.is_empty() {
            return Err(error());
        }
        let object = DurableObjectId::try_from(object.to_owned()).map_err(|_| error())?;
        Ok(Self { key: key.to_owned(), object, sidecar })
    }
}

impl fmt::Display for ContainerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let suffix = if self.sidecar { "-proxy" } else { "" };
        write!(f, "workerd-{}-{}{suffix}", self.key, self.object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OBJECT: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn a_container_name_gives_key_object_and_kind() {
        let name = format!("workerd-my-app-MyContainer-{OBJECT}-proxy");
        let parsed = ContainerName::parse(&name).unwrap();
        assert_eq!(parsed.key, "my-app-MyContainer");
        assert_eq!(parsed.object.as_str(), OBJECT);
        assert!(parsed.sidecar);
        assert_eq!(parsed.to_string(), name);
    }

    #[test]
    fn other_names_are_refused() {
        for name in [
            "",
            "x",
            "workerd-",
            "workerd-a-b",
            &format!("workerd--{OBJECT}"),
            &format!("w-a-{OBJECT}"),
        ] {
            assert!(ContainerName::parse(name).is_err(), "{name}");
        }
    }
}

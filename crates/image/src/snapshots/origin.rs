//! Where a snapshot comes from, as labels of its image.

use std::collections::BTreeMap;

const APPLICATION: &str = "dev.berth.snapshot.application";
const OBJECT: &str = "dev.berth.snapshot.object";
const IMAGE: &str = "dev.berth.snapshot.image";
const PATH: &str = "dev.berth.snapshot.path";
const CREATED: &str = "dev.berth.snapshot.created";

/// Where a snapshot comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    /// The application's key; unknown of a directory whose archive came from elsewhere.
    pub application: Option<String>,
    /// The Durable Object whose container it was.
    pub object: Option<String>,
    /// Digest of the image the container ran.
    pub image: Option<String>,
    /// Which directory it was.
    pub path: Option<String>,
    /// When it was made, in seconds since 1970.
    pub created: i64,
}

impl Origin {
    /// When it was made, as image configs write it.
    pub(super) fn created_at(&self) -> String {
        jiff::Timestamp::from_second(self.created).unwrap_or_default().to_string()
    }

    pub(super) fn labels(&self) -> BTreeMap<String, String> {
        let known = [
            (APPLICATION, self.application.clone()),
            (OBJECT, self.object.clone()),
            (IMAGE, self.image.clone()),
            (PATH, self.path.clone()),
            (CREATED, Some(self.created.to_string())),
        ];
        // What a snapshot of a snapshot inherits says nothing of it: every label is set or empty.
        known
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.unwrap_or_default()))
            .collect()
    }

    pub(super) fn of_labels(labels: &BTreeMap<String, String>) -> Self {
        let known = |name: &str| labels.get(name).filter(|value| !value.is_empty()).cloned();
        Self {
            application: known(APPLICATION),
            object: known(OBJECT),
            image: known(IMAGE),
            path: known(PATH),
            created: known(CREATED).and_then(|text| text.parse().ok()).unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_read_back_and_nothing_of_another_stays() {
        let first = Origin {
            application: Some("app".into()),
            object: Some("object".into()),
            image: Some("sha256:1".into()),
            path: Some("/data".into()),
            created: 7,
        };
        let mut labels = first.labels();
        assert_eq!(Origin::of_labels(&labels), first);
        let second = Origin { created: 8, ..Origin::default() };
        labels.extend(second.labels());
        assert_eq!(Origin::of_labels(&labels), second);
    }
}

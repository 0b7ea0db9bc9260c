//! `--filter`, and names with wildcards.

use std::time::Duration;

use image::ImageSummary;

use super::Context;
use crate::args::Filter;
use crate::error::{CliError, Kind};

/// What an image must be to be listed or pruned.
#[derive(Debug, Default)]
pub(super) struct Filters {
    references: Vec<String>,
    labels: Vec<(String, Option<String>)>,
    dangling: Option<bool>,
    /// Made before, in seconds since 1970.
    before: Option<i64>,
    /// Made after, in seconds since 1970.
    since: Option<i64>,
}

impl Filters {
    /// Those of a command that knows these keys.
    pub(super) fn parse(
        filters: &[Filter],
        known: &[&str],
        context: &Context,
    ) -> Result<Self, CliError> {
        let mut all = Self::default();
        for (key, value) in filters {
            let wrong = |what: &str| {
                CliError::new(Kind::Usage, format!("filter `{key}={value}`: {what}"))
                    .hint(format!("known filters: {}", known.join(", ")))
            };
            if !known.contains(&key.as_str()) {
                return Err(wrong("there is no such filter"));
            }
            let created = |text: &str| -> Result<Option<i64>, CliError> {
                Ok(Some(context.find(text)?.0.created.unwrap_or_default()))
            };
            match key.as_str() {
                "reference" => all.references.push(value.clone()),
                "label" => all.labels.push(match value.split_once('=') {
                    Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
                    None => (value.clone(), None),
                }),
                "dangling" => match value.as_str() {
                    "true" | "1" => all.dangling = Some(true),
                    "false" | "0" => all.dangling = Some(false),
                    _ => return Err(wrong("it is `true` or `false`")),
                },
                "before" => all.before = created(value)?,
                "since" => all.since = created(value)?,
                "until" => {
                    let now = jiff::Timestamp::now().as_second();
                    let moment = moment(value, now);
                    all.before = Some(moment.ok_or_else(|| {
                        wrong("it is a time such as `24h`, or a moment such as `2026-01-31T12:00:00Z`")
                    })?);
                }
                _ => return Err(wrong("there is no such filter")),
            }
        }
        Ok(all)
    }

    /// How old something is at least that was made before `until`.
    pub(super) fn age(&self) -> Option<Duration> {
        let now = jiff::Timestamp::now().as_second();
        let age = now.saturating_sub(self.before?);
        Some(Duration::from_secs(u64::try_from(age).unwrap_or(0)))
    }

    /// A name alone, as `ls NAME` has it.
    pub(super) fn name(&mut self, name: &str) {
        self.references.push(name.to_owned());
    }

    /// Whether the image, with one of its names or none, fits.
    pub(super) fn fits(&self, image: &ImageSummary, name: Option<&image::Reference>) -> bool {
        let label = |(key, wanted): &(String, Option<String>)| match image.labels.get(key) {
            Some(value) => wanted.as_ref().is_none_or(|wanted| wanted == value),
            None => false,
        };
        let reference = |pattern: &String| {
            name.is_some_and(|name| {
                let (full, repository) = (name.familiar(), name.familiar_repository());
                matches(pattern, &full) || matches(pattern, &repository)
            })
        };
        let created = image.created.unwrap_or_default();
        self.dangling.is_none_or(|dangling| dangling == image.references.is_empty())
            && self.labels.iter().all(label)
            && (self.references.is_empty() || self.references.iter().any(reference))
            && self.before.is_none_or(|before| created < before)
            && self.since.is_none_or(|since| created > since)
    }
}

/// `24h` is so long ago; other texts are moments.
fn moment(text: &str, now: i64) -> Option<i64> {
    if let Some(duration) = ::project::config::parse_duration(text) {
        return Some(now - i64::try_from(Duration::as_secs(&duration)).ok()?);
    }
    if let Ok(seconds) = text.parse::<i64>() {
        return Some(seconds);
    }
    text.parse::<jiff::Timestamp>().ok().map(|moment| moment.as_second())
}

/// Whether a name fits a pattern: `*` and `?` are anything but a slash.
fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut p, mut n) = (0, 0);
    // Where the last `*` stands, and how far it reaches.
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(b'?') if name[n] != b'/' => (p, n) = (p + 1, n + 1),
            Some(byte) if *byte == name[n] => (p, n) = (p + 1, n + 1),
            _ => match star {
                Some((at, reach)) if name[reach] != b'/' => {
                    star = Some((at, reach + 1));
                    (p, n) = (at + 1, reach + 1);
                }
                _ => return false,
            },
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use image::{Digest, Reference};

    use super::*;

    #[test]
    fn patterns_match_within_one_part_of_a_name() {
        for (pattern, name) in [
            ("app", "app"),
            ("*", "app"),
            ("a*p:*", "app:1"),
            ("*/app", "owner/app"),
            ("app:1.?", "app:1.2"),
            ("**", "x"),
            ("a*b*c", "a-b-b-c"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("*", "owner/app"),
            ("app", "apps"),
            ("?pp", "/pp"),
            ("a*", "a/b"),
            ("", "a"),
            ("a*b", "ac"),
        ] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn all_filters_must_fit_and_one_of_the_names() {
        let name: Reference = "owner/app:1".parse().unwrap();
        let image = ImageSummary {
            id: Digest::of(b"i"),
            digest: Digest::of(b"d"),
            references: vec![name.clone()],
            created: Some(100),
            size: 1,
            transferred: 1,
            labels: BTreeMap::from([("stage".to_owned(), "test".to_owned())]),
        };
        let fits = |change: &dyn Fn(&mut Filters)| {
            let mut filters = Filters::default();
            change(&mut filters);
            filters.fits(&image, Some(&name))
        };
        assert!(fits(&|_| {}));
        assert!(fits(&|f| f.references = vec!["nginx".into(), "owner/app".into()]));
        assert!(!fits(&|f| f.references = vec!["app".into()]));
        assert!(fits(&|f| f.labels = vec![("stage".into(), None)]));
        assert!(!fits(&|f| f.labels = vec![("stage".into(), Some("live".into()))]));
        assert!(!fits(&|f| f.dangling = Some(true)));
        assert!(fits(&|f| f.before = Some(101)) && !fits(&|f| f.before = Some(100)));
        assert!(fits(&|f| f.since = Some(99)) && !fits(&|f| f.since = Some(100)));
    }

    #[test]
    fn a_moment_is_a_time_ago_or_a_date() {
        assert_eq!(moment("1h", 10_000), Some(6_400));
        assert_eq!(moment("1700000000", 0), Some(1_700_000_000));
        assert_eq!(moment("1970-01-01T00:01:00Z", 0), Some(60));
        assert_eq!(moment("yesterday", 0), None);
    }
}

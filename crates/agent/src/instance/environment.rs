//! The environment and command line of an instance's program: image, platform and caller merged.

use model::{DurableObjectId, InstanceId, Placement, predefined_environment};

/// What workerd sends where it knows no better (`workerd.md` §1): not the user's values.
const PLACEHOLDERS: [(&str, &str); 6] = [
    ("CLOUDFLARE_COUNTRY_A2", "XX"),
    ("CLOUDFLARE_LOCATION", "loc01"),
    ("CLOUDFLARE_REGION", "REGN"),
    ("CLOUDFLARE_DEPLOYMENT_ID", "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"),
    ("CLOUDFLARE_APPLICATION_ID", "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"),
    (
        "CLOUDFLARE_DURABLE_OBJECT_ID",
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    ),
];

/// Where programs are looked for when the image doesn't say (Docker's default).
const DEFAULT_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Whose environment it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject<'a> {
    /// The application's id.
    pub(crate) application: &'a str,
    /// The Durable Object.
    pub(crate) object: &'a DurableObjectId,
    /// This run of its container.
    pub(crate) instance: InstanceId,
    /// The node.
    pub(crate) placement: &'a Placement,
}

/// The image's variables, then the platform's, then the caller's: later ones win, so a user's own
/// `CLOUDFLARE_LOCATION` is what the program sees (features M7).
pub(crate) fn merge(image: &[String], caller: &[String], subject: Subject<'_>) -> Vec<String> {
    let predefined = predefined_environment(
        subject.application,
        subject.object,
        subject.instance,
        subject.placement,
    );
    let mut merged = Vec::new();
    set(&mut merged, DEFAULT_PATH);
    image.iter().for_each(|variable| set(&mut merged, variable));
    predefined.iter().for_each(|(name, value)| set(&mut merged, &format!("{name}={value}")));
    caller
        .iter()
        .filter(|variable| !is_placeholder(variable))
        .for_each(|variable| set(&mut merged, variable));
    merged
}

/// The environment of an exec: the instance's own, with the exec's on top (features BB3).
pub(crate) fn inherit(instance: &[String], exec: &[String]) -> Vec<String> {
    let mut merged = instance.to_vec();
    exec.iter().for_each(|variable| set(&mut merged, variable));
    merged
}

/// ENTRYPOINT, then what the caller gave as `Cmd` or else the image's CMD: what Docker does. workerd
/// sends `start({entrypoint})` as `Cmd` (`workerd.md` §1).
pub(crate) fn command_line(
    entrypoint: &[String],
    image_command: &[String],
    caller: Option<&[String]>,
) -> Vec<String> {
    let command = caller.unwrap_or(image_command);
    entrypoint.iter().chain(command).cloned().collect()
}

fn is_placeholder(variable: &str) -> bool {
    variable.split_once('=').is_some_and(|pair| PLACEHOLDERS.contains(&pair))
}

/// Adds a variable or replaces the one of the same name, in its place.
fn set(environment: &mut Vec<String>, variable: &str) {
    let name = name_of(variable);
    match environment.iter_mut().find(|known| name_of(known) == name) {
        Some(known) => variable.clone_into(known),
        None => environment.push(variable.to_owned()),
    }
}

fn name_of(variable: &str) -> &str {
    variable.split_once('=').map_or(variable, |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn merged(image: &[&str], caller: &[&str]) -> Vec<String> {
        let object = DurableObjectId::try_from("a".repeat(64)).unwrap();
        let placement = Placement {
            country: "DE".to_owned(),
            location: "home".to_owned(),
            region: "EEUR".to_owned(),
            node: "n1".to_owned(),
        };
        let own = |list: &[&str]| list.iter().map(|v| (*v).to_owned()).collect::<Vec<_>>();
        let subject = Subject {
            application: "app-id",
            object: &object,
            instance: InstanceId::new(),
            placement: &placement,
        };
        merge(&own(image), &own(caller), subject)
    }

    fn value<'a>(environment: &'a [String], name: &str) -> Option<&'a str> {
        let mut found = environment.iter().filter(|v| name_of(v) == name);
        let first = found.next()?;
        assert_eq!(found.next(), None, "{name} is there twice");
        first.split_once('=').map(|(_, value)| value)
    }

    #[test]
    fn placeholders_are_replaced_by_what_is_so() {
        let caller: Vec<String> =
            PLACEHOLDERS.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let caller: Vec<&str> = caller.iter().map(String::as_str).collect();
        let environment = merged(&[], &caller);
        assert_eq!(value(&environment, "CLOUDFLARE_COUNTRY_A2"), Some("DE"));
        assert_eq!(value(&environment, "CLOUDFLARE_LOCATION"), Some("home"));
        assert_eq!(value(&environment, "CLOUDFLARE_APPLICATION_ID"), Some("app-id"));
        assert_eq!(
            value(&environment, "CLOUDFLARE_DURABLE_OBJECT_ID"),
            Some("a".repeat(64).as_str())
        );
        assert!(environment.iter().all(|v| !v.contains("xxxx")), "{environment:?}");
    }

    #[test]
    fn the_users_values_win_over_the_platforms() {
        let environment = merged(&["A=image"], &["CLOUDFLARE_LOCATION=moon", "A=user=1"]);
        assert_eq!(value(&environment, "CLOUDFLARE_LOCATION"), Some("moon"));
        assert_eq!(value(&environment, "A"), Some("user=1"));
    }

    #[test]
    fn the_images_path_wins_over_the_default() {
        assert_eq!(value(&merged(&["PATH=/x"], &[]), "PATH"), Some("/x"));
        assert!(value(&merged(&[], &[]), "PATH").is_some_and(|path| path.contains("/usr/bin")));
    }

    #[test]
    fn the_callers_command_follows_the_images_entrypoint() {
        let (entry, cmd) = (["/e".to_owned()], ["c".to_owned()]);
        assert_eq!(command_line(&entry, &cmd, None), ["/e", "c"]);
        assert_eq!(command_line(&entry, &cmd, Some(&["x".to_owned()])), ["/e", "x"]);
        assert_eq!(command_line(&[], &[], None), [] as [&str; 0]);
    }

    proptest! {
        #[test]
        fn no_name_is_there_twice(caller in proptest::collection::vec("[A-C]{0,2}(=[x=]{0,3})?", 0..20)) {
            let caller: Vec<&str> = caller.iter().map(String::as_str).collect();
            let environment = merged(&["A=1"], &caller);
            let mut names: Vec<&str> = environment.iter().map(|v| name_of(v)).collect();
            names.sort_unstable();
            let count = names.len();
            names.dedup();
            prop_assert_eq!(names.len(), count);
        }
    }
}

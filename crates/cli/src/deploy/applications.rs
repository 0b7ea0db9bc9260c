//! Container applications: made, or changed and rolled out.

use std::collections::BTreeMap;

use ::project::config::{Config, Container, Rollout, RolloutKind, Ssh};
use model::{ApplicationImages, InstanceType};
use serde_json::{Map, Value, json};

use super::differences::{Difference, differences};
use crate::api::{Client, Request, failed};
use crate::args::ContainersRollout;
use crate::error::{CliError, Kind};
use crate::printer::Printer;

/// Whether the containers switch together with the code, and what they become then, in the words of an
/// upload; nothing where there are none.
pub(crate) fn switch(config: &Config, images: &BTreeMap<String, String>) -> Option<Value> {
    if config.containers.is_empty() {
        return None;
    }
    if !config.berth.atomic {
        return Some(json!({"atomic": false}));
    }
    let whole = |container: &Container| {
        let name = &container.application.name;
        let image = images.get(name).map(String::as_str).unwrap_or_default();
        let mut wanted = wanted(container, Some(image));
        wanted["name"] = json!(name);
        wanted
    };
    let all: Vec<Value> = config.containers.iter().map(whole).collect();
    Some(json!({ "atomic": all }))
}

/// Makes or changes the application of every container; `images` names theirs.
pub(crate) async fn apply(
    client: &Client,
    config: &Config,
    images: &BTreeMap<String, String>,
    mode: ContainersRollout,
    printer: &Printer,
) -> Result<(), CliError> {
    for planned in plan(client, config, images, mode).await? {
        carry_out(client, &planned, printer).await?;
    }
    Ok(())
}

/// What is to be done about the application of a container.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Planned {
    /// The application's name.
    pub(crate) name: String,
    pub(crate) step: Step,
}

/// A step towards what the configuration wants.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Step {
    /// It is made.
    Create(Value),
    /// It is as it should be.
    Keep { id: String },
    /// It is changed, and rolled out if its instances are to follow.
    Change { id: String, wanted: Value, differences: Vec<Difference>, rollout: Option<Value> },
}

/// What is to be done about the application of every container. An image that `images` does not name
/// stays as it is.
pub(crate) async fn plan(
    client: &Client,
    config: &Config,
    images: &BTreeMap<String, String>,
    mode: ContainersRollout,
) -> Result<Vec<Planned>, CliError> {
    let known: Vec<Value> = client
        .ask(Request::get(client.path("/containers/applications")))
        .await
        .map_err(failed("ask for the container applications"))?;
    let mut planned = Vec::new();
    for container in &config.containers {
        let name = container.application.name.clone();
        let wanted = wanted(container, images.get(&name).map(String::as_str));
        let step = match known.iter().find(|known| known["name"] == json!(name)) {
            None => create(client, config, container, wanted).await?,
            Some(known) => change(container, known, wanted, mode),
        };
        planned.push(Planned { name, step });
    }
    Ok(planned)
}

/// Does what was planned, and says so.
pub(crate) async fn carry_out(
    client: &Client,
    Planned { name, step }: &Planned,
    printer: &Printer,
) -> Result<(), CliError> {
    let attempt = format!("deploy the containers \"{name}\"");
    let refused = failed(&attempt);
    let done = match step {
        Step::Create(wanted) => {
            let path = client.path("/containers/applications");
            let made: Result<Value, _> = client.ask(Request::post(path).json(wanted)).await;
            made.map_err(&refused)?;
            "Created the containers"
        }
        Step::Keep { .. } => "Nothing has changed for the containers",
        Step::Change { id, wanted, rollout, .. } => {
            let path = client.path(&format!("/containers/applications/{id}"));
            let changed: Result<Value, _> =
                client.ask(Request::patch(path.clone()).json(wanted)).await;
            changed.map_err(&refused)?;
            match rollout {
                None => "Changed, without a rollout, the containers",
                Some(rollout) => {
                    let request = Request::post(format!("{path}/rollouts")).json(rollout);
                    let begun: Result<Value, _> = client.ask(request).await;
                    begun.map_err(&refused)?;
                    "Began to roll out the containers"
                }
            }
        }
    };
    printer.success(format_args!("{done} {name}"));
    Ok(())
}

async fn create(
    client: &Client,
    config: &Config,
    container: &Container,
    mut wanted: Value,
) -> Result<Step, CliError> {
    let path = client.path("/workers/durable_objects/namespaces?per_page=1000&page=1");
    let all: Vec<Value> = client
        .ask(Request::get(path))
        .await
        .map_err(failed("ask for the Durable Object namespaces"))?;
    let name = &container.application.name;
    let class = json!(container.application.class_name);
    let own = |it: &&Value| it["script"] == json!(config.name) && it["class"] == class;
    let namespace = all.iter().find(own).map(|namespace| namespace["id"].clone());
    let namespace = namespace.ok_or_else(|| {
        let text = format!(
            "the platform has no Durable Object class {class} of a Worker \"{}\" for the containers \
             \"{name}\"",
            config.name
        );
        CliError::new(Kind::Failure, text).hint("`berth deploy` brings the Worker's code with it")
    })?;
    wanted["name"] = json!(name);
    wanted["instances"] = json!(0);
    wanted["durable_objects"] = json!({ "namespace_id": namespace });
    Ok(Step::Create(wanted))
}

fn change(container: &Container, known: &Value, wanted: Value, mode: ContainersRollout) -> Step {
    let id = known["id"].as_str().unwrap_or_default().to_owned();
    let wanted = without_old_keys(known, wanted);
    let differences = differences(known, &comparable(&wanted));
    if differences.is_empty() {
        return Step::Keep { id };
    }
    let rollout = match container.application.images {
        ApplicationImages::One(_) => rollout(&container.rollout, &wanted["configuration"], mode),
        // Its images come with the Worker's versions.
        ApplicationImages::Named(_) => None,
    };
    Step::Change { id, wanted, differences, rollout }
}

/// An application as its configuration wants it, but for its name and whose it is.
fn wanted(container: &Container, image: Option<&str>) -> Value {
    let application = &container.application;
    let observability = json!({"logs": {"enabled": container.observability.enabled}});
    let mut configuration = access(&container.ssh);
    if let ApplicationImages::Named(_) = application.images {
        let mut wanted =
            json!({"scheduling_policy": "durable_object", "observability": observability});
        if !configuration.is_empty() {
            wanted["configuration"] = configuration.into();
        }
        return wanted;
    }
    let limits = match application.instance_type {
        InstanceType::Custom { vcpu, memory_mib, disk_mb } => json!({
            "vcpu": vcpu, "memory_mib": memory_mib, "disk": {"size_mb": disk_mb}}),
        named => json!({ "instance_type": named.to_string() }),
    };
    configuration.extend(limits.as_object().cloned().into_iter().flatten());
    if let Some(image) = image {
        configuration.insert("image".into(), json!(image));
    }
    let mut constraints = json!({"tiers": [1, 2]});
    let places = &container.constraints;
    if !places.regions.is_empty() {
        constraints["regions"] = json!(places.regions);
    }
    if !places.cities.is_empty() {
        constraints["cities"] = json!(places.cities);
    }
    if let Some(jurisdiction) = &places.jurisdiction {
        constraints["jurisdiction"] = json!(jurisdiction);
    }
    json!({
        "scheduling_policy": "default",
        "configuration": configuration,
        "max_instances": application.max_instances,
        "constraints": constraints,
        "observability": observability,
        "rollout_active_grace_period": container.rollout.active_grace_period.as_secs(),
    })
}

/// Who may log in to instances, as a part of a configuration.
fn access(ssh: &Ssh) -> Map<String, Value> {
    let mut access = Map::new();
    let mut set = |name: &str, value: Value| drop(access.insert(name.to_owned(), value));
    if ssh.enabled.is_some() {
        let mut wanted = json!({ "enabled": ssh.enabled });
        if let Some(port) = ssh.port {
            wanted["port"] = json!(port);
        }
        set("wrangler_ssh", wanted);
    }
    if !ssh.authorized_keys.is_empty() {
        let key = |(name, key): &(String, String)| json!({"name": name, "public_key": key});
        set("authorized_keys", ssh.authorized_keys.iter().map(key).collect());
    }
    if !ssh.trusted_user_ca_keys.is_empty() {
        let key = |key: &String| json!({ "public_key": key });
        set("trusted_user_ca_keys", ssh.trusted_user_ca_keys.iter().map(key).collect());
    }
    access
}

/// A change keeps what it does not name: keys that the configuration has no more are taken away by
/// name, so that they let nobody in any more.
fn without_old_keys(known: &Value, mut wanted: Value) -> Value {
    let nothing = [
        ("wrangler_ssh", Value::Null),
        ("authorized_keys", json!([])),
        ("trusted_user_ca_keys", json!([])),
    ];
    let known = known["configuration"].as_object();
    for (field, nothing) in nothing {
        let was_there = known.and_then(|known| known.get(field)).is_some_and(|it| *it != nothing);
        if was_there && wanted["configuration"].get(field).is_none() {
            wanted["configuration"][field] = nothing;
        }
    }
    wanted
}

/// The same as the API shows it: a type of instance by its numbers.
fn comparable(wanted: &Value) -> Value {
    let mut wanted = wanted.clone();
    let configuration = wanted.get_mut("configuration").and_then(Value::as_object_mut);
    let Some(configuration) = configuration else { return wanted };
    let named = configuration.remove("instance_type");
    let named = named.as_ref().and_then(Value::as_str);
    if let Some(Ok(named)) = named.map(InstanceType::from_name) {
        let limits = named.limits();
        configuration.insert("vcpu".into(), json!(limits.vcpu));
        configuration.insert("memory_mib".into(), json!(limits.memory_mib));
        configuration.insert("disk".into(), json!({ "size_mb": limits.disk_mb }));
    }
    wanted
}

/// How instances get a new configuration; nothing if they are not to.
fn rollout(rollout: &Rollout, configuration: &Value, mode: ContainersRollout) -> Option<Value> {
    let steps = match (mode, rollout.kind) {
        (ContainersRollout::None, _) => return None,
        (ContainersRollout::Immediate, _) => vec![100],
        (ContainersRollout::Gradual, RolloutKind::None) => return None,
        (ContainersRollout::Gradual, _) => rollout.steps.clone(),
    };
    let kind = match (mode, rollout.kind) {
        (ContainersRollout::Gradual, RolloutKind::FullManual) => "full_manual",
        _ => "full_auto",
    };
    let of = steps.len();
    let step = |(index, percentage): (usize, &u8)| {
        let number = index + 1;
        json!({"step_size": {"percentage": percentage}, "description":
            format!("Step {number} of {of} - rollout at {percentage}% of instances")})
    };
    Some(json!({
        "description": "Progressive update",
        "strategy": "rolling",
        "kind": kind,
        "target_configuration": configuration,
        "steps": steps.iter().enumerate().map(step).collect::<Vec<_>>(),
    }))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn differs(known: &Value, wanted: &Value) -> bool {
        !differences(known, wanted).is_empty()
    }

    fn rollout_of(kind: RolloutKind) -> Rollout {
        Rollout { steps: vec![10, 100], kind, active_grace_period: Duration::ZERO }
    }

    #[test]
    fn what_the_api_shows_of_what_was_sent_is_no_change() {
        let sent = json!({"configuration": {"image": "i", "instance_type": "standard-2"},
            "max_instances": 5, "constraints": {"tiers": [1, 2]}});
        let shown = json!({"id": "x", "max_instances": 5, "constraints": {"tiers": [1, 2]},
            "configuration": {"image": "i", "vcpu": 1, "memory_mib": 6144, "memory": "6144MiB",
                "disk": {"size_mb": 12000, "size": "12GB"}}});
        assert!(!differs(&shown, &comparable(&sent)));
        for change in [
            json!({"configuration": {"image": "j"}}),
            json!({"configuration": {"instance_type": "basic"}}),
            json!({"max_instances": 6}),
            json!({"constraints": {"tiers": [1, 2], "regions": ["WEUR"]}}),
        ] {
            assert!(differs(&shown, &comparable(&change)), "{change}");
        }
    }

    #[test]
    fn an_application_whose_objects_choose_says_neither_images_nor_limits() {
        let config = crate::deploy::metadata::tests::config(
            r#"{"name": "a", "main": "i.js", "compatibility_date": "2026-08-01",
            "migrations": [{"tag": "v1", "new_sqlite_classes": ["K"]}],
            "durable_objects": {"bindings": [{"name": "C", "class_name": "K"}]},
            "containers": [{"class_name": "K", "scheduling_policy": "durable_object",
                "ssh": {"enabled": true}, "images": {"py": {"dockerfile": "./Dockerfile"}}}]}"#,
        );
        let container = &config.containers[0];
        let expected = json!({"scheduling_policy": "durable_object",
            "observability": {"logs": {"enabled": false}},
            "configuration": {"wrangler_ssh": {"enabled": true}}});
        assert_eq!(wanted(container, None), expected);
        let step = |known: &Value| {
            change(container, known, expected.clone(), ContainersRollout::Immediate)
        };
        let mut known = expected.clone();
        known["id"] = json!("1");
        assert_eq!(step(&known), Step::Keep { id: "1".to_owned() });
        known["configuration"]["wrangler_ssh"]["enabled"] = json!(false);
        assert!(matches!(step(&known), Step::Change { rollout: None, .. }));
    }

    #[test]
    fn a_key_that_is_in_the_configuration_no_more_is_taken_away() {
        let key = json!([{"name": "me", "public_key": "ssh-ed25519 A"}]);
        let known = json!({"configuration": {"image": "i", "authorized_keys": key,
            "wrangler_ssh": {"enabled": true}, "trusted_user_ca_keys": []}});
        let plain = json!({"configuration": {"image": "i"}});
        let wanted = without_old_keys(&known, plain.clone());
        let expected = json!({"image": "i", "authorized_keys": [], "wrangler_ssh": null});
        assert_eq!(wanted["configuration"], expected);
        assert!(differs(&known, &wanted) && !differs(&wanted, &wanted));
        let kept = json!({"configuration": {"authorized_keys": key}});
        assert_eq!(without_old_keys(&known, kept)["configuration"]["authorized_keys"], key);
        assert_eq!(without_old_keys(&plain, plain.clone()), plain);
    }

    #[test]
    fn a_rollout_goes_by_the_configurations_steps_or_at_once_or_not_at_all() {
        let configuration = json!({"image": "i"});
        let plan = |kind, mode| rollout(&rollout_of(kind), &configuration, mode);
        let gradual = plan(RolloutKind::FullAuto, ContainersRollout::Gradual).unwrap();
        assert_eq!(gradual["target_configuration"], configuration);
        assert_eq!(gradual["steps"][0]["step_size"]["percentage"], json!(10));
        assert_eq!(gradual["steps"].as_array().unwrap().len(), 2);
        let manual = plan(RolloutKind::FullManual, ContainersRollout::Gradual).unwrap();
        assert_eq!(manual["kind"], json!("full_manual"));
        let at_once = plan(RolloutKind::None, ContainersRollout::Immediate).unwrap();
        assert_eq!(at_once["steps"].as_array().unwrap().len(), 1);
        assert_eq!(plan(RolloutKind::None, ContainersRollout::Gradual), None);
        assert_eq!(plan(RolloutKind::FullAuto, ContainersRollout::None), None);
    }
}

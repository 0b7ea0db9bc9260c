//! What a client wants of a container application, in its own words: checked, and made a plan of.
//! Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use model::{Application, ApplicationImages, ImageSource, InstanceType};
use serde_json::{Value, json};

use crate::envelope::Failure;
use crate::plan::{ApplicationPlan, StagedPlan};
use crate::records::{ApplicationRecord, Rollout, RolloutKind};
use crate::ssh::keys;

/// Instances that may run when nobody says how many (`spec/wrangler.md` §3.6).
const MAX_INSTANCES: u64 = 20;

/// Fields of an application that are carried out, or have one meaning on one machine: any policy
/// and affinity places an instance here.
const FIELDS: [&str; 10] = [
    "name",
    "scheduling_policy",
    "observability",
    "configuration",
    "instances",
    "max_instances",
    "constraints",
    "affinities",
    "durable_objects",
    "rollout_active_grace_period",
];

/// The same, of `configuration`.
const CONFIGURATION: [&str; 10] = [
    "image",
    "instance_type",
    "vcpu",
    "memory",
    "memory_mib",
    "disk",
    "observability",
    "wrangler_ssh",
    "authorized_keys",
    "trusted_user_ca_keys",
];

/// Fields that are carried out only where they ask for nothing.
const NOT_YET: [(&str, &str); 4] = [
    ("/instances", "instances that start without a request"),
    ("/constraints/regions", "placement in a region"),
    ("/constraints/cities", "placement in a city"),
    ("/constraints/jurisdiction", "a jurisdiction"),
];

/// Refuses what would be accepted and not done.
///
/// # Errors
/// There is something of that kind; the answer names the field.
pub(crate) fn check(wanted: &Value) -> Result<(), Failure> {
    if chooses_images(wanted) {
        check_choice(wanted)?;
    }
    for (field, what) in NOT_YET {
        let value = wanted.pointer(field).unwrap_or(&Value::Null);
        if !is_nothing(value) {
            let field = field[1..].replace('/', ".");
            return Err(refused(format!("`{field}` is {value}: {what} is not done")));
        }
    }
    match &wanted["rollout_active_grace_period"] {
        Value::Null => {}
        value if value.is_u64() => {}
        value => {
            return Err(Failure::bad_request(format!(
                "VALIDATE_INPUT: rollout_active_grace_period is {value}, not a number of seconds"
            )));
        }
    }
    known(wanted, "", &FIELDS)?;
    known(&wanted["configuration"], "configuration.", &CONFIGURATION)?;
    keys::check(&wanted["configuration"])
}

fn known(object: &Value, place: &str, fields: &[&str]) -> Result<(), Failure> {
    let unknown = object.as_object().and_then(|object| {
        object.iter().find(|(name, value)| !fields.contains(&name.as_str()) && !is_nothing(value))
    });
    match unknown {
        None => Ok(()),
        Some((name, _)) => Err(refused(format!("`{place}{name}` is not done"))),
    }
}

/// Whether a field might as well be left out.
pub(crate) fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
    }
}

fn refused(what: impl std::fmt::Display) -> Failure {
    Failure::bad_request(format!("VALIDATE_INPUT: {what} by `berth serve` yet; leave it out"))
}

/// Whether its objects choose their images, which come with the Worker's versions.
pub(crate) fn chooses_images(wanted: &Value) -> bool {
    wanted["scheduling_policy"] == json!("durable_object")
}

/// What an object chooses when it starts a container is nobody else's to say.
fn check_choice(wanted: &Value) -> Result<(), Failure> {
    let fields = ["/max_instances", "/constraints", "/affinities", "/rollout_active_grace_period"];
    let of_configuration = ["image", "instance_type", "vcpu", "memory_mib", "disk"];
    let of_configuration = of_configuration.map(|field| format!("/configuration/{field}"));
    let mut fields = fields.into_iter().chain(of_configuration.iter().map(String::as_str));
    let given = |field: &&str| wanted.pointer(field).is_some_and(|value| !is_nothing(value));
    fields.find(given).map_or(Ok(()), |field| {
        Err(Failure::bad_request(format!(
            "VALIDATE_INPUT: `{}` is not for `scheduling_policy: \"durable_object\"`, where each object \
             chooses what it starts; leave it out",
            field[1..].replace('/', ".")
        )))
    })
}

/// Who says when the steps of a rollout begin.
///
/// # Errors
/// It is a kind or a strategy that nobody knows.
pub(crate) fn rollout_kind(wanted: &Value) -> Result<RolloutKind, Failure> {
    let wrong = |why: String| Failure::bad_request(format!("VALIDATE_INPUT: {why}"));
    match &wanted["strategy"] {
        Value::Null => {}
        Value::String(text) if text == "rolling" => {}
        other => {
            return Err(wrong(format!("the `strategy` of a rollout is {other}, not \"rolling\"")));
        }
    }
    match wanted["kind"].as_str() {
        None if wanted["kind"].is_null() => Ok(RolloutKind::FullAuto),
        Some("full_auto") => Ok(RolloutKind::FullAuto),
        Some("full_manual") => Ok(RolloutKind::FullManual),
        _ => Err(wrong(format!(
            "the `kind` of a rollout is {}, not \"full_auto\" or \"full_manual\"",
            wanted["kind"]
        ))),
    }
}

/// How a rollout goes: how many of a hundred instances have been replaced after each step.
///
/// # Errors
/// It makes no sense.
pub(crate) fn steps(wanted: &Value) -> Result<Vec<u32>, Failure> {
    let wrong = |why: String| Failure::bad_request(format!("VALIDATE_INPUT: {why}"));
    let percentage = |value: &Value| value.as_u64().and_then(|number| u32::try_from(number).ok());
    let steps: Option<Vec<u32>> = match (&wanted["steps"], &wanted["step_percentage"]) {
        (Value::Null, Value::Null) => Some(vec![100]),
        (Value::Array(steps), Value::Null) => {
            steps.iter().map(|step| percentage(&step["step_size"]["percentage"])).collect()
        }
        (Value::Null, size) => percentage(size)
            .filter(|size| (1..=100).contains(size))
            .map(|size| (1..=100_u32.div_ceil(size)).map(|step| (step * size).min(100)).collect()),
        _ => return Err(wrong("a rollout has `steps` or `step_percentage`, not both".into())),
    };
    let steps = steps.filter(|steps| steps.last() == Some(&100) && steps.is_sorted());
    steps.ok_or_else(|| wrong("the steps of a rollout are percentages that grow up to 100".into()))
}

/// What the instances of an application are to be; `rollout` is the one that is under way.
///
/// # Errors
/// The client's wishes make no sense.
pub(crate) fn plan(
    record: &ApplicationRecord,
    rollout: Option<&Rollout>,
    stop_grace: Duration,
) -> Result<ApplicationPlan, Failure> {
    let before = match rollout {
        Some(rollout) => previous_configuration(record, rollout),
        None => record.configuration(),
    };
    let (application, image) = application(record, &before, stop_grace)?;
    let staged = match rollout {
        Some(rollout) if !rollout.reverting => {
            let target = target_configuration(record, rollout);
            let (application, image) = self::application(record, &target, stop_grace)?;
            let (share, version) = (rollout.share(), rollout.target_version());
            image.map(|image| StagedPlan { share, application, image, version })
        }
        _ => None,
    };
    Ok(ApplicationPlan {
        id: record.id.clone(),
        namespace_id: record.namespace().unwrap_or_default().to_owned(),
        application,
        image,
        version: record.version,
        staged,
    })
}

/// What a rollout brings, whole.
pub(crate) fn target_configuration(record: &ApplicationRecord, rollout: &Rollout) -> Value {
    match &rollout.configuration {
        // A record of a Berth that switched at once.
        Value::Null => record.configuration(),
        whole => whole.clone(),
    }
}

/// What a rollout goes back to, whole.
pub(crate) fn previous_configuration(record: &ApplicationRecord, rollout: &Rollout) -> Value {
    rollout.previous_configuration.clone().unwrap_or_else(|| {
        let mut configuration = record.configuration();
        if let Some(image) = &rollout.previous_image {
            configuration["image"] = json!(image);
        }
        configuration
    })
}

/// What instances of a configuration are, and their image.
fn application(
    record: &ApplicationRecord,
    configuration: &Value,
    stop_grace: Duration,
) -> Result<(Application, Option<String>), Failure> {
    let wanted = &record.wanted;
    let name = record.name();
    if name.is_empty() {
        return Err(Failure::bad_request("VALIDATE_INPUT: name is missing"));
    }
    let max_instances = wanted["max_instances"].as_u64().unwrap_or(MAX_INSTANCES);
    let max_instances = u32::try_from(max_instances).unwrap_or(u32::MAX);
    if chooses_images(wanted) {
        let application = Application {
            name: name.to_owned(),
            class_name: name.to_owned(),
            images: ApplicationImages::Named(BTreeMap::new()),
            // Each start names a type, but workerd tells its engine none.
            instance_type: InstanceType::Standard4,
            max_instances: u32::MAX,
            stop_grace,
        };
        return Ok((application, None));
    }
    let image = configuration["image"]
        .as_str()
        .ok_or_else(|| Failure::bad_request("VALIDATE_INPUT: configuration.image is missing"))?;
    let application = Application {
        name: name.to_owned(),
        class_name: name.to_owned(),
        images: ApplicationImages::One(ImageSource::Reference(image.to_owned())),
        instance_type: instance_type(configuration)?,
        max_instances,
        stop_grace,
    };
    Ok((application, Some(image.to_owned())))
}

/// The limits of a configuration: a type by name, or numbers.
fn instance_type(configuration: &Value) -> Result<InstanceType, Failure> {
    let wrong = |why: String| Failure::bad_request(format!("VALIDATE_INPUT: {why}"));
    let (vcpu, memory) = (&configuration["vcpu"], &configuration["memory_mib"]);
    let disk = &configuration["disk"]["size_mb"];
    if let Some(name) = configuration["instance_type"].as_str() {
        return InstanceType::from_name(name).map_err(|error| wrong(error.to_string()));
    }
    let lite = InstanceType::default().limits();
    let number = |value: &Value, default: u64, what: &str| match value {
        Value::Null => Ok(default),
        value => value
            .as_u64()
            .filter(|number| *number > 0)
            .ok_or_else(|| wrong(format!("{what} is {value}, not a number above 0"))),
    };
    let vcpu = match vcpu {
        Value::Null => lite.vcpu,
        value => value
            .as_f64()
            .filter(|vcpu| *vcpu > 0.0)
            .ok_or_else(|| wrong(format!("vcpu is {value}, not a number above 0")))?,
    };
    Ok(InstanceType::Custom {
        vcpu,
        memory_mib: number(memory, lite.memory_mib, "memory_mib")?,
        disk_mb: number(disk, lite.disk_mb, "disk.size_mb")?,
    })
}

/// A type by name becomes its numbers, which is what clients compare with (`spec/wrangler.md` §3.2).
pub(crate) fn with_limits(mut wanted: Value) -> Value {
    let configuration = &mut wanted["configuration"];
    let named = configuration["instance_type"].as_str();
    let named = named.and_then(|name| InstanceType::from_name(name).ok());
    if let (Some(named), Some(fields)) = (named, configuration.as_object_mut()) {
        let limits = named.limits();
        fields.remove("instance_type");
        fields.insert("vcpu".into(), json!(limits.vcpu));
        fields.insert("memory_mib".into(), json!(limits.memory_mib));
        fields.insert(
            "disk".into(),
            json!({"size_mb": limits.disk_mb,
            "size": format!("{}GB", limits.disk_mb / 1000)}),
        );
        fields.insert("memory".into(), json!(format!("{}MiB", limits.memory_mib)));
    }
    if configuration.is_null()
        && let Some(fields) = wanted.as_object_mut()
    {
        fields.remove("configuration");
    }
    wanted
}

/// Lays one object over another: objects are merged, all else is replaced.
pub(crate) fn merge(base: &mut Value, over: &Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (name, value) in over {
                merge(base.entry(name.clone()).or_insert(Value::Null), value);
            }
        }
        (base, over) => base.clone_from(over),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_by_name_is_shown_by_its_numbers() {
        let wanted =
            with_limits(json!({"configuration": {"image": "i", "instance_type": "basic"}}));
        let configuration = &wanted["configuration"];
        assert_eq!(configuration["vcpu"], json!(0.25));
        assert_eq!(configuration["memory_mib"], json!(1024));
        assert_eq!(configuration["disk"]["size_mb"], json!(4000));
        assert_eq!(configuration["instance_type"], Value::Null);
        assert_eq!(with_limits(json!({"name": "a"})), json!({"name": "a"}));
    }

    #[test]
    fn a_change_keeps_what_it_does_not_name() {
        let mut base = json!({"a": {"b": 1, "c": [1]}, "d": 1});
        merge(&mut base, &json!({"a": {"c": [2], "e": null}, "f": {}}));
        assert_eq!(base, json!({"a": {"b": 1, "c": [2], "e": null}, "d": 1, "f": {}}));
    }

    #[test]
    fn limits_are_a_types_or_numbers_and_never_guessed() {
        let limits =
            |configuration: Value| instance_type(&configuration).map(|t| t.limits().memory_mib);
        assert_eq!(limits(json!({})), Ok(256));
        assert_eq!(limits(json!({"instance_type": "standard-1"})), Ok(4096));
        assert_eq!(
            limits(json!({"vcpu": 1, "memory_mib": 3072, "disk": {"size_mb": 5000}})),
            Ok(3072)
        );
        assert!(limits(json!({"instance_type": "huge"})).is_err());
        for wrong in
            [json!({"vcpu": 0}), json!({"memory_mib": -1}), json!({"disk": {"size_mb": "1"}})]
        {
            assert!(limits(wrong.clone()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_not_done_is_refused_and_named() {
        let plain = json!({"name": "a", "scheduling_policy": "default", "instances": 0,
            "max_instances": 5, "constraints": {"tiers": [1, 2]}, "rollout_active_grace_period": 0,
            "durable_objects": {"namespace_id": "1"}, "observability": {"logs": {"enabled": true}},
            "configuration": {"image": "i", "instance_type": "basic",
                "wrangler_ssh": {"enabled": false}}});
        assert_eq!(check(&plain), Ok(()));
        for (more, name) in [
            (json!({"scheduling_policy": "durable_object"}), "max_instances"),
            (json!({"instances": 1}), "instances"),
            (json!({"rollout_active_grace_period": -1}), "rollout_active_grace_period"),
            (json!({"constraints": {"jurisdiction": "eu"}}), "constraints.jurisdiction"),
            (json!({"configuration": {"wrangler_ssh": {"enabled": 1}}}), "wrangler_ssh.enabled"),
            (json!({"configuration": {"authorized_keys": ["x"]}}), "authorized_keys[0]"),
            (json!({"configuration": {"command": ["x"]}}), "configuration.command"),
            (json!({"jobs": true}), "jobs"),
        ] {
            let mut wanted = plain.clone();
            merge(&mut wanted, &more);
            let failure = check(&wanted).unwrap_err();
            assert!(failure.message().contains(name), "{failure:?}");
        }
    }

    #[test]
    fn a_rollout_has_steps_up_to_a_hundred() {
        let step = |percentage: u32| json!({"step_size": {"percentage": percentage}});
        assert_eq!(steps(&json!({"kind": "full_auto", "strategy": "rolling"})), Ok(vec![100]));
        assert_eq!(steps(&json!({"steps": [step(10), step(100)]})), Ok(vec![10, 100]));
        assert_eq!(steps(&json!({"step_percentage": 25})), Ok(vec![25, 50, 75, 100]));
        assert_eq!(steps(&json!({"step_percentage": 100})), Ok(vec![100]));
        for wrong in [
            json!({"steps": [step(50)]}),
            json!({"steps": [step(50), step(10), step(100)]}),
            json!({"steps": []}),
            json!({"step_percentage": 0}),
            json!({"steps": [step(100)], "step_percentage": 100}),
        ] {
            assert!(steps(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn bc2_objects_that_choose_their_images_get_no_other_and_no_limits() {
        let plain = json!({"name": "a", "scheduling_policy": "durable_object", "instances": 0,
            "durable_objects": {"namespace_id": "1"}, "observability": {"logs": {"enabled": true}},
            "configuration": {"wrangler_ssh": {"enabled": false}}});
        assert_eq!(check(&plain), Ok(()));
        for field in ["image", "instance_type", "vcpu"] {
            let mut wanted = plain.clone();
            wanted["configuration"][field] = json!("x");
            let failure = check(&wanted).unwrap_err();
            assert!(failure.message().contains(&format!("configuration.{field}")), "{failure:?}");
        }
    }

    #[test]
    fn bf5_a_rollout_goes_by_itself_or_by_hand_and_no_other_way() {
        assert_eq!(rollout_kind(&json!({})), Ok(RolloutKind::FullAuto));
        let manual = json!({"kind": "full_manual", "strategy": "rolling"});
        assert_eq!(rollout_kind(&manual), Ok(RolloutKind::FullManual));
        for wrong in [json!({"kind": "none"}), json!({"kind": 1}), json!({"strategy": "recreate"})]
        {
            assert!(rollout_kind(&wrong).is_err(), "{wrong}");
        }
    }
}

//! `containers[]`: defaults, forms, and the text of every refusal.

use std::time::Duration;

use model::{ApplicationImages, ImageSource, InstanceType, limits};
use project::config::RolloutKind;

use super::{
    Loaded, Project, check_errors, check_warnings, container, container_in, managed, worker,
};

pub(crate) fn only(loaded: Loaded) -> project::config::Container {
    let (config, _) = loaded.accepted();
    config.containers.into_iter().next().unwrap()
}

#[test]
fn what_is_unset_has_wranglers_defaults() {
    let project = container_in("", "");
    let container = only(project.load(None));
    let application = container.application;
    assert_eq!(application.name, "app-mycontainer");
    assert_eq!(application.class_name, "MyContainer");
    assert_eq!(application.instance_type, InstanceType::Lite);
    assert_eq!(application.max_instances, 20);
    assert_eq!(application.stop_grace, limits::STOP_GRACE);
    let root = project.0.path();
    let dockerfile = ImageSource::Dockerfile {
        path: root.join("Dockerfile"),
        context: root.to_owned(),
        build_args: [].into(),
    };
    assert_eq!(application.images, ApplicationImages::One(dockerfile));
    assert_eq!(container.rollout.steps, [10, 100]);
    assert_eq!(container.rollout.kind, RolloutKind::FullAuto);
    assert_eq!(container.rollout.active_grace_period, Duration::ZERO);
    assert!(!container.observability.enabled);
    assert!(container.constraints.regions.is_empty());
}

#[test]
fn every_key_is_read() {
    let keys = r#"
        "name": "my-app", "max_instances": 3, "instance_type": "standard-2",
        "image_build_context": "dist", "image_vars": { "A": "1", "N": 2, "B": true },
        "scheduling_policy": "default", "rollout_step_percentage": [10, 50, 100],
        "rollout_kind": "full_manual", "rollout_active_grace_period": 60,
        "constraints": { "regions": ["weur"], "jurisdiction": "eu", "tiers": [1], "cities": ["X"] },
        "affinities": { "colocation": "datacenter", "hardware_generation": "highest-overall-performance" },
        "observability": { "enabled": true, "target_instance_count": 2 },
        "ssh": { "enabled": true, "port": 2222 },
        "authorized_keys": [{ "name": "me", "public_key": "ssh-ed25519 AAA" }],
        "trusted_user_ca_keys": [{ "public_key": "ssh-ed25519 BBB" }]"#;
    let project = container_in(keys, "");
    let config = project.load(None).clean();
    let container = &config.containers[0];
    assert_eq!(container.application.name, "my-app");
    assert_eq!(container.application.max_instances, 3);
    assert_eq!(container.application.instance_type, InstanceType::Standard2);
    let ApplicationImages::One(ImageSource::Dockerfile { context, build_args, .. }) =
        &container.application.images
    else {
        panic!("{container:?}")
    };
    assert_eq!(*context, project.path("dist"));
    let args: Vec<_> = build_args.iter().map(|(k, v)| format!("{k}={v}")).collect();
    assert_eq!(args, ["A=1", "B=true", "N=2"]);
    assert_eq!(container.rollout.steps, [10, 50, 100]);
    assert_eq!(container.rollout.kind, RolloutKind::FullManual);
    assert_eq!(container.rollout.active_grace_period, Duration::from_secs(60));
    assert_eq!(container.constraints.regions, ["WEUR"]);
    assert_eq!(container.constraints.jurisdiction.as_deref(), Some("eu"));
    assert!(container.observability.enabled);
    assert_eq!((container.ssh.enabled, container.ssh.port), (Some(true), Some(2222)));
    assert_eq!(container.ssh.authorized_keys, [("me".to_owned(), "ssh-ed25519 AAA".to_owned())]);
    assert_eq!(container.ssh.trusted_user_ca_keys, ["ssh-ed25519 BBB"]);
}

#[test]
fn types_are_checked() {
    check_errors(
        container,
        &[
            (
                r#""max_instances": "many""#,
                r#"Expected "containers.max_instances" to be of type number but got "many"."#,
            ),
            (
                r#""max_instances": -1"#,
                r#""containers.max_instances" field should be a positive number, but got -1"#,
            ),
            (
                r#""max_instances": 1.5"#,
                r#""containers.max_instances" field should be a positive number, but got 1.5"#,
            ),
            (
                r#""image_vars": []"#,
                r#"Expected "containers.image_vars" to be of type object but got []."#,
            ),
            (
                r#""image_vars": { "A": {} }"#,
                r#"Expected "containers.image_vars.A" to be of type string but got {}."#,
            ),
            (
                r#""scheduling_policy": "random""#,
                r#"Expected "containers.scheduling_policy" field to be one of ["regional","moon","default"] but got "random"."#,
            ),
            (r#""configuration": 5"#, r#""containers.configuration" should be an object"#),
            (
                r#""constraints": 5"#,
                r#"Expected "containers.constraints" to be of type object but got 5."#,
            ),
            (
                r#""affinities": 5"#,
                r#"Expected "containers.affinities" to be of type object but got 5."#,
            ),
            (
                r#""unsafe": 5"#,
                r#"The field "containers.unsafe" should be an object but got "number"."#,
            ),
        ],
    );
    check_errors(
        container,
        &[(
            r#""class_name": 5"#,
            r#"Expected "containers.class_name" to be of type string but got 5."#,
        )],
    );
}

#[test]
fn rollout_rules_have_wranglers_texts() {
    let key = "\"containers.rollout_step_percentage\"";
    let table = [
        ("7", "must be one of [5, 10, 20, 25, 50, 100], but got 7"),
        ("\"all\"", "must be a number or array of numbers, but got \"all\""),
        ("[20, \"x\", 100]", "array elements must be numbers, but got \"x\""),
        ("[5, 100]", "array elements must be between 10 and 100, but got \"5\""),
        ("[50, 20, 100]", "array elements must be in ascending order, but got \"50,20,100\""),
    ];
    for (value, text) in table {
        let loaded = container(&format!("\"rollout_step_percentage\": {value}"));
        assert_eq!(loaded.errors(), [format!("{key} {text}")], "{value}");
    }
    let last = container("\"rollout_step_percentage\": [10, 50]");
    assert_eq!(last.errors(), [format!("The final step in {key} must be 100, but got \"50\"")]);
    let steps = container("\"rollout_step_percentage\": [10, 50, 100], \"max_instances\": 2");
    assert_eq!(
        steps.errors(),
        [format!("{key} cannot have more steps (3) than \"max_instances\" (2)")]
    );
    assert_eq!(steps.place("cannot have more steps"), "[10, 50, 100]");
    check_errors(
        container,
        &[
            (
                r#""rollout_kind": "fast""#,
                r#"Expected "containers.rollout_kind" field to be one of ["full_auto","full_manual","none"] but got "fast"."#,
            ),
            (
                r#""rollout_active_grace_period": -1"#,
                r#""containers.rollout_active_grace_period" field should be a positive number but got "-1""#,
            ),
        ],
    );
}

#[test]
fn steps_come_from_a_number_or_from_max_instances() {
    assert_eq!(only(container("\"rollout_step_percentage\": 25")).rollout.steps, [25, 50, 75, 100]);
    assert_eq!(only(container("\"rollout_step_percentage\": 100")).rollout.steps, [100]);
    assert_eq!(only(container("\"max_instances\": 1")).rollout.steps, [100]);
    assert_eq!(only(container("\"max_instances\": 2")).rollout.steps, [10, 100]);
}

#[test]
fn instance_types_are_names_or_bounded_numbers() {
    for (value, wanted) in [
        ("\"basic\"", InstanceType::Basic),
        ("\"standard-4\"", InstanceType::Standard4),
        (
            r#"{ "vcpu": 1, "memory_mib": 3072, "disk_mb": 5000 }"#,
            InstanceType::Custom { vcpu: 1.0, memory_mib: 3072, disk_mb: 5000 },
        ),
        (
            r#"{ "disk_mb": 5000 }"#,
            InstanceType::Custom { vcpu: 0.0625, memory_mib: 256, disk_mb: 5000 },
        ),
    ] {
        let container = only(container(&format!("\"instance_type\": {value}")));
        assert_eq!(container.application.instance_type, wanted, "{value}");
    }
    let named = container("\"instance_type\": \"huge\"");
    assert_eq!(
        named.errors(),
        [
            r#"Expected "containers.instance_type" field to be one of ["lite","basic","standard-1","standard-2","standard-3","standard-4","dev","standard"] but got "huge"."#
        ]
    );
    assert_eq!(named.place("containers.instance_type"), "\"huge\"");
    let field = "\"containers.instance_type";
    for (value, text) in [
        (
            r#"{ "vcpu": 5, "memory_mib": 12288 }"#,
            format!("{field}.vcpu\" must be between 1 and 4, but got 5"),
        ),
        (r#"{ "vcpu": "1" }"#, format!("{field}.vcpu\", when present, should be a number.")),
        (
            r#"{ "memory_mib": 20000 }"#,
            format!(
                "{field}.memory_mib\" must be a whole number between 1 and 12288, but got 20000"
            ),
        ),
        (
            r#"{ "disk_mb": 30000 }"#,
            format!("{field}.disk_mb\" must be a whole number between 1 and 20000, but got 30000"),
        ),
        (
            r#"{ "vcpu": 2, "memory_mib": 4096 }"#,
            format!(
                "{field}.memory_mib\" must be at least 3072 MiB for each vCPU, but 2 vCPU have 4096 MiB"
            ),
        ),
    ] {
        let loaded = container(&format!("\"instance_type\": {value}"));
        assert!(loaded.errors().contains(&text.as_str()), "{value}: {:?}", loaded.errors());
    }
    let list = container("\"instance_type\": [1]");
    assert_eq!(
        list.errors(),
        [r#"Expected "containers.instance_type" to be of type string but got [1]."#]
    );
}

#[test]
fn deprecated_names_work_with_a_warning() {
    let renamed = |old: &str, new: &str| {
        format!(
            "The \"{old}\" instance_type has been renamed to \"{new}\" and will be removed in a subsequent version. Please update your configuration to use \"{new}\" instead."
        )
    };
    let table = [
        (r#""instance_type": "dev""#, renamed("dev", "lite")),
        (r#""instance_type": "standard""#, renamed("standard", "standard-1")),
        (r#""instances": 3"#, "\"containers.instances\" is deprecated. Use \"containers.max_instances\" instead.".to_owned()),
        (r#""durable_objects": {}"#, "\"containers.durable_objects\" is deprecated. Use the \"class_name\" field instead.".to_owned()),
        (r#""wrangler_ssh": { "enabled": true }"#, "\"containers.wrangler_ssh\" is deprecated. Use \"containers.ssh\" instead.".to_owned()),
        (r#""constraints": { "tier": 1 }"#, "\"constraints.tier\" has been deprecated in favor of \"constraints.tiers\". Please update your configuration to use \"constraints.tiers\" instead.".to_owned()),
    ];
    for (keys, message) in &table {
        check_warnings(container, &[(keys, message)]);
    }
    assert_eq!(only(container("\"instances\": 3")).application.max_instances, 3);
    let old = container(
        r#""configuration": { "vcpu": 1, "memory_mib": 4096, "disk": { "size_mb": 4000 }, "labels": [] }"#,
    );
    assert!(old.warnings()[0].starts_with("\"containers.configuration\" is deprecated."));
    let wanted = InstanceType::Custom { vcpu: 1.0, memory_mib: 4096, disk_mb: 4000 };
    assert_eq!(only(old).application.instance_type, wanted);
    let both = container(r#""configuration": { "vcpu": 1 }, "instance_type": "lite""#);
    assert_eq!(
        both.errors(),
        [
            "Cannot set custom limits via \"containers.configuration\" and use preset \"instance_type\" limits at the same time."
        ]
    );
}

#[test]
fn unknown_keys_warn_at_their_place() {
    let loaded = container("\"imgae\": 1, \"port\": 80");
    assert_eq!(
        loaded.warnings(),
        [
            "Unexpected fields found in containers field: \"imgae\"",
            "Unexpected fields found in containers field: \"port\""
        ]
    );
    assert_eq!(loaded.place("\"port\""), "\"port\"");
    assert_eq!(loaded.findings[0].help.as_deref(), Some("did you mean \"image\"?"));
    assert_eq!(loaded.findings[0].line(), 7);
}

#[test]
fn bc2_objects_that_manage_their_containers_choose_from_named_images() {
    let keys = r#""scheduling_policy": "durable_object", "images": {
        "built": { "dockerfile": "./Dockerfile", "build_vars": { "A": "1", "B": 2 } },
        "pulled": { "image": "docker.io/library/python:3-slim" } }"#;
    let application = only(managed(keys)).application;
    let ApplicationImages::Named(images) = application.images else { panic!("they are named") };
    let ImageSource::Dockerfile { path, context, build_args } = &images["built"] else {
        panic!("it is built")
    };
    assert_eq!(path.parent(), Some(context.as_path()));
    let args = [("A", "1"), ("B", "2")].map(|(k, v)| (k.to_owned(), v.to_owned()));
    assert_eq!(*build_args, args.into());
    let pulled = ImageSource::Reference("docker.io/library/python:3-slim".to_owned());
    assert_eq!(images["pulled"], pulled);
    assert_eq!(application.max_instances, u32::MAX, "no limit that a file could state");
}

#[test]
fn bc2_what_does_not_go_with_named_images_is_named() {
    let policy = r#""scheduling_policy": "durable_object""#;
    let image = r#""images": { "a": { "image": "docker.io/x/y:1" } }"#;
    let long = "n".repeat(129);
    let table = [
        (
            format!("{image}, \"image\": \"a.b/c:1\""),
            "\"containers.images\" can only be used with \"scheduling_policy\": \"durable_object\". Use \"image\" instead.".to_owned(),
        ),
        (
            format!("{policy}, {image}, \"max_instances\": 3"),
            "\"containers.max_instances\" cannot be used with \"scheduling_policy\": \"durable_object\".".to_owned(),
        ),
        (
            format!("{policy}, {image}, \"image\": \"a.b/c:1\""),
            "\"containers.image\" cannot be used with \"scheduling_policy\": \"durable_object\".".to_owned(),
        ),
        (
            format!(r#"{policy}, "images": {{}}"#),
            "\"containers.images\" must have between 1 and 100 images, but has 0.".to_owned(),
        ),
        (
            format!(r#"{policy}, "images": {{ "{long}": {{ "image": "docker.io/x/y:1" }} }}"#),
            "The name of an image in \"containers.images\" must have between 1 and 128 characters.".to_owned(),
        ),
        (
            format!(r#"{policy}, "images": {{ "a": {{ "image": "./Dockerfile" }} }}"#),
            "\"containers.images.a.image\" is a Dockerfile: name it in \"dockerfile\" instead.".to_owned(),
        ),
        (
            format!(r#"{policy}, "images": {{ "a": {{}} }}"#),
            "\"containers.images.a\" must have either \"dockerfile\" or \"image\".".to_owned(),
        ),
    ];
    for (keys, message) in table {
        assert_eq!(managed(&keys).errors(), [message], "{keys}");
    }
    let none = managed(policy);
    assert!(none.errors()[0].starts_with("\"containers.images\" must be defined"));
}

#[test]
fn a_single_container_without_a_list_is_accepted_with_a_warning() {
    let files = [
        (
            "wrangler.toml",
            "name = 'a'\nmain = 'x.js'\ncompatibility_date = '2026-09-01'\n[containers]\nclass_name = 'C'\nimage = './Dockerfile'\n[[migrations]]\ntag = 'v1'\nnew_sqlite_classes = ['C']\n",
        ),
        ("Dockerfile", ""),
    ];
    let loaded = Project::new(&files).load(None);
    assert_eq!(loaded.warnings(), ["\"containers\" field should be an array, but got an object."]);
    assert_eq!(only(loaded).application.class_name, "C");
    let text = super::bare("\"containers\": \"x\"");
    assert_eq!(text.errors(), ["\"containers\" field should be an array, but got \"x\""]);
}

#[test]
fn two_containers_cannot_share_a_name_or_a_class() {
    let config = r#""migrations": [{ "tag": "v1", "new_sqlite_classes": ["A", "B"] }],
        "containers": [{ "class_name": "A", "image": "a.b/c:1", "name": "x" }, { "class_name": "B", "image": "a.b/c:1", "name": "x" }, { "class_name": "A", "image": "a.b/c:1" }]"#;
    assert_eq!(
        super::bare(config).errors(),
        [
            "\"containers\" contains more than one container named \"x\". Container names must be unique.",
            "More than one container is attached to the Durable Object \"A\". A Durable Object can only have one container attached to it.",
        ]
    );
}

#[test]
fn berths_own_keys_are_read() {
    let loaded = worker(
        r#""berth": { "stop_grace": "1500ms", "registry_mirrors": { "docker.io": "http://127.0.0.1:5000" }, "egress_allow": ["192.168.1.0/24", "::1"] }"#,
    );
    let config = loaded.clean();
    assert_eq!(config.containers[0].application.stop_grace, Duration::from_millis(1500));
    assert_eq!(config.berth.registry_mirrors["docker.io"], "http://127.0.0.1:5000");
    assert_eq!(config.berth.egress_allow, ["192.168.1.0/24", "::1"]);
    assert!(!config.berth.atomic);
    assert!(worker(r#""berth": { "atomic": true }"#).clean().berth.atomic);
    for (value, wanted) in
        [("5", 5_000), ("\"5s\"", 5_000), ("\"2m\"", 120_000), ("\"1h\"", 3_600_000), ("0.5", 500)]
    {
        let config = worker(&format!("\"berth\": {{ \"stop_grace\": {value} }}")).clean();
        assert_eq!(config.berth.stop_grace, Duration::from_millis(wanted), "{value}");
    }
    for (value, text) in [
        (
            r#"{ "stop_grace": "soon" }"#,
            "\"berth.stop_grace\" must be a duration such as \"500ms\", \"5s\", \"2m\" or \"1h\", but got \"soon\".",
        ),
        (
            r#"{ "start_rate": 0 }"#,
            "\"berth.start_rate\" must be a number of starts each second, above 0, but got 0.",
        ),
        (
            r#"{ "start_rate": "many" }"#,
            "\"berth.start_rate\" must be a number of starts each second, above 0, but got \"many\".",
        ),
        (
            r#"{ "stop_grace": -1 }"#,
            "\"berth.stop_grace\" must be a duration such as \"500ms\", \"5s\", \"2m\" or \"1h\", but got -1.",
        ),
        (r#"{ "atomic": "yes" }"#, "\"berth.atomic\" must be true or false, but got \"yes\"."),
        (
            r#"{ "egress_allow": ["10.0.0.0/33"] }"#,
            "\"berth.egress_allow\" must be a list of networks such as \"192.168.1.0/24\" or \"10.0.0.7\", but got \"10.0.0.0/33\".",
        ),
        (
            r#"{ "registry_mirrors": { "docker.io": "mirror" } }"#,
            "\"berth.registry_mirrors.docker.io\" must be a URL that begins with http:// or https://, but got \"mirror\".",
        ),
    ] {
        assert_eq!(worker(&format!("\"berth\": {value}")).errors(), [text]);
    }
}

#[test]
fn another_container_engine_is_a_socket_with_or_without_its_companion_image() {
    for socket in ["unix:///run/d.sock", "unix:/run/d.sock", "/run/d.sock"] {
        let config = worker(&format!(r#""dev": {{ "container_engine": "{socket}" }}"#)).clean();
        let engine = config.dev.container_engine.expect("an engine was given");
        assert_eq!((engine.socket, engine.interceptor_image), ("/run/d.sock".into(), None));
    }
    let config = worker(
        r#""dev": { "container_engine": { "localDocker": { "socketPath": "/d", "containerEgressInterceptorImage": "i" } } }"#,
    )
    .clean();
    let engine = config.dev.container_engine.expect("an engine was given");
    assert_eq!((engine.socket, engine.interceptor_image), ("/d".into(), Some("i".into())));
}

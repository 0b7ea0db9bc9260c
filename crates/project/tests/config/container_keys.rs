//! `containers[]`: images, observability, SSH and places.

use model::{ApplicationImages, ImageSource};

use super::containers::only;
use super::{Loaded, Project, check_errors, container, worker};

fn image(value: &str) -> Loaded {
    // The later of two keys counts, with a warning.
    container(&format!("\"image\": {value}"))
}

#[test]
fn an_image_is_a_dockerfile_a_folder_or_a_reference() {
    for reference in [
        "docker.io/library/nginx:1.27",
        "localhost:5555/x:v1",
        "ghcr.io/a/b/c:latest",
        "registry.example/x@sha256:00",
        "docker.io/httpd:1",
    ] {
        let config = only(image(&format!("\"{reference}\"")));
        let source = ImageSource::Reference(reference.to_owned());
        assert_eq!(config.application.images, ApplicationImages::One(source));
    }
    let project = Project::new(&[
        (
            "wrangler.toml",
            "name = 'a'\nmain = 'x.js'\ncompatibility_date = '2026-09-01'\n[[containers]]\nclass_name = 'C'\nimage = './server'\n[[migrations]]\ntag = 'v1'\nnew_sqlite_classes = ['C']\n",
        ),
        ("server/Dockerfile", "FROM scratch"),
    ]);
    let config = project.load(None).clean();
    let ApplicationImages::One(ImageSource::Dockerfile { path, context, .. }) =
        &config.containers[0].application.images
    else {
        panic!()
    };
    assert_eq!(path, &project.path("server/Dockerfile"));
    assert_eq!(context, &project.path("server"));
}

#[test]
fn an_image_that_is_neither_has_wranglers_text() {
    let prefix = |image: &str| {
        format!(
            "The image \"{image}\" does not appear to be a valid path to a Dockerfile, or a valid image registry path:\n"
        )
    };
    let tag = "If this is an image registry path, it needs to include at least a tag ':' (e.g: docker.io/httpd:1)";
    for (text, reason) in [
        ("myimg:v1", "Invalid URL"),
        ("./Dockerfil", tag),
        ("docker.io/httpd", tag),
        ("", "Invalid URL"),
        ("a b:1", "Invalid URL"),
        (
            "docker.io://httpd:1",
            "Image reference should not include the protocol part (e.g: docker.io/httpd:1, not https://docker.io/httpd:1)",
        ),
    ] {
        let loaded = image(&format!("\"{text}\""));
        assert_eq!(loaded.errors(), [prefix(text) + reason], "{text}");
        assert_eq!(loaded.place("does not appear"), format!("\"{text}\""));
    }
    assert_eq!(
        image("\"./dist\"").errors(),
        ["./dist is a directory, you should specify a path to the Dockerfile"]
    );
    let none = image("null");
    assert_eq!(
        none.errors(),
        [
            "\"containers.image\" field must be defined for each container app. This should be the path to your Dockerfile or an image URI pointing to the Cloudflare registry."
        ]
    );
    let context = container("\"image_build_context\": \"./none\"");
    assert!(
        context.errors()[0].starts_with("\"containers.image_build_context\" is not a directory: ")
    );
}

#[test]
fn observability_rules_have_wranglers_texts() {
    let field = "containers.observability";
    let table = [
        ("5", format!("\"{field}\" should be an object but got 5.")),
        ("{}", format!("\"{field}.enabled\" or \"{field}.logs.enabled\" is required.")),
        (
            r#"{ "enabled": 1 }"#,
            format!("Expected \"{field}.enabled\" to be of type boolean but got 1."),
        ),
        (
            r#"{ "enabled": true, "logs": { "enabled": false } }"#,
            format!(
                "\"{field}.enabled\" and \"{field}.logs.enabled\" cannot be set to different values."
            ),
        ),
        (
            r#"{ "enabled": true, "target_instance_percentage": 5, "target_instance_count": 5 }"#,
            format!(
                "\"{field}.target_instance_percentage\" and \"{field}.target_instance_count\" cannot both be set."
            ),
        ),
        (
            r#"{ "enabled": true, "target_instance_percentage": 100 }"#,
            format!(
                "\"{field}.target_instance_percentage\" must be an integer between 1 and 99 inclusive."
            ),
        ),
        (
            r#"{ "enabled": true, "target_instance_count": 0 }"#,
            format!("\"{field}.target_instance_count\" must be a positive integer."),
        ),
        (
            r#"{ "enabled": false, "target_instance_count": 1 }"#,
            format!(
                "\"{field}.target_instance_count\" requires \"{field}.enabled\" or \"{field}.logs.enabled\" to be true because container observability overrides root observability."
            ),
        ),
    ];
    for (value, message) in table {
        let loaded = container(&format!("\"observability\": {value}"));
        assert!(loaded.errors().contains(&message.as_str()), "{value}: {:?}", loaded.errors());
    }
    let inherits = worker("\"observability\": { \"enabled\": true }").accepted().0;
    assert!(inherits.containers[0].observability.enabled);
}

#[test]
fn ssh_rules_have_wranglers_texts() {
    check_errors(
        container,
        &[
            (r#""ssh": {}"#, "containers.ssh.enabled must be a boolean"),
            (
                r#""ssh": { "enabled": true, "port": 70000 }"#,
                "containers.ssh.port must be a number between 1 and 65535 inclusive",
            ),
            (r#""authorized_keys": {}"#, "containers.authorized_keys must be an array"),
            (r#""authorized_keys": [1]"#, "containers.authorized_keys[0] must be an object"),
            (
                r#""authorized_keys": [{ "public_key": "ssh-ed25519 A" }]"#,
                "containers.authorized_keys[0].name must be a string",
            ),
            (
                r#""trusted_user_ca_keys": [{ "name": "x" }]"#,
                "containers.trusted_user_ca_keys[0].public_key must be a string",
            ),
            (
                r#""authorized_keys": [{ "name": "x", "public_key": "ssh-rsa A" }]"#,
                "containers.authorized_keys[0].public_key is an unsupported key type. Please provide an ED25519 public key.",
            ),
        ],
    );
}

#[test]
fn places_are_checked() {
    let field = "containers.constraints";
    let table = [
        (
            r#"{ "regions": ["MOON"] }"#,
            format!(
                "{field}.regions contains invalid region \"MOON\". Valid regions are: ENAM, WNAM, EEUR, WEUR, APAC, SAM, ME, OC, AFR"
            ),
        ),
        (
            r#"{ "regions": "WEUR" }"#,
            format!("Expected \"{field}.regions\" to be an array of strings but got \"WEUR\""),
        ),
        (
            r#"{ "jurisdiction": "mars" }"#,
            format!("{field}.jurisdiction must be one of: \"eu\", \"fedramp\", \"us\""),
        ),
        (
            r#"{ "jurisdiction": "eu", "regions": ["WNAM"] }"#,
            format!(
                "{field}.regions contains region \"WNAM\", which is outside of the jurisdiction \"eu\". Its regions are: EEUR, WEUR"
            ),
        ),
        (
            r#"{ "tiers": 1 }"#,
            format!("Expected \"{field}.tiers\" to be an array of numbers but got 1"),
        ),
    ];
    for (value, message) in table {
        let loaded = container(&format!("\"constraints\": {value}"));
        assert_eq!(loaded.errors(), [message], "{value}");
    }
    let both = container("\"constraints\": { \"tier\": 1, \"tiers\": [1] }");
    assert_eq!(both.errors(), [format!("{field}.tier and {field}.tiers cannot both be set")]);
    let few = container("\"constraints\": { \"regions\": [\"ME\"] }");
    assert!(few.warnings()[0].contains("limited capacity"), "{:?}", few.warnings());
}

//! Instructions that change the image's config, base images, targets, and errors with their lines.

use image::{BuildError, Platform};

use crate::support::builder::Project;
use crate::support::registry::{Behaviour, Registry};
use crate::support::{Form, TestImage, tar};

#[test]
fn config_instructions_give_the_images_config() {
    let project = Project::new(&[("f", "f")]);
    let built = project.build(
        "FROM scratch\nARG PORT=8080\nENV A=1 B=\"two words\"\nENV C=$A-${MISSING:-none} A=2\n\
         ENV OLD style value\nWORKDIR /srv\nUSER 1:2\nEXPOSE $PORT 9000-9001/udp\n\
         LABEL a=1 \"b c\"='d $A'\nMAINTAINER someone\nVOLUME [\"/data\"]\nVOLUME /x /y\n\
         STOPSIGNAL SIGINT\nHEALTHCHECK --interval=5s CMD true\nSHELL [\"/sh\", \"-c\"]\n\
         ENTRYPOINT [\"/f\"]\nCMD [\"--port\", \"$PORT\"]\nCOPY f /f\n",
    );
    let config = &built.image.config;
    assert_eq!(built.env(), ["A=2", "B=two words", "C=1-none", "OLD=style value"]);
    assert_eq!((config.working_dir.as_str(), config.user.as_str()), ("/srv", "1:2"));
    let ports: Vec<String> = config.exposed_ports.iter().map(ToString::to_string).collect();
    assert_eq!(ports, ["8080/tcp", "9000/udp", "9001/udp"]);
    let labels: Vec<_> = config.labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
    assert_eq!(labels, ["a=1", "b c=d $A"]);
    assert_eq!(config.volumes.iter().collect::<Vec<_>>(), ["/data", "/x", "/y"]);
    assert_eq!(config.stop_signal.as_deref(), Some("SIGINT"));
    assert_eq!(
        (&config.entrypoint[..], &config.cmd[..]),
        (&["/f".into()][..], &["--port".into(), "$PORT".into()][..])
    );
}

#[test]
fn an_entrypoint_drops_an_inherited_cmd_but_not_its_own() {
    let project = Project::new(&[]);
    let base = "FROM scratch AS base\nCMD [\"/old\"]\n";
    let config = |text: &str| project.build(&format!("{base}{text}")).image.config;
    assert!(config("FROM base\nENTRYPOINT [\"/e\"]\n").cmd.is_empty());
    assert_eq!(config("FROM base\nCMD [\"a\"]\nENTRYPOINT [\"/e\"]\n").cmd, ["a"]);
    assert_eq!(config("FROM base\nENV X=1\n").cmd, ["/old"]);
}

#[test]
fn an_image_without_files_has_one_empty_layer() {
    let project = Project::new(&[]);
    let built = project.build("FROM scratch\nCMD [\"/x\"]\n");
    assert_eq!(built.image.layers.len(), 1);
    assert_eq!(fs_err::read_dir(&built.image.layers[0]).unwrap().count(), 0);
}

#[test]
fn arguments_have_defaults_scopes_and_the_platform() {
    let project = Project::new(&[]);
    let text = "ARG GLOBAL=g\nARG BASE=scratch\nFROM ${BASE}\nARG GLOBAL\nARG OWN=${GLOBAL}-own\n\
        ARG TARGETARCH\nARG UNSET\nENV R=$GLOBAL:$OWN:$TARGETARCH:$UNSET:${BASE:-out}\n";
    let env = |change: fn(&mut image::BuildRequest)| {
        project.try_build(text, change).unwrap().env()[0].clone()
    };
    let arch = Platform::host().architecture();
    assert_eq!(env(|_| {}), format!("R=g:g-own:{arch}::out"));
    let given = |request: &mut image::BuildRequest| {
        request.build_args.insert("OWN".into(), "given".into());
        request.build_args.insert("UNSET".into(), "set".into());
    };
    assert_eq!(env(given), format!("R=g:given:{arch}:set:out"));
}

#[test]
fn a_base_image_is_pulled_once_and_its_config_inherited() {
    let registry = Registry::start(Behaviour::default());
    let layers = [tar(&[("etc/", "", 0o755), ("etc/base", "b", 0o644)])];
    registry.push("1", &TestImage::new(Form::Docker, &layers));
    let project = Project::new(&[("f", "f")]);
    let text = format!("FROM {} AS base\nENV MORE=1\nCOPY f /f\n", registry.name("a/b:1"));
    let built = project.build(&text);
    assert_eq!(built.env(), ["PATH=/bin", "FROM=registry", "MORE=1"]);
    assert_eq!(built.image.config.cmd, ["/server"]);
    assert_eq!(built.read("/etc/base").as_deref(), Some("b"));
    // Its working directory is made, as commands run in it.
    assert!(built.find("/srv").unwrap().is_dir());
    let requests = registry.requests().len();
    let other = project
        .build(&format!("FROM scratch\nCOPY --from={} /etc/base /x\n", registry.name("a/b:1")));
    assert_eq!(other.read("/x").as_deref(), Some("b"));
    assert_eq!(registry.requests().len(), requests);
    project.try_build(&text, |request| request.always_pull = true).unwrap();
    assert_eq!(registry.requests().len(), requests + 1);
}

#[test]
fn the_image_can_be_pushed_as_it_is_in_the_store() {
    let project = Project::new(&[("f", "f")]);
    let built = project
        .try_build("FROM scratch\nCOPY f /\n", |r| r.tags = vec!["x:1".parse().unwrap()])
        .unwrap();
    let blob = |digest: &str| -> Vec<u8> {
        let content = project.store.dir().join("content/sha256");
        fs_err::read(content.join(digest.strip_prefix("sha256:").unwrap())).unwrap()
    };
    let json = |bytes: &[u8]| serde_json::from_slice::<serde_json::Value>(bytes).unwrap();
    let manifest = json(&blob(built.image.digest.as_str()));
    assert_eq!(manifest["mediaType"], "application/vnd.oci.image.manifest.v1+json");
    let config = json(&blob(manifest["config"]["digest"].as_str().unwrap()));
    assert_eq!(config["os"], "linux");
    assert_eq!(config["architecture"], Platform::host().architecture());
    assert_eq!(config["rootfs"]["diff_ids"][0], manifest["layers"][0]["digest"]);
    assert_eq!(config["history"][0]["created_by"], "COPY f /");
    // Another store can pull it.
    let registry = Registry::start(Behaviour::default());
    let image = TestImage {
        manifest: blob(built.image.digest.as_str()),
        media_type: "application/vnd.oci.image.manifest.v1+json",
        blobs: [&manifest["config"], &manifest["layers"][0]]
            .map(|descriptor| blob(descriptor["digest"].as_str().unwrap()))
            .to_vec(),
    };
    registry.push("1", &image);
    let other = Project::new(&[]);
    let pulled = other
        .store
        .pull(&registry.name("a/b:1"), &crate::support::options(), &image::Silent)
        .unwrap();
    assert_eq!(pulled.digest, built.image.digest);
    assert!(pulled.layers[0].join("f").exists());
}

#[test]
fn a_target_stops_at_its_stage() {
    let project = Project::new(&[("f", "f")]);
    let text = "FROM scratch AS one\nCOPY f /one\nFROM scratch AS two\nCOPY missing /\n";
    let target = |name: &str| {
        let name = name.to_owned();
        move |request: &mut image::BuildRequest| request.target = Some(name)
    };
    let built = project.try_build(text, target("one")).unwrap();
    assert!(built.find("/one").is_some());
    let Err(error) = project.try_build(text, target("none")) else { panic!() };
    assert!(matches!(error, BuildError::UnknownTarget { .. }));
    assert!(error.to_string().contains("the stages one, two"), "{error}");
}

#[test]
fn a_missing_base_image_says_what_was_tried_and_what_to_do() {
    let mirror = Registry::start(Behaviour::default());
    let registry = Registry::start(Behaviour::default());
    let project = Project::new(&[]);
    let text = format!("# comment\nFROM {}/none:1\n", registry.address);
    let result = project.try_build(&text, |request| {
        request.pull.mirrors.insert(registry.address.to_string(), mirror.url());
    });
    let Err(error) = result else { panic!() };
    let shown = error.to_string();
    assert!(shown.contains("Dockerfile:2:1: failed to pull"), "{shown}");
    assert!(shown.contains(&format!("tried mirror {}", mirror.url())), "{shown}");
    assert!(shown.contains(&format!("tried registry {}", registry.url())), "{shown}");
    assert!(shown.contains("404"), "{shown}");
    assert!(error.hint().unwrap().contains("spelled right"), "{error}");
}

#[test]
fn errors_name_file_line_and_instruction() {
    let project = Project::new(&[("a", "a"), ("b", "b")]);
    for (text, line, reason) in [
        ("FROM scratch\nEXPOSE http", 2, "\"http\" is no port"),
        ("FROM scratch\nENV A", 2, "has no value"),
        ("FROM scratch\nENV A='open", 2, "not closed"),
        ("FROM scratch\nSTOPSIGNAL nonsense", 2, "is no signal"),
        ("FROM scratch\n\nCOPY missing /x", 3, "missing is not in the build context"),
        ("FROM scratch\nCOPY a b /x", 2, "end with /"),
        ("FROM scratch\nCOPY [ab] /x", 2, "end with /"),
        ("FROM scratch\nCOPY --chmod=u+z a /x", 2, "is no mode"),
        ("FROM scratch\nCOPY --from=Nope a /x", 2, "is no earlier stage"),
        ("FROM scratch\nCOPY --from=$X a /x", 2, "a variable in --from"),
        ("FROM scratch\nWORKDIR $EMPTY", 2, "is empty"),
        ("FROM scratch\nARG X=${Y?needed}", 2, "Y: needed"),
    ] {
        let error = project.error(text);
        let shown = error.to_string();
        assert_eq!(error.line, line, "{shown}");
        assert!(shown.contains(reason), "{shown}");
        assert!(shown.contains(&format!("{line} | {}", error.text)), "{shown}");
        assert_eq!(error.file, project.path("Dockerfile"));
    }
    project.assert_is_clean();
}

#[test]
fn a_missing_dockerfile_or_context_is_named() {
    let project = Project::new(&[]);
    let request = project.request();
    let build = |request| {
        let runner = crate::support::builder::Chroot;
        project.store.build(&request, &runner, &image::Silent).unwrap_err().to_string()
    };
    let error = build(request.clone());
    assert!(error.contains("read the Dockerfile") && error.contains("/Dockerfile"), "{error}");
    project.write("Dockerfile", "FROM scratch\n");
    let mut request = request;
    request.context = project.path("nowhere");
    let error = build(request);
    assert!(error.contains("read the build context") && error.contains("nowhere"), "{error}");
}

#[test]
fn a_full_disk_is_named_and_leaves_no_half_of_a_layer() {
    let project = Project::new(&[("zeros", &"\0".repeat(4_000_000))]);
    project.write("Dockerfile", "FROM scratch\nCOPY zeros /\n");
    // Room for the file, or not, and never for its archive too.
    for size in ["1m", "6m"] {
        let (_disk, path) = crate::support::small_disk(size);
        let store = image::ImageStore::open(path).unwrap();
        let runner = crate::support::builder::Chroot;
        let result = store.build(&project.request(), &runner, &image::Silent);
        let error = result.unwrap_err();
        assert!(error.to_string().contains("the disk is full"), "{error}");
        assert!(error.hint().unwrap().contains("free space"), "{error}");
        assert!(crate::support::names(store.dir().join("snapshots/sha256")).is_empty());
        assert!(crate::support::names(store.dir().join("content/sha256")).is_empty());
        assert!(crate::support::names(store.dir().join("cache")).is_empty());
    }
}

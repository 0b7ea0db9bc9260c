//! `ONBUILD`, `HEALTHCHECK`, here-documents of `RUN` and what else goes beyond files.

use image::{BuildRequest, Platform, Silent};

use crate::support::builder::{Project, Remembers};

/// An image's config.
fn config(project: &Project, digest: &image::Digest) -> serde_json::Value {
    let blob = |digest: &str| -> serde_json::Value {
        let hex = digest.strip_prefix("sha256:").unwrap();
        let path = project.store.dir().join("content/sha256").join(hex);
        serde_json::from_slice(&fs_err::read(path).unwrap()).unwrap()
    };
    blob(blob(digest.as_str())["config"]["digest"].as_str().unwrap())
}

#[test]
fn onbuild_waits_for_the_image_that_begins_with_this_one() {
    let project = Project::with_shell(&[("app", "A")]);
    let tag = |request: &mut BuildRequest| request.tags = vec!["base:1".parse().unwrap()];
    let base = project
        .try_build(
            "FROM scratch\nCOPY rootfs /\nONBUILD COPY app /app\nONBUILD RUN cat /app\n\
             ONBUILD ENV BUILT=yes\nONBUILD COPY <<EOF /note\nwritten $BUILT\nEOF\n",
            tag,
        )
        .unwrap();
    assert!(base.find("/app").is_none());
    let triggers = config(&project, &base.image.digest)["config"]["OnBuild"].clone();
    assert_eq!(triggers[0], "COPY app /app");
    assert_eq!(triggers[3], "COPY <<EOF /note\nwritten $BUILT\nEOF");
    let built = project.build("FROM base:1\nENV AFTER=$BUILT\n");
    assert_eq!(built.output(), "A");
    assert_eq!(built.read("/note").as_deref(), Some("written yes\n"));
    assert_eq!(built.env(), ["BUILT=yes", "AFTER=yes"]);
    assert!(config(&project, &built.image.digest)["config"].get("OnBuild").is_none());
    // A stage of the same Dockerfile is a base as well.
    let built = project.build("FROM base:1 AS one\nONBUILD ENV TWO=2\nFROM one\n");
    assert_eq!(built.env(), ["BUILT=yes", "TWO=2"]);
    project.write("app", "");
    fs_err::remove_file(project.path("app")).unwrap();
    let error = project.error("\nFROM base:1\n");
    assert_eq!(error.line, 2);
    assert!(error.to_string().contains("app is not in the build context"), "{error}");
}

#[test]
fn a_healthcheck_is_in_the_config_and_can_be_taken_away() {
    let project = Project::new(&[]);
    let check = |text: &str| {
        let built = project.build(&format!("FROM scratch\n{text}\n"));
        config(&project, &built.image.digest)["config"]["Healthcheck"].clone()
    };
    assert_eq!(
        check("HEALTHCHECK --interval=5s --retries=3 CMD curl -f http://localhost/ || exit 1"),
        serde_json::json!({
            "Test": ["CMD-SHELL", "curl -f http://localhost/ || exit 1"],
            "Interval": 5_000_000_000_i64, "Retries": 3,
        })
    );
    assert_eq!(
        check("HEALTHCHECK --start-period=1m CMD [\"/check\", \"-q\"]"),
        serde_json::json!({ "Test": ["CMD", "/check", "-q"], "StartPeriod": 60_000_000_000_i64 })
    );
    assert_eq!(check("HEALTHCHECK NONE"), serde_json::json!({ "Test": ["NONE"] }));
}

#[test]
fn the_maintainer_is_the_author_and_labels_can_be_given() {
    let project = Project::new(&[]);
    let label = |request: &mut BuildRequest| {
        request.labels.insert("a".into(), "given".into());
    };
    let built = project.try_build("FROM scratch\nMAINTAINER some one\nLABEL a=1 b=2\n", label);
    let config = config(&project, &built.unwrap().image.digest);
    assert_eq!(config["author"], "some one");
    assert_eq!(config["config"]["Labels"], serde_json::json!({ "a": "given", "b": "2" }));
}

#[test]
fn here_documents_reach_the_shell_as_they_were_written() {
    let project = Project::new(&[]);
    let text = "FROM scratch\nRUN cat <<EOF > /x && <<-'B' cat\nhello $X\nEOF\n\tb\n\tB\n\
        RUN <<-EOF\n\techo tabs\n\t\techo more\nEOF\nSHELL [\"/bin/bash\", \"-c\"]\nRUN <<EOF python3\nprint(1)\nEOF\n";
    project.write("Dockerfile", text);
    let runner = Remembers::default();
    project.store.build(&project.request(), &runner, &Silent).unwrap();
    let ran = runner.0.into_inner().unwrap();
    let shell = |text: &str| vec!["/bin/sh".to_owned(), "-c".to_owned(), text.to_owned()];
    assert_eq!(ran[0], shell("cat <<EOF > /x && <<-'B' cat\nhello $X\nEOF\n\tb\nB"));
    assert_eq!(ran[1], shell("echo tabs\necho more\n"));
    assert_eq!(ran[2], ["/bin/bash", "-c", "<<EOF python3\nprint(1)\nEOF"]);
}

#[test]
fn arguments_pass_to_stages_that_begin_with_this_one_and_to_no_other() {
    let project = Project::new(&[]);
    let text = "ARG GLOBAL=g\nFROM scratch AS one\nARG OWN=own\nARG GLOBAL\n\
        FROM one\nENV E=$OWN-$GLOBAL\nFROM scratch\nCOPY --from=1 / /\nENV E=$OWN-$GLOBAL\n";
    let env = |target: &str| {
        let target = target.to_owned();
        let built = project.try_build(text, |request| request.target = Some(target)).unwrap();
        built.env()
    };
    assert_eq!(env("1"), ["E=own-g"]);
    assert_eq!(env("2"), ["E=-"]);
}

#[test]
fn variables_can_be_cut_and_replaced() {
    let project = Project::new(&[]);
    let built = project.build(
        "FROM scratch\nARG FILE=/a/b.tar.gz\nENV A=${FILE##*/} B=${FILE%.*} C=${FILE/b/c} \
         D=${NONE:-d} E=${FILE:+e}\n",
    );
    assert_eq!(built.env(), ["A=b.tar.gz", "B=/a/b.tar", "C=/a/c.tar.gz", "D=d", "E=e"]);
}

#[test]
fn an_image_for_another_platform_is_built_and_its_programs_are_not_run() {
    let project = Project::with_shell(&[("f", "f")]);
    let other = match Platform::host() {
        Platform::Amd64 => Platform::Arm64,
        Platform::Arm64 => Platform::Amd64,
    };
    let platform = |request: &mut BuildRequest| request.pull.platform = other;
    let text = "FROM scratch\nARG TARGETARCH\nARG BUILDARCH\nCOPY f /$TARGETARCH/$BUILDARCH\n";
    let built = project.try_build(text, platform).unwrap();
    let host = Platform::host().architecture();
    assert!(built.find(&format!("/{}/{host}", other.architecture())).is_some());
    assert_eq!(config(&project, &built.image.digest)["architecture"], other.architecture());
    let emulated = std::path::Path::new("/proc/sys/fs/binfmt_misc/qemu-aarch64").exists();
    if !emulated {
        let text = "FROM scratch\nCOPY rootfs /\nRUN echo x\n";
        let Err(error) = project.try_build(text, platform) else { panic!("it ran") };
        assert!(error.to_string().contains("cannot run programs for linux/"), "{error}");
    }
    // A stage of the machine that builds runs all the same.
    let text = "FROM --platform=$BUILDPLATFORM scratch AS tools\nCOPY rootfs /\nRUN echo x > /x\n\
        FROM scratch\nCOPY --from=tools /x /x\n";
    assert_eq!(project.try_build(text, platform).unwrap().read("/x").as_deref(), Some("x\n"));
}

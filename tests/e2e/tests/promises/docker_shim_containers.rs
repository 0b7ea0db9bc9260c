//! `berth-docker` and the engine: the same life of a container that the `docker` command has.

use e2e::{Engine, Project, until};

#[test]
fn containers_are_run_listed_asked_and_removed() {
    let project = Project::empty().with_own_home();
    let engine = Engine::start(&project);
    let ran = engine
        .berth_docker(["run", "--rm", "busybox", "sh", "-c", "echo out; echo err >&2; exit 3"])
        .run();
    assert_eq!((ran.code, ran.stdout.as_str()), (3, "out\n"), "{ran}");
    assert!(ran.stderr.contains("err\n"), "{ran}");
    let echoed = engine.berth_docker(["run", "--rm", "-i", "busybox", "cat"]).run_with("typed");
    assert_eq!(echoed.stdout, "typed", "{echoed}");
    let missing = engine.berth_docker(["run", "--rm", "busybox", "nope"]).run();
    missing.assert_fails(127, &["executable file not found"]);

    let id = engine
        .berth_docker(["run", "-d", "--name", "box", "busybox", "sh", "-c", "echo up; sleep 1000"])
        .says();
    assert_eq!(id.len(), 64);
    until("it printed", || (engine.berth_docker(["logs", "box"]).says() == "up").then_some(()));
    assert_eq!(
        engine
            .berth_docker(["ps", "-a", "--filter", "ancestor=busybox", "--format", "{{.ID}}"])
            .says(),
        id[..12]
    );
    assert!(engine.berth_docker(["ps"]).says().contains("CONTAINER ID"));
    assert_eq!(engine.berth_docker(["exec", "box", "sh", "-c", "echo in; exit 4"]).run().code, 4);
    assert_eq!(engine.berth_docker(["exec", "-i", "box", "cat"]).run_with("piped").stdout, "piped");
    let status =
        engine.berth_docker(["inspect", "box", "--format", "{{.State.Status}} {{.Name}}"]).says();
    assert_eq!(status, "running /box");
    assert_eq!(engine.berth_docker(["stop", "-t", "0", "box"]).says(), "box");
    assert_eq!(engine.berth_docker(["rm", "--force", "box"]).says(), "box");
    engine.berth_docker(["rm", "box"]).run().assert_fails(1, &["No such container: box"]);
    assert_eq!(engine.berth_docker(["ps", "-aq"]).says(), "");
    // It is the engine that pulls what it lacks, wherever the caller keeps images.
    let elsewhere = project.path().join("elsewhere");
    let ran = engine.berth_docker(["run", "--rm", "debian:stable-slim", "echo", "pulled"]);
    assert_eq!(ran.env("BERTH_HOME", &elsewhere).says(), "pulled");
    assert!(!elsewhere.exists(), "nothing was pulled there");
    let none = engine.berth_docker(["run", "--rm", "no-such-image", "true"]).run();
    none.assert_fails(125, &["no-such-image"]);
    assert!(engine.berth_docker(["version"]).says().contains("Server: Berth"));
    engine.stop();
}

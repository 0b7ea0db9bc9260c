//! The real `docker` command asks Berth's engine: images, builds, and the life of a container.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use e2e::{Engine, Internet, Project, RegistryServer, until};

/// An engine with a home of its own, and an image made of busybox.
fn engine() -> (Project, Engine) {
    let project = Project::empty().with_own_home();
    let engine = Engine::start(&project);
    (project, engine)
}

/// Builds an image in the classic way.
fn build(project: &Project, engine: &Engine, name: &str, dockerfile: &str) {
    project.write("image/Dockerfile", dockerfile);
    engine.docker(["build", "--tag", name, "image"]).run().assert_succeeds();
}

#[test]
fn an_engine_says_what_it_is_and_what_it_does_not_do() {
    let (project, engine) = engine();
    let version = engine.docker(["version", "--format", "{{.Server.Version}}"]).says();
    assert_eq!(version, env!("CARGO_PKG_VERSION"));
    assert_eq!(
        engine.docker(["info", "--format", "{{.OSType}} {{.Containers}}"]).says(),
        "linux 0"
    );
    assert!(engine.docker(["network", "ls"]).says().contains("bridge"));
    engine
        .docker(["network", "create", "mine"])
        .run()
        .assert_fails(1, &["a network of its own", "is not supported by Berth's container engine"]);
    project.write("Dockerfile", "FROM busybox\n");
    let buildkit = engine.docker(["build", "."]).env("DOCKER_BUILDKIT", "1").run();
    buildkit.assert_fails(1, &["failed to dial gRPC", "501"]);
    engine.docker(["swarm", "init"]).run().assert_fails(1, &["/swarm/init is not supported"]);
    engine.stop();
}

#[test]
fn an_image_is_built_listed_named_inspected_and_removed() {
    let (project, engine) = engine();
    project.write("image/file", "content");
    let dockerfile = "FROM busybox\nARG WORD\nCOPY file /file\nRUN echo $WORD > /word\n\
                      ENV A=1\nLABEL l=m\nCMD [\"cat\", \"/file\", \"/word\"]\n";
    project.write("image/Dockerfile", dockerfile);
    let built =
        engine.docker(["build", "-t", "own/app:1", "--build-arg", "WORD=hi", "image"]).run();
    built.assert_succeeds();
    assert!(
        built.stdout.contains("Step 3/3 : RUN")
            && built.stdout.contains("Successfully tagged own/app:1"),
        "{built}"
    );
    let again =
        engine.docker(["build", "-t", "own/app:1", "--build-arg", "WORD=hi", "image"]).says();
    assert!(again.contains("Using cache"), "{again}");
    let listed = engine.docker(["images", "--format", "{{.Repository}}:{{.Tag}}"]).says();
    assert!(listed.lines().any(|line| line == "own/app:1"), "{listed}");
    engine.docker(["tag", "own/app:1", "other:2"]).run().assert_succeeds();
    let inspect =
        |format: &str| engine.docker(["image", "inspect", "other:2", "--format", format]).says();
    assert_eq!(inspect("{{.Os}} {{json .Config.Labels}}"), "linux {\"l\":\"m\"}");
    assert!(inspect("{{json .RepoTags}}").contains("own/app:1"));
    let history = engine.docker(["history", "--format", "{{.CreatedBy}}", "other:2"]).says();
    assert!(history.contains("echo $WORD"), "{history}");
    assert_eq!(engine.docker(["run", "--rm", "own/app:1"]).says(), "contenthi");
    let removed = engine.docker(["rmi", "own/app:1", "other:2"]).says();
    assert!(
        removed.contains("Untagged: other:2") && removed.contains("Deleted: sha256:"),
        "{removed}"
    );
    engine.docker(["image", "inspect", "own/app:1"]).run().assert_fails(1, &["No such image"]);
    engine.stop();
}

#[test]
fn a_build_that_fails_shows_the_step_and_its_output() {
    let (project, engine) = engine();
    project.write("image/Dockerfile", "FROM busybox\nRUN echo last words; exit 7\n");
    let failed = engine.docker(["build", "image"]).run();
    assert_ne!(failed.code, 0, "{failed}");
    assert!(failed.stdout.contains("last words"), "{failed}");
    assert!(failed.stderr.contains("Dockerfile:2"), "{failed}");
    // Where the engine had the context is nothing to the caller, and it is gone.
    assert!(!failed.stderr.contains("contexts"), "{failed}");
    let contexts = project.home().join("docker/a/contexts");
    assert_eq!(fs_err::read_dir(contexts).expect("list the contexts").count(), 0);
    engine.stop();
}

#[test]
fn of_creations_with_one_name_at_once_one_succeeds_and_a_refused_one_leaves_nothing() {
    let (_project, engine) = engine();
    engine.docker(["pull", "busybox"]).run().assert_succeeds();
    let create = |_| engine.docker(["create", "--name", "same", "-v", "/data", "busybox"]).run();
    let created: Vec<_> = std::thread::scope(|scope| {
        let tries: Vec<_> = (0..4).map(|number| scope.spawn(move || create(number))).collect();
        tries.into_iter().map(|tried| tried.join().expect("a creation ends")).collect()
    });
    let (done, refused): (Vec<_>, Vec<_>) = created.iter().partition(|tried| tried.code == 0);
    assert_eq!((done.len(), refused.len()), (1, 3));
    refused.iter().for_each(|refused| assert!(refused.stderr.contains("already in use")));
    let refused = engine.docker(["create", "-v", "/data", "--memory", "1m", "busybox"]).run();
    refused.assert_fails(1, &["Minimum memory limit"]);
    assert_eq!(engine.docker(["volume", "ls", "--quiet"]).says().lines().count(), 1);
    engine.docker(["rm", "--volumes", "same"]).run().assert_succeeds();
    assert_eq!(engine.docker(["volume", "ls", "--quiet"]).says(), "");
    engine.stop();
}

#[test]
fn an_image_without_a_name_is_listed_by_its_id_and_pruned() {
    let (project, engine) = engine();
    project.write("image/Dockerfile", "FROM busybox\nLABEL none=here\nRUN echo 1 > /number\n");
    let id = engine.docker(["build", "--quiet", "image"]).says();
    assert!(id.starts_with("sha256:"), "{id}");
    let listed = |args: &[&str]| {
        let format = ["images", "--no-trunc", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}"];
        engine.docker(format.iter().chain(args)).says()
    };
    let nameless = format!("<none>:<none> {id}");
    assert!(listed(&[]).lines().any(|line| line == nameless), "{}", listed(&[]));
    assert_eq!(listed(&["--filter", "dangling=true"]), nameless);
    let tags = engine.docker(["image", "inspect", &id, "-f", "{{json .RepoTags}}"]).says();
    assert_eq!(tags, "[]");
    assert_eq!(engine.docker(["run", "--name", "user", &id, "cat", "/number"]).says(), "1");
    let short = &id["sha256:".len()..][..12];
    engine.docker(["rmi", short]).run().assert_fails(1, &["a container is using"]);
    assert!(!engine.docker(["image", "prune", "--force"]).says().contains(&id), "it is used");
    engine.docker(["rm", "user"]).run().assert_succeeds();
    assert!(
        engine.docker(["image", "prune", "--force"]).says().contains(&format!("deleted: {id}"))
    );
    engine.docker(["image", "inspect", &id]).run().assert_fails(1, &["No such image"]);

    let again = engine.docker(["build", "--quiet", "image"]).says();
    assert_eq!(engine.docker(["rmi", &again]).says(), format!("Deleted: {again}"));
    assert_eq!(listed(&["--filter", "dangling=true"]), "");
    let pruned = engine.docker(["builder", "prune", "--force"]).says();
    assert!(pruned.starts_with("Total reclaimed space: ") && !pruned.ends_with(" 0B"), "{pruned}");
    engine.stop();
}

#[test]
fn a_build_reaches_what_the_host_reaches_only_when_it_is_told_to() {
    let (project, engine) = engine();
    let internet = Internet::saying("from outside");
    let dockerfile = format!("FROM busybox\nRUN wget -q -O - http://{}/\n", internet.address());
    project.write("image/Dockerfile", &dockerfile);
    let build = |network: &str| engine.docker(["build", "--network", network, "image"]).run();
    for network in ["default", "none"] {
        build(network).assert_fails(1, &["Dockerfile:2"]);
    }
    let built = build("host");
    built.assert_succeeds();
    assert!(built.stdout.contains("from outside"), "{built}");
    build("container:x").assert_fails(1, &["--network container:x is not supported"]);
    engine.stop();
}

#[test]
fn a_registry_is_logged_in_to_pushed_to_and_pulled_from() {
    let (project, engine) = engine();
    let server = RegistryServer::start(&[]);
    let login = |password: &str| {
        let args = ["login", "--username", "v1", "--password-stdin", server.address()];
        engine.docker(args).run_with(password)
    };
    login("wrong").assert_fails(1, &["login attempt to", "401 Unauthorized"]);
    login(&server.credential(&["--pull", "--push"])).assert_succeeds();
    let name = format!("{}/acc/app:1", server.address());
    build(&project, &engine, &name, "FROM busybox\nRUN echo in the registry > /file\n");
    let pushed = engine.docker(["push", &name]).says();
    assert!(pushed.contains("1: digest: sha256:"), "{pushed}");
    engine.docker(["rmi", &name]).run().assert_succeeds();
    assert_eq!(engine.docker(["run", "--rm", &name, "cat", "/file"]).says(), "in the registry");
    engine.docker(["logout", server.address()]).run().assert_succeeds();
    engine.docker(["push", &name]).run().assert_fails(1, &["401 Unauthorized"]);
    let nobody = ["login", "--username", "v1", "--password", "x", "127.0.0.1:1"];
    engine.docker(nobody).run().assert_fails(1, &["Get \"http://127.0.0.1:1/v2/\""]);
    server.stop();
    engine.stop();
}

#[test]
fn an_image_that_is_missing_is_pulled_and_its_digest_is_known() {
    let (_project, engine) = engine();
    assert_eq!(engine.docker(["run", "--rm", "busybox", "echo", "pulled"]).says(), "pulled");
    let digests =
        engine.docker(["image", "inspect", "busybox", "-f", "{{json .RepoDigests}}"]).says();
    assert!(digests.starts_with("[\"busybox@sha256:"), "{digests}");
    engine.docker(["pull", "nobody/nothing"]).run().assert_fails(1, &["nobody/nothing"]);
    engine.stop();
}

#[test]
fn a_program_has_streams_input_and_an_exit_code() {
    let (_project, engine) = engine();
    let script = "echo out; echo err >&2; exit 3";
    let outcome = engine.docker(["run", "--rm", "busybox", "sh", "-c", script]).run();
    assert_eq!((outcome.code, outcome.stdout.as_str()), (3, "out\n"), "{outcome}");
    assert!(outcome.stderr.ends_with("err\n"), "{outcome}");
    let echoed = engine.docker(["run", "--rm", "-i", "busybox", "cat"]).run_with("typed\n");
    assert_eq!((echoed.code, echoed.stdout.as_str()), (0, "typed\n"), "{echoed}");
    let big = "x".repeat(3_000_000);
    let counted = engine.docker(["run", "--rm", "-i", "busybox", "wc", "-c"]).run_with(big.clone());
    assert_eq!(counted.stdout.trim(), "3000000", "{counted}");
    let printed = engine.docker(["run", "--rm", "-i", "busybox", "cat"]).run_with(big);
    assert_eq!(printed.stdout.len(), 3_000_000, "every byte comes back");
    let missing = engine.docker(["run", "--rm", "busybox", "no-such-program"]).run();
    missing.assert_fails(127, &["executable file not found in $PATH"]);
    assert_eq!(engine.docker(["ps", "--all", "--quiet"]).says(), "", "--rm leaves none");
    engine.stop();
}

#[test]
fn a_container_lives_from_its_creation_to_its_removal() {
    let (_project, engine) = engine();
    let script = "echo first; trap 'echo bye; exit 4' TERM; while :; do sleep 0.1; done";
    let id = engine
        .docker(["create", "--name", "web", "--label", "a=b", "busybox", "sh", "-c", script])
        .says();
    assert_eq!(id.len(), 64);
    let state = |format: &str| engine.docker(["inspect", "web", "--format", format]).says();
    assert_eq!(state("{{.State.Status}} {{.Name}}"), "created /web");
    engine
        .docker(["create", "--name", "web", "busybox"])
        .run()
        .assert_fails(1, &["already in use"]);
    engine.docker(["start", "web"]).run().assert_succeeds();
    until("it printed", || engine.docker(["logs", "web"]).says().contains("first").then_some(()));
    assert_eq!(state("{{.State.Running}} {{.State.ExitCode}}"), "true 0");
    let short = &id[..12];
    assert_eq!(
        engine.docker(["ps", "--format", "{{.ID}} {{.Names}}"]).says(),
        format!("{short} web")
    );
    assert_eq!(engine.docker(["ps", "-q", "--filter", "label=a=c"]).says(), "");
    assert_eq!(engine.docker(["exec", short, "sh", "-c", "echo $HOSTNAME"]).says(), short);
    assert_eq!(engine.docker(["exec", "-i", "web", "cat"]).run_with("to exec").stdout, "to exec");
    assert_eq!(engine.docker(["exec", "web", "sh", "-c", "exit 9"]).run().code, 9);
    assert!(engine.docker(["top", "web"]).says().contains("while"), "its processes are shown");
    engine.docker(["rm", "web"]).run().assert_fails(1, &["Stop the container before"]);
    engine.docker(["stop", "web"]).run().assert_succeeds();
    assert_eq!(state("{{.State.Status}} {{.State.ExitCode}}"), "exited 4");
    assert_eq!(engine.docker(["logs", "web"]).says(), "first\nbye");
    assert_eq!(engine.docker(["logs", "--tail", "1", "web"]).says(), "bye");
    engine.docker(["start", "web"]).run().assert_succeeds();
    for refused in [vec!["pause", "web"], vec!["commit", "web", "image"]] {
        engine.docker(refused).run().assert_fails(1, &["is not supported by Berth"]);
    }
    engine.docker(["kill", "web"]).run().assert_succeeds();
    assert_eq!(engine.docker(["wait", "web"]).says(), "137");
    engine.docker(["rm", "web"]).run().assert_succeeds();
    engine.docker(["inspect", "web"]).run().assert_fails(1, &["No such object: web"]);
    engine.stop();
}

#[test]
fn what_a_container_wrote_is_there_at_its_next_start_and_goes_with_it() {
    let (project, engine) = engine();
    let script = "echo run >> /runs; rm -f /etc/group; wc -l < /runs; test ! -e /etc/group";
    let ran = engine.docker(["run", "--name", "box", "busybox", "sh", "-c", script]).says();
    assert_eq!(ran, "1");
    assert_eq!(engine.docker(["start", "--attach", "box"]).says(), "2");
    engine.stop();
    let engine = Engine::start(&project);
    assert_eq!(engine.docker(["start", "--attach", "box"]).says(), "3");
    let other = ["run", "--rm", "busybox", "sh", "-c", "test -e /etc/group && ! test -e /runs"];
    engine.docker(other).run().assert_succeeds();
    let files = project.home().join("docker/a/files");
    let kept = || fs_err::read_dir(&files).expect("the folder of files").count();
    assert_eq!(kept(), 1);
    engine.docker(["rm", "box"]).run().assert_succeeds();
    assert_eq!(kept(), 0);
    engine.stop();
}

#[test]
fn a_published_port_leads_into_the_container() {
    let (project, engine) = engine();
    let dockerfile = "FROM busybox\nRUN mkdir /www && echo served > /www/index.html\n\
                      EXPOSE 8080\nCMD [\"httpd\", \"-f\", \"-p\", \"8080\", \"-h\", \"/www\"]\n";
    build(&project, &engine, "web", dockerfile);
    engine
        .docker(["run", "-d", "--name", "web", "-p", "127.0.0.1::8080", "web"])
        .run()
        .assert_succeeds();
    let port = engine.docker(["port", "web", "8080"]).says();
    let served = until("it serves", || {
        let mut stream = TcpStream::connect(&port).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        text.contains("200").then_some(text)
    });
    assert!(served.ends_with("served\n"), "{served}");
    engine.docker(["rm", "-f", "web"]).run().assert_succeeds();
    assert!(TcpStream::connect(&port).is_err(), "the port is closed");
    engine.stop();
}

#[test]
fn limits_mounts_and_users_are_those_that_were_asked_for() {
    let (project, engine) = engine();
    let run = |args: &[&str], script: &str| {
        let command = ["busybox", "sh", "-c", script];
        engine.docker(["run", "--rm"].iter().chain(args).chain(&command)).run()
    };
    assert_eq!(run(&["-e", "A=b", "-w", "/tmp"], "echo $A $PWD").stdout, "b /tmp\n");
    assert_eq!(run(&["-u", "1000:1000"], "id -u").stdout, "1000\n");
    assert_eq!(run(&["--hostname", "h"], "hostname").stdout, "h\n");
    let memory = run(
        &["--memory", "64m"],
        "dd if=/dev/zero of=/dev/shm/x bs=1M count=200 2>/dev/null; head -c 200000000 /dev/zero | tail | wc -c",
    );
    assert_ne!(memory.stdout.trim(), "200000000", "{memory}");
    project.write("shared/in", "from outside");
    let bind = format!("{}:/m", project.path().join("shared").display());
    let read = run(&["-v", &bind], "cat /m/in; echo from inside > /m/out");
    assert_eq!(read.stdout, "from outside", "{read}");
    assert_eq!(project.read("shared/out"), "from inside\n");
    let read_only = run(&["-v", &format!("{bind}:ro")], "echo x > /m/no");
    assert_ne!(read_only.code, 0, "{read_only}");
    run(&["-v", "data:/d"], "echo kept > /d/file").assert_succeeds();
    assert_eq!(run(&["-v", "data:/d"], "cat /d/file").stdout, "kept\n");
    assert!(engine.docker(["volume", "ls", "-q"]).says().contains("data"));
    engine.docker(["volume", "rm", "data"]).run().assert_succeeds();
    assert_eq!(
        run(&["--tmpfs", "/t:size=1m"], "df -k /t | tail -n 1 | awk '{print $2}'").stdout,
        "1024\n"
    );
    let forks = "for i in $(seq 40); do sleep 9 & done; echo all";
    assert!(!run(&["--pids-limit", "20"], forks).stdout.contains("all"), "40 programs of 20");
    run(&["--cpus", "10000"], "true").assert_fails(125, &["range of CPUs is from"]);
    engine.stop();
}

#[test]
fn what_is_not_done_is_refused_by_name() {
    let (_project, engine) = engine();
    engine.docker(["pull", "busybox"]).run().assert_succeeds();
    for (option, value) in [
        ("--privileged", ""),
        ("--cap-add", "NET_ADMIN"),
        ("--device", "/dev/null"),
        ("--read-only", ""),
        ("--pid", "host"),
        ("--restart", "always"),
        ("--network", "host"),
        ("--link", "other"),
        ("--add-host", "a:1.2.3.4"),
        ("--dns", "1.2.3.4"),
    ] {
        let words = [option, value].into_iter().filter(|word| !word.is_empty());
        let all = ["run"].into_iter().chain(words).chain(["busybox", "true"]);
        let refused = engine.docker(all).run();
        refused.assert_fails(125, &[option, "is not supported by Berth's container engine"]);
    }
    let udp = engine.docker(["run", "--rm", "-p", "0:53/udp", "busybox", "true"]).run();
    udp.assert_fails(125, &["publishing a port of udp is not supported"]);
    engine.stop();
}

#[test]
fn files_are_copied_into_and_out_of_a_running_container() {
    let (project, engine) = engine();
    engine
        .docker(["run", "-d", "--name", "box", "busybox", "sleep", "1000"])
        .run()
        .assert_succeeds();
    project.write("in/file", "copied");
    engine.docker(["cp", "in/file", "box:/tmp/"]).run().assert_succeeds();
    assert_eq!(engine.docker(["exec", "box", "cat", "/tmp/file"]).says(), "copied");
    engine.docker(["cp", "box:/tmp/file", "out"]).run().assert_succeeds();
    assert_eq!(project.read("out"), "copied");
    engine.docker(["cp", "box:/nowhere", "out"]).run().assert_fails(1, &["/nowhere"]);
    engine.docker(["rm", "-f", "box"]).run().assert_succeeds();
    engine.stop();
}

#[test]
fn what_happens_is_told_and_logs_are_followed() {
    let (_project, engine) = engine();
    engine.docker(["pull", "busybox"]).run().assert_succeeds();
    // Also what was before it listens.
    let format = "{{.Action}} {{.Actor.Attributes.name}}";
    let events = engine.docker(["events", "--since", "1", "--format", format]).start();
    let script = "echo one; sleep 0.3; echo two";
    engine
        .docker(["run", "-d", "--name", "told", "busybox", "sh", "-c", script])
        .run()
        .assert_succeeds();
    assert_eq!(engine.docker(["logs", "--follow", "told"]).says(), "one\ntwo");
    for line in ["create told", "start told", "die told"] {
        let _ = events.wait_for_line(line, e2e::PATIENCE);
    }
    engine.docker(["rm", "told"]).run().assert_succeeds();
    let _ = events.wait_for_line("destroy told", e2e::PATIENCE);
    engine.stop();
}

#[test]
fn containers_outlive_an_engine_that_is_killed_and_nothing_outlives_its_end() {
    let (project, engine) = engine();
    engine
        .docker(["run", "-d", "--name", "long", "busybox", "sleep", "1000"])
        .run()
        .assert_succeeds();
    let short = engine.docker(["run", "--name", "short", "busybox", "sh", "-c", "exit 5"]).run();
    assert_eq!(short.code, 5, "{short}");
    let reads = ["run", "-d", "-i", "--name", "reads", "busybox"];
    let script = ["sh", "-c", "cat; echo the end; sleep 1000"];
    engine.docker(reads.into_iter().chain(script)).run().assert_succeeds();
    engine.kill();
    let engine = Engine::start(&project);
    until("its input has ended, and it lives on", || {
        (engine.docker(["logs", "reads"]).says() == "the end").then_some(())
    });
    let running = engine.docker(["inspect", "reads", "--format", "{{.State.Running}}"]).says();
    assert_eq!(running, "true");
    assert_eq!(engine.docker(["exec", "long", "echo", "still here"]).says(), "still here");
    let code = engine.docker(["inspect", "short", "--format", "{{.State.ExitCode}}"]).says();
    assert_eq!(code, "5");
    let footprint = engine.footprint();
    engine.stop();
    footprint.assert_gone();
    let left: Vec<_> =
        fs_err::read_dir(project.home().join("docker/i")).into_iter().flatten().collect();
    assert!(left.is_empty(), "{left:?}");
}

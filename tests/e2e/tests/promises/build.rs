//! `berth build`: images from a Dockerfile in real sandboxes, without a project.

use std::thread;

use e2e::{Berth, Footprint, Process, Project, processes, until};
use fs_err as fs;

const BUILD: i32 = 4;
const SECRET: &str = "correct-horse-battery";

fn build(project: &Project, args: &[&str]) -> Berth {
    Berth::new(project, ["build", "."]).args(args)
}

#[test]
fn a_build_shows_its_steps_and_runs_none_twice() {
    // With a cache of its own, in which nothing is yet.
    let project = Project::empty().with_own_home();
    let dockerfile = "FROM busybox AS tools\n\
                      RUN cat <<'EOF' > /script && chmod +x /script\n#!/bin/sh\necho \"made by $0\"\nEOF\n\
                      FROM busybox\nARG WHO\nCOPY --from=tools /script /script\n\
                      RUN /script && echo \"hello $WHO\" | tee /out\n";
    project.write("Dockerfile", dockerfile);
    let args =
        ["--progress=plain", "--build-arg=WHO=world", "--tag=e2e/steps:1", "--tag=e2e/steps:2"];
    let first = build(&project, &args).run();
    first.assert_succeeds();
    for text in
        ["[tools 2/2] RUN cat <<'EOF'", "made by /script", "hello world", "DONE", "e2e/steps:2"]
    {
        assert!(first.stderr.contains(text), "{text}: {first}");
    }
    let second = build(&project, &args).run();
    second.assert_succeeds();
    assert!(second.stderr.contains("CACHED") && !second.stderr.contains("hello world"), "{second}");
    let quiet = build(&project, &["--quiet", "--build-arg=WHO=world"]).run();
    let digest = quiet.stdout.trim();
    assert!(
        digest.starts_with("sha256:") && digest.len() == 71 && quiet.stderr.is_empty(),
        "{quiet}"
    );
}

#[test]
fn events_are_json_and_files_say_what_was_made() {
    let project = Project::empty();
    project.write("Dockerfile", "FROM busybox\nRUN echo 'some output' && echo other >&2\n");
    let args = ["--progress=json", "--no-cache", "--iidfile=id", "--metadata-file=meta", "-te2e/j"];
    let outcome = build(&project, &args).run();
    outcome.assert_succeeds();
    let events: Vec<serde_json::Value> = outcome
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).expect("a JSON line"))
        .collect();
    let output = |stream: &str, text: &str| {
        events.iter().any(|e| e["event"] == "output" && e["stream"] == stream && e["text"] == text)
    };
    assert!(output("stdout", "some output") && output("stderr", "other"), "{outcome}");
    let image = events.last().expect("an event");
    assert_eq!(image["event"], "image");
    assert_eq!(image["digest"], project.read("id"));
    let metadata: serde_json::Value = serde_json::from_str(&project.read("meta")).expect("JSON");
    assert_eq!(metadata["containerimage.digest"], image["digest"]);
}

#[test]
fn a_cache_stays_and_a_secret_does_not() {
    let project = Project::empty().with_own_home();
    project.write("token", SECRET);
    project.write(
        "Dockerfile",
        "FROM busybox\nRUN --mount=type=cache,target=/cache --mount=type=secret,id=token \\\n  \
         --mount=type=tmpfs,target=/scratch --mount=target=/ctx,source=token \\\n  \
         --mount=type=secret,id=token,env=TOKEN \\\n  \
         cat /cache/kept; echo kept > /cache/kept; test \"$TOKEN\" = \"$(cat /run/secrets/token)\" && \\\n  \
         echo \"it is $TOKEN\" && stat -c %a:%u /run/secrets/token && echo x > /scratch/x && \\\n  \
         test \"$(cat /ctx)\" = \"$TOKEN\"\n",
    );
    project.write(".dockerignore", "nothing\n");
    let args =
        ["--progress=plain", "--no-cache", "--secret=id=token,src=token", "--tag=e2e/secret"];
    let first = build(&project, &args).run();
    first.assert_succeeds();
    assert!(first.stderr.contains("it is ***") && first.stderr.contains("400:0"), "{first}");
    let second = build(&project, &args).run();
    second.assert_succeeds();
    assert!(second.stderr.lines().any(|line| line.ends_with(" kept")), "{second}");
    assert!(!format!("{first}{second}").contains(SECRET));
    let found = e2e::readable_files_with(project.home(), SECRET);
    assert!(found.is_empty(), "{found:?}");
    // The context's own file is not copied by a mount.
    let listed = "FROM e2e/secret\nRUN ls /run /cache /scratch /ctx 2>&1; true\n";
    project.write("Dockerfile", listed);
    let after = build(&project, &["--progress=plain"]).run();
    after.assert_succeeds();
    assert!(after.stderr.contains("/cache: No such file"), "{after}");
}

#[test]
fn a_step_without_network_reaches_nothing_and_the_host_has_to_be_allowed() {
    let project = Project::empty();
    project.write("Dockerfile", "FROM busybox\nRUN --network=none ! nc -w 1 192.0.2.1 80\n");
    build(&project, &["--no-cache"]).run().assert_succeeds();
    project.write("Dockerfile", "FROM busybox\nRUN --network=host true\n");
    build(&project, &[]).run().assert_fails(BUILD, &["Dockerfile:2:1", "--allow network.host"]);
    build(&project, &["--allow=network.host"]).run().assert_succeeds();
}

#[test]
fn a_failure_names_file_line_and_the_last_words() {
    let project = Project::empty();
    project.write("Dockerfile", "FROM busybox\n\nRUN echo last words; exit 7\n");
    build(&project, &[]).run().assert_fails(
        BUILD,
        &["Dockerfile:3:1: the command ended with exit code 7", "3 | RUN echo", "last words"],
    );
    build(&project, &["--target=none"]).run().assert_fails(BUILD, &["find stage \"none\""]);
    build(&project, &["--builder=buildah"]).run().assert_fails(2, &["--tag"]);
}

#[test]
fn an_interrupted_build_ends_its_step_and_leaves_nothing() {
    let project = Project::empty().with_own_home();
    project.write("Dockerfile", "FROM busybox\nRUN echo started && sleep 1000000\n");
    let name = project.path().join("here").display().to_string();
    let running = build(&project, &["--progress=plain", "--iidfile", &name]);
    let running = thread::spawn(move || running.run());
    let berth = until("the build's process", || {
        processes().into_iter().find(|process| process.command().contains(&name))
    });
    let sleeps = || {
        let all = Process::descendants_of(berth.pid);
        all.into_iter().find(|process| process.command().join(" ").contains("sleep 1000000"))
    };
    until("the step", sleeps);
    let footprint = Footprint::of(berth.pid, &[project.home().join("build/0")]);
    assert!(footprint.namespaces_and_cgroups().0 > 0);
    berth.signal(rustix::process::Signal::INT);
    let outcome = running.join().expect("the waiting thread ends");
    assert_eq!(outcome.code, 130, "{outcome}");
    footprint.assert_gone();
    let sessions =
        fs::read_dir(project.home().join("images/tmp")).expect("list the store's folder");
    assert_eq!(sessions.count(), 0);
}

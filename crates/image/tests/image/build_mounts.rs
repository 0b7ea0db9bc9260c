//! `RUN --mount`: what a command sees, what stays, and what nobody ever sees.

use std::io::{Read, Write};
use std::os::unix::net::UnixListener;

use image::{BuildRequest, NamedContext, SecretSource};

use crate::support::builder::Project;
use crate::support::names;

const BASE: &str = "FROM scratch\nCOPY rootfs /\n";
const SECRET: &str = "correct-horse-battery";

fn build(project: &Project, rest: &str) -> crate::support::builder::Built {
    project.build(&format!("{BASE}{rest}"))
}

#[test]
fn the_context_is_seen_without_being_copied() {
    let project = Project::with_shell(&[
        ("src/a", "A"),
        ("src/secret", "no"),
        (".dockerignore", "src/secret\n"),
    ]);
    let built = build(
        &project,
        "WORKDIR /w\nRUN --mount=target=ctx,source=src ls ctx && cat ctx/a && echo done > /out\n\
         RUN --mount=type=bind,source=src/a,target=/file cat /file\n",
    );
    assert_eq!(built.output(), "a\nAA");
    assert_eq!(names(&built.image.layers[1]), ["out"], "no mount point is left");
    // It counts for the cache, and nothing else of the context does.
    project.write("other", "x");
    project.write("src/secret", "changed");
    let rest =
        "WORKDIR /w\nRUN --mount=target=ctx,source=src ls ctx && cat ctx/a && echo done > /out\n";
    assert_eq!(build(&project, rest).done(), Vec::<String>::new());
    project.write("src/a", "B");
    assert_eq!(build(&project, rest).done().len(), 1);
    project.assert_is_clean();
}

#[test]
fn stages_images_and_named_contexts_can_be_mounted_and_writes_are_lost() {
    let project = Project::with_shell(&[]);
    let named = tempfile::tempdir().unwrap();
    fs_err::write(named.path().join("n"), "named").unwrap();
    let text = format!(
        "FROM scratch AS tools\nCOPY <<EOF /t/one\none\nEOF\nCOPY <<EOF /t/two\ntwo\nEOF\n{BASE}\
         RUN --mount=from=tools,source=/t,target=/m ls /m\n\
         RUN --mount=from=tools,source=/t,target=/m,rw echo changed > /m/one && cat /m/one\n\
         RUN --mount=from=tools,source=/t/one,target=/m cat /m\n\
         RUN --mount=from=extra,target=/m cat /m/n\n"
    );
    let context = |request: &mut BuildRequest| {
        let directory = NamedContext::Directory(named.path().to_owned());
        request.contexts.insert("extra".into(), directory);
    };
    let built = project.try_build(&text, context).unwrap();
    assert_eq!(built.output(), "one\ntwo\nchanged\none\nnamed");
    let refused = "RUN --mount=target=/m,source=rootfs echo x > /m/new\n";
    let error = project.error(&format!("{BASE}{refused}"));
    assert!(error.to_string().contains("Read-only file system"), "{error}");
    assert!(!project.path("rootfs/new").exists());
}

#[test]
fn a_cache_is_found_again_and_is_in_no_layer() {
    let project = Project::with_shell(&[]);
    let mount = "--mount=type=cache,target=/c,uid=5,gid=6,mode=0700";
    build(&project, &format!("RUN {mount} stat /c && mode /c && echo first > /c/kept\n"));
    let built = build(&project, &format!("RUN {mount} cat /c/kept && echo x > /x\n"));
    assert_eq!(built.output(), "first\n");
    assert_eq!(names(&built.image.layers[0]), ["x"]);
    // Another id is another cache, and read-only is read-only.
    let other = build(&project, "RUN --mount=type=cache,target=/c,id=other ls /c\n");
    assert_eq!(other.output(), "");
    let text = format!("{BASE}RUN --mount=type=cache,target=/c,ro echo x > /c/y\n");
    assert!(project.error(&text).to_string().contains("Read-only"));
    let text =
        "RUN --mount=type=cache,target=/c,id=filled,source=/src,from=0,sharing=locked ls /c\n";
    let built = project.build(&format!("FROM scratch\nCOPY <<EOF /src/seed\nEOF\n{BASE}{text}"));
    assert_eq!(built.output(), "seed\n");
    project.assert_is_clean();
}

#[test]
fn a_tmpfs_is_gone_with_its_step() {
    let project = Project::with_shell(&[]);
    let built =
        build(&project, "RUN --mount=type=tmpfs,target=/t,size=1m echo x > /t/x && cat /t/x\n");
    assert_eq!(built.output(), "x\n");
    assert_eq!(built.find("/t"), None);
}

/// Every file below a directory.
fn files(directory: &std::path::Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in fs_err::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let kind = fs_err::symlink_metadata(&path).unwrap();
        if kind.is_dir() {
            files(&path, found);
        } else if kind.is_file() {
            found.push(path);
        }
    }
}

#[test]
fn a_secret_is_seen_by_its_step_alone() {
    let project = Project::with_shell(&[]);
    let secret = project.dir.path().join("secret");
    fs_err::write(&secret, SECRET).unwrap();
    let give = |request: &mut BuildRequest| {
        request.secrets.insert("token".into(), SecretSource::File(secret.clone()));
    };
    let text = format!(
        "{BASE}RUN --mount=type=secret,id=token mode /run/secrets/token && cat /run/secrets/token\n\
         RUN --mount=type=secret,id=token,env=TOKEN,target=/s,mode=0444,uid=5 stat /s && echo $TOKEN\n\
         RUN --mount=type=secret,id=absent ls /\n"
    );
    let built = project.try_build(&text, give).unwrap();
    assert_eq!(built.output(), "400\n***5:0\n***\nbin\nrun\n".replace("run\n", ""), "shown masked");
    assert!(built.find("/run").is_none() && built.find("/s").is_none());
    let failing =
        format!("{BASE}RUN --mount=type=secret,id=token,env=TOKEN warn it is $TOKEN && exit 1\n");
    let Err(error) = project.try_build(&failing, give) else { panic!("it failed") };
    let shown = format!("{error} {error:?}");
    assert!(shown.contains("it is ***") && !shown.contains(SECRET), "{shown}");
    let mut all = Vec::new();
    files(project.store.dir(), &mut all);
    assert!(!all.is_empty());
    for path in all {
        let bytes = fs_err::read(&path).unwrap();
        let found = bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes());
        assert!(!found, "{} has the secret", path.display());
    }
    // Another secret is no reason to run the step again.
    fs_err::write(&secret, "another one").unwrap();
    assert_eq!(project.try_build(&text, give).unwrap().done(), Vec::<String>::new());
    project.assert_is_clean();
}

#[test]
fn a_secret_that_is_needed_and_not_there_is_named() {
    let project = Project::with_shell(&[]);
    let text = format!("{BASE}RUN --mount=type=secret,id=token,required echo x\n");
    let error = project.error(&text).to_string();
    assert!(
        error.contains("needs the secret token") && error.contains("--secret id=token"),
        "{error}"
    );
    let give = |request: &mut BuildRequest| {
        let source = SecretSource::Variable("BERTH_TEST_NOT_SET".into());
        request.secrets.insert("token".into(), source);
    };
    let Err(error) = project.try_build(&text, give) else { panic!("it succeeded") };
    assert!(error.to_string().contains("BERTH_TEST_NOT_SET, which is not set"), "{error}");
}

#[test]
fn an_ssh_agent_answers_the_step_and_no_other() {
    let project = Project::with_shell(&[]);
    let agent = project.dir.path().join("agent.sock");
    let listener = UnixListener::bind(&agent).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut text = String::new();
            if stream.read_to_string(&mut text).is_ok() && !text.is_empty() {
                stream.write_all(format!("agent heard {text}").as_bytes()).unwrap();
            }
        }
    });
    let give = |request: &mut BuildRequest| {
        request.ssh.insert("default".into(), agent.clone());
    };
    let text = format!(
        "{BASE}RUN --mount=type=ssh greet $SSH_AUTH_SOCK\nRUN --mount=type=ssh,target=/a echo $SSH_AUTH_SOCK\n\
         RUN --mount=type=ssh,id=other echo $SSH_AUTH_SOCK\n"
    );
    let built = project.try_build(&text, give).unwrap();
    assert_eq!(built.output(), "agent heard hello\n/a\n<SSH_AUTH_SOCK unset>\n");
    let error = project.error(&format!("{BASE}RUN --mount=type=ssh,required echo x\n"));
    assert!(error.to_string().contains("--ssh default"), "{error}");
    project.assert_is_clean();
}

#[test]
fn the_hosts_network_has_to_be_allowed() {
    let project = Project::with_shell(&[]);
    let text = format!("{BASE}RUN --network=host echo x\nRUN --network=none echo y\n");
    let error = project.error(&text).to_string();
    assert!(error.contains("--allow network.host"), "{error}");
    let allow = |request: &mut BuildRequest| request.allow_host_network = true;
    assert_eq!(project.try_build(&text, allow).unwrap().output(), "x\ny\n");
}

#[test]
fn mounts_that_cannot_be_are_refused_with_their_line() {
    let project = Project::with_shell(&[]);
    for (mount, reason) in [
        ("target=/", "in the place of /"),
        ("target=..", "in the place of /"),
        ("target=/x,source=missing", "missing is not in the build context"),
        ("target=/x,from=Nope", "is no earlier stage"),
        ("type=cache,target=$NOTHING", "needs a target"),
    ] {
        let error = project.error(&format!("{BASE}RUN --mount={mount} ls /\n"));
        assert_eq!(error.line, 3, "{error}");
        assert!(error.to_string().contains(reason), "{mount}: {error}");
    }
}

//! `RUN`: real commands over overlayfs, and what becomes of their changes.

use crate::support::builder::Project;
use crate::support::names;
use image::{Digest, ImageStore};

const BASE: &str = "FROM scratch\nCOPY rootfs /\n";

fn build(project: &Project, rest: &str) -> crate::support::builder::Built {
    project.build(&format!("{BASE}{rest}"))
}

#[test]
fn what_a_command_writes_is_the_next_layer() {
    let project = Project::with_shell(&[]);
    let built = build(&project, "RUN mkdir /data && echo hi > /data/x && chmod 600 /data/x\n");
    assert_eq!(built.read("/data/x").as_deref(), Some("hi\n"));
    assert_eq!(built.stat("/data/x").2, 0o600);
    assert_eq!(names(&built.image.layers[0]), ["data"]);
    project.assert_is_clean();
}

#[test]
fn commands_have_args_env_cwd_user_and_home() {
    let project = Project::with_shell(&[("etc/passwd", "app:x:1000:1000::/home/app:/bin/sh\n")]);
    let built = build(
        &project,
        "COPY etc /etc\nARG FROM_ARG=arg\nARG NO_VALUE\nENV FROM_ENV=env FROM_ARG_TOO=$FROM_ARG\n\
         WORKDIR /work\nRUN pwd\nRUN env\nUSER 1000:1000\nRUN [\"sh\", \"-c\", \"echo $HOME\"]\n",
    );
    let output = built.output();
    for line in
        ["/work", "FROM_ARG=arg", "FROM_ENV=env", "FROM_ARG_TOO=arg", "HOME=/root", "/home/app"]
    {
        assert!(output.lines().any(|found| found == line), "{line} in {output}");
    }
    assert!(output.contains("PATH=/usr/local/sbin:"), "{output}");
    assert!(!output.contains("NO_VALUE"), "{output}");
    assert_eq!(built.image.config.user, "1000:1000");
}

#[test]
fn a_working_directory_belongs_to_the_user() {
    let project = Project::with_shell(&[]);
    let built = build(&project, "USER 5:6\nWORKDIR /mine/deep\nWORKDIR er\nRUN echo x > y\n");
    assert_eq!(built.stat("/mine"), (5, 6, 0o755));
    assert_eq!(built.stat("/mine/deep/er/y").0, 5);
    assert_eq!(built.image.config.working_dir, "/mine/deep/er");
}

#[test]
fn removals_are_in_the_layer_and_in_its_archive() {
    let project = Project::with_shell(&[("d/a", "a"), ("d/b", "b"), ("e/c", "c")]);
    let text = "COPY d /d\nCOPY e /e\nRUN rm /d/a && rmdir /e && mkdir /e && echo new > /e/n\n";
    let built = build(&project, text);
    assert_eq!(built.find("/d/a"), None);
    assert_eq!(built.read("/d/b").as_deref(), Some("b"));
    let before = layer_listing(&project.store, &built.image.digest);
    assert!(before.contains(&"d/.wh.a".to_owned()), "{before:?}");
    assert!(before.contains(&"e/.wh..wh..opq".to_owned()), "{before:?}");
    // Unpacked from its archive again, it means the same.
    fs_err::remove_dir_all(&built.image.layers[0]).unwrap();
    let again = project.store.image_by_digest(&built.image.digest).unwrap().unwrap();
    assert_eq!(again, built.image);
    assert_eq!(built.find("/d/a"), None);
    assert_eq!(build(&project, &format!("{text}RUN cat /e/n && cat /d/b\n")).output(), "new\nb");
    for gone in ["/e/c", "/d/a"] {
        let error = project.error(&format!("{BASE}{text}RUN cat {gone}\n"));
        assert!(error.to_string().contains("No such file"), "{error}");
    }
}

/// Names in the archive of an image's last layer.
fn layer_listing(store: &ImageStore, image: &Digest) -> Vec<String> {
    let blob = |digest: &str| {
        let hex = digest.strip_prefix("sha256:").unwrap();
        fs_err::read(store.dir().join("content/sha256").join(hex)).unwrap()
    };
    let manifest: serde_json::Value = serde_json::from_slice(&blob(image.as_str())).unwrap();
    let layer = manifest["layers"].as_array().unwrap().last().unwrap();
    assert_eq!(layer["mediaType"], "application/vnd.oci.image.layer.v1.tar");
    let bytes = blob(layer["digest"].as_str().unwrap());
    assert_eq!(layer["size"].as_u64().unwrap(), bytes.len() as u64);
    let mut archive = tar::Archive::new(&bytes[..]);
    let entries = archive.entries().unwrap();
    entries.map(|entry| entry.unwrap().path().unwrap().display().to_string()).collect()
}

#[test]
fn links_long_names_and_owners_survive_the_archive() {
    let project = Project::with_shell(&[]);
    let long = "n".repeat(200);
    let built = build(
        &project,
        &format!(
            "RUN echo x > /a && ln /a /b && symlink /nowhere/{long} /s && echo y > /{long} && \
             chown 70000 /a && mkdir /{long}.d && echo z > /{long}.d/{long}\n"
        ),
    );
    fs_err::remove_dir_all(&built.image.layers[0]).unwrap();
    project.store.image_by_digest(&built.image.digest).unwrap().unwrap();
    let inode = |path: &str| {
        use std::os::unix::fs::MetadataExt;
        fs_err::metadata(built.find(path).unwrap()).unwrap().ino()
    };
    assert_eq!(inode("/a"), inode("/b"));
    assert_eq!(built.stat("/b").0, 70000);
    assert_eq!(built.read(&format!("/{long}.d/{long}")).as_deref(), Some("z\n"));
    let link = fs_err::read_link(built.find("/s").unwrap()).unwrap();
    assert_eq!(link.to_str().unwrap(), format!("/nowhere/{long}"));
}

#[test]
fn scripts_run_in_the_shell_or_by_their_own_interpreter() {
    let project = Project::with_shell(&[]);
    let built = build(
        &project,
        "RUN <<EOF\necho one > /one\necho two > /two\nEOF\n\
         RUN <<EOF\n#!/bin/sh\necho three > /three\nEOF\n",
    );
    for (path, content) in [("/one", "one\n"), ("/two", "two\n"), ("/three", "three\n")] {
        assert_eq!(built.read(path).as_deref(), Some(content));
    }
    // The script itself is not part of the image.
    assert_eq!(names(&built.image.layers[0]), ["three"]);
}

#[test]
fn another_shell_is_used_for_run_and_cmd() {
    let project = Project::with_shell(&[]);
    let built = build(&project, "SHELL [\"/bin/sh\", \"-c\"]\nRUN echo x > /x\nCMD serve --now\n");
    assert_eq!(built.image.config.cmd, ["/bin/sh", "-c", "serve --now"]);
}

#[test]
fn a_failed_command_tells_line_code_and_last_output() {
    let project = Project::with_shell(&[]);
    let error =
        project.error(&format!("{BASE}\nRUN echo all good so far\nRUN warn it broke && exit 3\n"));
    assert_eq!(error.line, 5);
    let text = error.to_string();
    assert!(text.contains("Dockerfile:5:1: the command ended with exit code 3"), "{text}");
    assert!(text.contains("5 | RUN warn it broke && exit 3"), "{text}");
    assert!(text.contains("it broke"), "{text}");
    project.assert_is_clean();
    let error = project.error(&format!("{BASE}RUN [\"/bin/none\"]\n"));
    assert!(error.to_string().contains("exit code 127"), "{error}");
}

#[test]
fn the_layers_of_a_stage_are_those_of_the_next() {
    let project = Project::with_shell(&[]);
    let built = project.build(
        &format!("{BASE}\nENV A=1\nRUN echo built > /out\nFROM 0\n")
            .replace("FROM scratch", "FROM scratch AS base")
            .replace("FROM 0", "FROM base\nRUN cat /out"),
    );
    assert_eq!(built.output(), "built\n");
    assert_eq!(built.env(), ["A=1"]);
}

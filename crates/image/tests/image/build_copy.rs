//! `COPY` and `ADD`: what arrives where, with which owner and mode.

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use crate::support::builder::Project;
use crate::support::{names, tar};

#[test]
fn a_file_goes_to_a_file_or_into_a_directory() {
    let project = Project::new(&[("a", "A"), ("dir/b", "B")]);
    let built = project.build(
        "FROM scratch\nCOPY a /one\nCOPY a /two/\nCOPY dir/b /two\nWORKDIR /three\nCOPY a .\n\
         COPY a deep/er/x\nCOPY [\"a\", \"/with space\"]\n",
    );
    for path in ["/one", "/two/a", "/three/a", "/three/deep/er/x", "/with space"] {
        assert_eq!(built.read(path).as_deref(), Some("A"), "{path}");
    }
    assert_eq!(built.read("/two/b").as_deref(), Some("B"));
    assert_eq!(built.image.config.working_dir, "/three");
    project.assert_is_clean();
}

#[test]
fn a_directory_gives_its_contents() {
    let project = Project::new(&[("src/x", "X"), ("src/sub/y", "Y"), ("more/z", "Z")]);
    symlink("x", project.path("src/link")).unwrap();
    fs_err::create_dir(project.path("src/empty")).unwrap();
    let built = project.build("FROM scratch\nCOPY src /app\nCOPY src more /both/\n");
    assert_eq!(built.read("/app/x").as_deref(), Some("X"));
    assert_eq!(built.read("/app/sub/y").as_deref(), Some("Y"));
    assert_eq!(built.read("/both/z").as_deref(), Some("Z"));
    assert!(built.find("/app/empty").unwrap().is_dir());
    let link = fs_err::read_link(built.find("/app/link").unwrap()).unwrap();
    assert_eq!(link.to_str(), Some("x"));
    assert_eq!(built.find("/app/src"), None);
}

#[test]
fn patterns_and_ignored_files() {
    let project = Project::new(&[
        ("a.txt", "a"),
        ("b.txt", "b"),
        ("c.md", "c"),
        ("node_modules/big", "n"),
        (".dockerignore", "node_modules\n*.md\nDockerfile\n.dockerignore\n"),
    ]);
    let built = project.build("FROM scratch\nCOPY *.txt /txt/\nCOPY . /all/\n");
    assert_eq!(names(built.find("/txt").unwrap()), ["a.txt", "b.txt"]);
    assert_eq!(names(built.find("/all").unwrap()), ["a.txt", "b.txt"]);
    let error = project.error("FROM scratch\nCOPY c.md /");
    assert!(error.to_string().contains("(.dockerignore excludes it)"), "{error}");
}

#[test]
fn owners_are_root_unless_chown_says_otherwise() {
    let project = Project::new(&[
        ("f", "f"),
        ("d/x", "x"),
        ("etc/passwd", "app:x:1000:1001::/home/app:/bin/sh\n"),
        ("etc/group", "staff:x:50:\n"),
    ]);
    std::os::unix::fs::chown(project.path("f"), Some(77), Some(77)).unwrap();
    let built = project.build(
        "FROM scratch\nCOPY etc /etc\nARG GROUP=staff\nCOPY f /root-owned\n\
         COPY --chown=app f /by/name\nCOPY --chown=app:$GROUP d /by/group\n\
         COPY --chown=5:6 --chmod=4711 f /by/number\nCOPY --chown=9 f /same\n",
    );
    assert_eq!(built.stat("/root-owned").0, 0);
    assert_eq!(built.stat("/by/name"), (1000, 1001, 0o644));
    assert_eq!(built.stat("/by"), (1000, 1001, 0o755));
    assert_eq!(built.stat("/by/group/x"), (1000, 50, 0o644));
    assert_eq!(built.stat("/by/number"), (5, 6, 0o4711));
    assert_eq!(built.stat("/same"), (9, 9, 0o644));
    let error = project.error("FROM scratch\nCOPY --chown=nobody f /x");
    assert!(error.to_string().contains("no user \"nobody\""), "{error}");
}

#[test]
fn modes_and_times_of_files_are_kept() {
    let project = Project::new(&[("run", "x"), ("d/private", "x")]);
    let chmod = |path: &str, mode| {
        fs_err::set_permissions(project.path(path), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    chmod("run", 0o755);
    chmod("d", 0o700);
    let file = fs_err::File::options().write(true).open(project.path("run")).unwrap();
    file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000)).unwrap();
    let built = project.build("FROM scratch\nCOPY . /app\n");
    assert_eq!(built.stat("/app/run").2, 0o755);
    assert_eq!(built.stat("/app/d").2, 0o700);
    // Not the context's own mode, which is that of some temporary directory.
    assert_eq!(built.stat("/app").2, 0o755);
    assert_eq!(fs_err::metadata(built.find("/app/run").unwrap()).unwrap().mtime(), 1_000_000);
}

#[test]
fn copying_goes_through_symlinks_of_the_image_and_never_out_of_it() {
    let project = Project::new(&[("f", "f")]);
    fs_err::create_dir_all(project.path("root/usr/bin")).unwrap();
    symlink("usr/bin", project.path("root/bin")).unwrap();
    symlink("/../../../../outside", project.path("root/out")).unwrap();
    fs_err::create_dir(project.path("root/outside")).unwrap();
    let built = project.build("FROM scratch\nCOPY root /\nCOPY f /bin/\nCOPY f /out/x\n");
    assert_eq!(built.read("/usr/bin/f").as_deref(), Some("f"));
    assert_eq!(built.read("/outside/x").as_deref(), Some("f"));
    assert!(fs_err::symlink_metadata(built.find("/bin").unwrap()).unwrap().is_symlink());
}

#[test]
fn later_files_replace_earlier_ones() {
    let project = Project::new(&[("a", "first"), ("b", "second"), ("d/a", "third")]);
    let built = project.build("FROM scratch\nCOPY a /x/a\nCOPY b /x/a\n");
    assert_eq!(built.read("/x/a").as_deref(), Some("second"));
    assert_eq!(built.image.layers.len(), 2);
    let built = project.build("FROM scratch\nCOPY a /x/a\nCOPY d /x\n");
    assert_eq!(built.read("/x/a").as_deref(), Some("third"));
    let error = project.error("FROM scratch\nCOPY d /x\nCOPY a /y/a\nCOPY d /y/a/\n");
    assert_eq!(error.line, 4, "{error}");
}

#[test]
fn files_come_from_stages_by_name_and_number_with_their_owners() {
    let project = Project::new(&[("f", "f"), ("g", "g")]);
    let built = project.build(
        "FROM scratch AS base\nCOPY --chown=3:4 f /out/f\n\nFROM scratch AS unused\nCOPY nothing /\n\
         \nFROM scratch\nCOPY --from=BASE /out /one\nCOPY --from=0 out/f /two\n\
         COPY --from=base --chown=0:0 /out/* /three/\n",
    );
    assert_eq!(built.read("/one/f").as_deref(), Some("f"));
    assert_eq!(built.stat("/one/f"), (3, 4, 0o644));
    assert_eq!(built.stat("/two").0, 3);
    assert_eq!(built.stat("/three/f").0, 0);
    let error = project.error("FROM scratch AS base\nFROM scratch\nCOPY --from=base /none /x");
    assert!(error.to_string().contains("/none is not in stage \"base\""), "{error}");
}

#[test]
fn here_documents_become_files() {
    let project = Project::new(&[]);
    let built = project.build(
        "FROM scratch\nENV NAME=world\nCOPY <<hello.txt <<\"raw.txt\" /d/\nhello \"$NAME\"\n\
         hello.txt\n$NAME\nraw.txt\nCOPY --chmod=755 <<EOF /script\n#!/bin/sh\nEOF\n",
    );
    assert_eq!(built.read("/d/hello.txt").as_deref(), Some("hello \"world\"\n"));
    assert_eq!(built.read("/d/raw.txt").as_deref(), Some("$NAME\n"));
    assert_eq!(built.stat("/script").2, 0o755);
}

#[test]
fn add_unpacks_local_archives_and_copies_the_rest() {
    let project = Project::new(&[("plain.gz", "no archive")]);
    let archive = tar(&[("bin/", "", 0o755), ("bin/tool", "t", 0o755), (".wh.kept", "", 0o644)]);
    fs_err::write(project.path("root.tar"), &archive).unwrap();
    fs_err::write(project.path("root.tar.zst"), zstd::encode_all(&archive[..], 1).unwrap())
        .unwrap();
    let built = project.build(
        "FROM scratch\nADD root.tar /\nADD root.tar.zst /zst\nADD plain.gz /\nCOPY root.tar /as-is\n\
         ADD --chown=1:2 root.tar /owned/\n",
    );
    assert_eq!(built.read("/bin/tool").as_deref(), Some("t"));
    assert_eq!(built.read("/zst/bin/tool").as_deref(), Some("t"));
    // A name in an archive, not a whiteout of a layer.
    assert!(built.find("/zst/.wh.kept").is_some());
    assert_eq!(built.read("/plain.gz").as_deref(), Some("no archive"));
    assert!(built.find("/as-is").unwrap().is_file());
    assert_eq!(built.stat("/owned/bin/tool"), (1, 2, 0o755));
}

#[test]
fn an_archive_that_wants_out_is_refused_and_leaves_nothing() {
    let project = Project::new(&[]);
    let mut archive = tar(&[("xx/escape", "x", 0o644)]);
    archive[..2].copy_from_slice(b"..");
    let sum: u32 = archive[..148].iter().chain(&archive[156..512]).map(|b| u32::from(*b)).sum();
    archive[148..155].copy_from_slice(format!("{:06o}\0", sum + 256).as_bytes());
    fs_err::write(project.path("Dockerfile"), "").unwrap_or_default();
    project.write("keep", "");
    fs_err::write(project.path("evil.tar"), archive).unwrap();
    let error = project.error("FROM scratch\nADD evil.tar /a/b\n");
    assert!(error.to_string().contains("\"../escape\" is refused"), "{error}");
    project.assert_is_clean();
}

#[test]
fn the_context_ends_at_its_root() {
    let project = Project::new(&[("f", "f")]);
    fs_err::write(project.dir.path().join("secret"), "s").unwrap();
    symlink("../secret", project.path("link")).unwrap();
    for source in ["../secret", "link", "/secret"] {
        let error = project.error(&format!("FROM scratch\nCOPY {source} /x"));
        assert!(error.to_string().contains("is not in the build context"), "{error}");
    }
}

#[test]
fn names_of_one_file_stay_names_of_one_file() {
    let project = Project::with_shell(&[("d/a", "A")]);
    fs_err::hard_link(project.path("d/a"), project.path("d/b")).unwrap();
    let built = project.build(
        "FROM scratch AS made\nCOPY rootfs /\nRUN mkdir /out && echo x > /out/a && ln /out/a /out/b\n\
         FROM scratch\nCOPY d /d/\nCOPY --from=made /out /out/\n",
    );
    let inode = |path: &str| fs_err::metadata(built.find(path).unwrap()).unwrap().ino();
    assert_eq!(inode("/d/a"), inode("/d/b"));
    assert_eq!(inode("/out/a"), inode("/out/b"));
    assert_ne!(inode("/d/a"), inode("/out/a"));
}

#[test]
fn directories_below_the_destination_become_what_the_sources_are() {
    let project = Project::with_shell(&[("d/sub/more", "m")]);
    let text = "FROM scratch\nCOPY rootfs /\nRUN mkdir /d && mkdir /d/sub && chmod 700 /d && \
        chmod 700 /d/sub && chown 3 /d && chown 3 /d/sub\nCOPY d /d\n";
    let built = project.build(text);
    assert_eq!(built.stat("/d"), (3, 3, 0o700));
    assert_eq!(built.stat("/d/sub"), (0, 0, 0o755));
    assert_eq!(built.read("/d/sub/more").as_deref(), Some("m"));
}

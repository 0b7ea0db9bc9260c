//! `ADD` of files by http, of git repositories and of every archive.

use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use image::{BuildError, Digest};

use crate::support::builder::Project;
use crate::support::files::Files;
use crate::support::tar;

const MODIFIED: &str = "Last-Modified: Sun, 09 Sep 2001 01:46:40 GMT\r\n";

#[test]
fn a_file_from_elsewhere_has_its_name_time_and_mode() {
    let server = Files::serve(&[("/dir/data.bin?x=1", MODIFIED, b"data"), ("/plain", "", b"p")]);
    let project = Project::new(&[]);
    let (data, plain) = (server.url("/dir/data.bin?x=1"), server.url("/plain"));
    let built = project.build(&format!(
        "FROM scratch\nADD {data} /into/\nADD {data} /as/this\nADD --chmod=755 --chown=3:4 {plain} /p\n"
    ));
    assert_eq!(built.read("/into/data.bin").as_deref(), Some("data"));
    assert_eq!(built.read("/as/this").as_deref(), Some("data"));
    assert_eq!(built.stat("/as/this"), (0, 0, 0o600));
    let mtime = |path: &str| fs_err::metadata(built.find(path).unwrap()).unwrap().mtime();
    assert_eq!((mtime("/as/this"), mtime("/p")), (1_000_000_000, 0));
    assert_eq!(built.stat("/p"), (3, 4, 0o755));
    project.assert_is_clean();
}

#[test]
fn a_file_that_did_not_change_is_not_sent_again() {
    let server = Files::serve(&[("/f", "ETag: \"v1\"\r\n", b"content")]);
    let project = Project::new(&[]);
    let text = format!("FROM scratch\nADD {} /f\n", server.url("/f"));
    let first = project.build(&text);
    let second = project.build(&text);
    assert_eq!(second.image, first.image);
    assert_eq!(second.done(), Vec::<String>::new());
    assert_eq!(server.log(), ["GET /f 200", "GET /f 304"]);
}

#[test]
fn a_checksum_is_checked_and_spares_the_request() {
    let server = Files::serve(&[("/f", "", b"content")]);
    let project = Project::new(&[]);
    let text = |digest: &Digest| {
        format!("FROM scratch\nADD --checksum={digest} {} /f\n", server.url("/f"))
    };
    let right = text(&Digest::of(b"content"));
    let first = project.build(&right);
    assert_eq!(project.build(&right).image, first.image);
    assert_eq!(server.log().len(), 1);
    let error = project.error(&text(&Digest::of(b"other"))).to_string();
    assert!(
        error.contains("has the digest sha256:") && error.contains("Dockerfile:2:1"),
        "{error}"
    );
    project.assert_is_clean();
}

#[test]
fn what_cannot_be_had_is_named() {
    let server = Files::serve(&[("/", "", b"index")]);
    let project = Project::new(&[("f", "f")]);
    for (text, reason) in [
        (format!("ADD {} /x", server.url("/none")), "404"),
        (format!("ADD {} /dir/", server.url("/")), "no file name"),
        ("ADD http://user:secret@127.0.0.1/x /x".to_owned(), "without a user name"),
        ("ADD http://127.0.0.1:1/x /x".to_owned(), "failed to get http://127.0.0.1:1/x"),
        ("ADD --checksum=sha256:0 f /x".to_owned(), "--checksum is for"),
        (format!("ADD --checksum=md5:x {} /x", server.url("/")), "--checksum=md5:x"),
    ] {
        let error = project.error(&format!("FROM scratch\n{text}\n")).to_string();
        assert!(error.contains(reason), "{error}");
    }
    project.assert_is_clean();
}

#[test]
fn archives_of_every_compression_are_unpacked() {
    let archive = tar(&[("bin/", "", 0o755), ("bin/tool", "t", 0o755)]);
    let server = Files::serve(&[("/a.tar", "", &archive)]);
    let project = Project::new(&[("other", "")]);
    fs_err::write(project.path("a.tar"), &archive).unwrap();
    for (program, extension) in [("gzip", "gz"), ("bzip2", "bz2"), ("xz", "xz"), ("zstd", "zst")] {
        let packed = fs_err::File::create(project.path(&format!("a.tar.{extension}"))).unwrap();
        let status = Command::new(program)
            .args(["-q", "-c"])
            .arg(project.path("a.tar"))
            .stdout(packed.into_parts().0)
            .status()
            .unwrap();
        assert!(status.success(), "{program}");
        let built = project.build(&format!("FROM scratch\nADD a.tar.{extension} /x/\n"));
        assert_eq!(built.read("/x/bin/tool").as_deref(), Some("t"), "{extension}");
    }
    let built = project.build(&format!(
        "FROM scratch\nADD --unpack=false a.tar.xz /kept/\nADD {url} /file.tar\n\
         ADD --unpack=true {url} /unpacked/\n",
        url = server.url("/a.tar")
    ));
    assert!(built.find("/kept/a.tar.xz").unwrap().is_file());
    assert!(built.find("/file.tar").unwrap().is_file());
    assert_eq!(built.read("/unpacked/bin/tool").as_deref(), Some("t"));
}

#[test]
fn a_damaged_archive_is_refused() {
    let project = Project::new(&[]);
    let archive = tar(&[("f", &"content ".repeat(5000), 0o644)]);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&archive).unwrap();
    let bytes = gzip.finish().unwrap();
    fs_err::create_dir_all(project.path("")).unwrap();
    fs_err::write(project.path("cut.tar.gz"), &bytes[..bytes.len() - 20]).unwrap();
    let error = project.error("FROM scratch\nADD cut.tar.gz /x\n").to_string();
    assert!(error.contains("could not be unpacked"), "{error}");
    project.assert_is_clean();
}

/// A git server with a repository of a few commits.
struct Repository {
    url: String,
    server: Child,
    commits: Vec<String>,
    dir: tempfile::TempDir,
}

impl Drop for Repository {
    fn drop(&mut self) {
        self.server.kill().unwrap();
        self.server.wait().unwrap();
    }
}

fn git(directory: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "user.name=t", "-c", "user.email=t@e.com", "-c", "init.defaultBranch=main"])
        .args(arguments)
        .current_dir(directory)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_COMMITTER_DATE", "1000000000 +0000")
        .output()
        .unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

impl Repository {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let work = dir.path().join("work");
        fs_err::create_dir_all(work.join("sub")).unwrap();
        git(&work, &["init", "-q"]);
        let mut commits = Vec::new();
        for (number, tag) in [("1", "v1"), ("2", "v2")] {
            fs_err::write(work.join("number"), number).unwrap();
            fs_err::write(work.join("sub/inner"), number).unwrap();
            git(&work, &["add", "."]);
            git(&work, &["commit", "-q", "-m", number]);
            git(&work, &["tag", "-a", "-m", tag, tag]);
            commits.push(git(&work, &["rev-parse", "HEAD"]));
        }
        git(dir.path(), &["clone", "-q", "--bare", "work", "r.git"]);
        // A port that was free a moment ago; the server says so when it is not any more.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        // Not by way of git, which would leave it behind when it is killed.
        let programs = git(dir.path(), &["--exec-path"]);
        let server = Command::new(Path::new(&programs).join("git-daemon"))
            .args(["--listen=127.0.0.1", "--reuseaddr", "--export-all"])
            .args([format!("--port={port}"), format!("--base-path={}", dir.path().display())])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(std::time::Instant::now() < deadline, "git daemon does not listen");
            std::thread::yield_now();
        }
        Self { url: format!("git://127.0.0.1:{port}/r.git"), server, commits, dir }
    }
}

#[test]
fn a_repository_is_checked_out_at_its_branch_tag_or_commit() {
    let repository = Repository::new();
    let project = Project::new(&[]);
    let (url, first) = (&repository.url, &repository.commits[0]);
    let built = project.build(&format!(
        "FROM scratch\nADD {url} /head\nADD {url}#v1 /tag\nADD {url}#{first} /commit\n\
         ADD {url}#main:sub /sub\nADD --keep-git-dir=true {url} /kept\n"
    ));
    for (path, content) in
        [("/head/number", "2"), ("/tag/number", "1"), ("/commit/number", "1"), ("/sub/inner", "2")]
    {
        assert_eq!(built.read(path).as_deref(), Some(content), "{path}");
    }
    assert!(built.find("/head/.git").is_none() && built.find("/kept/.git/HEAD").is_some());
    assert_eq!(built.stat("/head/number"), (0, 0, 0o644));
    // The time of the commit, not of the checkout.
    let mtime = fs_err::metadata(built.find("/head/number").unwrap()).unwrap().mtime();
    assert_eq!(mtime, 1_000_000_000);
    project.assert_is_clean();
}

#[test]
fn a_repository_is_fetched_again_when_its_branch_moves() {
    let repository = Repository::new();
    let project = Project::new(&[]);
    let text = format!("FROM scratch\nADD {}#main /src\n", repository.url);
    project.build(&text);
    assert_eq!(project.build(&text).done(), Vec::<String>::new());
    let work = repository.dir.path().join("work");
    fs_err::write(work.join("number"), "3").unwrap();
    git(&work, &["commit", "-q", "-a", "-m", "3"]);
    git(&work, &["push", "-q", "../r.git", "main"]);
    assert_eq!(project.build(&text).read("/src/number").as_deref(), Some("3"));
}

#[test]
fn a_repository_that_has_no_such_branch_says_so() {
    let repository = Repository::new();
    let project = Project::new(&[]);
    let error = |text: String| match project.try_build(&text, |_| {}) {
        Err(BuildError::Step(error)) => error.to_string(),
        other => panic!("{:?}", other.map(|built| built.image)),
    };
    let shown = error(format!("FROM scratch\nADD {}#nowhere /src\n", repository.url));
    assert!(shown.contains("no branch, tag or commit \"nowhere\""), "{shown}");
    let shown = error("FROM scratch\nADD git://127.0.0.1:1/r.git /src\n".to_owned());
    assert!(shown.contains("failed to look up git://127.0.0.1:1/r.git"), "{shown}");
    let wrong = format!("FROM scratch\nADD --checksum=1234567 {} /src\n", repository.url);
    assert!(error(wrong).contains("not the --checksum"));
    project.assert_is_clean();
}

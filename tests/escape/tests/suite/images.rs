//! Hostile images: links, pipes and endless files where Berth itself looks or mounts.

use std::os::unix::fs::{FileTypeExt, symlink};
use std::path::Path;

use escape::{Host, is_root, read_all, within};
use runtime::{BindMount, SandboxSpec, TmpfsMount};

/// A directory of the host that an image would like to write to.
fn outside(host: &Host) -> std::path::PathBuf {
    let outside = host.path("outside");
    fs_err::create_dir_all(outside.join("dir")).unwrap();
    fs_err::write(outside.join("file"), "of the host").unwrap();
    outside
}

fn assert_untouched(outside: &Path) {
    let mut names: Vec<_> =
        fs_err::read_dir(outside).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["dir", "file"]);
    assert_eq!(fs_err::read_dir(outside.join("dir")).unwrap().count(), 0);
    assert_eq!(fs_err::read_to_string(outside.join("file")).unwrap(), "of the host");
}

/// Where a link of the image may point to reach `outside`.
fn ways_to(outside: &Path) -> Vec<String> {
    let path = outside.display();
    vec![
        path.to_string(),
        format!("../../../../../../../..{path}"),
        format!("/proc/self/root{path}"),
        format!("/proc/1/root{path}"),
        "/proc/self/fd/3".to_owned(),
        "/proc/self/fd/7".to_owned(),
        "/proc/self/cwd".to_owned(),
    ]
}

/// Starts it, whatever comes of it; what it printed.
async fn attempt(host: &Host, spec: SandboxSpec) -> Result<String, String> {
    let parked = host.runtime.prepare().await.unwrap();
    let (sandbox, output) =
        within(host.runtime.start(parked, spec)).await.map_err(|e| e.to_string())?;
    let (stdout, stderr) = read_all(output).await;
    within(sandbox.wait()).await;
    sandbox.destroy().await.unwrap();
    Ok(stdout + &stderr)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_in_place_of_a_file_of_etc_writes_nothing_outside() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    let outside = outside(&host);
    let etc = host.image().join("etc");
    for way in ways_to(&outside.join("file")) {
        for name in ["hosts", "hostname", "resolv.conf"] {
            let _ = fs_err::remove_file(etc.join(name));
            symlink(&way, etc.join(name)).unwrap();
        }
        let _ = attempt(&host, host.spec(&["try", "read /etc/hosts"])).await;
        assert_untouched(&outside);
    }
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_in_place_of_a_mount_point_is_refused() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    let outside = outside(&host);
    for name in ["proc", "dev", "sys"] {
        let point = host.image().join(name);
        for way in ways_to(&outside.join("dir")) {
            symlink(&way, &point).unwrap();
            let refused = attempt(&host, host.spec(&["say", "started"])).await.unwrap_err();
            assert!(refused.contains(&format!("/{name}")), "{name} -> {way}: {refused}");
            fs_err::remove_file(&point).unwrap();
        }
        fs_err::write(&point, "").unwrap();
        assert!(attempt(&host, host.spec(&["say", "started"])).await.is_err(), "a file /{name}");
        fs_err::remove_file(&point).unwrap();
    }
    assert_untouched(&outside);
    // Without the link it starts.
    assert_eq!(attempt(&host, host.spec(&["say", "started"])).await.unwrap().trim(), "started");
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_below_a_volume_or_the_working_directory_stays_inside() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    let outside = outside(&host);
    let volume = host.path("volume");
    fs_err::create_dir_all(&volume).unwrap();
    let link = host.image().join("data");
    for way in ways_to(&outside.join("dir")) {
        let _ = fs_err::remove_file(&link);
        symlink(&way, &link).unwrap();
        for target in ["/data", "/data/below", "/data/../data/made"] {
            let mut spec = host.spec(&["try", "list ."]);
            spec.mounts = vec![BindMount {
                source: volume.clone(),
                target: target.to_owned(),
                read_only: false,
            }];
            let _ = attempt(&host, spec).await;
            let mut spec = host.spec(&["try", "list ."]);
            spec.tmpfs = vec![TmpfsMount { target: target.to_owned(), size: 4096, mode: 0o1777 }];
            let _ = attempt(&host, spec).await;
            let mut spec = host.spec(&["try", "list .", "list /boot", "read file", "read ../file"]);
            spec.process.cwd = target.to_owned();
            if let Ok(text) = attempt(&host, spec).await {
                assert!(!text.contains("of the host"), "{way} {target}: {text}");
            }
        }
    }
    assert_untouched(&outside);
    assert_eq!(fs_err::read_dir(&volume).unwrap().count(), 0);
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_can_neither_hang_nor_exhaust_init_by_its_files() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    let passwd = host.image().join("etc/passwd");
    let of_app = |args: &[&str]| {
        let mut spec = host.spec(args);
        spec.process.user = "app".to_owned();
        spec
    };
    // A pipe that nobody writes to, an endless device, a huge sparse file, a loop, a directory.
    for kind in ["pipe", "zero", "sparse", "loop", "directory"] {
        let _ = fs_err::remove_file(&passwd);
        match kind {
            "pipe" => {
                let mode = rustix::fs::Mode::from_raw_mode(0o644);
                rustix::fs::mknodat(rustix::fs::CWD, &passwd, rustix::fs::FileType::Fifo, mode, 0)
                    .unwrap();
                assert!(fs_err::metadata(&passwd).unwrap().file_type().is_fifo());
            }
            "zero" => symlink("/dev/zero", &passwd).unwrap(),
            "sparse" => fs_err::File::create(&passwd).unwrap().set_len(1 << 40).unwrap(),
            "loop" => symlink("/etc/passwd", &passwd).unwrap(),
            _ => fs_err::create_dir(&passwd).unwrap(),
        }
        let error = attempt(&host, of_app(&["say", "started"])).await.unwrap_err();
        assert!(error.contains("app"), "{kind}: {error}");
        let said = attempt(&host, host.spec(&["say", "started"])).await.unwrap();
        assert_eq!(said.trim(), "started", "{kind}");
    }
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hard_links_inside_stay_inside() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    let outside = outside(&host);
    let file = outside.join("file");
    let answers = host
        .inside(&[
            &format!("hard-link {} /tmp/link", file.display()),
            "hard-link /proc/1/exe /tmp/exe",
            "hard-link /proc/sys/kernel/core_pattern /tmp/pattern",
            "hard-link /etc/hosts /tmp/hosts",
            "hard-link /dev/null /tmp/null",
        ])
        .await;
    let reasons = [libc::ENOENT, libc::EXDEV, libc::EPERM, libc::EACCES, libc::EROFS];
    answers.refused(&reasons);
    host.inside(&["hard-link /etc/passwd /tmp/passwd"]).await.possible();
    host.close().await;
}

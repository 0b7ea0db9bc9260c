//! Mounts: nothing can be mounted, uncovered or moved, and nothing of the host shows or follows.

use std::process::Command;

use escape::{Host, is_root, outside, process, within};
use runtime::{BindMount, ExecStreams};
use tokio::io::AsyncReadExt;

#[tokio::test(flavor = "multi_thread")]
async fn nothing_can_be_mounted_or_uncovered() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    let bind = 4096;
    let remount = 32;
    let answers = host
        .inside(&[
            "mount none /tmp tmpfs 0",
            "mount none /tmp devtmpfs 0",
            "mount none /tmp proc 0",
            "mount none /tmp sysfs 0",
            "mount none /tmp debugfs 0",
            "mount none /tmp overlay 0 lowerdir=/,upperdir=/tmp,workdir=/home",
            &format!("mount / /tmp none {bind}"),
            &format!("mount /proc/1/root /tmp none {bind}"),
            &format!("mount none /proc/sys none {}", remount | bind),
            &format!("mount none /sys none {}", remount | bind),
            &format!("mount none / none {}", remount | bind),
            "mount none / none 1048576",
            "umount /proc/sys",
            "umount /proc/kcore",
            "umount /proc",
            "umount /etc/hosts",
            "umount /",
        ])
        .await;
    answers.refused(&[libc::EPERM]);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().display().to_string();
    outside(&[
        &format!("mount none {path} tmpfs 0"),
        &format!("mount none {path} proc 0"),
        &format!("mount / {path} none {bind}"),
        &format!("umount {path}"),
    ])
    .possible();
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chroot_left_by_its_open_directory_is_still_inside() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    let answers = host.inside(&["list /", "in-child leave-chroot", "list /"]).await;
    let root = answers.of("list /").clone().unwrap();
    let reached = answers.of("in-child leave-chroot").clone().unwrap();
    assert_eq!(reached.trim_start_matches("ok").trim(), root);
    assert!(root.contains("bin") && !root.contains("boot"), "{root}");
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_mount_of_the_host_is_visible_and_none_propagates() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    let (sandbox, _output) = host.start(host.spec(&["sleep"])).await;
    let mountinfo = fs_err::read_to_string(format!("/proc/{}/mountinfo", sandbox.pid())).unwrap();
    for line in mountinfo.lines() {
        let (mount, source) = line.split_once(" - ").unwrap();
        let fields: Vec<&str> = mount.split(' ').collect();
        // Optional fields stand after the sixth: `shared:` would send mounts out, `master:` take in.
        assert!(fields.len() == 6, "a mount that propagates: {line}");
        let kind = source.split(' ').next().unwrap();
        let known = ["overlay", "proc", "sysfs", "tmpfs", "devpts", "mqueue", "cgroup", "cgroup2"];
        assert!(known.contains(&kind), "{line}");
        assert!(fields[3] == "/" || kind != "overlay", "a part of another file system: {line}");
    }
    let of_the_host = fs_err::read_to_string("/proc/self/mountinfo").unwrap();
    let id = sandbox.id();
    assert!(!of_the_host.contains(&format!("{id}/root")), "the root is not mounted on the host");
    sandbox.destroy().await.unwrap();
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_host_mounts_below_a_shared_directory_does_not_follow() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    let shared = SharedMount::make(host.path("shared"));
    let below = shared.0.join("below");
    fs_err::create_dir_all(&below).unwrap();
    fs_err::write(below.join("before"), "").unwrap();
    let mut spec = host.spec(&["sleep"]);
    spec.mounts =
        vec![BindMount { source: shared.0.clone(), target: "/mnt".to_owned(), read_only: true }];
    let (sandbox, _output) = host.start(spec).await;
    let seen = Host::executed(&sandbox, &["list /mnt/below"]).await;
    assert_eq!(seen.only(), &Ok("before".to_owned()));
    mount(&["-t", "tmpfs", "none"], &below);
    fs_err::write(below.join("of-the-host"), "").unwrap();
    let seen = Host::executed(&sandbox, &["list /mnt/below"]).await;
    unmount(&below);
    assert_eq!(seen.only(), &Ok("before".to_owned()));
    sandbox.destroy().await.unwrap();
    drop(shared);
    host.close().await;
}

/// A directory whose mount propagates, as all do on a machine with systemd.
struct SharedMount(std::path::PathBuf);

impl SharedMount {
    fn make(path: std::path::PathBuf) -> Self {
        fs_err::create_dir_all(&path).unwrap();
        mount(&["-t", "tmpfs", "none"], &path);
        mount(&["--make-shared"], &path);
        Self(path)
    }
}

impl Drop for SharedMount {
    fn drop(&mut self) {
        unmount(&self.0);
    }
}

fn mount(args: &[&str], path: &std::path::Path) {
    assert!(Command::new("mount").args(args).arg(path).status().unwrap().success());
}

fn unmount(path: &std::path::Path) {
    assert!(Command::new("umount").arg("-l").arg(path).status().unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_further_program_sees_the_same_mounts_and_no_more() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    let (sandbox, _output) = host.start(host.spec(&["sleep"])).await;
    let streams = ExecStreams { stdout: true, ..ExecStreams::default() };
    let mut exec = sandbox.exec(process(&["sleep"]), streams).await.unwrap();
    let mut ready = [0; 6];
    within(exec.stdout.as_mut().unwrap().read_exact(&mut ready)).await.unwrap();
    let namespaces = |pid: u32| -> Vec<_> {
        ["mnt", "net", "pid", "ipc", "uts", "cgroup", "user"]
            .map(|kind| fs_err::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap())
            .to_vec()
    };
    let own = format!("{}/{}", &*host.cgroup, sandbox.id());
    let pids = escape::cgroups(&own)
        .iter()
        .filter_map(|dir| fs_err::read_to_string(dir.join("cgroup.procs")).ok())
        .flat_map(|text| text.lines().map(|pid| pid.parse().unwrap()).collect::<Vec<u32>>())
        .collect::<std::collections::BTreeSet<u32>>();
    assert_eq!(pids.len(), 3, "init, the main program and the further one: {pids:?}");
    let expected = namespaces(sandbox.pid());
    let of_the_host = namespaces(std::process::id());
    for pid in pids.into_iter().filter(|&pid| pid != sandbox.handle().pid) {
        assert_eq!(namespaces(pid), expected);
    }
    // All but the user namespace, which depends on how Berth runs.
    let differ =
        expected.iter().zip(&of_the_host).take(6).all(|(inside, outside)| inside != outside);
    assert!(differ, "{expected:?} {of_the_host:?}");
    sandbox.destroy().await.unwrap();
    host.close().await;
}

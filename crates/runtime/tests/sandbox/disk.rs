//! The disk: as large as the type's, whatever the host has, and gone with the sandbox.

use std::os::fd::AsRawFd;
use std::path::Path;

use runtime::{DiskLimit, ExecStreams, Runtime, Sandbox, Warning};

use crate::adopt::{as_agent, until};
use crate::host::{self, Host, is_root, process, within};

/// Loop devices over files in `dir`.
pub(crate) fn loop_devices(dir: &Path) -> Vec<String> {
    let dir = fs_err::canonicalize(dir).unwrap();
    let devices = fs_err::read_dir("/sys/block").unwrap().flatten();
    let files = devices.map(|device| device.path().join("loop/backing_file"));
    let files = files.filter_map(|file| fs_err::read_to_string(file).ok());
    files.filter(|file| file.starts_with(dir.to_str().unwrap())).collect()
}

/// A sandbox whose program has written to a disk of 64 MB until it was full, and has ended.
pub(crate) async fn with_full_disk(host: &Host) -> Sandbox {
    let mut spec = host.spec(&["fill", "/data", "200"]);
    spec.limits.disk_mb = 64;
    let (sandbox, output) = host.start_spec(spec).await;
    let (stdout, _) = host::read_all(output).await;
    let (written, errno) = stdout.trim().split_once(' ').unwrap();
    let written: u64 = written.parse().unwrap();
    // A file system of its own takes some of it.
    assert!((50..=61).contains(&written) && errno == "28", "{stdout}");
    assert_eq!(within(sandbox.wait()).await.code, 1);
    sandbox
}

/// The next sandbox has all of its disk again.
pub(crate) async fn assert_next_disk_is_empty(host: &Host) {
    let mut spec = host.spec(&["fill", "/data", "40"]);
    spec.limits.disk_mb = 64;
    assert_eq!(host.run_spec(spec).await.1, "40 0\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_end_at_the_types_disk() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    let sandbox = with_full_disk(&host).await;
    sandbox.destroy().await.unwrap();
    assert_next_disk_is_empty(&host).await;
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_can_be_written_than_there_is_memory() {
    // Not where the host's disk is itself on memory, as in the guest of `cargo xtask guest`.
    if !is_root() || std::env::var_os("BERTH_TEST_DISK_ON_MEMORY").is_some() {
        return;
    }
    let host = Host::open().await;
    let mut spec = host.spec(&["fill", "/data", "300"]);
    spec.limits.memory_mib = 64;
    let (status, stdout, _) = host.run_spec(spec).await;
    assert_eq!((status.code, status.oom, stdout.as_str()), (0, false, "300 0\n"));
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_goes_with_its_sandbox_and_a_ready_one_with_the_runtime() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    let (sandbox, _output) = host.start(&["sleep"]).await;
    assert!(!loop_devices(&host.dir).is_empty());
    // Nobody but its owner has a name for it.
    let left = fs_err::read_dir(host.dir.join(sandbox.id())).unwrap().flatten();
    let mut names: Vec<_> = left.map(|entry| entry.file_name()).collect();
    names.sort();
    assert_eq!(names, ["handle", "init.sock", "record", "root"]);
    sandbox.destroy().await.unwrap();
    let dir = host.dir.clone();
    host.runtime.clone().close().await;
    // The kernel gives a device up shortly after its last user.
    until(|| loop_devices(&dir).is_empty());
    host.close().await;
}

#[test]
fn a_disk_is_handed_to_the_next_agent_and_goes_when_everything_is_killed() {
    if !is_root() {
        return;
    }
    let (temporary, cgroup) = (tempfile::tempdir().unwrap(), host::Processes::new());
    let dir = temporary.path().to_owned();
    let handle = as_agent(&dir, &cgroup, async move |runtime, image| {
        let parked = runtime.prepare().await.unwrap();
        let (sandbox, _output) =
            runtime.start(parked, host::spec(image, &["sleep"])).await.unwrap();
        let write = process(&["write", "/tmp/kept", "text"]);
        let exec = sandbox.exec(write, ExecStreams::default()).await.unwrap();
        assert_eq!(within(exec.wait()).await.code, 0);
        sandbox.handle()
    });
    let again = handle.clone();
    as_agent(&dir, &cgroup, async move |runtime, _| {
        let (sandbox, _output) = runtime.adopt(again).await.unwrap();
        let upper = sandbox.upper_dir().unwrap();
        let path = format!("/proc/self/fd/{}/tmp/kept", upper.as_raw_fd());
        assert_eq!(fs_err::read_to_string(path).unwrap(), "text");
    });
    assert!(!loop_devices(&dir).is_empty());
    let pid = rustix::process::Pid::from_raw(handle.pid.try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    until(|| loop_devices(&dir).is_empty());
    as_agent(&dir, &cgroup, async move |runtime, _| {
        runtime.remove(&handle).await.unwrap();
        runtime.clone().close().await;
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn where_disks_cannot_be_made_writes_go_to_the_host_and_a_warning_says_so() {
    if !is_root() {
        return;
    }
    let temporary = tempfile::tempdir().unwrap();
    let cgroup = host::Processes::new();
    let mut config = host::config(&temporary.path().join("instances"), &cgroup, 1);
    // No file system is that small.
    config.disks = vec![0];
    let runtime = Runtime::open(config).await.unwrap();
    match runtime.warnings() {
        [Warning::NoDiskLimit { reason }] => assert!(reason.contains("mkfs.ext4"), "{reason}"),
        other => panic!("{other:?}"),
    }
    let parked = runtime.prepare().await.unwrap();
    let spec = host::spec(host::image(temporary.path()), &["write", "/new", "x"]);
    let (sandbox, _output) = runtime.start(parked, spec).await.unwrap();
    assert_eq!(within(sandbox.wait()).await.code, 0);
    sandbox.destroy().await.unwrap();
    runtime.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_can_be_examined_without_leaving_anything() {
    if !is_root() {
        return;
    }
    let temporary = tempfile::tempdir().unwrap();
    let config = host::config(temporary.path(), "unused", 1);
    let examined = Runtime::examine(&config).await.unwrap();
    assert_eq!((examined.warnings, examined.disk_limit), (vec![], Some(DiskLimit::LoopDevice)));
    assert_eq!(fs_err::read_dir(temporary.path()).unwrap().count(), 0);
    until(|| loop_devices(temporary.path()).is_empty());
}

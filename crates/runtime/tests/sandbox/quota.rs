//! The disk where the host's file system has project quotas: as large as the type's, without a device,
//! and its limit is gone with the sandbox. Few machines have such a file system: the guest of `cargo
//! xtask guest` does, and says where.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::adopt::{as_agent, until};
use crate::disk::{assert_next_disk_is_empty, loop_devices, with_full_disk};
use crate::host::{self, Host, Processes};

/// A directory on an XFS that keeps project quotas; says so when there is none.
#[expect(clippy::print_stderr, reason = "nothing is skipped silently")]
fn with_quotas() -> Option<PathBuf> {
    let dir = std::env::var_os("BERTH_TEST_QUOTAS").map(PathBuf::from);
    if dir.is_none() {
        eprintln!("skipped: `BERTH_TEST_QUOTAS` names no directory");
    }
    dir
}

/// Limits in KiB of the projects of the file system of `dir`, of those that have one.
fn limits(dir: &Path) -> Vec<u64> {
    let mut report = Command::new("xfs_quota");
    report.args(["-x", "-c", "report -p -n -N -b"]).arg(dir);
    let output = report.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let report = String::from_utf8(output.stdout).unwrap();
    let hard = report.lines().filter_map(|line| line.split_whitespace().nth(3));
    hard.map(|kib| kib.parse().unwrap()).filter(|&kib| kib > 0).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_end_at_the_types_disk_without_a_device() {
    let Some(dir) = with_quotas() else { return };
    let host = Host::open_in(&dir, 1).await;
    let sandbox = with_full_disk(&host).await;
    assert_eq!((limits(&dir), loop_devices(&host.dir)), (vec![62_500], Vec::new()));
    sandbox.destroy().await.unwrap();
    assert!(limits(&dir).is_empty());
    assert_next_disk_is_empty(&host).await;
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_end_there_too() {
    let Some(dir) = with_quotas() else { return };
    let host = Host::open_in(&dir, 1).await;
    let mut spec = host.spec(&["create", "/tmp"]);
    spec.limits.disk_mb = 16;
    let (_, stdout, _) = host.run_spec(spec).await;
    let (created, errno) = stdout.trim().split_once(' ').unwrap();
    // 976, of which overlayfs has some.
    let created: u64 = created.parse().unwrap();
    assert!((900..=976).contains(&created) && errno == "28", "{stdout}");
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_cannot_leave_its_project() {
    let Some(dir) = with_quotas() else { return };
    let host = Host::open_in(&dir, 1).await;
    // The root of its files is the directory that is written to.
    assert_eq!(host.said(&["leave-project", "/"]).await, "0 true 22 22");
    host.close().await;
}

#[test]
fn the_limit_goes_with_its_sandbox_also_when_everything_was_killed() {
    let Some(quotas) = with_quotas() else { return };
    let (temporary, cgroup) = (tempfile::tempdir_in(&quotas).unwrap(), Processes::new());
    let dir = temporary.path().to_owned();
    let handle = as_agent(&dir, &cgroup, async move |runtime, image| {
        let parked = runtime.prepare().await.unwrap();
        let spec = host::spec(image, &["sleep"]);
        let (sandbox, _output) = runtime.start(parked, spec).await.unwrap();
        sandbox.handle()
    });
    // The type's 2 GB, in whole blocks of 4 KiB.
    assert_eq!(limits(&quotas), [1_953_128]);
    let again = handle.clone();
    as_agent(&dir, &cgroup, async move |runtime, _| {
        let (sandbox, _output) = runtime.adopt(again).await.unwrap();
        assert!(sandbox.upper_dir().is_ok());
    });
    let pid = rustix::process::Pid::from_raw(handle.pid.try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    as_agent(&dir, &cgroup, async move |runtime, _| {
        runtime.remove(&handle).await.unwrap();
        runtime.clone().close().await;
    });
    until(|| limits(&quotas).is_empty());
    assert_eq!(fs_err::read_dir(dir.join("instances")).unwrap().count(), 0);
}

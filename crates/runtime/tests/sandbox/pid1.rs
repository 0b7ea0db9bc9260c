//! A main program that insists on being PID 1 is; the sandbox's init looks after it from outside.

use runtime::{ExecStreams, SandboxSpec};
use tokio::io::AsyncReadExt as _;

use crate::host::{Host, is_root, process, within};

const ALL: ExecStreams = ExecStreams { stdin: true, stdout: true, stderr: true };

fn as_pid1(host: &Host, args: &[&str]) -> SandboxSpec {
    SandboxSpec { pid1: true, ..host.spec(args) }
}

/// What an exec prints.
async fn said(sandbox: &runtime::Sandbox, args: &[&str]) -> String {
    let mut exec = sandbox.exec(process(args), ALL).await.unwrap();
    let mut text = String::new();
    within(exec.stdout.as_mut().unwrap().read_to_string(&mut text)).await.unwrap();
    within(exec.wait()).await;
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_insists_on_being_pid_1_is() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    let (status, stdout, _) = host.run_spec(as_pid1(&host, &["insist"])).await;
    assert_eq!((status.code, stdout.as_str()), (0, "I am PID 1, and so says /proc: 1\n"));
    let (status, _, stderr) = host.run(&["insist"]).await;
    assert_eq!(status.code, 1, "without asking it is not: {stderr}");
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn execs_are_inside_with_pid_1_and_are_told_of() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    let (sandbox, _output) = host.start_spec(as_pid1(&host, &["sleep"])).await;
    let mut exec = sandbox.exec(process(&["pid"]), ALL).await.unwrap();
    let mut text = String::new();
    within(exec.stdout.as_mut().unwrap().read_to_string(&mut text)).await.unwrap();
    assert_eq!(text, "2 2\n");
    assert_eq!(within(exec.wait()).await.code, 0);
    assert_eq!(said(&sandbox, &["pid"]).await, "3 3\n");

    let exec = sandbox.exec(process(&["sleep"]), ExecStreams::default()).await.unwrap();
    assert_eq!(exec.inner_pid(), 4, "the pid as the sandbox's programs see it");
    exec.signal(9).unwrap();
    assert_eq!(within(exec.wait()).await.code, 137);
    let exec = sandbox.exec(process(&["sleep"]), ExecStreams::default()).await.unwrap();
    sandbox.signal(9).await.unwrap();
    assert_eq!(within(exec.wait()).await.code, 137, "it ends with PID 1");
    assert_eq!(within(sandbox.wait()).await.code, 137);
    sandbox.destroy().await.unwrap();
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pid_1_without_handler_ignores_sigterm_and_is_killed_all_the_same() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    let (sandbox, _output) = host.start_spec(as_pid1(&host, &["orphan-and-sleep"])).await;
    sandbox.signal(15).await.unwrap();
    assert_eq!(said(&sandbox, &["say", "still here"]).await, "still here");
    sandbox.kill().await.unwrap();
    assert_eq!(within(sandbox.wait()).await.code, 137);
    sandbox.destroy().await.unwrap();
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn its_proc_hides_and_protects_what_every_other_does() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    let (usual, _output) = host.start(&["sleep"]).await;
    let (pid1, _output) = host.start_spec(as_pid1(&host, &["sleep"])).await;
    for path in ["kcore", "keys", "timer_list", "sched_debug", "interrupts", "latency_stats"] {
        let args = ["cat", &format!("/proc/{path}")];
        assert_eq!(said(&pid1, &args).await, said(&usual, &args).await, "{path}");
    }
    for path in ["acpi", "asound", "scsi"] {
        let args = ["ls", &format!("/proc/{path}")];
        assert_eq!(said(&pid1, &args).await, said(&usual, &args).await, "{path}");
    }
    for path in ["sys/kernel/hostname", "sysrq-trigger", "sys/vm/drop_caches"] {
        let args = ["write", &format!("/proc/{path}"), "x"];
        let text = said(&pid1, &args).await;
        assert!(text.starts_with("errno "), "{path}: {text}");
        assert_eq!(text, said(&usual, &args).await, "{path}");
    }
    let mounts = said(&pid1, &["cat", "/proc/self/mountinfo"]).await;
    let procs = mounts.lines().filter(|line| line.contains(" /proc ")).count();
    assert_eq!(procs, 1, "the usual one is gone:\n{mounts}");
    for sandbox in [usual, pid1] {
        sandbox.destroy().await.unwrap();
    }
    host.close().await;
}

//! Bombs: whatever an instance takes, it takes from its own limits, and its neighbours live on.

use std::path::PathBuf;
use std::process::Command;

use escape::{Host, attacker, is_root, read_all, run_outside, within};
use runtime::{ExitStatus, Sandbox, SandboxSpec};
use tokio::io::{AsyncBufReadExt, BufReader};

/// What the instance may have, and what it tries to take.
const LIMIT_MIB: u64 = 64;
const WANTED_MIB: u64 = 128;

fn small(host: &Host, args: &[&str]) -> SandboxSpec {
    let mut spec = host.spec(args);
    spec.limits.memory_mib = LIMIT_MIB;
    spec
}

async fn hold(host: &Host, kind: &str) -> (ExitStatus, String) {
    host.run(small(host, &["hold", kind, &WANTED_MIB.to_string()])).await
}

/// Ended for lack of memory, or refused by a limit.
fn assert_held_back(kind: &str, status: ExitStatus, text: &str) {
    let held_back = status.oom || text.starts_with("errno ");
    assert!(held_back, "{kind}: {text:?} {status:?}");
}

/// The kinds that nothing but the instance's memory limits, each tried outside too.
#[tokio::test(flavor = "multi_thread")]
async fn memory_of_every_kind_counts_against_the_instance() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    for kind in [
        "heap",
        "shared",
        "page-tables",
        "memfd",
        "pipes",
        "unix-sockets",
        "sysv-segments",
        "sysv-messages",
    ] {
        let (status, text) = hold(&host, kind).await;
        assert_held_back(kind, status, &text);
        let control = run_outside(&["outside", "hold", kind, &WANTED_MIB.to_string()]);
        let control = String::from_utf8_lossy(&control.stdout).into_owned();
        assert_eq!(control.trim(), format!("held {WANTED_MIB}"), "{kind} where nothing limits it");
    }
    host.close().await;
}

/// Kinds that the kernel limits by itself or by the number of descriptors as well.
#[tokio::test(flavor = "multi_thread")]
async fn structures_of_the_kernel_count_against_the_instance() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    for kind in ["dev-shm", "open-files", "epolls", "eventfds", "timers", "signals", "directories"]
    {
        let (status, text) = hold(&host, kind).await;
        assert_held_back(kind, status, &text);
    }
    host.close().await;
}

/// What UDP sockets hold is dropped at the limit and not refused, so it is counted here and not by the
/// attacker.
#[tokio::test(flavor = "multi_thread")]
async fn buffers_of_network_sockets_count_against_the_instance() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    let wanted = WANTED_MIB.to_string();
    let (sandbox, output) = host.start(small(&host, &["hold", "udp-sockets", &wanted])).await;
    read_all(output).await;
    within(sandbox.wait()).await;
    let own = format!("{}/{}", &*host.cgroup, sandbox.id());
    // The first on cgroup v1, where they have a limit of their own; the second on v2.
    let counters = ["memory.kmem.tcp.max_usage_in_bytes", "memory.peak"];
    let read = |file: PathBuf| fs_err::read_to_string(file).ok()?.trim().parse::<u64>().ok();
    let most = escape::cgroups(&own)
        .into_iter()
        .flat_map(|dir| counters.map(|counter| dir.join(counter)))
        .find_map(read);
    let most = most.unwrap() / 1024 / 1024;
    assert!((LIMIT_MIB / 8..=LIMIT_MIB + 1).contains(&most), "{most} MiB");
    sandbox.destroy().await.unwrap();
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_neighbour_lives_through_a_memory_bomb() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    let (neighbour, _output) = host.start(small(&host, &["sleep"])).await;
    let (status, _) = hold(&host, "heap").await;
    assert!(status.oom, "{status:?}");
    assert_answers(&neighbour).await;
    neighbour.destroy().await.unwrap();
    host.close().await;
}

async fn assert_answers(sandbox: &Sandbox) {
    assert_eq!(sandbox.exit_status(), None);
    Host::executed(sandbox, &["list /"]).await.possible();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_bomb_is_stopped_by_the_number_of_processes() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    let (neighbour, _output) = host.start(host.spec(&["sleep"])).await;
    let mut spec = host.spec(&["fork-bomb", "0"]);
    spec.limits.pids = 40;
    let (sandbox, mut output) = host.start(spec).await;
    let mut lines = BufReader::new(&mut output.stdout).lines();
    let refused = within(lines.next_line()).await.unwrap().unwrap();
    assert!(refused.starts_with(&format!("errno {}", libc::EAGAIN)), "{refused}");
    // One more for init.
    let own = format!("{}/{}", &*host.cgroup, sandbox.id());
    for dir in escape::cgroups(&own) {
        let processes = fs_err::read_to_string(dir.join("cgroup.procs")).unwrap();
        assert!(processes.lines().count() <= 41, "{processes}");
    }
    assert_answers(&neighbour).await;
    let status = Command::new(attacker()).args(["say", "x"]).output().unwrap().status;
    assert!(status.success(), "the host makes processes");
    // And it can be ended, with all its children.
    within(sandbox.destroy()).await.unwrap();
    neighbour.destroy().await.unwrap();
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_cannot_fill_init_by_printing_to_nobody() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    let (sandbox, output) = host.start(small(&host, &["flood", "256"])).await;
    // Nobody reads: it waits, and takes neither memory nor the instance's life.
    assert_answers(&sandbox).await;
    assert!(sandbox.stats().unwrap().memory_bytes < LIMIT_MIB * 1024 * 1024);
    // Read only when it has ended: every byte taken before makes room for another.
    sandbox.kill().await.unwrap();
    within(sandbox.wait()).await;
    let (stdout, _) = read_all(output).await;
    assert!(stdout.len() < 1024 * 1024, "a pipe holds what it holds: {}", stdout.len());
    sandbox.destroy().await.unwrap();
    host.close().await;
}

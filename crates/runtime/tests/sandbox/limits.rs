//! Memory, processes, CPU.

use std::time::{Duration, Instant};

use crate::host::{Host, is_root, within};

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_needs_more_memory_than_it_has_is_ended_for_that() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    assert_eq!(host.runtime.warnings(), []);
    let (status, stdout, _) = host.run(&["eat", "400"]).await;
    assert_eq!((status.code, status.signal, status.oom), (137, Some(9), true), "{stdout}");
    let (status, stdout, _) = host.run(&["eat", "100"]).await;
    assert_eq!((status.code, stdout.trim()), (0, "ate 100"));
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_that_uses_up_the_memory_ends_the_whole_instance() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    let (status, stdout, _) = host.run(&["child-eats", "400"]).await;
    assert_eq!((status.code, status.oom, stdout.as_str()), (137, true, ""));
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_are_limited() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    let mut spec = host.spec(&["fork-until-refused"]);
    spec.limits.pids = 20;
    let (_, stdout, _) = host.run_spec(spec).await;
    let (children, errno) = stdout.trim().split_once(' ').unwrap();
    let children: u32 = children.parse().unwrap();
    // std needs one for a moment to start each.
    assert!((17..=19).contains(&children) && errno == "11", "{stdout}");
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cpu_quota_holds_a_program_back_and_can_be_lifted() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    let (sandbox, _output) = host.start(&["spin", "600000"]).await;
    sandbox.set_cpu_quota(Some(0.0625)).unwrap();
    let begin = sandbox.stats().unwrap();
    let limited = Instant::now();
    within(async {
        // About ten periods of the quota.
        while sandbox.stats().unwrap().throttled_usec < begin.throttled_usec + 900_000 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    let end = sandbox.stats().unwrap();
    let share = (end.cpu_usec - begin.cpu_usec) as f64 / limited.elapsed().as_micros() as f64;
    assert!(share < 0.3, "{share} of a CPU");
    sandbox.set_cpu_quota(None).unwrap();
    let stats = sandbox.stats().unwrap();
    assert!(stats.memory_bytes > 0 && stats.pids >= 2, "{stats:?}");
    sandbox.destroy().await.unwrap();
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_disk_is_shared_by_vcpu_where_the_kernel_can() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    let mut spec = host.spec(&["sleep"]);
    spec.limits.vcpu = 2.0;
    let (sandbox, _output) = host.start_spec(spec).await;
    let files = ["io.weight", "io.bfq.weight", "blkio.bfq.weight", "blkio.weight"];
    let paths = sandbox.handle().cgroups.into_iter();
    let paths = paths.flat_map(|dir| files.map(|file| dir.join(file)));
    let texts = paths.filter_map(|path| fs_err::read_to_string(path).ok());
    let texts: Vec<String> = texts.collect();
    assert!(texts.is_empty() || texts.iter().any(|text| text.contains("200")), "{texts:?}");
    sandbox.destroy().await.unwrap();
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_sees_its_own_memory_limit() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    let inside = ["/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory.max"];
    let mut seen = Vec::new();
    for path in inside {
        let (status, stdout, _) = host.run(&["cat", path]).await;
        if status.code == 0 {
            seen.push(stdout.trim().to_owned());
        }
    }
    assert_eq!(seen, [(256 * 1024 * 1024).to_string()]);
    host.close().await;
}

//! Users: root inside is nobody outside, commands no namespace but its own, and takes nothing that the
//! kernel counts by user from anybody else.

use std::path::PathBuf;

use escape::{Host, is_root, outside, within};
use tokio::io::{AsyncBufReadExt, BufReader};

fn namespace_of(pid: u32) -> PathBuf {
    fs_err::read_link(format!("/proc/{pid}/ns/user")).unwrap()
}

/// The host's ids of whoever runs `pid`: real, effective, saved and of files.
fn uids(pid: u32) -> Vec<u32> {
    let status = fs_err::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:\t")).unwrap();
    line.split('\t').map(|id| id.parse().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn root_inside_is_nobody_outside_and_init_is_out_of_its_reach() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    let (one, _output) = host.start(host.spec(&["sleep"])).await;
    let (two, _output) = host.start(host.spec(&["sleep"])).await;
    assert_eq!(Host::executed(&one, &["ids"]).await.only(), &Ok("(0, 0)".to_owned()));
    assert!(uids(one.pid()).iter().all(|uid| *uid > 65_535), "{:?}", uids(one.pid()));
    assert_ne!(uids(one.pid()), uids(two.pid()), "nobody's the same");
    assert_ne!(namespace_of(one.pid()), namespace_of(std::process::id()));
    assert_eq!(namespace_of(one.handle().pid), namespace_of(std::process::id()));
    // What another of the same user could do to init, it cannot.
    let limits = format!("syscall {} 1 7 buffer 0", libc::SYS_prlimit64);
    let nice = format!("syscall {} 0 1 19", libc::SYS_setpriority);
    let scheduler = format!("syscall {} 1 3 buffer", libc::SYS_sched_setscheduler);
    let affinity = format!("syscall {} 1 8 buffer", libc::SYS_sched_setaffinity);
    let attempts = [
        "write /proc/1/oom_score_adj 1000",
        "list /proc/1/fd",
        "list /proc/1/ns",
        "signal 1 0",
        &limits,
        &nice,
        &scheduler,
        &affinity,
    ];
    Host::executed(&one, &attempts).await.refused(&[libc::EPERM, libc::EACCES]);
    // To a process of its own it may.
    let own = format!("syscall {} 0 0 1", libc::SYS_setpriority);
    Host::executed(&one, &["write /proc/self/oom_score_adj 1000", &own]).await.possible();
    for sandbox in [one, two] {
        sandbox.destroy().await.unwrap();
    }
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_the_kernel_are_not_those_of_root_inside() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    // Nobody's, as seen from a namespace that does not know their owner.
    for path in ["/proc/sys/kernel", "/proc/kallsyms", "/sys/kernel"] {
        let owner = host.inside(&[&format!("owner {path}")]).await.only().clone();
        assert_eq!(owner, Ok("65534:65534".to_owned()), "{path}");
    }
    let secret = ["read /proc/slabinfo", "read /proc/vmallocinfo", "read /proc/iomem"];
    let present: Vec<&str> = secret
        .into_iter()
        .filter(|attempt| std::path::Path::new(&attempt[5..]).exists())
        .filter(|attempt| *attempt != "read /proc/iomem")
        .collect();
    host.inside(&present).await.refused(&[libc::EACCES, libc::EPERM]);
    outside(&present).possible();
    host.close().await;
}

/// A user's number of inotify instances is small, and would be shared by instances of one user.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_kernel_counts_by_user_is_not_shared_by_instances() {
    if !is_root() {
        return;
    }
    let most = fs_err::read_to_string("/proc/sys/fs/inotify/max_user_instances").unwrap();
    let all = format!("inotify {}", most.trim());
    let host = Host::open().await;
    let (one, mut output) = host.start(host.spec(&["try", &all, &all, "wait"])).await;
    let mut lines = BufReader::new(&mut output.stdout).lines();
    let first = within(lines.next_line()).await.unwrap().unwrap();
    let second = within(lines.next_line()).await.unwrap().unwrap();
    // Nobody else has any of its user, and it holds all while others ask.
    assert!(first.ends_with("ok") && second.contains("errno"), "{first} {second}");
    host.inside(&["inotify 1"]).await.possible();
    outside(&["inotify 1"]).possible();
    drop(lines);
    one.destroy().await.unwrap();
    host.close().await;
}

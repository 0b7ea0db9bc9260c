//! System calls that reach the whole kernel: each is refused inside, and is not where nothing guards.

use escape::{Host, is_root, outside};

/// Calls with arguments that do nothing where the call is allowed: an error of theirs other than
/// EPERM shows that the kernel looked at them.
fn calls() -> Vec<String> {
    let calls = [
        // Not a flag; the real ones are tried below.
        (libc::SYS_unshare, "1"),
        (libc::SYS_setns, "-1 0"),
        // CLONE_NEWUSER with CLONE_FS contradict each other.
        (libc::SYS_clone, "0x10000200 0 0 0 0"),
        (libc::SYS_mount, "0 0 0 0 0"),
        (libc::SYS_umount2, "@/nowhere 0"),
        (libc::SYS_pivot_root, "@/ @/"),
        (libc::SYS_fsopen, "@tmpfs 0"),
        (libc::SYS_fsconfig, "-1 0 0 0 0"),
        (libc::SYS_fsmount, "-1 0 0"),
        (libc::SYS_fspick, "-100 @/ 0"),
        (libc::SYS_open_tree, "-100 @/ 1"),
        (libc::SYS_move_mount, "-1 @ -1 @ 0x44"),
        (libc::SYS_mount_setattr, "-1 @ 0x1000 buffer 32"),
        (libc::SYS_userfaultfd, "0"),
        (libc::SYS_bpf, "0 buffer 72"),
        (libc::SYS_perf_event_open, "buffer 0 -1 -1 0"),
        (libc::SYS_io_uring_setup, "1 buffer"),
        (libc::SYS_io_uring_enter, "-1 0 0 0 0 0"),
        (libc::SYS_io_uring_register, "-1 0 0 0"),
        (libc::SYS_open_by_handle_at, "-100 buffer 0"),
        (libc::SYS_kexec_load, "0 0 0 0xffff"),
        (libc::SYS_init_module, "buffer 0 @"),
        (libc::SYS_finit_module, "-1 @ 0"),
        (libc::SYS_delete_module, "@no_such_module 0x800"),
        (libc::SYS_clock_settime, "0 0"),
        (libc::SYS_settimeofday, "0 0"),
        (libc::SYS_reboot, "0 0 0 0"),
        (libc::SYS_quotactl, "0x80000100 @/dev/null 0 0"),
        (libc::SYS_quotactl_fd, "-1 0x80000100 0 0"),
        (libc::SYS_syslog, "10 0 0"),
        (libc::SYS_add_key, "@user @escape @x 1 -2"),
        (libc::SYS_request_key, "@user @escape 0 0"),
        (libc::SYS_keyctl, "0 -2 0"),
        (libc::SYS_swapon, "@/nowhere 0"),
        (libc::SYS_swapoff, "@/nowhere"),
        (libc::SYS_acct, "@/nowhere"),
        (libc::SYS_sethostname, "@x 1"),
        (libc::SYS_setdomainname, "@x 1"),
        (libc::SYS_fanotify_init, "0 0"),
        (libc::SYS_kcmp, "-1 -1 0 0 0"),
        (libc::SYS_pidfd_getfd, "-1 0 0"),
        (libc::SYS_process_madvise, "-1 0 0 0 0"),
        (libc::SYS_move_pages, "0 0 0 0 0 0"),
        (libc::SYS_migrate_pages, "0 0 0 0"),
        (libc::SYS_set_mempolicy, "0 0 0"),
        (libc::SYS_mbind, "0 0 0 0 0 0"),
        // ADDR_NO_RANDOMIZE.
        (libc::SYS_personality, "0x0040000"),
    ];
    calls.iter().map(|(call, arguments)| format!("syscall {call} {arguments}")).collect()
}

#[cfg(target_arch = "x86_64")]
fn port_calls() -> Vec<String> {
    vec![format!("syscall {} 0", libc::SYS_iopl), format!("syscall {} 0 1 0", libc::SYS_ioperm)]
}

#[cfg(not(target_arch = "x86_64"))]
fn port_calls() -> Vec<String> {
    Vec::new()
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_reach_the_whole_kernel_are_refused() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    let calls = [calls(), port_calls()].concat();
    let attempts: Vec<&str> = calls.iter().map(String::as_str).collect();
    host.inside(&attempts).await.refused(&[libc::EPERM]);
    host.inside_as("app", &attempts).await.refused(&[libc::EPERM]);
    // clone3 hides its flags in memory, and libraries fall back when it is not there.
    let clone3 = format!("syscall {} buffer 88", libc::SYS_clone3);
    host.inside(&[&clone3]).await.refused(&[libc::ENOSYS]);

    let control = outside(&attempts);
    let unknown = |result: &Result<String, i32>| *result == Err(libc::ENOSYS);
    let refused: Vec<_> = control.0.iter().filter(|a| a.result == Err(libc::EPERM)).collect();
    assert!(refused.is_empty(), "refused outside too: {refused:#?}");
    let absent = control.0.iter().filter(|answer| unknown(&answer.result)).count();
    assert!(absent < attempts.len() / 3, "this kernel has most of them");
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_namespace_can_be_made_or_entered() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    // User, mount, PID, network, IPC, UTS, cgroup, time.
    const FLAGS: [&str; 8] = [
        "0x10000000",
        "0x20000",
        "0x20000000",
        "0x40000000",
        "0x8000000",
        "0x4000000",
        "0x2000000",
        "0x80",
    ];
    let mut attempts: Vec<String> =
        FLAGS.iter().map(|flag| format!("in-child unshare {flag}")).collect();
    attempts.push("in-child setns /proc/self/ns/uts".to_owned());
    let attempts: Vec<&str> = attempts.iter().map(String::as_str).collect();
    for user in ["", "app"] {
        host.inside_as(user, &attempts).await.refused(&[libc::EPERM]);
    }
    outside(&attempts).possible();
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_further_program_is_refused_them_as_well() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    let (sandbox, _output) = host.start(host.spec(&["sleep"])).await;
    let calls = [calls(), port_calls()].concat();
    let attempts: Vec<&str> = calls.iter().map(String::as_str).collect();
    Host::executed(&sandbox, &attempts).await.refused(&[libc::EPERM]);
    sandbox.destroy().await.unwrap();
    host.close().await;
}

//! What a program may do, and as whom.

use crate::host::{Host, is_root};

#[tokio::test(flavor = "multi_thread")]
async fn root_inside_has_few_capabilities_and_can_gain_none() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    let status = host.said(&["cat", "/proc/self/status"]).await;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(":\t"));
        line.unwrap().to_owned()
    };
    let eleven = "00000000800405fb";
    assert_eq!(field("CapBnd"), eleven);
    assert_eq!(field("CapPrm"), eleven);
    assert_eq!(field("CapEff"), eleven);
    assert_eq!((field("CapInh"), field("CapAmb")), ("0".repeat(16), "0".repeat(16)));
    assert_eq!((field("NoNewPrivs"), field("Seccomp")), ("1".to_owned(), "2".to_owned()));
    // The test program's own runtime ignores SIGPIPE.
    assert_eq!((field("SigBlk"), field("SigIgn")), ("0".repeat(16), "0000000000001000".to_owned()));
    assert_eq!(host.said(&["cat", "/proc/self/oom_score_adj"]).await, "0");
    let limits = host.said(&["cat", "/proc/self/limits"]).await;
    let files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    // Docker's number, or our own where the host does not let us raise it.
    let hard = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum.unwrap();
    let wanted = model::limits::OPEN_FILES;
    assert!(
        files.contains(&wanted.to_string()) || hard < wanted && files.contains(&hard.to_string())
    );
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_has_its_ids_groups_and_home_and_no_capabilities() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    for (user, ids, groups) in [
        ("", "0 0", "0"),
        ("app", "1000 1001", "44 1001"),
        ("1000", "1000 1001", "44 1001"),
        ("app:video", "1000 44", "44"),
        ("77:88", "77 88", "88"),
    ] {
        let run = async |args: &[&str]| {
            let mut spec = host.spec(args);
            spec.process.user = user.to_owned();
            host.run_spec(spec).await.1
        };
        assert_eq!(run(&["who"]).await.trim(), ids, "{user}");
        let status = run(&["cat", "/proc/self/status"]).await;
        let found = status.lines().find_map(|line| line.strip_prefix("Groups:\t")).unwrap();
        assert_eq!(found.trim(), groups, "{user}");
        if user == "app" {
            assert!(status.contains("CapEff:\t0000000000000000"));
            assert_eq!(run(&["env", "HOME"]).await.trim(), "/home/app");
            assert_eq!(run(&["write", "/root-owned", "x"]).await.trim(), "errno 13");
            assert_eq!(run(&["write", "/dev/stdout", "again"]).await.trim(), "again");
        }
    }
    let mut spec = host.spec(&["who"]);
    spec.process.user = "nobody-knows".to_owned();
    let parked = host.runtime.prepare().await.unwrap();
    let error = host.runtime.start(parked, spec).await.unwrap_err();
    assert!(error.to_string().contains("`nobody-knows`"), "{error}");
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_reach_the_host_are_refused() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    for (call, argument, expected) in [
        (libc::SYS_unshare, i64::from(libc::CLONE_NEWUSER), libc::EPERM),
        (libc::SYS_mount, 0, libc::EPERM),
        (libc::SYS_bpf, 0, libc::EPERM),
        (libc::SYS_keyctl, 0, libc::EPERM),
        (libc::SYS_io_uring_setup, 0, libc::EPERM),
        (libc::SYS_clone3, 0, libc::ENOSYS),
        (libc::SYS_socket, i64::from(libc::AF_VSOCK), libc::EAFNOSUPPORT),
        (libc::SYS_socket, i64::from(libc::AF_ALG), libc::EAFNOSUPPORT),
        (libc::SYS_getpid, 0, 0),
        (9999, 0, libc::ENOSYS),
    ] {
        let said = host.said(&["syscall", &call.to_string(), &argument.to_string()]).await;
        assert_eq!(said, expected.to_string(), "system call {call}");
    }
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_kernels_files_are_hidden_or_read_only() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    for hidden in ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/interrupts"] {
        let (status, stdout, _) = host.run(&["cat", hidden]).await;
        assert!(
            stdout.is_empty() || (status.code, stdout.as_str()) == (1, "errno 2\n"),
            "{hidden}"
        );
    }
    assert_eq!(host.said(&["ls", "/sys/firmware"]).await, "");
    for read_only in ["/proc/sys/kernel/core_pattern", "/sys/x"] {
        let (_, stdout, _) = host.run(&["write", read_only, "x"]).await;
        assert!(["errno 30\n", "errno 13\n"].contains(&stdout.as_str()), "{read_only}: {stdout}");
    }
    let devices = host.said(&["ls", "/dev"]).await;
    assert_eq!(
        devices,
        "fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero"
    );
    // A device node cannot be made, and would not work.
    let mknod = libc::SYS_mknodat.to_string();
    assert_ne!(host.said(&["syscall", &mknod, "-100"]).await, "0");
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_environment_and_the_working_directory_are_as_asked() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    let mut spec = host.spec(&["where"]);
    spec.process.cwd = "/made/on/demand".to_owned();
    assert_eq!(host.run_spec(spec).await.1.trim(), "/made/on/demand");
    for (name, expected) in
        [("A", "1 = 2"), ("HOME", "/root"), ("PATH", "/x:/bin"), ("TERM", "unset")]
    {
        let mut spec = host.spec(&["env", name]);
        spec.process.args[0] = "probe".to_owned();
        spec.process.env = vec!["A=1 = 2".to_owned(), "PATH=/x:/bin".to_owned()];
        assert_eq!(host.run_spec(spec).await.1.trim(), expected, "{name}");
    }
    host.close().await;
}

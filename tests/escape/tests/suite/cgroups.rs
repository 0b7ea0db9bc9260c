//! Cgroups: neither a host's program by `release_agent` nor a higher limit can be had by them.

use escape::{Host, cgroups, is_root, outside};

/// Read-only, not there at all, or no right to.
const REFUSED: [i32; 4] = [libc::EROFS, libc::ENOENT, libc::EACCES, libc::EPERM];

#[tokio::test(flavor = "multi_thread")]
async fn a_release_agent_cannot_be_set() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    let mut attempts = Vec::new();
    for place in ["memory/", "pids/", "cpu/", "systemd/", "unified/", ""] {
        for file in ["release_agent", "notify_on_release", "cgroup.procs", "tasks"] {
            attempts.push(format!("write /sys/fs/cgroup/{place}{file} 1"));
        }
        attempts.push(format!("mkdir /sys/fs/cgroup/{place}child"));
    }
    attempts.push("mount none /tmp cgroup 0 none,name=escape".to_owned());
    attempts.push("mount none /tmp cgroup 0 rdma".to_owned());
    attempts.push("mount none /tmp cgroup2 0".to_owned());
    let attempts: Vec<&str> = attempts.iter().map(String::as_str).collect();
    let answers = host.inside(&attempts).await;
    answers.refused(&REFUSED);
    assert!(answers.errnos().contains(&libc::EROFS), "its own cgroups are shown, read-only");
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_control_sets_a_release_agent() {
    let known = fs_err::read_to_string("/proc/filesystems").unwrap();
    if !is_root() || !known.lines().any(|line| line.ends_with("\tcgroup")) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().display();
    let name = uuid::Uuid::new_v4().simple();
    let mount = format!("mount none {path} cgroup 0 none,name=escape-{name}");
    let write = format!("write {path}/release_agent /bin/true");
    outside(&[&mount, &write]).possible();
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_cannot_be_raised_from_inside() {
    if !is_root() {
        return;
    }
    const LIMITS: [&str; 8] = [
        "memory/memory.limit_in_bytes 134217728",
        "memory/memory.oom_control 1",
        "pids/pids.max 4000",
        "cpu/cpu.cfs_quota_us -1",
        "devices/devices.allow a",
        "memory.max 134217728",
        "pids.max 4000",
        "cpu.max max",
    ];
    let host = Host::open().await;
    let (sandbox, _output) = host.start(host.spec(&["sleep"])).await;
    let attempts: Vec<String> =
        LIMITS.iter().map(|file| format!("write /sys/fs/cgroup/{file}")).collect();
    let attempts: Vec<&str> = attempts.iter().map(String::as_str).collect();
    let answers = Host::executed(&sandbox, &attempts).await;
    answers.refused(&REFUSED);
    // Root inside does not own them, and the file system is read-only.
    let refused = |errno: &i32| [libc::EACCES, libc::EROFS].contains(errno);
    assert!(answers.errnos().iter().any(refused), "the files are there");
    // The same files take the same value from the host.
    let own = format!("{}/{}", &*host.cgroup, sandbox.id());
    let mut written = 0;
    for dir in cgroups(&own) {
        for limit in LIMITS {
            let (path, value) = limit.split_once(' ').unwrap();
            let file = dir.join(path.rsplit('/').next().unwrap());
            if file.exists() {
                fs_err::write(file, value).unwrap();
                written += 1;
            }
        }
    }
    assert!(written > 0, "the control wrote something");
    sandbox.destroy().await.unwrap();
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_sees_its_own_cgroup_as_the_root() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    let answers = host.inside(&["read /proc/self/cgroup"]).await;
    let text = answers.only().clone().unwrap();
    let own = text.split('|').filter(|line| !line.is_empty());
    // Hierarchies without limits of ours may show where they are; never a path of the host below.
    for line in own {
        let path = line.splitn(3, ':').nth(2).unwrap();
        assert!(!path.contains("berth"), "{line}");
    }
    host.close().await;
}

//! What one sandbox can see: nothing of another's and nothing of the host's.

use runtime::ExecStreams;
use tokio::io::AsyncReadExt;

use crate::host::{Host, answer, connect, is_root, process, within};

#[tokio::test(flavor = "multi_thread")]
async fn two_sandboxes_share_neither_pids_nor_ports_nor_files_nor_names() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    // The same port in both.
    let (one, _output) = host.start(&["serve", "0.0.0.0:80"]).await;
    let (two, _output) = host.start(&["serve", "0.0.0.0:80"]).await;
    assert_eq!(answer(&one, 80).await, answer(&two, 80).await);

    let said = async |sandbox: &runtime::Sandbox, args: &[&str]| {
        let streams = ExecStreams { stdout: true, ..ExecStreams::default() };
        let mut exec = sandbox.exec(process(args), streams).await.unwrap();
        let mut text = String::new();
        let mut stdout = exec.stdout.take().unwrap();
        within(stdout.read_to_string(&mut text)).await.unwrap();
        within(exec.wait()).await;
        text.trim().to_owned()
    };
    assert_eq!(said(&one, &["write", "/tmp/secret", "of one"]).await, "");
    assert_eq!(said(&one, &["cat", "/tmp/secret"]).await, "of one");
    assert_eq!(said(&two, &["cat", "/tmp/secret"]).await, "errno 2");

    // init, the server, and the one that looks.
    let pids = said(&two, &["ls", "/proc"]).await;
    let pids: Vec<&str> = pids.split(' ').filter(|n| n.parse::<u32>().is_ok()).collect();
    assert_eq!(pids.len(), 3, "{pids:?}");
    assert_eq!(said(&two, &["cat", "/proc/sys/kernel/hostname"]).await, "instance");
    assert_eq!(said(&two, &["cat", "/etc/hostname"]).await, "instance");
    for sandbox in [one, two] {
        sandbox.destroy().await.unwrap();
    }
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn init_can_be_neither_read_nor_signalled_from_inside() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    for file in ["exe", "environ", "mem", "maps", "root/etc/passwd"] {
        let (_, stdout, _) = host.run(&["cat", &format!("/proc/1/{file}")]).await;
        assert!(stdout == "errno 13\n" || stdout == "errno 1\n", "/proc/1/{file}: {stdout}");
    }
    assert_eq!(host.run(&["ls", "/proc/1/fd"]).await.1, "errno 13\n");
    // SIGKILL from inside does not reach PID 1 of the namespace.
    let (sandbox, _output) = host.start(&["serve", "127.0.0.1:80"]).await;
    let exec = sandbox.exec(process(&["signal-init"]), ExecStreams::default()).await.unwrap();
    within(exec.wait()).await;
    assert_eq!(answer(&sandbox, 80).await, "hello from inside");
    sandbox.destroy().await.unwrap();
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_gets_its_three_files_and_no_other_descriptor() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    let links = host.said(&["links", "/proc/self/fd"]).await;
    let links: Vec<&str> = links.lines().collect();
    // The fourth is the directory being read.
    assert_eq!(links.len(), 4, "{links:?}");
    assert_eq!(links[0], "/dev/null");
    assert!(links[1].starts_with("pipe:") && links[2].starts_with("pipe:"), "{links:?}");
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_the_hosts_file_systems_is_mounted_inside() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    let mounts = host.said(&["cat", "/proc/self/mountinfo"]).await;
    let points: Vec<(&str, &str)> = mounts
        .lines()
        .map(|line| {
            let kind = line.split(" - ").nth(1).unwrap().split(' ').next().unwrap();
            (line.split(' ').nth(4).unwrap(), kind)
        })
        .collect();
    assert!(points.contains(&("/", "overlay")), "{points:?}");
    let known = ["overlay", "proc", "sysfs", "tmpfs", "devpts", "mqueue", "cgroup", "cgroup2"];
    for (point, kind) in &points {
        assert!(known.contains(kind), "{kind} at {point}");
    }
    for expected in ["/proc", "/dev", "/dev/pts", "/dev/shm", "/sys", "/etc/hosts"] {
        assert!(points.iter().any(|(point, _)| *point == expected), "{expected} in {points:?}");
    }
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_image_cannot_lead_mounts_out_of_its_root() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    let outside = host.path("outside");
    fs_err::create_dir_all(&outside).unwrap();
    let image = host.image();
    let etc = image.join("etc");
    // An absolute link, one upwards, and one through a descriptor of whoever resolves it.
    for (name, target) in [
        ("hosts", outside.join("hosts")),
        ("hostname", "../../../../../../../../tmp/outside/hostname".into()),
        ("resolv.conf", "/proc/self/fd/5/resolv.conf".into()),
    ] {
        let _ = fs_err::remove_file(etc.join(name));
        std::os::unix::fs::symlink(target, etc.join(name)).unwrap();
    }
    let parked = host.runtime.prepare().await.unwrap();
    let error = host.runtime.start(parked, host.spec(&["sleep"])).await.unwrap_err();
    assert!(error.to_string().contains("/etc/resolv.conf"), "{error}");
    fs_err::remove_file(etc.join("resolv.conf")).unwrap();
    // The others stay inside, at the same path there.
    let hosts = host.said(&["cat", "/etc/hosts"]).await;
    assert!(hosts.contains("localhost"), "{hosts}");
    assert_eq!(fs_err::read_dir(&outside).unwrap().count(), 0);

    let proc = image.join("proc");
    let _ = fs_err::remove_dir(&proc);
    std::os::unix::fs::symlink("/etc", &proc).unwrap();
    let parked = host.runtime.prepare().await.unwrap();
    let error = host.runtime.start(parked, host.spec(&["sleep"])).await.unwrap_err();
    assert!(error.to_string().contains("/proc"), "{error}");
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hosts_ports_are_not_reachable() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (status, stdout, _) = host.run(&["connect", &format!("127.0.0.1:{port}")]).await;
    assert_eq!((status.code, stdout.as_str()), (1, "errno 111\n"));
    // And the other way: what listens inside is not on the host.
    let (sandbox, _output) = host.start(&["serve", &format!("0.0.0.0:{port}")]).await;
    drop(connect(&sandbox, port).await);
    drop(listener);
    assert!(tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err());
    sandbox.destroy().await.unwrap();
    host.close().await;
}

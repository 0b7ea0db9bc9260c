//! Root inside is nobody outside, and inside it is root all the same.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use model::limits::{USER_IDS, USER_IDS_FIRST};
use runtime::{BindMount, ExecStreams, Runtime, Warning};

use crate::host::{self, Host, answer, is_root, process, within};

/// The host's id of whoever runs `pid`.
fn uid_of(pid: u32) -> u32 {
    let status = fs_err::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let ids = status.lines().find_map(|line| line.strip_prefix("Uid:\t")).unwrap();
    let ids: Vec<u32> = ids.split('\t').map(|id| id.parse().unwrap()).collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    ids[0]
}

fn namespace_of(pid: u32) -> PathBuf {
    fs_err::read_link(format!("/proc/{pid}/ns/user")).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn root_inside_is_nobody_outside_and_another_in_each_sandbox() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    let (one, _output) = host.start(&["serve", "127.0.0.1:80"]).await;
    let (two, _output) = host.start(&["serve", "127.0.0.1:80"]).await;
    let (first, second) = (uid_of(one.pid()), uid_of(two.pid()));
    assert!(first >= USER_IDS_FIRST && second >= USER_IDS_FIRST, "{first} {second}");
    assert!(first.abs_diff(second) >= USER_IDS, "{first} {second}");
    let ours = namespace_of(std::process::id());
    assert!(namespace_of(one.pid()) != ours && namespace_of(one.pid()) != namespace_of(two.pid()));
    // What is executed later is in the same one.
    let exec = one.exec(process(&["sleep"]), ExecStreams::default()).await.unwrap();
    assert_eq!(namespace_of(exec.pid()), namespace_of(one.pid()));
    assert_eq!(uid_of(exec.pid()), first);
    // The other namespaces are the host's to command.
    assert_eq!(namespace_of(one.handle().pid), ours);
    for sandbox in [one, two] {
        sandbox.destroy().await.unwrap();
    }
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_have_inside_the_owners_they_have_on_disk() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    let image = host.image();
    std::os::unix::fs::chown(image.join("home/app"), Some(1000), Some(1001)).unwrap();
    assert_eq!(host.said(&["owner", "/bin/probe"]).await, "0 0");
    assert_eq!(host.said(&["owner", "/home/app"]).await, "1000 1001");
    for path in ["/", "/dev", "/dev/null", "/dev/pts", "/dev/pts/ptmx", "/dev/shm", "/etc/hosts"] {
        assert_eq!(host.said(&["owner", path]).await, "0 0", "{path}");
    }
    let upper = host.path("steps/1");
    let run = async |args: &[&str], user: &str| {
        let mut spec = host.spec(args);
        spec.upper = Some(upper.clone());
        spec.process.user = user.to_owned();
        let (status, stdout, _) = host.run_spec(spec).await;
        (status.code, stdout)
    };
    assert_eq!(run(&["write", "/new", "x"], "").await.0, 0);
    assert_eq!(run(&["write", "/home/app/new", "x"], "app").await.0, 0);
    assert_eq!(run(&["chown", "/bin/probe", "1000"], "").await.0, 0);
    assert_eq!(run(&["chown", "/new", "70000"], "").await, (1, "errno 22\n".to_owned()));
    let owner = |path: &str| {
        let file = fs_err::metadata(upper.join(path)).unwrap();
        (file.uid(), file.gid())
    };
    assert_eq!((owner("new"), owner("home/app/new")), ((0, 0), (1000, 1001)));
    assert_eq!((owner("bin/probe"), owner("home/app")), ((1000, 0), (1000, 1001)));
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_root_writes_to_a_bind_is_roots_on_the_host() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    let shared = host.path("shared");
    fs_err::create_dir_all(&shared).unwrap();
    let mut spec = host.spec(&["write", "/mnt/new", "x"]);
    spec.mounts =
        vec![BindMount { source: shared.clone(), target: "/mnt".into(), read_only: false }];
    assert_eq!(host.run_spec(spec).await.0.code, 0);
    assert_eq!(fs_err::metadata(shared.join("new")).unwrap().uid(), 0);
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn any_user_may_listen_on_a_low_port() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    for user in ["", "app"] {
        let mut spec = host.spec(&["serve", "127.0.0.1:80"]);
        spec.process.user = user.to_owned();
        let (sandbox, _output) = host.start_spec(spec).await;
        assert_eq!(answer(&sandbox, 80).await, "hello from inside");
        sandbox.destroy().await.unwrap();
    }
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_belongs_to_the_program_s_user() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    let mut spec = host.spec(&["owner", "/dev/stdin"]);
    spec.process.terminal = Some((80, 24));
    spec.process.user = "app".to_owned();
    // Debian's group of terminals.
    assert_eq!(host.run_spec(spec).await.1.trim(), "1000 5");
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_no_instance_has_is_named() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    for user in ["65536", "0:70000"] {
        let mut spec = host.spec(&["who"]);
        spec.process.user = user.to_owned();
        let parked = host.runtime.prepare().await.unwrap();
        let error = host.runtime.start(parked, spec).await.unwrap_err().to_string();
        assert!(error.contains(&format!("`{user}`")) && error.contains("no id"), "{error}");
    }
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_ids_cannot_be_mapped_sandboxes_do_without_and_a_warning_says_so() {
    if !is_root() {
        return;
    }
    let temporary = tempfile::tempdir().unwrap();
    let cgroup = host::Processes::new();
    let mut config = host::config(&temporary.path().join("instances"), &cgroup, 1);
    config.layers = vec![PathBuf::from("/proc/not-there")];
    let runtime = Runtime::open(config).await.unwrap();
    match runtime.warnings() {
        [Warning::NoUserNamespaces { reason }] => assert!(reason.contains("`/proc`"), "{reason}"),
        other => panic!("{other:?}"),
    }
    let parked = runtime.prepare().await.unwrap();
    let spec = host::spec(host::image(temporary.path()), &["serve", "127.0.0.1:80"]);
    let (sandbox, _output) = runtime.start(parked, spec).await.unwrap();
    assert_eq!(within(answer(&sandbox, 80)).await, "hello from inside");
    assert_eq!(uid_of(sandbox.pid()), 0);
    sandbox.destroy().await.unwrap();
    runtime.close().await;
}

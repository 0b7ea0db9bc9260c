//! Other processes: init, those of other instances, and those of the host.

use std::process::{Command, Stdio};

use escape::{Host, attacker, is_root, process, within};
use runtime::{ExecStreams, Sandbox};
use tokio::io::AsyncReadExt;

const DENIED: [i32; 2] = [libc::EPERM, libc::EACCES];

async fn ready(output: &mut runtime::Output) {
    let mut said = [0; 6];
    within(output.stdout.read_exact(&mut said)).await.unwrap();
    assert_eq!(&said, b"ready\n");
}

/// The instance runs and answers.
async fn assert_alive(sandbox: &Sandbox) {
    assert_eq!(sandbox.exit_status(), None);
    Host::executed(sandbox, &["list /"]).await.possible();
}

#[tokio::test(flavor = "multi_thread")]
async fn init_cannot_be_traced_read_or_robbed() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    let attempts = ["trace attach 1", "trace seize 1", "read-memory 1", "steal-descriptor 1"];
    host.inside(&attempts).await.refused(&DENIED);
    let namespaces: Vec<String> = ["mnt", "net", "pid", "ipc", "uts", "cgroup", "user"]
        .iter()
        .map(|kind| format!("setns /proc/1/ns/{kind}"))
        .collect();
    host.inside(&namespaces.iter().map(String::as_str).collect::<Vec<_>>()).await.refused(&DENIED);
    // A child of its own can be traced and read: debuggers work.
    host.inside(&["trace seize child", "read-memory child"]).await.possible();
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_signal_from_inside_ends_init() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    let (sandbox, mut output) = host.start(host.spec(&["sleep"])).await;
    ready(&mut output).await;
    let attempts: Vec<String> = (1..=64).map(|signal| format!("signal 1 {signal}")).collect();
    let attempts: Vec<&str> = attempts.iter().map(String::as_str).collect();
    // They may be sent; the kernel keeps them from an init that did not ask for them.
    let _ = Host::executed(&sandbox, &attempts).await;
    assert_alive(&sandbox).await;
    sandbox.destroy().await.unwrap();
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_to_everything_reaches_neither_another_instance_nor_the_host() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    let (other, mut output) = host.start(host.spec(&["sleep"])).await;
    ready(&mut output).await;
    let mut bystander =
        Command::new(attacker()).arg("sleep").stdout(Stdio::null()).spawn().unwrap();
    let (sandbox, mut output) = host.start(host.spec(&["sleep"])).await;
    ready(&mut output).await;
    let pids = [other.pid(), other.handle().pid, bystander.id(), std::process::id()];
    // By number: none of them is there; by a broadcast: its own main program dies of it.
    let numbers: Vec<String> = pids.iter().map(|pid| format!("signal {pid} 9")).collect();
    let attempts: Vec<&str> = numbers.iter().map(String::as_str).collect();
    Host::executed(&sandbox, &attempts).await.refused(&[libc::ESRCH]);
    // Who sent it dies too, of the end of everything, and may not get to say anything.
    sandbox.exec(process(&["try", "signal -1 9"]), ExecStreams::default()).await.unwrap();
    assert_eq!(within(sandbox.wait()).await.signal, Some(libc::SIGKILL));
    assert_alive(&other).await;
    assert!(bystander.try_wait().unwrap().is_none(), "a process of the host lives on");
    bystander.kill().unwrap();
    bystander.wait().unwrap();
    for sandbox in [sandbox, other] {
        sandbox.destroy().await.unwrap();
    }
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_share_no_segment_queue_semaphore_or_message_queue() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    let (one, _output) = host.start(host.spec(&["sleep"])).await;
    let (two, _output) = host.start(host.spec(&["sleep"])).await;
    let calls = |create: i32| {
        let mode = create | 0o600;
        let open = if create == 0 { libc::O_RDWR } else { libc::O_RDWR | libc::O_CREAT };
        vec![
            format!("syscall {} 0xbe47 4096 {mode}", libc::SYS_shmget),
            format!("syscall {} 0xbe47 {mode}", libc::SYS_msgget),
            format!("syscall {} 0xbe47 1 {mode}", libc::SYS_semget),
            format!("syscall {} @escape {open} 384 0", libc::SYS_mq_open),
        ]
    };
    let (make, find) = (calls(libc::IPC_CREAT), calls(0));
    let make: Vec<&str> = make.iter().map(String::as_str).collect();
    let find: Vec<&str> = find.iter().map(String::as_str).collect();
    Host::executed(&one, &make).await.possible();
    Host::executed(&one, &find).await.possible();
    Host::executed(&two, &find).await.refused(&[libc::ENOENT]);
    escape::outside(&find).refused(&[libc::ENOENT]);
    for sandbox in [one, two] {
        sandbox.destroy().await.unwrap();
    }
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kernel_keyrings_cannot_be_used_at_all() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    let keyrings = [-1, -2, -3, -4, -5];
    let mut attempts: Vec<String> = keyrings
        .iter()
        .map(|ring| format!("syscall {} @user @escape @secret 6 {ring}", libc::SYS_add_key))
        .collect();
    attempts.extend(keyrings.iter().map(|ring| format!("syscall {} 0 {ring} 1", libc::SYS_keyctl)));
    attempts.push(format!("syscall {} @user @escape 0 -3", libc::SYS_request_key));
    // Joining a session keyring by name is how instances could meet (CVE-2016-0728 began there).
    attempts.push(format!("syscall {} 1 @escape", libc::SYS_keyctl));
    let attempts: Vec<&str> = attempts.iter().map(String::as_str).collect();
    host.inside(&attempts).await.refused(&[libc::EPERM]);
    host.close().await;
}

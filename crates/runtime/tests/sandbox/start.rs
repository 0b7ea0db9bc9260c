//! Starting, ending, and what is told of it.

use std::sync::Arc;

use runtime::{ExecError, ExecFailure, ExecStreams, StartError};
use tokio::io::AsyncReadExt;

use crate::host::{Host, answer, is_root, process, within};

#[tokio::test(flavor = "multi_thread")]
async fn a_program_starts_and_answers_on_its_loopback() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    for address in ["127.0.0.1:8080", "0.0.0.0:8080", "[::1]:8080"] {
        let (sandbox, _output) = host.start(&["serve", address]).await;
        assert_eq!(answer(&sandbox, 8080).await, "hello from inside", "{address}");
        let refused = sandbox.connect(8081).await.unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
        sandbox.destroy().await.unwrap();
    }
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn exit_codes_and_signals_are_reported_as_they_were() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    for code in [0, 1, 137, 255] {
        let (status, ..) = host.run(&["exit", &code.to_string()]).await;
        assert_eq!((status.code, status.signal, status.oom), (code, None, false));
    }
    let (sandbox, _output) = host.start(&["sleep"]).await;
    assert_eq!(sandbox.exit_status(), None);
    sandbox.signal(15).await.unwrap();
    let status = within(sandbox.wait()).await;
    assert_eq!((status.code, status.signal), (143, Some(15)));
    assert_eq!(sandbox.exit_status(), Some(status));
    sandbox.signal(15).await.unwrap();
    sandbox.destroy().await.unwrap();
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_program_is_named_and_leaves_nothing() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    for (program, expected) in [
        ("/bin/missing", ExecFailure::NotFound),
        ("missing", ExecFailure::NotFound),
        ("/not-executable", ExecFailure::PermissionDenied),
        ("/etc", ExecFailure::PermissionDenied),
    ] {
        let mut spec = host.spec(&[]);
        spec.process.args = vec![program.to_owned()];
        let parked = host.runtime.prepare().await.unwrap();
        match host.runtime.start(parked, spec).await {
            Err(StartError::Process(ExecError::Exec { program: named, reason })) => {
                assert_eq!((named.as_str(), reason), (program, expected));
            }
            other => panic!("{program}: {other:?}"),
        }
    }
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn output_is_complete_when_the_program_has_ended() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    let (status, stdout, stderr) = host.run(&["say", "out", "wrong"]).await;
    assert_eq!((status.code, stdout.as_str(), stderr.as_str()), (0, "out", "wrong"));
    // A child that outlives the main program does not keep its output open.
    let (status, stdout, _) = host.run(&["orphan"]).await;
    assert_eq!((status.code, stdout.as_str()), (0, "left one\n"));
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_ignores_sigterm_is_ended_by_kill() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    let (sandbox, mut output) = host.start(&["stubborn"]).await;
    let mut ready = [0; 6];
    within(output.stdout.read_exact(&mut ready)).await.unwrap();
    sandbox.signal(15).await.unwrap();
    let refused = sandbox.exec(process(&["exit", "0"]), ExecStreams::default()).await.unwrap();
    assert_eq!(within(refused.wait()).await.code, 0);
    assert_eq!(sandbox.exit_status(), None, "it goes on after SIGTERM");
    sandbox.kill().await.unwrap();
    let status = within(sandbox.wait()).await;
    assert_eq!((status.code, status.signal, status.oom), (137, Some(9), false));
    sandbox.destroy().await.unwrap();
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_starts_at_once_all_succeed() {
    if !is_root() {
        return;
    }
    let host = Arc::new(Host::with_parked(4).await);
    host.image();
    let tasks: Vec<_> = (0..50)
        .map(|_| {
            let host = host.clone();
            tokio::spawn(async move {
                let (sandbox, _output) = host.start(&["serve", "127.0.0.1:80"]).await;
                assert_eq!(answer(&sandbox, 80).await, "hello from inside");
                sandbox
            })
        })
        .collect();
    let mut sandboxes = Vec::new();
    for task in tasks {
        sandboxes.push(task.await.unwrap());
    }
    for sandbox in sandboxes {
        sandbox.destroy().await.unwrap();
    }
    Arc::into_inner(host).unwrap().close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_main_program_with_a_terminal_prints_to_it() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    let mut spec = host.spec(&["say", "hello"]);
    spec.process.terminal = Some((80, 24));
    let (status, stdout, stderr) = host.run_spec(spec).await;
    assert_eq!((status.code, stdout.as_str(), stderr.as_str()), (0, "hello", ""));
    host.close().await;
}

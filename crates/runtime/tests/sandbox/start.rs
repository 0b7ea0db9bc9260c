//! Starting, ending, and what is told of it.

use berth_runtime::{ExecError, ExecFailure, StartError};

use crate::host::{Host, answer, is_root, within};

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

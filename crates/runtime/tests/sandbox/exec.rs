//! Further programs in a running sandbox.

use runtime::{ExecError, ExecFailure, ExecStreams};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

use crate::host::{Host, is_root, process, within};

const ALL: ExecStreams = ExecStreams { stdin: true, stdout: true, stderr: true };

#[tokio::test(flavor = "multi_thread")]
async fn an_exec_has_streams_a_code_and_a_pid() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    let (sandbox, _output) = host.start(&["sleep"]).await;
    let mut exec = sandbox.exec(process(&["echo"]), ALL).await.unwrap();
    assert!(exec.pid() > 0 && exec.inner_pid() > 2);
    let mut stdin = exec.stdin.take().unwrap();
    // More than a pipe holds, so both ways must flow at once.
    let sent = vec![b'x'; 1024 * 1024];
    let (length, copy) = (sent.len(), sent.clone());
    let writer = tokio::spawn(async move { stdin.write_all(&copy).await });
    let mut received = Vec::new();
    within(exec.stdout.as_mut().unwrap().read_to_end(&mut received)).await.unwrap();
    within(writer).await.unwrap().unwrap();
    assert!(received.len() == length && received == sent);
    let mut errors = String::new();
    within(exec.stderr.as_mut().unwrap().read_to_string(&mut errors)).await.unwrap();
    assert_eq!((errors.as_str(), within(exec.wait()).await.code), ("done", 0));

    let exec = sandbox.exec(process(&["exit", "3"]), ExecStreams::default()).await.unwrap();
    assert!(exec.stdout.is_none());
    assert_eq!(within(exec.wait()).await.code, 3);
    assert_eq!(within(exec.wait()).await.code, 3);
    sandbox.destroy().await.unwrap();
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exec_can_be_signalled_and_ends_with_its_sandbox() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    let (sandbox, _output) = host.start(&["sleep"]).await;
    let exec = sandbox.exec(process(&["sleep"]), ExecStreams::default()).await.unwrap();
    exec.signal(9).unwrap();
    let status = within(exec.wait()).await;
    assert_eq!((status.code, status.signal), (137, Some(9)));
    exec.signal(9).unwrap();
    assert!(exec.signal(999).is_err());

    let exec = sandbox.exec(process(&["sleep"]), ExecStreams::default()).await.unwrap();
    sandbox.signal(9).await.unwrap();
    assert_eq!(within(exec.wait()).await.code, 137);
    let after = sandbox.exec(process(&["sleep"]), ExecStreams::default()).await;
    assert!(matches!(after, Err(ExecError::Ended)), "{after:?}");
    sandbox.destroy().await.unwrap();
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exec_has_a_terminal_of_the_size_it_is_given() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    let (sandbox, _output) = host.start(&["sleep"]).await;
    let mut terminal = process(&["terminal"]);
    terminal.terminal = Some((101, 33));
    let mut exec = sandbox.exec(terminal, ExecStreams::default()).await.unwrap();
    let mut lines = BufReader::new(exec.stdout.take().unwrap()).lines();
    let mut line = async || within(lines.next_line()).await.unwrap();
    assert_eq!(line().await.unwrap(), "true 101 33");
    exec.resize(80, 24).unwrap();
    exec.stdin.as_mut().unwrap().write_all(b"typed\n").await.unwrap();
    assert_eq!(line().await.unwrap(), "typed", "a terminal echoes");
    assert_eq!(line().await.unwrap(), "typed 80 24");
    assert_eq!(line().await, None);
    assert_eq!(within(exec.wait()).await.code, 0);
    assert!(exec.stderr.is_none());
    sandbox.destroy().await.unwrap();
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exec_that_cannot_be_executed_says_why_and_the_sandbox_goes_on() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    let (sandbox, _output) = host.start(&["sleep"]).await;
    let mut missing = process(&[]);
    missing.args = vec!["nothing".to_owned()];
    match sandbox.exec(missing, ALL).await {
        Err(ExecError::Exec { program, reason }) => {
            assert_eq!((program.as_str(), reason), ("nothing", ExecFailure::NotFound));
        }
        other => panic!("{other:?}"),
    }
    let mut nowhere = process(&["where"]);
    nowhere.cwd = "/nowhere".to_owned();
    let error = sandbox.exec(nowhere, ALL).await.unwrap_err();
    assert!(matches!(&error, ExecError::Cwd { path, .. } if path == "/nowhere"), "{error}");
    let mut nobody = process(&["who"]);
    nobody.user = "nobody".to_owned();
    assert!(matches!(sandbox.exec(nobody, ALL).await, Err(ExecError::User(_))));
    let exec = sandbox.exec(process(&["exit", "0"]), ALL).await.unwrap();
    assert_eq!(within(exec.wait()).await.code, 0);
    sandbox.destroy().await.unwrap();
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exec_is_confined_as_the_main_program_is() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    let (sandbox, _output) = host.start(&["sleep"]).await;
    let mut exec = sandbox.exec(process(&["cat", "/proc/self/status"]), ALL).await.unwrap();
    let mut status = String::new();
    within(exec.stdout.as_mut().unwrap().read_to_string(&mut status)).await.unwrap();
    for expected in ["CapBnd:\t00000000800405fb", "NoNewPrivs:\t1", "Seccomp:\t2"] {
        assert!(status.contains(expected), "{expected} in {status}");
    }
    let host_cgroup = fs_err::read_to_string(format!("/proc/{}/cgroup", sandbox.pid())).unwrap();
    assert!(host_cgroup.contains(&format!("{}/{}", &*host.cgroup, sandbox.id())), "{host_cgroup}");
    sandbox.destroy().await.unwrap();
    host.close().await;
}

//! Deploys, failed deploys, crashes and ends.

use std::time::{Duration, Instant};

use workers::{Between, DeployError, Event, OpenError, Options, StartError, WorkerProcess};

use crate::host::{DEADLINE, Host, send};

const OK: &str = "export default { fetch: () => new Response('ok') }";

/// Waits until a process is gone.
async fn gone(pid: u32) {
    let path = std::path::PathBuf::from(format!("/proc/{pid}"));
    let deadline = Instant::now() + DEADLINE;
    while path.exists() {
        assert!(Instant::now() < deadline, "process {pid} is still there");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_deploy_replaces_the_process_and_its_socket() {
    let host = Host::serving(OK).await;
    let (pid, socket) = (host.process.pid().expect("a process"), host.upstream().await);
    host.deploy(host.spec("export default { fetch: () => new Response('new') }"))
        .await
        .expect("the Worker starts");
    assert_eq!(host.get("/").await.1, "new");
    assert_ne!(host.upstream().await, socket);
    assert!(!socket.exists());
    gone(pid).await;
    host.process.stop().await;
}

#[tokio::test]
async fn a_deploy_waits_for_requests_in_flight_but_not_forever() {
    let host = Host::serving(OK).await;
    let began = Instant::now();
    let (done, drained) = tokio::sync::oneshot::channel::<()>();
    let deploy = host.process.deploy(host.spec(OK), async { drop(drained.await) });
    tokio::pin!(deploy);
    let mut upstream = host.process.upstream();
    tokio::select! {
        _ = &mut deploy => panic!("did not wait"),
        _ = upstream.wait_for(Option::is_none) => {}
    }
    assert!(host.process.pid().is_none());
    done.send(()).expect("somebody waits");
    deploy.await.expect("the Worker starts");
    assert!(began.elapsed() < Duration::from_secs(2));

    host.process.deploy(host.spec(OK), std::future::pending()).await.expect("the Worker starts");
    assert!(began.elapsed() >= Duration::from_secs(2), "the grace period");
    host.process.stop().await;
}

#[tokio::test]
async fn code_that_does_not_load_is_refused_with_its_error() {
    let host = Host::new().await;
    for (code, says) in [
        ("syntax error here (", "SyntaxError: Unexpected identifier 'error'\n  at index.js:1:7"),
        ("throw new Error('top'); export default {}", "Uncaught Error: top\n  at index.js:1:7"),
        ("import x from 'nope'; export default {}", "nope"),
    ] {
        let error = host.deploy(host.spec(code)).await.expect_err("it cannot start");
        let DeployError::NotStarted(StartError::Exited { status, output }) = error else {
            panic!("{error:?}")
        };
        assert!(output.join("\n").contains(says), "{output:?}");
        assert_eq!(status, "exit code 1");
    }
    host.deploy(host.spec(OK)).await.expect("good code starts afterwards");
    assert_eq!(host.get("/").await.1, "ok");
    host.process.stop().await;
}

#[tokio::test]
async fn a_broken_new_version_leaves_the_one_before_it_serving() {
    let host = Host::serving(OK).await;
    let error = host.deploy(host.spec("throw 1")).await.expect_err("it cannot start");
    assert!(matches!(error, DeployError::RolledBack(_)), "{error:?}");
    assert_eq!(host.get("/").await.1, "ok");

    let mut spec = host.spec(OK);
    spec.crons = vec!["nonsense".to_owned()];
    let error = host.deploy(spec).await.expect_err("it cannot start");
    let text = std::error::Error::source(&error).expect("a cause").to_string();
    assert!(text.contains("invalid cron expression \"nonsense\""), "{text}");
    assert_eq!(host.get("/").await.1, "ok");
    host.process.stop().await;
}

#[tokio::test]
async fn what_is_done_between_two_processes_sees_neither_and_is_undone_where_the_new_one_fails() {
    let host = Host::serving(OK).await;
    let old = host.process.pid().expect("a process");
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let between = |done: Result<(), String>| {
        let (process, forth, back) = (host.process.clone(), tell.clone(), tell.clone());
        Between {
            forth: Box::pin(async move {
                let old_runs = std::path::Path::new(&format!("/proc/{old}")).exists();
                let nothing_runs = process.pid().is_none() && !old_runs;
                forth.send(("forth", nothing_runs)).expect("somebody listens");
                done
            }),
            back: Box::pin(async move {
                back.send(("back", true)).expect("somebody listens");
            }),
        }
    };
    let drained = || std::future::ready(());
    let new = host.spec("export default { fetch: () => new Response('new') }");
    let deployed = host.process.deploy_after(new.clone(), drained(), between(Ok(()))).await;
    deployed.expect("the Worker starts");
    assert_eq!(host.get("/").await.1, "new");
    assert_eq!((told.recv().await, told.try_recv().ok()), (Some(("forth", true)), None));

    let broken = host.process.deploy_after(host.spec("throw 1"), drained(), between(Ok(()))).await;
    assert!(matches!(broken, Err(DeployError::RolledBack(_))), "{broken:?}");
    assert_eq!(host.get("/").await.1, "new");
    assert_eq!(told.recv().await.map(|(what, _)| what), Some("forth"));
    assert_eq!(told.recv().await.map(|(what, _)| what), Some("back"));

    let not_done = between(Err("it does not end".to_owned()));
    let error = host.process.deploy_after(host.spec(OK), drained(), not_done).await;
    let Err(DeployError::RolledBack(StartError::NotReady(why))) = error else {
        panic!("{error:?}")
    };
    assert_eq!((why.as_str(), host.get("/").await.1.as_str()), ("it does not end", "new"));
    host.process.stop().await;
}

#[tokio::test]
async fn a_process_that_keeps_crashing_is_started_less_and_less_often() {
    let mut host = Host::serving(OK).await;
    let mut pauses = Vec::new();
    for _ in 0..3 {
        host.upstream().await;
        let pid = host.process.pid().expect("a process").cast_signed();
        let pid = rustix::process::Pid::from_raw(pid).expect("an ID");
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("a process");
        let pause = host
            .event(|event| match event {
                Event::Crashed { restart_in, .. } => Some(*restart_in),
                _ => None,
            })
            .await;
        pauses.push(pause.as_millis());
    }
    assert_eq!(pauses, [100, 200, 400]);
    assert_eq!(host.get("/").await.1, "ok");
    host.process.stop().await;
}

#[tokio::test]
async fn dropping_the_host_ends_the_process_and_its_folder() {
    let Host { process, dir, .. } = Host::serving(OK).await;
    let pid = process.pid().expect("a process");
    drop(process);
    gone(pid).await;
    let run = dir.path().join("run");
    let deadline = Instant::now() + DEADLINE;
    while run.exists() {
        assert!(Instant::now() < deadline, "the folder is still there");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn what_a_killed_host_left_behind_is_no_obstacle() {
    let host = Host::serving(OK).await;
    let socket = host.upstream().await;
    host.process.stop().await;
    fs_err::create_dir_all(socket.parent().expect("a folder")).expect("a folder");
    drop(std::os::unix::net::UnixListener::bind(&socket).expect("a stale socket"));
    let options = Options {
        workerd: crate::host::toolchain().await.workerd.clone(),
        run_dir: host.dir.path().join("run"),
        cron_runs: None,
        grace: Duration::from_secs(1),
    };
    let (process, _events) = WorkerProcess::new(options).expect("a host");
    process.deploy(host.spec(OK), std::future::ready(())).await.expect("the Worker starts");
    let now = process.upstream().borrow().clone().expect("a path");
    let request = http::Request::get("/").header("host", "x").body(http_body_util::Full::default());
    assert_eq!(
        &send(&now, request.expect("a request")).await.expect("an answer").body()[..],
        b"ok"
    );
    process.stop().await;
    assert!(matches!(process.deploy(host.spec(OK), async {}).await, Err(DeployError::Stopped)));
}

#[tokio::test]
async fn a_path_too_long_for_sockets_is_refused_at_once() {
    let options = Options {
        workerd: "/nonexistent".into(),
        run_dir: std::path::PathBuf::from("/tmp").join("x".repeat(90)),
        cron_runs: None,
        grace: Duration::ZERO,
    };
    let error = WorkerProcess::new(options).expect_err("too long");
    assert!(matches!(error, OpenError::PathTooLong { excess, .. } if excess > 0), "{error}");
}

#[tokio::test]
async fn a_missing_workerd_is_named() {
    let dir = tempfile::tempdir().expect("a folder");
    let options = Options {
        workerd: "/nonexistent/workerd".into(),
        run_dir: dir.path().join("run"),
        cron_runs: None,
        grace: Duration::ZERO,
    };
    let (process, _events) = WorkerProcess::new(options).expect("a host");
    let host = Host::new().await;
    let error = process.deploy(host.spec(OK), async {}).await.expect_err("there is no workerd");
    let text = std::error::Error::source(&error).expect("a cause").to_string();
    assert_eq!(text, "could not run /nonexistent/workerd");
    process.stop().await;
    host.process.stop().await;
}

/// Set for the process that [`a_host_to_be_killed`] runs in.
const TO_BE_KILLED: &str = "BERTH_TEST_TO_BE_KILLED";

/// Nothing by itself: the other half of the promise below.
#[tokio::test]
async fn a_host_to_be_killed() {
    if std::env::var_os(TO_BE_KILLED).is_some() {
        let host = Host::serving(OK).await;
        println!(
            "workerd={} dir={}",
            host.process.pid().expect("a process"),
            host.dir.path().display()
        );
        std::future::pending::<()>().await;
    }
}

#[tokio::test]
async fn a_host_that_is_killed_takes_its_process_along() {
    use tokio::io::{AsyncBufReadExt, BufReader};
    crate::host::toolchain().await;
    let mut host = tokio::process::Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "replacing::a_host_to_be_killed", "--nocapture"])
        .env(TO_BE_KILLED, "1")
        .stdout(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("this test again");
    let mut lines = BufReader::new(host.stdout.take().expect("a pipe")).lines();
    let (pid, dir) = loop {
        let line = lines.next_line().await.expect("a pipe").expect("a host that serves");
        if let Some((_, said)) = line.split_once("workerd=") {
            let (pid, dir) = said.split_once(" dir=").expect("both");
            break (pid.parse::<u32>().expect("a number"), dir.to_owned());
        }
    };
    let stat = fs_err::read_to_string(format!("/proc/{pid}/stat")).expect("a process");
    let group = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(2));
    assert_eq!(group, Some(pid.to_string().as_str()), "Ctrl-C in a terminal does not reach it");
    host.kill().await.expect("a process");
    gone(pid).await;
    fs_err::remove_dir_all(dir).expect("what it left behind");
}

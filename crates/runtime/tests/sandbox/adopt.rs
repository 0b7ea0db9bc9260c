//! A sandbox without its agent: what a restart loses, which is nothing.

use std::path::{Path, PathBuf};

use berth_runtime::{AdoptError, SandboxHandle};
use tokio::io::AsyncReadExt;

use crate::host::{self, Host, Processes, answer, cgroups, connect, is_root, within};

/// Runs `work` as an agent of its own, which is then gone as if killed: its tasks, descriptors and
/// runtime are dropped without any farewell.
fn as_agent<T: Send + 'static>(
    dir: &Path,
    cgroup: &str,
    work: impl AsyncFnOnce(&berth_runtime::Runtime, PathBuf) -> T + Send + 'static,
) -> T {
    let (dir, cgroup) = (dir.to_owned(), cgroup.to_owned());
    let run = move || {
        let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        tokio.block_on(async {
            let runtime = host::open(&dir.join("instances"), &cgroup, 1).await;
            work(&runtime, host::image(&dir)).await
        })
    };
    std::thread::spawn(run).join().unwrap()
}

fn place() -> (tempfile::TempDir, Processes) {
    (tempfile::tempdir().unwrap(), Processes::new())
}

/// Starts a program and leaves.
fn leave_behind(dir: &Path, cgroup: &str, args: &'static [&'static str]) -> SandboxHandle {
    as_agent(dir, cgroup, async move |runtime, image| {
        let parked = runtime.prepare().await.unwrap();
        let (sandbox, _output) = runtime.start(parked, host::spec(image, args)).await.unwrap();
        sandbox.handle()
    })
}

fn assert_nothing_is_left(dir: &Path, cgroup: &str) {
    let left: Vec<_> = fs_err::read_dir(dir.join("instances")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(cgroups(cgroup), Vec::<PathBuf>::new());
}

#[test]
fn a_sandbox_outlives_its_agent_and_what_it_prints_meanwhile_is_read_by_the_next() {
    if !is_root() {
        return;
    }
    let (dir, cgroup) = place();
    let handle = leave_behind(dir.path(), &cgroup, &["say-on-connect", "127.0.0.1:80"]);
    as_agent(dir.path(), &cgroup, async move |runtime, _| {
        let leftovers = runtime.leftovers().await.unwrap();
        assert_eq!(leftovers.len(), 1);
        assert_eq!((&leftovers[0].handle, leftovers[0].running), (&handle, true));
        let (sandbox, _output) = runtime.adopt(handle).await.unwrap();
        assert_eq!(answer(&sandbox, 80).await, "said");
        // Its output was not read: it waits for the next.
    });
    let handle = as_agent(dir.path(), &cgroup, async move |runtime, _| {
        runtime.leftovers().await.unwrap().remove(0).handle
    });
    as_agent(dir.path(), &cgroup, async move |runtime, _| {
        let (sandbox, mut output) = runtime.adopt(handle).await.unwrap();
        assert_eq!(answer(&sandbox, 80).await, "said");
        let expected = "line 0\nline 1\n";
        let mut stdout = vec![0; expected.len()];
        within(output.stdout.read_exact(&mut stdout)).await.unwrap();
        assert_eq!(String::from_utf8(stdout).unwrap(), expected);
        assert!(runtime.leftovers().await.unwrap().is_empty());
        sandbox.destroy().await.unwrap();
        runtime.clone().close().await;
    });
    assert_nothing_is_left(dir.path(), &cgroup);
}

#[test]
fn an_end_while_the_agent_is_away_is_told_with_the_last_output() {
    if !is_root() {
        return;
    }
    let (dir, cgroup) = place();
    let handle = leave_behind(dir.path(), &cgroup, &["exit-on-connect", "127.0.0.1:80", "7"]);
    // Somebody who is not its agent makes it end, through its own namespace.
    let connector = as_agent(dir.path(), &cgroup, {
        let handle = handle.clone();
        async move |runtime, _| {
            let (sandbox, _output) = runtime.adopt(handle).await.unwrap();
            let stream = connect(&sandbox, 80).await;
            let stream = stream.into_std().unwrap();
            stream.set_nonblocking(false).unwrap();
            stream
        }
    });
    std::io::Write::write_all(&mut &connector, b"now").unwrap();
    wait_for_end(&handle);
    as_agent(dir.path(), &cgroup, async move |runtime, _| {
        match runtime.adopt(handle.clone()).await.unwrap_err() {
            AdoptError::Exited { id, status, stdout, stderr } => {
                assert_eq!((id, status.code, status.oom), (handle.id.clone(), 7, false));
                assert_eq!((stdout, stderr), (b"last words\n".to_vec(), b"and errors\n".to_vec()));
            }
            other => panic!("{other}"),
        }
        assert!(!runtime.leftovers().await.unwrap()[0].running);
        runtime.remove(&handle).await.unwrap();
        let gone = runtime.adopt(handle).await.unwrap_err();
        assert!(matches!(gone, AdoptError::Gone(_)), "{gone}");
        runtime.clone().close().await;
    });
    assert_nothing_is_left(dir.path(), &cgroup);
}

#[test]
fn a_sandbox_whose_init_was_killed_while_the_agent_was_away_counts_as_killed() {
    if !is_root() {
        return;
    }
    let (dir, cgroup) = place();
    let handle = leave_behind(dir.path(), &cgroup, &["sleep"]);
    let pid = rustix::process::Pid::from_raw(handle.pid.try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    wait_for_end(&handle);
    as_agent(dir.path(), &cgroup, async move |runtime, _| {
        match runtime.adopt(handle.clone()).await.unwrap_err() {
            AdoptError::Exited { status, .. } => assert_eq!(status.code, 137),
            other => panic!("{other}"),
        }
        runtime.remove(&handle).await.unwrap();
        runtime.clone().close().await;
    });
    assert_nothing_is_left(dir.path(), &cgroup);
}

#[test]
fn egress_works_again_after_an_adoption() {
    if !is_root() {
        return;
    }
    let (dir, cgroup) = place();
    let handle = as_agent(dir.path(), &cgroup, async move |runtime, image| {
        let parked = runtime.prepare().await.unwrap();
        // The attempt begins while there may be nobody to take it.
        let mut spec = host::spec(image, &["connect", "203.0.113.7:443"]);
        spec.internet = true;
        let (sandbox, _output) = runtime.start(parked, spec).await.unwrap();
        sandbox.handle()
    });
    as_agent(dir.path(), &cgroup, async move |runtime, _| {
        let (sandbox, output) = match runtime.adopt(handle.clone()).await {
            // The former agent's listener took it and died with it.
            Err(AdoptError::Exited { .. }) => {
                runtime.remove(&handle).await.unwrap();
                runtime.clone().close().await;
                return;
            }
            result => result.unwrap(),
        };
        let listener = sandbox.egress_tcp().unwrap();
        tokio::select! {
            accepted = listener.accept() => {
                let local = accepted.unwrap().0.local_addr().unwrap();
                assert_eq!(local.to_string(), "203.0.113.7:443");
            }
            _ = sandbox.wait() => {}
        }
        drop((listener, output));
        sandbox.destroy().await.unwrap();
        runtime.clone().close().await;
    });
    assert_nothing_is_left(dir.path(), &cgroup);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_launcher_takes_no_sandbox_with_it_and_is_replaced() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    let (sandbox, _output) = host.start(&["serve", "127.0.0.1:80"]).await;
    let launcher = host.runtime.launcher_pid().await.unwrap();
    let pid = rustix::process::Pid::from_raw(launcher.try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    // Whatever the pool holds, two more need a launcher.
    for _ in 0..3 {
        let (another, _output) = host.start(&["serve", "127.0.0.1:80"]).await;
        assert_eq!(answer(&another, 80).await, "hello from inside");
        another.destroy().await.unwrap();
    }
    assert_eq!(answer(&sandbox, 80).await, "hello from inside");
    assert_ne!(host.runtime.launcher_pid().await, Some(launcher));
    sandbox.destroy().await.unwrap();
    host.close().await;
}

/// Waits until the sandbox's init is gone, asking the kernel.
fn wait_for_end(handle: &SandboxHandle) {
    let deadline = std::time::Instant::now() + host::DEADLINE;
    let stat = format!("/proc/{}/stat", handle.pid);
    while fs_err::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z ")) {
        assert!(std::time::Instant::now() < deadline, "it ends before the deadline");
        std::thread::yield_now();
    }
}

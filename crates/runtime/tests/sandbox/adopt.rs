//! A sandbox without its agent: what a restart loses, which is nothing.

use std::path::{Path, PathBuf};

use runtime::{AdoptError, SandboxHandle};
use tokio::io::AsyncReadExt;

use crate::host::{self, Host, Processes, answer, cgroups, connect, is_root, within};

/// Runs `work` as an agent of its own, which is then gone as if killed: its tasks, descriptors and
/// runtime are dropped without any farewell.
pub(crate) fn as_agent<T: Send + 'static>(
    dir: &Path,
    cgroup: &str,
    work: impl AsyncFnOnce(&runtime::Runtime, PathBuf) -> T + Send + 'static,
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
    // What a test beside this one has forked may hold the agent's end until it executes.
    until(|| sockets(&handle) == 1);
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

/// Where the agent that is to be killed finds its directory; set for that process alone.
const VICTIM: &str = "BERTH_TEST_VICTIM";

#[test]
fn a_killed_agent_leaves_its_running_sandbox_and_nothing_else() {
    if !is_root() {
        return;
    }
    if let Ok(place) = std::env::var(VICTIM) {
        let (dir, cgroup) = place.split_once('|').unwrap();
        return victim(Path::new(dir), cgroup);
    }
    let (dir, cgroup) = place();
    let ready = dir.path().join("ready");
    let mut agent = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "adopt::a_killed_agent_leaves_its_running_sandbox_and_nothing_else"])
        .env(VICTIM, format!("{}|{}", dir.path().display(), &*cgroup))
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    until(|| ready.exists());
    let pids: Vec<i32> = processes(&cgroup);
    assert!(pids.len() > 2, "a server, its init and parked ones: {pids:?}");
    agent.kill().unwrap();
    agent.wait().unwrap();
    // What was parked ends by itself; the launcher is in no cgroup of ours, so look for its parent.
    until(|| processes(&cgroup).len() == 2);
    let launcher: i32 = fs_err::read_to_string(&ready).unwrap().parse().unwrap();
    until(|| !Path::new(&format!("/proc/{launcher}/exe")).exists());

    as_agent(dir.path(), &cgroup, async move |runtime, _| {
        let mut leftovers = runtime.leftovers().await.unwrap();
        assert_eq!(leftovers.len(), 1);
        let (sandbox, _output) = runtime.adopt(leftovers.remove(0).handle).await.unwrap();
        assert_eq!(answer(&sandbox, 80).await, "hello from inside");
        sandbox.destroy().await.unwrap();
        runtime.clone().close().await;
    });
    assert_nothing_is_left(dir.path(), &cgroup);
}

/// Starts one sandbox, says so, and waits to be killed.
fn victim(dir: &Path, cgroup: &str) {
    as_agent(dir, cgroup, {
        let dir = dir.to_owned();
        async move |runtime, image| {
            let spec = host::spec(image, &["serve", "127.0.0.1:80"]);
            let parked = runtime.prepare().await.unwrap();
            let (sandbox, _output) = runtime.start(parked, spec).await.unwrap();
            // The pool fills up again.
            let _parked = runtime.prepare().await.unwrap();
            let launcher = runtime.launcher_pid().await.unwrap();
            fs_err::write(dir.join("starting"), launcher.to_string()).unwrap();
            fs_err::rename(dir.join("starting"), dir.join("ready")).unwrap();
            sandbox.wait().await;
        }
    });
}

/// All processes below a cgroup.
fn processes(cgroup: &str) -> Vec<i32> {
    let Some(dir) = cgroups(cgroup).into_iter().next() else { return Vec::new() };
    let entries = fs_err::read_dir(dir).unwrap().flatten();
    let procs = entries.map(|entry| fs_err::read_to_string(entry.path().join("cgroup.procs")));
    let text: String = procs.flatten().collect();
    text.lines().map(|pid| pid.parse().unwrap()).collect()
}

pub(crate) fn until(condition: impl Fn() -> bool) {
    let deadline = std::time::Instant::now() + host::DEADLINE;
    while !condition() {
        assert!(std::time::Instant::now() < deadline, "it happens before the deadline");
        std::thread::yield_now();
    }
}

/// Waits until the sandbox's init is gone, asking the kernel.
/// How many its init has: one to be adopted by, and one more while an agent is there.
fn sockets(handle: &SandboxHandle) -> usize {
    let descriptors = fs_err::read_dir(format!("/proc/{}/fd", handle.pid)).unwrap();
    let targets = descriptors.filter_map(|entry| fs_err::read_link(entry.ok()?.path()).ok());
    targets.filter(|target| target.to_string_lossy().starts_with("socket:")).count()
}

fn wait_for_end(handle: &SandboxHandle) {
    let stat = format!("/proc/{}/stat", handle.pid);
    until(|| fs_err::read_to_string(&stat).map_or(true, |stat| stat.contains(") Z ")));
}

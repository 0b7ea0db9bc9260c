//! What is left on the host: nothing.

use crate::host::{self, Host, cgroups, is_root};

#[tokio::test(flavor = "multi_thread")]
async fn a_destroyed_sandbox_leaves_no_process_mount_namespace_cgroup_or_directory() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    let mut spec = host.spec(&["orphan-and-sleep"]);
    spec.internet = true;
    let (sandbox, output) = host.start_spec(spec).await;
    let handle = sandbox.handle();
    let namespace = fs_err::read_link(format!("/proc/{}/ns/net", handle.pid)).unwrap();
    assert!(handle.dir.exists() && handle.cgroups.iter().all(|dir| dir.exists()));
    assert!(!handle.cgroups.is_empty());
    let clone = sandbox.clone();
    let (first, second) = tokio::join!(sandbox.destroy(), clone.clone().destroy());
    first.unwrap();
    second.unwrap();
    drop(output);

    assert!(!handle.dir.exists());
    assert!(handle.cgroups.iter().all(|dir| !dir.exists()), "{:?}", handle.cgroups);
    let mounts = fs_err::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(&handle.id), "{mounts}");
    for pid in pids() {
        let process = format!("/proc/{pid}");
        let cgroup = fs_err::read_to_string(format!("{process}/cgroup")).unwrap_or_default();
        assert!(!cgroup.contains(&handle.id), "{process} is in its cgroup");
        let of_process = fs_err::read_link(format!("{process}/ns/net"));
        assert!(!of_process.is_ok_and(|net| net == namespace), "{process} is in its network");
    }
    assert!(clone.connect(80).await.is_err() && clone.egress_tcp().is_err());
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parked_sandboxes_and_the_launcher_end_with_the_runtime() {
    if !is_root() {
        return;
    }
    let host = Host::with_parked(3).await;
    let unused = host.runtime.prepare().await.unwrap();
    drop(unused);
    let launcher = host.runtime.launcher_pid().await.unwrap();
    let (dir, cgroup) = (host.dir.clone(), host.cgroup.to_owned());
    let runtime = host.runtime.clone();
    runtime.close().await;
    assert_eq!(fs_err::read_dir(&dir).unwrap().count(), 0);
    assert!(!std::path::Path::new(&format!("/proc/{launcher}")).exists());
    assert!(!pids().iter().any(|pid| {
        let cgroup_of = fs_err::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        cgroup_of.contains(&cgroup)
    }));
    assert!(cgroups(&cgroup).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_runtime_left_parked_is_swept_by_the_next() {
    if !is_root() {
        return;
    }
    let temporary = tempfile::tempdir().unwrap();
    let cgroup = host::Processes::new();
    let dir = temporary.path().to_owned();
    let (first_dir, first_cgroup) = (dir.clone(), cgroup.to_owned());
    let first = move || {
        let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        tokio.block_on(async {
            let runtime = host::open(&first_dir, &first_cgroup, 0).await;
            // Forgotten, so that nothing is cleaned up, as after SIGKILL.
            std::mem::forget(runtime.prepare().await.unwrap());
        });
    };
    std::thread::spawn(first).join().unwrap();
    assert_eq!(fs_err::read_dir(&dir).unwrap().count(), 1);
    fs_err::create_dir_all(dir.join("half-made/upper")).unwrap();
    // Its init still lives, because the forgotten connection does: so end it as the kernel would.
    let init = pids().into_iter().find(|pid| {
        let cgroup_of = fs_err::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        cgroup_of.contains(&*cgroup)
    });
    let init = rustix::process::Pid::from_raw(init.unwrap()).unwrap();
    rustix::process::kill_process(init, rustix::process::Signal::KILL).unwrap();
    let runtime = host::open(&dir, &cgroup, 0).await;
    assert_eq!(fs_err::read_dir(&dir).unwrap().count(), 0);
    assert!(runtime.leftovers().await.unwrap().is_empty());
    runtime.close().await;
    assert!(cgroups(&cgroup).is_empty());
}

fn pids() -> Vec<i32> {
    let entries = fs_err::read_dir("/proc").unwrap().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

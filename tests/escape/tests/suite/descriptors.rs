//! Descriptors and executables of Berth itself, as in CVE-2024-21626 and CVE-2019-5736.

use std::path::{Path, PathBuf};

use escape::{Host, is_root, process, read_all, within};
use runtime::{ExecStreams, Sandbox};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};

/// Descriptors that init holds, by their numbers: what a leak would have to be.
fn held_by_init(sandbox: &Sandbox) -> Vec<String> {
    let fds = fs_err::read_dir(format!("/proc/{}/fd", sandbox.handle().pid)).unwrap();
    let names = fds.map(|fd| fd.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name.parse::<u32>().unwrap() > 2).collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn no_working_directory_leads_to_a_descriptor_of_init() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    let (sandbox, _output) = host.start(host.spec(&["sleep"])).await;
    let held = held_by_init(&sandbox);
    assert!(held.len() > 3, "init holds something to leak: {held:?}");
    let link = host.image().join("work");
    for fd in held.iter().map(String::as_str).chain(["3", "7", "8", "9"]) {
        let _ = fs_err::remove_file(&link);
        std::os::unix::fs::symlink(format!("/proc/self/fd/{fd}"), &link).unwrap();
        for cwd in [
            format!("/proc/self/fd/{fd}"),
            format!("/proc/self/fd/{fd}/../../../.."),
            "/work".into(),
        ] {
            let mut spec = host.spec(&["try", "read marker", "list ."]);
            spec.process.cwd.clone_from(&cwd);
            let parked = host.runtime.prepare().await.unwrap();
            let error = host.runtime.start(parked, spec).await.unwrap_err();
            assert!(!error.to_string().is_empty(), "{cwd}");
            let mut exec = process(&["try", "list ."]);
            exec.cwd = cwd.clone();
            let result = sandbox.exec(exec, ExecStreams::default()).await;
            assert!(result.is_err(), "{cwd}: {result:?}");
        }
    }
    for cwd in ["/proc/1/cwd", "/proc/1/root", "/proc/1/fd/3"] {
        let mut exec = process(&["try", "list ."]);
        exec.cwd = cwd.to_owned();
        assert!(sandbox.exec(exec, ExecStreams::default()).await.is_err(), "{cwd}");
    }
    // The control: a directory of the instance.
    let mut exec = process(&["try", "list ."]);
    exec.cwd = "/home".to_owned();
    assert!(sandbox.exec(exec, ExecStreams::default()).await.is_ok());
    sandbox.destroy().await.unwrap();
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_get_their_streams_and_no_other_descriptor() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    for terminal in [None, Some((80, 24))] {
        let mut spec = host.spec(&["try", "list /proc/self/fd"]);
        spec.process.terminal = terminal;
        let (_, text) = host.run(spec).await;
        // The fourth is the directory being read.
        assert!(text.trim().ends_with("ok 0 1 2 3"), "{terminal:?}: {text}");
    }
    let (sandbox, _output) = host.start(host.spec(&["sleep"])).await;
    let answers = Host::executed(&sandbox, &["list /proc/self/fd"]).await;
    assert_eq!(answers.only(), &Ok("0 1 2 3".to_owned()));
    sandbox.destroy().await.unwrap();
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_is_not_yet_its_program_shows_nothing_of_init() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    let (sandbox, mut output) = host.start(host.spec(&["watch-processes"])).await;
    let mut lines = BufReader::new(&mut output.stdout).lines();
    assert_eq!(within(lines.next_line()).await.unwrap().as_deref(), Some("watching"));
    for _ in 0..60 {
        let exec = sandbox.exec(process(&["say", "x"]), ExecStreams::default()).await.unwrap();
        within(exec.wait()).await;
    }
    // A program that is init's own executable: `/proc/self/exe` before anything was executed.
    for _ in 0..20 {
        let mut own = process(&[]);
        own.args = vec!["/proc/self/exe".to_owned()];
        if let Ok(exec) = sandbox.exec(own, ExecStreams::default()).await {
            within(exec.wait()).await;
        }
    }
    let stop = process(&["fill", "/tmp/stop", "0"]);
    within(sandbox.exec(stop, ExecStreams::default()).await.unwrap().wait()).await;
    let mut seen = Vec::new();
    while let Some(line) = within(lines.next_line()).await.unwrap() {
        seen.push(line);
    }
    let looks = seen.remove(0);
    assert!(looks.starts_with("looks "), "{looks}");
    let harmless = |line: &&String| {
        let (kind, target) = line.split_once(' ').unwrap();
        match kind {
            // Init's executable has no path, and cannot be written: see below.
            "exe" => target == "/bin/attacker" || target.starts_with("/memfd:berth-init"),
            "cwd" | "root" => target == "/",
            // Its own memory map: the attacker's runtime looks for its stack.
            "fd" if target.starts_with("/proc/") => target.ends_with("/maps"),
            "fd" => {
                target == "pipe" || ["/dev/null", "/dev/urandom", "/tmp/stop"].contains(&target)
            }
            _ => false,
        }
    };
    let found: Vec<&String> = seen.iter().filter(|line| !harmless(line)).collect();
    assert!(found.is_empty(), "{found:?}");
    assert!(seen.contains(&"exe /bin/attacker".to_owned()), "it did look: {seen:?}");
    sandbox.destroy().await.unwrap();
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_runs_proc_self_exe_changes_no_executable_of_berth() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    let image = host.image();
    std::os::unix::fs::symlink("/proc/self/exe", image.join("bin/link")).unwrap();
    fs_err::write(image.join("bin/script"), "#!/proc/self/exe\n").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs_err::set_permissions(image.join("bin/script"), mode).unwrap();
    // A launcher, and what it runs.
    drop(host.runtime.prepare().await.unwrap());
    let launcher = host.runtime.launcher_pid().await.unwrap();
    let executable = PathBuf::from(format!("/proc/{launcher}/exe"));
    let before = fs_err::read(&executable).unwrap();
    for program in ["/proc/self/exe", "/bin/link", "/bin/script"] {
        let mut spec = host.spec(&[]);
        spec.process.args = vec![program.to_owned()];
        let parked = host.runtime.prepare().await.unwrap();
        if let Ok((sandbox, output)) = host.runtime.start(parked, spec).await {
            read_all(output).await;
            within(sandbox.wait()).await;
            sandbox.destroy().await.unwrap();
        }
    }
    assert!(fs_err::read(&executable).unwrap() == before, "the executable is what it was");
    assert_sealed(&executable);
    let (status, text) = host.run(host.spec(&["say", "still"])).await;
    assert_eq!((status.code, text.trim()), (0, "still"));
    host.close().await;
}

/// Not even the host's root can write to it.
fn assert_sealed(executable: &Path) {
    let error = std::fs::File::options()
        .write(true)
        .open(executable)
        .and_then(|mut file| std::io::Write::write_all(&mut file, b"x"));
    let errno = error.unwrap_err().raw_os_error();
    assert!([Some(libc::ETXTBSY), Some(libc::EPERM)].contains(&errno), "{errno:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn inits_socket_and_the_runtimes_directory_cannot_be_reached() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    let (sandbox, mut output) = host.start(host.spec(&["sleep"])).await;
    let socket = sandbox.handle().dir.join("init.sock");
    assert!(socket.exists());
    let path = socket.display();
    let answers = Host::executed(
        &sandbox,
        &[
            &format!("connect-unix {path}"),
            &format!("connect-unix /proc/1/root{path}"),
            &format!("list {}", host.dir.display()),
            "connect-unix /proc/1/fd/3",
        ],
    )
    .await;
    answers.refused(&[libc::ENOENT, libc::EACCES, libc::EPERM]);
    let mut ready = [0; 6];
    within(output.stdout.read_exact(&mut ready)).await.unwrap();
    sandbox.destroy().await.unwrap();
    host.close().await;
}

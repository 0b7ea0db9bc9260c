//! Privileges: few, written down, and none to be gained.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

use escape::{Answers, Host, attacker, is_root};

/// What root inside may do, by name; SECURITY.md says why each.
const KEPT: [(&str, u32); 11] = [
    ("CAP_CHOWN", 0),
    ("CAP_DAC_OVERRIDE", 1),
    ("CAP_FOWNER", 3),
    ("CAP_FSETID", 4),
    ("CAP_KILL", 5),
    ("CAP_SETGID", 6),
    ("CAP_SETUID", 7),
    ("CAP_SETPCAP", 8),
    ("CAP_NET_BIND_SERVICE", 10),
    ("CAP_SYS_CHROOT", 18),
    ("CAP_SETFCAP", 31),
];

fn field<'a>(status: &'a str, name: &str) -> &'a str {
    let found = status.split('|').find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    found.unwrap_or_else(|| panic!("no {name} in {status}")).trim()
}

fn assert_confined(status: &str, root: bool) {
    let kept = KEPT.iter().fold(0_u64, |set, (_, number)| set | (1 << number));
    let held = if root { kept } else { 0 };
    for (name, expected) in
        [("CapBnd", kept), ("CapPrm", held), ("CapEff", held), ("CapInh", 0), ("CapAmb", 0)]
    {
        assert_eq!(field(status, name), format!("{expected:016x}"), "{name}");
    }
    assert_eq!(field(status, "NoNewPrivs"), "1");
    assert_eq!((field(status, "Seccomp"), field(status, "Seccomp_filters")), ("2", "1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_program_has_the_documented_capabilities_and_no_more() {
    if !is_root() {
        return;
    }
    // The attacker prints newlines as `|`; the file is shorter than what it reads.
    const STATUS: [&str; 1] = ["read /proc/self/status"];
    let host = Host::open().await;
    let status = |answers: &Answers| answers.only().clone().unwrap();
    assert_confined(&status(&host.inside(&STATUS).await), true);
    assert_confined(&status(&host.inside_as("app", &STATUS).await), false);
    let (sandbox, _output) = host.start(host.spec(&["sleep"])).await;
    assert_confined(&status(&Host::executed(&sandbox, &STATUS).await), true);
    sandbox.destroy().await.unwrap();
    let mut spec = host.spec(&["try", STATUS[0]]);
    spec.process.terminal = Some((80, 24));
    let (_, text) = host.run(spec).await;
    assert_confined(text.split_once("\tok ").unwrap().1.trim(), true);
    host.close().await;
}

#[test]
fn the_documented_capabilities_are_those_of_security_md() {
    let document = include_str!("../../../../SECURITY.md");
    for (name, _) in KEPT {
        assert!(document.contains(name.trim_start_matches("CAP_")), "{name} is documented");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn setuid_programs_give_nothing() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    let program = host.image().join("bin/setuid");
    fs_err::copy(attacker(), &program).unwrap();
    fs_err::set_permissions(&program, PermissionsExt::from_mode(0o6755)).unwrap();
    let answers = host.inside_as("app", &["run /bin/setuid ids"]).await;
    assert_eq!(answers.only(), &Ok("ok (1000, 1000)".to_owned()));

    // On the host the same file makes its user root. It has to be reachable for them.
    let open = tempfile::tempdir().unwrap();
    fs_err::set_permissions(open.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let copy = open.path().join("setuid");
    fs_err::copy(attacker(), &copy).unwrap();
    fs_err::set_permissions(&copy, PermissionsExt::from_mode(0o6755)).unwrap();
    let output = Command::new(&copy).args(["try", "ids"]).uid(1000).gid(1000).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "ids\tok (1000, 0)");
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn capabilities_of_a_file_give_nothing() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    let program = host.image().join("bin/capable");
    fs_err::copy(attacker(), &program).unwrap();
    // `struct vfs_cap_data`, revision 2 with the effective bit: all of the first 32.
    let mut capabilities = vec![1, 0, 0, 2];
    capabilities.extend([0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    let flags = rustix::fs::XattrFlags::empty();
    rustix::fs::setxattr(&program, "security.capability", &capabilities, flags).unwrap();
    for user in ["", "app"] {
        let attempts = ["run /bin/capable mount none /tmp tmpfs 0"];
        host.inside_as(user, &attempts).await.refused(&[libc::EPERM]);
        let attempts = ["run /bin/capable read /proc/self/status"];
        match host.inside_as(user, &attempts).await.only() {
            // The kernel may refuse to execute it: it would get less than it asks for.
            Err(errno) => assert_eq!(*errno, libc::EPERM),
            Ok(status) => assert_confined(&status.replacen("ok ", "", 1), user.is_empty()),
        }
    }
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn capabilities_that_were_given_up_cannot_be_taken_back() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    let prctl = libc::SYS_prctl;
    // Ambient: raise each; and no_new_privs cannot be cleared.
    let mut attempts: Vec<String> = (0..=40)
        .map(|capability| {
            format!(
                "syscall {prctl} {} {} {capability}",
                libc::PR_CAP_AMBIENT,
                libc::PR_CAP_AMBIENT_RAISE
            )
        })
        .collect();
    attempts.push(format!("syscall {prctl} {} 0 0 0 0", libc::PR_SET_NO_NEW_PRIVS));
    let attempts: Vec<&str> = attempts.iter().map(String::as_str).collect();
    host.inside(&attempts).await.refused(&[libc::EPERM, libc::EINVAL]);
    host.close().await;
}

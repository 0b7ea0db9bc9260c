//! The seccomp filter as the kernel holds it, against Docker's default profile: at least as strict.

use std::collections::BTreeSet;

use escape::{Host, is_root, run_outside};

use crate::docker;

#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xc000_00b7;
const I386: u32 = 0x4000_0003;
const ALLOW: u32 = 0x7fff_0000;
const X32: u32 = 0x4000_0000;

/// Calls that Berth allows and Docker does not, each with its reason. There are none.
const EXTRA: [&str; 0] = [];

/// Calls that depend on their arguments, looked at one by one.
const SPECIAL: [i64; 4] =
    [libc::SYS_socket, libc::SYS_personality, libc::SYS_clone, libc::SYS_socketpair];

struct Filter(Vec<u64>);

impl Filter {
    /// What it answers to a call.
    fn run(&self, architecture: u32, number: u32, argument: u64) -> u32 {
        let data = |offset: u64| match offset {
            0 => number,
            4 => architecture,
            // Both halves of each of the six arguments: the same value in all of them.
            16.. if offset.is_multiple_of(8) => argument as u32,
            20.. => (argument >> 32) as u32,
            _ => 0,
        };
        let (mut at, mut register) = (0_usize, 0_u32);
        loop {
            let i = self.0[at];
            let (code, if_true, if_false) = (i & 0xffff, (i >> 16) & 0xff, (i >> 24) & 0xff);
            let value = (i >> 32) as u32;
            at += 1;
            let mut jump =
                |condition: bool| at += (if condition { if_true } else { if_false }) as usize;
            match code {
                0x20 => register = data(value.into()),
                0x54 => register &= value,
                0x15 => jump(register == value),
                0x25 => jump(register > value),
                0x35 => jump(register >= value),
                0x45 => jump(register & value != 0),
                0x05 => at += value as usize,
                0x06 => return value,
                _ => panic!("an instruction this test does not know: {i:#x}"),
            }
        }
    }

    fn allows(&self, number: i64, argument: u64) -> bool {
        self.run(ARCHITECTURE, u32::try_from(number).unwrap(), argument) == ALLOW
    }
}

/// The filter of a main program.
async fn installed(host: &Host) -> Option<Filter> {
    let (sandbox, _output) = host.start(host.spec(&["sleep"])).await;
    let output = run_outside(&["dump-filter", &sandbox.pid().to_string()]);
    sandbox.destroy().await.unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    if text.starts_with("errno") {
        // The kernel was built without CONFIG_CHECKPOINT_RESTORE.
        return None;
    }
    let instructions = text.lines().map(|line| u64::from_str_radix(line, 16).unwrap());
    Some(Filter(instructions.collect()))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_installed_filter_allows_nothing_that_docker_does_not() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    let Some(filter) = installed(&host).await else { return host.close().await };
    let lists = [docker::COMMON, docker::OLD, docker::UNNAMED].concat();
    let documented: BTreeSet<i64> = lists.iter().map(|(_, number)| *number).collect();
    let mut allowed = 0;
    for number in (0..2048).filter(|number| !SPECIAL.contains(number)) {
        if [0, 1, u64::MAX].iter().any(|&argument| filter.allows(number, argument)) {
            allowed += 1;
            let name = lists.iter().find(|(_, n)| *n == number).map_or("unnamed", |(name, _)| name);
            assert!(
                documented.contains(&number) || EXTRA.contains(&name),
                "system call {number} is allowed and Docker refuses it"
            );
        }
    }
    assert!(allowed > 200, "it is an allow-list that programs can live with: {allowed}");
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn arguments_are_restricted_at_least_as_docker_restricts_them() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    let Some(filter) = installed(&host).await else { return host.close().await };
    for family in 0..1000_u32 {
        let allowed = filter.allows(libc::SYS_socket, family.into());
        assert!(!allowed || docker::allows_family(family), "socket family {family}");
    }
    assert!(filter.allows(libc::SYS_socket, 2));
    for bit in 0..32 {
        let flag = 1_u64 << bit;
        let namespace = 0x7e02_0000 & flag != 0;
        assert_eq!(filter.allows(libc::SYS_clone, flag), !namespace, "clone with {flag:#x}");
        let value = 1_u32 << bit;
        let allowed = filter.allows(libc::SYS_personality, value.into());
        assert!(!allowed || docker::PERSONALITIES.contains(&value), "personality {value:#x}");
    }
    assert!(!filter.allows(libc::SYS_clone3, 0));
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_other_architecture_has_system_calls() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    let Some(filter) = installed(&host).await else { return host.close().await };
    for number in 0..1024 {
        for argument in [0, 1] {
            assert_ne!(filter.run(I386, number, argument), ALLOW, "32-bit call {number}");
            assert_ne!(
                filter.run(ARCHITECTURE, X32 | number, argument),
                ALLOW,
                "x32 call {number}"
            );
        }
    }
    host.close().await;
}

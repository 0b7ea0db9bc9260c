//! The seccomp filter of every program inside: an allow-list, Docker's default profile for a
//! container with our capabilities, without 32-bit programs and io_uring.
//!
//! The filter is a binary search over ranges of system call numbers, about nine steps deep. A chain
//! of comparisons, as libraries make it, would cost each start more: at installation the kernel runs
//! the filter once for each system call, to learn which are always allowed.

mod bpf;
mod calls;

use bpf::{Action, Filter};

/// The filter's bytes, 8 for each instruction.
pub(crate) fn filter() -> Vec<u8> {
    program().iter().flat_map(|i| i.to_bytes()).collect()
}

/// What an architecture is called in the data a filter sees.
#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xc000_00b7;

/// Flags of clone that make namespaces: what unshare would be refused.
const CLONE_NAMESPACES: u32 = 0x7e02_0000;

fn program() -> Vec<bpf::Instruction> {
    let mut filter = Filter::new(ARCHITECTURE);
    // A namespace needs no privilege inside a user namespace, and each opens kernel code.
    filter.argument(libc::SYS_clone, bpf::Test::NoneOf(CLONE_NAMESPACES), libc::EPERM);
    // Its flags are in memory, where no filter can see them; libc falls back to clone.
    filter.refuse(libc::SYS_clone3, libc::ENOSYS);
    // Asking for another family loads its module into the host's kernel, with its record of holes;
    // and hypervisor sockets reach the host (or the cloud's) past the network namespace.
    let families = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];
    let families = bpf::Test::In(families.map(i32::cast_unsigned).to_vec());
    filter.argument(libc::SYS_socket, families, libc::EAFNOSUPPORT);
    let unix = bpf::Test::In(vec![libc::AF_UNIX.cast_unsigned()]);
    filter.argument(libc::SYS_socketpair, unix, libc::EAFNOSUPPORT);
    // Linux, 32-bit addresses, both, with `UNAME26`, and "what is it now?".
    let personalities = vec![0, 0x0008, 0x0002_0000, 0x0002_0008, u32::MAX];
    filter.argument(libc::SYS_personality, bpf::Test::In(personalities), libc::EPERM);
    for call in calls::allowed() {
        filter.allow(call);
    }
    // Numbers we do not know are calls newer than this list: libc tries an older one on ENOSYS. So
    // are the numbers of the x32 ABI.
    filter.compile(
        Action::Errno(libc::EPERM.cast_unsigned()),
        calls::HIGHEST,
        Action::Errno(libc::ENOSYS.cast_unsigned()),
    )
}

#[cfg(test)]
mod tests {
    use super::bpf::interpret;
    use super::*;

    fn errno(errno: i32) -> u32 {
        Action::Errno(errno.cast_unsigned()).value()
    }

    fn result(call: i64, argument: u64) -> u32 {
        interpret(&program(), ARCHITECTURE, u32::try_from(call).unwrap(), argument)
    }

    #[test]
    fn each_number_is_allowed_or_refused_as_listed() {
        let special = [
            libc::SYS_clone,
            libc::SYS_clone3,
            libc::SYS_socket,
            libc::SYS_socketpair,
            libc::SYS_personality,
        ];
        for call in (0..=calls::HIGHEST).filter(|call| !special.contains(call)) {
            let expected = match calls::allowed().any(|allowed| allowed == call) {
                true => Action::Allow.value(),
                false => errno(libc::EPERM),
            };
            assert_eq!(result(call, 0), expected, "system call {call}");
        }
        for call in [calls::HIGHEST + 1, 1000, 0x4000_0000, 0x4000_0000 + libc::SYS_read] {
            assert_eq!(result(call, 0), errno(libc::ENOSYS), "system call {call}");
        }
    }

    #[test]
    fn what_reaches_the_host_is_refused() {
        for call in [
            libc::SYS_mount,
            libc::SYS_unshare,
            libc::SYS_setns,
            libc::SYS_bpf,
            libc::SYS_keyctl,
            libc::SYS_add_key,
            libc::SYS_init_module,
            libc::SYS_kexec_load,
            libc::SYS_open_by_handle_at,
            libc::SYS_io_uring_setup,
            libc::SYS_perf_event_open,
            libc::SYS_userfaultfd,
            libc::SYS_reboot,
            libc::SYS_pivot_root,
        ] {
            assert_eq!(result(call, 0), errno(libc::EPERM), "system call {call}");
        }
    }

    #[test]
    fn clone_may_make_threads_but_no_namespaces() {
        let thread = (libc::CLONE_VM | libc::CLONE_THREAD) as u64;
        assert_eq!(result(libc::SYS_clone, thread), Action::Allow.value());
        for namespace in [
            libc::CLONE_NEWUSER,
            libc::CLONE_NEWNET,
            libc::CLONE_NEWNS,
            libc::CLONE_NEWPID,
            libc::CLONE_NEWCGROUP,
            libc::CLONE_NEWUTS,
            libc::CLONE_NEWIPC,
        ] {
            assert_eq!(result(libc::SYS_clone, namespace as u64), errno(libc::EPERM));
        }
        assert_eq!(result(libc::SYS_clone3, 0), errno(libc::ENOSYS));
    }

    #[test]
    fn sockets_of_some_families_are_refused() {
        let family = |family: i32| result(libc::SYS_socket, family as u64);
        for allowed in [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK] {
            assert_eq!(family(allowed), Action::Allow.value());
        }
        for refused in [libc::AF_VSOCK, libc::AF_ALG, libc::AF_PACKET, libc::AF_TIPC, 1000] {
            assert_eq!(family(refused), errno(libc::EAFNOSUPPORT));
        }
        assert_eq!(result(libc::SYS_socketpair, libc::AF_UNIX as u64), Action::Allow.value());
        assert_eq!(result(libc::SYS_socketpair, libc::AF_TIPC as u64), errno(libc::EAFNOSUPPORT));
        assert_eq!(result(libc::SYS_personality, 8), Action::Allow.value());
        assert_eq!(result(libc::SYS_personality, 0x0040_0000), errno(libc::EPERM));
    }

    #[test]
    fn another_architecture_has_no_system_calls() {
        let i386 = 0x4000_0003;
        assert_eq!(interpret(&program(), i386, 1, 0), errno(libc::ENOSYS));
    }

    #[test]
    fn the_filter_is_short() {
        let len = program().len();
        assert!(len < 400, "{len} instructions");
    }
}

//! Capabilities left to root inside a sandbox.
//!
//! Docker's default without three: MKNOD (no device is of use on a `nodev` root), NET_RAW (raw
//! sockets could forge the agent's answers; ping works without) and AUDIT_WRITE (the host's audit
//! log is not theirs).

const CHOWN: u64 = 1;
const DAC_OVERRIDE: u64 = 1 << 1;
const FOWNER: u64 = 1 << 3;
const FSETID: u64 = 1 << 4;
const KILL: u64 = 1 << 5;
const SETGID: u64 = 1 << 6;
const SETUID: u64 = 1 << 7;
const SETPCAP: u64 = 1 << 8;
const NET_BIND_SERVICE: u64 = 1 << 10;
const SYS_CHROOT: u64 = 1 << 18;
const SETFCAP: u64 = 1 << 31;

/// The bounding set, one bit for each capability.
pub(crate) const BOUNDING: u64 = CHOWN
    | DAC_OVERRIDE
    | FOWNER
    | FSETID
    | KILL
    | SETGID
    | SETUID
    | SETPCAP
    | NET_BIND_SERVICE
    | SYS_CHROOT
    | SETFCAP;

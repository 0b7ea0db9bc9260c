//! Every platform-wide number in one place, with its source.

use std::time::Duration;

/// Time between SIGTERM and SIGKILL when an instance stops (features D6).
pub const STOP_GRACE: Duration = Duration::from_secs(15 * 60);

/// The longest of those times where code and containers switch together: requests wait for it, and the
/// edge keeps them for half a minute.
pub const SWITCH_GRACE: Duration = Duration::from_secs(10);

/// `containers[].max_instances` when unset (features BA8).
pub const MAX_INSTANCES_DEFAULT: u32 = 20;

/// Longest time a `CONNECT` to an instance's port is held until the port listens.
///
/// The npm class aborts its ping after 5 s, and an aborted ping is not "not listening"
/// (`workerd.md` §3, hold rules), so this stays well below.
pub const CONNECT_HOLD: Duration = Duration::from_secs(3);

/// After this time since start a port that never listened is no longer waited for.
pub const CONNECT_HOLD_WINDOW: Duration = Duration::from_secs(30);

/// The npm class probes this port of images that expose none; holding it would only delay `start()`.
pub const FALLBACK_PORT: u16 = 33;

/// An instance runs at full speed until it is ready or this much time has passed, then its CPU quota
/// applies: at 1/16 vCPU a start that needs 300 ms of CPU would take 5 s (`runtime.md` §5).
pub const FULL_SPEED_START: Duration = Duration::from_secs(10);

/// How long a start waits for another instance to end when `max_instances` run. Below the 8 s that the
/// npm class gives a start, so that it hears the reason.
pub const CAPACITY_WAIT: Duration = Duration::from_secs(5);

/// An object that waited in vain is refused at once for this long: the npm class tries again every
/// 300 ms, and its own limit is to hold.
pub const CAPACITY_PAUSE: Duration = Duration::from_secs(20);

/// `berth.start_rate` when unset: starts of an application each second, in the long run. Far more than
/// one machine starts in earnest: a guard against loops, not a quota.
pub const STARTS_PER_SECOND: f64 = 200.0;

/// How many seconds' starts an application may make at once.
pub const START_BURST_SECONDS: f64 = 10.0;

/// How long a `DELETE` from a draining workerd is taken as "detach" before it is carried out.
pub const DETACH_WINDOW: Duration = Duration::from_secs(30);

/// Port the virtual sidecar claims in `NetworkSettings.Ports` (`workerd.md` §1).
pub const SIDECAR_PORT: u16 = 39001;

/// Open files per process inside an instance, soft and hard (Docker's default).
pub const OPEN_FILES: u64 = 1_048_576;

/// First of the host's user and group ids that instances get, each a range of [`USER_IDS`] of its own
/// (as `systemd-nspawn`; distributions leave them alone).
pub const USER_IDS_FIRST: u32 = 0x8_0000;

/// Last of those ids.
pub const USER_IDS_LAST: u32 = 0x6fff_ffff;

/// User and group ids inside an instance: 0 to 65,535.
pub const USER_IDS: u32 = 0x1_0000;

/// First of the project ids by which instances' disks are limited where the file system has quotas,
/// one for each range of user ids. Far from those that administrators, Docker (from 1) and the kubelet
/// (from 1,048,576) count up from.
pub const PROJECTS_FIRST: u32 = 0x4265_0000;

/// Bytes of an instance's disk for each file that it may have (as `mkfs.ext4`).
pub const DISK_BYTES_PER_FILE: u64 = 16_384;

/// Bytes of the MB in which disks are measured.
pub const MB: u64 = 1_000_000;

/// Size of `/dev/shm` in an instance in bytes (Docker's default).
pub const SHM_BYTES: u64 = 64 * 1024 * 1024;

/// One log file of an instance is rotated at this size; [`LOG_FILES`] are kept.
pub const LOG_FILE_BYTES: u64 = 10 * 1024 * 1024;

/// Log files kept for each instance, the current one included.
pub const LOG_FILES: u32 = 3;

/// How long the log of an instance that has ended is kept, where logs are kept.
pub const ENDED_LOG_TTL: Duration = Duration::from_secs(24 * 60 * 60);

/// Most logs of instances that have ended: the oldest go first.
pub const ENDED_LOGS: usize = 1000;

/// Most bytes of all of them together.
pub const ENDED_LOG_BYTES: u64 = 1024 * 1024 * 1024;

/// Longest line of output that is shown as one; longer ones are cut into pieces.
pub const LOG_LINE_BYTES: usize = 16 * 1024;

/// Most bytes of an archive that goes into or out of a container: workerd takes no more
/// (`workerd.md` §1).
pub const ARCHIVE_BYTES: u64 = 1024 * 1024 * 1024;

/// A snapshot that nobody has restored for this long is gone (features BB6).
pub const SNAPSHOT_TTL: Duration = Duration::from_secs(30 * 24 * 60 * 60);

//! `berth doctor`: what this machine lacks, and what to do about it.
//!
//! Facts are gathered first and judged by a pure function, so that every verdict has a test.

mod finding;

use std::path::Path;
use std::process::Command;

use runtime::{DiskLimit, Examination, Runtime, RuntimeConfig, Warning};

use crate::args::DoctorArgs;
use crate::error::{CliError, Kind};
use crate::paths;
use crate::printer::Printer;
use finding::Found;
pub(crate) use finding::{Finding, Needs, Verdict, print};

/// Free space below which unpacking images is likely to fail.
const DISK_FREE_MIN_BYTES: u64 = 2 * 1_000_000_000;

pub(crate) async fn run(args: &DoctorArgs, printer: &Printer) -> Result<(), CliError> {
    let findings = findings(&paths::home()).await;
    if args.json {
        let json = serde_json::to_string_pretty(&findings)
            .map_err(|error| CliError::failure("print the findings as JSON", error))?;
        printer.data(json);
    } else {
        print(&findings, printer);
    }
    match findings.iter().filter(|finding| finding.verdict == Verdict::Missing).count() {
        0 => Ok(()),
        missing => {
            let s = if missing == 1 { "" } else { "s" };
            Err(CliError::new(
                Kind::Host,
                format!("this machine lacks {missing} thing{s} that Berth needs"),
            ))
        }
    }
}

/// All that can be said of this machine, for somebody who keeps things in `home`.
pub(crate) async fn findings(home: &Path) -> Vec<Finding> {
    let mut facts = Facts::gather(home, version("npm"));
    if facts.root {
        facts.examined = examine(home).await;
    }
    judge(&facts)
}

/// What sandboxes would do without here; `None` where none could be made at all.
async fn examine(home: &Path) -> Option<Examination> {
    let dir = home.ancestors().find(|path| path.exists())?.to_owned();
    let config = RuntimeConfig { layers: vec![dir.clone()], dir, ..RuntimeConfig::default() };
    Runtime::examine(&config).await.ok()
}

/// What they cannot do without, as one error.
pub(crate) fn require(needs: Needs) -> Result<(), CliError> {
    // Asking npm for its version takes longer than all else.
    let facts = Facts::gather(&paths::home(), in_path("npm"));
    let missing: Vec<Finding> = judge(&facts)
        .into_iter()
        .filter(|finding| finding.verdict == Verdict::Missing && finding.is_for(needs))
        .collect();
    let Some(first) = missing.first() else { return Ok(()) };
    let names: Vec<String> =
        missing.iter().map(|finding| format!("{}: {}", finding.name, finding.detail)).collect();
    let fix = first.fix.clone().unwrap_or_default();
    Err(CliError::new(Kind::Host, format!("this machine cannot run it: {}", names.join("; ")))
        .hint(format!("{fix}\nrun `berth doctor` for everything it found")))
}

/// What was seen on the machine.
#[derive(Debug, Clone)]
struct Facts {
    root: bool,
    user_namespaces: bool,
    namespaces_missing: Vec<&'static str>,
    /// Controllers by name, with the version they are found on.
    cgroup: Option<u8>,
    controllers_missing: Vec<&'static str>,
    overlayfs: bool,
    seccomp: bool,
    npm: Option<String>,
    workerd_override: bool,
    home: String,
    disk_free: Option<u64>,
    /// Known to `berth doctor` alone: finding out takes a moment.
    examined: Option<Examination>,
}

impl Facts {
    fn gather(home: &Path, npm: Option<String>) -> Self {
        let (cgroup, controllers_missing) = cgroups();
        Self {
            root: rustix::process::geteuid().is_root(),
            user_namespaces: user_namespaces(),
            namespaces_missing: ["cgroup", "ipc", "mnt", "net", "pid", "uts"]
                .into_iter()
                .filter(|name| !Path::new("/proc/self/ns").join(name).exists())
                .collect(),
            cgroup,
            controllers_missing,
            overlayfs: overlayfs(),
            seccomp: Path::new("/proc/sys/kernel/seccomp/actions_avail").exists(),
            npm,
            workerd_override: std::env::var_os("BERTH_WORKERD").is_some()
                && std::env::var_os("BERTH_ESBUILD").is_some(),
            disk_free: home
                .ancestors()
                .find(|path| path.exists())
                .and_then(|path| rustix::fs::statvfs(path).ok())
                .map(|stat| stat.f_bavail * stat.f_frsize),
            home: home.display().to_string(),
            examined: None,
        }
    }
}

fn judge(facts: &Facts) -> Vec<Finding> {
    let mut findings = vec![
        Finding::new("privileges", privileges(facts)),
        Finding::new("namespaces", namespaces(facts)),
        Finding::new("cgroups", controllers(facts)),
        Finding::new(
            "overlayfs",
            if facts.overlayfs {
                Ok("supported by the kernel".into())
            } else {
                Err((
                    Verdict::Missing,
                    "the kernel has no overlay file system".into(),
                    "run `modprobe overlay`, or use a kernel with CONFIG_OVERLAY_FS".into(),
                ))
            },
        ),
        Finding::new(
            "seccomp",
            if facts.seccomp {
                Ok("supported by the kernel".into())
            } else {
                Err((
                    Verdict::Missing,
                    "the kernel cannot filter system calls".into(),
                    "use a kernel with CONFIG_SECCOMP_FILTER".into(),
                ))
            },
        ),
        Finding { worker: true, containers: false, ..Finding::new("npm", npm(facts)) },
        Finding { worker: true, ..Finding::new("disk", disk(facts)) },
    ];
    if let Some(examined) = &facts.examined {
        findings.push(Finding::new("user namespaces", user_mapping(&examined.warnings)));
        findings.push(Finding::new("disk limit", disk_limit(examined)));
    }
    findings.sort_by_key(|finding| match finding.verdict {
        Verdict::Missing | Verdict::Wrong => 0,
        Verdict::Warning => 1,
        Verdict::Ok => 2,
    });
    findings
}

fn privileges(facts: &Facts) -> Found {
    if facts.root {
        return Ok("root".into());
    }
    if !facts.user_namespaces {
        return Err((
            Verdict::Missing,
            "not root, and an ordinary user may make no user namespaces here".into(),
            "run it as root, or allow user namespaces: `sysctl user.max_user_namespaces=15000`, \
             and where it exists `sysctl kernel.apparmor_restrict_unprivileged_userns=0`"
                .into(),
        ));
    }
    Err((
        Verdict::Warning,
        "an ordinary user: limits hold only where cgroups are delegated, disks are not limited, \
         and root in an instance is this user"
            .into(),
        "run it as root for the whole of it, for example `sudo berth dev`".into(),
    ))
}

fn namespaces(facts: &Facts) -> Found {
    if facts.namespaces_missing.is_empty() {
        return Ok("cgroup, ipc, mnt, net, pid, uts".into());
    }
    Err((
        Verdict::Missing,
        format!("the kernel lacks {} namespaces", facts.namespaces_missing.join(", ")),
        "use a kernel with CONFIG_NAMESPACES and all of its kinds".into(),
    ))
}

fn controllers(facts: &Facts) -> Found {
    let Some(version) = facts.cgroup else {
        return Err((
            Verdict::Warning,
            "no cgroup file system is mounted: CPU and memory limits do not hold".into(),
            "mount one: `mount -t cgroup2 none /sys/fs/cgroup`".into(),
        ));
    };
    if facts.controllers_missing.is_empty() {
        return Ok(format!("version {version} with cpu, memory, pids"));
    }
    let missing = facts.controllers_missing.join(", ");
    Err((
        Verdict::Warning,
        format!("version {version} without {missing}: these limits do not hold"),
        format!("mount or delegate the {missing} controller to this user"),
    ))
}

fn npm(facts: &Facts) -> Found {
    match &facts.npm {
        Some(version) => Ok(version.clone()),
        None if facts.workerd_override => {
            Ok("not needed: BERTH_WORKERD and BERTH_ESBUILD are set".into())
        }
        None => Err((
            Verdict::Missing,
            "npm was not found in PATH".into(),
            "install Node.js with npm (Debian: `apt install npm`), \
             or point BERTH_WORKERD and BERTH_ESBUILD at their binaries"
                .into(),
        )),
    }
}

fn disk(facts: &Facts) -> Found {
    let free = facts.disk_free.unwrap_or(0);
    let detail = format!("{:.1} GB free for {}", free as f64 / 1e9, facts.home);
    if free >= DISK_FREE_MIN_BYTES {
        return Ok(detail);
    }
    Err((Verdict::Warning, detail, "free some space, or set BERTH_HOME to a larger disk".into()))
}

fn user_mapping(lacking: &[Warning]) -> Found {
    let warning = lacking.iter().find(|w| matches!(w, Warning::NoUserNamespaces { .. }));
    let Some(warning) = warning else { return Ok("root in an instance is nobody outside".into()) };
    let fix = "use Linux 5.19 or later with user namespaces (`sysctl user.max_user_namespaces`), \
               and keep BERTH_HOME on ext4, XFS or btrfs";
    Err((Verdict::Warning, warning.to_string(), fix.into()))
}

fn disk_limit(examined: &Examination) -> Found {
    match examined.disk_limit {
        Some(DiskLimit::ProjectQuota) => return Ok("by project quotas".into()),
        Some(DiskLimit::LoopDevice) => return Ok("by file systems on loop devices".into()),
        None => {}
    }
    let warning = examined.warnings.iter().find(|w| matches!(w, Warning::NoDiskLimit { .. }));
    let Some(warning) = warning else { return Ok("not looked at".into()) };
    let fix = "install e2fsprogs, and load the loop driver: `modprobe loop`";
    Err((Verdict::Warning, warning.to_string(), fix.into()))
}

/// Whether an ordinary user may make user namespaces: the kernel's limit, and the switches that
/// Debian and Ubuntu add.
fn user_namespaces() -> bool {
    let number =
        |path: &str| -> Option<u64> { fs_err::read_to_string(path).ok()?.trim().parse().ok() };
    number("/proc/sys/user/max_user_namespaces").is_some_and(|max| max > 0)
        && number("/proc/sys/kernel/unprivileged_userns_clone") != Some(0)
        && number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") != Some(1)
}

/// The cgroup version in use, and which of the controllers Berth needs it lacks.
fn cgroups() -> (Option<u8>, Vec<&'static str>) {
    const NEEDED: [&str; 3] = ["cpu", "memory", "pids"];
    let mounts = fs_err::read_to_string("/proc/self/mounts").unwrap_or_default();
    let fields = |line: &'_ str| -> Vec<String> { line.split(' ').map(str::to_owned).collect() };
    let mounts: Vec<Vec<String>> = mounts.lines().map(fields).collect();
    let on_v1 = |name: &str| {
        mounts.iter().any(|mount| {
            mount.get(2).is_some_and(|kind| kind == "cgroup")
                && mount.get(3).is_some_and(|options| options.split(',').any(|o| o == name))
        })
    };
    if NEEDED.into_iter().any(on_v1) {
        return (Some(1), NEEDED.into_iter().filter(|name| !on_v1(name)).collect());
    }
    let Some(v2) = mounts.iter().find(|mount| mount.get(2).is_some_and(|kind| kind == "cgroup2"))
    else {
        return (None, NEEDED.to_vec());
    };
    let controllers =
        fs_err::read_to_string(Path::new(&v2[1]).join("cgroup.controllers")).unwrap_or_default();
    let lacks = |name: &&str| !controllers.split_whitespace().any(|c| c == *name);
    (Some(2), NEEDED.into_iter().filter(lacks).collect())
}

/// Whether overlayfs is in the kernel; asking `modprobe` loads it where it is a module.
fn overlayfs() -> bool {
    let listed = || {
        fs_err::read_to_string("/proc/filesystems")
            .is_ok_and(|text| text.lines().any(|line| line.ends_with("\toverlay")))
    };
    listed() || (Command::new("modprobe").args(["-q", "overlay"]).status().is_ok() && listed())
}

fn version(program: &str) -> Option<String> {
    let output = Command::new(program).arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    output.status.success().then(|| text.lines().next_back().unwrap_or_default().trim().to_owned())
}

/// Where a program is found by its name.
fn in_path(program: &str) -> Option<String> {
    let path = std::env::var_os("PATH")?;
    let found = std::env::split_paths(&path).map(|folder| folder.join(program));
    let mut found = found.filter(|path| path.is_file());
    found.next().map(|path| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Facts {
        Facts {
            root: true,
            user_namespaces: true,
            namespaces_missing: Vec::new(),
            cgroup: Some(2),
            controllers_missing: Vec::new(),
            overlayfs: true,
            seccomp: true,
            npm: Some("11.0.0".into()),
            workerd_override: false,
            home: "/h".into(),
            disk_free: Some(DISK_FREE_MIN_BYTES),
            examined: Some(Examination {
                disk_limit: Some(DiskLimit::LoopDevice),
                ..Examination::default()
            }),
        }
    }

    fn verdict(facts: &Facts, name: &str) -> (Verdict, bool) {
        let found = judge(facts).into_iter().find(|finding| finding.name == name);
        let found = found.unwrap_or_else(|| panic!("no finding {name}"));
        (found.verdict, found.fix.is_some())
    }

    #[test]
    fn a_good_machine_lacks_nothing() {
        assert!(judge(&good()).iter().all(|finding| finding.verdict == Verdict::Ok));
    }

    #[test]
    fn a_build_needs_no_npm_and_a_worker_no_overlayfs() {
        let bare = Facts { npm: None, overlayfs: false, ..good() };
        let lacks = |needs| -> Vec<&str> {
            let missing = judge(&bare).into_iter();
            let missing = missing.filter(|f| f.verdict == Verdict::Missing && f.is_for(needs));
            missing.map(|finding| finding.name).collect()
        };
        assert_eq!(lacks(Needs::Containers), ["overlayfs"]);
        assert_eq!(lacks(Needs::Worker), ["npm"]);
        assert_eq!(lacks(Needs::WorkerAndContainers), ["overlayfs", "npm"]);
        assert!(in_path("sh").is_some() && in_path("no-such-program").is_none());
    }

    #[test]
    fn each_lack_is_named_with_a_way_out() {
        let reason = || "x".to_owned();
        let lacking = |warning| {
            let disk_limit = match warning {
                Warning::NoDiskLimit { .. } => None,
                _ => Some(DiskLimit::LoopDevice),
            };
            let examined = Some(Examination { warnings: vec![warning], disk_limit });
            Facts { examined, ..good() }
        };
        let no_users = lacking(Warning::NoUserNamespaces { reason: reason() });
        let no_disks = lacking(Warning::NoDiskLimit { reason: reason() });
        let cases: [(&str, Verdict, Facts); 9] = [
            ("user namespaces", Verdict::Warning, no_users),
            ("disk limit", Verdict::Warning, no_disks),
            ("privileges", Verdict::Warning, Facts { root: false, ..good() }),
            (
                "privileges",
                Verdict::Missing,
                Facts { root: false, user_namespaces: false, ..good() },
            ),
            ("namespaces", Verdict::Missing, Facts { namespaces_missing: vec!["net"], ..good() }),
            ("cgroups", Verdict::Warning, Facts { cgroup: None, ..good() }),
            ("overlayfs", Verdict::Missing, Facts { overlayfs: false, ..good() }),
            ("npm", Verdict::Missing, Facts { npm: None, ..good() }),
            ("disk", Verdict::Warning, Facts { disk_free: Some(1), ..good() }),
        ];
        for (name, expected, facts) in cases {
            assert_eq!(verdict(&facts, name), (expected, true), "{name}");
        }
    }

    #[test]
    fn npm_is_not_needed_when_both_binaries_are_given() {
        let facts = Facts { npm: None, workerd_override: true, ..good() };
        assert_eq!(verdict(&facts, "npm"), (Verdict::Ok, false));
    }
}

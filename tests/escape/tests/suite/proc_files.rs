//! /proc and /sys: no window to the host, no handle on the kernel.

use escape::{Host, is_root, outside};

const DENIED: [i32; 2] = [libc::EACCES, libc::EPERM];

#[tokio::test(flavor = "multi_thread")]
async fn init_lends_nothing_through_its_directory_in_proc() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    let answers = host
        .inside(&[
            "list /proc/1/root",
            "read /proc/1/root/etc/passwd",
            "enter /proc/1/root",
            "enter /proc/1/cwd",
            "link /proc/1/exe",
            "open-path /proc/1/exe",
            "open-write /proc/1/exe",
            "enter /proc/1/fd/3",
            "read /proc/1/fd/3",
            "read /proc/1/environ",
            "read /proc/1/maps",
            "open-write /proc/1/mem",
            "list /proc/1/map_files",
            "read /proc/1/stack",
            "read /proc/1/syscall",
            "open-path /proc/1/ns/mnt",
            "open-path /proc/1/ns/net",
            "open-path /proc/1/task/1/root",
        ])
        .await;
    answers.refused(&DENIED);
    // The same doors of its own process are open.
    let own = ["list /proc/self/root", "link /proc/self/exe", "open-path /proc/self/ns/mnt"];
    host.inside(&own).await.possible();
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_process_directory_leads_out_of_the_root() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    let marker = host.path("marker");
    fs_err::write(&marker, "of the host").unwrap();
    let marker = marker.display();
    // Sees the host's processes or none of them: its own, at most.
    let mut attempts: Vec<String> = (1..40)
        .flat_map(|pid| {
            [format!("read /proc/{pid}/root{marker}"), format!("read /proc/{pid}/cwd/..{marker}")]
        })
        .collect();
    attempts.push(format!("read /proc/self/root{marker}"));
    attempts.push(format!("read /proc/self/root//../../../..{marker}"));
    attempts.push(format!("read {marker}"));
    let attempts: Vec<&str> = attempts.iter().map(String::as_str).collect();
    host.inside(&attempts).await.refused(&[libc::ENOENT, libc::EACCES, libc::EPERM]);
    let pid = std::process::id();
    outside(&[&format!("read /proc/{pid}/root{marker}"), &format!("read {marker}")]).possible();
    host.close().await;
}

/// Settings by which the kernel would run a program of the instance's choice as root of the host, or
/// that stop the host.
const SETTINGS: [&str; 12] = [
    "/proc/sys/kernel/core_pattern",
    "/proc/sys/kernel/modprobe",
    "/proc/sys/kernel/hotplug",
    "/proc/sys/kernel/poweroff_cmd",
    "/proc/sys/kernel/usermodehelper/bset",
    "/proc/sys/kernel/sysrq",
    "/proc/sys/kernel/panic",
    "/proc/sys/vm/panic_on_oom",
    "/proc/sys/fs/file-max",
    "/proc/sys/fs/binfmt_misc/register",
    "/proc/sys/net/ipv4/ip_forward",
    "/proc/sysrq-trigger",
];

#[tokio::test(flavor = "multi_thread")]
async fn no_setting_of_the_kernel_can_be_written() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    let paths = SETTINGS.iter().chain(&["/sys/kernel/uevent_helper", "/sys/power/state"]);
    let attempts: Vec<String> = paths.clone().map(|path| format!("open-write {path}")).collect();
    let attempts: Vec<&str> = attempts.iter().map(String::as_str).collect();
    let refused = [libc::EROFS, libc::EACCES, libc::EPERM, libc::ENOENT];
    host.inside(&attempts).await.refused(&refused);
    // Opening alone changes nothing, and works for those this kernel has.
    let present: Vec<&str> =
        attempts.into_iter().zip(paths).filter(|(_, p)| exists(p)).map(|(a, _)| a).collect();
    assert!(present.len() > 5, "{present:?}");
    outside(&present).possible();
    host.close().await;
}

fn exists(path: &str) -> bool {
    std::path::Path::new(path).exists()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_file_of_proc_and_sys_opens_for_writing_but_a_process_s_own() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    let attempts = ["writable-files /proc", "writable-files /sys"];
    let answers = host.inside(&attempts).await;
    for attempt in attempts {
        let text = answers.of(attempt).clone().unwrap();
        let (tried, found) = text.split_once(' ').unwrap_or((&text, ""));
        assert!(tried.parse::<u32>().unwrap() > 50, "{attempt}: {text}");
        let found: Vec<&str> = found.split(' ').filter(|p| !HARMLESS.contains(p)).collect();
        assert!(found.is_empty() || found == [""], "{attempt}: {found:?}");
    }
    host.close().await;
}

/// What is asked for by a write here is told to the writer alone, and everybody may ask.
const HARMLESS: [&str; 3] = ["/proc/pressure/cpu", "/proc/pressure/io", "/proc/pressure/memory"];

#[tokio::test(flavor = "multi_thread")]
async fn what_the_kernel_does_not_keep_apart_is_hidden() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    const HIDDEN: [&str; 14] = [
        "/proc/kcore",
        "/proc/keys",
        "/proc/timer_list",
        "/proc/sched_debug",
        "/proc/latency_stats",
        "/proc/interrupts",
        "/proc/acpi",
        "/proc/asound",
        "/proc/scsi",
        "/sys/firmware",
        "/sys/devices/virtual/powercap",
        "/proc/kmsg",
        "/sys/kernel/debug",
        "/sys/kernel/tracing",
    ];
    let attempts: Vec<String> = HIDDEN.iter().map(|path| format!("readable {path}")).collect();
    let attempts: Vec<&str> = attempts.iter().map(String::as_str).collect();
    for answer in host.inside(&attempts).await.0 {
        let seen = answer.result.clone().unwrap();
        assert!(["absent", "empty", "refused"].contains(&seen.as_str()), "{answer:?}");
    }
    let shown = outside(&attempts);
    let shown = shown.0.iter().filter(|a| matches!(a.result.as_deref(), Ok("bytes" | "entries")));
    assert!(shown.count() > 3, "the host has what is hidden");
    host.close().await;
}

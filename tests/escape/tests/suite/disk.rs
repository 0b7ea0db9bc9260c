//! Disk bombs: an instance fills its own disk and nobody else's.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use escape::{Host, is_root, within};
use runtime::SandboxSpec;

/// Its disk, and what it tries to write.
const DISK_MB: u64 = 64;
const WANTED_MIB: &str = "96";

fn small(host: &Host, args: &[&str]) -> SandboxSpec {
    let mut spec = host.spec(args);
    spec.limits.disk_mb = DISK_MB;
    spec
}

/// Bytes on the host's disk below `dir`.
fn used(dir: &Path) -> u64 {
    let entries = fs_err::read_dir(dir).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(meta) if meta.is_dir() => used(&entry.path()),
            Ok(meta) => meta.blocks() * 512,
            Err(_) => 0,
        })
        .sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_bomb_fills_its_own_disk_and_no_other() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    if !host.runtime.warnings().is_empty() {
        // Without loop devices there is no limit, and the runtime said so.
        return host.close().await;
    }
    let (neighbour, _output) = host.start(small(&host, &["sleep"])).await;
    let (sandbox, output) = host.start(small(&host, &["fill", "/tmp/bomb", WANTED_MIB])).await;
    let (text, _) = escape::read_all(output).await;
    assert_eq!(text.trim(), format!("errno {}", libc::ENOSPC));
    within(sandbox.wait()).await;
    let bytes = used(&host.dir);
    assert!(bytes < 2 * DISK_MB * 1_000_000 + 16_000_000, "{bytes} bytes on the host");
    // There is room for everybody else.
    let streams = runtime::ExecStreams::default();
    let fill = escape::process(&["fill", "/tmp/file", "8"]);
    let exec = neighbour.exec(fill, streams).await.unwrap();
    assert_eq!(within(exec.wait()).await.code, 0);
    fs_err::write(host.path("of-the-host"), vec![1; 1024 * 1024]).unwrap();
    for sandbox in [sandbox, neighbour] {
        sandbox.destroy().await.unwrap();
    }
    host.close().await;
}

//! Devices: none can be made, and none of an image's works.

use std::os::unix::fs::FileTypeExt;

use escape::{Host, is_root, outside};
use rustix::fs::{CWD, FileType, Mode};

#[tokio::test(flavor = "multi_thread")]
async fn no_device_node_can_be_made() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    let nodes = ["c 1 1", "c 1 5", "c 5 1", "c 10 200", "c 10 232", "b 7 0", "b 8 0", "b 259 0"];
    let at = |dir: &str| -> Vec<String> {
        nodes.iter().map(|node| format!("mknod {dir}/{} {node}", node.replace(' ', "-"))).collect()
    };
    let attempts: Vec<String> = ["/tmp", "/dev", "/dev/shm"].into_iter().flat_map(at).collect();
    let attempts: Vec<&str> = attempts.iter().map(String::as_str).collect();
    host.inside(&attempts).await.refused(&[libc::EPERM, libc::EACCES]);
    let dir = tempfile::tempdir().unwrap();
    let attempts = at(&dir.path().display().to_string());
    outside(&attempts.iter().map(String::as_str).collect::<Vec<_>>()).possible();
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn device_nodes_of_an_image_cannot_be_opened() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    let image = host.image();
    // Like /dev/zero, /dev/mem, /dev/kmsg, the first loop device, and the host's own disk.
    let disk = rustix::fs::stat("/").unwrap().st_dev;
    let disk = (rustix::fs::major(disk), rustix::fs::minor(disk));
    let nodes = [
        ("zero", FileType::CharacterDevice, (1, 5)),
        ("mem", FileType::CharacterDevice, (1, 1)),
        ("kmsg", FileType::CharacterDevice, (1, 11)),
        ("loop", FileType::BlockDevice, (7, 0)),
        ("disk", FileType::BlockDevice, disk),
    ];
    let mut attempts = Vec::new();
    for (name, kind, (major, minor)) in nodes {
        let path = image.join("tmp").join(name);
        let device = rustix::fs::makedev(major, minor);
        rustix::fs::mknodat(CWD, &path, kind, Mode::from_raw_mode(0o666), device).unwrap();
        attempts.push(format!("read /tmp/{name}"));
        attempts.push(format!("open-write /tmp/{name}"));
    }
    let attempts: Vec<&str> = attempts.iter().map(String::as_str).collect();
    host.inside(&attempts).await.refused(&[libc::EACCES, libc::EPERM]);
    outside(&[&format!("read {}", image.join("tmp/zero").display())]).possible();
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_device_of_the_host_is_in_dev() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    const WANTED: [&str; 13] = [
        "full", "fd", "mqueue", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin",
        "stdout", "tty", "urandom",
    ];
    let is_device = |entry: &fs_err::DirEntry| {
        entry.file_type().is_ok_and(|kind| kind.is_block_device() || kind.is_char_device())
    };
    let of_the_host = fs_err::read_dir("/dev").unwrap().flatten().filter(is_device);
    let names = of_the_host.map(|entry| entry.file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| !WANTED.contains(&name.as_str())).collect();
    names.retain(|name| name != "zero");
    names.extend(["kmsg", "mem", "port", "kvm", "fuse", "net/tun", "loop-control"].map(Into::into));
    let attempts: Vec<String> = names.iter().map(|name| format!("open-path /dev/{name}")).collect();
    let attempts: Vec<&str> = attempts.iter().map(String::as_str).collect();
    host.inside(&attempts).await.refused(&[libc::ENOENT]);
    host.close().await;
}

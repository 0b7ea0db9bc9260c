//! The root file system: layers, writes, mounts.

use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use runtime::{BindMount, ExecStreams, TmpfsMount};

use crate::host::{Host, is_root, process, within};

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_and_twenty_layers_are_one_root_topmost_first() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    let mut layers = Vec::new();
    for i in 0..119 {
        // Some of them with paths that need care, and one that is very long.
        let name = match i {
            7 => "with:colon,comma\\and space".to_owned(),
            8 => ["long"; 60].join("/"),
            i => format!("layer-{i}"),
        };
        let layer = host.path(&format!("layers/{name}"));
        fs_err::create_dir_all(layer.join("data")).unwrap();
        fs_err::write(layer.join("data/which"), i.to_string()).unwrap();
        fs_err::write(layer.join(format!("data/{i}")), "").unwrap();
        layers.push(layer);
    }
    layers.push(host.image());
    let mut spec = host.spec(&["cat", "/data/which"]);
    spec.layers.clone_from(&layers);
    assert_eq!(host.run_spec(spec).await.1, "0");
    let mut spec = host.spec(&["ls", "/data"]);
    spec.layers = layers;
    assert_eq!(host.run_spec(spec).await.1.split_whitespace().count(), 120);
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_go_to_the_upper_directory_and_never_to_a_layer() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    assert_eq!(host.said(&["write", "/etc/passwd", "changed"]).await, "");
    let passwd = fs_err::read_to_string(host.image().join("etc/passwd")).unwrap();
    assert!(passwd.starts_with("root:"), "{passwd}");
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_running_sandbox_wrote_can_be_read_from_the_host() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    let (sandbox, _output) = host.start(&["serve", "127.0.0.1:80"]).await;
    let write = process(&["write", "/home/app/new", "text"]);
    let exec = sandbox.exec(write, ExecStreams::default()).await.unwrap();
    assert_eq!(within(exec.wait()).await.code, 0);
    let upper = sandbox.upper_dir().unwrap();
    let path = format!("/proc/self/fd/{}/home/app/new", upper.as_raw_fd());
    assert_eq!(fs_err::read_to_string(&path).unwrap(), "text");
    let owner = fs_err::metadata(&path).unwrap();
    assert_eq!((owner.uid(), owner.gid()), (0, 0));
    drop(upper);
    let clone = sandbox.clone();
    sandbox.destroy().await.unwrap();
    assert!(clone.upper_dir().is_err());
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callers_upper_stays_with_what_the_program_wrote_and_nothing_else() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    let upper = host.path("steps/1");
    let mut spec = host.spec(&["write", "/tmp/made", "by the step"]);
    spec.upper = Some(upper.clone());
    assert_eq!(host.run_spec(spec).await.0.code, 0);
    assert_eq!(files(&upper), ["tmp", "tmp/made"]);
    assert_eq!(fs_err::read_to_string(upper.join("tmp/made")).unwrap(), "by the step");
    assert!(!host.path("steps/1.work").exists());
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_from_scratch_gets_its_mount_points() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    let scratch = host.path("scratch");
    fs_err::create_dir_all(&scratch).unwrap();
    fs_err::copy(host.image().join("bin/probe"), scratch.join("server")).unwrap();
    let mut spec = host.spec(&[]);
    spec.layers = vec![scratch];
    spec.process.args = vec!["/server".to_owned(), "ls".to_owned(), "/".to_owned()];
    assert_eq!(host.run_spec(spec).await.1.trim(), "dev etc proc server sys");
    let mut spec = host.spec(&[]);
    spec.layers.clear();
    spec.mounts = vec![BindMount {
        source: host.image().join("bin/probe"),
        target: "/server".to_owned(),
        read_only: true,
    }];
    spec.process.args = vec!["/server".to_owned(), "ls".to_owned(), "/etc".to_owned()];
    assert_eq!(host.run_spec(spec).await.1.trim(), "hostname hosts resolv.conf");
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn binds_and_memory_file_systems_are_mounted_where_asked() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    let shared = host.path("shared");
    fs_err::create_dir_all(&shared).unwrap();
    fs_err::write(shared.join("file"), "of the host").unwrap();
    let mounted = |args: &[&str]| {
        let mut spec = host.spec(args);
        spec.mounts = vec![
            BindMount { source: shared.clone(), target: "/mnt/rw".into(), read_only: false },
            BindMount { source: shared.clone(), target: "/mnt/ro".into(), read_only: true },
            BindMount { source: shared.join("file"), target: "/a/file".into(), read_only: true },
        ];
        spec.tmpfs = vec![TmpfsMount { target: "/scratch".into(), size: 4096, mode: 0o1777 }];
        spec
    };
    assert_eq!(host.run_spec(mounted(&["cat", "/a/file"])).await.1, "of the host");
    assert_eq!(host.run_spec(mounted(&["write", "/mnt/rw/new", "x"])).await.0.code, 0);
    assert!(shared.join("new").exists());
    assert_eq!(host.run_spec(mounted(&["write", "/mnt/ro/no", "x"])).await.1, "errno 30\n");
    assert_eq!(host.run_spec(mounted(&["write", "/scratch/x", "x"])).await.0.code, 0);
    let too_much = "x".repeat(9000);
    assert_eq!(host.run_spec(mounted(&["write", "/scratch/x", &too_much])).await.1, "errno 28\n");
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_layer_is_an_error_that_leaves_nothing() {
    if !is_root() {
        return;
    }
    let host = Host::open().await;
    let mut spec = host.spec(&["sleep"]);
    spec.layers.push(host.path("missing"));
    let parked = host.runtime.prepare().await.unwrap();
    let error = host.runtime.start(parked, spec).await.unwrap_err();
    let missing = host.path("missing").display().to_string();
    assert!(error.to_string().contains(&missing), "{error}");
    host.close().await;
}

/// All paths below `dir`, sorted.
fn files(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut pending = vec![dir.to_owned()];
    while let Some(next) = pending.pop() {
        for entry in fs_err::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            found.push(path.strip_prefix(dir).unwrap().to_str().unwrap().to_owned());
            if path.is_dir() {
                pending.push(path);
            }
        }
    }
    found.sort();
    found
}

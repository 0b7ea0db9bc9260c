//! The guest's first file system: busybox, the tests with their libraries, modules, `/init`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use fs_err as fs;
use fs_err::os::unix::fs::symlink;

use super::kernel::Kernel;
use super::{Tests, busybox, output};

const INIT: &str = include_str!("init.sh");

/// Programs of the host that the guest has too.
const PROGRAMS: [&str; 3] = ["mkfs.ext4", "mkfs.xfs", "xfs_quota"];

/// Makes the archive and says where it is.
pub(super) fn make(dir: &Path, kernel: &Kernel, tests: &Tests) -> Result<PathBuf> {
    let root = dir.join("root");
    if root.exists() {
        fs::remove_dir_all(&root)?;
    }
    fs::create_dir_all(root.join("bin"))?;
    fs::create_dir_all(root.join("modules"))?;
    executable(&root.join("init"), INIT.as_bytes())?;
    fs::copy(busybox(), root.join("bin/busybox"))?;
    fs::copy(&tests.probe, root.join("probe"))?;
    output(Command::new("strip").arg("-o").arg(root.join("tests")).arg(&tests.program))?;
    libraries(&root, &tests.program)?;
    for program in PROGRAMS {
        let path = output(Command::new(busybox()).args(["which", program]))?;
        let path = Path::new(path.trim());
        fs::copy(path, root.join("bin").join(program))?;
        libraries(&root, path)?;
    }
    // Where tests look for devices before `/dev` is mounted.
    symlink("bin", root.join("sbin"))?;
    let mut order = String::new();
    for module in &kernel.modules {
        let name = module.file_name().context("a module without a name")?;
        fs::copy(module, root.join("modules").join(name))?;
        order += &format!("{}\n", name.to_string_lossy());
    }
    fs::write(root.join("modules/order"), order)?;
    pack(&root, &dir.join("initramfs"))
}

/// Copies the shared libraries of a program, and its loader, to the same places.
fn libraries(root: &Path, program: &Path) -> Result<()> {
    let listed = output(Command::new("ldd").arg(program))?;
    for path in listed.split_whitespace().filter(|word| word.starts_with('/')) {
        let copy = root.join(path.trim_start_matches('/'));
        fs::create_dir_all(copy.parent().context("a library at the root")?)?;
        fs::copy(path, copy)?;
    }
    Ok(())
}

fn executable(path: &Path, bytes: &[u8]) -> Result<()> {
    use fs_err::os::unix::fs::OpenOptionsExt;
    let mut options = fs::OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o755).open(path)?;
    file.write_all(bytes).context("write a file of the guest")
}

/// The folder as the archive that kernels unpack at boot.
fn pack(root: &Path, archive: &Path) -> Result<PathBuf> {
    let names = output(Command::new(busybox()).args(["find", "."]).current_dir(root))?;
    let mut cpio = Command::new(busybox())
        .args(["cpio", "-o", "-H", "newc"])
        .current_dir(root)
        .stdin(Stdio::piped())
        .stdout(fs::File::create(archive)?.into_parts().0)
        .stderr(Stdio::null())
        .spawn()
        .context("run cpio")?;
    cpio.stdin.take().context("cpio reads names")?.write_all(names.as_bytes())?;
    ensure!(cpio.wait().context("wait for cpio")?.success(), "cpio failed");
    Ok(archive.to_owned())
}

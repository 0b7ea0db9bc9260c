//! What is mounted into a container: `--volume`, `--mount` and `--tmpfs`.

use std::path::{Component, Path, PathBuf};

use runtime::{BindMount, TmpfsMount};
use serde_json::Value;

use super::MIB;
use super::fields::{flag, number, text, words};
use crate::engine::error::EngineError;
use crate::engine::{Machine, volumes};

/// `-v` and `--mount`, volumes resolved to their directories already.
pub(super) fn binds(host: &Value, engine_dir: &Path) -> Result<Vec<BindMount>, EngineError> {
    let volumes = engine_dir.join("volumes");
    let mut binds = Vec::new();
    for bind in words(host, "Binds")?.unwrap_or_default() {
        let mut parts = bind.split(':');
        let (Some(source), Some(target), options) = (parts.next(), parts.next(), parts.next())
        else {
            return Err(EngineError::BadParameter(format!(
                "invalid volume specification: '{bind}'"
            )));
        };
        let options = options.unwrap_or_default();
        let read_only = options.split(',').any(|option| option == "ro");
        binds.push(bind_mount(source, target, read_only, &volumes)?);
    }
    for mount in host["Mounts"].as_array().into_iter().flatten() {
        let (kind, target) = (text(mount, "Type")?, text(mount, "Target")?);
        if kind == "tmpfs" {
            continue;
        }
        if !matches!(kind.as_str(), "bind" | "volume") {
            return Err(EngineError::NotSupported(format!("a mount of type \"{kind}\"")));
        }
        binds.push(bind_mount(
            &text(mount, "Source")?,
            &target,
            flag(mount, "ReadOnly")?,
            &volumes,
        )?);
    }
    // What lies deeper is mounted later.
    binds.sort_by_key(|bind| Path::new(&bind.target).components().count());
    Ok(binds)
}

fn bind_mount(
    source: &str,
    target: &str,
    read_only: bool,
    volumes: &Path,
) -> Result<BindMount, EngineError> {
    if !is_place(target) {
        let text = format!("invalid mount config: \"{target}\" is no absolute path below /");
        return Err(EngineError::BadParameter(text));
    }
    let source = match source.strip_prefix('/') {
        Some(_) => PathBuf::from(source),
        None => volumes::directory(volumes, source)?,
    };
    Ok(BindMount { source, target: target.to_owned(), read_only })
}

pub(super) fn tmpfs(host: &Value) -> Result<Vec<TmpfsMount>, EngineError> {
    let mut all = Vec::new();
    for (target, options) in host["Tmpfs"].as_object().into_iter().flatten() {
        all.push(tmpfs_mount(target, options.as_str().unwrap_or_default())?);
    }
    for mount in host["Mounts"].as_array().into_iter().flatten() {
        if mount["Type"] == "tmpfs" {
            let options = &mount["TmpfsOptions"];
            let size = match number(options, "SizeBytes")? {
                0 => String::new(),
                bytes => format!("size={bytes}"),
            };
            all.push(tmpfs_mount(&text(mount, "Target")?, &size)?);
        }
    }
    Ok(all)
}

fn tmpfs_mount(target: &str, options: &str) -> Result<TmpfsMount, EngineError> {
    let wrong = |what: &str| EngineError::BadParameter(format!("invalid tmpfs option: {what}"));
    if !is_place(target) {
        return Err(wrong(target));
    }
    // Half of the memory, as the kernel does it; it is counted against the container's anyway.
    let mut mount = TmpfsMount {
        target: target.to_owned(),
        size: Machine::this().memory_mib * MIB / 2,
        mode: 0o1777,
    };
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option.split_once('=') {
            Some(("size", size)) => mount.size = bytes(size).ok_or_else(|| wrong(option))?,
            Some(("mode", mode)) => {
                mount.mode = u32::from_str_radix(mode, 8).map_err(|_| wrong(option))?;
            }
            None if matches!(option, "rw" | "nosuid" | "nodev" | "noexec" | "exec") => {}
            _ => return Err(wrong(option)),
        }
    }
    Ok(mount)
}

/// `64m`, `1g`, `4096`.
fn bytes(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" => 1 << 10,
        "m" | "mb" => 1 << 20,
        "g" | "gb" => 1 << 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

/// Whether something can be mounted there.
fn is_place(path: &str) -> bool {
    let parts = Path::new(path).components();
    path.starts_with('/')
        && !path.contains('\0')
        && parts.clone().count() > 1
        && !parts.into_iter().any(|part| part == Component::ParentDir)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn mounts_are_checked_and_the_deeper_come_later() {
        let host = json!({"Binds": ["/a:/x/y", "/b:/x:ro"]});
        let binds = binds(&host, Path::new("/e")).unwrap();
        let seen: Vec<_> = binds.iter().map(|b| (b.target.as_str(), b.read_only)).collect();
        assert_eq!(seen, [("/x", true), ("/x/y", false)]);
        for bad in ["/a", "/a:x", "/a:/", "/a:/x/../..", "../b:/x"] {
            let host = json!({"Binds": [bad]});
            assert!(super::binds(&host, Path::new("/e")).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_have_units() {
        assert_eq!(bytes("64m"), Some(64 << 20));
        assert_eq!(bytes("4096"), Some(4096));
        assert_eq!(bytes("1x"), None);
        assert_eq!(bytes("99999999999999999999g"), None);
    }
}

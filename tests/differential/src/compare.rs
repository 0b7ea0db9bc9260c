//! Two images beside each other: every path with all it has, and the config that a container runs
//! with.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use serde_json::Value;

use crate::image::Image;
use crate::tree::{Inode, Kind, Tree};

/// What of a config decides how a container runs.
const CONFIG: [&str; 12] = [
    "Cmd",
    "Entrypoint",
    "Env",
    "ExposedPorts",
    "Healthcheck",
    "Labels",
    "OnBuild",
    "Shell",
    "StopSignal",
    "User",
    "Volumes",
    "WorkingDir",
];

/// What buildah makes so that something can be mounted there while a step runs, and leaves behind.
const MOUNT_POINTS: [&str; 10] = [
    "/dev",
    "/etc",
    "/etc/hostname",
    "/etc/hosts",
    "/etc/resolv.conf",
    "/proc",
    "/run",
    "/run/buildkit",
    "/run/secrets",
    "/sys",
];

/// Something that one builder made and the other made otherwise or not at all.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Difference {
    /// Where: `/path: attribute`, or `config: Field`.
    pub at: String,
    /// What Berth made.
    pub ours: String,
    /// What the other made.
    pub theirs: String,
}

/// All differences. Times count at the paths `mtimes` alone: elsewhere each builder may choose.
#[must_use]
pub fn compare(ours: &Image, theirs: &Image, mtimes: &[String]) -> Vec<Difference> {
    let mut found = compare_configs(&ours.config, &theirs.config);
    let paths: BTreeSet<&Path> = ours.tree.paths().chain(theirs.tree.paths()).collect();
    for path in paths {
        match (ours.tree.get(path), theirs.tree.get(path)) {
            (Some(_), None) => found.push(at(path, "there", "yes", "no")),
            (None, Some(their)) if is_mount_point(path, their) => {}
            (None, Some(_)) => found.push(at(path, "there", "no", "yes")),
            (Some(our), Some(their)) => {
                found.extend(compare_files(path, our, their));
                found.extend(compare_names(path, &ours.tree, &theirs.tree));
                if mtimes.iter().any(|wanted| Path::new(wanted) == path) && our.mtime != their.mtime
                {
                    let (our, their) = (our.mtime.to_string(), their.mtime.to_string());
                    found.push(at(path, "mtime", &our, &their));
                }
            }
            (None, None) => {}
        }
    }
    found
}

/// The instructions that made a layer, where they are not the same.
#[must_use]
pub fn compare_steps(ours: &Image, theirs: &Image) -> Option<Difference> {
    let (our, their) = (steps(&ours.config), steps(&theirs.config));
    (our != their).then(|| Difference {
        at: "config: history".to_owned(),
        ours: our.join(" "),
        theirs: their.join(" "),
    })
}

/// Which instruction made each layer.
fn steps(config: &Value) -> Vec<&'static str> {
    let instruction = |step: &Value| {
        let text = step["created_by"].as_str().unwrap_or_default();
        // Builders before BuildKit wrote all as arguments of the shell, with a mark for no command.
        let text = text.rsplit("#(nop) ").next().unwrap_or_default().trim_start();
        let known = ["ADD", "COPY", "WORKDIR"].into_iter().find(|name| text.starts_with(name));
        known.unwrap_or("RUN")
    };
    filled(config).map(instruction).collect()
}

/// The steps of a history that made a layer.
fn filled(config: &Value) -> impl Iterator<Item = &Value> {
    let history = config["history"].as_array().into_iter().flatten();
    history.filter(|step| step["empty_layer"] != Value::Bool(true))
}

/// What an image says of itself that cannot be: as many steps that made a layer as layers.
#[must_use]
pub fn contradictions(image: &Image) -> Option<String> {
    let steps = filled(&image.config).count();
    let (layers, ids) = (image.layers, image.config["rootfs"]["diff_ids"].as_array());
    let ids = ids.map_or(0, Vec::len);
    (steps != layers || ids != layers)
        .then(|| format!("{steps} steps made a layer, of {layers} layers with {ids} digests"))
}

fn compare_configs(ours: &Value, theirs: &Value) -> Vec<Difference> {
    let (ours, theirs) = (&sorted(ours), &sorted(theirs));
    let own = ["architecture", "os"].map(|field| (field, &ours[field], &theirs[field]));
    let run = CONFIG.map(|field| (field, &ours["config"][field], &theirs["config"][field]));
    let fields = own.into_iter().chain(run);
    let different = fields.filter(|(_, our, their)| plain(our) != plain(their));
    let difference = |(field, our, their): (&str, &Value, &Value)| Difference {
        at: format!("config: {field}"),
        ours: our.to_string(),
        theirs: their.to_string(),
    };
    different.map(difference).collect()
}

/// With the environment sorted: buildah 1.28 moves a variable that is set again to the end, BuildKit
/// replaces it where it stands, and no program can tell.
fn sorted(config: &Value) -> Value {
    let mut config = config.clone();
    if let Some(variables) = config.pointer_mut("/config/Env").and_then(Value::as_array_mut) {
        variables.sort_by(|a, b| a.as_str().cmp(&b.as_str()));
    }
    config
}

/// Nothing, in whatever way it is written, is nothing.
fn plain(value: &Value) -> Option<&Value> {
    let empty = match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::String(text) => text.is_empty(),
        _ => false,
    };
    (!empty).then_some(value)
}

fn compare_files(path: &Path, our: &Inode, their: &Inode) -> Vec<Difference> {
    let mut found = Vec::new();
    let mut look = |what: &str, our: String, their: String| {
        if our != their {
            found.push(at(path, what, &our, &their));
        }
    };
    look("type", our.kind.to_string(), their.kind.to_string());
    if let (Kind::File(our), Kind::File(their)) = (&our.kind, &their.kind)
        && our.digest != their.digest
    {
        look("content", our.to_string(), their.to_string());
    }
    // A link has no permissions of its own.
    if !matches!(our.kind, Kind::Symlink(_)) {
        look("mode", format!("{:04o}", our.mode), format!("{:04o}", their.mode));
    }
    look("owner", format!("{}:{}", our.uid, our.gid), format!("{}:{}", their.uid, their.gid));
    look("xattrs", format!("{:?}", our.xattrs), format!("{:?}", their.xattrs));
    found
}

/// Whether a path is there for a mount alone: an empty file, or a directory, where buildah mounts.
fn is_mount_point(path: &Path, inode: &Inode) -> bool {
    let empty = match &inode.kind {
        Kind::Directory => true,
        Kind::File(content) => content.size == 0,
        _ => false,
    };
    empty && MOUNT_POINTS.iter().any(|point| Path::new(point) == path)
}

fn compare_names(path: &Path, ours: &Tree, theirs: &Tree) -> Option<Difference> {
    let (our, their) = (ours.other_names(path), theirs.other_names(path));
    (our != their).then(|| at(path, "other names", &format!("{our:?}"), &format!("{their:?}")))
}

fn at(path: &Path, what: &str, ours: &str, theirs: &str) -> Difference {
    let at = format!("{}: {what}", path.display());
    Difference { at, ours: ours.to_owned(), theirs: theirs.to_owned() }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n    berth:   {}\n    buildah: {}", self.at, self.ours, self.theirs)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// An image of one layer; `change` makes its only file another.
    fn image(config: Value, change: impl FnOnce(&mut tar::Header)) -> Image {
        let mut header = tar::Header::new_gnu();
        header.set_size(4);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1);
        change(&mut header);
        let mut archive = tar::Builder::new(Vec::new());
        let content = [b'a'; 64];
        let size = usize::try_from(header.size().unwrap()).unwrap();
        archive.append_data(&mut header, "file", &content[..size]).unwrap();
        let mut tree = Tree::default();
        tree.apply(archive.into_inner().unwrap().as_slice()).unwrap();
        Image { config: json!({ "config": config }), tree, layers: 1 }
    }

    fn found(config: Value, change: impl FnOnce(&mut tar::Header), mtimes: &[&str]) -> Vec<String> {
        let mtimes: Vec<String> = mtimes.iter().map(|path| (*path).to_owned()).collect();
        let differences =
            compare(&image(config, change), &image(json!({ "User": "1" }), |_| {}), &mtimes);
        differences.into_iter().map(|difference| difference.at).collect()
    }

    #[test]
    fn whatever_differs_is_found() {
        let same = || json!({ "User": "1" });
        assert_eq!(found(same(), |_| {}, &["/file"]), [""; 0]);
        assert_eq!(found(same(), |file| file.set_mode(0o600), &[]), ["/file: mode"]);
        assert_eq!(found(same(), |file| file.set_uid(7), &[]), ["/file: owner"]);
        assert_eq!(found(same(), |file| file.set_size(5), &[]), ["/file: content"]);
        assert_eq!(found(same(), |file| file.set_mtime(2), &[]), [""; 0]);
        assert_eq!(found(same(), |file| file.set_mtime(2), &["/file"]), ["/file: mtime"]);
        let fifo = |file: &mut tar::Header| {
            file.set_entry_type(tar::EntryType::Fifo);
            file.set_size(0);
        };
        assert_eq!(found(same(), fifo, &[]), ["/file: type"]);
        assert_eq!(found(json!({}), |_| {}, &[]), ["config: User"]);
    }

    #[test]
    fn a_field_without_a_value_is_the_same_as_none() {
        let config = json!({ "User": "1", "Cmd": null, "Env": [], "Labels": {}, "WorkingDir": "" });
        assert_eq!(found(config, |_| {}, &[]), [""; 0]);
    }

    #[test]
    fn variables_may_stand_in_another_order_and_not_be_others() {
        let differences = |ours: Value, theirs: Value| {
            let config = |env| json!({ "config": { "Env": env } });
            compare_configs(&config(ours), &config(theirs)).len()
        };
        assert_eq!(differences(json!(["A=1", "B=2"]), json!(["B=2", "A=1"])), 0);
        assert_eq!(differences(json!(["A=1", "B=2"]), json!(["B=2", "A=2"])), 1);
        assert_eq!(differences(json!(["A=1"]), json!(["A=1", "B="])), 1);
    }

    #[test]
    fn history_that_has_more_steps_than_layers_is_a_contradiction() {
        let mut image = image(json!({}), |_| {});
        image.config["rootfs"]["diff_ids"] = json!(["sha256:1"]);
        image.config["history"] = json!([{ "created_by": "COPY" }, { "empty_layer": true }]);
        assert_eq!(contradictions(&image), None);
        image.config["history"] = json!([{ "created_by": "COPY" }, { "created_by": "RUN" }]);
        assert!(contradictions(&image).is_some());
    }
}

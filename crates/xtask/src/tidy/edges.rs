//! Who may import whom: the rooms' dependency edges, as ARCHITECTURE.md draws them.

use toml::Table;

use super::{CORPUS, File, Finding};

/// Each room (or package) with those it may import. Rooms on one level never import each other.
const EDGES: [(&str, &[&str]); 19] = [
    ("model", &[]),
    ("init", &[]),
    ("project", &["model"]),
    ("image", &["model"]),
    ("runtime", &["init", "model"]),
    ("edge", &["model"]),
    ("workers", &["project", "model"]),
    ("agent", &["runtime", "image", "model"]),
    ("registry", &["image", "model"]),
    ("store", &[]),
    ("backup", &[]),
    ("control", &["store", "model"]),
    (
        "cli",
        &[
            "edge", "workers", "agent", "registry", "control", "runtime", "image", "store",
            "backup", "project", "model",
        ],
    ),
    ("xtask", &["e2e"]),
    ("e2e", &[]),
    ("differential", &["e2e"]),
    ("escape", &["e2e", "runtime", "model"]),
    ("fuzzing", &["agent", "backup", "control", "edge", "image", "init", "project", "registry"]),
    ("fuzz", &["fuzzing"]),
];

const KINDS: [&str; 3] = ["dependencies", "dev-dependencies", "build-dependencies"];

pub(super) fn check(files: &[File]) -> Vec<Finding> {
    let manifests = files.iter().filter(|file| file.path.ends_with("Cargo.toml"));
    let manifests = manifests.filter(|file| !file.path.starts_with(CORPUS));
    manifests.flat_map(check_manifest).collect()
}

fn check_manifest(file: &File) -> Vec<Finding> {
    // The folder's name is the room's; the workspace's own manifest has none. A room's tests are a
    // package below it, which may import what the room may, and the room.
    let folder = file.path.parent().unwrap_or(&file.path);
    let above = folder.parent().filter(|_| folder.ends_with("tests"));
    let Some(room) = above.unwrap_or(folder).file_name() else {
        return Vec::new();
    };
    let room = room.to_string_lossy();
    let is_itself = |name: &str| above.is_some() && name == room;
    let Ok(manifest) = file.text.parse::<Table>() else {
        return vec![Finding::new(&file.path, 0, "this is no TOML")];
    };
    let Some((_, allowed)) = EDGES.iter().find(|(name, _)| *name == room) else {
        let what = format!("`{room}` is no room that `xtask/src/tidy/edges.rs` knows");
        return vec![Finding::new(&file.path, 0, what)];
    };
    let tables = KINDS.iter().filter_map(|kind| manifest.get(*kind)?.as_table());
    let names = tables.flat_map(Table::keys).map(|name| room_of(name));
    let rooms = names.filter(|name| EDGES.iter().any(|(room, _)| room == name));
    rooms
        .filter(|name| !allowed.contains(name) && !is_itself(name))
        .map(|name| Finding::new(&file.path, 0, format!("`{room}` may not import `{name}`")))
        .collect()
}

/// The room a dependency's name stands for; its package has a prefix.
fn room_of(dependency: &str) -> &str {
    dependency.strip_prefix("berth-").unwrap_or(dependency)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_one(path: &str, text: &str) -> Vec<String> {
        check(&[File::new(path, text)]).into_iter().map(|finding| finding.what).collect()
    }

    #[test]
    fn a_room_may_import_what_lies_below() {
        let text = "[dependencies]\nruntime.workspace = true\nserde = \"1\"\n";
        assert_eq!(check_one("crates/agent/Cargo.toml", text), Vec::<String>::new());
    }

    #[test]
    fn a_room_may_not_import_its_neighbour_in_any_way() {
        for kind in KINDS {
            let text = format!("[{kind}]\nworkers.workspace = true\n");
            let found = check_one("crates/edge/Cargo.toml", &text);
            assert_eq!(found, ["`edge` may not import `workers`"], "{kind}");
        }
        let text = "[dependencies]\nberth-image = { path = \"../image\" }\n";
        assert_eq!(check_one("crates/runtime/Cargo.toml", text).len(), 1);
    }

    #[test]
    fn the_tests_of_a_room_may_import_it_and_what_it_may() {
        let text = "[dev-dependencies]\nedge.workspace = true\nmodel.workspace = true\n";
        assert_eq!(check_one("crates/edge/tests/Cargo.toml", text), Vec::<String>::new());
        let text = "[dev-dependencies]\nagent.workspace = true\n";
        assert_eq!(check_one("crates/edge/tests/Cargo.toml", text).len(), 1);
    }

    #[test]
    fn a_new_crate_must_be_drawn_first() {
        assert_eq!(check_one("crates/helpers/Cargo.toml", "").len(), 1);
    }
}

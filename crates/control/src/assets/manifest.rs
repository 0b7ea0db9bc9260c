//! The list of files that a client wants to serve: pure.

use std::collections::{BTreeMap, HashMap};

use http::StatusCode;
use model::{LARGEST_ASSET, MOST_ASSETS};
use percent_encoding::percent_decode_str;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::envelope::Failure;
use crate::records::ClientFile;

/// Files of a folder that are rules, not content; clients send their text with the version.
const RULES: [&str; 3] = ["_headers", "_redirects", ".assetsignore"];
/// Longest name of a file or folder, as file systems have it.
const LONGEST_NAME: usize = 255;
/// Longest path below the folder: the folder's own path is in front of it.
const LONGEST_PATH: usize = 2048;

/// The body of an `assets-upload-session`: URL paths, percent-encoded.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "AssetsManifest")]
pub(crate) struct Manifest {
    manifest: BTreeMap<String, Entry>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "ManifestEntry")]
struct Entry {
    hash: String,
    size: u64,
}

impl Manifest {
    /// The files by their paths below the folder.
    ///
    /// # Errors
    /// They are too many or too large, or no folder could hold them.
    pub(crate) fn check(self) -> Result<BTreeMap<String, ClientFile>, Failure> {
        let count = self.manifest.len();
        if count > MOST_ASSETS {
            return Err(too_large(format!("{count} assets are too many: at most {MOST_ASSETS}")));
        }
        let mut sizes: HashMap<String, u64> = HashMap::new();
        let mut files = BTreeMap::new();
        for (path, Entry { hash, size }) in self.manifest {
            let wrong = |why: &str| Failure::bad_request(format!("the asset \"{path}\" {why}"));
            if size > LARGEST_ASSET {
                let most = LARGEST_ASSET / 1024 / 1024;
                let message = format!("the asset \"{path}\" has {size} bytes: at most {most} MiB");
                return Err(too_large(message));
            }
            if hash.len() != 32 || !hash.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                return Err(wrong("has a hash that is not 32 hex digits"));
            }
            if *sizes.entry(hash.clone()).or_insert(size) != size {
                return Err(wrong("has the hash of an asset of another size"));
            }
            let file = file_path(&path).map_err(wrong)?;
            if files.insert(file, ClientFile { hash, size }).is_some() {
                return Err(wrong("is there twice"));
            }
        }
        no_file_is_a_folder(&files)?;
        Ok(files)
    }
}

/// `/a%20b/c.html` as `a b/c.html`.
fn file_path(path: &str) -> Result<String, &'static str> {
    let rest = path.strip_prefix('/').ok_or("does not begin with a slash")?;
    let name = |part: &str| {
        let name = percent_decode_str(part).decode_utf8().map_err(|_| "is not UTF-8")?;
        match &*name {
            "" | "." | ".." => Err("has a part that names no file"),
            name if name.contains(['/', '\0']) => Err("has a part that names no file"),
            name if name.len() > LONGEST_NAME => Err("has a name that is too long"),
            name => Ok(name.to_owned()),
        }
    };
    let names = rest.split('/').map(name).collect::<Result<Vec<_>, _>>()?;
    let file = names.join("/");
    if file.len() > LONGEST_PATH {
        return Err("has a path that is too long");
    }
    if RULES.contains(&file.as_str()) {
        return Err("is a file of rules: its text belongs to the version's `assets.config`");
    }
    Ok(file)
}

fn no_file_is_a_folder(files: &BTreeMap<String, ClientFile>) -> Result<(), Failure> {
    for path in files.keys() {
        let mut above = path.as_str();
        while let Some((folder, _)) = above.rsplit_once('/') {
            if files.contains_key(folder) {
                let message = format!("the asset \"/{folder}\" is a folder, too: of \"/{path}\"");
                return Err(Failure::bad_request(message));
            }
            above = folder;
        }
    }
    Ok(())
}

fn too_large(message: String) -> Failure {
    Failure::new(StatusCode::PAYLOAD_TOO_LARGE, 10027, message)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    const HASH: &str = "f17fd9f85e7289b774b95ae8215bee61";

    fn checked(manifest: Value) -> Result<Vec<String>, String> {
        let manifest: Manifest =
            serde_json::from_value(json!({ "manifest": manifest })).expect("a manifest");
        let files = manifest.check().map_err(|failure| failure.message().to_owned())?;
        Ok(files.into_keys().collect())
    }

    fn file(size: u64) -> Value {
        json!({"hash": HASH, "size": size})
    }

    #[test]
    fn paths_of_urls_are_paths_of_files() {
        let manifest = json!({"/index.html": file(1), "/a%20b/%C3%BC.js": file(1), "/.x": file(1)});
        assert_eq!(checked(manifest).unwrap(), [".x", "a b/ü.js", "index.html"]);
        assert!(checked(json!({})).unwrap().is_empty());
    }

    #[test]
    fn what_no_folder_can_hold_is_refused_by_name() {
        let long = format!("/{}", "x".repeat(256));
        for path in
            ["x", "/", "/a//b", "/../x", "/%2e%2e/x", "/a%2fb", "/%00", "/%ff", "/_headers", &long]
        {
            let error = checked(json!({ path: file(1) })).unwrap_err();
            assert!(error.contains(path), "{error}");
        }
        let error = checked(json!({"/a": file(1), "/a/b/c": file(1)})).unwrap_err();
        assert!(error.contains("is a folder, too"), "{error}");
        let error = checked(json!({"/a": file(1), "/%61": file(1)})).unwrap_err();
        assert!(error.contains("twice"), "{error}");
    }

    #[test]
    fn what_is_too_large_or_has_no_hash_is_refused() {
        let error = checked(json!({"/a": file(LARGEST_ASSET + 1)})).unwrap_err();
        assert!(error.contains("at most 25 MiB"), "{error}");
        let error = checked(json!({"/a": {"hash": "../../etc/passwd", "size": 1}})).unwrap_err();
        assert!(error.contains("32 hex digits"), "{error}");
        let error = checked(json!({"/a": file(1), "/b": file(2)})).unwrap_err();
        assert!(error.contains("another size"), "{error}");
        let many: serde_json::Map<_, _> =
            (0..=MOST_ASSETS).map(|n| (format!("/{n}"), file(1))).collect();
        assert!(checked(Value::Object(many)).unwrap_err().contains("too many"));
    }

    proptest! {
        #[test]
        fn no_path_leaves_the_folder(path in "(/|%2e|%2f|\\.|%|[a-z0-9]|\\PC){0,12}") {
            if let Ok(file) = file_path(&path) {
                let parts = std::path::Path::new(&file).components();
                prop_assert!(parts.into_iter().all(|part| matches!(part, std::path::Component::Normal(_))));
            }
        }
    }
}

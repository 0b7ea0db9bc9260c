//! A project's files: the Wrangler configuration and local secrets.

use std::path::Path;

use project::Config;

pub(crate) fn jsonc(bytes: &[u8]) {
    load("wrangler.jsonc", bytes, None);
}

pub(crate) fn toml(bytes: &[u8]) {
    load("wrangler.toml", bytes, None);
}

/// Values of secrets: none may be told by an error.
pub(crate) fn dev_vars(bytes: &[u8]) {
    let config = br#"{"name":"x","main":"x.js","compatibility_date":"2026-01-01"}"#;
    load("wrangler.jsonc", config, Some(bytes));
}

fn load(name: &str, config: &[u8], secrets: Option<&[u8]>) {
    let shm = Path::new("/dev/shm");
    let parent = if shm.is_dir() { shm.to_owned() } else { std::env::temp_dir() };
    let place = tempfile::tempdir_in(parent).expect("make a directory");
    let write = |name: &str, bytes: &[u8]| {
        fs_err::write(place.path().join(name), bytes).expect("write a file");
    };
    write(name, config);
    write("x.js", b"");
    if let Some(secrets) = secrets {
        write(".dev.vars", secrets);
    }
    for environment in [None, Some("staging")] {
        match Config::load(&place.path().join(name), environment) {
            Ok((config, warnings)) => {
                let _ = format!("{config:?} {warnings:?}");
            }
            Err(error) => assert!(!error.to_string().is_empty(), "an error says something"),
        }
    }
}

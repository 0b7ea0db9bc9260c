//! Configuration files as people write them: what becomes of them, and what is said about them.
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

mod bindings;
mod classes;
mod container_keys;
mod containers;
mod deploy;
mod environments;
mod formats;
mod secrets;
mod worker;

use std::path::{Path, PathBuf};

use project::{Config, ConfigError, Diagnostic, Severity};

/// A project folder.
struct Project(tempfile::TempDir);

impl Project {
    fn new(files: &[(&str, &str)]) -> Self {
        let project = Self(tempfile::tempdir().unwrap());
        for (path, contents) in files {
            let path = project.path(path);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, contents).unwrap();
        }
        project
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn load(&self, environment: Option<&str>) -> Loaded {
        load(self.0.path(), environment)
    }
}

/// A configuration, if there is one, and everything that was found.
struct Loaded {
    config: Option<Config>,
    findings: Vec<Diagnostic>,
}

fn load(path: &Path, environment: Option<&str>) -> Loaded {
    match Config::load(path, environment) {
        Ok((config, findings)) => Loaded { config: Some(config), findings },
        Err(ConfigError::Invalid { diagnostics }) => Loaded { config: None, findings: diagnostics },
        Err(error) => panic!("{error}"),
    }
}

impl Loaded {
    /// The configuration, which must be without any finding.
    fn clean(self) -> Config {
        let config = self.accepted();
        assert!(config.1.is_empty(), "{}", shown(&config.1));
        config.0
    }

    /// The configuration and its warnings.
    fn accepted(self) -> (Config, Vec<Diagnostic>) {
        match self.config {
            Some(config) => (config, self.findings),
            None => panic!("{}", shown(&self.findings)),
        }
    }

    fn messages(&self, severity: Severity) -> Vec<&str> {
        let found = self.findings.iter().filter(|finding| finding.severity == severity);
        found.map(|finding| finding.message.as_str()).collect()
    }

    fn errors(&self) -> Vec<&str> {
        self.messages(Severity::Error)
    }

    fn warnings(&self) -> Vec<&str> {
        self.messages(Severity::Warning)
    }

    /// The text that the finding with this message points at.
    fn place(&self, message: &str) -> &str {
        let found = self.findings.iter().find(|finding| finding.message.contains(message));
        let finding = found.unwrap_or_else(|| panic!("{}", shown(&self.findings)));
        &finding.source.text()[finding.span.clone()]
    }
}

fn shown(findings: &[Diagnostic]) -> String {
    project::diagnostic::render_all(findings, false)
}

/// A Worker with one container, to which `top` adds keys at the top level.
fn worker(top: &str) -> Loaded {
    container_in("", top).load(None)
}

/// A Worker whose container has these keys beside `class_name` and `image`.
fn container(keys: &str) -> Loaded {
    container_in(keys, "").load(None)
}

/// A container whose objects manage it, with nothing but `keys`.
fn managed(keys: &str) -> Loaded {
    entry_in(keys, "").load(None)
}

fn container_in(keys: &str, top: &str) -> Project {
    entry_in(&format!("\"image\": \"./Dockerfile\", {keys}"), top)
}

/// An entry with `class_name` and these keys.
fn entry_in(keys: &str, top: &str) -> Project {
    let config = format!(
        r#"{{
  "name": "app",
  "main": "src/index.ts",
  "compatibility_date": "2026-09-01",
  "durable_objects": {{ "bindings": [{{ "name": "C", "class_name": "MyContainer" }}] }},
  "migrations": [{{ "tag": "v1", "new_sqlite_classes": ["MyContainer"] }}],
  "containers": [{{ "class_name": "MyContainer", {keys} }}],
  {top}
}}"#
    );
    Project::new(&[("wrangler.jsonc", &config), ("Dockerfile", "FROM scratch\n"), ("dist/x", "")])
}

/// A configuration of nothing but these keys and what every Worker has.
fn bare(keys: &str) -> Loaded {
    bare_in(keys, &[]).load(None)
}

fn bare_in(keys: &str, files: &[(&str, &str)]) -> Project {
    let config = format!(
        r#"{{ "name": "app", "main": "src/index.ts", "compatibility_date": "2026-09-01", {keys} }}"#
    );
    let mut all = vec![("wrangler.jsonc", config.as_str())];
    all.extend_from_slice(files);
    Project::new(&all)
}

/// Each pair: keys, and the errors they cause.
fn check_errors(make: impl Fn(&str) -> Loaded, table: &[(&str, &str)]) {
    for (keys, message) in table {
        let loaded = make(keys);
        assert_eq!(loaded.errors(), [*message], "{keys}");
        assert!(loaded.config.is_none());
    }
}

/// Each pair: keys, and the warnings they cause beside a valid configuration.
fn check_warnings(make: impl Fn(&str) -> Loaded, table: &[(&str, &str)]) {
    for (keys, message) in table {
        let loaded = make(keys);
        assert_eq!(loaded.warnings(), [*message], "{keys}");
        loaded.accepted();
    }
}

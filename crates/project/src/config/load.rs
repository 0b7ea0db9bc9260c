//! From a folder or file to a [`Config`].

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::bindings::{self, Names, StoreSecret};
use super::classes::Classes;
use super::scope::Scope;
use super::vars::{Files, ProcessEnvironment, Required};
use super::{
    Purpose, Secret, SecretsStoreBinding, assets, bundling, container, deploy, dev, discover,
    unsupported, vars, worker,
};
use crate::check::Report;
use crate::config::Config;
use crate::diagnostic::{Diagnostic, Severity};
use crate::tree::Node;

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Neither the folder nor one above it has a configuration file.
    #[error("no wrangler.json, wrangler.jsonc or wrangler.toml in {} or a folder above it", dir.display())]
    NotFound {
        /// Where the search began.
        dir: PathBuf,
    },
    /// A file could not be read.
    #[error("could not read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file was read and is wrong. Holds every finding, warnings too; at least one is an error.
    #[error("{}", crate::diagnostic::render_all(diagnostics, false))]
    Invalid {
        /// The findings in the order of the file.
        diagnostics: Vec<Diagnostic>,
    },
}

impl Config {
    /// Reads the configuration of a project.
    ///
    /// `path` is a configuration file, or a folder: then it and the folders above it are searched
    /// for `wrangler.json`, `wrangler.jsonc` and `wrangler.toml`, in wrangler's order.
    /// `environment` picks `env.<name>`; without one `CLOUDFLARE_ENV` does, as in wrangler. Warnings
    /// come back beside the configuration.
    ///
    /// # Errors
    /// There is no file, it cannot be read, or anything in it is wrong.
    pub fn load(
        path: &Path,
        environment: Option<&str>,
    ) -> Result<(Self, Vec<Diagnostic>), ConfigError> {
        Self::load_for(Purpose::Dev, path, environment)
    }

    /// The same, for a purpose of its own.
    ///
    /// # Errors
    /// There is no file, it cannot be read, or anything in it is wrong.
    pub fn load_for(
        purpose: Purpose,
        path: &Path,
        environment: Option<&str>,
    ) -> Result<(Self, Vec<Diagnostic>), ConfigError> {
        load(purpose, path, environment, &process_environment())
    }
}

/// The variables of this process that are text.
pub(super) fn process_environment() -> ProcessEnvironment {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// [`Config::load_for`] with the variables of the process as an argument.
pub(super) fn load(
    purpose: Purpose,
    path: &Path,
    environment: Option<&str>,
    process: &ProcessEnvironment,
) -> Result<(Config, Vec<Diagnostic>), ConfigError> {
    let path = discover::find(path)?;
    let environment = environment.or(process.get("CLOUDFLARE_ENV").map(String::as_str));
    let (mut report, root) = discover::read(&path)?;
    let config = read(&mut report, &root, &path, (environment, purpose), process)?;
    let diagnostics = report.finish();
    if diagnostics.iter().any(|finding| finding.severity == Severity::Error) {
        return Err(ConfigError::Invalid { diagnostics });
    }
    Ok((config, diagnostics))
}

/// Reads everything, with defaults in place of what is wrong; the caller looks at the report.
fn read(
    report: &mut Report,
    tree: &Node,
    path: &Path,
    (environment, purpose): (Option<&str>, Purpose),
    process: &ProcessEnvironment,
) -> Result<Config, ConfigError> {
    let root = path.parent().unwrap_or(Path::new("/"));
    let scope = Scope::new(report, tree, environment.filter(|name| !name.is_empty()));
    let mut names = Names::default();
    unsupported::check(report, &scope);
    let name = worker::name(report, &scope);
    let main = worker::main(report, &scope, root);
    let (compatibility_date, compatibility_flags) = worker::compatibility(report, &scope);

    let bound = bindings::durable_objects(report, &scope, &name.effective, &mut names);
    let mut classes = Classes::read(report, &scope);
    let used: Vec<_> =
        bound.iter().map(|b| (b.binding.class_name.clone(), b.class_span.clone())).collect();
    classes.add_bound(report, &used);

    let observability = bundling::observability(report, &scope);
    let berth = dev::berth(report, &scope);
    let context = container::Context {
        root,
        worker: name.own.as_deref(),
        environment: scope.defined(),
        observability: &observability,
        stop_grace: berth.stop_grace,
    };
    let containers = container::containers(report, &scope, &classes, &context);

    let mut vars = vars::vars(report, &scope, &mut names);
    let services = bindings::services(report, &scope, (&name.effective, purpose), &mut names);
    let store = bindings::secrets_store(report, &scope, &mut names);
    let version_metadata = bindings::version_metadata(report, &scope, &mut names);
    let required = vars::required(report, &scope, &mut names);
    let files = match purpose {
        Purpose::Dev => Files::read(root, scope.name(), required.is_some(), process)?,
        Purpose::Deploy => Files::default(),
    };
    let (secrets, secrets_store) =
        secrets(report, purpose, &files, required.as_ref(), store, &mut vars);

    let build = bundling::build(report, &scope, root);
    let assets = assets::assets(
        report,
        &scope,
        assets::Context { root, has_main: main.is_some(), has_build: build.command.is_some() },
        &mut names,
    );
    names.check(report);
    let config = Config {
        path: path.to_owned(),
        root: root.to_owned(),
        environment: scope.name().map(str::to_owned),
        main,
        compatibility_date,
        compatibility_flags,
        vars,
        secrets,
        durable_objects: bound.into_iter().map(|bound| bound.binding).collect(),
        classes: classes.finish(&name.effective),
        name: name.effective,
        containers,
        services,
        secrets_store,
        version_metadata,
        assets,
        crons: worker::crons(report, &scope),
        observability,
        build,
        bundling: bundling::bundling(report, &scope, root),
        dev: dev::dev(report, &scope),
        berth,
        deploy: deploy::deploy(&scope, required.as_ref(), purpose),
        inputs: std::iter::once(path.to_owned()).chain(files.read.iter().cloned()).collect(),
        secret_files: files.read,
    };
    Ok(config)
}

/// The Worker's secrets and those of the store: of one that is deployed the platform has them.
fn secrets(
    report: &mut Report,
    purpose: Purpose,
    files: &Files,
    required: Option<&Required>,
    store: Vec<StoreSecret>,
    vars: &mut BTreeMap<String, serde_json::Value>,
) -> (BTreeMap<String, Secret>, Vec<SecretsStoreBinding>) {
    match purpose {
        Purpose::Dev => {
            let secrets = files.secrets(report, required, &store, vars);
            (secrets, files.store(report, store))
        }
        Purpose::Deploy => {
            let store = store.into_iter().map(SecretsStoreBinding::without_value);
            (BTreeMap::new(), store.collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = r#"{ "name": "a", "main": "x.js", "compatibility_date": "2026-09-01",
        "vars": { "V": "v" }, "secrets": { "required": ["S"] },
        "env": { "staging": { "vars": { "V": "v" } } } }"#;

    fn loaded(process: &[(&str, &str)]) -> Config {
        let dir = tempfile::tempdir().unwrap();
        fs_err::write(dir.path().join("wrangler.json"), CONFIG).unwrap();
        fs_err::write(dir.path().join(".env"), "S=file").unwrap();
        let process =
            process.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        load(Purpose::Dev, dir.path(), None, &process).unwrap().0
    }

    #[test]
    fn required_secrets_and_vars_come_from_the_process_too() {
        let config = loaded(&[("S", "process"), ("V", "process"), ("OTHER", "x")]);
        let secrets: Vec<_> =
            config.secrets.iter().map(|(name, value)| (name.as_str(), value.expose())).collect();
        assert_eq!(secrets, [("S", "process"), ("V", "process")]);
        assert!(config.vars.is_empty());
    }

    #[test]
    fn the_process_can_name_the_environment_and_switch_files_off() {
        let config = loaded(&[("CLOUDFLARE_ENV", "staging")]);
        assert_eq!(
            (config.name.as_str(), config.environment.as_deref()),
            ("a-staging", Some("staging"))
        );
        // Without the file nothing gives a value, and the environment has no `secrets`.
        let config = loaded(&[("CLOUDFLARE_LOAD_DEV_VARS_FROM_DOT_ENV", "false")]);
        assert!(config.secrets.is_empty() && config.secret_files.is_empty());
    }
}

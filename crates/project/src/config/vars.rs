//! `vars` of the configuration, and what `.dev.vars` and `.env` put over them.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::bindings::{Names, StoreSecret};
use super::{ConfigError, Secret, SecretsStoreBinding};
use crate::check::{self, Report};
use crate::config::scope::Scope;
use crate::parse::dotenv;
use crate::tree::Value;

/// `vars`.
pub(super) fn vars(
    report: &mut Report,
    scope: &Scope<'_>,
    names: &mut Names,
) -> BTreeMap<String, serde_json::Value> {
    let Some(field) = scope.own(report, "vars") else { return BTreeMap::new() };
    let Some(object) = check::object(report, &field.path, field.node) else {
        return BTreeMap::new();
    };
    let mut vars = BTreeMap::new();
    for entry in &object.entries {
        let name = &entry.key;
        if let Value::Date(text) = &entry.node.value {
            report.error(
                &entry.node.span,
                format!(
                    "The field \"{}.{name}\" is a TOML date, which is not supported. Please use a string instead, e.g. {name} = \"{text}\".",
                    field.path
                ),
            );
            continue;
        }
        // A key given twice was warned about; it is one binding.
        if vars.insert(name.clone(), entry.node.to_json()).is_none() {
            names.add(name, "Environment Variable", &entry.key_span);
        }
    }
    let top = scope.top("vars");
    let top = top.as_ref().and_then(|field| field.node.as_object());
    let entries = top.map_or(&[][..], |object| &object.entries);
    let missing: Vec<_> =
        entries.iter().map(|e| e.key.as_str()).filter(|key| !vars.contains_key(*key)).collect();
    if let (Some(environment), false) = (scope.defined(), missing.is_empty()) {
        report.warn(
            field.key_span,
            format!(
                "The following vars exist at the top level, but not on \"{}\".\n\
                 This is probably not what you want, since \"vars\" configuration is not inherited by environments.\n\
                 Please add these vars to \"env.{environment}.vars\":\n- {}",
                field.path,
                missing.join("\n- ")
            ),
        );
    }
    vars
}

/// `secrets.required`: the names, and where the list is.
#[derive(Debug)]
pub(super) struct Required {
    names: Vec<String>,
    span: Range<usize>,
}

/// `secrets`.
pub(super) fn required(
    report: &mut Report,
    scope: &Scope<'_>,
    names: &mut Names,
) -> Option<Required> {
    let field = scope.own(report, "secrets")?;
    let object = check::object(report, &field.path, field.node)?;
    report.unexpected_fields(&field.path, object, &["required"]);
    let Some(entry) = check::value(object, "required") else {
        return Some(Required { names: Vec::new(), span: field.node.span.clone() });
    };
    let list = check::strings(report, &format!("{}.required", field.path), &entry.node)?;
    for item in entry.node.as_array().unwrap_or_default() {
        if let Some(name) = item.as_str() {
            names.add(name, "Secret", &item.span);
        }
    }
    Some(Required { names: list, span: entry.node.span.clone() })
}

impl Required {
    /// The names.
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }
}

/// The variables of a process, as `dotenv` sees them.
pub(super) type ProcessEnvironment = BTreeMap<String, String>;

/// What the `.env` files of a folder set.
pub(super) fn dot_env(
    dir: &Path,
    environment: Option<&str>,
    process: &ProcessEnvironment,
) -> Result<BTreeMap<String, String>, ConfigError> {
    let pairs = Files::default().dot_env(dir, environment)?;
    Ok(dotenv::expand(&pairs, process).into_iter().collect())
}

/// What the files of a project say.
#[derive(Debug, Default)]
pub(super) struct Files {
    values: BTreeMap<String, String>,
    pub(super) read: Vec<PathBuf>,
}

impl Files {
    /// Reads `.dev.vars.<environment>` or else `.dev.vars`; where neither exists `.env`,
    /// `.env.local`, `.env.<environment>` and `.env.<environment>.local`, the later ones winning.
    ///
    /// The process's own variables take part as wrangler says: when `secrets` is configured, or by
    /// `CLOUDFLARE_INCLUDE_PROCESS_ENV`.
    pub(super) fn read(
        dir: &Path,
        environment: Option<&str>,
        has_secrets: bool,
        process: &ProcessEnvironment,
    ) -> Result<Self, ConfigError> {
        let mut files = Self::default();
        let specific = environment.map(|name| format!(".dev.vars.{name}"));
        for name in specific.iter().map(String::as_str).chain([".dev.vars"]) {
            if let Some(pairs) = files.file(&dir.join(name))? {
                files.values = pairs.into_iter().collect();
                return Ok(files);
            }
        }
        let flag = |name: &str, default: bool| match process.get(name).map(String::as_str) {
            Some("true") => true,
            Some("false") => false,
            _ => default,
        };
        if !flag("CLOUDFLARE_LOAD_DEV_VARS_FROM_DOT_ENV", true) {
            return Ok(files);
        }
        let pairs = files.dot_env(dir, environment)?;
        let include = has_secrets || flag("CLOUDFLARE_INCLUDE_PROCESS_ENV", false);
        let empty = ProcessEnvironment::new();
        let process = if include { process } else { &empty };
        files.values.clone_from(process);
        files.values.extend(dotenv::expand(&pairs, process));
        Ok(files)
    }

    /// The assignments of every `.env` file, the later ones winning.
    fn dot_env(
        &mut self,
        dir: &Path,
        environment: Option<&str>,
    ) -> Result<dotenv::Pairs, ConfigError> {
        let mut names = vec![".env".to_owned(), ".env.local".to_owned()];
        if let Some(name) = environment {
            names.extend([format!(".env.{name}"), format!(".env.{name}.local")]);
        }
        let mut pairs = Vec::new();
        for name in names {
            pairs.extend(self.file(&dir.join(name))?.into_iter().flatten());
        }
        Ok(pairs)
    }

    fn file(&mut self, path: &Path) -> Result<Option<dotenv::Pairs>, ConfigError> {
        match fs_err::read(path) {
            Ok(bytes) => {
                self.read.push(path.to_owned());
                Ok(Some(dotenv::parse(&String::from_utf8_lossy(&bytes))))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(ConfigError::Read { path: path.to_owned(), source }),
        }
    }

    /// The Worker's secrets; a variable that has one is taken out of `vars`.
    pub(super) fn secrets(
        &self,
        report: &mut Report,
        required: Option<&Required>,
        store: &[StoreSecret],
        vars: &mut BTreeMap<String, serde_json::Value>,
    ) -> BTreeMap<String, Secret> {
        let wanted = |name: &str, vars: &BTreeMap<_, _>| match required {
            Some(required) => vars.contains_key(name) || required.names.iter().any(|n| n == name),
            // A value that stands in for the Secrets Store is not a secret of the Worker too.
            None => !store.iter().any(|secret| secret.secret_name == name),
        };
        let mut secrets = BTreeMap::new();
        for (name, value) in &self.values {
            if wanted(name, vars) {
                secrets.insert(name.clone(), Secret::new(value));
            }
        }
        vars.retain(|name, _| !secrets.contains_key(name));
        if let Some(required) = required {
            let missing: Vec<_> =
                required.names.iter().filter(|name| !secrets.contains_key(*name)).collect();
            if !missing.is_empty() {
                let list: Vec<_> = missing.into_iter().map(String::as_str).collect();
                report.warn(
                    &required.span,
                    format!(
                        "Missing required secrets: {}. Add them to .dev.vars, .env, or set as environment variables.",
                        list.join(", ")
                    ),
                );
            }
        }
        secrets
    }

    /// The Secrets Store bindings with their local values.
    pub(super) fn store(
        &self,
        report: &mut Report,
        store: Vec<StoreSecret>,
    ) -> Vec<SecretsStoreBinding> {
        let value = |report: &mut Report, secret: &StoreSecret| {
            let value = self.values.get(&secret.secret_name).map(Secret::new);
            if value.is_none() {
                report.warn_with(
                    &secret.span,
                    format!(
                        "The Secrets Store secret \"{}\" has no local value.",
                        secret.secret_name
                    ),
                    format!("add {}=<value> to .dev.vars or .env", secret.secret_name),
                );
            }
            value
        };
        store
            .into_iter()
            .map(|secret| SecretsStoreBinding {
                value: value(report, &secret),
                binding: secret.binding,
                store_id: secret.store_id,
                secret_name: secret.secret_name,
            })
            .collect()
    }
}

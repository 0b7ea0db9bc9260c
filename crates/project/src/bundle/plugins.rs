//! What wrangler's bundler plugins do: aliases, module rules, Node.js and `cloudflare:` modules.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::node::{BUILTINS, Compat};
use super::packet::Value;
use super::rules::{self, Rules};
use super::service::{Host, Reply, Waiting};
use super::{Message, Module, ModuleKind};
use crate::config::{Bundling, RuleKind};

/// Namespace of the modules that stand for `require("<built in>")`.
const REQUIRED: &str = "node-built-in-modules";

/// Marks a resolution that a rule asked for, so that rules leave it alone.
const FROM_RULE: u32 = 1;
/// Marks a resolution that an alias asked for.
const FROM_ALIAS: u32 = 2;

/// What esbuild can ask us; the index in [`Plugins::callbacks`] is the id it asks by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Callback {
    Alias,
    /// An index into the active rules.
    Rule(usize),
    /// An index into the shadowed rules.
    Shadowed(usize),
    /// Any Node.js module by any name.
    NodeFull,
    /// A name with `node:`.
    NodePrefixed,
    Cloudflare,
    /// The contents of a module of [`REQUIRED`].
    Required,
}

/// The plugins and what they collect during one build.
#[derive(Debug)]
pub(super) struct Plugins<'a> {
    root: &'a Path,
    bundling: &'a Bundling,
    rules: &'a Rules,
    compat: Compat,
    /// Files that are modules already, by their absolute path.
    found: Vec<PathBuf>,
    callbacks: Vec<(Callback, String)>,
    /// Modules made of files that rules matched.
    pub(super) modules: Vec<Module>,
    /// Those files.
    pub(super) files: Vec<PathBuf>,
    /// `node:` modules imported where they may not exist, with their importers.
    node_imports: Vec<(String, String)>,
}

impl<'a> Plugins<'a> {
    pub(super) fn new(
        root: &'a Path,
        bundling: &'a Bundling,
        rules: &'a Rules,
        compat: Compat,
        found: Vec<PathBuf>,
    ) -> Self {
        let mut callbacks = Vec::new();
        if !bundling.alias.is_empty() {
            let filter = rules::exact_filter(bundling.alias.keys().map(String::as_str));
            callbacks.push((Callback::Alias, filter));
        }
        for (index, rule) in rules.active.iter().enumerate() {
            if !is_javascript(rule.kind) || bundling.find_additional_modules {
                for glob in &rule.globs {
                    callbacks.push((Callback::Rule(index), rules::import_filter(glob)));
                }
            }
        }
        for (index, rule) in rules.shadowed.iter().enumerate() {
            for glob in &rule.globs {
                callbacks.push((Callback::Shadowed(index), rules::import_filter(glob)));
            }
        }
        if compat == Compat::Full {
            let names = rules::exact_filter(BUILTINS.iter().copied());
            let filter = names.replace(")$", "|node:.+)$");
            callbacks.push((Callback::NodeFull, filter));
            callbacks.push((Callback::Required, ".*".to_owned()));
        } else {
            callbacks.push((Callback::NodePrefixed, "^node:".to_owned()));
        }
        callbacks.push((Callback::Cloudflare, "^cloudflare:".to_owned()));
        Self {
            root,
            bundling,
            rules,
            compat,
            found,
            callbacks,
            modules: Vec::new(),
            files: Vec::new(),
            node_imports: Vec::new(),
        }
    }

    /// The plugins as esbuild wants them: one, with all callbacks in order.
    pub(super) fn describe(&self) -> Value {
        let mut resolve = Vec::new();
        let mut load = Vec::new();
        for (id, (callback, filter)) in (0u32..).zip(&self.callbacks) {
            let namespace = if *callback == Callback::Required { REQUIRED } else { "" };
            let entry = Value::object([
                ("id", Value::Int(id)),
                ("filter", Value::String(filter.clone())),
                ("namespace", Value::String(namespace.to_owned())),
            ]);
            if *callback == Callback::Required { &mut load } else { &mut resolve }.push(entry);
        }
        Value::Array(vec![Value::object([
            ("name", Value::String("berth".to_owned())),
            ("onStart", Value::Bool(false)),
            ("onEnd", Value::Bool(false)),
            ("onResolve", Value::Array(resolve)),
            ("onLoad", Value::Array(load)),
        ])])
    }

    /// What to tell the user about imports of `node:` modules.
    pub(super) fn warnings(&self) -> Vec<Message> {
        let mut names: Vec<&str> = self.node_imports.iter().map(|(name, _)| &**name).collect();
        names.sort_unstable();
        names.dedup();
        let text = |name: &str| {
            let mut text = format!(
                "The package \"{name}\" wasn't found on the file system but is built into node.\n\
                 Your Worker may throw errors at runtime unless you enable the \"nodejs_compat\" compatibility flag. Imported from:"
            );
            for (_, importer) in self.node_imports.iter().filter(|(other, _)| other == name) {
                let importer = Path::new(importer);
                let shown = importer.strip_prefix(self.root).unwrap_or(importer);
                text += &format!("\n - {}", shown.display());
            }
            text
        };
        names
            .into_iter()
            .map(|name| Message { frame: text(name), text: text(name), location: None })
            .collect()
    }

    fn resolve(&mut self, question: &Value) -> Reply {
        for id in question.list("ids") {
            let Value::Int(id) = id else { continue };
            let Some((callback, _)) = self.callbacks.get(*id as usize) else { continue };
            if let Some(reply) = self.resolve_by(*callback, *id, question) {
                return reply;
            }
        }
        Reply::Answer(Value::object([]))
    }

    fn resolve_by(&mut self, callback: Callback, id: u32, question: &Value) -> Option<Reply> {
        let path = question.text("path");
        let asked_by = question.int("pluginData");
        match callback {
            Callback::Alias => {
                let target = self.bundling.alias.get(path).filter(|_| asked_by == 0)?;
                let dir = self.root.to_owned();
                Some(resolve_first(id, question, target, dir, FROM_ALIAS))
            }
            Callback::Rule(index) => {
                let path = without_query(path);
                let dir = PathBuf::from(question.text("resolveDir"));
                if self.found.contains(&normal(&dir.join(path))) {
                    return Some(external(id, path, None));
                }
                if asked_by == FROM_RULE || is_javascript(self.rules.active[index].kind) {
                    return None;
                }
                Some(resolve_first(id, question, path, dir, FROM_RULE))
            }
            Callback::Shadowed(_) if asked_by == FROM_RULE => None,
            Callback::Shadowed(index) => {
                let text = format!(
                    "The file {path} matched a module rule in your configuration ({}), but was ignored because a previous rule with the same type was not marked as `fallthrough = true`.",
                    rules::describe(&self.rules.shadowed[index])
                );
                Some(Reply::Answer(Value::object([
                    ("id", Value::Int(id)),
                    ("errors", error(text)),
                ])))
            }
            Callback::NodeFull => {
                if question.text("kind") == "require-call" {
                    return Some(Reply::Answer(Value::object([
                        ("id", Value::Int(id)),
                        ("path", Value::String(path.to_owned())),
                        ("namespace", Value::String(REQUIRED.to_owned())),
                    ])));
                }
                let bare = path.strip_prefix("node:").unwrap_or(path);
                Some(external(id, &format!("node:{bare}"), None))
            }
            Callback::NodePrefixed => {
                let als = self.compat == Compat::AsyncLocalStorage
                    && (path == "node:async_hooks" || path.starts_with("node:async_hooks/"));
                if self.compat != Compat::Prefixed && !als {
                    let import = (path.to_owned(), question.text("importer").to_owned());
                    if !self.node_imports.contains(&import) {
                        self.node_imports.push(import);
                    }
                }
                Some(external(id, path, None))
            }
            Callback::Cloudflare => Some(external(id, path, None)),
            Callback::Required => None,
        }
    }

    /// The file that a rule matched becomes a module of its own.
    fn collect(&mut self, kind: RuleKind, waiting: &Waiting, resolution: &Value) -> Value {
        let resolved = resolution.text("path");
        let file = if resolution.list("errors").is_empty() && Path::new(resolved).is_absolute() {
            PathBuf::from(resolved)
        } else {
            normal(&waiting.dir.join(&waiting.path))
        };
        // What cannot be read is left to esbuild, whose error shows the import.
        let Ok(contents) = fs_err::read(&file) else { return Value::object([]) };
        let path = module_path(&waiting.path, &contents, self.bundling.preserve_file_names);
        let name = path.strip_prefix("./").unwrap_or(&path).to_owned();
        if !self.modules.iter().any(|module| module.name == name) {
            self.modules.push(Module { name, kind: module_kind(kind), contents });
        }
        self.files.push(file);
        match external(waiting.callback, &path, Some("berth-module")) {
            Reply::Answer(value) => value,
            Reply::Resolve(..) => Value::object([]),
        }
    }
}

impl Host for Plugins<'_> {
    fn question(&mut self, question: &Value) -> Reply {
        match question.text("command") {
            "on-resolve" => self.resolve(question),
            "on-load" => Reply::Answer(load_required(question)),
            // `on-start`: nothing to say.
            _ => Reply::Answer(Value::object([
                ("errors", Value::Array(Vec::new())),
                ("warnings", Value::Array(Vec::new())),
            ])),
        }
    }

    fn resolved(&mut self, waiting: Waiting, resolution: &Value) -> Value {
        let callback = self.callbacks.get(waiting.callback as usize).map(|(callback, _)| *callback);
        match callback {
            Some(Callback::Rule(index)) => {
                self.collect(self.rules.active[index].kind, &waiting, resolution)
            }
            _ => {
                let keys = ["path", "external", "namespace", "suffix", "errors", "warnings"];
                let mut answer = vec![("id".to_owned(), Value::Int(waiting.callback))];
                for key in keys {
                    let value = resolution.get(key).cloned();
                    answer.extend(value.map(|value| (key.to_owned(), value)));
                }
                Value::Object(answer.into_iter().collect())
            }
        }
    }
}

/// A module for `require("<built in>")`: what `require` returns is the default export.
fn load_required(question: &Value) -> Value {
    let name = question.text("path");
    let bare = name.strip_prefix("node:").unwrap_or(name);
    let contents = format!(
        "import libDefault from {};\nmodule.exports = libDefault;",
        crate::tree::quoted(&format!("node:{bare}"))
    );
    let id = question.list("ids").first().cloned().unwrap_or(Value::Int(0));
    Value::object([
        ("id", id),
        ("contents", Value::Bytes(contents.into_bytes())),
        ("loader", Value::String("js".to_owned())),
    ])
}

fn resolve_first(id: u32, question: &Value, path: &str, dir: PathBuf, mark: u32) -> Reply {
    let text = |key: &str| Value::String(question.text(key).to_owned());
    let request = Value::object([
        ("command", Value::String("resolve".to_owned())),
        ("key", Value::Int(0)),
        ("pluginName", Value::String("berth".to_owned())),
        ("path", Value::String(path.to_owned())),
        ("importer", text("importer")),
        ("namespace", text("namespace")),
        ("resolveDir", Value::String(dir.to_string_lossy().into_owned())),
        ("kind", text("kind")),
        ("pluginData", Value::Int(mark)),
    ]);
    Reply::Resolve(request, Waiting { callback: id, path: path.to_owned(), dir })
}

fn external(id: u32, path: &str, namespace: Option<&str>) -> Reply {
    let mut answer = vec![
        ("id".to_owned(), Value::Int(id)),
        ("path".to_owned(), Value::String(path.to_owned())),
        ("external".to_owned(), Value::Bool(true)),
    ];
    answer.extend(namespace.map(|name| ("namespace".to_owned(), Value::String(name.to_owned()))));
    Reply::Answer(Value::Object(answer.into_iter().collect()))
}

/// One error without a place; esbuild adds that of the import.
fn error(text: String) -> Value {
    Value::Array(vec![Value::object([
        ("id", Value::String(String::new())),
        ("pluginName", Value::String(String::new())),
        ("text", Value::String(text)),
        ("location", Value::Null),
        ("notes", Value::Array(Vec::new())),
        ("detail", Value::Int(u32::MAX)),
    ])])
}

/// `./<hash>-<file name>`, or the path itself where names are kept.
fn module_path(path: &str, contents: &[u8], preserve: bool) -> String {
    let hash = Sha256::digest(contents);
    let hash = hash[..20].iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
    let name = Path::new(path).file_name().unwrap_or_default().to_string_lossy();
    match (preserve, Path::new(path).is_absolute()) {
        (false, _) => format!("./{hash}-{name}"),
        (true, true) => format!("./{hash}/{name}"),
        (true, false) => path.to_owned(),
    }
}

pub(super) fn module_kind(kind: RuleKind) -> ModuleKind {
    match kind {
        RuleKind::EsModule => ModuleKind::EsModule,
        RuleKind::CommonJs => ModuleKind::CommonJs,
        RuleKind::CompiledWasm => ModuleKind::Wasm,
        RuleKind::Text => ModuleKind::Text,
        RuleKind::Data => ModuleKind::Data,
    }
}

pub(super) fn is_javascript(kind: RuleKind) -> bool {
    matches!(kind, RuleKind::EsModule | RuleKind::CommonJs)
}

fn without_query(path: &str) -> &str {
    path.split_once('?').map_or(path, |(path, _)| path)
}

/// The path without `.` and `..`.
pub(super) fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            std::path::Component::ParentDir => {
                normal.pop();
            }
            std::path::Component::CurDir => {}
            other => normal.push(other),
        }
    }
    normal
}

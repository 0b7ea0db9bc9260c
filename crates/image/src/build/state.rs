//! What a stage is after each of its steps: an image config, layers, and the variables in scope.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::cache::CachedLayer;
use crate::digest::{Digest, Hasher};
use crate::document::{ConfigDocument, Descriptor, History, Manifest, ProcessDocument, RootFs};
use crate::error::StoreError;
use crate::layout::Layout;
use crate::options::Platform;

/// Docker's `PATH` where the image sets none.
pub(super) const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A layer of a stage.
#[derive(Debug, Clone)]
pub(super) struct Layer {
    pub(super) blob: Descriptor,
    pub(super) diff_id: Digest,
}

/// A stage in the making.
#[derive(Debug, Clone)]
pub(super) struct State {
    pub(super) document: ConfigDocument,
    /// Bottom first.
    pub(super) layers: Vec<Layer>,
    /// `ARG`s that have a value.
    pub(super) args: BTreeMap<String, String>,
    /// `ARG`s that have none.
    pub(super) declared: BTreeSet<String>,
    /// Whether this stage has a `CMD` of its own: `ENTRYPOINT` drops an inherited one.
    pub(super) has_cmd: bool,
    /// What its programs are for.
    pub(super) platform: Platform,
    /// The base image's `ONBUILD`s, still to be carried out.
    pub(super) triggers: Vec<String>,
    /// Variables that were used and have no value, since somebody last asked.
    pub(super) unset: Vec<String>,
    /// The keys of its steps, by which later builds may find its layers.
    pub(super) keys: Vec<StepKey>,
}

/// A step's cache key, and which layer it made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct StepKey {
    pub(super) key: Digest,
    /// Index among the image's layers.
    pub(super) layer: usize,
}

impl State {
    /// `FROM scratch`.
    pub(super) fn scratch(platform: Platform) -> Self {
        let document = ConfigDocument {
            created: None,
            architecture: String::new(),
            os: String::new(),
            // As Docker's: programs of any later layer are found.
            config: ProcessDocument { env: vec![PATH.to_owned()], ..ProcessDocument::default() },
            rootfs: RootFs::none(),
            history: Vec::new(),
            rest: serde_json::Map::new(),
        };
        Self::new(document, Vec::new(), platform)
    }

    fn new(document: ConfigDocument, layers: Vec<Layer>, platform: Platform) -> Self {
        Self {
            document,
            layers,
            args: BTreeMap::new(),
            declared: BTreeSet::new(),
            has_cmd: false,
            platform,
            triggers: Vec::new(),
            unset: Vec::new(),
            keys: Vec::new(),
        }
    }

    /// `FROM` an image.
    pub(super) fn of_image(
        manifest: Manifest,
        mut document: ConfigDocument,
        platform: Platform,
    ) -> Self {
        let layers = manifest
            .layers
            .into_iter()
            .zip(&document.rootfs.diff_ids)
            .map(|(blob, diff_id)| Layer { blob, diff_id: diff_id.clone() })
            .collect();
        let triggers = std::mem::take(&mut document.config.on_build);
        Self { triggers, ..Self::new(document, layers, platform) }
    }

    /// `FROM` an earlier stage: its arguments are in scope here too.
    pub(super) fn of_stage(stage: &Self) -> Self {
        let mut state = Self { has_cmd: false, ..stage.clone() };
        state.triggers = std::mem::take(&mut state.document.config.on_build);
        state
    }

    pub(super) fn config(&mut self) -> &mut ProcessDocument {
        &mut self.document.config
    }

    /// Says which files the stage has, whatever made them.
    pub(super) fn chain(&self) -> Digest {
        let mut hasher = Hasher::new();
        self.layers.iter().for_each(|layer| hasher.field(layer.diff_id.as_str().as_bytes()));
        hasher.finish()
    }

    /// The layers as directories, topmost first; never empty.
    pub(super) fn directories(&self, layout: &Layout) -> Result<Vec<PathBuf>, StoreError> {
        let mut directories: Vec<PathBuf> = Vec::with_capacity(self.layers.len());
        for layer in self.layers.iter().rev() {
            let directory = layout.snapshot(&layer.diff_id);
            // overlayfs refuses a directory twice, and twice is the same as once on top.
            if !directories.contains(&directory) {
                directories.push(directory);
            }
        }
        if directories.is_empty() {
            directories.push(layout.empty()?);
        }
        Ok(directories)
    }

    /// A variable's value: `ENV` before `ARG`.
    pub(super) fn variable(&self, name: &str) -> Option<String> {
        let environment = self.document.config.env.iter().rev();
        let set =
            environment.filter_map(|entry| entry.split_once('=')).find(|(key, _)| *key == name);
        set.map(|(_, value)| value.to_owned()).or_else(|| self.args.get(name).cloned())
    }

    /// Sets a variable of `ENV` in its place.
    pub(super) fn set_env(&mut self, name: &str, value: &str) {
        let entry = format!("{name}={value}");
        let known = |old: &&mut String| old.split('=').next() == Some(name);
        match self.document.config.env.iter_mut().find(known) {
            Some(old) => *old = entry,
            None => self.document.config.env.push(entry),
        }
    }

    /// The environment of a command: `ARG`s, then `ENV`.
    pub(super) fn environment(&self) -> Vec<String> {
        let hidden = |name: &str| {
            self.document.config.env.iter().any(|entry| entry.split('=').next() == Some(name))
        };
        let args = self.args.iter().filter(|(name, _)| !hidden(name));
        let mut all: Vec<String> = args.map(|(name, value)| format!("{name}={value}")).collect();
        all.extend(self.document.config.env.iter().cloned());
        all
    }

    /// The working directory; absolute.
    pub(super) fn workdir(&self) -> &str {
        match self.document.config.working_dir.as_str() {
            "" => "/",
            directory => directory,
        }
    }

    /// Adds a layer that `step` made.
    pub(super) fn push(&mut self, step: &str, layer: &CachedLayer) {
        self.layers.push(Layer { blob: layer.blob.clone(), diff_id: layer.diff_id.clone() });
        self.document.created = Some(time(layer.created));
        self.note(step, false);
    }

    /// Notes a step in the image's history.
    pub(super) fn note(&mut self, step: &str, empty_layer: bool) {
        let created = self.document.created.clone();
        let created_by = Some(step.to_owned());
        let rest = serde_json::Map::new();
        self.document.history.push(History { created, created_by, empty_layer, rest });
    }

    /// The config and the layers to write.
    pub(super) fn into_document(mut self) -> (ConfigDocument, Vec<Descriptor>) {
        if self.document.architecture.is_empty() {
            self.platform.architecture().clone_into(&mut self.document.architecture);
        }
        if self.document.os.is_empty() {
            "linux".clone_into(&mut self.document.os);
        }
        let created = self.document.created.take().unwrap_or_else(|| time(0));
        self.document.created = Some(created);
        let diff_ids = self.layers.iter().map(|layer| layer.diff_id.clone()).collect();
        self.document.rootfs = RootFs { diff_ids, ..RootFs::none() };
        let layers = self.layers.into_iter().map(|layer| layer.blob.into_oci()).collect();
        (self.document, layers)
    }
}

/// A time as image configs write it.
fn time(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).unwrap_or_default().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn env_wins_over_arg_and_is_replaced_in_place() {
        let mut state = State::scratch(Platform::host());
        state.args.insert("A".into(), "arg".into());
        state.args.insert("ONLY".into(), "arg".into());
        state.set_env("A", "1");
        state.set_env("B", "2");
        state.set_env("A", "3=x");
        assert_eq!(state.variable("A").as_deref(), Some("3=x"));
        assert_eq!(state.variable("ONLY").as_deref(), Some("arg"));
        assert_eq!(state.variable("C"), None);
        assert_eq!(state.environment(), ["ONLY=arg", PATH, "A=3=x", "B=2"]);
    }

    #[test]
    fn times_are_written_as_in_image_configs() {
        assert_eq!(time(0), "1970-01-01T00:00:00Z");
        assert_eq!(time(1_700_000_000), "2023-11-14T22:13:20Z");
    }
}

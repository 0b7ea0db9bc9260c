//! The images of a store in Docker's terms, and what removes them.
//!
//! It needs no engine: the commands about images work without one.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use image::{
    Digest, Found, Image, ImageStore, ImageSummary, PruneRequest, PullOptions, Reference, RunStep,
    Silent,
};
use serde_json::{Value, json};

use super::error::EngineError;
use super::filters::Filters;
use crate::egress::policy::Network;

/// How old content must be that belongs to no image, for a prune to take it: somebody may just be
/// pushing it.
const GRACE: Duration = Duration::from_secs(3600);

/// What a removal did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Removed {
    /// Names taken away.
    pub untagged: Vec<String>,
    /// Ids of images that are gone.
    pub deleted: Vec<String>,
}

/// The images of one store.
pub struct Images {
    store: ImageStore,
    pull: PullOptions,
    run: Arc<dyn RunStep>,
    egress_allow: Vec<Network>,
    in_use: fn() -> Vec<Digest>,
}

impl fmt::Debug for Images {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Images").field("store", &self.store).finish_non_exhaustive()
    }
}

impl Images {
    /// The images of `store`, pulled by `pull`, whose Dockerfiles' commands are run by `run`.
    /// Containers and commands may reach the networks of `egress_allow` in spite of the rules.
    /// `in_use` tells the manifests of what containers on this machine need.
    pub fn new(
        store: ImageStore,
        pull: PullOptions,
        run: Arc<dyn RunStep>,
        egress_allow: Vec<Network>,
        in_use: fn() -> Vec<Digest>,
    ) -> Self {
        Self { store, pull, run, egress_allow, in_use }
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &ImageStore {
        &self.store
    }

    /// How images are pulled.
    #[must_use]
    pub fn pull_options(&self) -> &PullOptions {
        &self.pull
    }

    pub(super) fn run_step(&self) -> &dyn RunStep {
        &*self.run
    }

    pub(super) fn egress_allow(&self) -> &[Network] {
        &self.egress_allow
    }

    /// Works on a blocking thread.
    pub(super) async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T, EngineError> + Send + 'static,
    ) -> Result<T, EngineError> {
        let images = Arc::clone(self);
        tokio::task::spawn_blocking(move || work(&images)).await.map_err(EngineError::lost)?
    }

    /// An image that must be here, on a blocking thread.
    pub(super) async fn find(self: &Arc<Self>, name: &str) -> Result<ImageSummary, EngineError> {
        let name = name.to_owned();
        self.blocking(move |images| images.require(&name)).await
    }

    pub(super) async fn by_manifest(
        self: &Arc<Self>,
        manifest: &Digest,
    ) -> Result<Option<Image>, EngineError> {
        let manifest = manifest.clone();
        self.blocking(move |images| Ok(images.store.image_by_digest(&manifest)?)).await
    }

    pub(super) async fn list(
        self: &Arc<Self>,
        filters: &Filters,
    ) -> Result<Vec<Value>, EngineError> {
        let filters = filters.clone();
        self.blocking(move |images| images.list_now(&filters)).await
    }

    /// How many images there are.
    pub(super) fn count(&self) -> usize {
        self.store.list().unwrap_or_default().len()
    }

    /// An image by its name, its id, or the beginning of that; with the name it was found by.
    fn look_up(
        &self,
        name: &str,
    ) -> Result<Option<(ImageSummary, Option<Reference>)>, EngineError> {
        match self.store.find(name)? {
            Found::Nothing => Ok(None),
            Found::Image(image, by) => Ok(Some((*image, by))),
            Found::Several(count) => Err(EngineError::BadParameter(format!(
                "image id prefix \"{name}\" is that of {count} images"
            ))),
        }
    }

    /// An image, if it is here.
    ///
    /// # Errors
    /// The store cannot be read, or the name is the beginning of several ids.
    pub fn find_now(&self, name: &str) -> Result<Option<ImageSummary>, EngineError> {
        Ok(self.look_up(name)?.map(|(image, _)| image))
    }

    /// An image that must be here.
    ///
    /// # Errors
    /// It is not, or the store cannot be read.
    pub fn require(&self, name: &str) -> Result<ImageSummary, EngineError> {
        self.find_now(name)?.ok_or_else(|| EngineError::NoSuchImage(name.to_owned()))
    }

    /// The id of the image with that manifest.
    ///
    /// # Errors
    /// There is no such image, or the store cannot be read.
    pub fn id_of(&self, manifest: &Digest) -> Result<Digest, EngineError> {
        // Not by the list: an image that was pushed has two manifests there, and one row.
        let bytes = self.store.manifest(manifest)?;
        let parsed: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let id = parsed["config"]["digest"].as_str().and_then(|digest| digest.parse().ok());
        id.ok_or_else(|| EngineError::Failed(format!("manifest {manifest} names no config")))
    }

    /// Ids of the images that something needs, and `in_use` among it.
    fn needed(&self, in_use: &[Digest]) -> Result<HashSet<Digest>, EngineError> {
        let leased = self.store.leased()?;
        // What is not here (any more) cannot be removed either.
        Ok(leased.iter().chain(in_use).filter_map(|manifest| self.id_of(manifest).ok()).collect())
    }

    /// `docker image inspect`'s object.
    ///
    /// # Errors
    /// There is no such image, or the store cannot be read.
    pub fn inspect(&self, name: &str) -> Result<Value, EngineError> {
        let mut object = self.store.inspect(&self.require(name)?)?;
        if object["Config"].is_null() {
            object["Config"] = json!({});
        }
        object["GraphDriver"] = json!({"Name": "overlay2", "Data": null});
        Ok(object)
    }

    /// `docker images`' objects, newest first.
    fn list_now(&self, filters: &Filters) -> Result<Vec<Value>, EngineError> {
        filters.only(&["reference", "dangling", "label", "before", "since"])?;
        let made = |key: &str| -> Result<Option<i64>, EngineError> {
            let Some(name) = filters.values(key).first() else { return Ok(None) };
            Ok(Some(self.require(name)?.created.unwrap_or_default()))
        };
        let (before, since) = (made("before")?, made("since")?);
        let fits = |image: &ImageSummary| {
            let (tags, created) = (image.tags(), image.created.unwrap_or_default());
            filters.labels(&image.labels)
                && filters.dangling().is_none_or(|dangling| dangling == tags.is_empty())
                && filters.fits("reference", |pattern| tags.iter().any(|t| matches(pattern, t)))
                && before.is_none_or(|before| created < before)
                && since.is_none_or(|since| created > since)
        };
        let all = self.store.list()?;
        Ok(all.iter().filter(|image| fits(image)).map(listed).collect())
    }

    /// `docker images`' objects that filters leave, newest first.
    ///
    /// # Errors
    /// The store cannot be read, or a filter is not known.
    pub fn listed(&self, filters: &str) -> Result<Vec<Value>, EngineError> {
        self.list_now(&Filters::parse(Some(filters))?)
    }

    /// `docker history`'s objects, newest first.
    ///
    /// # Errors
    /// There is no such image, or the store cannot be read.
    pub fn history(&self, name: &str) -> Result<Vec<Value>, EngineError> {
        let image = self.require(name)?;
        let steps = self.store.history(&image.digest)?;
        let mut history: Vec<Value> = steps
            .iter()
            .map(|step| {
                json!({"Id": "<missing>", "Created": step.created.unwrap_or_default(),
                    "CreatedBy": step.created_by, "Tags": null, "Size": step.size,
                    "Comment": step.comment})
            })
            .collect();
        if let Some(newest) = history.first_mut() {
            newest["Id"] = json!(image.id);
            newest["Tags"] = json!(image.tags());
        }
        Ok(history)
    }

    /// Gives an image another name.
    ///
    /// # Errors
    /// There is no such image, the name is none, or the store cannot be written.
    pub fn tag(&self, source: &str, target: &str) -> Result<(), EngineError> {
        let found = self.require(source)?;
        let reference = parse(target)?;
        if reference.digest().is_some() {
            let text = format!("\"{target}\": a name that is given has no digest");
            return Err(EngineError::BadParameter(text));
        }
        Ok(self.store.tag(&reference, &found.digest)?)
    }

    /// Takes a name away, or, by its id, every name an image has; more than one needs `force`. With
    /// the last name the image goes, unless something needs it: that needs `force` too.
    ///
    /// # Errors
    /// There is no such image, it has several names or is used, or the store cannot be written.
    pub fn remove(&self, name: &str, force: bool) -> Result<Removed, EngineError> {
        let found = self.look_up(name)?;
        let (image, by) = found.ok_or_else(|| EngineError::NoSuchImage(name.to_owned()))?;
        let going = by.map_or_else(|| image.references.clone(), |by| vec![by]);
        let all = going.len() == image.references.len();
        let in_use = (self.in_use)();
        if let Some(text) = self.conflict(name, &image, &going, &in_use)?.filter(|_| !force) {
            return Err(EngineError::Conflict(text));
        }
        let mut removed = Removed::default();
        for reference in &going {
            self.store.untag(reference)?;
            removed.untagged.push(reference.familiar());
        }
        let freed =
            all && self.store.reclaim(std::slice::from_ref(&image.digest), &in_use)?.blobs > 0;
        if freed && !self.stays(&image)? {
            removed.deleted.push(image.id.to_string());
        }
        Ok(removed)
    }

    /// Whether an image is here by another manifest, too: pushed compressed it is the same image.
    fn stays(&self, image: &ImageSummary) -> Result<bool, EngineError> {
        let all = self.store.list()?;
        Ok(all.iter().any(|other| other.id == image.id && other.digest != image.digest))
    }

    /// Why these names should not go without being asked for twice.
    fn conflict(
        &self,
        name: &str,
        image: &ImageSummary,
        going: &[Reference],
        in_use: &[Digest],
    ) -> Result<Option<String>, EngineError> {
        if going.len() < image.references.len() {
            return Ok(None);
        }
        let id = image.id.short();
        if !self.stays(image)? && self.needed(in_use)?.contains(&image.id) {
            return Ok(Some(format!(
                "conflict: unable to remove repository reference \"{name}\" (must force) - a \
                 container is using its referenced image {id}"
            )));
        }
        Ok((going.len() > 1).then(|| {
            format!(
                "conflict: unable to delete {id} (must be forced) - image is referenced in \
                 multiple repositories"
            )
        }))
    }

    /// Removes images that have no name, or with `all` every one that nothing needs; then what no
    /// image needs any more. Gives the bytes that became free.
    ///
    /// # Errors
    /// The store cannot be read or written.
    pub fn prune(&self, all: bool) -> Result<(Removed, u64), EngineError> {
        let in_use = (self.in_use)();
        let needed = self.needed(&in_use)?;
        let mut removed = Removed::default();
        for image in self.store.list()? {
            if needed.contains(&image.id) || !(all || image.references.is_empty()) {
                continue;
            }
            for reference in &image.references {
                self.store.untag(reference)?;
                removed.untagged.push(reference.familiar());
            }
            removed.deleted.push(image.id.to_string());
        }
        let request = PruneRequest { roots: in_use, grace: GRACE };
        let pruned = self.store.prune(&request, &Silent)?;
        Ok((removed, pruned.bytes + pruned.unpacked))
    }

    /// Empties the build cache. Gives the bytes that became free.
    ///
    /// # Errors
    /// The store cannot be read or written.
    pub fn prune_build_cache(&self) -> Result<u64, EngineError> {
        self.store.prune_build_cache(None, Some(Duration::ZERO))?;
        // What is dangling stays: it is not what was asked for.
        let dangling = self.store.list()?.into_iter().filter(|image| image.references.is_empty());
        let mut roots = (self.in_use)();
        roots.extend(dangling.map(|image| image.digest));
        let request = PruneRequest { roots, grace: GRACE };
        let pruned = self.store.prune(&request, &Silent)?;
        Ok(pruned.bytes + pruned.unpacked)
    }
}

/// One of `docker images`' objects.
fn listed(image: &ImageSummary) -> Value {
    json!({
        "Id": image.id,
        "ParentId": "",
        "RepoTags": image.tags(),
        "RepoDigests": image.repository_digests(),
        "Created": image.created.unwrap_or_default(),
        "Size": image.size,
        "VirtualSize": image.size,
        "SharedSize": -1,
        "Labels": image.labels,
        "Containers": -1,
    })
}

/// A reference, or an error in Docker's form.
pub(super) fn parse(name: &str) -> Result<Reference, EngineError> {
    name.parse().map_err(|error: image::ReferenceError| {
        EngineError::BadParameter(format!("invalid reference format: {error}"))
    })
}

/// `--filter reference=`: `*` is anything but a slash; without a tag any tag will do.
fn matches(pattern: &str, name: &str) -> bool {
    let (repository, _) = name.rsplit_once(':').unwrap_or((name, ""));
    glob(pattern, name) || glob(pattern, repository)
}

fn glob(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((front, rest)) => text.strip_prefix(front).is_some_and(|text| {
            let end = text.find('/').unwrap_or(text.len());
            (0..=end).any(|at| text.is_char_boundary(at) && glob(rest, &text[at..]))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_needs_no_tag() {
        for (pattern, name, fits) in [
            ("nginx", "nginx:latest", true),
            ("nginx:1", "nginx:latest", false),
            ("ngin*", "nginx:latest", true),
            ("*/app", "owner/app:1", true),
            ("*", "owner/app:1", false),
            ("*:latest", "nginx:latest", true),
        ] {
            assert_eq!(matches(pattern, name), fits, "{pattern} {name}");
        }
    }
}

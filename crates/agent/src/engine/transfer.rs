//! Pulls and pushes, with Docker's messages.

use std::io::{Read, Write};

use image::{
    ArchiveFormat, Credentials, Digest, Exported, ImageConfig, ImageStore, ImportOptions,
    PushOptions, Reference, RootFileSystem,
};
use serde_json::{Value, json};

use super::error::EngineError;
use super::images::{Images, parse};
use super::progress::{Messages, PULL, PUSH};

/// What a transfer goes by, beside the image's name.
#[derive(Debug, Clone, Default)]
pub struct Transfer {
    /// For the image's registry; else those of Docker's `config.json`.
    pub credentials: Option<Credentials>,
    /// `linux/amd64` and its like; this machine's when there is none.
    pub platform: Option<String>,
}

impl Transfer {
    /// The image's registry with the credentials for it.
    fn credentials(&self, reference: &Reference) -> Option<(String, Credentials)> {
        let credentials = self.credentials.clone()?;
        Some((reference.registry().to_owned(), credentials))
    }
}

impl Images {
    /// Pulls an image, and tells how.
    ///
    /// # Errors
    /// The name is none, the platform is not this machine's, or the pull fails.
    pub fn pull(
        &self,
        name: &str,
        transfer: &Transfer,
        messages: &Messages,
    ) -> Result<Digest, EngineError> {
        let reference = parse(name)?;
        super::create::platform(transfer.platform.as_deref())?;
        let before = self.find_now(name)?.map(|found| found.digest);
        messages.send(json!({
            "status": format!("Pulling from {}", reference.repository()),
            "id": reference.version(),
        }));
        let mut options = self.pull_options().clone();
        options.credentials.extend(transfer.credentials(&reference));
        let image = self.store().pull(&reference, &options, &messages.layers(&PULL))?;
        messages.status(format!("Digest: {}", image.digest));
        let what = match before == Some(image.digest.clone()) {
            true => "Image is up to date for",
            false => "Downloaded newer image for",
        };
        messages.status(format!("Status: {what} {}", reference.familiar()));
        Ok(image.digest)
    }

    /// Pushes an image to the registry in its name, and tells how.
    ///
    /// # Errors
    /// There is no such image, or the push fails.
    pub fn push(
        &self,
        name: &str,
        transfer: &Transfer,
        messages: &Messages,
    ) -> Result<Digest, EngineError> {
        let reference = parse(name)?;
        self.require(name)?;
        messages
            .status(format!("The push refers to repository [{}]", reference.familiar_repository()));
        let mut options = PushOptions::default();
        options.credentials.extend(transfer.credentials(&reference));
        let digest = self.store().push(&reference, &options, &messages.layers(&PUSH))?;
        let size = self.store().manifest(&digest)?.len();
        let tag = reference.tag().unwrap_or("latest");
        messages.status(format!("{tag}: digest: {digest} size: {size}"));
        messages.send(json!({"progressDetail": {}, "aux":
            {"Tag": tag, "Digest": digest.as_str(), "Size": size}}));
        Ok(digest)
    }

    /// Writes images as one archive.
    ///
    /// # Errors
    /// An image is not here, or the archive cannot be written.
    pub fn save(
        &self,
        names: &[String],
        to: &mut dyn Write,
        messages: &Messages,
    ) -> Result<(), EngineError> {
        let exported = names.iter().map(|name| {
            let digest = self.require(name)?.digest;
            // By its id, an image has no name in the archive.
            let named = name.parse::<Reference>().ok().filter(|reference| {
                self.store().images().is_ok_and(|all| all.iter().any(|r| r.reference == *reference))
            });
            Ok::<_, EngineError>(Exported { digest, references: named.into_iter().collect() })
        });
        let exported = exported.collect::<Result<Vec<_>, EngineError>>()?;
        let progress = messages.layers(&PUSH);
        Ok(self.store().export(&exported, ArchiveFormat::Docker, to, &progress)?)
    }

    /// Takes the images of an archive; gives their names.
    ///
    /// # Errors
    /// The archive is none, or the store cannot be written.
    pub fn load(&self, from: impl Read, messages: &Messages) -> Result<Vec<String>, EngineError> {
        let options = ImportOptions::default();
        let loaded = self.store().import(from, &options, &messages.layers(&PULL))?;
        let mut names = Vec::new();
        for image in loaded {
            if image.references.is_empty() {
                names.push(self.id_of(&image.digest)?.to_string());
            }
            names.extend(image.references.iter().map(Reference::familiar));
        }
        Ok(names)
    }

    /// Makes an image of a root file system's archive; gives its id.
    ///
    /// # Errors
    /// The archive is none, or the store cannot be written.
    pub fn import(
        &self,
        from: impl Read,
        name: Option<&str>,
        messages: &Messages,
    ) -> Result<String, EngineError> {
        let about = RootFileSystem {
            reference: name.map(parse).transpose()?,
            config: ImageConfig::default(),
            message: "Imported from an archive".to_owned(),
            created: jiff::Timestamp::now().as_second(),
        };
        let options = ImportOptions::default();
        let progress = messages.layers(&PULL);
        let digest = self.store().import_root_file_system(from, &about, &options, &progress)?;
        Ok(self.id_of(&digest)?.to_string())
    }

    /// The manifest that a registry has under a name, as JSON; `verbose`: with its descriptor, as
    /// `docker manifest inspect -v` shows it.
    ///
    /// # Errors
    /// There is none, or the registry cannot be asked.
    pub fn remote_manifest(
        &self,
        name: &str,
        verbose: bool,
        messages: &Messages,
    ) -> Result<String, EngineError> {
        let reference = parse(name)?;
        let progress = messages.layers(&PULL);
        let bytes = ImageStore::remote_manifest(&reference, self.pull_options(), &progress)?;
        let manifest: Value = serde_json::from_slice(&bytes)
            .map_err(|error| EngineError::Failed(format!("the manifest of {name}: {error}")))?;
        let shown = match (verbose, manifest["manifests"].as_array()) {
            (false, _) => manifest,
            (true, Some(list)) => list
                .iter()
                .map(|descriptor| json!({"Ref": reference.to_string(), "Descriptor": descriptor}))
                .collect(),
            (true, None) => {
                let kind = manifest["mediaType"].as_str();
                let kind = kind.unwrap_or("application/vnd.oci.image.manifest.v1+json");
                let key = if kind.contains("docker") { "SchemaV2Manifest" } else { "OCIManifest" };
                let mut shown = json!({
                    "Ref": reference.to_string(),
                    "Descriptor": {"mediaType": kind, "digest": Digest::of(&bytes).as_str(),
                        "size": bytes.len()},
                });
                shown[key] = manifest;
                shown
            }
        };
        serde_json::to_string_pretty(&shown)
            .map_err(|error| EngineError::Failed(format!("the manifest of {name}: {error}")))
    }
}

//! Hosts under which the repositories are served: an image of one of them is on this machine
//! already, and is neither asked for nor transferred.

use std::io;
use std::path::Path;
use std::time::SystemTime;

use super::files::read;
use super::{ContentDigest, Repositories, RepositoryName, Tag};
use crate::digest::Digest;
use crate::document::Top;
use crate::error::StoreError;
use crate::layout::Layout;
use crate::options::Platform;
use crate::reference::Reference;

const HOSTS: &str = "_hosts.json";

impl Repositories {
    /// From now on images of these hosts (`localhost:5000`) are those of the repositories.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn serve_as(&self, hosts: &[String]) -> Result<(), StoreError> {
        let bytes = serde_json::to_vec(hosts).expect("hosts are strings");
        self.layout.keep_file(&self.layout.repositories().join(HOSTS), &bytes)
    }
}

impl Layout {
    /// Whether a registry's host means the repositories of this store.
    pub(crate) fn is_own_registry(&self, host: &str) -> Result<bool, StoreError> {
        Ok(self.own_hosts()?.iter().any(|own| own == host))
    }

    fn own_hosts(&self) -> Result<Vec<String>, StoreError> {
        let bytes = read(&self.repositories().join(HOSTS))?;
        Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default())
    }

    /// Every tag of the repositories as the name of an image of our first host, with its manifest.
    pub(crate) fn names_in_repositories(
        &self,
        platform: Platform,
    ) -> Result<Vec<(Reference, Digest)>, StoreError> {
        let hosts = self.own_hosts()?;
        let Some(host) = hosts.first() else { return Ok(Vec::new()) };
        let mut names = Vec::new();
        for repository in self.repository_names()? {
            for tag in self.tag_names(&repository)? {
                // What is no image's name is nothing to run by it.
                let name = format!("{host}/{repository}:{tag}").parse::<Reference>();
                let found = name.ok().and_then(|name| {
                    let digest = self.find_in_repositories(&name, platform).ok()??;
                    Some((name, digest))
                });
                names.extend(found);
            }
        }
        Ok(names)
    }

    /// Whether a name of our own registry was pushed there later than it was built or named here. Both
    /// are files of one file system, whose times are finer than a record's seconds.
    pub(crate) fn pushed_last(&self, reference: &Reference) -> Result<bool, StoreError> {
        let named = modified(&self.record_path(reference))?;
        let tagged = match self.own_tag(reference)? {
            Some((name, tag)) => modified(&self.tag_path(&name, &tag))?,
            None => None,
        };
        Ok(tagged > named)
    }

    /// The repository and the tag that a name of one of our hosts means.
    pub(crate) fn own_tag(
        &self,
        reference: &Reference,
    ) -> Result<Option<(RepositoryName, Tag)>, StoreError> {
        if reference.digest().is_some() || !self.is_own_registry(reference.registry())? {
            return Ok(None);
        }
        let name = reference.repository().parse().ok();
        Ok(name.zip(reference.tag().unwrap_or("latest").parse().ok()))
    }

    /// The image's manifest in one of the repositories, if the reference is to one of our hosts.
    /// Of an index it is the one for `platform`.
    pub(crate) fn find_in_repositories(
        &self,
        reference: &Reference,
        platform: Platform,
    ) -> Result<Option<Digest>, StoreError> {
        if !self.is_own_registry(reference.registry())? {
            return Ok(None);
        }
        let Ok(name) = reference.repository().parse::<RepositoryName>() else { return Ok(None) };
        let digest = match (reference.digest(), reference.tag()) {
            (Some(digest), _) => Some(ContentDigest::from(digest.clone())),
            (None, tag) => match tag.unwrap_or("latest").parse::<Tag>() {
                Ok(tag) => self.tagged(&name, &tag)?,
                Err(_) => None,
            },
        };
        let entry = digest.map_or(Ok(None), |digest| self.entry(&name, &digest))?;
        let Some(entry) = entry else { return Ok(None) };
        let bytes = self.read_document(&entry.content)?;
        match Top::parse(&bytes) {
            Ok(Top::Index(index)) => {
                Ok(index.choose(platform).map(|descriptor| descriptor.digest.clone()))
            }
            _ => Ok(Some(entry.content)),
        }
    }
}

/// When a file was written last; `None` where there is none.
fn modified(path: &Path) -> Result<Option<SystemTime>, StoreError> {
    match fs_err::metadata(path) {
        Ok(metadata) => Ok(Some(metadata.modified()?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

//! Hosts under which the repositories are served: an image of one of them is on this machine
//! already, and is neither asked for nor transferred.

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
        let bytes = read(&self.repositories().join(HOSTS))?;
        let hosts: Vec<String> =
            bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
        Ok(hosts.iter().any(|own| own == host))
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

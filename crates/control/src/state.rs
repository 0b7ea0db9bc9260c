//! Records, read and written as what they are.

use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use store::{CommitError, Record, Revision, Store, StoreError, Transaction};

use crate::blobs::{BlobId, Blobs};
use crate::envelope::Failure;
use crate::records::{
    ApplicationRecord, AssetContent, AssetFiles, AssetSession, AuditEntry, Deployment,
    ExternalRegistry, Rollout, Script, SecretStore, StoredSecret, Version,
};
use crate::seal::Sealer;

/// Records that are read at once.
const PAGE: usize = 1000;

/// Everything that outlives the process.
#[derive(Debug, Clone)]
pub(crate) struct State {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) sealer: Arc<Sealer>,
    pub(crate) blobs: Blobs,
}

/// A record with the revision that it was read at.
#[derive(Debug, Clone)]
pub(crate) struct Read<T> {
    pub(crate) value: T,
    pub(crate) revision: Revision,
}

/// Keys of records.
pub(crate) mod key {
    use jiff::Timestamp;
    use uuid::Uuid;

    pub(crate) const SCRIPTS: &str = "scripts/";
    pub(crate) const APPLICATIONS: &str = "applications/";
    pub(crate) const VERSIONS: &str = "versions/";
    pub(crate) const ASSETS: &str = "assets/";
    pub(crate) const ASSET_SESSIONS: &str = "asset-sessions/";
    pub(crate) const AUDIT: &str = "audit/";

    pub(crate) const SECRET_STORES: &str = "secret-stores/";
    pub(crate) const STORED_SECRETS: &str = "stored-secrets/";
    pub(crate) const EXTERNAL_REGISTRIES: &str = "external-registries/";

    pub(crate) fn secret_store(id: &str) -> String {
        format!("{SECRET_STORES}{id}")
    }

    /// All secrets of a store.
    pub(crate) fn stored_secrets(store: &str) -> String {
        format!("{STORED_SECRETS}{store}/")
    }

    /// By its name, which no other secret of the store has.
    pub(crate) fn stored_secret(store: &str, name: &str) -> String {
        format!("{}{name}", stored_secrets(store))
    }

    pub(crate) fn external_registry(domain: &str) -> String {
        format!("{EXTERNAL_REGISTRIES}{domain}")
    }

    pub(crate) fn script(name: &str) -> String {
        format!("{SCRIPTS}{name}")
    }

    /// All versions of a script.
    pub(crate) fn versions(tag: &str) -> String {
        format!("{VERSIONS}{tag}/")
    }

    pub(crate) fn version(tag: &str, id: Uuid) -> String {
        format!("{}{id}", versions(tag))
    }

    /// All deployments of a script.
    pub(crate) fn deployments(tag: &str) -> String {
        format!("deployments/{tag}/")
    }

    /// With leading zeros, so that the order of keys is that of numbers.
    pub(crate) fn deployment(tag: &str, number: u32) -> String {
        format!("{}{number:010}", deployments(tag))
    }

    /// All content of a Worker's static files: by its name, because files come before their Worker.
    pub(crate) fn assets(script: &str) -> String {
        format!("{ASSETS}{script}/")
    }

    pub(crate) fn asset(script: &str, hash: &str) -> String {
        format!("{}{hash}", assets(script))
    }

    pub(crate) fn asset_session(id: Uuid) -> String {
        format!("{ASSET_SESSIONS}{id}")
    }

    /// The first key of entries from then on: with leading zeros, so that their order is that of time.
    pub(crate) fn audit_since(time: Timestamp) -> String {
        format!("{AUDIT}{:016}", time.as_millisecond().max(0))
    }

    pub(crate) fn audit_entry(time: Timestamp, id: Uuid) -> String {
        format!("{}-{id}", audit_since(time))
    }

    pub(crate) fn application(id: &str) -> String {
        format!("{APPLICATIONS}{id}")
    }

    /// All rollouts of an application.
    pub(crate) fn rollouts(id: &str) -> String {
        format!("rollouts/{id}/")
    }

    pub(crate) fn rollout(id: &str, number: u32) -> String {
        format!("{}{number:010}", rollouts(id))
    }
}

impl State {
    fn read<T: DeserializeOwned>(&self, key: &str) -> Result<Option<Read<T>>, Failure> {
        let Some(record) = self.store.get(key).map_err(broken)? else { return Ok(None) };
        let value = parse(key, &record.value)?;
        Ok(Some(Read { value, revision: record.revision }))
    }

    fn all<T: DeserializeOwned>(&self, prefix: &str) -> Result<Vec<T>, Failure> {
        all(self.store.as_ref(), prefix)
    }

    /// A script that must be there.
    pub(crate) fn script(&self, name: &str) -> Result<Read<Script>, Failure> {
        self.find_script(name)?.ok_or_else(Failure::no_script)
    }

    pub(crate) fn find_script(&self, name: &str) -> Result<Option<Read<Script>>, Failure> {
        self.read(&key::script(name))
    }

    pub(crate) fn scripts(&self) -> Result<Vec<Script>, Failure> {
        self.all(key::SCRIPTS)
    }

    /// A version that must be there.
    pub(crate) fn version(&self, script: &Script, id: uuid::Uuid) -> Result<Version, Failure> {
        let found = self.read(&key::version(&script.tag, id))?;
        found.map(|read| read.value).ok_or_else(Failure::no_version)
    }

    /// All versions, the newest first.
    pub(crate) fn versions(&self, script: &Script) -> Result<Vec<Version>, Failure> {
        let mut versions: Vec<Version> = self.all(&key::versions(&script.tag))?;
        versions.sort_by_key(|version| std::cmp::Reverse(version.number));
        Ok(versions)
    }

    /// The version that was uploaded last.
    pub(crate) fn newest_version(&self, script: &Script) -> Result<Option<Version>, Failure> {
        Ok(self.versions(script)?.into_iter().next())
    }

    /// All deployments, the newest first.
    pub(crate) fn deployments(&self, script: &Script) -> Result<Vec<Deployment>, Failure> {
        let mut deployments: Vec<Deployment> = self.all(&key::deployments(&script.tag))?;
        deployments.reverse();
        Ok(deployments)
    }

    /// Content of a Worker's static files.
    pub(crate) fn asset(&self, script: &str, hash: &str) -> Result<Option<AssetContent>, Failure> {
        Ok(self.read(&key::asset(script, hash))?.map(|read| read.value))
    }

    pub(crate) fn asset_session(&self, id: uuid::Uuid) -> Result<Option<AssetSession>, Failure> {
        Ok(self.read(&key::asset_session(id))?.map(|read| read.value))
    }

    /// All sessions with their keys, also those that are over.
    pub(crate) fn asset_sessions(&self) -> Result<Vec<(String, AssetSession)>, Failure> {
        let records = records(self.store.as_ref(), key::ASSET_SESSIONS)?;
        let session = |record: Record| {
            let value = parse(&record.key, &record.value)?;
            Ok((record.key, value))
        };
        records.into_iter().map(session).collect()
    }

    /// The files of a version, whose list is kept as content itself.
    pub(crate) fn asset_files(&self, list: &BlobId) -> Result<AssetFiles, Failure> {
        asset_files(&self.blobs, list)
    }

    /// Removes content that no version and no upload names: what removed Workers had, and uploads that
    /// led to nothing. Nothing may be uploaded meanwhile.
    pub(crate) fn remove_unnamed_content(&self) -> Result<(), Failure> {
        let named = content(self.store.as_ref(), &self.blobs)?;
        let removed = self.blobs.remove_others(&named);
        removed.map_err(|error| Failure::internal(format!("failed to remove content: {error}")))
    }

    /// An application that must be there.
    pub(crate) fn application(&self, id: &str) -> Result<Read<ApplicationRecord>, Failure> {
        self.find_application(id)?.ok_or_else(|| Failure::no_application(id))
    }

    pub(crate) fn find_application(
        &self,
        id: &str,
    ) -> Result<Option<Read<ApplicationRecord>>, Failure> {
        self.read(&key::application(id))
    }

    pub(crate) fn applications(&self) -> Result<Vec<ApplicationRecord>, Failure> {
        applications(self.store.as_ref())
    }

    /// All rollouts of an application, the newest first.
    pub(crate) fn rollouts(&self, id: &str) -> Result<Vec<Rollout>, Failure> {
        let mut rollouts: Vec<Rollout> = self.all(&key::rollouts(id))?;
        rollouts.reverse();
        Ok(rollouts)
    }

    /// The rollout of an application that is not over.
    pub(crate) fn active_rollout(
        &self,
        application: &ApplicationRecord,
    ) -> Result<Option<Rollout>, Failure> {
        let newest = self.read(&key::rollout(&application.id, application.rollouts))?;
        Ok(newest.map(|read: Read<Rollout>| read.value).filter(|it| !it.status.is_over()))
    }

    /// All stores of secrets, the oldest first.
    pub(crate) fn secret_stores(&self) -> Result<Vec<SecretStore>, Failure> {
        let mut stores: Vec<SecretStore> = self.all(key::SECRET_STORES)?;
        stores.sort_by_key(|store| store.created);
        Ok(stores)
    }

    /// A store of secrets that must be there.
    pub(crate) fn secret_store(&self, id: &str) -> Result<Read<SecretStore>, Failure> {
        self.read(&key::secret_store(id))?.ok_or_else(Failure::no_secret_store)
    }

    /// All secrets of a store, in the order of their names.
    pub(crate) fn stored_secrets(&self, store: &str) -> Result<Vec<StoredSecret>, Failure> {
        self.all(&key::stored_secrets(store))
    }

    /// A secret that must be there.
    pub(crate) fn stored_secret(
        &self,
        store: &str,
        id: &str,
    ) -> Result<Read<StoredSecret>, Failure> {
        self.secret_store(store)?;
        let all = self.stored_secrets(store)?;
        let name = all.iter().find(|secret| secret.id == id).map(|secret| &secret.name);
        let name = name.ok_or_else(Failure::no_stored_secret)?;
        self.find_stored_secret(store, name)?.ok_or_else(Failure::no_stored_secret)
    }

    pub(crate) fn find_stored_secret(
        &self,
        store: &str,
        name: &str,
    ) -> Result<Option<Read<StoredSecret>>, Failure> {
        self.read(&key::stored_secret(store, name))
    }

    /// All registries of others, in the order of their hosts.
    pub(crate) fn external_registries(&self) -> Result<Vec<ExternalRegistry>, Failure> {
        self.all(key::EXTERNAL_REGISTRIES)
    }

    pub(crate) fn find_external_registry(
        &self,
        domain: &str,
    ) -> Result<Option<Read<ExternalRegistry>>, Failure> {
        self.read(&key::external_registry(domain))
    }

    /// Entries of the audit log from then on, the oldest first.
    pub(crate) fn audit_entries(&self, since: Timestamp) -> Result<Vec<AuditEntry>, Failure> {
        let records =
            records_after(self.store.as_ref(), key::AUDIT, Some(key::audit_since(since)))?;
        records.iter().map(|record| parse(&record.key, &record.value)).collect()
    }

    /// Keys of the oldest entries of the audit log, as far as they are older than that.
    pub(crate) fn audit_keys_before(
        &self,
        time: Timestamp,
        limit: usize,
    ) -> Result<Vec<String>, Failure> {
        let end = key::audit_since(time);
        let oldest = self.store.list(key::AUDIT, None, limit).map_err(broken)?;
        Ok(oldest.into_iter().map(|record| record.key).take_while(|key| *key < end).collect())
    }

    /// Makes the changes of a transaction.
    pub(crate) fn commit(&self, transaction: &Transaction) -> Result<(), Failure> {
        commit(self.store.as_ref(), transaction)
    }

    /// Removes everything under a prefix, with the record that it belongs to going first.
    pub(crate) fn remove_below(
        &self,
        prefixes: &[String],
        first: Transaction,
    ) -> Result<(), Failure> {
        let mut transaction = first;
        for prefix in prefixes {
            let records = records(self.store.as_ref(), prefix)?;
            transaction =
                records.into_iter().fold(transaction, |all, record| all.delete(record.key));
        }
        self.commit(&transaction)
    }
}

/// Makes the changes of a transaction.
pub(crate) fn commit(store: &dyn Store, transaction: &Transaction) -> Result<(), Failure> {
    match store.commit(transaction) {
        Ok(_) => Ok(()),
        Err(CommitError::Conflict { .. }) => Err(Failure::conflict()),
        Err(CommitError::Store(error)) => Err(broken(error)),
    }
}

/// Names of all content that versions and static files have.
fn content(store: &dyn Store, blobs: &Blobs) -> Result<HashSet<BlobId>, Failure> {
    let mut named: HashSet<BlobId> =
        all::<AssetContent>(store, key::ASSETS)?.into_iter().map(|asset| asset.blob).collect();
    for version in all::<Version>(store, key::VERSIONS)? {
        for module in version.modules {
            named.insert(module.contents);
            named.extend(module.source_map);
        }
        if let Some(assets) = version.assets {
            named.extend(asset_files(blobs, &assets.files)?.into_values());
            named.insert(assets.files);
        }
    }
    Ok(named)
}

fn asset_files(blobs: &Blobs, list: &BlobId) -> Result<AssetFiles, Failure> {
    let text = blobs.get(list);
    let text =
        text.map_err(|error| Failure::internal(format!("failed to read assets: {error}")))?;
    parse("assets", &text)
}

/// Names of the files that records lead to, in the folder of modules and static files.
///
/// # Errors
/// The records cannot be read, or a list of static files is not there any more.
pub fn named_content(store: &dyn Store, blobs: &Path) -> Result<Vec<String>, String> {
    let named = content(store, &Blobs::in_folder(blobs));
    let named = named.map_err(|failure| failure.message().to_owned())?;
    let mut names: Vec<_> = named.iter().map(ToString::to_string).collect();
    names.sort();
    Ok(names)
}

/// All applications of a store, the oldest first.
pub(crate) fn applications(store: &dyn Store) -> Result<Vec<ApplicationRecord>, Failure> {
    let mut applications: Vec<ApplicationRecord> = all(store, key::APPLICATIONS)?;
    applications.sort_by_key(|application| application.created_at);
    Ok(applications)
}

fn all<T: DeserializeOwned>(store: &dyn Store, prefix: &str) -> Result<Vec<T>, Failure> {
    let records = records(store, prefix)?;
    records.iter().map(|record| parse(&record.key, &record.value)).collect()
}

/// Everything under a prefix.
pub(crate) fn records(store: &dyn Store, prefix: &str) -> Result<Vec<Record>, Failure> {
    records_after(store, prefix, None)
}

fn records_after(
    store: &dyn Store,
    prefix: &str,
    after: Option<String>,
) -> Result<Vec<Record>, Failure> {
    let mut all: Vec<Record> = Vec::new();
    loop {
        let last = all.last().map(|record| record.key.as_str()).or(after.as_deref());
        let page = store.list(prefix, last, PAGE).map_err(broken)?;
        let is_last = page.len() < PAGE;
        all.extend(page);
        if is_last {
            return Ok(all);
        }
    }
}

/// The bytes of a record.
pub(crate) fn bytes(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("records have text keys and finite numbers")
}

pub(crate) fn parse<T: DeserializeOwned>(key: &str, value: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(value)
        .map_err(|error| Failure::internal(format!("the record \"{key}\" cannot be read: {error}")))
}

fn broken(error: StoreError) -> Failure {
    Failure::internal(format!("failed to {error}"))
}

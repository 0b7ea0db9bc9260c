//! Names of images.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::digest::Digest;
use crate::error::StoreError;
use crate::layout::Layout;
use crate::options::Platform;
use crate::reference::Reference;
use crate::store::ImageRecord;

impl Layout {
    pub(crate) fn record_path(&self, reference: &Reference) -> PathBuf {
        let name = Digest::of(reference.to_string().as_bytes());
        self.images().join(format!("{}.json", name.hex()))
    }

    /// The manifest a reference leads to. A digest that is here needs no name.
    pub(crate) fn find(&self, reference: &Reference) -> Result<Option<Digest>, StoreError> {
        let pushed = self.find_in_repositories(reference, Platform::host())?;
        let record = self.record_of(reference)?;
        // An image of our own registry may be pushed there, or built or named here, later.
        let record = match &pushed {
            Some(_) if self.pushed_last(reference)? => None,
            _ => record,
        };
        if let Some(digest) = record.map(|record| record.digest).or(pushed) {
            return Ok(Some(digest));
        }
        Ok(reference.digest().filter(|digest| self.manifest(digest).is_ok()).cloned())
    }

    /// Gives a manifest a name. One that it has already costs no wait for the disk.
    pub(crate) fn record(&self, reference: &Reference, digest: &Digest) -> Result<(), StoreError> {
        if self.record_of(reference)?.is_some_and(|record| record.digest == *digest) {
            return self.touch(reference);
        }
        let updated = jiff::Timestamp::now().as_second();
        let record = ImageRecord { reference: reference.clone(), digest: digest.clone(), updated };
        let bytes = serde_json::to_vec(&record).expect("a record has only strings and numbers");
        // A name on disk leads to content on disk.
        self.sync_folder(&self.blobs())?;
        self.replace_file(&self.record_path(reference), &bytes)?;
        self.sync_folder(&self.images())?;
        self.sync_in_background();
        Ok(())
    }

    /// Begins a name's time anew. Nothing is written that a power cut could tear.
    pub(crate) fn touch(&self, reference: &Reference) -> Result<(), StoreError> {
        let file = fs_err::File::options().write(true).open(self.record_path(reference))?;
        Ok(file.set_modified(SystemTime::now())?)
    }

    /// A name's record.
    pub(crate) fn record_of(
        &self,
        reference: &Reference,
    ) -> Result<Option<ImageRecord>, StoreError> {
        read_record(&self.record_path(reference))
    }

    pub(crate) fn unrecord(&self, reference: &Reference) -> Result<bool, StoreError> {
        match fs_err::remove_file(self.record_path(reference)) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// All names, sorted.
    pub(crate) fn records(&self) -> Result<Vec<ImageRecord>, StoreError> {
        let mut records = Vec::new();
        for entry in fs_err::read_dir(self.images())? {
            records.extend(read_record(&entry?.path())?);
        }
        records.sort_by(|a, b| a.reference.cmp(&b.reference));
        Ok(records)
    }
}

/// A record, or nothing when it is not there (any more) or not a record.
fn read_record(path: &Path) -> Result<Option<ImageRecord>, StoreError> {
    let mut file = match fs_err::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let touched = seconds(file.metadata()?.modified()?);
    let record = serde_json::from_slice::<ImageRecord>(&bytes).ok();
    Ok(record.map(|record| ImageRecord { updated: record.updated.max(touched), ..record }))
}

/// In seconds since 1970.
fn seconds(time: SystemTime) -> i64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_given_again_to_the_same_image_is_not_written_anew() {
        let (_dir, layout) = Layout::of_tests();
        let (name, image) = ("a/b:1".parse::<Reference>().unwrap(), Digest::of(b"image"));
        let file = || {
            std::os::unix::fs::MetadataExt::ino(
                &fs_err::metadata(layout.record_path(&name)).unwrap(),
            )
        };
        layout.record(&name, &image).unwrap();
        let first = file();
        layout.record(&name, &image).unwrap();
        assert_eq!(file(), first);
        let other = Digest::of(b"other");
        layout.record(&name, &other).unwrap();
        assert_eq!(layout.record_of(&name).unwrap().unwrap().digest, other);
    }
}

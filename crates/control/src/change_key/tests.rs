//! Another key over records in memory, by a process that may die at any write.

use std::path::Path;

use jiff::Timestamp;
use uuid::Uuid;

use super::*;
use crate::cut_off::{CutOff, moments};
use crate::fake::state;
use crate::records::Binding;
use crate::state::State;

const TAG: &str = "0123";

/// Two versions with two secrets each, and the file of the key that encrypts them.
fn with_secrets() -> (State, tempfile::TempDir, std::path::PathBuf) {
    let (state, folder) = state();
    let key = folder.path().join("secrets.key");
    let sealer = Sealer::with_key_file(&key).unwrap();
    for number in 1..=2 {
        let secret = |name: &str| Binding {
            name: name.into(),
            kind: BindingKind::SecretText(sealer.seal(&place_of(TAG, name), &text(number, name))),
        };
        let version = Version {
            id: Uuid::new_v4(),
            number,
            created_on: Timestamp::UNIX_EPOCH,
            author: "ci".into(),
            source: "wrangler".into(),
            annotations: Default::default(),
            compatibility_date: "2026-01-01".into(),
            compatibility_flags: Vec::new(),
            modules: Vec::new(),
            bindings: vec![secret("A"), secret("B")],
            containers: Vec::new(),
            atomic: None,
            assets: None,
            startup_time_ms: 0,
        };
        let write = Transaction::new().put(key::version(TAG, version.id), bytes(&version));
        state.commit(&write).unwrap();
    }
    (state, folder, key)
}

fn text(version: u32, name: &str) -> String {
    format!("secret {name} of {version}")
}

/// Every secret is there for whoever opens the key's file now.
#[track_caller]
fn check(state: &State, key_file: &Path) {
    check_with(state, &KeyPlace::file(key_file));
}

/// Every secret is there for whoever has these keys.
#[track_caller]
fn check_with(state: &State, keys: &KeyPlace) {
    let sealer = Sealer::open_with(keys).unwrap();
    let records = records(state.store.as_ref(), key::VERSIONS).unwrap();
    assert_eq!(records.len(), 2);
    for record in records {
        let version: Version = parse(&record.key, &record.value).unwrap();
        for binding in &version.bindings {
            let BindingKind::SecretText(sealed) = &binding.kind else { panic!("a secret") };
            let opened = sealer.open(&place_of(TAG, &binding.name), sealed).unwrap();
            assert_eq!(opened, text(version.number, &binding.name));
        }
    }
}

#[test]
fn every_secret_gets_the_new_key_and_the_old_one_is_forgotten() {
    let (state, folder, key) = with_secrets();
    let before = fs_err::read(&key).unwrap();
    assert_eq!(change_key(&state.store, &KeyPlace::file(&key)).unwrap(), 4);
    assert_ne!(fs_err::read(&key).unwrap(), before);
    assert!(!Sealer::next_key_file(&key).exists());
    check(&state, &key);

    let old = folder.path().join("old.key");
    fs_err::write(&old, before).unwrap();
    let old = Sealer::with_key_file(&old).unwrap();
    let record = &records(state.store.as_ref(), key::VERSIONS).unwrap()[0];
    let version: Version = parse(&record.key, &record.value).unwrap();
    let BindingKind::SecretText(sealed) = &version.bindings[0].kind else { panic!("a secret") };
    assert!(old.open(&place_of(TAG, "A"), sealed).is_err(), "nobody needs the old key any more");
}

#[test]
fn a_change_that_is_killed_at_any_write_loses_no_secret_and_is_gone_on_with() {
    for moment in moments() {
        let (state, _folder, key) = with_secrets();
        let (process, dying) = CutOff::of(&state, moment);
        let result = change_key(&dying.store, &KeyPlace::file(&key));
        check(&state, &key);
        if !process.is_dead() {
            result.unwrap();
            return;
        }
        assert!(Sealer::next_key_file(&key).exists(), "the old key is kept: {moment:?}");
        change_key(&state.store, &KeyPlace::file(&key)).unwrap();
        check(&state, &key);
        assert!(!Sealer::next_key_file(&key).exists());
    }
}

#[test]
fn secrets_of_a_file_get_a_key_that_is_given_and_then_another_one() {
    let (state, _folder, file) = with_secrets();
    let (one, other) = ("01".repeat(32), "02".repeat(32));
    let given = |key: &str, before| KeyPlace::given(&file, key, before).unwrap();
    assert_eq!(change_key(&state.store, &given(&one, None)).unwrap(), 4);
    assert!(!file.exists(), "the key is no longer on this machine");
    let error = change_key(&state.store, &given(&other, None)).unwrap_err();
    assert!(error.contains("cannot be decrypted"), "{error}");
    assert_eq!(change_key(&state.store, &given(&other, Some(&one))).unwrap(), 4);
    assert_eq!(change_key(&state.store, &given(&other, None)).unwrap(), 0);
    check_with(&state, &given(&other, None));
    assert!(!file.exists());
}

#[test]
fn a_secret_that_nobody_can_read_keeps_the_old_key() {
    let (state, folder, key) = with_secrets();
    let _other = Sealer::with_key_file(&folder.path().join("other.key")).unwrap();
    fs_err::copy(folder.path().join("other.key"), &key).unwrap();
    let error = change_key(&state.store, &KeyPlace::file(&key)).unwrap_err();
    assert!(error.contains("versions/0123/"), "{error}");
    assert!(Sealer::next_key_file(&key).exists());
}

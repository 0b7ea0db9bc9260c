//! What every store promises, tried on each of them.

use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::{CommitError, Memory, Revision, Sqlite, Store, Transaction};

/// Tries a promise on every kind of store, empty.
fn on_each(promise: impl Fn(&dyn Store)) {
    promise(&Memory::default());
    let folder = tempfile::tempdir().unwrap();
    promise(&Sqlite::open(&folder.path().join("control.sqlite")).unwrap());
}

fn keys(store: &dyn Store, prefix: &str, after: Option<&str>, limit: usize) -> Vec<String> {
    store.list(prefix, after, limit).unwrap().into_iter().map(|record| record.key).collect()
}

fn conflict(result: Result<Revision, CommitError>) -> String {
    match result {
        Err(CommitError::Conflict { key }) => key,
        other => panic!("{other:?} is no conflict"),
    }
}

#[test]
fn a_record_is_what_was_last_put() {
    on_each(|store| {
        assert_eq!(store.get("a").unwrap(), None);
        let first = store.commit(&Transaction::new().put("a", "1")).unwrap();
        let second = store.commit(&Transaction::new().put("a", "2").put("b", "3")).unwrap();
        assert!(second > first);
        let record = store.get("a").unwrap().unwrap();
        assert_eq!((record.value.as_slice(), record.revision), (&b"2"[..], second));
        store.commit(&Transaction::new().delete("a").delete("never there")).unwrap();
        assert_eq!(store.get("a").unwrap(), None);
    });
}

#[test]
fn one_of_two_writers_who_read_the_same_wins() {
    on_each(|store| {
        let read = store.commit(&Transaction::new().put("a", "0")).unwrap();
        let write = |value: &str| {
            store.commit(&Transaction::new().if_unchanged("a", Some(read)).put("a", value))
        };
        write("1").unwrap();
        assert_eq!(conflict(write("2")), "a");
        assert_eq!(store.get("a").unwrap().unwrap().value, b"1");
    });
}

#[test]
fn a_name_is_taken_once() {
    on_each(|store| {
        let take = |who: &str| store.commit(&Transaction::new().if_absent("name").put("name", who));
        take("first").unwrap();
        assert_eq!(conflict(take("second")), "name");
        let unread = Transaction::new().if_unchanged("name", None).put("name", "third");
        assert_eq!(conflict(store.commit(&unread)), "name");
    });
}

#[test]
fn a_transaction_whose_condition_fails_changes_nothing() {
    on_each(|store| {
        let before = store.commit(&Transaction::new().put("a", "1")).unwrap();
        let both = Transaction::new().if_absent("b").if_absent("a").put("b", "2").delete("a");
        assert_eq!(conflict(store.commit(&both)), "a");
        assert_eq!(keys(store, "", None, 10), ["a"]);
        let after = store.commit(&Transaction::new().put("c", "3")).unwrap();
        assert_eq!(after.0, before.0 + 1, "nor does it use up a revision");
    });
}

#[test]
fn a_record_that_was_removed_and_made_again_is_another() {
    on_each(|store| {
        let read = store.commit(&Transaction::new().put("a", "1")).unwrap();
        store.commit(&Transaction::new().delete("a")).unwrap();
        store.commit(&Transaction::new().put("a", "1")).unwrap();
        let stale = Transaction::new().if_unchanged("a", Some(read)).put("a", "2");
        assert_eq!(conflict(store.commit(&stale)), "a");
    });
}

#[test]
fn a_list_has_a_prefix_an_order_and_pages() {
    on_each(|store| {
        let put = ["b/2", "a/1", "b/10", "b/1", "bb", "b", "c"];
        let all = put.iter().fold(Transaction::new(), |t, key| t.put(*key, "x"));
        store.commit(&all).unwrap();
        assert_eq!(keys(store, "b/", None, 10), ["b/1", "b/10", "b/2"]);
        assert_eq!(keys(store, "b/", None, 2), ["b/1", "b/10"]);
        assert_eq!(keys(store, "b/", Some("b/10"), 2), ["b/2"]);
        assert_eq!(keys(store, "z", None, 2), Vec::<String>::new());
        assert_eq!(keys(store, "", None, 100).len(), put.len());
    });
}

#[test]
fn writers_beside_each_other_lose_nothing() {
    on_each(|store| {
        let add = || {
            loop {
                let record = store.get("sum").unwrap();
                let sum: u64 = record
                    .as_ref()
                    .map_or(0, |record| String::from_utf8_lossy(&record.value).parse().unwrap());
                let write = Transaction::new()
                    .if_unchanged("sum", record.map(|record| record.revision))
                    .put("sum", (sum + 1).to_string());
                match store.commit(&write) {
                    Ok(_) => return,
                    Err(CommitError::Conflict { .. }) => {}
                    Err(CommitError::Store(error)) => panic!("{error}"),
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..10).for_each(|_| add()));
            }
        });
        assert_eq!(store.get("sum").unwrap().unwrap().value, b"40");
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn every_store_lists_what_a_map_would(
        put in proptest::collection::btree_map("[a-c/é\u{10ffff}]{0,4}", "[0-9]{1,2}", 0..12),
        prefix in "[a-c/é\u{10ffff}]{0,2}",
        after in proptest::option::of("[a-c/é\u{10ffff}]{0,3}"),
    ) {
        on_each(|store| {
            let all = put.iter().fold(Transaction::new(), |t, (key, value)| {
                t.put(key.clone(), value.clone())
            });
            store.commit(&all).unwrap();
            let wanted: BTreeMap<_, _> = put
                .iter()
                .filter(|(key, _)| key.starts_with(&prefix))
                .filter(|(key, _)| after.as_ref().is_none_or(|after| *key > after))
                .collect();
            let found = store.list(&prefix, after.as_deref(), usize::MAX).unwrap();
            let found: BTreeMap<_, _> = found
                .iter()
                .map(|record| (&record.key, String::from_utf8(record.value.clone()).unwrap()))
                .collect();
            let wanted: BTreeMap<_, _> =
                wanted.into_iter().map(|(key, value)| (key, value.clone())).collect();
            assert_eq!(found, wanted);
        });
    }
}

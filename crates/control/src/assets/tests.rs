//! Sessions over records in memory.

use serde_json::json;

use super::*;
use crate::fake::state;

/// A session for these files: path, hash and size.
fn session_of(state: &State, files: &[(&str, &str, u64)]) -> Started {
    let entry = |(path, hash, size): &(&str, &str, u64)| {
        ((*path).to_owned(), json!({"hash": hash.repeat(32), "size": size}))
    };
    let files: serde_json::Map<_, _> = files.iter().map(entry).collect();
    let manifest = serde_json::from_value(json!({ "manifest": files })).unwrap();
    start(state, "w", manifest).unwrap()
}

fn part(hash: &str, content: &str) -> Part {
    Part { hash: hash.repeat(32), content: Bytes::from(content.to_owned()) }
}

fn jwt(token: &str) -> Option<WireAssets> {
    Some(WireAssets { jwt: Some(token.to_owned()), config: None })
}

#[test]
fn only_what_is_missing_is_asked_for_and_each_content_once() {
    let (state, _folder) = state();
    let first = session_of(&state, &[("/a", "a", 1), ("/b", "b", 2), ("/copy", "a", 1)]);
    assert_eq!(first.buckets, [["a".repeat(32), "b".repeat(32)]]);
    let done = upload(&state, &first.token, vec![part("a", "eA==")], true).unwrap();
    assert_eq!(done, None, "one is missing");
    let resumed = session_of(&state, &[("/b", "b", 2), ("/a", "a", 1)]);
    assert_eq!(resumed.buckets, [["b".repeat(32)]]);
    let done = upload(&state, &resumed.token, vec![part("b", "yz")], false).unwrap();
    assert_eq!(done, Some(resumed.token));
    assert!(session_of(&state, &[("/c", "a", 1)]).buckets.is_empty());
    let changed = session_of(&state, &[("/a", "a", 9)]);
    assert_eq!(changed.buckets.len(), 1, "a hash of another size is other content");
}

#[test]
fn a_version_has_the_files_of_its_session_or_keeps_those_before() {
    let (state, _folder) = state();
    let started = session_of(&state, &[("/a", "a", 1), ("/d/b", "b", 1)]);
    let missing = of_upload(&state, "w", jwt(&started.token), false, None).unwrap_err();
    assert!(missing.message().contains("was not uploaded"), "{missing:?}");
    upload(&state, &started.token, vec![part("a", "x"), part("b", "y")], false).unwrap();
    let other = of_upload(&state, "other", jwt(&started.token), false, None).unwrap_err();
    assert!(other.message().contains("for the Worker \"w\""), "{other:?}");
    let made = of_upload(&state, "w", jwt(&started.token), false, None).unwrap().unwrap();
    let plan = planned(&state, &made).unwrap();
    let files = plan
        .files
        .iter()
        .map(|file| (file.path.as_str(), fs_err::read_to_string(&file.source).unwrap()));
    assert_eq!(files.collect::<Vec<_>>(), [("a", "x".to_owned()), ("d/b", "y".to_owned())]);

    let keep = |keep, config| of_upload(&state, "w", config, keep, Some(&made));
    assert_eq!(keep(true, None).unwrap(), Some(made.clone()));
    assert_eq!(keep(false, None).unwrap(), None);
    let config = json!({"config": {"not_found_handling": "404-page", "_headers": "/*\n  a: b\n"}});
    let config: WireAssets = serde_json::from_value(config).unwrap();
    let changed = keep(true, Some(config)).unwrap().unwrap();
    assert_eq!((&changed.files, changed.headers.as_deref()), (&made.files, Some("/*\n  a: b\n")));
    assert_ne!(planned(&state, &changed).unwrap().name, plan.name);
}

#[test]
fn content_that_nobody_asked_for_or_that_is_cut_off_is_refused() {
    let (state, _folder) = state();
    let started = session_of(&state, &[("/a", "a", 3)]);
    let refused = |token: &str, part: Part, text: &str| {
        let failure = upload(&state, token, vec![part], false).unwrap_err();
        assert!(failure.message().contains(text), "{failure:?}");
    };
    refused(&started.token, part("b", "abc"), "no file with the hash");
    refused(&started.token, part("a", "ab"), "was to have 3");
    refused("x.y.z", part("a", "abc"), "Authentication error");
    refused("", part("a", "abc"), "Authentication error");
    let broken = upload(&state, &started.token, vec![part("a", "?")], true).unwrap_err();
    assert!(broken.message().contains("not base64"), "{broken:?}");
    let (elsewhere, _other) = crate::fake::state();
    let stranger = upload(&elsewhere, &started.token, vec![], false).unwrap_err();
    assert!(stranger.message().contains("Authentication error"), "{stranger:?}");
}

#[test]
fn portions_are_bounded_by_size_and_number() {
    let file = |n: usize, size| ClientFile { hash: n.to_string(), size };
    let counts = |files: Vec<ClientFile>| buckets(files).iter().map(Vec::len).collect::<Vec<_>>();
    assert_eq!(counts((0..1001).map(|n| file(n, 1)).collect()), [500, 500, 1]);
    assert_eq!(counts((0..3).map(|n| file(n, BUCKET_BYTES)).collect()), [1, 1, 1]);
    assert!(counts(vec![]).is_empty());
}

//! What sources of `COPY` mean, and what their digests say.

use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;

fn context(files: &[&str]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for file in files {
        let path = dir.path().join(file);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, file).unwrap();
    }
    dir
}

fn tree<'a>(dir: &Path, ignore: Option<&'a Ignore>) -> Tree<'a> {
    let root = Root::open(dir).unwrap();
    Tree { root, place: "the context".to_owned(), ignore, owned: false }
}

fn paths(source: &Source) -> Vec<&str> {
    source.entries.iter().map(|entry| entry.path.to_str().unwrap()).collect()
}

#[test]
fn a_source_is_listed_sorted_with_its_parents_first() {
    let dir = context(&["src/b", "src/a/z", "other"]);
    let tree = tree(dir.path(), None);
    let sources = tree.select("./src/", &Selection::default()).unwrap();
    assert_eq!(paths(&sources[0]), ["", "a", "a/z", "b"]);
    assert!(sources[0].is_directory());
    assert_eq!(
        tree.select("/src/../other", &Selection::default()).unwrap()[0].path,
        Path::new("other")
    );
}

#[test]
fn patterns_match_one_directory_at_a_time() {
    let dir = context(&["a.txt", "b.txt", "c.md", "x/1/k", "x/2/k", "x/3/other"]);
    let tree = tree(dir.path(), None);
    let found = |pattern: &str| -> Vec<String> {
        let sources = tree.select(pattern, &Selection::default()).unwrap_or_default();
        sources.iter().map(|source| source.path.display().to_string()).collect()
    };
    assert_eq!(found("*.txt"), ["a.txt", "b.txt"]);
    assert_eq!(found("x/*/k"), ["x/1/k", "x/2/k"]);
    assert_eq!(found("x/[12]/k"), ["x/1/k", "x/2/k"]);
    assert_eq!(found("?.md"), ["c.md"]);
    assert_eq!(found("*.zip"), Vec::<String>::new());
}

#[test]
fn what_is_ignored_does_not_exist_and_the_error_says_why() {
    let dir = context(&["keep/a", "drop/a", "drop/saved/b", "secret"]);
    let ignore = Ignore::parse("drop\n!drop/saved\nsecret").unwrap();
    let tree = tree(dir.path(), Some(&ignore));
    let all = tree.select(".", &Selection::default()).unwrap();
    assert_eq!(paths(&all[0]), ["", "drop", "drop/saved", "drop/saved/b", "keep", "keep/a"]);
    let error = tree.select("secret", &Selection::default()).unwrap_err().to_string();
    assert_eq!(error, "secret is not in the context (.dockerignore excludes it)");
    let error = tree.select("nothing", &Selection::default()).unwrap_err().to_string();
    assert_eq!(error, "nothing is not in the context");
}

#[test]
fn symlinks_lead_nowhere_outside_and_only_the_source_itself_is_followed() {
    let dir = context(&["ctx/real/f", "outside/secret"]);
    let ctx = dir.path().join("ctx");
    symlink("real", ctx.join("alias")).unwrap();
    symlink("../outside", ctx.join("up")).unwrap();
    symlink(dir.path().join("outside"), ctx.join("absolute")).unwrap();
    symlink(dir.path().join("outside/secret"), ctx.join("real/link")).unwrap();
    let tree = tree(&ctx, None);
    assert_eq!(paths(&tree.select("alias", &Selection::default()).unwrap()[0]), ["", "f", "link"]);
    for path in ["up/secret", "absolute/secret", "up", "absolute", "../outside/secret"] {
        assert!(tree.select(path, &Selection::default()).is_err(), "{path}");
    }
    let source = &tree.select("real", &Selection::default()).unwrap()[0];
    assert_eq!(kind(&source.entries[2].stat), FileType::Symlink);
    assert!(tree.open(source, &source.entries[2]).is_err());
}

#[test]
fn the_digest_follows_names_modes_bytes_and_not_times() {
    let dir = context(&["s/a", "s/b"]);
    let digest = || {
        let tree = tree(dir.path(), None);
        tree.digest(&tree.select("s", &Selection::default()).unwrap()[0], &|| false).unwrap()
    };
    let first = digest();
    let file = fs_err::File::options().write(true).open(dir.path().join("s/a")).unwrap();
    file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    assert_eq!(digest(), first);
    let mode = std::fs::Permissions::from_mode(0o755);
    fs_err::set_permissions(dir.path().join("s/a"), mode).unwrap();
    let second = digest();
    assert_ne!(second, first);
    fs_err::write(dir.path().join("s/b"), "changed").unwrap();
    let third = digest();
    assert_ne!(third, second);
    fs_err::rename(dir.path().join("s/b"), dir.path().join("s/c")).unwrap();
    assert_ne!(digest(), third);
}

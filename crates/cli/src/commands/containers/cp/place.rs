//! What the two ends of a copy name, and what becomes of the one at the other: as with `docker cp`.

use std::ffi::OsStr;
use std::path::PathBuf;

/// One end of a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// A path in the instance of this id.
    Instance(String, Named),
    /// A path here.
    Local(PathBuf),
    /// A tar archive on standard input or output.
    Stream,
}

/// A path in an instance: an absolute one, without what its end says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) path: String,
    pub(super) end: End,
}

/// What the end of a path says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Plain,
    /// A slash: it is a directory.
    Directory,
    /// `/.`: what the directory has is meant.
    Contents,
}

/// What is at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    Directory,
    /// A file, a link that is not followed, or anything else that is one thing.
    Other,
}

/// Where something is copied to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Destination {
    /// What is there, links followed.
    pub(super) found: Option<What>,
    pub(super) end: End,
    /// Whether the directory is there that it is in.
    pub(super) has_parent: bool,
}

/// What becomes of what is copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// What it has goes into the directory that is there.
    Merged,
    /// It goes into that directory, under its own name.
    Inside,
    /// It is then what the path names.
    Itself,
}

/// Why nothing is copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("what is to be copied is no directory, as its path says")]
    NoDirectory,
    #[error("a directory cannot take the place of a file")]
    OverFile,
    #[error("a file is to go into a directory that is not there")]
    NoDestination,
    #[error("the directory is not there that it is to be in")]
    NoParent,
}

/// An instance without a path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` names no path in the instance")]
pub(super) struct NoPath(String);

impl Place {
    /// What begins with `/` or `.` is a path here, whatever follows.
    pub(super) fn of(text: &OsStr) -> Result<Self, NoPath> {
        let local = || Ok(Self::Local(PathBuf::from(text)));
        let Some(words) = text.to_str() else { return local() };
        if words == "-" {
            return Ok(Self::Stream);
        }
        match words.split_once(':') {
            Some((id, path)) if !id.is_empty() && !id.contains('/') && !id.starts_with('.') => {
                match path {
                    "" => Err(NoPath(words.to_owned())),
                    path => Ok(Self::Instance(id.to_owned(), Named::of(path))),
                }
            }
            _ => local(),
        }
    }
}

impl Named {
    fn of(text: &str) -> Self {
        let end = End::of(OsStr::new(text));
        let path = if text == "." { "" } else { text.strip_suffix("/.").unwrap_or(text) };
        match path.trim_matches('/') {
            // Of the root there is nothing but what it has.
            "" => Self { path: "/".to_owned(), end: End::Contents },
            path => Self { path: format!("/{path}"), end },
        }
    }
}

impl End {
    pub(super) fn of(path: &OsStr) -> Self {
        match path.as_encoded_bytes() {
            b"." | [.., b'/', b'.'] => Self::Contents,
            [.., b'/'] => Self::Directory,
            _ => Self::Plain,
        }
    }
}

/// What becomes of something whose path ends in `end`.
pub(super) fn target(what: What, end: End, to: Destination) -> Result<Target, Refusal> {
    match (what, to.found) {
        (What::Other, _) if end != End::Plain => Err(Refusal::NoDirectory),
        (_, None) if !to.has_parent => Err(Refusal::NoParent),
        (What::Directory, Some(What::Other)) => Err(Refusal::OverFile),
        (What::Other, None | Some(What::Other)) if to.end != End::Plain => {
            Err(Refusal::NoDestination)
        }
        (What::Directory, Some(What::Directory)) if end == End::Contents => Ok(Target::Merged),
        (_, Some(What::Directory)) => Ok(Target::Inside),
        (_, None | Some(What::Other)) => Ok(Target::Itself),
    }
}

/// The directory that an absolute path is in, and its name there.
pub(super) fn split(path: &str) -> (&str, &str) {
    match path.rsplit_once('/') {
        Some(("", name)) => ("/", name),
        Some((parent, name)) => (parent, name),
        None => ("/", path),
    }
}

/// Where a symbolic link at an absolute path leads.
pub(super) fn linked(path: &str, link: &str) -> String {
    match link.starts_with('/') {
        true => link.to_owned(),
        false => format!("{}/{link}", split(path).0.trim_end_matches('/')),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance(path: &str, end: End) -> Result<Place, NoPath> {
        Ok(Place::Instance("i-1".to_owned(), Named { path: path.to_owned(), end }))
    }

    fn local(path: &str) -> Result<Place, NoPath> {
        Ok(Place::Local(path.into()))
    }

    #[test]
    fn an_end_is_in_an_instance_or_here_or_a_stream() {
        let of = |text: &str| Place::of(OsStr::new(text));
        assert_eq!(of("-"), Ok(Place::Stream));
        assert_eq!(of("i-1:/etc/hosts"), instance("/etc/hosts", End::Plain));
        assert_eq!(of("i-1:data/"), instance("/data", End::Directory));
        assert_eq!(of("i-1:/data/."), instance("/data", End::Contents));
        for root in ["i-1:/", "i-1:.", "i-1:/."] {
            assert_eq!(of(root), instance("/", End::Contents), "{root}");
        }
        for path in ["file", "./a:b", "/a:b", "../a:b", "a/b:c", ":x"] {
            assert_eq!(of(path), local(path));
        }
        assert_eq!(of("i-1:"), Err(NoPath("i-1:".to_owned())));
    }

    #[test]
    fn what_is_copied_goes_where_docker_puts_it() {
        use {End::*, What::*};
        let found = |found, end| Destination { found, end, has_parent: true };
        let nowhere = Destination { found: None, end: Plain, has_parent: false };
        let directory = What::Directory;
        for (what, end, to, expected) in [
            (Other, Plain, found(None, Plain), Ok(Target::Itself)),
            (Other, Plain, found(None, End::Directory), Err(Refusal::NoDestination)),
            (Other, Plain, found(Some(Other), Plain), Ok(Target::Itself)),
            (Other, Plain, found(Some(Other), End::Directory), Err(Refusal::NoDestination)),
            (Other, Plain, found(Some(directory), Plain), Ok(Target::Inside)),
            (Other, Contents, found(Some(directory), Plain), Err(Refusal::NoDirectory)),
            (Other, Plain, nowhere, Err(Refusal::NoParent)),
            (directory, Plain, found(None, End::Directory), Ok(Target::Itself)),
            (directory, Contents, found(None, Plain), Ok(Target::Itself)),
            (directory, Plain, found(Some(Other), Plain), Err(Refusal::OverFile)),
            (directory, Plain, found(Some(directory), Plain), Ok(Target::Inside)),
            (directory, End::Directory, found(Some(directory), Plain), Ok(Target::Inside)),
            (directory, Contents, found(Some(directory), Plain), Ok(Target::Merged)),
            (directory, Plain, nowhere, Err(Refusal::NoParent)),
        ] {
            assert_eq!(target(what, end, to), expected, "{what:?} {end:?} {to:?}");
        }
    }

    #[test]
    fn links_lead_on_from_where_they_are() {
        assert_eq!(linked("/var/run", "../run"), "/var/../run");
        assert_eq!(linked("/link", "data"), "/data");
        assert_eq!(linked("/a/b", "/c"), "/c");
        assert_eq!(split("/a/b"), ("/a", "b"));
        assert_eq!(split("/a"), ("/", "a"));
    }
}

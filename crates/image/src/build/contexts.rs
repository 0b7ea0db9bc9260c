//! The directories that `COPY`, `ADD` and bind mounts read from, each with what it does not show.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::ignore::Ignore;
use super::tree::Tree;
use crate::error::{BuildError, StepProblem};
use crate::options::{BuildRequest, NamedContext};
use crate::root::Root;

/// All of a build's directories.
#[derive(Debug)]
pub(super) struct Contexts {
    main: Context,
    named: BTreeMap<String, Context>,
}

#[derive(Debug)]
struct Context {
    directory: PathBuf,
    ignore: Ignore,
    /// `the build context /path`.
    place: String,
}

impl Context {
    fn open(directory: &Path, ignore: Ignore, name: Option<&str>) -> Result<Self, BuildError> {
        let what = "build context";
        Root::open(directory).map_err(|source| BuildError::Read { what, source })?;
        let place = match name {
            None => format!("the build context {}", directory.display()),
            Some(name) => format!("the build context {name} ({})", directory.display()),
        };
        Ok(Self { directory: directory.to_owned(), ignore, place })
    }

    fn tree(&self) -> Result<Tree<'_>, StepProblem> {
        let root = Root::open(&self.directory).map_err(StepProblem::Io)?;
        let (place, ignore) = (self.place.clone(), Some(&self.ignore));
        Ok(Tree { root, place, ignore, owned: false })
    }
}

impl Contexts {
    pub(super) fn open(request: &BuildRequest) -> Result<Self, BuildError> {
        let ignore = Ignore::load(Some(&request.dockerfile), &request.context)?;
        let main = Context::open(&request.context, ignore, None)?;
        let mut named = BTreeMap::new();
        for (name, context) in &request.contexts {
            if let NamedContext::Directory(directory) = context {
                let ignore = Ignore::load(None, directory)?;
                named.insert(name.clone(), Context::open(directory, ignore, Some(name))?);
            }
        }
        Ok(Self { main, named })
    }

    /// The files of the main context.
    pub(super) fn main(&self) -> Result<Tree<'_>, StepProblem> {
        self.main.tree()
    }

    /// The files of a named one.
    pub(super) fn named(&self, name: &str) -> Option<Result<Tree<'_>, StepProblem>> {
        self.named.get(name).map(Context::tree)
    }
}

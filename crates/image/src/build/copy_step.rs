//! `COPY` and `ADD` as steps: which tree, which sources, and whether the cache has the result.

use std::path::Path;

use super::builder::Builder;
use super::copy::{Copier, Inline};
use super::dockerfile::{Copy, Source as CopySource, Step};
use super::plan::copied_stage;
use super::state::State;
use super::tree::{Source, Tree, within_root};
use super::users;
use super::words::expand_document;
use crate::digest::{Digest, Hasher};
use crate::error::StepProblem;
use crate::progress::{Outcome, Task, TaskKind, next_task};

/// A `COPY` with its variables expanded.
struct Expanded {
    /// Paths and patterns.
    patterns: Vec<String>,
    inline: Vec<Inline>,
    /// Absolute; ends with a slash if it must be a directory.
    destination: String,
    chown: Option<String>,
    mode: Option<u32>,
}

/// Where the sources are.
enum From<'a> {
    Context,
    Stage(&'a State, String),
    Image(Box<State>, String),
}

impl From<'_> {
    /// The stage or image, and what to call it.
    fn state(&self) -> Option<(&State, &str)> {
        match self {
            Self::Context => None,
            Self::Stage(state, place) => Some((state, place)),
            Self::Image(state, place) => Some((state, place)),
        }
    }
}

impl Builder<'_> {
    pub(super) fn copy(
        &self,
        state: &mut State,
        index: usize,
        step: &Step,
        copy: &Copy,
    ) -> Result<((), Outcome), StepProblem> {
        let expanded = self.expand_copy(state, copy)?;
        let from = self.source_of(index, copy)?;
        let (digest, listed) = self.sources_digest(&from, &expanded)?;
        let key = self.copy_key(state, copy, &expanded, &digest);
        if self.take_cached(state, &step.summary, &key) {
            return Ok(((), Outcome::Cached));
        }
        let tree = self.tree(&from)?;
        let sources = match listed {
            Some(sources) => sources,
            None => self.select(&tree, &expanded)?,
        };
        let count = sources.len() + expanded.inline.len();
        if count > 1 && !expanded.destination.ends_with('/') {
            let text = "with more than one source the destination must be a directory, that is \
                        end with /";
            return Err(StepProblem::Invalid(text.to_owned()));
        }
        let work = self.work()?;
        let root = self.mount(state, &work)?;
        let owner = match &expanded.chown {
            Some(text) => Some(users::resolve(&root, text).map_err(StepProblem::Invalid)?),
            None => None,
        };
        let copier = Copier {
            root: &root,
            destination: &expanded.destination,
            owner,
            mode: expanded.mode,
            extract: copy.extract,
            limits: self.request.pull.limits,
            cancelled: &|| self.progress.cancelled(),
        };
        for source in &sources {
            copier.source(&tree, source)?;
        }
        for file in &expanded.inline {
            copier.inline(file)?;
        }
        drop(root);
        // A file that was saved since it was hashed must not be remembered as what it was.
        let unchanged = tree.owned || self.select(&tree, &expanded).is_ok_and(|now| now == sources);
        self.finish_layer(state, &step.summary, unchanged.then_some(&key), &work)?;
        Ok(((), Outcome::Done))
    }

    fn expand_copy(&self, state: &State, copy: &Copy) -> Result<Expanded, StepProblem> {
        let escape = self.file.escape;
        let optional = |text: &Option<String>| {
            text.as_ref().map(|text| state.expand(text, escape)).transpose()
        };
        let mut expanded = Expanded {
            patterns: Vec::new(),
            inline: Vec::new(),
            destination: destination(state, &state.expand(&copy.destination, escape)?)?,
            chown: optional(&copy.chown)?,
            mode: optional(&copy.chmod)?.map(|text| mode(&text)).transpose()?,
        };
        for source in &copy.sources {
            match source {
                CopySource::Path(path) => expanded.patterns.push(state.expand(path, escape)?),
                CopySource::Inline { name, content, expand: false } => {
                    let (name, content) = (name.clone(), content.clone());
                    expanded.inline.push(Inline { name, content });
                }
                CopySource::Inline { name, content, expand: true } => {
                    let lookup = |name: &str| state.variable(name);
                    let content =
                        expand_document(content, &lookup).map_err(StepProblem::Invalid)?;
                    expanded.inline.push(Inline { name: name.clone(), content });
                }
            }
        }
        Ok(expanded)
    }

    fn source_of(&self, index: usize, copy: &Copy) -> Result<From<'_>, StepProblem> {
        let Some(from) = &copy.from else { return Ok(From::Context) };
        if let Some(stage) = copied_stage(self.file, index, copy) {
            return Ok(From::Stage(&self.stages[&stage], format!("stage \"{from}\"")));
        }
        if from.contains('$') {
            return Err(StepProblem::Unsupported("a variable in --from".to_owned()));
        }
        let reference = from.parse().map_err(|error| {
            StepProblem::Invalid(format!("--from={from} is no earlier stage, and {error}"))
        })?;
        let (state, _) = self.image(&reference)?;
        Ok(From::Image(Box::new(state), format!("image {reference}")))
    }

    fn tree(&self, from: &From<'_>) -> Result<Tree<'_>, StepProblem> {
        if let Some((state, place)) = from.state() {
            let root = self.view(state)?;
            return Ok(Tree { root, place: place.to_owned(), ignore: None, owned: true });
        }
        let root = crate::root::Root::open(&self.request.context).map_err(StepProblem::Io)?;
        let place = format!("the build context {}", self.request.context.display());
        Ok(Tree { root, place, ignore: Some(self.ignore), owned: false })
    }

    fn select(&self, tree: &Tree<'_>, expanded: &Expanded) -> Result<Vec<Source>, StepProblem> {
        let mut sources = Vec::new();
        for pattern in &expanded.patterns {
            sources.extend(tree.select(pattern)?);
        }
        Ok(sources)
    }

    /// The digest of the sources' content, and the sources where they had to be looked at: layers
    /// do not change, so for a stage it is computed once.
    fn sources_digest(
        &self,
        from: &From<'_>,
        expanded: &Expanded,
    ) -> Result<(Digest, Option<Vec<Source>>), StepProblem> {
        let memo = from.state().map(|(state, _)| {
            let mut key = self.key(state, "TREE");
            expanded.patterns.iter().for_each(|pattern| key.field(pattern.as_bytes()));
            key.finish()
        });
        if let Some(known) = memo.as_ref().and_then(|key| self.layout.cached_tree(key)) {
            return Ok((known, None));
        }
        let tree = self.tree(from)?;
        let sources = self.select(&tree, expanded)?;
        let digest = self.hash(&tree, &sources, &expanded.patterns.join(" "))?;
        if let Some(key) = memo {
            self.layout.cache_tree(&key, &digest).map_err(StepProblem::Store)?;
        }
        Ok((digest, Some(sources)))
    }

    /// Reads and hashes sources; told as a task, as it may take a while.
    fn hash(
        &self,
        tree: &Tree<'_>,
        sources: &[Source],
        label: &str,
    ) -> Result<Digest, StepProblem> {
        if sources.is_empty() {
            return Ok(Hasher::new().finish());
        }
        let id = next_task();
        let total = Some(sources.iter().map(Source::bytes).sum());
        let (kind, label) = (TaskKind::Context, label.to_owned());
        self.progress.begin(&Task { id, kind, label, total });
        let (mut hasher, mut done) = (Hasher::new(), 0);
        let cancelled = || self.progress.cancelled();
        let mut hash = || {
            for source in sources {
                hasher.field(source.name.as_os_str().as_encoded_bytes());
                hasher.field(tree.digest(source, &cancelled)?.as_str().as_bytes());
                done += source.bytes();
                self.progress.advance(id, done);
            }
            Ok(())
        };
        let result = hash();
        let outcome = if result.is_ok() { Outcome::Done } else { Outcome::Failed };
        self.progress.finish(id, outcome);
        result.map(|()| hasher.finish())
    }

    fn copy_key(
        &self,
        state: &State,
        copy: &Copy,
        expanded: &Expanded,
        sources: &Digest,
    ) -> Digest {
        let mut key = self.key(state, if copy.extract { "ADD" } else { "COPY" });
        key.field(sources.as_str().as_bytes());
        for file in &expanded.inline {
            key.field(file.name.as_bytes());
            key.field(file.content.as_bytes());
        }
        key.field(expanded.destination.as_bytes());
        key.field(format!("{:?} {:?}", expanded.chown, expanded.mode).as_bytes());
        key.finish()
    }
}

/// The destination as an absolute path; a slash at its end says that it is a directory.
fn destination(state: &State, text: &str) -> Result<String, StepProblem> {
    if text.is_empty() {
        return Err(StepProblem::Invalid("the destination is empty".to_owned()));
    }
    let directory = text.ends_with('/')
        || Path::new(text).file_name().is_none()
        || text.ends_with("/.")
        || text == ".";
    let path = within_root(&Path::new(state.workdir()).join(text));
    let slash = if directory && !path.as_os_str().is_empty() { "/" } else { "" };
    Ok(format!("/{}{slash}", path.display()))
}

/// `--chmod`: an octal number.
fn mode(text: &str) -> Result<u32, StepProblem> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(StepProblem::Unsupported(format!("--chmod={text} (only octal numbers are)")));
    }
    u32::from_str_radix(text, 8)
        .ok()
        .filter(|mode| *mode <= 0o7777)
        .ok_or_else(|| StepProblem::Invalid(format!("--chmod={text} is no mode")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations_are_absolute_and_say_whether_they_are_directories() {
        let mut state = State::scratch();
        state.config().working_dir = "/srv/app".to_owned();
        for (text, expected) in [
            ("/x", "/x"),
            ("/x/", "/x/"),
            ("x", "/srv/app/x"),
            (".", "/srv/app/"),
            ("./", "/srv/app/"),
            ("sub/.", "/srv/app/sub/"),
            ("..", "/srv/"),
            ("../../../..", "/"),
            ("/", "/"),
        ] {
            assert_eq!(destination(&state, text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn modes_are_octal() {
        assert_eq!(mode("755").unwrap(), 0o755);
        assert_eq!(mode("04755").unwrap(), 0o4755);
        for bad in ["", "u+x", "999", "77777"] {
            assert!(mode(bad).is_err(), "{bad}");
        }
    }
}

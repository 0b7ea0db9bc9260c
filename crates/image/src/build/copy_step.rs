//! `COPY` and `ADD` as steps: which tree, which sources, and whether the cache has the result.

use std::path::Path;
use std::sync::Arc;

use super::builder::Builder;
use super::chmod::Chmod;
use super::copy::{Copier, Inline, Links};
use super::dockerfile::{Add, Copy, Source as CopySource, Step};
use super::ignore::Ignore;
use super::plan::stage_read;
use super::remote::{Fetched, Remote};
use super::state::State;
use super::tree::{Selection, Source, Tree, within_root};
use super::users;
use crate::digest::{Digest, Hasher};
use crate::error::StepProblem;
use crate::options::NamedContext;
use crate::progress::{Outcome, Task, TaskKind, next_task};

/// A `COPY` with its variables expanded.
struct Expanded {
    /// Paths and patterns.
    patterns: Vec<String>,
    remotes: Vec<Remote>,
    inline: Vec<Inline>,
    add: Option<Add>,
    /// Absolute; ends with a slash if it must be a directory.
    destination: String,
    chown: Option<String>,
    mode: Option<Chmod>,
    exclude: Vec<String>,
    selection: Selection,
}

/// Where sources are.
pub(super) enum Origin {
    Context,
    Named(String),
    Stage(Arc<State>, String),
    Image(Box<State>, String),
}

impl Origin {
    /// The stage or image, and what to call it.
    pub(super) fn state(&self) -> Option<(&State, &str)> {
        match self {
            Self::Context | Self::Named(_) => None,
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
        let add = expanded.add.clone().unwrap_or_default();
        let origin = self.source_of(index, copy.from.as_deref())?;
        let (digest, listed) =
            self.sources_digest(&origin, &expanded.patterns, &expanded.selection)?;
        let identify = |remote: &Remote| self.identify(remote.clone(), &add);
        let mut fetched =
            expanded.remotes.iter().map(identify).collect::<Result<Vec<_>, StepProblem>>()?;
        let owner = self.owner(state, &expanded)?;
        // A layer of its own, whatever is below.
        let alone = State::scratch(state.platform);
        let alone = copy.link.then_some(&alone);
        let key = self.copy_key(alone.unwrap_or(state), copy, &expanded, &digest, &fetched, owner);
        if self.take_cached(state, &step.summary, &key) {
            return Ok(((), Outcome::Cached));
        }
        let tree = self.tree(&origin)?;
        let sources = match listed {
            Some(sources) => sources,
            None => self.select(&tree, &expanded.patterns, &expanded.selection)?,
        };
        expanded.check_destination(sources.len())?;
        let work = self.work()?;
        let root = self.mount(alone.unwrap_or(state), &work)?;
        let copier = Copier {
            root: &root,
            destination: &expanded.destination,
            owner,
            mode: expanded.mode.as_ref(),
            extract: copy.add.is_some() && add.unpack != Some(false),
            limits: self.request.pull.limits,
            cancelled: &|| self.progress.cancelled(),
            links: Links::default(),
        };
        sources.iter().try_for_each(|source| copier.source(&tree, source))?;
        expanded.inline.iter().try_for_each(|file| copier.inline(file))?;
        let copier = Copier { extract: add.unpack == Some(true), ..copier };
        for remote in &mut fetched {
            expanded.check_name(&remote.remote)?;
            let (selected, name) = (remote.remote.selected(), remote.remote.name());
            let files = self.files(remote, &add)?;
            for mut source in files.select(&selected, &expanded.selection)? {
                source.name = name.clone().unwrap_or(source.name);
                copier.source(&files, &source)?;
            }
        }
        drop(root);
        // A file that was saved since it was hashed must not be remembered as what it was.
        let unchanged = tree.owned
            || self
                .select(&tree, &expanded.patterns, &expanded.selection)
                .is_ok_and(|now| now == sources);
        self.finish_layer(state, &step.summary, unchanged.then_some(&key), &work)?;
        Ok(((), Outcome::Done))
    }

    fn expand_copy(&self, state: &mut State, copy: &Copy) -> Result<Expanded, StepProblem> {
        let escape = self.file.escape;
        let destination = state.expand(&copy.destination, escape)?;
        let mut optional = |text: &Option<String>| {
            text.as_ref().map(|text| state.expand(text, escape)).transpose()
        };
        let chown = optional(&copy.chown)?;
        let mode = optional(&copy.chmod)?.map(|text| Chmod::parse(&text)).transpose();
        let mut add = copy.add.clone();
        if let Some(add) = &mut add {
            add.checksum = optional(&add.checksum)?;
        }
        let exclude = copy.exclude.iter().map(|text| state.expand(text, escape));
        let exclude = exclude.collect::<Result<Vec<_>, _>>()?;
        let ignore = Ignore::parse(&exclude.join("\n"))
            .map_err(|text| StepProblem::Invalid(format!("--exclude, pattern {text}")))?;
        let mut expanded = Expanded {
            patterns: Vec::new(),
            remotes: Vec::new(),
            inline: Vec::new(),
            add,
            destination: absolute(state, &destination)?,
            chown,
            mode: mode.map_err(StepProblem::Invalid)?,
            exclude,
            selection: Selection { parents: copy.parents, exclude: ignore },
        };
        for source in &copy.sources {
            match source {
                CopySource::Path(path) => {
                    let path = state.expand(path, escape)?;
                    match copy.add.as_ref().and_then(|_| Remote::parse(&path)) {
                        Some(remote) => expanded.remotes.push(remote),
                        None => expanded.patterns.push(path),
                    }
                }
                CopySource::Inline { name, content, expand } => {
                    let (name, mut content) = (name.clone(), content.clone());
                    if *expand {
                        content = state.expand_document(&content)?;
                    }
                    expanded.inline.push(Inline { name, content });
                }
            }
        }
        if expanded.remotes.is_empty() && expanded.checksum_is_wanted() {
            let text = "--checksum is for a source by http or of git";
            return Err(StepProblem::Invalid(text.to_owned()));
        }
        Ok(expanded)
    }

    /// Who gets the files, if `--chown` says so: by the names of the stage, also for a layer of its
    /// own.
    fn owner(&self, state: &State, expanded: &Expanded) -> Result<Option<(u32, u32)>, StepProblem> {
        let Some(text) = &expanded.chown else { return Ok(None) };
        users::resolve(&self.view(state)?, text).map(Some).map_err(StepProblem::Invalid)
    }

    /// What `--from` or `from=` names.
    pub(super) fn source_of(
        &self,
        index: usize,
        from: Option<&str>,
    ) -> Result<Origin, StepProblem> {
        let Some(from) = from else { return Ok(Origin::Context) };
        if let Some(stage) = stage_read(self.file, self.request, index, from) {
            if !self.plan.stages.iter().any(|(planned, _)| *planned == stage) {
                let text = format!("ONBUILD --from={from}, a stage that nothing else needs,");
                return Err(StepProblem::Unsupported(text));
            }
            let state = self.shared.finished.wait(stage, &|| self.progress.cancelled())?;
            return Ok(Origin::Stage(state, format!("stage \"{from}\"")));
        }
        let reference = match self.request.contexts.get(from) {
            Some(NamedContext::Directory(_)) => return Ok(Origin::Named(from.to_owned())),
            Some(NamedContext::Image(reference)) => reference.clone(),
            None if from.contains('$') => {
                let what = "a variable in --from (give the image a stage of its own and name that)";
                return Err(StepProblem::Unsupported(what.to_owned()));
            }
            None => from.parse().map_err(|error| {
                StepProblem::Invalid(format!("--from={from} is no earlier stage, and {error}"))
            })?,
        };
        let (state, _) = self.image(&reference, self.request.pull.platform)?;
        Ok(Origin::Image(Box::new(state), format!("image {reference}")))
    }

    pub(super) fn tree(&self, origin: &Origin) -> Result<Tree<'_>, StepProblem> {
        if let Some((state, place)) = origin.state() {
            let root = self.view(state)?;
            return Ok(Tree { root, place: place.to_owned(), ignore: None, owned: true });
        }
        match origin {
            Origin::Named(name) => self.contexts.named(name).unwrap_or_else(|| {
                Err(StepProblem::Invalid(format!("there is no context {name}")))
            }),
            _ => self.contexts.main(),
        }
    }

    fn select(
        &self,
        tree: &Tree<'_>,
        patterns: &[String],
        selection: &Selection,
    ) -> Result<Vec<Source>, StepProblem> {
        let mut sources = Vec::new();
        for pattern in patterns {
            sources.extend(tree.select(pattern, selection)?);
        }
        Ok(sources)
    }

    /// The digest of the sources' content, and the sources where they had to be looked at: layers
    /// do not change, so for a stage it is computed once.
    pub(super) fn sources_digest(
        &self,
        origin: &Origin,
        patterns: &[String],
        selection: &Selection,
    ) -> Result<(Digest, Option<Vec<Source>>), StepProblem> {
        let memo = origin.state().map(|(state, _)| {
            let mut key = self.key(state, "TREE");
            patterns.iter().for_each(|pattern| key.field(pattern.as_bytes()));
            key.field(format!("{selection:?}").as_bytes());
            key.finish()
        });
        if let Some(known) = memo.as_ref().and_then(|key| self.layout.cached_tree(key)) {
            return Ok((known, None));
        }
        let tree = self.tree(origin)?;
        let sources = self.select(&tree, patterns, selection)?;
        let digest = self.hash(&tree, &sources, &patterns.join(" "))?;
        if let Some(key) = memo {
            self.layout.cache_tree(&key, &digest)?;
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
                hasher.field(source.below.as_os_str().as_encoded_bytes());
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
        below: &State,
        copy: &Copy,
        expanded: &Expanded,
        sources: &Digest,
        fetched: &[Fetched],
        owner: Option<(u32, u32)>,
    ) -> Digest {
        let mut key = self.key(below, if copy.add.is_some() { "ADD" } else { "COPY" });
        key.field(sources.as_str().as_bytes());
        for file in &expanded.inline {
            key.field(file.name.as_bytes());
            key.field(file.content.as_bytes());
        }
        for remote in fetched {
            key.field(remote.identity.as_str().as_bytes());
            key.field(format!("{:?}", remote.remote).as_bytes());
        }
        let unpack = copy.add.as_ref().and_then(|add| add.unpack);
        key.field(expanded.destination.as_bytes());
        key.field(format!("{owner:?} {:?} {unpack:?}", expanded.mode).as_bytes());
        expanded.exclude.iter().for_each(|pattern| key.field(pattern.as_bytes()));
        key.finish()
    }
}

impl Expanded {
    fn checksum_is_wanted(&self) -> bool {
        self.add.as_ref().is_some_and(|add| add.checksum.is_some())
    }

    fn check_destination(&self, sources: usize) -> Result<(), StepProblem> {
        let count = sources + self.inline.len() + self.remotes.len();
        if count > 1 && !self.destination.ends_with('/') {
            let text = "with more than one source the destination must be a directory, that is \
                        end with /";
            return Err(StepProblem::Invalid(text.to_owned()));
        }
        Ok(())
    }

    /// A file from elsewhere needs a name to go into a directory.
    fn check_name(&self, remote: &Remote) -> Result<(), StepProblem> {
        let Remote::File { url, name } = remote else { return Ok(()) };
        let unpacked = self.add.as_ref().is_some_and(|add| add.unpack == Some(true));
        if name.is_empty() && self.destination.ends_with('/') && !unpacked {
            let text = format!("{url} has no file name, so the destination cannot be a directory");
            return Err(StepProblem::Invalid(text));
        }
        Ok(())
    }
}

/// The destination as an absolute path; a slash at its end says that it is a directory.
fn absolute(state: &State, text: &str) -> Result<String, StepProblem> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Platform;

    #[test]
    fn destinations_are_absolute_and_say_whether_they_are_directories() {
        let mut state = State::scratch(Platform::host());
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
            assert_eq!(absolute(&state, text).unwrap(), expected, "{text}");
        }
    }
}

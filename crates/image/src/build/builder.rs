//! Builds the planned stages: the steps of each one after the other, stages at once.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::checks::{Checks, Warning};
use super::contexts::Contexts;
use super::copy::make_workdir;
use super::dockerfile::{Dockerfile, Instruction, Step, parse_trigger};
use super::finished::Finished;
use super::inline_cache::Imported;
use super::plan::{Base, Plan};
use super::state::{State, StepKey};
use super::tree::within_root;
use super::users;
use crate::digest::{Digest, Hasher};
use crate::error::{BuildError, StepProblem, StoreError};
use crate::layout::Layout;
use crate::options::{BuildRequest, Platform, PullOptions};
use crate::overlay::{self, Upper};
use crate::progress::{Outcome, Progress, Task, TaskId, TaskKind, next_task};
use crate::reference::Reference;
use crate::root::Root;
use crate::run_step::RunStep;
use crate::snapshot::make_root;
use crate::workers::{each, pop};

/// Changes to how steps are carried out that make old cache entries wrong change this.
const CACHE_VERSION: &str = "2";
/// Build argument, and environment variable, that sets the latest time in an image.
const SOURCE_DATE_EPOCH: &str = "SOURCE_DATE_EPOCH";

/// One build, as one of its threads sees it.
pub(super) struct Builder<'a> {
    pub(super) layout: &'a Layout,
    pub(super) request: &'a BuildRequest,
    pub(super) runner: &'a dyn RunStep,
    pub(super) progress: &'a dyn Progress,
    pub(super) file: &'a Dockerfile,
    pub(super) plan: &'a Plan,
    pub(super) contexts: &'a Contexts,
    pub(super) checks: &'a Checks,
    pub(super) imported: &'a Imported,
    pub(super) shared: &'a Shared,
    /// The latest time a file in the image may have.
    pub(super) latest: Option<i64>,
}

/// What the threads of a build have in common.
#[derive(Default)]
pub(super) struct Shared {
    pub(super) finished: Finished,
    /// Images that were found or pulled; one at a time.
    images: Mutex<BTreeMap<(String, &'static str), Digest>>,
}

/// What a build goes by.
#[derive(Clone, Copy)]
pub(super) struct Inputs<'a> {
    pub(super) file: &'a Dockerfile,
    pub(super) plan: &'a Plan,
    pub(super) contexts: &'a Contexts,
    pub(super) checks: &'a Checks,
    pub(super) imported: &'a Imported,
}

/// A step's own place: a directory that overlayfs fills.
pub(super) struct Work {
    dir: tempfile::TempDir,
    pub(super) upper: PathBuf,
    work: PathBuf,
}

impl Work {
    /// A new path beside the upper directory, removed with it.
    pub(super) fn beside(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

/// Counts the steps of a stage.
struct Numbers {
    stage: String,
    number: usize,
    of: usize,
}

impl Numbers {
    fn next(&mut self) -> TaskKind {
        self.number += 1;
        TaskKind::Step { stage: self.stage.clone(), number: self.number, of: self.of }
    }
}

/// Builds all planned stages and returns them, the target last. The first failure ends the others.
pub(super) fn build(
    layout: &Layout,
    request: &BuildRequest,
    inputs: Inputs<'_>,
    runner: &dyn RunStep,
    progress: &dyn Progress,
) -> Result<Vec<Arc<State>>, BuildError> {
    let Inputs { file, plan, contexts, checks, imported } = inputs;
    let given = request.build_args.get(SOURCE_DATE_EPOCH).cloned();
    let epoch = given.or_else(|| std::env::var(SOURCE_DATE_EPOCH).ok());
    plan.is_used(SOURCE_DATE_EPOCH);
    let latest = epoch.and_then(|epoch| epoch.trim().parse().ok());
    let shared = Shared::default();
    let queue = Mutex::new(plan.stages.iter().collect::<VecDeque<_>>());
    let workers = request.parallel.clamp(1, plan.stages.len().max(1));
    // A stage that waits for another was taken from the queue after it, so that one is built.
    each(workers, progress, |progress| {
        let shared = &shared;
        let builder = Builder {
            layout,
            request,
            runner,
            progress,
            file,
            plan,
            contexts,
            checks,
            imported,
            shared,
            latest,
        };
        while let Some((index, base)) = pop(&queue) {
            builder.stage(*index, base)?;
        }
        Ok::<(), BuildError>(())
    })?;
    for name in plan.unused() {
        progress.log(&format!("build argument {name} is not used by the Dockerfile"));
    }
    let finished = |(index, _): &(usize, Base)| shared.finished.wait(*index, &|| true);
    let stages: Result<_, _> = plan.stages.iter().map(finished).collect();
    stages.map_err(|_| BuildError::Cancelled)
}

impl Builder<'_> {
    fn stage(&self, index: usize, base: &Base) -> Result<(), BuildError> {
        let stage = &self.file.stages[index];
        let works = |steps: &[Step]| steps.iter().filter(|step| step.instruction.works()).count();
        let name = match &stage.name {
            Some(name) => name.clone(),
            None if self.file.stages.len() == 1 => String::new(),
            None => format!("stage-{index}"),
        };
        let mut numbers = Numbers { stage: name, number: 0, of: 1 + works(&stage.steps) };
        let mut state = self.task(&stage.from, numbers.next(), |_| self.base(base))?;
        let triggers = std::mem::take(&mut state.triggers);
        let trigger = |text: &String| parse_trigger(&self.file.path, &stage.from, text);
        let triggers = triggers.iter().map(trigger).collect::<Result<Vec<_>, _>>()?;
        numbers.of += works(&triggers);
        for step in triggers.iter().chain(&stage.steps) {
            if self.progress.cancelled() {
                return Err(BuildError::Cancelled);
            }
            self.step(index, &mut state, step, &mut numbers)?;
            self.warn_of_unset(&mut state, step);
        }
        self.shared.finished.add(index, state);
        Ok(())
    }

    fn step(
        &self,
        index: usize,
        state: &mut State,
        step: &Step,
        numbers: &mut Numbers,
    ) -> Result<(), BuildError> {
        if !step.instruction.works() {
            self.configure(state, &step.instruction)
                .map_err(|problem| self.failed(step, problem))?;
            state.note(&step.summary, true);
            return Ok(());
        }
        self.task(step, numbers.next(), |task| match &step.instruction {
            Instruction::Run(run) => self.run(state, index, step, run, task),
            Instruction::Copy(copy) => self.copy(state, index, step, copy),
            Instruction::Workdir(path) => self.workdir(state, step, path),
            _ => Ok(((), Outcome::Done)),
        })
    }

    fn warn_of_unset(&self, state: &mut State, step: &Step) {
        let mut names = std::mem::take(&mut state.unset);
        names.retain(|name| !state.declared.contains(name));
        names.dedup();
        for name in names {
            let text = format!("variable ${name} is used and has no value");
            let warning = Warning { rule: "UndefinedVar", line: step.place.line, text };
            self.checks.tell(&self.file.path, &warning, self.progress);
        }
    }

    /// Runs a step as a task of the progress.
    fn task<T>(
        &self,
        step: &Step,
        kind: TaskKind,
        work: impl FnOnce(TaskId) -> Result<(T, Outcome), StepProblem>,
    ) -> Result<T, BuildError> {
        let (id, label) = (next_task(), step.summary.clone());
        self.progress.begin(&Task { id, kind, label, total: None });
        match work(id) {
            Ok((value, outcome)) => {
                self.progress.finish(id, outcome);
                Ok(value)
            }
            Err(problem) => {
                self.progress.finish(id, Outcome::Failed);
                Err(self.failed(step, problem))
            }
        }
    }

    fn failed(&self, step: &Step, problem: StepProblem) -> BuildError {
        let cancelled = match &problem {
            StepProblem::Store(error) => error.is_cancelled(),
            StepProblem::Pull(error) => error.is_cancelled(),
            _ => false,
        };
        if cancelled { BuildError::Cancelled } else { step.error(&self.file.path, problem) }
    }

    fn base(&self, base: &Base) -> Result<(State, Outcome), StepProblem> {
        match base {
            Base::Scratch(platform) => Ok((State::scratch(*platform), Outcome::Done)),
            Base::Stage(index) => {
                let stage = self.shared.finished.wait(*index, &|| self.progress.cancelled())?;
                Ok((State::of_stage(&stage), Outcome::Done))
            }
            Base::Image(reference, platform) => self.image(reference, *platform),
        }
    }

    /// An image's state; pulled if it is not here.
    pub(super) fn image(
        &self,
        reference: &Reference,
        platform: Platform,
    ) -> Result<(State, Outcome), StepProblem> {
        let (digest, outcome) = self.find_or_pull(reference, platform)?;
        // Unpacks what may have been pruned.
        self.layout
            .assemble(&digest, self.request.pull.limits, self.progress)
            .map_err(StepProblem::Store)?;
        let manifest = self.layout.manifest(&digest).map_err(StepProblem::Store)?;
        let document = self.layout.config(&manifest).map_err(StepProblem::Store)?;
        let mut state = State::of_image(manifest, document, platform);
        // Steps may count on the directory they run in.
        let workdir = state.workdir().to_owned();
        if self.view(&state)?.directory(&within_root(Path::new(&workdir))).is_err() {
            self.make_workdir(&mut state, &format!("WORKDIR {workdir}"), &workdir, (0, 0))?;
        }
        Ok((state, outcome))
    }

    fn find_or_pull(
        &self,
        reference: &Reference,
        platform: Platform,
    ) -> Result<(Digest, Outcome), StepProblem> {
        // Held while it is pulled: who needs the same image finds it then.
        let mut images = self.shared.images.lock().unwrap_or_else(PoisonError::into_inner);
        let name = (reference.to_string(), platform.architecture());
        if let Some(digest) = images.get(&name) {
            return Ok((digest.clone(), Outcome::Cached));
        }
        let here = self.layout.find(reference).map_err(StepProblem::Store)?;
        let fits = |digest: &Digest| self.is_for(digest, platform);
        let (digest, outcome) = match here.filter(fits) {
            Some(digest) if !self.request.always_pull => (digest, Outcome::Cached),
            _ => {
                let options = PullOptions { platform, ..self.request.pull.clone() };
                let image = crate::pull::pull(self.layout, reference, &options, self.progress)
                    .map_err(|error| StepProblem::Pull(Box::new(error)))?;
                (image.digest, Outcome::Done)
            }
        };
        images.insert(name, digest.clone());
        Ok((digest, outcome))
    }

    /// Whether an image that is here is for that platform.
    fn is_for(&self, digest: &Digest, platform: Platform) -> bool {
        let manifest = self.layout.manifest(digest);
        let document = manifest.and_then(|manifest| self.layout.config(&manifest));
        document.is_ok_and(|document| {
            let architecture = document.architecture.as_str();
            architecture.is_empty() || architecture == platform.architecture()
        })
    }

    fn workdir(
        &self,
        state: &mut State,
        step: &Step,
        path: &str,
    ) -> Result<((), Outcome), StepProblem> {
        let path = state.expand(path, self.file.escape)?;
        if path.is_empty() {
            return Err(StepProblem::Invalid("the working directory is empty".to_owned()));
        }
        let full = state.absolute(&path);
        state.config().working_dir.clone_from(&full);
        let owner = if state.document.config.user.is_empty() {
            (0, 0)
        } else {
            let root = self.view(state)?;
            users::resolve(&root, &state.document.config.user).map_err(StepProblem::Invalid)?
        };
        let outcome = self.make_workdir(state, &step.summary, &full, owner)?;
        Ok(((), outcome))
    }

    /// Makes the directory in a layer of its own unless it is there.
    fn make_workdir(
        &self,
        state: &mut State,
        summary: &str,
        path: &str,
        owner: (u32, u32),
    ) -> Result<Outcome, StepProblem> {
        let inside = within_root(Path::new(path));
        if inside.as_os_str().is_empty() {
            return Ok(Outcome::Cached);
        }
        let mut key = self.key(state, "WORKDIR");
        key.field(path.as_bytes());
        key.field(format!("{owner:?}").as_bytes());
        let key = key.finish();
        if self.take_cached(state, summary, &key) {
            return Ok(Outcome::Cached);
        }
        let there = self.view(state)?.directory(&inside).is_ok();
        if there {
            state.note(summary, true);
            return Ok(Outcome::Cached);
        }
        let work = self.work()?;
        let root = self.mount(state, &work)?;
        make_workdir(&root, &inside, owner)?;
        drop(root);
        self.finish_layer(state, summary, Some(&key), &work)?;
        Ok(Outcome::Done)
    }

    /// The beginning of a cache key: the files so far, and the kind of step.
    pub(super) fn key(&self, state: &State, kind: &str) -> Hasher {
        let mut key = Hasher::new();
        key.field(CACHE_VERSION.as_bytes());
        key.field(kind.as_bytes());
        key.field(state.chain().as_str().as_bytes());
        key.field(format!("{:?}", self.latest).as_bytes());
        key
    }

    /// Takes the step's layer from the cache, if it is there and may be used.
    pub(super) fn take_cached(&self, state: &mut State, summary: &str, key: &Digest) -> bool {
        if self.request.no_cache {
            return false;
        }
        let known = self.layout.cached_layer(key);
        let Some(layer) = known.or_else(|| self.imported.layer(self.layout, key)) else {
            return false;
        };
        state.push(summary, &layer);
        state.keys.push(StepKey { key: key.clone(), layer: state.layers.len() - 1 });
        true
    }

    /// A place for a step's changes.
    pub(super) fn work(&self) -> Result<Work, StepProblem> {
        let dir = self.layout.temporary_dir().map_err(StepProblem::Store)?;
        // The upper directory stands alone in its parent: whoever runs the step may use the rest.
        let own = dir.path().join("step");
        let (upper, work) = (own.join("upper"), dir.path().join("work"));
        fs_err::create_dir(&own).map_err(StepProblem::Io)?;
        fs_err::create_dir(&work).map_err(StepProblem::Io)?;
        make_root(&upper).map_err(StepProblem::Store)?;
        Ok(Work { dir, upper, work })
    }

    /// The stage's files, writable: changes go to `work`.
    pub(super) fn mount(&self, state: &State, work: &Work) -> Result<Root, StepProblem> {
        let upper = Upper { upper: &work.upper, work: &work.work };
        self.overlay(state, Some(upper))
    }

    /// The stage's files, to look at.
    pub(super) fn view(&self, state: &State) -> Result<Root, StepProblem> {
        self.overlay(state, None)
    }

    fn overlay(&self, state: &State, upper: Option<Upper<'_>>) -> Result<Root, StepProblem> {
        let layers = state.directories(self.layout).map_err(StepProblem::Store)?;
        let empty = self.layout.empty().map_err(StepProblem::Store)?;
        overlay::mount(&layers, upper, &empty).map_err(StepProblem::Io)
    }

    /// Makes what a step wrote the stage's next layer, and remembers it under its key.
    pub(super) fn finish_layer(
        &self,
        state: &mut State,
        summary: &str,
        key: Option<&Digest>,
        work: &Work,
    ) -> Result<(), StepProblem> {
        let created = self.latest.unwrap_or_else(|| jiff::Timestamp::now().as_second());
        let cancelled = || self.progress.cancelled();
        let sealed = self.layout.seal(&work.upper, self.latest, created, &cancelled);
        let layer = sealed.map_err(StepProblem::Store)?;
        if let Some(key) = key {
            self.layout.cache_layer(key, &layer).map_err(StepProblem::Store)?;
        }
        state.push(summary, &layer);
        if let Some(key) = key {
            state.keys.push(StepKey { key: key.clone(), layer: state.layers.len() - 1 });
        }
        Ok(())
    }

    /// Fails if the caller asked to stop.
    pub(super) fn check_cancelled(&self) -> Result<(), StepProblem> {
        if self.progress.cancelled() {
            return Err(StepProblem::Store(StoreError::Cancelled));
        }
        Ok(())
    }
}

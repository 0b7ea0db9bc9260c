//! Builds the planned stages, one step after the other.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::copy::make_workdir;
use super::dockerfile::{Dockerfile, Instruction, Stage, Step};
use super::ignore::Ignore;
use super::plan::{Base, Plan};
use super::state::State;
use super::tree::within_root;
use super::users;
use crate::digest::{Digest, Hasher};
use crate::error::{BuildError, StepProblem, StoreError};
use crate::layout::Layout;
use crate::options::BuildRequest;
use crate::overlay::{self, Upper};
use crate::progress::{Outcome, Progress, Task, TaskId, TaskKind, next_task};
use crate::reference::Reference;
use crate::root::Root;
use crate::run_step::RunStep;
use crate::snapshot::make_root;

/// Changes to how steps are carried out that make old cache entries wrong change this.
const CACHE_VERSION: &str = "1";
/// Build argument, and environment variable, that sets the latest time in an image.
const SOURCE_DATE_EPOCH: &str = "SOURCE_DATE_EPOCH";

/// One build.
pub(super) struct Builder<'a> {
    pub(super) layout: &'a Layout,
    pub(super) request: &'a BuildRequest,
    pub(super) runner: &'a dyn RunStep,
    pub(super) progress: &'a dyn Progress,
    pub(super) file: &'a Dockerfile,
    pub(super) plan: &'a Plan,
    pub(super) ignore: &'a Ignore,
    /// Finished stages.
    pub(super) stages: BTreeMap<usize, State>,
    /// The latest time a file in the image may have.
    pub(super) latest: Option<i64>,
}

/// What a build goes by.
#[derive(Clone, Copy)]
pub(super) struct Inputs<'a> {
    pub(super) file: &'a Dockerfile,
    pub(super) plan: &'a Plan,
    /// The build context's rules.
    pub(super) ignore: &'a Ignore,
}

/// A step's own place: a directory that overlayfs fills.
pub(super) struct Work {
    _dir: tempfile::TempDir,
    pub(super) upper: PathBuf,
    work: PathBuf,
}

impl<'a> Builder<'a> {
    pub(super) fn new(
        layout: &'a Layout,
        request: &'a BuildRequest,
        Inputs { file, plan, ignore }: Inputs<'a>,
        runner: &'a dyn RunStep,
        progress: &'a dyn Progress,
    ) -> Self {
        let given = request.build_args.get(SOURCE_DATE_EPOCH).cloned();
        let epoch = given.or_else(|| std::env::var(SOURCE_DATE_EPOCH).ok());
        plan.unused.borrow_mut().remove(SOURCE_DATE_EPOCH);
        let latest = epoch.and_then(|epoch| epoch.trim().parse().ok());
        let stages = BTreeMap::new();
        Self { layout, request, runner, progress, file, plan, ignore, stages, latest }
    }

    /// Builds all planned stages and returns the target.
    pub(super) fn build(mut self) -> Result<State, BuildError> {
        let worked = |step: &&Step| works(&step.instruction);
        let of = self
            .plan
            .stages
            .iter()
            .map(|(index, _)| 1 + self.file.stages[*index].steps.iter().filter(worked).count())
            .sum();
        let mut number = 0;
        for (index, base) in &self.plan.stages {
            let stage = &self.file.stages[*index];
            let state = self.stage(*index, stage, base, &mut number, of)?;
            self.stages.insert(*index, state);
        }
        for name in self.plan.unused.borrow().iter() {
            self.progress.log(&format!("build argument {name} is not used by the Dockerfile"));
        }
        let (_, state) = self.stages.pop_last().expect("the target is among the planned stages");
        Ok(state)
    }

    fn stage(
        &self,
        index: usize,
        stage: &Stage,
        base: &Base,
        number: &mut usize,
        of: usize,
    ) -> Result<State, BuildError> {
        *number += 1;
        let mut state = self.task(&stage.from, *number, of, |_| self.base(base))?;
        for step in &stage.steps {
            if self.progress.cancelled() {
                return Err(BuildError::Cancelled);
            }
            if !works(&step.instruction) {
                self.configure(&mut state, &step.instruction)
                    .map_err(|problem| self.failed(step, problem))?;
                state.note(&step.summary, true);
                continue;
            }
            *number += 1;
            self.task(step, *number, of, |task| match &step.instruction {
                Instruction::Run(run) => self.run(&mut state, step, run, task),
                Instruction::Copy(copy) => self.copy(&mut state, index, step, copy),
                Instruction::Workdir(path) => self.workdir(&mut state, step, path),
                _ => Ok(((), Outcome::Done)),
            })?;
        }
        Ok(state)
    }

    /// Runs a step as a task of the progress.
    fn task<T>(
        &self,
        step: &Step,
        number: usize,
        of: usize,
        work: impl FnOnce(TaskId) -> Result<(T, Outcome), StepProblem>,
    ) -> Result<T, BuildError> {
        let id = next_task();
        let (kind, label) = (TaskKind::Step { number, of }, step.summary.clone());
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
            Base::Scratch => Ok((State::scratch(), Outcome::Done)),
            Base::Stage(index) => {
                let stage = &self.stages[index];
                Ok((State::of_stage(stage), Outcome::Done))
            }
            Base::Image(reference) => self.image(reference),
        }
    }

    /// An image's state; pulled if it is not here.
    pub(super) fn image(&self, reference: &Reference) -> Result<(State, Outcome), StepProblem> {
        let here = self.layout.find(reference).map_err(StepProblem::Store)?;
        let (digest, outcome) = match here {
            Some(digest) if !self.request.always_pull => (digest, Outcome::Cached),
            _ => {
                let image =
                    crate::pull::pull(self.layout, reference, &self.request.pull, self.progress)
                        .map_err(|error| StepProblem::Pull(Box::new(error)))?;
                (image.digest, Outcome::Done)
            }
        };
        // Unpacks what may have been pruned.
        self.layout
            .assemble(&digest, self.request.pull.limits, self.progress)
            .map_err(StepProblem::Store)?;
        let manifest = self.layout.manifest(&digest).map_err(StepProblem::Store)?;
        let document = self.layout.config(&manifest).map_err(StepProblem::Store)?;
        if !document.config.on_build.is_empty() {
            return Err(StepProblem::Unsupported(format!("{reference} with ONBUILD triggers")));
        }
        let mut state = State::of_image(manifest, document);
        // Steps may count on the directory they run in.
        let workdir = state.workdir().to_owned();
        if self.view(&state)?.directory(&within_root(Path::new(&workdir))).is_err() {
            self.make_workdir(&mut state, &format!("WORKDIR {workdir}"), &workdir, (0, 0))?;
        }
        Ok((state, outcome))
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
        let full = within_root(&Path::new(state.workdir()).join(&path));
        let full = format!("/{}", full.display());
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
        let Some(layer) = self.layout.cached_layer(key) else { return false };
        state.push(summary, &layer);
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
        Ok(Work { _dir: dir, upper, work })
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

/// Whether a step may make files, and so is worth a line of progress.
fn works(instruction: &Instruction) -> bool {
    matches!(instruction, Instruction::Run(_) | Instruction::Copy(_) | Instruction::Workdir(_))
}

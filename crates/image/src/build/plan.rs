//! Which stages a target needs, what each begins with, and the values of global `ARG`s.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use super::dockerfile::{Dockerfile, Instruction, Stage, Step};
use super::words::{self, expand};
use crate::error::{BuildError, StepProblem};
use crate::options::{BuildRequest, NamedContext, Platform};
use crate::reference::Reference;

/// What a stage begins with.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Base {
    Scratch(Platform),
    /// An earlier stage.
    Stage(usize),
    Image(Reference, Platform),
}

/// What is built, in which order.
#[derive(Debug)]
pub(super) struct Plan {
    /// Stages with their bases, in the order they are built; the last one is the target.
    pub(super) stages: Vec<(usize, Base)>,
    /// Values of `ARG`s before the first `FROM`, and of the platform's.
    pub(super) globals: BTreeMap<String, String>,
    /// Variables of `FROM`s that have no value, with the place of the `FROM`.
    pub(super) unset: Vec<(usize, String)>,
    /// Build arguments that nothing has asked for yet.
    unused: Mutex<BTreeSet<String>>,
}

/// Names and defaults of one `ARG`, defaults not expanded.
pub(super) fn arguments(text: &str, escape: char) -> Result<Vec<(String, Option<String>)>, String> {
    let words = words::split(text, escape);
    let parse = |word: String| {
        let (name, default) = match word.split_once('=') {
            Some((name, default)) => (name.to_owned(), Some(default.to_owned())),
            None => (word, None),
        };
        let valid = !name.is_empty()
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if valid { Ok((name, default)) } else { Err(format!("\"{name}\" is no argument's name")) }
    };
    words.into_iter().map(parse).collect()
}

impl Plan {
    pub(super) fn new(file: &Dockerfile, request: &BuildRequest) -> Result<Self, BuildError> {
        let unused = Mutex::new(request.build_args.keys().cloned().collect());
        let (stages, globals, unset) = (Vec::new(), BTreeMap::new(), Vec::new());
        let mut plan = Self { stages, globals, unset, unused };
        plan.globals.extend(platform_arguments(request));
        for step in &file.globals {
            plan.global(file, step, request)
                .map_err(|text| step.error(&file.path, StepProblem::Invalid(text)))?;
        }
        let mut bases = BTreeMap::new();
        let mut open = vec![target(file, request)?];
        while let Some(index) = open.pop() {
            if bases.contains_key(&index) {
                continue;
            }
            let base = plan.base(file, index, request)?;
            if let Base::Stage(earlier) = base {
                open.push(earlier);
            }
            bases.insert(index, base);
            let reads = file.stages[index].steps.iter().flat_map(|step| step.instruction.reads());
            open.extend(reads.filter_map(|from| stage_read(file, request, index, from)));
        }
        // Stages refer to earlier ones only, so their numbers are an order.
        plan.stages = bases.into_iter().collect();
        Ok(plan)
    }

    /// The Dockerfile has asked for this build argument.
    pub(super) fn is_used(&self, name: &str) {
        self.unused.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    /// Build arguments that nothing has asked for.
    pub(super) fn unused(&self) -> BTreeSet<String> {
        self.unused.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn global(
        &mut self,
        file: &Dockerfile,
        step: &Step,
        request: &BuildRequest,
    ) -> Result<(), String> {
        let Instruction::Arg(text) = &step.instruction else { return Ok(()) };
        for (name, default) in arguments(text, file.escape)? {
            let given = request.build_args.get(&name).cloned();
            let value = match (given, default) {
                (Some(value), _) => Some(value),
                (None, Some(default)) => {
                    let lookup = |name: &str| self.globals.get(name).cloned();
                    Some(expand(&default, file.escape, &lookup)?.text)
                }
                (None, None) => None,
            };
            self.is_used(&name);
            if let Some(value) = value {
                self.globals.insert(name, value);
            }
        }
        Ok(())
    }

    /// Resolves a stage's `FROM`.
    fn base(
        &mut self,
        file: &Dockerfile,
        index: usize,
        request: &BuildRequest,
    ) -> Result<Base, BuildError> {
        let stage = &file.stages[index];
        self.base_of(file, stage, index, request)
            .map_err(|text| stage.from.error(&file.path, StepProblem::Invalid(text)))
    }

    fn base_of(
        &mut self,
        file: &Dockerfile,
        stage: &Stage,
        index: usize,
        request: &BuildRequest,
    ) -> Result<Base, String> {
        let mut platform = request.pull.platform;
        if let Some(wanted) = &stage.platform {
            let wanted = self.expand(wanted, file.escape, index)?;
            if !wanted.is_empty() {
                platform = Platform::named(&wanted).ok_or_else(|| {
                    format!(
                        "there are no images for {wanted}, only for linux/amd64 and linux/arm64"
                    )
                })?;
            }
        }
        let image = self.expand(&stage.image, file.escape, index)?;
        if image.is_empty() {
            let image = &stage.image;
            return Err(format!(
                "the base image {image} is empty (an ARG before FROM has no value)"
            ));
        }
        match request.contexts.get(&image) {
            Some(NamedContext::Image(reference)) => {
                return Ok(Base::Image(reference.clone(), platform));
            }
            Some(NamedContext::Directory(_)) => {
                let text = "a stage cannot begin with a context that is a directory (begin FROM \
                            scratch and COPY --from it)";
                return Err(text.to_owned());
            }
            None => {}
        }
        if image == "scratch" {
            return Ok(Base::Scratch(platform));
        }
        if let Some(earlier) = named_stage(file, index, &image) {
            return Ok(Base::Stage(earlier));
        }
        let reference = image.parse().map_err(|error| format!("{error}"))?;
        Ok(Base::Image(reference, platform))
    }

    fn expand(&mut self, text: &str, escape: char, stage: usize) -> Result<String, String> {
        let lookup = |name: &str| self.globals.get(name).cloned();
        let expanded = expand(text, escape, &lookup)?;
        self.unset.extend(expanded.unset.into_iter().map(|name| (stage, name)));
        Ok(expanded.text)
    }
}

/// The stage before `index` of that name.
fn named_stage(file: &Dockerfile, index: usize, name: &str) -> Option<usize> {
    let name = name.to_lowercase();
    file.stages[..index].iter().rposition(|stage| stage.name.as_deref() == Some(name.as_str()))
}

/// The earlier stage that `--from` names or numbers; `None` when it means a context or an image.
pub(super) fn stage_read(
    file: &Dockerfile,
    request: &BuildRequest,
    index: usize,
    from: &str,
) -> Option<usize> {
    if request.contexts.contains_key(from) {
        return None;
    }
    named_stage(file, index, from)
        .or_else(|| from.parse::<usize>().ok().filter(|number| *number < index))
}

fn target(file: &Dockerfile, request: &BuildRequest) -> Result<usize, BuildError> {
    let last = file.stages.len().saturating_sub(1);
    let Some(target) = &request.target else { return Ok(last) };
    named_stage(file, file.stages.len(), target)
        .or_else(|| target.parse::<usize>().ok().filter(|number| *number <= last))
        .ok_or_else(|| BuildError::UnknownTarget {
            target: target.clone(),
            file: file.path.clone(),
            known: file.stages.iter().filter_map(|stage| stage.name.clone()).collect(),
        })
}

/// Arguments that are there without being given: what is built on, for and up to.
fn platform_arguments(request: &BuildRequest) -> Vec<(String, String)> {
    let mut arguments = Vec::new();
    for (side, platform) in [("TARGET", request.pull.platform), ("BUILD", Platform::host())] {
        arguments.push((format!("{side}PLATFORM"), platform.to_string()));
        arguments.push((format!("{side}OS"), "linux".to_owned()));
        arguments.push((format!("{side}ARCH"), platform.architecture().to_owned()));
        arguments.push((format!("{side}VARIANT"), String::new()));
    }
    let target = request.target.clone().unwrap_or_else(|| "default".to_owned());
    arguments.push(("TARGETSTAGE".to_owned(), target));
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(text: &str, change: impl FnOnce(&mut BuildRequest)) -> Result<Plan, BuildError> {
        let file = super::super::dockerfile::parse("Dockerfile".as_ref(), text).unwrap();
        let mut request = BuildRequest::new("Dockerfile", ".");
        request.pull.platform = Platform::Amd64;
        change(&mut request);
        Plan::new(&file, &request)
    }

    fn numbers(plan: &Plan) -> Vec<usize> {
        plan.stages.iter().map(|(index, _)| *index).collect()
    }

    const STAGES: &str = "FROM a AS one\nFROM b AS two\nFROM scratch AS three\n\
        COPY --from=one /x /\nCOPY --from=nginx /y /\nFROM Three AS four\nCOPY --from=0 /x /\n\
        FROM scratch\nCOPY --from=four / /\n";

    #[test]
    fn only_stages_that_the_target_needs_are_built() {
        assert_eq!(numbers(&plan(STAGES, |_| {}).unwrap()), [0, 2, 3, 4]);
        let target = |name: &'static str| {
            move |request: &mut BuildRequest| request.target = Some(name.to_owned())
        };
        assert_eq!(numbers(&plan(STAGES, target("TWO")).unwrap()), [1]);
        assert_eq!(numbers(&plan(STAGES, target("2")).unwrap()), [0, 2]);
        let error = plan(STAGES, target("nine")).unwrap_err().to_string();
        assert!(error.contains("\"nine\"") && error.contains("one, two, three, four"), "{error}");
    }

    #[test]
    fn global_arguments_are_for_from_and_can_be_given() {
        let text = "ARG V=1\nARG IMAGE=app:${V}\nFROM --platform=$TARGETPLATFORM $IMAGE";
        let base = |plan: &Plan| plan.stages[0].1.clone();
        let first = plan(text, |_| {}).unwrap();
        let image = |name: &str| Base::Image(name.parse().unwrap(), Platform::Amd64);
        assert_eq!(base(&first), image("app:1"));
        let given = plan(text, |request| {
            request.build_args.insert("V".into(), "2".into());
            request.build_args.insert("TYPO".into(), "x".into());
        })
        .unwrap();
        assert_eq!(base(&given), image("app:2"));
        assert_eq!(given.unused().into_iter().collect::<Vec<_>>(), ["TYPO"]);
    }

    #[test]
    fn stages_may_be_for_the_machine_that_builds() {
        let text = "FROM --platform=$BUILDPLATFORM a AS tools\nFROM --platform=linux/arm64 b\n\
            COPY --from=tools /x /\n";
        let plan = plan(text, |request| request.pull.platform = Platform::Arm64).unwrap();
        let platforms = plan.stages.iter().map(|(_, base)| match base {
            Base::Image(_, platform) => *platform,
            other => panic!("{other:?}"),
        });
        assert_eq!(platforms.collect::<Vec<_>>(), [Platform::host(), Platform::Arm64]);
    }

    #[test]
    fn a_named_context_goes_before_stages_and_images() {
        let text = "FROM a AS one\nFROM alpine\nCOPY --from=one /x /\nRUN --mount=from=one,target=/m true\n";
        let plan = plan(text, |request| {
            let image = NamedContext::Image("b:1".parse().unwrap());
            request.contexts.insert("one".into(), NamedContext::Directory("dir".into()));
            request.contexts.insert("alpine".into(), image);
        })
        .unwrap();
        let base = Base::Image("b:1".parse().unwrap(), Platform::Amd64);
        assert_eq!(plan.stages, [(1, base)]);
    }

    #[test]
    fn a_base_that_cannot_be_is_refused_at_its_line() {
        for (text, line, reason) in [
            ("ARG V\nFROM $V", 2, "$V is empty"),
            ("FROM Upper/Case", 1, "lower-case"),
            ("FROM --platform=windows/amd64 a", 1, "no images for windows/amd64"),
            ("ARG 1-2=x\nFROM a", 1, "no argument's name"),
            ("ARG A=${B\nFROM a", 1, "not closed"),
        ] {
            let BuildError::Step(error) = plan(text, |_| {}).unwrap_err() else { panic!("{text}") };
            assert_eq!(error.line, line, "{error}");
            assert!(error.to_string().contains(reason), "{error}");
        }
    }
}

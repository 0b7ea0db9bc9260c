//! Which stages a target needs, what each begins with, and the values of global `ARG`s.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use super::dockerfile::{Copy, Dockerfile, Instruction, Stage, Step};
use super::words::{self, expand};
use crate::error::{BuildError, StepProblem};
use crate::options::{BuildRequest, Platform};
use crate::reference::Reference;

/// What a stage begins with.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Base {
    Scratch,
    /// An earlier stage.
    Stage(usize),
    Image(Reference),
}

/// What is built, in which order.
#[derive(Debug)]
pub(super) struct Plan {
    /// Stages with their bases, in the order they are built; the last one is the target.
    pub(super) stages: Vec<(usize, Base)>,
    /// Values of `ARG`s before the first `FROM`, and of the platform's.
    pub(super) globals: BTreeMap<String, String>,
    /// Build arguments that nothing has asked for yet.
    pub(super) unused: RefCell<BTreeSet<String>>,
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
        let unused = RefCell::new(request.build_args.keys().cloned().collect());
        let mut plan = Self { stages: Vec::new(), globals: BTreeMap::new(), unused };
        plan.globals.extend(platform_arguments(request.pull.platform));
        for step in &file.globals {
            plan.global(file, step, request)
                .map_err(|text| step.error(&file.path, StepProblem::Invalid(text)))?;
        }
        let target = target(file, request)?;
        let mut bases = BTreeMap::new();
        let mut open = vec![target];
        while let Some(index) = open.pop() {
            if bases.contains_key(&index) {
                continue;
            }
            let stage = &file.stages[index];
            let base = plan.base(file, index, request.pull.platform)?;
            if let Base::Stage(earlier) = base {
                open.push(earlier);
            }
            bases.insert(index, base);
            let copies = stage.steps.iter().filter_map(|step| match &step.instruction {
                Instruction::Copy(copy) => copied_stage(file, index, copy),
                _ => None,
            });
            open.extend(copies);
        }
        // Stages refer to earlier ones only, so their numbers are an order.
        plan.stages = bases.into_iter().collect();
        Ok(plan)
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
                    Some(expand(&default, file.escape, &lookup)?)
                }
                (None, None) => None,
            };
            self.unused.borrow_mut().remove(&name);
            if let Some(value) = value {
                self.globals.insert(name, value);
            }
        }
        Ok(())
    }

    /// Resolves a stage's `FROM`.
    fn base(
        &self,
        file: &Dockerfile,
        index: usize,
        platform: Platform,
    ) -> Result<Base, BuildError> {
        let stage = &file.stages[index];
        self.base_of(file, stage, index, platform)
            .map_err(|text| stage.from.error(&file.path, StepProblem::Invalid(text)))
    }

    fn base_of(
        &self,
        file: &Dockerfile,
        stage: &Stage,
        index: usize,
        platform: Platform,
    ) -> Result<Base, String> {
        let lookup = |name: &str| self.globals.get(name).cloned();
        if let Some(wanted) = &stage.platform {
            let wanted = expand(wanted, file.escape, &lookup)?;
            if !wanted.is_empty() && !platform.is_named_by(&wanted) {
                return Err(format!(
                    "images for {wanted} cannot be built here, only for {platform}"
                ));
            }
        }
        let image = expand(&stage.image, file.escape, &lookup)?;
        if image.is_empty() {
            return Err(format!(
                "the base image {} is empty (an ARG before FROM has no value)",
                stage.image
            ));
        }
        if image == "scratch" {
            return Ok(Base::Scratch);
        }
        if let Some(earlier) = named_stage(file, index, &image) {
            return Ok(Base::Stage(earlier));
        }
        image.parse().map(Base::Image).map_err(|error| format!("{error}"))
    }
}

/// The stage before `index` of that name.
fn named_stage(file: &Dockerfile, index: usize, name: &str) -> Option<usize> {
    let name = name.to_lowercase();
    file.stages[..index].iter().rposition(|stage| stage.name.as_deref() == Some(name.as_str()))
}

/// The earlier stage that `COPY --from` names or numbers; `None` when it means an image.
pub(super) fn copied_stage(file: &Dockerfile, index: usize, copy: &Copy) -> Option<usize> {
    let from = copy.from.as_deref()?;
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

/// Arguments that are there without being given: the platform that is built on and for.
fn platform_arguments(platform: Platform) -> Vec<(String, String)> {
    let mut arguments = Vec::new();
    for side in ["TARGET", "BUILD"] {
        arguments.push((format!("{side}PLATFORM"), platform.to_string()));
        arguments.push((format!("{side}OS"), "linux".to_owned()));
        arguments.push((format!("{side}ARCH"), platform.architecture().to_owned()));
        arguments.push((format!("{side}VARIANT"), String::new()));
    }
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
        assert_eq!(base(&first), Base::Image("app:1".parse().unwrap()));
        let given = plan(text, |request| {
            request.build_args.insert("V".into(), "2".into());
            request.build_args.insert("TYPO".into(), "x".into());
        })
        .unwrap();
        assert_eq!(base(&given), Base::Image("app:2".parse().unwrap()));
        assert_eq!(given.unused.borrow().iter().collect::<Vec<_>>(), ["TYPO"]);
    }

    #[test]
    fn a_base_that_cannot_be_is_refused_at_its_line() {
        for (text, line, reason) in [
            ("ARG V\nFROM $V", 2, "$V is empty"),
            ("FROM Upper/Case", 1, "lower-case"),
            ("FROM --platform=linux/arm64 a", 1, "linux/arm64 cannot be built here"),
            ("ARG 1-2=x\nFROM a", 1, "no argument's name"),
            ("ARG A=${B\nFROM a", 1, "not closed"),
        ] {
            let BuildError::Step(error) = plan(text, |_| {}).unwrap_err() else { panic!("{text}") };
            assert_eq!(error.line, line, "{error}");
            assert!(error.to_string().contains(reason), "{error}");
        }
    }
}

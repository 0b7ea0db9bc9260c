//! One case from its folder to its verdict.

use std::path::Path;

use crate::bases::Bases;
use crate::buildah::Buildah;
use crate::case::{Case, corpus};
use crate::compare::{compare, compare_steps, contradictions};
use crate::{berth, server};

/// Builds a case by both builders and compares the images.
///
/// # Panics
/// They differ otherwise than the case says, or one does not build.
pub fn check(name: &str) {
    let case = Case::prepare(&corpus().join(name));
    for dockerfile in [case.dockerfile(), case.dockerfile_of_buildah()] {
        Bases::get().provide(&dockerfile);
    }
    let arguments = arguments(&case);
    // Ours first: with `--mount=type=bind,rw` buildah 1.28 writes to the context itself.
    let ours = berth::build(&case, &arguments);
    let theirs = Buildah::get().build(&case, &arguments);
    let mut found = compare(&ours, &theirs, &case.expect.mtimes);
    if case.expect.layers {
        found.extend(compare_steps(&ours, &theirs));
    }
    let mut wrong = case.expect.check(&found);
    wrong.extend(contradictions(&ours));
    assert!(wrong.is_empty(), "{name}:\n{}", wrong.join("\n"));
}

/// Options that both builders know by the same names.
fn arguments(case: &Case) -> Vec<String> {
    let expect = &case.expect;
    let path = |path: &str| case.path(path).display().to_string();
    let mut arguments = Vec::new();
    let mut option = |name: &str, value: String| arguments.push(format!("--{name}={value}"));
    if let Some(target) = &expect.target {
        option("target", target.clone());
    }
    for (name, value) in &expect.build_args {
        option("build-arg", format!("{name}={value}"));
    }
    for (name, folder) in &expect.build_contexts {
        option("build-context", format!("{name}={}", path(folder)));
    }
    for (id, file) in &expect.secrets {
        option("secret", format!("id={id},src={}", path(file)));
    }
    if expect.ssh {
        let socket = case.path("agent");
        server::serve_agent(&socket);
        option("ssh", format!("default={}", socket.display()));
    }
    let served = case.path("served");
    if Path::new(&served).is_dir() {
        option("build-arg", format!("SERVER=http://{}", server::serve_files(served)));
    }
    arguments
}

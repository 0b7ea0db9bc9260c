//! `bench images`: building by Berth and by buildah, pushing and pulling by one client to Berth's
//! registry and to Debian's, and how soon a pushed image answers.

mod build;
mod builder;
mod first_answer;
mod server;
mod timed;
mod transfer;

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;
use fs_err as fs;

use super::Inside;
use super::options::Options;
use super::prepare::Workshop;
use super::report::Report;
use crate::prerequisites;
use crate::programs::run;
use crate::{repository, say};
use server::Kind;

/// The client of both registries.
const CLIENT: (&str, &str) = ("skopeo", "skopeo");
/// The builder and the registry that ours are measured beside.
const PEERS: [(&str, &str); 2] = [("buildah", "buildah"), ("docker-registry", "docker-registry")];

const LARGE_LAYERS: usize = 5;
const LARGE_LAYER_MIB: usize = 100;

/// What is made outside the namespaces, where there is a network: base images, the large image.
pub(super) fn prepare(workshop: &Workshop, options: &Options) -> Result<()> {
    if options.install_peer {
        prerequisites::install(&[&[CLIENT], &PEERS[..]].concat())?;
    }
    let folder = e2e::base_images::folder();
    say(&format!("bench: base images are in {}", folder.display()));
    let large = large_image(workshop);
    if !large.exists() {
        say("bench: an image of 500 MB");
        let unfinished = large.with_extension("new");
        let _ = fs::remove_dir_all(&unfinished);
        let mut script = Command::new("sh");
        script.arg(repository::root().join("benches/images/large.sh")).arg(&unfinished);
        script.arg(workshop.server());
        run(script.args([LARGE_LAYERS, LARGE_LAYER_MIB].map(|number| number.to_string())))?;
        fs::rename(unfinished, large)?;
    }
    Ok(())
}

/// Measures what the machine has the programs for; says what it has not.
pub(super) fn measure(inside: &Inside, options: &Options, report: &mut Report) -> Result<()> {
    for (program, package) in [&[CLIENT], &PEERS[..]].concat() {
        if !prerequisites::is_there(program) {
            let note = format!(
                "`{program}` is missing (Debian: {package}; --install-peer installs it): nothing \
                 was measured with it."
            );
            inside.say(&note);
            report.notes.push(note);
        }
    }
    build::measure(inside, options, report)?;
    if prerequisites::is_there(CLIENT.0) {
        transfer::measure(inside, options, report)?;
        first_answer::measure(inside, options, report)?;
    }
    Ok(())
}

/// The registries that can be measured here.
fn registries() -> Vec<Kind> {
    let debian = prerequisites::is_there("docker-registry").then_some(Kind::Debian);
    [Some(Kind::Berth), debian].into_iter().flatten().collect()
}

fn large_image(workshop: &Workshop) -> PathBuf {
    workshop.dir().join(format!("image-{LARGE_LAYERS}x{LARGE_LAYER_MIB}"))
}

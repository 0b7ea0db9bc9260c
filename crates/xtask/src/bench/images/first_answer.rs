//! From a pushed image to the first answer of an instance: `berth dev` is started the moment the push
//! has ended, on a machine that has nothing of the image but what the push left there.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use e2e::eventually;
use fs_err as fs;

use super::server::{Kind, Server};
use super::transfer::copy;
use crate::bench::Inside;
use crate::bench::cold_start::sample_row;
use crate::bench::options::Options;
use crate::bench::report::{Report, Table};
use crate::bench::sample::Sample;
use crate::bench::session::Session;
use crate::http;

const DEADLINE: Duration = Duration::from_secs(180);

pub(super) fn measure(inside: &Inside, options: &Options, report: &mut Report) -> Result<()> {
    let mut table = Table::new("first_answer", "(f) From the end of a push to the first answer");
    for kind in super::registries() {
        inside.say(&format!("first answers of images in {}", kind.label()));
        let results: Result<Vec<_>> =
            (0..options.transfers()).map(|number| once(inside, kind, number)).collect();
        table.push(sample_row(kind.label(), &Sample::of(results?)));
    }
    table.note(
        "The same large image; `berth dev` with its Worker starts when the push has ended. Berth's \
         registry keeps images where `berth dev` on that machine finds them; from the other one it \
         has to pull.",
    );
    table.add_ratios("p50 : Berth", "p50");
    report.tables.push(table);
    Ok(())
}

fn once(inside: &Inside, kind: Kind, number: usize) -> Result<Result<Duration, String>> {
    let home = make_home(inside, kind, number)?;
    let data = match kind {
        Kind::Berth => home.clone(),
        Kind::Debian => inside.dir.join("registry"),
    };
    let server = Server::start(inside, kind, &data)?;
    let large = format!("dir:{}", super::large_image(&inside.workshop).display());
    if let Err(failure) = copy(inside, &large, &format!("docker://{}", server.image()))? {
        bail!("push to {}: {failure}", kind.label());
    }
    let pushed = Instant::now();
    let mut session = Session::of_image(inside, &server.image(), &home)?;
    let answered = eventually(DEADLINE, || match session.has_ended() {
        false => http::get(session.address(), "/container/first")
            .ok()
            .filter(|reply| reply.status == 200)
            .map(|_| true),
        true => Some(false),
    });
    let time = pushed.elapsed();
    let said = session.said();
    session.stop().context("stop the session")?;
    drop(server);
    fs::remove_dir_all(&home)?;
    if kind == Kind::Debian {
        fs::remove_dir_all(&data)?;
    }
    Ok(if answered == Some(true) { Ok(time) } else { Err(said) })
}

/// A home of its own with the toolchain of the others.
fn make_home(inside: &Inside, kind: Kind, number: usize) -> Result<PathBuf> {
    let letter = if kind == Kind::Berth { 'b' } else { 'd' };
    let home = inside.dir.join(format!("{letter}{number}"));
    fs::create_dir(&home)?;
    let toolchain: &Path = &inside.workshop.home().join("toolchain");
    fs::os::unix::fs::symlink(toolchain, home.join("toolchain"))?;
    Ok(home)
}

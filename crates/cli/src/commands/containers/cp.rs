//! `berth containers cp`: files between an instance and here, as `docker cp` copies them.

mod local;
mod pipe;
mod place;
mod remote;

use std::ffi::OsStr;
use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};

use super::client;
use crate::args::CpArgs;
use crate::error::{CliError, Kind};
use crate::human::size;
use crate::printer::Printer;
use place::{Destination, End, Named, Place, Refusal, Target, What, split, target};
use remote::Files;

const HERE: &str = "look at the files here";

pub(super) async fn run(args: &CpArgs, printer: &Printer) -> Result<(), CliError> {
    let place = |text: &OsStr| {
        Place::of(text).map_err(|error| CliError::new(Kind::Usage, error.to_string()))
    };
    let (id, way) = way(place(&args.from)?, place(&args.to)?)?;
    let client = client(&args.place).await?;
    let files = Files::new(&client, &id, printer);
    let bytes = match &way {
        Way::Out(from, to) => download(&files, from, to, args.follow_link).await?,
        Way::OutAsArchive(from) => return print(&files, from, args.follow_link).await,
        Way::In(from, to) => upload(&files, from, to, args.follow_link).await?,
        Way::InAsArchive(to) => unpack(&files, to).await?,
    };
    let from = args.from.display();
    printer.success(format_args!("Copied {from} to {} ({})", args.to.display(), size(bytes)));
    Ok(())
}

/// Which way files go.
#[derive(Debug)]
enum Way {
    Out(Named, PathBuf),
    OutAsArchive(Named),
    In(PathBuf, Named),
    InAsArchive(Named),
}

/// The instance, and which way files go.
fn way(from: Place, to: Place) -> Result<(String, Way), CliError> {
    match (from, to) {
        (Place::Instance(id, from), Place::Local(to)) => Ok((id, Way::Out(from, to))),
        (Place::Instance(id, from), Place::Stream) => Ok((id, Way::OutAsArchive(from))),
        (Place::Local(from), Place::Instance(id, to)) => Ok((id, Way::In(from, to))),
        (Place::Stream, Place::Instance(id, to)) => Ok((id, Way::InAsArchive(to))),
        (Place::Instance(..), Place::Instance(..)) => {
            let text = "nothing is copied from one instance straight to another";
            Err(CliError::new(Kind::Usage, text).hint("copy it here first, and from here then"))
        }
        (Place::Local(_) | Place::Stream, Place::Local(_) | Place::Stream) => {
            let text = "neither of the two is in an instance";
            Err(CliError::new(Kind::Usage, text).hint("one is written INSTANCE:PATH"))
        }
    }
}

/// How many bytes its archive had, as of the others.
async fn download(
    files: &Files<'_>,
    from: &Named,
    to: &Path,
    follow: bool,
) -> Result<u64, CliError> {
    let (path, file) = source(files, from, follow).await?;
    let destination = Destination {
        found: what_is(to)?,
        end: End::of(to.as_os_str()),
        has_parent: to.parent().is_some_and(|parent| or_here(parent).is_dir()),
    };
    let what = file.what();
    let shown = to.display();
    let becomes = target(what, from.end, destination)
        .map_err(|refusal| refused(&format!("copy {} to {shown}", from.path), refusal))?;
    let into = match becomes {
        Target::Merged | Target::Itself => to.to_owned(),
        // The root has no name: what it has is copied.
        Target::Inside => to.join(split(&from.path).1),
    };
    match what {
        What::Directory => {
            let contents = format!("{}/.", path.trim_end_matches('/'));
            let mode = file.mode;
            files.read(&contents, move |all| local::unpack_directory(all, &into, mode)).await
        }
        What::Other => files.read(&path, move |all| local::unpack_file(all, &into)).await,
    }
}

/// Prints an archive.
async fn print(files: &Files<'_>, from: &Named, follow: bool) -> Result<(), CliError> {
    if io::stdout().is_terminal() {
        let text = "an archive is not printed on a terminal";
        return Err(CliError::new(Kind::Usage, text).hint("lead it into a file or to `tar`"));
    }
    let (path, _) = source(files, from, follow).await?;
    let path = match from.end {
        End::Contents => format!("{}/.", path.trim_end_matches('/')),
        End::Plain | End::Directory => path,
    };
    let printed = files.read(&path, |mut all| {
        let mut stdout = io::stdout().lock();
        io::copy(&mut all, &mut stdout)?;
        io::Write::flush(&mut stdout)
    });
    printed.await.map(drop)
}

/// What is to be copied out of the instance: where it is, and what.
async fn source(
    files: &Files<'_>,
    from: &Named,
    follow: bool,
) -> Result<(String, remote::File), CliError> {
    // What a path calls a directory may be a link to one.
    let (path, found) = match follow || from.end != End::Plain {
        true => files.look_through_links(&from.path).await?,
        false => (from.path.clone(), files.look_at(&from.path).await?),
    };
    let file = found.ok_or_else(|| files.missing(&path))?;
    if from.end != End::Plain && file.what() == What::Other {
        return Err(refused(&format!("copy {}", from.path), Refusal::NoDirectory));
    }
    Ok((path, file))
}

async fn upload(files: &Files<'_>, from: &Path, to: &Named, follow: bool) -> Result<u64, CliError> {
    let here = |error: io::Error| CliError::failure(HERE, error);
    let own = local::own_name(from).map_err(here)?;
    let source = match follow {
        true => fs_err::canonicalize(from).map_err(here)?,
        false => from.to_owned(),
    };
    let metadata = fs_err::symlink_metadata(&source).map_err(here)?;
    let what = if metadata.is_dir() { What::Directory } else { What::Other };
    let (path, found) = files.look_through_links(&to.path).await?;
    let (parent, name) = split(&path);
    let has_parent = match found {
        Some(_) => true,
        None => {
            let (_, parent) = files.look_through_links(parent).await?;
            parent.is_some_and(|parent| parent.what() == What::Directory)
        }
    };
    let destination = Destination { found: found.map(|file| file.what()), end: to.end, has_parent };
    let becomes = target(what, End::of(from.as_os_str()), destination)
        .map_err(|refusal| refused(&format!("copy {} to {}", from.display(), to.path), refusal))?;
    let (directory, name) = match becomes {
        Target::Merged => (path.as_str(), None),
        Target::Inside => (path.as_str(), own.map(PathBuf::from)),
        Target::Itself => (parent, Some(PathBuf::from(name))),
    };
    files.write(directory, move |to| local::pack(&source, name.as_deref(), to)).await
}

/// Unpacks the archive that comes on standard input.
async fn unpack(files: &Files<'_>, to: &Named) -> Result<u64, CliError> {
    if io::stdin().is_terminal() {
        let text = "no archive is read from a terminal";
        return Err(CliError::new(Kind::Usage, text).hint("lead one from a file or from `tar`"));
    }
    let (path, found) = files.look_through_links(&to.path).await?;
    let file = found.ok_or_else(|| files.missing(&path))?;
    if file.what() == What::Other {
        let text = format!("{} is no directory: an archive is unpacked into one", to.path);
        return Err(CliError::new(Kind::Failure, text));
    }
    files.write(&path, |to| io::copy(&mut io::stdin().lock(), to).map(drop)).await
}

/// What is at a path here, links followed.
fn what_is(path: &Path) -> Result<Option<What>, CliError> {
    match fs_err::metadata(path) {
        Ok(metadata) if metadata.is_dir() => Ok(Some(What::Directory)),
        Ok(_) => Ok(Some(What::Other)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(CliError::failure(HERE, error)),
    }
}

fn or_here(path: &Path) -> &Path {
    if path.as_os_str().is_empty() { Path::new(".") } else { path }
}

fn refused(attempt: &str, refusal: Refusal) -> CliError {
    CliError::failure(attempt, refusal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_the_two_is_in_an_instance() {
        let way = |from: &str, to: &str| {
            let place = |text: &str| Place::of(OsStr::new(text)).unwrap();
            way(place(from), place(to))
        };
        assert!(matches!(way("i:/a", "b").unwrap(), (id, Way::Out(..)) if id == "i"));
        assert!(matches!(way("i:/a", "-").unwrap().1, Way::OutAsArchive(_)));
        assert!(matches!(way("b", "i:/a").unwrap().1, Way::In(..)));
        assert!(matches!(way("-", "i:/a").unwrap().1, Way::InAsArchive(_)));
        for (from, to) in [("i:/a", "j:/a"), ("a", "b"), ("-", "-"), ("a", "-")] {
            assert_eq!(way(from, to).unwrap_err().kind, Kind::Usage, "{from} {to}");
        }
    }
}

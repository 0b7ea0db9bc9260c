//! `berth` by its other name: a link called `berth-docker` is `berth docker`, for whoever wants the path of a
//! `docker` command, as wrangler does.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use fs_err as fs;

/// The name by which this program is `berth docker`.
const NAME: &str = "berth-docker";

/// The words of the command line: called by its other name, it is `berth docker`.
pub(crate) fn command_line() -> Vec<OsString> {
    with_command(std::env::args_os().collect())
}

fn with_command(mut words: Vec<OsString>) -> Vec<OsString> {
    let called = words.first().and_then(|word| Path::new(word).file_name());
    if called.is_some_and(|name| name == NAME) {
        // Help and errors are those of `berth docker`.
        words[0] = "berth".into();
        words.insert(1, "docker".into());
    }
    words
}

/// The line of a `.env` that gives wrangler a `docker` command, a link below `data`; `None` where one is on
/// the `PATH`, or no link can be made.
pub(crate) fn dot_env_line(data: &Path) -> Option<String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    if std::env::split_paths(&path).any(|folder| folder.join("docker").is_file()) {
        return None;
    }
    match link(data) {
        Ok(link) => Some(format!("WRANGLER_DOCKER_BIN={}", link.display())),
        Err(error) => {
            tracing::warn!(%error, "no link to `berth docker` for wrangler");
            None
        }
    }
}

/// A link to this program, made anew where it led to another one.
fn link(data: &Path) -> io::Result<PathBuf> {
    let (own, link) = (std::env::current_exe()?, std::path::absolute(data.join("bin").join(NAME))?);
    if fs::read_link(&link).is_ok_and(|target| target == own) {
        return Ok(link);
    }
    fs::create_dir_all(data.join("bin"))?;
    // In one step: somebody may be using it.
    let new = link.with_extension(std::process::id().to_string());
    fs::os::unix::fs::symlink(own, &new)?;
    fs::rename(new, &link)?;
    Ok(link)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_other_name_is_a_command_of_its_own() {
        let words = |words: &[&str]| -> Vec<OsString> {
            with_command(words.iter().map(OsString::from).collect())
        };
        assert_eq!(words(&["/x/berth-docker", "ps"]), ["berth", "docker", "ps"]);
        assert_eq!(words(&["berth", "docker", "ps"]), ["berth", "docker", "ps"]);
        assert!(words(&[]).is_empty());
    }

    #[test]
    fn a_link_leads_to_this_program_whatever_it_led_to_before() {
        let data = tempfile::tempdir().unwrap();
        let first = link(data.path()).unwrap();
        fs::remove_file(&first).unwrap();
        fs::os::unix::fs::symlink("/elsewhere", &first).unwrap();
        assert_eq!(link(data.path()).unwrap(), first);
        assert_eq!(fs::read_link(first).unwrap(), std::env::current_exe().unwrap());
        assert_eq!(fs::read_dir(data.path().join("bin")).unwrap().count(), 1);
    }
}

//! `--builder docker|podman|buildah`: another program builds, and its image is taken over.

use std::process::Stdio;

use image::{ImportOptions, Reference};
use tokio::process::Command;

use super::open_store;
use crate::args::{BuildArgs, ImageBuilder, Network, ProgressKind, SecretFrom};
use crate::error::{CliError, Kind};
use crate::printer::Printer;

pub(super) async fn build(args: &BuildArgs, printer: &Printer) -> Result<(), CliError> {
    let program = program(args.builder);
    let Some(tag) = args.tags.first() else {
        let error = format!("{program} builds an image that nobody finds again without a name");
        return Err(CliError::new(Kind::Usage, error).hint("give it one with `--tag NAME`"));
    };
    if !args.egress_allow.is_empty() || !args.mirrors.is_empty() {
        printer.warning(format_args!("{program} has mirrors and networks of its own"));
    }
    run(program, &arguments(args)).await?;
    let dir = tempfile::tempdir()
        .map_err(|error| CliError::failure("make a folder for the image", error))?;
    let archive = dir.path().join("image.tar");
    let path = archive.to_string_lossy().into_owned();
    let save = match args.builder {
        ImageBuilder::Buildah => {
            vec!["push".to_owned(), tag.clone(), format!("oci-archive:{path}")]
        }
        _ => vec!["save".to_owned(), "-o".to_owned(), path, tag.clone()],
    };
    run(program, &save).await?;
    let names = args.tags.iter().map(|tag| {
        let parsed = tag.parse::<Reference>();
        parsed.map_err(|error| CliError::attempt(Kind::Usage, "read an image name", error))
    });
    let names = names.collect::<Result<Vec<_>, _>>()?;
    let take = tokio::task::spawn_blocking(move || take_over(&archive, &names));
    let digest = take.await.map_err(|error| CliError::failure("take the image over", error))??;
    if printer.is_quiet() {
        printer.data(digest);
    } else {
        printer.success(format_args!("built {} ({digest})", args.tags.join(", ")));
    }
    Ok(())
}

fn program(builder: ImageBuilder) -> &'static str {
    match builder {
        ImageBuilder::Docker | ImageBuilder::Berth => "docker",
        ImageBuilder::Podman => "podman",
        ImageBuilder::Buildah => "buildah",
    }
}

/// The same build in the words of docker, podman and buildah.
fn arguments(args: &BuildArgs) -> Vec<String> {
    let mut all = vec!["build".to_owned()];
    let mut option = |name: &str, value: &str| all.extend([format!("--{name}"), value.to_owned()]);
    args.tags.iter().for_each(|tag| option("tag", tag));
    if let Some(file) = &args.file {
        option("file", &file.to_string_lossy());
    }
    if let Some(target) = &args.target {
        option("target", target);
    }
    for (name, value) in &args.build_args {
        match value {
            Some(value) => option("build-arg", &format!("{name}={value}")),
            None => option("build-arg", name),
        }
    }
    for secret in &args.secrets {
        let source = match &secret.source {
            SecretFrom::File(path) => format!("src={}", path.display()),
            SecretFrom::Variable(name) => format!("env={name}"),
        };
        option("secret", &format!("id={},{source}", secret.id));
    }
    for (id, socket) in &args.ssh {
        option("ssh", &format!("{id}={}", socket.display()));
    }
    for (name, place) in &args.contexts {
        option("build-context", &format!("{name}={place}"));
    }
    for (name, value) in &args.labels {
        option("label", &format!("{name}={value}"));
    }
    if let Some(platform) = &args.platform {
        option("platform", platform);
    }
    match args.network {
        Network::Default => {}
        Network::None => option("network", "none"),
        Network::Host => option("network", "host"),
    }
    if let Some(file) = &args.iidfile {
        option("iidfile", &file.to_string_lossy());
    }
    if args.builder == ImageBuilder::Docker {
        match args.progress {
            ProgressKind::Auto => {}
            ProgressKind::Tty => option("progress", "tty"),
            ProgressKind::Plain => option("progress", "plain"),
            ProgressKind::Json => option("progress", "rawjson"),
        }
    }
    if args.no_cache {
        all.push("--no-cache".to_owned());
    }
    if args.pull {
        all.push("--pull".to_owned());
    }
    all.push(args.context.to_string_lossy().into_owned());
    all
}

/// Runs it to its end; what it says goes to the terminal.
async fn run(program: &str, arguments: &[String]) -> Result<(), CliError> {
    let child = Command::new(program)
        .args(arguments)
        .stdout(Stdio::inherit())
        .kill_on_drop(true)
        .status()
        .await;
    match child {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(CliError::new(Kind::Build, format!("{program} failed: {status}"))
            .hint("what it says stands above")),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(CliError::new(Kind::Host, format!("there is no program {program}"))
                .hint("install it, or build without `--builder`"))
        }
        Err(error) => Err(CliError::failure(&format!("run {program}"), error)),
    }
}

fn take_over(archive: &std::path::Path, names: &[Reference]) -> Result<String, CliError> {
    let failed = |error| CliError::failure("take the image over", error);
    let store = open_store()?;
    let file = fs_err::File::open(archive).map_err(failed)?;
    let imported = store
        .import(file, &ImportOptions::default(), &image::Silent)
        .map_err(|error| CliError::failure("take the image over", error))?;
    let first = imported.first().ok_or_else(|| {
        CliError::new(Kind::Failure, "the archive that was to be taken over has no image")
    })?;
    for name in names {
        store
            .tag(name, &first.digest)
            .map_err(|error| CliError::failure("name the image", error))?;
    }
    Ok(first.digest.to_string())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[test]
    fn another_program_is_told_the_same() {
        let args = BuildArgs::parse_from([
            "build",
            "dir",
            "--builder=docker",
            "-t",
            "a:1",
            "-f",
            "F",
            "--secret",
            "id=s,src=/s",
            "--build-arg",
            "A=1",
            "--network=none",
            "--no-cache",
            "--progress=json",
        ]);
        let expected = "build --tag a:1 --file F --build-arg A=1 --secret id=s,src=/s \
            --network none --progress rawjson --no-cache dir";
        assert_eq!(arguments(&args).join(" "), expected);
    }
}

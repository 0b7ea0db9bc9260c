//! From the command line to what is to be built.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use agent::Network;
use image::{
    BuildRequest, CacheExport, NamedContext, Platform, PullOptions, Reference, RunNetwork,
    SecretSource,
};

use crate::args::{self, BuildArgs, CacheTo, SecretFrom};
use crate::error::{CliError, Kind};

/// Largest Dockerfile that is read from standard input.
const DOCKERFILE_BYTES: u64 = 16 << 20;

pub(super) fn request(args: &BuildArgs) -> Result<BuildRequest, CliError> {
    let context = context(&args.context)?;
    let (dockerfile, text) = dockerfile(args.file.as_deref(), &context)?;
    let mut request = BuildRequest::new(dockerfile, context);
    request.dockerfile_text = text;
    for (name, value) in &args.build_args {
        request.build_args.extend(value.clone().map(|value| (name.clone(), value)));
    }
    request.labels.extend(args.labels.iter().cloned());
    for secret in &args.secrets {
        let source = match &secret.source {
            SecretFrom::File(path) => SecretSource::File(path.clone()),
            SecretFrom::Variable(name) => SecretSource::Variable(name.clone()),
        };
        request.secrets.insert(secret.id.clone(), source);
    }
    request.ssh.extend(args.ssh.iter().cloned());
    for (name, place) in &args.contexts {
        request.contexts.insert(name.clone(), named_context(place)?);
    }
    request.target.clone_from(&args.target);
    request.no_cache = args.no_cache;
    request.always_pull = args.pull;
    request.network = match args.network {
        args::Network::Default => RunNetwork::Default,
        args::Network::None => RunNetwork::None,
        args::Network::Host => RunNetwork::Host,
    };
    request.allow_host_network = !args.allow.is_empty() || args.network == args::Network::Host;
    request.cache_from = references(args.cache_from.iter().map(|cache| cache.0.as_str()))?;
    request.inline_cache = args.cache_to.contains(&CacheTo::Inline);
    for cache in &args.cache_to {
        if let CacheTo::Registry { reference: name, all_stages } = cache {
            let (reference, all_stages) = (reference(name)?, *all_stages);
            request.cache_to.push(CacheExport { reference, all_stages });
        }
    }
    request.tags = references(args.tags.iter().map(String::as_str))?;
    request.pull = PullOptions {
        mirrors: args.mirrors.by_host(),
        platform: platform(args.platform.as_deref())?,
        ..PullOptions::default()
    };
    Ok(request)
}

/// `--egress-allow`
pub(super) fn egress_allow(args: &BuildArgs) -> Result<Vec<Network>, CliError> {
    let parse = |text: &String| {
        text.parse().map_err(|error| CliError::attempt(Kind::Usage, "read --egress-allow", error))
    };
    args.egress_allow.iter().filter(|text| !text.is_empty()).map(parse).collect()
}

fn context(path: &Path) -> Result<PathBuf, CliError> {
    let text = path.to_string_lossy();
    if text == "-" || text.contains("://") || text.starts_with("git@") {
        let error = format!("the context \"{text}\" is no folder");
        return Err(CliError::new(Kind::Usage, error)
            .hint("clone or unpack it first; ADD takes URLs and git repositories"));
    }
    std::path::absolute(path).map_err(|error| CliError::failure("find the build context", error))
}

/// Where the Dockerfile is, and its text if it comes on standard input.
fn dockerfile(file: Option<&Path>, context: &Path) -> Result<(PathBuf, Option<String>), CliError> {
    let Some(file) = file else {
        let usual = context.join("Dockerfile");
        let small = context.join("dockerfile");
        return Ok((if !usual.exists() && small.exists() { small } else { usual }, None));
    };
    if file != Path::new("-") {
        let path = std::path::absolute(file)
            .map_err(|error| CliError::failure("find the Dockerfile", error))?;
        return Ok((path, None));
    }
    let mut text = String::new();
    io::stdin()
        .lock()
        .take(DOCKERFILE_BYTES)
        .read_to_string(&mut text)
        .map_err(|error| CliError::failure("read the Dockerfile from standard input", error))?;
    Ok((context.join("Dockerfile"), Some(text)))
}

fn named_context(place: &str) -> Result<NamedContext, CliError> {
    if let Some(image) = place.strip_prefix("docker-image://") {
        return Ok(NamedContext::Image(reference(image)?));
    }
    if place.contains("://") {
        let error = format!("the context \"{place}\" is neither a folder nor docker-image://IMAGE");
        return Err(CliError::new(Kind::Usage, error));
    }
    let path = std::path::absolute(place)
        .map_err(|error| CliError::failure("find a build context", error))?;
    Ok(NamedContext::Directory(path))
}

fn references<'a>(texts: impl Iterator<Item = &'a str>) -> Result<Vec<Reference>, CliError> {
    texts.map(reference).collect()
}

fn reference(text: &str) -> Result<Reference, CliError> {
    text.parse().map_err(|error| CliError::attempt(Kind::Usage, "read an image name", error))
}

fn platform(text: Option<&str>) -> Result<Platform, CliError> {
    let Some(text) = text else { return Ok(Platform::host()) };
    Platform::named(text).ok_or_else(|| {
        CliError::new(Kind::Usage, format!("images for {text} cannot be built"))
            .hint("linux/amd64 and linux/arm64 can, one at a time")
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    fn of(arguments: &[&str]) -> Result<BuildRequest, CliError> {
        request(&BuildArgs::parse_from(["build"].iter().chain(arguments)))
    }

    #[test]
    fn options_say_what_is_built() {
        let request = of(&[
            "/c",
            "-t",
            "a/b:1",
            "--tag=c",
            "-f",
            "/d/File",
            "--target=x",
            "--label",
            "l=v",
            "--build-arg=A=1",
            "--secret",
            "id=s,env=V",
            "--build-context",
            "n=/dir",
            "--build-context",
            "i=docker-image://alpine",
            "--no-cache",
            "--pull",
            "--platform=linux/arm64",
            "--network=none",
            "--cache-from=a/b:1",
            "--cache-to=type=inline",
            "--cache-to=type=registry,ref=a/cache:1",
        ])
        .unwrap();
        let tags: Vec<String> = request.tags.iter().map(ToString::to_string).collect();
        assert_eq!(tags.len(), 2);
        assert_eq!((request.context, request.dockerfile), ("/c".into(), "/d/File".into()));
        assert_eq!(request.target.as_deref(), Some("x"));
        assert_eq!(request.labels["l"], "v");
        assert_eq!(request.build_args["A"], "1");
        assert_eq!(request.secrets["s"], SecretSource::Variable("V".into()));
        assert_eq!(request.contexts["n"], NamedContext::Directory("/dir".into()));
        assert!(matches!(request.contexts["i"], NamedContext::Image(_)));
        assert!(request.no_cache && request.always_pull && request.inline_cache);
        assert_eq!(request.pull.platform, Platform::Arm64);
        assert_eq!((request.network, request.allow_host_network), (RunNetwork::None, false));
        assert_eq!((request.cache_from.len(), request.cache_to.len()), (1, 1));
    }

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        for (arguments, text) in [
            (["https://e.com/x.git", ""], "is no folder"),
            (["--tag=A B", ""], "image name"),
            (["--platform=windows/amd64", ""], "windows/amd64"),
            (["--platform=linux/amd64,linux/arm64", ""], "linux/amd64,linux/arm64"),
            (["--build-context=n=oci-layout://x", ""], "neither a folder"),
        ] {
            let error = of(&arguments[..1]).unwrap_err();
            assert_eq!(error.kind, Kind::Usage, "{error}");
            assert!(error.to_string().contains(text), "{error}");
        }
    }
}

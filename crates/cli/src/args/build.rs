//! The command line of `berth build`, with docker's names where it has them.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

use super::{Mirrors, parse_build_arg, split};

#[derive(Debug, Parser)]
pub(crate) struct BuildArgs {
    /// The folder that COPY and ADD read from.
    #[arg(default_value = ".")]
    pub(crate) context: PathBuf,
    /// A name for the image, with or without a tag; may be given again.
    #[arg(short, long = "tag", value_name = "NAME")]
    pub(crate) tags: Vec<String>,
    /// The Dockerfile; `-` reads it from standard input [default: `Dockerfile` in the context].
    #[arg(short, long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// The stage to build [default: the last one].
    #[arg(long, value_name = "STAGE")]
    pub(crate) target: Option<String>,
    /// A build argument; without a value it is taken from the environment. May be given again.
    #[arg(long = "build-arg", value_name = "KEY[=VALUE]", value_parser = parse_argument)]
    pub(crate) build_args: Vec<(String, Option<String>)>,
    /// A secret for RUN --mount=type=secret: `id=ID,src=FILE` or `id=ID,env=VARIABLE`.
    #[arg(long = "secret", value_name = "ID", value_parser = Secret::parse)]
    pub(crate) secrets: Vec<Secret>,
    /// An SSH agent for RUN --mount=type=ssh: `default` or `ID=SOCKET`.
    #[arg(long, value_name = "ID[=SOCKET]", value_parser = parse_ssh)]
    pub(crate) ssh: Vec<(String, PathBuf)>,
    /// One more context: `NAME=FOLDER` or `NAME=docker-image://IMAGE`.
    #[arg(long = "build-context", value_name = "NAME=PLACE", value_parser = parse_build_arg)]
    pub(crate) contexts: Vec<(String, String)>,
    /// A label for the image; may be given again.
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = parse_build_arg)]
    pub(crate) labels: Vec<(String, String)>,
    /// Run every step, whatever is in the cache.
    #[arg(long)]
    pub(crate) no_cache: bool,
    /// Ask registries for base images that are here already.
    #[arg(long)]
    pub(crate) pull: bool,
    /// The platform to build for: linux/amd64 or linux/arm64 [default: this machine's].
    #[arg(long)]
    pub(crate) platform: Option<String>,
    /// How far RUN reaches.
    #[arg(long, value_enum, default_value_t = Network::Default)]
    pub(crate) network: Network,
    /// What RUN may ask for: `network.host`.
    #[arg(long = "allow", value_name = "WHAT", value_parser = ["network.host"])]
    pub(crate) allow: Vec<String>,
    /// A network that RUN may reach although it is private or this machine's; may be given again.
    #[arg(
        long = "egress-allow",
        value_name = "NETWORK",
        env = "BERTH_EGRESS_ALLOW",
        value_delimiter = ','
    )]
    pub(crate) egress_allow: Vec<String>,
    /// How what happens is shown.
    #[arg(long, value_enum, default_value_t = ProgressKind::Auto)]
    pub(crate) progress: ProgressKind,
    /// Write the image's digest to this file.
    #[arg(long, value_name = "FILE")]
    pub(crate) iidfile: Option<PathBuf>,
    /// Write what is known of the image to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    pub(crate) metadata_file: Option<PathBuf>,
    /// An image or a cache in a registry that spares steps: `IMAGE` or `type=registry,ref=IMAGE`.
    #[arg(long, value_name = "IMAGE", value_parser = CacheFrom::parse)]
    pub(crate) cache_from: Vec<CacheFrom>,
    /// Where the cache goes: `type=inline` writes it into the image,
    /// `type=registry,ref=IMAGE[,mode=max]` pushes it, with `mode=max` that of every stage.
    #[arg(long, value_name = "TYPE", value_parser = CacheTo::parse)]
    pub(crate) cache_to: Vec<CacheTo>,
    /// Which program builds.
    #[arg(long, value_enum, default_value_t = ImageBuilder::Berth)]
    pub(crate) builder: ImageBuilder,
    #[command(flatten)]
    pub(crate) mirrors: Mirrors,
}

/// How far RUN reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Network {
    /// The internet.
    Default,
    /// Nowhere.
    None,
    /// Whatever this machine reaches; its own loopback is not the step's.
    Host,
}

/// How a build is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProgressKind {
    /// `tty` on a terminal, `plain` elsewhere.
    Auto,
    /// Steps under way, and a line for each that is done.
    Tty,
    /// Every line, numbered.
    Plain,
    /// An object for each event, on standard output.
    #[value(alias = "rawjson")]
    Json,
}

/// Who builds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ImageBuilder {
    Berth,
    Docker,
    Podman,
    Buildah,
}

/// `--secret`
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Secret {
    pub(crate) id: String,
    pub(crate) source: SecretFrom,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SecretFrom {
    File(PathBuf),
    Variable(String),
}

impl Secret {
    fn parse(text: &str) -> Result<Self, String> {
        let (mut id, mut source, mut kind) = (None, None, None);
        for field in text.split(',') {
            match split(field, '=', "id=ID,src=FILE or id=ID,env=VARIABLE")? {
                (key, value) if key == "id" => id = Some(value),
                (key, value) if key == "env" => source = Some(SecretFrom::Variable(value)),
                (key, value) if key == "src" || key == "source" => {
                    source = Some(SecretFrom::File(value.into()));
                }
                (key, value) if key == "type" => kind = Some(value),
                (key, _) => return Err(format!("a secret has no `{key}`")),
            }
        }
        let id = id.filter(|id| !id.is_empty()).ok_or("a secret needs an `id`")?;
        // As docker: a secret that says nothing else is a variable or a file of its name.
        let of_name = || match kind.as_deref() {
            Some("env") => SecretFrom::Variable(id.clone()),
            Some("file") => SecretFrom::File(id.clone().into()),
            _ if std::env::var_os(&id).is_some() => SecretFrom::Variable(id.clone()),
            _ => SecretFrom::File(id.clone().into()),
        };
        let source = match (source, kind.as_deref()) {
            (Some(SecretFrom::File(path)), Some("env")) => {
                SecretFrom::Variable(path.to_string_lossy().into_owned())
            }
            (Some(source), _) => source,
            (None, _) => of_name(),
        };
        Ok(Self { id, source })
    }
}

/// `--cache-from`
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CacheFrom(pub(crate) String);

impl CacheFrom {
    fn parse(text: &str) -> Result<Self, String> {
        if !text.contains('=') {
            return Ok(Self(text.to_owned()));
        }
        match fields(text).as_slice() {
            [("type", "registry"), ("ref", reference)]
            | [("ref", reference), ("type", "registry")] => Ok(Self((*reference).to_owned())),
            _ => Err("only `IMAGE` and `type=registry,ref=IMAGE` are supported".to_owned()),
        }
    }
}

/// `--cache-to`
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CacheTo {
    Inline,
    Registry { reference: String, all_stages: bool },
}

impl CacheTo {
    fn parse(text: &str) -> Result<Self, String> {
        let usage = || "only `type=inline` and `type=registry,ref=IMAGE[,mode=max]` are supported";
        let (mut kind, mut reference, mut all_stages) = ("", None, false);
        for (key, value) in fields(text) {
            match (key, value) {
                ("type", value) => kind = value,
                ("ref", value) if !value.is_empty() => reference = Some(value.to_owned()),
                ("mode", "min") => all_stages = false,
                ("mode", "max") => all_stages = true,
                _ => return Err(usage().to_owned()),
            }
        }
        match (kind, reference) {
            ("inline", None) => Ok(Self::Inline),
            ("registry", Some(reference)) => Ok(Self::Registry { reference, all_stages }),
            _ => Err(usage().to_owned()),
        }
    }
}

fn fields(text: &str) -> Vec<(&str, &str)> {
    text.split(',').map(|field| field.split_once('=').unwrap_or((field, ""))).collect()
}

/// `KEY=VALUE`, or `KEY` whose value is in the environment; nothing is given when it is not there.
fn parse_argument(text: &str) -> Result<(String, Option<String>), String> {
    match text.split_once('=') {
        _ if text.is_empty() => Err("a build argument needs a name".to_owned()),
        None => Ok((text.to_owned(), std::env::var(text).ok())),
        Some(_) => parse_build_arg(text).map(|(name, value)| (name, Some(value))),
    }
}

fn parse_ssh(text: &str) -> Result<(String, PathBuf), String> {
    let (id, socket) = match text.split_once('=') {
        Some((id, socket)) => (id, Some(PathBuf::from(socket))),
        None => (text, None),
    };
    let agent = || std::env::var_os("SSH_AUTH_SOCK").map(PathBuf::from);
    let socket = socket.or_else(agent).ok_or("there is no SSH agent: SSH_AUTH_SOCK is not set")?;
    if socket.is_file() {
        let path = socket.display();
        return Err(format!("{path} is a key: `ssh-add {path}`, and give the agent: `{id}`"));
    }
    Ok((id.to_owned(), socket))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_in_a_file_or_a_variable() {
        let secret = |source| Ok(Secret { id: "a".to_owned(), source });
        let file = |path: &str| secret(SecretFrom::File(path.into()));
        let variable = |name: &str| secret(SecretFrom::Variable(name.into()));
        for (text, expected) in [
            ("id=a,src=/f", file("/f")),
            ("source=/f,id=a", file("/f")),
            ("id=a,env=V", variable("V")),
            ("id=a,type=env", variable("a")),
            ("id=a,type=env,src=V", variable("V")),
            ("id=a", file("a")),
        ] {
            assert_eq!(Secret::parse(text), expected, "{text}");
        }
        for bad in ["", "src=/f", "id=,src=/f", "id=a,colour=red", "a"] {
            assert!(Secret::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn caches_are_images() {
        let image = Ok(CacheFrom("a/b:1".into()));
        assert_eq!(CacheFrom::parse("a/b:1"), image);
        assert_eq!(CacheFrom::parse("type=registry,ref=a/b:1"), image);
        assert!(CacheFrom::parse("type=gha").is_err());
        assert_eq!(CacheTo::parse("type=inline"), Ok(CacheTo::Inline));
        let registry = |all_stages| Ok(CacheTo::Registry { reference: "r/c:1".into(), all_stages });
        assert_eq!(CacheTo::parse("type=registry,ref=r/c:1"), registry(false));
        assert_eq!(CacheTo::parse("mode=max,ref=r/c:1,type=registry"), registry(true));
        for bad in ["type=local,dest=x", "type=registry", "type=inline,ref=x", "r/c:1", "mode=all"]
        {
            assert!(CacheTo::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_key_is_not_taken_for_an_agent() {
        let key = tempfile::NamedTempFile::new().unwrap();
        let error = parse_ssh(&format!("default={}", key.path().display())).unwrap_err();
        assert!(error.contains("ssh-add") && error.contains("`default`"), "{error}");
        assert_eq!(parse_ssh("a=/no/agent"), Ok(("a".to_owned(), "/no/agent".into())));
    }

    #[test]
    fn a_build_argument_may_have_its_value_in_the_environment() {
        assert_eq!(parse_argument("A=b=c"), Ok(("A".into(), Some("b=c".into()))));
        assert_eq!(parse_argument("A="), Ok(("A".into(), Some(String::new()))));
        assert_eq!(parse_argument("BERTH_NOT_SET"), Ok(("BERTH_NOT_SET".into(), None)));
        assert!(parse_argument("").is_err() && parse_argument("=x").is_err());
    }
}

//! `POST /build`: a Dockerfile and its context as one tar archive, the classic way.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File};
use std::io::{Cursor, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::sync::Arc;

use http::HeaderMap;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use image::{
    BuildRequest, Credentials, Ids, LiveTree, Reference, RunNetwork, UnpackLimits, Upload,
};
use serde_json::json;

use super::Inner;
use super::api::Call;
use super::error::EngineError;
use super::images::{Images, parse};
use super::progress::Messages;
use super::reply::Answer;
use super::{auth, image_calls};
use crate::docker_api::archives;
use crate::docker_api::path::Query;

/// Longest context, or archive of images.
pub(super) const MOST_BYTES: u64 = 100_000_000_000;

/// Where contexts are while they are built, in the engine's folder.
const CONTEXTS: &str = "contexts";

/// Parameters that change the result and are not done here.
const REFUSED: [&str; 12] = [
    "remote",
    "squash",
    "cachefrom",
    "extrahosts",
    "memory",
    "memswap",
    "cpushares",
    "cpuperiod",
    "cpuquota",
    "cpusetcpus",
    "cgroupparent",
    "isolation",
];

/// What a build is asked for, but for its context.
#[derive(Debug)]
struct Asked {
    dockerfile: String,
    tags: Vec<Reference>,
    build_args: BTreeMap<String, String>,
    target: Option<String>,
    no_cache: bool,
    quiet: bool,
    pull: bool,
    network: RunNetwork,
    labels: BTreeMap<String, String>,
    credentials: BTreeMap<String, Credentials>,
}

/// `POST /build?t=&dockerfile=&buildargs=…`
pub(super) async fn build(engine: &Arc<Inner>, call: Call) -> Answer {
    let target = call.target.clone();
    let query = Query(target.split_once('?').map_or("", |(_, query)| query));
    let asked = match Asked::of(query, &call.headers) {
        Ok(asked) => asked,
        Err(error) => {
            // Who still writes reads no answer.
            drain(call.body).await;
            return Err(error);
        }
    };
    let context = match archives::receive_up_to(engine.images.store(), call.body, MOST_BYTES).await
    {
        Ok(context) => context,
        Err(reply) => return Ok(reply.into_http()),
    };
    let contexts = engine.dir.join(CONTEXTS);
    Ok(image_calls::told(engine, move |images, messages| {
        run(&contexts, images, asked, context, messages)
    }))
}

/// Reads a body that nobody wants to its end.
async fn drain(mut body: Incoming) {
    while body.frame().await.is_some_and(|frame| frame.is_ok()) {}
}

impl Asked {
    fn of(query: Query<'_>, headers: &HeaderMap) -> Result<Self, EngineError> {
        for key in REFUSED {
            let value = query.get(key).unwrap_or_default();
            if !matches!(value.as_str(), "" | "0" | "null" | "[]" | "false" | "default") {
                return Err(EngineError::NotSupported(format!("a build with \"{key}\"")));
            }
        }
        if query.get("version").as_deref() == Some("2") {
            let text = "a build by BuildKit (set DOCKER_BUILDKIT=0)";
            return Err(EngineError::NotSupported(text.to_owned()));
        }
        super::create::platform(query.get("platform").as_deref())?;
        let wrong = |key: &str| EngineError::BadParameter(format!("\"{key}\" is no JSON object"));
        let map = |key: &str| -> Result<BTreeMap<String, Option<String>>, EngineError> {
            match query.get(key).filter(|text| !text.is_empty() && text != "null") {
                Some(text) => serde_json::from_str(&text).map_err(|_| wrong(key)),
                None => Ok(BTreeMap::new()),
            }
        };
        let labels = map("labels")?.into_iter();
        let labels = labels.map(|(key, value)| (key, value.unwrap_or_default())).collect();
        // An argument without a value is the caller's own, which is not here.
        let build_args = map("buildargs")?;
        let build_args = build_args.into_iter().filter_map(|(key, value)| Some((key, value?)));
        let tags = query.all("t");
        let tags = tags.iter().filter(|tag| !tag.is_empty()).map(|tag| parse(tag));
        let credentials = headers.get("x-registry-config").and_then(|value| value.to_str().ok());
        Ok(Self {
            dockerfile: query
                .get("dockerfile")
                .filter(|f| !f.is_empty())
                .unwrap_or("Dockerfile".into()),
            tags: tags.collect::<Result<_, _>>()?,
            build_args: build_args.collect(),
            target: query.get("target").filter(|target| !target.is_empty()),
            no_cache: query.flag("nocache"),
            quiet: query.flag("q"),
            pull: query
                .get("pull")
                .is_some_and(|pull| !matches!(pull.as_str(), "" | "0" | "false")),
            network: match query.get("networkmode").as_deref() {
                None | Some("" | "default" | "bridge") => RunNetwork::Default,
                Some("none") => RunNetwork::None,
                Some("host") => RunNetwork::Host,
                Some(other) => {
                    let text = format!("a build with --network {other}");
                    return Err(EngineError::NotSupported(text));
                }
            },
            labels,
            credentials: auth::registry_config(credentials)?,
        })
    }
}

/// Takes away what builds left that were killed, and makes a place for those to come.
pub(super) fn clear_contexts(engine: &Path) -> std::io::Result<()> {
    let contexts = engine.join(CONTEXTS);
    match fs_err::remove_dir_all(&contexts) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    DirBuilder::new().recursive(true).mode(0o700).create(contexts)
}

/// Unpacks the context and builds.
fn run(
    contexts: &Path,
    images: &Images,
    asked: Asked,
    context: Upload,
    messages: &Messages,
) -> Result<(), EngineError> {
    let failed = |what: &str, error: std::io::Error| {
        EngineError::Failed(format!("failed to {what}: {error}"))
    };
    let folder = tempfile::tempdir_in(contexts);
    let folder = folder.map_err(|error| failed("make a folder for the context", error))?;
    let root = File::open(folder.path()).map_err(|e| failed("open the context's folder", e))?;
    let archive = context.reader().map_err(|error| failed("read the context", error))?;
    let archive = decompressed(archive).map_err(|error| failed("read the context", error))?;
    LiveTree::new(OwnedFd::from(root), Ids::identity())
        .unpack(archive, Path::new("/"), UnpackLimits::default())
        .map_err(|error| EngineError::BadParameter(format!("the build's context: {error}")))?;
    let dockerfile = folder.path().join(inside(&asked.dockerfile)?);
    if !dockerfile.exists() {
        let text = format!("Cannot locate specified Dockerfile: {}", asked.dockerfile);
        return Err(EngineError::BadParameter(text));
    }
    let mut request = BuildRequest::new(dockerfile, folder.path());
    request.build_args = asked.build_args;
    request.target = asked.target;
    request.no_cache = asked.no_cache;
    request.always_pull = asked.pull;
    request.network = asked.network;
    // Who may use this socket may use the host's network.
    request.allow_host_network = asked.network == RunNetwork::Host;
    request.labels = asked.labels;
    request.pull = images.pull_options().clone();
    request.pull.credentials.extend(asked.credentials);
    let built = if asked.quiet {
        images.build_quietly(&request, &asked.tags, messages)
    } else {
        images.build(&request, &asked.tags, messages).map(|_| ())
    };
    built.map_err(|error| of_sender(error, folder.path()))
}

/// A failure with paths as the sender of the context knows them.
fn of_sender(error: EngineError, context: &Path) -> EngineError {
    let EngineError::Build(build) = error else { return error };
    let text = build.to_string();
    let text = text.replace(&format!("{}/", context.display()), "");
    let text = text.replace(&context.display().to_string(), "the context");
    EngineError::BuildSent { text, hint: build.hint() }
}

/// The archive as it was before `gzip`, if that was used; the `docker` command does not.
fn decompressed(mut archive: impl Read + 'static) -> std::io::Result<Box<dyn Read>> {
    let mut first = Vec::new();
    (&mut archive).take(2).read_to_end(&mut first)?;
    let gzip = first == [0x1f, 0x8b];
    let whole = Cursor::new(first).chain(archive);
    Ok(if gzip { Box::new(flate2::read::MultiGzDecoder::new(whole)) } else { Box::new(whole) })
}

/// A path that stays in the context.
fn inside(path: &str) -> Result<&Path, EngineError> {
    let path = Path::new(path.trim_start_matches('/'));
    let stays = path
        .components()
        .all(|part| matches!(part, std::path::Component::Normal(_) | std::path::Component::CurDir));
    match stays {
        true => Ok(path),
        false => Err(EngineError::BadParameter(format!(
            "Forbidden path outside the build context: {}",
            path.display()
        ))),
    }
}

impl Images {
    /// Builds an image and tells its id alone; all the rest when it fails.
    fn build_quietly(
        &self,
        request: &BuildRequest,
        tags: &[Reference],
        messages: &Messages,
    ) -> Result<(), EngineError> {
        let (quiet, held) = messages.held();
        match self.build(request, tags, &quiet) {
            Ok(digest) => messages.stream(format!("{}\n", self.id_of(&digest)?)),
            Err(error) => {
                held.lock().expect("no holder of this lock panics").drain(..).for_each(|held| {
                    messages.send(held);
                });
                return Err(error);
            }
        }
        Ok(())
    }

    /// Builds an image, names it, and tells how in Docker's words.
    ///
    /// # Errors
    /// The build fails, or the store cannot be written.
    pub fn build(
        &self,
        request: &BuildRequest,
        tags: &[Reference],
        messages: &Messages,
    ) -> Result<image::Digest, EngineError> {
        let image = self.store().build(request, self.run_step(), &messages.steps())?;
        for tag in tags {
            self.store().tag(tag, &image.digest)?;
        }
        let id = self.id_of(&image.digest)?;
        messages.send(json!({"aux": {"ID": id.as_str()}}));
        messages.stream(format!("Successfully built {}\n", &id.short()));
        for tag in tags {
            messages.stream(format!("Successfully tagged {}\n", tag.familiar()));
        }
        Ok(image.digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dockerfile_stays_in_its_context() {
        assert!(inside("./a/Dockerfile").is_ok() && inside("/Dockerfile").is_ok());
        assert!(inside("../Dockerfile").is_err());
    }

    #[test]
    fn what_changes_the_result_and_is_not_done_is_refused() {
        let asked = |query: &str| Asked::of(Query(query), &HeaderMap::new());
        let usual = "t=a&t=b:1&buildargs=%7B%22A%22%3A%221%22%2C%22B%22%3Anull%7D&cachefrom=%5B%5D\
            &memory=0&labels=%7B%7D&rm=1&networkmode=default&version=1";
        let usual = asked(usual).unwrap();
        assert_eq!((usual.tags.len(), usual.build_args.len()), (2, 1));
        assert!(usual.network == RunNetwork::Default && !usual.no_cache);
        assert!(asked("networkmode=host").unwrap().network == RunNetwork::Host);
        for query in [
            "networkmode=container%3Ax",
            "squash=1",
            "remote=https%3A%2F%2Fx",
            "version=2",
            "platform=linux%2Fs390x",
        ] {
            assert!(asked(query).is_err(), "{query}");
        }
    }
}

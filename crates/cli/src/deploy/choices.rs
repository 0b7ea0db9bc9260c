//! Images that objects choose from (`scheduling_policy: "durable_object"`): a version of the Worker names
//! them, so that they come and go with its code.

use std::collections::BTreeMap;
use std::time::Duration;

use ::project::config::Config;
use image::Reference;
use model::ApplicationImages;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::api::{Client, Request, failed};
use crate::error::{CliError, Kind};
use crate::printer::Printer;

/// For each application, by its name, what its images are called in registries, by their names.
pub(crate) type Choices = BTreeMap<String, BTreeMap<String, String>>;

/// How long the platform may take to get an image; wrangler's.
const PATIENCE: Duration = Duration::from_secs(15 * 60);

/// Between two questions whether it is there. The platform takes its time to answer, too.
const PAUSE: Duration = Duration::from_secs(1);

/// The repository of one, which is wrangler's, unless that makes no name of its name.
pub(super) fn repository(worker: &str, class: &str, name: &str) -> String {
    let text = format!("{worker}-{class}-{name}").to_lowercase();
    let kept = |more: &str| {
        let is_kept = |c: char| c.is_ascii_alphanumeric() || more.contains(c);
        let parts = text.split(|c: char| !is_kept(c)).filter(|part| !part.is_empty());
        parts.collect::<Vec<_>>().join("-").trim_matches('-').to_owned()
    };
    let wranglers = kept("._-");
    match wranglers.parse::<Reference>() {
        Ok(_) => wranglers,
        Err(_) => kept(""),
    }
}

/// Lets the platform get all of them, so that the first start of one waits for nothing.
///
/// # Errors
/// There is one that it cannot get.
pub(super) async fn prepare(
    client: &Client,
    choices: &Choices,
    printer: &Printer,
) -> Result<(), CliError> {
    let mut all = JoinSet::new();
    for (application, images) in choices {
        for (name, image) in images {
            let preparation = Preparation {
                client: client.clone(),
                printer: printer.clone(),
                what: format!("the image \"{name}\" of {application}"),
                image: image.clone(),
            };
            all.spawn(preparation.done());
        }
    }
    while let Some(joined) = all.join_next().await {
        joined.map_err(|error| CliError::failure("prepare an image", error))??;
    }
    Ok(())
}

/// An image that the platform gets.
struct Preparation {
    client: Client,
    printer: Printer,
    /// What it is to people.
    what: String,
    image: String,
}

#[derive(Deserialize)]
struct Answer {
    status: Status,
    #[serde(default)]
    reason: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Pending,
    Ready,
    Error,
}

impl Preparation {
    async fn done(self) -> Result<(), CliError> {
        let what = &self.what;
        let ready = tokio::time::timeout(PATIENCE, self.ready()).await;
        let minutes = PATIENCE.as_secs() / 60;
        ready.unwrap_or_else(|_| {
            let text = format!("the platform has not got {what} within {minutes} minutes");
            Err(CliError::new(Kind::Failure, text)
                .hint("deploy again: it goes on where it was; nothing has changed so far"))
        })?;
        self.printer.success(format_args!("The platform has {what}"));
        Ok(())
    }

    async fn ready(&self) -> Result<(), CliError> {
        let Self { client, printer, what, image } = self;
        let path = client.path("/containers/image-preparations");
        let mut is_told = false;
        loop {
            let request = Request::post(path.clone()).json(&json!({ "image": image }));
            let asked = client.ask::<Answer>(request).await;
            let answer = asked.map_err(failed("let the platform get an image"))?;
            match answer.status {
                Status::Ready => return Ok(()),
                Status::Error => {
                    let reason = answer.reason.unwrap_or_else(|| "no reason is given".to_owned());
                    let text = format!("the platform cannot get {what}, {image}: {reason}");
                    return Err(CliError::new(Kind::Failure, text).hint(
                        "name one that it can pull; `berth containers registries configure` gives it a \
                         registry's password",
                    ));
                }
                Status::Pending => {}
            }
            if !is_told {
                printer.info(format_args!("The platform is getting {what}"));
            }
            is_told = true;
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Those of the version that serves, which a version keeps whose containers are left alone.
pub(super) async fn kept(client: &Client, config: &Config) -> Result<Choices, CliError> {
    let applications = config.containers.iter().map(|container| &container.application);
    let choosing: Vec<_> =
        applications.filter(|it| matches!(it.images, ApplicationImages::Named(_))).collect();
    if choosing.is_empty() {
        return Ok(Choices::new());
    }
    let worker = client.path(&format!("/workers/scripts/{}", config.name));
    let refused = failed("ask which images the Worker's objects choose from");
    let deployments: Option<Value> =
        client.find(Request::get(format!("{worker}/deployments"))).await.map_err(&refused)?;
    let newest = deployments.map(|all| all["deployments"][0]["versions"][0]["version_id"].clone());
    let Some(newest) = newest.as_ref().and_then(Value::as_str) else { return Ok(Choices::new()) };
    let version: Value =
        client.ask(Request::get(format!("{worker}/versions/{newest}"))).await.map_err(&refused)?;
    let kept = choosing.into_iter().map(|application| {
        (application.name.clone(), images_of(&version, &application.class_name))
    });
    Ok(kept.collect())
}

/// What the objects of a class choose from with this version.
fn images_of(version: &Value, class: &str) -> BTreeMap<String, String> {
    let containers = version["resources"]["script_runtime"]["containers"].as_array();
    let mut containers = containers.into_iter().flatten();
    let own = containers.find(|container| container["class_name"] == json!(class));
    let images = own.and_then(|container| container["images"].as_object()).into_iter().flatten();
    images.filter_map(|(name, image)| Some((name.clone(), image.as_str()?.to_owned()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_is_called_as_wrangler_calls_it_or_at_least_as_registries_allow() {
        for (class, name, expected) in [
            ("MyContainer", "py", "app-mycontainer-py"),
            ("C", "python 3.12_x", "app-c-python-3.12_x"),
            ("C", "The other one!", "app-c-the-other-one"),
            ("_C", "a..b", "app-c-a-b"),
        ] {
            assert_eq!(repository("app", class, name), expected);
        }
    }

    #[test]
    fn a_version_tells_which_images_a_class_has() {
        let version = json!({"resources": {"script_runtime": {"containers": [
            {"class_name": "Plain", "name": "plain"},
            {"class_name": "C", "name": "c", "images": {"py": "r/py@sha256:0"}},
        ]}}});
        let images = BTreeMap::from([("py".to_owned(), "r/py@sha256:0".to_owned())]);
        assert_eq!(images_of(&version, "C"), images);
        assert!(images_of(&version, "Plain").is_empty() && images_of(&version, "New").is_empty());
        assert!(images_of(&json!({}), "C").is_empty());
    }
}

//! A project that says by its answers which of its versions they come from.

use serde_json::{Value, json};

use crate::client::Client;
use crate::platform::Platform;
use crate::project::Project;
use crate::wait::until;

/// Where its application is.
const APPLICATIONS: &str = "/accounts/local/containers/applications";

/// A project whose code and image say their number: `hello`, whose rollouts have one step.
#[derive(Debug)]
pub struct Numbered {
    /// The project.
    pub project: Project,
    number: usize,
}

impl Numbered {
    /// The one with the number 0.
    #[must_use]
    pub fn new() -> Self {
        let project = Project::example("hello");
        // A deploy on a slow machine takes longer than its containers sleep after.
        project.replace("src/index.ts", "sleepAfter = \"10s\"", "sleepAfter = \"10m\"");
        project.replace("src/index.ts", "Available endpoints:", "code 0;");
        project.replace("src/index.ts", "MESSAGE: ", "UNUSED: ");
        project.replace("Dockerfile", "EXPOSE 8080", "EXPOSE 8080\nENV MESSAGE=image-0");
        project.configure(|config| {
            config["containers"][0]["rollout_step_percentage"] = json!(100);
            config["containers"][0]["rollout_active_grace_period"] = json!(0);
        });
        Self { project, number: 0 }
    }

    /// The number of its code and its image.
    #[must_use]
    pub fn number(&self) -> usize {
        self.number
    }

    /// Gives code and image the next number.
    pub fn change(&mut self) {
        let (old, new) = (self.number, self.number + 1);
        self.project.replace("src/index.ts", &format!("code {old};"), &format!("code {new};"));
        self.project.replace("Dockerfile", &format!("=image-{old}"), &format!("=image-{new}"));
        self.number = new;
    }

    /// What a deploy of it says of the version.
    #[must_use]
    pub fn message(&self) -> String {
        format!("code {};", self.number)
    }

    /// `berth deploy`.
    ///
    /// # Panics
    /// It fails.
    #[track_caller]
    pub fn deploy(&self, platform: &Platform) {
        let message = self.message();
        let deployed = platform.client(&self.project, &["deploy", "--message", &message]);
        deployed.assert_succeeds();
    }

    /// Its Worker on a platform.
    #[must_use]
    pub fn worker(platform: &Platform) -> Client {
        platform.worker("hello-containers")
    }

    /// The number of the code that answers. The platform must say the same.
    ///
    /// # Panics
    /// It says something else, or there is no answer.
    #[must_use]
    #[track_caller]
    pub fn code(platform: &Platform) -> usize {
        let answers = number(&Self::worker(platform).get("/").text(), "code ");
        let ask = |path: &str| {
            let path = format!("/accounts/local/workers/scripts/hello-containers/{path}");
            platform.ask(platform.token(), "GET", &path, "").json()["result"].clone()
        };
        let deployments = ask("deployments");
        let id = &deployments["deployments"][0]["versions"][0]["version_id"];
        let version = ask(&format!("versions/{}", id.as_str().expect("an id")));
        let message = &version["annotations"]["workers/message"];
        assert_eq!(message.as_str(), Some(&format!("code {answers};")[..]), "{version}");
        answers
    }

    /// The number of the image that answers in this container. A request that a container works on when it
    /// is told to stop may fail, so it is asked again.
    ///
    /// # Panics
    /// None answers.
    #[must_use]
    pub fn image(platform: &Platform, container: usize) -> usize {
        until("a container answers", || {
            let answer = Self::worker(platform).get(&format!("/container/{container}")).text();
            answer.contains("image-").then(|| number(&answer, "image-"))
        })
    }
}

impl Numbered {
    /// Its application on a platform, as the API shows it.
    #[must_use]
    pub fn application(platform: &Platform) -> Value {
        let all = platform.ask(platform.token(), "GET", APPLICATIONS, "").json();
        all["result"][0].clone()
    }

    /// Where the rollouts of its application are in the API.
    ///
    /// # Panics
    /// It is not deployed.
    #[must_use]
    pub fn path_of_rollouts(platform: &Platform) -> String {
        let application = Self::application(platform);
        format!("{APPLICATIONS}/{}/rollouts", application["id"].as_str().expect("an id"))
    }

    /// The rollouts of its application, the newest first.
    ///
    /// # Panics
    /// It is not deployed.
    #[must_use]
    pub fn rollouts(platform: &Platform) -> Value {
        let path = Self::path_of_rollouts(platform);
        platform.ask(platform.token(), "GET", &path, "").json()["result"].clone()
    }

    /// The newest of them; `null` if there is none.
    ///
    /// # Panics
    /// It is not deployed.
    #[must_use]
    pub fn newest_rollout(platform: &Platform) -> Value {
        Self::rollouts(platform)[0].clone()
    }
}

impl Default for Numbered {
    fn default() -> Self {
        Self::new()
    }
}

/// The number after a word of an answer.
#[track_caller]
fn number(answer: &str, word: &str) -> usize {
    let rest = answer.split_once(word).map(|(_, rest)| rest).unwrap_or_default();
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next();
    digits.and_then(|digits| digits.parse().ok()).unwrap_or_else(|| panic!("{word}: {answer}"))
}

//! The example `hello` on a platform of its own, and what `berth containers` says there.

use serde_json::Value;

use crate::berth::{Berth, Outcome};
use crate::client::Client;
use crate::platform::Platform;
use crate::project::Project;

/// `hello` with a shell in its image, and its platform.
#[derive(Debug)]
pub struct Hello {
    /// The platform.
    pub platform: Platform,
    /// What is deployed.
    pub project: Project,
}

impl Hello {
    /// The name of its Worker, and of its container application.
    pub const NAME: &'static str = "hello-containers";

    /// A new platform, to which it is not deployed yet.
    ///
    /// # Panics
    /// The platform does not start.
    #[must_use]
    pub fn start() -> Self {
        let project = Project::example("hello");
        project.replace("Dockerfile", "FROM scratch", "FROM busybox");
        // What is looked at here takes longer than its containers sleep after.
        project.replace("src/index.ts", "sleepAfter = \"10s\"", "sleepAfter = \"10m\"");
        Self { platform: Platform::start(), project }
    }

    /// The same, deployed.
    ///
    /// # Panics
    /// It can't be.
    #[must_use]
    pub fn deployed() -> Self {
        let hello = Self::start();
        hello.deploy();
        hello
    }

    /// `berth deploy`.
    ///
    /// # Panics
    /// It fails.
    #[track_caller]
    pub fn deploy(&self) {
        self.platform.client(&self.project, &["deploy"]).assert_succeeds();
    }

    /// Asks its Worker.
    #[must_use]
    pub fn worker(&self) -> Client {
        self.platform.worker(Self::NAME)
    }

    /// The instance of an object, which is started if it is not there.
    ///
    /// # Panics
    /// None answers.
    #[must_use]
    pub fn instance(&self) -> String {
        crate::instance_id(&self.worker().get("/container/1"))
    }

    /// `berth containers <args>`.
    ///
    /// # Panics
    /// It does not end.
    #[must_use]
    pub fn berth(&self, args: &[&str]) -> Outcome {
        self.platform.client(&self.project, &[&["containers"][..], args].concat())
    }

    /// What `berth containers <args>` prints.
    ///
    /// # Panics
    /// It fails.
    #[track_caller]
    pub fn says(&self, args: &[&str]) -> String {
        let outcome = self.berth(args);
        outcome.assert_succeeds();
        outcome.stdout
    }

    /// The same as JSON.
    ///
    /// # Panics
    /// It fails, or prints none.
    #[must_use]
    #[track_caller]
    pub fn json(&self, args: &[&str]) -> Value {
        self.berth(args).json()
    }

    /// `berth containers exec <options> <instance> -- sh -c <script>`.
    ///
    /// # Panics
    /// It does not end.
    #[must_use]
    pub fn exec(&self, options: &[&str], script: &str, input: &str) -> Outcome {
        let instance = self.instance();
        let args = [&["containers", "exec"], options, &[&instance, "--", "sh", "-c", script]];
        Berth::new(&self.project, args.concat()).input(input).run()
    }

    /// What a script prints in an instance.
    ///
    /// # Panics
    /// It fails.
    #[track_caller]
    pub fn shell(&self, instance: &str, script: &str) -> String {
        self.says(&["exec", instance, "--", "sh", "-c", script])
    }
}

//! A project that is deployed to a platform of its own, and what is asked about it.

use serde_json::Value;

use crate::engine::Tool;
use crate::platform::Platform;
use crate::project::Project;
use crate::wrangler::Wrangler;

/// A project and its platform.
#[derive(Debug)]
pub struct Deployment {
    /// The platform.
    pub platform: Platform,
    /// Who deploys.
    pub wrangler: Wrangler,
    /// What is deployed.
    pub project: Project,
}

impl Deployment {
    /// A new platform for a project, which is not deployed yet.
    ///
    /// # Panics
    /// The platform does not start.
    #[must_use]
    pub fn new(wrangler: Wrangler, project: Project) -> Self {
        Self { platform: Platform::start(), wrangler, project }
    }

    /// `wrangler <args>` in the project.
    #[must_use]
    pub fn wrangler(&self, args: &[&str]) -> Tool {
        self.platform.wrangler(self.wrangler, &self.project, args)
    }

    /// What `wrangler <args>` says.
    ///
    /// # Panics
    /// It fails.
    #[track_caller]
    pub fn says(&self, args: &[&str]) -> String {
        self.wrangler(args).says()
    }

    /// `wrangler deploy`.
    ///
    /// # Panics
    /// It fails.
    #[track_caller]
    pub fn deploy(&self) {
        let _ = self.says(&["deploy"]);
    }

    /// The `result` of what the API answers below the account, with the first token.
    ///
    /// # Panics
    /// It is no success.
    #[track_caller]
    #[must_use]
    pub fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let path = format!("/accounts/local{path}");
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let reply = self.platform.ask(self.platform.token(), method, &path, &body);
        assert_eq!(reply.status, 200, "{method} {path}: {reply}");
        reply.json()["result"].clone()
    }

    /// The same for `GET`.
    ///
    /// # Panics
    /// It is no success.
    #[track_caller]
    #[must_use]
    pub fn get(&self, path: &str) -> Value {
        self.ask("GET", path, &Value::Null)
    }
}

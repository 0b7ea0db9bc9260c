//! Which endpoint a path means, and what a token must allow for it.

use http::{Method, StatusCode};
use percent_encoding::percent_decode_str;

use crate::envelope::Failure;
use crate::records::Scope;

/// An endpoint. Names in them are those of the path, decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Route {
    /// Endpoints of no account.
    User(UserRoute),
    /// What is asked for without one of the account's tokens.
    Open(OpenRoute),
    /// Endpoints below an account.
    Account(String, AccountRoute),
}

/// Endpoints whose requests prove by themselves that they are allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum OpenRoute {
    /// `GET /tails/<id>`: a WebSocket, by whose address alone a Worker is watched.
    Tail(String),
    /// `POST /workers/assets/upload`, with the hash of a single file: it has the token of an upload.
    UploadAssets(Option<String>),
}

/// Who is asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UserRoute {
    /// `GET /user/tokens/verify`
    VerifyToken,
    /// `GET /user`
    User,
    /// `GET /accounts`
    Accounts,
    /// `GET /memberships`
    Memberships,
}

/// What an account has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AccountRoute {
    /// `/workers/scripts`, `/workers/scripts/<name>/…`, `/workers/services/<name>` …
    Workers(WorkersRoute),
    /// `GET /containers/me`
    ContainersMe,
    /// `POST /containers/registries/<host>/credentials`
    Credentials(String),
    /// `GET /logs/audit`
    AuditLog,
    /// The rest of `/containers/…`
    Containers(ContainersRoute),
    /// `/berth/…`
    Berth(BerthRoute),
}

/// Endpoints that Cloudflare's API does not have. Logs, events and running programs are WebSockets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum BerthRoute {
    /// `POST /berth/instances/<id>/stop`
    Stop(String),
    /// `GET /berth/instances/<id>/log`
    Log(String),
    /// `POST /berth/instances/<id>/execs`
    CreateExec(String),
    /// `GET /berth/execs/<id>`
    StartExec(String),
    /// `POST /berth/applications/<id>/restart`
    Restart(String),
    /// `GET /berth/events`
    Events,
}

/// Endpoints of Workers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum WorkersRoute {
    ListScripts,
    AccountSubdomain,
    Namespaces,
    Service(String),
    DeleteService(String),
    /// `GET /workers/workers/<name>`
    Worker(String),
    /// `PATCH /workers/workers/<name>/versions/latest`
    PatchLatest(String),
    /// One script's, by its name.
    Script(String, ScriptRoute),
    /// `GET /workers/tails/by-consumer/<name>`
    TailConsumers,
    /// `GET /storage/kv/namespaces`: there are none.
    KvNamespaces,
}

/// Endpoints of one script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ScriptRoute {
    Put,
    Delete,
    Settings,
    PatchSettings,
    ScriptSettings,
    PatchScriptSettings,
    /// `GET …/content/v2`: the modules of a version.
    Content,
    Secrets,
    PutSecret,
    PatchSecrets,
    DeleteSecret(String),
    Versions,
    UploadVersion,
    Version(String),
    Deployments,
    Deploy,
    Subdomain,
    PutSubdomain,
    PutRoutes,
    PutDomains,
    Schedules,
    PutSchedules,
    References,
    StartAssets,
    Tails,
    MakeTail,
    DeleteTail(String),
}

/// Endpoints of containers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ContainersRoute {
    Applications,
    CreateApplication,
    Application(String),
    ModifyApplication(String),
    DeleteApplication(String),
    Rollouts(String),
    CreateRollout(String),
    /// The id of an application, and that of one of its rollouts.
    Rollout(String, String),
    UpdateRollout(String, String),
    DeleteRollout(String, String),
    /// What `wrangler containers list` shows.
    Dashboard,
    /// What `wrangler containers instances` shows.
    Instances(String),
    PrepareImage,
}

impl Route {
    /// The endpoint.
    ///
    /// # Errors
    /// There is none of that path; the answer names it.
    pub(crate) fn parse(method: &Method, path: &str) -> Result<Self, Failure> {
        let parts: Vec<String> = path
            .split('/')
            .filter(|part| !part.is_empty())
            .map(|part| percent_decode_str(part).decode_utf8_lossy().into_owned())
            .collect();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let found = match parts.as_slice() {
            ["client", "v4", "accounts", _, "workers", "assets", "upload", rest @ ..]
                if method == Method::POST && rest.len() < 2 =>
            {
                let hash = rest.first().map(|hash| (*hash).to_owned());
                Some(Self::Open(OpenRoute::UploadAssets(hash)))
            }
            ["client", "v4", "accounts", account, rest @ ..] => {
                account_route(method, rest).map(|route| Self::Account((*account).to_owned(), route))
            }
            ["client", "v4", "tails", id] if method == Method::GET => {
                Some(Self::Open(OpenRoute::Tail((*id).to_owned())))
            }
            ["client", "v4", rest @ ..] => user_route(method, rest).map(Self::User),
            _ => None,
        };
        found.ok_or_else(|| {
            let message =
                format!("Could not route to {method} {path}: Berth does not have it (yet)");
            Failure::new(StatusCode::NOT_FOUND, 7003, message)
        })
    }

    /// What a token must allow.
    pub(crate) fn scope(&self, method: &Method) -> Scope {
        match self {
            Self::Account(_, AccountRoute::AuditLog) => Scope::Admin,
            // A program that somebody runs may change whatever the instance may.
            Self::Account(_, AccountRoute::Berth(BerthRoute::StartExec(_))) => {
                Scope::ContainersWrite
            }
            _ if method == Method::GET => Scope::Read,
            Self::User(_) | Self::Open(_) => Scope::Read,
            // Whoever may look at a Worker may watch it.
            Self::Account(
                _,
                AccountRoute::Workers(WorkersRoute::Script(
                    _,
                    ScriptRoute::MakeTail | ScriptRoute::DeleteTail(_),
                )),
            ) => Scope::Read,
            Self::Account(_, AccountRoute::Workers(_)) => Scope::WorkersWrite,
            Self::Account(_, _) => Scope::ContainersWrite,
        }
    }
}

fn user_route(method: &Method, rest: &[&str]) -> Option<UserRoute> {
    Some(match (method, rest) {
        (&Method::GET, ["user", "tokens", "verify"]) => UserRoute::VerifyToken,
        (&Method::GET, ["user"]) => UserRoute::User,
        (&Method::GET, ["accounts"]) => UserRoute::Accounts,
        (&Method::GET, ["memberships"]) => UserRoute::Memberships,
        _ => return None,
    })
}

fn account_route(method: &Method, rest: &[&str]) -> Option<AccountRoute> {
    match rest {
        ["workers", rest @ ..] => workers_route(method, rest).map(AccountRoute::Workers),
        ["containers", "me"] if method == Method::GET => Some(AccountRoute::ContainersMe),
        ["containers", "registries", host, "credentials"] if method == Method::POST => {
            Some(AccountRoute::Credentials((*host).to_owned()))
        }
        ["berth", rest @ ..] => berth_route(method, rest).map(AccountRoute::Berth),
        ["logs", "audit"] if method == Method::GET => Some(AccountRoute::AuditLog),
        ["containers", rest @ ..] => containers_route(method, rest).map(AccountRoute::Containers),
        ["storage", "kv", "namespaces"] if method == Method::GET => {
            Some(AccountRoute::Workers(WorkersRoute::KvNamespaces))
        }
        _ => None,
    }
}

fn workers_route(method: &Method, rest: &[&str]) -> Option<WorkersRoute> {
    let name = |name: &&str| (*name).to_owned();
    Some(match (method, rest) {
        (&Method::GET, ["scripts"]) => WorkersRoute::ListScripts,
        (&Method::GET, ["subdomain"]) => WorkersRoute::AccountSubdomain,
        (&Method::GET, ["durable_objects", "namespaces"]) => WorkersRoute::Namespaces,
        (&Method::GET, ["services", service]) => WorkersRoute::Service(name(service)),
        (&Method::DELETE, ["services", service]) => WorkersRoute::DeleteService(name(service)),
        (&Method::GET, ["workers", worker]) => WorkersRoute::Worker(name(worker)),
        (&Method::PATCH, ["workers", worker, "versions", "latest"]) => {
            WorkersRoute::PatchLatest(name(worker))
        }
        (&Method::GET, ["tails", "by-consumer", _]) => WorkersRoute::TailConsumers,
        (_, ["scripts", script, rest @ ..]) => {
            WorkersRoute::Script(name(script), script_route(method, rest)?)
        }
        _ => return None,
    })
}

fn script_route(method: &Method, rest: &[&str]) -> Option<ScriptRoute> {
    Some(match (method, rest) {
        (&Method::PUT, []) => ScriptRoute::Put,
        (&Method::DELETE, []) => ScriptRoute::Delete,
        (&Method::GET, ["settings"]) => ScriptRoute::Settings,
        (&Method::PATCH, ["settings"]) => ScriptRoute::PatchSettings,
        (&Method::GET, ["content", "v2"]) => ScriptRoute::Content,
        (&Method::GET, ["script-settings"]) => ScriptRoute::ScriptSettings,
        (&Method::PATCH, ["script-settings"]) => ScriptRoute::PatchScriptSettings,
        (&Method::GET, ["secrets"]) => ScriptRoute::Secrets,
        (&Method::PUT, ["secrets"]) => ScriptRoute::PutSecret,
        (&Method::PATCH, ["secrets-bulk"]) => ScriptRoute::PatchSecrets,
        (&Method::DELETE, ["secrets", secret]) => ScriptRoute::DeleteSecret((*secret).to_owned()),
        (&Method::GET, ["versions"]) => ScriptRoute::Versions,
        (&Method::POST, ["versions"]) => ScriptRoute::UploadVersion,
        (&Method::GET, ["versions", id]) => ScriptRoute::Version((*id).to_owned()),
        (&Method::GET, ["deployments"]) => ScriptRoute::Deployments,
        (&Method::POST, ["deployments"]) => ScriptRoute::Deploy,
        (&Method::GET, ["subdomain"]) => ScriptRoute::Subdomain,
        (&Method::POST, ["subdomain"]) => ScriptRoute::PutSubdomain,
        (&Method::PUT, ["routes"]) => ScriptRoute::PutRoutes,
        (&Method::PUT, ["domains", "records"]) => ScriptRoute::PutDomains,
        (&Method::GET, ["schedules"]) => ScriptRoute::Schedules,
        (&Method::PUT, ["schedules"]) => ScriptRoute::PutSchedules,
        (&Method::GET, ["references"]) => ScriptRoute::References,
        (&Method::GET, ["tails"]) => ScriptRoute::Tails,
        (&Method::POST, ["tails"]) => ScriptRoute::MakeTail,
        (&Method::DELETE, ["tails", id]) => ScriptRoute::DeleteTail((*id).to_owned()),
        (&Method::POST, ["assets-upload-session"]) => ScriptRoute::StartAssets,
        _ => return None,
    })
}

fn berth_route(method: &Method, rest: &[&str]) -> Option<BerthRoute> {
    let name = |name: &&str| (*name).to_owned();
    Some(match (method, rest) {
        (&Method::POST, ["instances", id, "stop"]) => BerthRoute::Stop(name(id)),
        (&Method::GET, ["instances", id, "log"]) => BerthRoute::Log(name(id)),
        (&Method::POST, ["instances", id, "execs"]) => BerthRoute::CreateExec(name(id)),
        (&Method::GET, ["execs", id]) => BerthRoute::StartExec(name(id)),
        (&Method::POST, ["applications", id, "restart"]) => BerthRoute::Restart(name(id)),
        (&Method::GET, ["events"]) => BerthRoute::Events,
        _ => return None,
    })
}

fn containers_route(method: &Method, rest: &[&str]) -> Option<ContainersRoute> {
    let name = |name: &&str| (*name).to_owned();
    Some(match (method, rest) {
        (&Method::GET, ["applications"]) => ContainersRoute::Applications,
        (&Method::POST, ["applications"]) => ContainersRoute::CreateApplication,
        (&Method::GET, ["applications", id]) => ContainersRoute::Application(name(id)),
        (&Method::PATCH, ["applications", id]) => ContainersRoute::ModifyApplication(name(id)),
        (&Method::DELETE, ["applications", id]) => ContainersRoute::DeleteApplication(name(id)),
        (&Method::GET, ["applications", id, "rollouts"]) => ContainersRoute::Rollouts(name(id)),
        (&Method::POST, ["applications", id, "rollouts"]) => {
            ContainersRoute::CreateRollout(name(id))
        }
        (&Method::GET, ["applications", id, "rollouts", rollout]) => {
            ContainersRoute::Rollout(name(id), name(rollout))
        }
        (&Method::POST, ["applications", id, "rollouts", rollout]) => {
            ContainersRoute::UpdateRollout(name(id), name(rollout))
        }
        (&Method::DELETE, ["applications", id, "rollouts", rollout]) => {
            ContainersRoute::DeleteRollout(name(id), name(rollout))
        }
        (&Method::GET, ["dash", "applications"]) => ContainersRoute::Dashboard,
        (&Method::GET, ["dash", "applications", id, "instances"]) => {
            ContainersRoute::Instances(name(id))
        }
        (&Method::POST, ["image-preparations"]) => ContainersRoute::PrepareImage,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_wrangler_asks_for_is_found_and_all_else_is_named() {
        let path = "/client/v4/accounts/a/containers/registries/localhost%3A5000/credentials";
        let credentials = AccountRoute::Credentials("localhost:5000".into());
        let credentials = Route::Account("a".into(), credentials);
        assert_eq!(Route::parse(&Method::POST, path), Ok(credentials));
        for (method, path) in [(Method::GET, path), (Method::GET, "/"), (Method::PUT, "/client/v4")]
        {
            let failure = Route::parse(&method, path).unwrap_err();
            assert!(format!("{failure:?}").contains(path), "{failure:?}");
        }
    }

    #[test]
    fn looking_needs_less_than_changing() {
        let scope = |method: Method, path: &str| {
            Route::parse(&method, path).map(|route| route.scope(&method))
        };
        let script = "/client/v4/accounts/a/workers/scripts/w";
        assert_eq!(scope(Method::PUT, script), Ok(Scope::WorkersWrite));
        assert_eq!(scope(Method::GET, &format!("{script}/versions")), Ok(Scope::Read));
        let applications = "/client/v4/accounts/a/containers/applications";
        assert_eq!(scope(Method::POST, applications), Ok(Scope::ContainersWrite));
        assert_eq!(scope(Method::GET, "/client/v4/user"), Ok(Scope::Read));
        let berth = "/client/v4/accounts/a/berth";
        assert_eq!(scope(Method::GET, &format!("{berth}/instances/i/log")), Ok(Scope::Read));
        for (method, path) in [(Method::GET, "execs/e"), (Method::POST, "instances/i/execs")] {
            let needed = scope(method, &format!("{berth}/{path}"));
            assert_eq!(needed, Ok(Scope::ContainersWrite), "it is a shell");
        }
        let log = "/client/v4/accounts/a/logs/audit";
        assert_eq!(scope(Method::GET, log), Ok(Scope::Admin), "it names who else has a token");
    }
}

//! Which endpoint a path means, and what a token must allow for it.

#[cfg(test)]
mod documented;
pub(crate) mod table;

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
    /// Endpoints of zones, which belong to the account.
    Zones(ZonesRoute),
    /// Endpoints below an account.
    Account(String, AccountRoute),
}

/// Where clients look for a route's zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ZonesRoute {
    /// `GET /zones`
    Zones,
    /// `GET /zones/<id>/workers/routes`
    Routes(String),
}

/// Endpoints whose requests prove by themselves that they are allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum OpenRoute {
    /// `GET /openapi.json`: what there is.
    Document,
    /// `GET /tails/<id>`: a WebSocket, by whose address alone a Worker is watched.
    Tail(String),
    /// `GET /ssh/<id>`: a WebSocket of the bytes of SSH to an instance, with a ticket as its token.
    Ssh(String),
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
    /// `/secrets_store/…`
    SecretStores(SecretStoresRoute),
}

/// Endpoints that Cloudflare's API does not have. Logs, events, running programs and archives that are
/// read are WebSockets.
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
    /// `GET /berth/instances/<id>/file`
    File(String),
    /// `GET /berth/instances/<id>/archive`
    ReadArchive(String),
    /// `PUT /berth/instances/<id>/archive`
    WriteArchive(String),
    /// `GET /berth/instances/<id>/processes`
    Processes(String),
    /// `GET /berth/usage`
    Usage,
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
    TailConsumers(String),
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
    /// `GET /containers/instances/<id>/ssh`: a ticket for [`OpenRoute::Ssh`].
    SshTicket(String),
    PrepareImage,
    /// Those of others.
    Registries,
    AddRegistry,
    /// By its host.
    DeleteRegistry(String),
}

/// Endpoints of the Secrets Store: the id of a store, and that of one of its secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SecretStoresRoute {
    Stores,
    CreateStore,
    DeleteStore(String),
    Secrets(String),
    CreateSecrets(String),
    Secret(String, String),
    ChangeSecret(String, String),
    DeleteSecret(String, String),
    DuplicateSecret(String, String),
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
        let found = match parts.as_slice() {
            [client, version, rest @ ..] if client == "client" && version == "v4" => {
                table::find(method, rest)
            }
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
            // A program that somebody runs may change whatever the instance may, and files of an
            // instance may be secrets.
            Self::Account(
                _,
                AccountRoute::Berth(
                    BerthRoute::StartExec(_) | BerthRoute::File(_) | BerthRoute::ReadArchive(_),
                )
                | AccountRoute::Containers(ContainersRoute::SshTicket(_)),
            ) => Scope::ContainersWrite,
            _ if method == Method::GET => Scope::Read,
            Self::User(_) | Self::Open(_) | Self::Zones(_) => Scope::Read,
            // Whoever may look at a Worker may watch it.
            Self::Account(
                _,
                AccountRoute::Workers(WorkersRoute::Script(
                    _,
                    ScriptRoute::MakeTail | ScriptRoute::DeleteTail(_),
                )),
            ) => Scope::Read,
            Self::Account(_, AccountRoute::Workers(_) | AccountRoute::SecretStores(_)) => {
                Scope::WorkersWrite
            }
            Self::Account(_, _) => Scope::ContainersWrite,
        }
    }
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
        for path in ["instances/i/log", "instances/i/processes", "usage"] {
            assert_eq!(scope(Method::GET, &format!("{berth}/{path}")), Ok(Scope::Read), "{path}");
        }
        for (method, path) in [(Method::GET, "execs/e"), (Method::POST, "instances/i/execs")] {
            let needed = scope(method, &format!("{berth}/{path}"));
            assert_eq!(needed, Ok(Scope::ContainersWrite), "it is a shell");
        }
        for (method, path) in
            [(Method::GET, "file"), (Method::GET, "archive"), (Method::PUT, "archive")]
        {
            let needed = scope(method, &format!("{berth}/instances/i/{path}"));
            assert_eq!(needed, Ok(Scope::ContainersWrite), "files may be secrets");
        }
        let ticket = "/client/v4/accounts/a/containers/instances/i/ssh";
        assert_eq!(scope(Method::GET, ticket), Ok(Scope::ContainersWrite), "it leads to one");
        let log = "/client/v4/accounts/a/logs/audit";
        assert_eq!(scope(Method::GET, log), Ok(Scope::Admin), "it names who else has a token");
    }
}

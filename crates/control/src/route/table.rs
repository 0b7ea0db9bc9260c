//! Every endpoint there is: its method, its path below `/client/v4`, what it is for, and its route.
//!
//! Requests are routed by it, and the OpenAPI document is made from it.

use http::Method;
use schemars::{Schema, SchemaGenerator};
use serde_json::Value;

use super::{
    AccountRoute, BerthRoute, ContainersRoute, OpenRoute, Route, ScriptRoute, SecretStoresRoute,
    UserRoute, WorkersRoute, ZonesRoute,
};
use crate::plan::{ExecPlan, FileView, ProcessView};
use crate::{assets, external_registries, registries, secret_stores, wire};

/// An endpoint.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) method: Method,
    /// Parts in braces stand for any one part.
    pub(crate) path: &'static str,
    pub(crate) summary: &'static str,
    pub(crate) body: RequestBody,
    pub(crate) answer: Answer,
    /// The route, from what stands for the parts in braces, in their order.
    pub(super) route: fn(&[String]) -> Route,
}

/// Makes the schema of a type, with those of the types in it.
pub(crate) type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// What a request carries.
#[derive(Debug, Clone, Copy)]
pub(crate) enum RequestBody {
    Nothing,
    /// A value of this type.
    Json(SchemaOf),
    Form,
    Bytes,
}

/// What comes back when all is well.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Answer {
    /// A result of this type.
    One(SchemaOf),
    /// All there are of this type.
    List(SchemaOf),
    /// Some of this type, and a cursor to the next.
    Page(SchemaOf),
    /// A part of this type, and a token to the next: `per_page` and `page_token` ask for it.
    Part(SchemaOf),
    /// No result.
    Null,
    /// No result in an envelope, but the modules of a Worker as a form.
    Modules,
    /// The same: the OpenAPI document.
    Document,
    /// Another protocol.
    WebSocket,
}

const fn endpoint(
    method: Method,
    path: &'static str,
    body: RequestBody,
    answer: Answer,
    summary: &'static str,
    route: fn(&[String]) -> Route,
) -> Endpoint {
    Endpoint { method, path, summary, body, answer, route }
}

/// A line for each: what is sent and what is answered, both with the type of their JSON; what for; and
/// the route.
macro_rules! endpoints {
    ($($method:ident $path:literal $body:ident $(($sent:ty))? -> $answer:ident $(($got:ty))?,
        $summary:literal $route:expr;)*) => {
        &[$(endpoint(
            Method::$method,
            $path,
            RequestBody::$body $((SchemaGenerator::subschema_for::<$sent>))?,
            Answer::$answer $((SchemaGenerator::subschema_for::<$got>))?,
            $summary,
            $route,
        )),*]
    };
}

fn account(parts: &[String], route: AccountRoute) -> Route {
    Route::Account(parts[0].clone(), route)
}

fn workers(parts: &[String], route: WorkersRoute) -> Route {
    account(parts, AccountRoute::Workers(route))
}

fn script(parts: &[String], route: ScriptRoute) -> Route {
    workers(parts, WorkersRoute::Script(parts[1].clone(), route))
}

fn containers(parts: &[String], route: ContainersRoute) -> Route {
    account(parts, AccountRoute::Containers(route))
}

fn berth(parts: &[String], route: BerthRoute) -> Route {
    account(parts, AccountRoute::Berth(route))
}

fn stores(parts: &[String], route: SecretStoresRoute) -> Route {
    account(parts, AccountRoute::SecretStores(route))
}

/// Who asks, and what everybody may ask.
const USER: &[Endpoint] = endpoints! {
    GET "/user" Nothing -> One(wire::User), "The user that a token stands for" |_| Route::User(UserRoute::User);
    GET "/user/tokens/verify" Nothing -> One(wire::TokenState), "Whether a token counts" |_| Route::User(UserRoute::VerifyToken);
    GET "/accounts" Nothing -> List(wire::Account), "The accounts of a token" |_| Route::User(UserRoute::Accounts);
    GET "/memberships" Nothing -> List(wire::Membership), "The user's memberships" |_| Route::User(UserRoute::Memberships);
    GET "/zones" Nothing -> List(wire::Zone), "The zone of a host: any name is one" |_| Route::Zones(ZonesRoute::Zones);
    GET "/zones/{zone_id}/workers/routes" Nothing -> List(wire::ZoneRoute), "Routes of a zone's hosts" |p| Route::Zones(ZonesRoute::Routes(p[0].clone()));
    GET "/openapi.json" Nothing -> Document, "This document" |_| Route::Open(OpenRoute::Document);
    GET "/tails/{tail_id}" Nothing -> WebSocket, "Watch a Worker (WebSocket, `trace-v1`)" |p| Route::Open(OpenRoute::Tail(p[0].clone()));
    GET "/ssh/{instance_id}" Nothing -> WebSocket, "SSH to an instance (WebSocket of its bytes), with a ticket" |p| Route::Open(OpenRoute::Ssh(p[0].clone()));
    POST "/accounts/{account_id}/workers/assets/upload" Form -> One(wire::AssetsUploaded), "Upload static files, with a session's token" |_| Route::Open(OpenRoute::UploadAssets(None));
    POST "/accounts/{account_id}/workers/assets/upload/{hash}" Bytes -> One(wire::AssetsUploaded), "Upload one static file, with a session's token" |p| Route::Open(OpenRoute::UploadAssets(Some(p[1].clone())));
    GET "/accounts/{account_id}/logs/audit" Nothing -> Page(wire::AuditLine), "Who has changed what" |p| account(p, AccountRoute::AuditLog);
};

const WORKERS: &[Endpoint] = endpoints! {
    GET "/accounts/{account_id}/workers/scripts" Nothing -> List(wire::ListedScript), "List Workers" |p| workers(p, WorkersRoute::ListScripts);
    GET "/accounts/{account_id}/workers/subdomain" Nothing -> One(wire::AccountSubdomain), "The domain below which Workers have hosts" |p| workers(p, WorkersRoute::AccountSubdomain);
    GET "/accounts/{account_id}/workers/durable_objects/namespaces" Nothing -> List(wire::NamespaceView), "List Durable Object namespaces" |p| workers(p, WorkersRoute::Namespaces);
    GET "/accounts/{account_id}/workers/services/{script_name}" Nothing -> One(wire::Service), "A Worker as a service" |p| workers(p, WorkersRoute::Service(p[1].clone()));
    DELETE "/accounts/{account_id}/workers/services/{script_name}" Nothing -> Null, "Delete a Worker with its objects" |p| workers(p, WorkersRoute::DeleteService(p[1].clone()));
    GET "/accounts/{account_id}/workers/workers/{script_name}" Nothing -> One(wire::WorkerView), "A Worker with its address" |p| workers(p, WorkersRoute::Worker(p[1].clone()));
    PATCH "/accounts/{account_id}/workers/workers/{script_name}/versions/latest" Json(wire::LatestWish) -> One(wire::CopiedVersion), "A version like the newest, with other secrets" |p| workers(p, WorkersRoute::PatchLatest(p[1].clone()));
    GET "/accounts/{account_id}/workers/tails/by-consumer/{script_name}" Nothing -> List(wire::TailPair), "Workers whose tail consumer this one is" |p| workers(p, WorkersRoute::TailConsumers(p[1].clone()));
    GET "/accounts/{account_id}/storage/kv/namespaces" Nothing -> List(wire::Empty), "KV namespaces: there are none" |p| workers(p, WorkersRoute::KvNamespaces);
};

const SCRIPTS: &[Endpoint] = endpoints! {
    PUT "/accounts/{account_id}/workers/scripts/{script_name}" Form -> One(wire::UploadedScript), "Upload a version and deploy it" |p| script(p, ScriptRoute::Put);
    DELETE "/accounts/{account_id}/workers/scripts/{script_name}" Nothing -> Null, "Delete a Worker with its objects" |p| script(p, ScriptRoute::Delete);
    GET "/accounts/{account_id}/workers/scripts/{script_name}/settings" Nothing -> One(wire::VersionSettings), "Settings of the newest version" |p| script(p, ScriptRoute::Settings);
    PATCH "/accounts/{account_id}/workers/scripts/{script_name}/settings" Form -> One(wire::Bindings), "Change the secrets of what serves" |p| script(p, ScriptRoute::PatchSettings);
    GET "/accounts/{account_id}/workers/scripts/{script_name}/content/v2" Nothing -> Modules, "The modules of a version" |p| script(p, ScriptRoute::Content);
    GET "/accounts/{account_id}/workers/scripts/{script_name}/script-settings" Nothing -> One(wire::ScriptSettings), "Settings of all versions" |p| script(p, ScriptRoute::ScriptSettings);
    PATCH "/accounts/{account_id}/workers/scripts/{script_name}/script-settings" Json(wire::ScriptSettingsWish) -> One(Value), "Change settings of all versions" |p| script(p, ScriptRoute::PatchScriptSettings);
    GET "/accounts/{account_id}/workers/scripts/{script_name}/secrets" Nothing -> One(Vec<wire::SecretView>), "List secrets, without their texts" |p| script(p, ScriptRoute::Secrets);
    PUT "/accounts/{account_id}/workers/scripts/{script_name}/secrets" Json(wire::SecretText) -> One(wire::SecretView), "Set a secret" |p| script(p, ScriptRoute::PutSecret);
    PATCH "/accounts/{account_id}/workers/scripts/{script_name}/secrets-bulk" Json(wire::SecretsWish) -> One(Vec<wire::SecretView>), "Set and remove secrets" |p| script(p, ScriptRoute::PatchSecrets);
    DELETE "/accounts/{account_id}/workers/scripts/{script_name}/secrets/{secret_name}" Nothing -> Null, "Remove a secret" |p| script(p, ScriptRoute::DeleteSecret(p[2].clone()));
    GET "/accounts/{account_id}/workers/scripts/{script_name}/versions" Nothing -> One(wire::Versions), "List versions" |p| script(p, ScriptRoute::Versions);
    POST "/accounts/{account_id}/workers/scripts/{script_name}/versions" Form -> One(wire::VersionView), "Upload a version" |p| script(p, ScriptRoute::UploadVersion);
    GET "/accounts/{account_id}/workers/scripts/{script_name}/versions/{version_id}" Nothing -> One(wire::VersionView), "A version" |p| script(p, ScriptRoute::Version(p[2].clone()));
    GET "/accounts/{account_id}/workers/scripts/{script_name}/deployments" Nothing -> One(wire::Deployments), "List deployments" |p| script(p, ScriptRoute::Deployments);
    POST "/accounts/{account_id}/workers/scripts/{script_name}/deployments" Json(wire::DeploymentWish) -> One(wire::DeploymentView), "Deploy versions" |p| script(p, ScriptRoute::Deploy);
    GET "/accounts/{account_id}/workers/scripts/{script_name}/subdomain" Nothing -> One(wire::Subdomain), "Whether a Worker has a host of its own" |p| script(p, ScriptRoute::Subdomain);
    POST "/accounts/{account_id}/workers/scripts/{script_name}/subdomain" Json(wire::SubdomainWish) -> One(wire::Subdomain), "Give a Worker a host of its own" |p| script(p, ScriptRoute::PutSubdomain);
    PUT "/accounts/{account_id}/workers/scripts/{script_name}/routes" Json(Vec<wire::RouteWish>) -> Null, "Set routes" |p| script(p, ScriptRoute::PutRoutes);
    PUT "/accounts/{account_id}/workers/scripts/{script_name}/domains/records" Json(wire::DomainsWish) -> Null, "Set custom domains" |p| script(p, ScriptRoute::PutDomains);
    GET "/accounts/{account_id}/workers/scripts/{script_name}/schedules" Nothing -> One(wire::Schedules), "List cron triggers" |p| script(p, ScriptRoute::Schedules);
    PUT "/accounts/{account_id}/workers/scripts/{script_name}/schedules" Json(Vec<wire::CronWish>) -> One(wire::Schedules), "Set cron triggers" |p| script(p, ScriptRoute::PutSchedules);
    GET "/accounts/{account_id}/workers/scripts/{script_name}/references" Nothing -> One(wire::References), "Who binds a Worker" |p| script(p, ScriptRoute::References);
    GET "/accounts/{account_id}/workers/scripts/{script_name}/tails" Nothing -> List(wire::TailView), "List tails" |p| script(p, ScriptRoute::Tails);
    POST "/accounts/{account_id}/workers/scripts/{script_name}/tails" Json(wire::TailWish) -> One(wire::TailView), "Make a tail" |p| script(p, ScriptRoute::MakeTail);
    DELETE "/accounts/{account_id}/workers/scripts/{script_name}/tails/{tail_id}" Nothing -> Null, "End a tail" |p| script(p, ScriptRoute::DeleteTail(p[2].clone()));
    POST "/accounts/{account_id}/workers/scripts/{script_name}/assets-upload-session" Json(assets::Manifest) -> One(wire::AssetsSession), "Begin to upload static files" |p| script(p, ScriptRoute::StartAssets);
};

const CONTAINERS: &[Endpoint] = endpoints! {
    GET "/accounts/{account_id}/containers/me" Nothing -> One(wire::ContainersAccount), "Limits of the account" |p| account(p, AccountRoute::ContainersMe);
    GET "/accounts/{account_id}/containers/registries" Nothing -> List(wire::RegistryView), "List registries of others" |p| containers(p, ContainersRoute::Registries);
    POST "/accounts/{account_id}/containers/registries" Json(external_registries::Wanted) -> One(wire::RegistryView), "Add a registry of others, with its credentials" |p| containers(p, ContainersRoute::AddRegistry);
    DELETE "/accounts/{account_id}/containers/registries/{domain}" Nothing -> One(wire::RegistryView), "Forget a registry of others" |p| containers(p, ContainersRoute::DeleteRegistry(p[1].clone()));
    POST "/accounts/{account_id}/containers/registries/{domain}/credentials" Json(registries::Wanted) -> One(registries::Given), "A credential for the platform's registry" |p| account(p, AccountRoute::Credentials(p[1].clone()));
    GET "/accounts/{account_id}/containers/applications" Nothing -> List(wire::ApplicationView), "List applications" |p| containers(p, ContainersRoute::Applications);
    POST "/accounts/{account_id}/containers/applications" Json(wire::ApplicationWish) -> One(wire::ApplicationView), "Make an application" |p| containers(p, ContainersRoute::CreateApplication);
    GET "/accounts/{account_id}/containers/applications/{application_id}" Nothing -> One(wire::ApplicationView), "An application" |p| containers(p, ContainersRoute::Application(p[1].clone()));
    PATCH "/accounts/{account_id}/containers/applications/{application_id}" Json(wire::ApplicationWish) -> One(wire::ApplicationView), "Change an application" |p| containers(p, ContainersRoute::ModifyApplication(p[1].clone()));
    DELETE "/accounts/{account_id}/containers/applications/{application_id}" Nothing -> One(wire::Empty), "Delete an application with its instances" |p| containers(p, ContainersRoute::DeleteApplication(p[1].clone()));
    GET "/accounts/{account_id}/containers/applications/{application_id}/rollouts" Nothing -> List(wire::RolloutView), "List rollouts" |p| containers(p, ContainersRoute::Rollouts(p[1].clone()));
    POST "/accounts/{account_id}/containers/applications/{application_id}/rollouts" Json(wire::RolloutWish) -> One(wire::RolloutView), "Begin a rollout" |p| containers(p, ContainersRoute::CreateRollout(p[1].clone()));
    GET "/accounts/{account_id}/containers/applications/{application_id}/rollouts/{rollout_id}" Nothing -> One(wire::RolloutView), "A rollout" |p| containers(p, ContainersRoute::Rollout(p[1].clone(), p[2].clone()));
    POST "/accounts/{account_id}/containers/applications/{application_id}/rollouts/{rollout_id}" Json(wire::RolloutMove) -> One(wire::RolloutView), "Move a rollout: next, previous, revert" |p| containers(p, ContainersRoute::UpdateRollout(p[1].clone(), p[2].clone()));
    DELETE "/accounts/{account_id}/containers/applications/{application_id}/rollouts/{rollout_id}" Nothing -> One(wire::Empty), "Forget a rollout that is over" |p| containers(p, ContainersRoute::DeleteRollout(p[1].clone(), p[2].clone()));
    GET "/accounts/{account_id}/containers/dash/applications" Nothing -> Part(Vec<wire::ApplicationView>), "List applications with their health" |p| containers(p, ContainersRoute::Dashboard);
    GET "/accounts/{account_id}/containers/dash/applications/{application_id}/instances" Nothing -> Part(wire::Instances), "List instances and their objects" |p| containers(p, ContainersRoute::Instances(p[1].clone()));
    GET "/accounts/{account_id}/containers/instances/{instance_id}/ssh" Nothing -> One(wire::SshTicket), "A ticket for SSH to an instance, and where" |p| containers(p, ContainersRoute::SshTicket(p[1].clone()));
    POST "/accounts/{account_id}/containers/image-preparations" Json(wire::ImageWish) -> One(wire::PreparedImage), "Get an image ahead of its first start" |p| containers(p, ContainersRoute::PrepareImage);
};

/// Endpoints that Cloudflare's API does not have.
const BERTH: &[Endpoint] = endpoints! {
    POST "/accounts/{account_id}/berth/instances/{instance_id}/stop" Json(wire::StopWish) -> One(wire::StoppedInstance), "Stop an instance" |p| berth(p, BerthRoute::Stop(p[1].clone()));
    GET "/accounts/{account_id}/berth/instances/{instance_id}/log" Nothing -> WebSocket, "What an instance prints (WebSocket)" |p| berth(p, BerthRoute::Log(p[1].clone()));
    POST "/accounts/{account_id}/berth/instances/{instance_id}/execs" Json(ExecPlan) -> One(wire::PreparedExec), "Prepare a program in an instance" |p| berth(p, BerthRoute::CreateExec(p[1].clone()));
    GET "/accounts/{account_id}/berth/execs/{exec_id}" Nothing -> WebSocket, "Run a program that was prepared (WebSocket)" |p| berth(p, BerthRoute::StartExec(p[1].clone()));
    GET "/accounts/{account_id}/berth/instances/{instance_id}/file" Nothing -> One(FileView), "What is at a path in an instance" |p| berth(p, BerthRoute::File(p[1].clone()));
    GET "/accounts/{account_id}/berth/instances/{instance_id}/archive" Nothing -> WebSocket, "A tar archive of files of an instance (WebSocket)" |p| berth(p, BerthRoute::ReadArchive(p[1].clone()));
    PUT "/accounts/{account_id}/berth/instances/{instance_id}/archive" Bytes -> One(wire::UnpackedAt), "Unpack a tar archive in an instance" |p| berth(p, BerthRoute::WriteArchive(p[1].clone()));
    GET "/accounts/{account_id}/berth/instances/{instance_id}/processes" Nothing -> One(Vec<ProcessView>), "What runs in an instance" |p| berth(p, BerthRoute::Processes(p[1].clone()));
    GET "/accounts/{account_id}/berth/usage" Nothing -> One(wire::Usage), "What instances use, of what they may" |p| berth(p, BerthRoute::Usage);
    POST "/accounts/{account_id}/berth/applications/{application_id}/restart" Json(wire::StopWish) -> One(wire::StoppedInstances), "Stop an application's instances: their next requests start others" |p| berth(p, BerthRoute::Restart(p[1].clone()));
    GET "/accounts/{account_id}/berth/events" Nothing -> WebSocket, "What happens to instances (WebSocket)" |p| berth(p, BerthRoute::Events);
};

const SECRET_STORES: &[Endpoint] = endpoints! {
    GET "/accounts/{account_id}/secrets_store/stores" Nothing -> List(wire::StoreView), "List stores" |p| stores(p, SecretStoresRoute::Stores);
    POST "/accounts/{account_id}/secrets_store/stores" Json(wire::NewStore) -> One(wire::StoreView), "Make a store" |p| stores(p, SecretStoresRoute::CreateStore);
    DELETE "/accounts/{account_id}/secrets_store/stores/{store_id}" Nothing -> One(wire::StoreView), "Delete an empty store" |p| stores(p, SecretStoresRoute::DeleteStore(p[1].clone()));
    GET "/accounts/{account_id}/secrets_store/stores/{store_id}/secrets" Nothing -> List(wire::StoredSecretView), "List secrets, without their texts" |p| stores(p, SecretStoresRoute::Secrets(p[1].clone()));
    POST "/accounts/{account_id}/secrets_store/stores/{store_id}/secrets" Json(Vec<secret_stores::NewSecret>) -> List(wire::StoredSecretView), "Make secrets" |p| stores(p, SecretStoresRoute::CreateSecrets(p[1].clone()));
    GET "/accounts/{account_id}/secrets_store/stores/{store_id}/secrets/{secret_id}" Nothing -> One(wire::StoredSecretView), "A secret, without its text" |p| stores(p, SecretStoresRoute::Secret(p[1].clone(), p[2].clone()));
    PATCH "/accounts/{account_id}/secrets_store/stores/{store_id}/secrets/{secret_id}" Json(secret_stores::SecretChange) -> One(wire::StoredSecretView), "Change a secret" |p| stores(p, SecretStoresRoute::ChangeSecret(p[1].clone(), p[2].clone()));
    DELETE "/accounts/{account_id}/secrets_store/stores/{store_id}/secrets/{secret_id}" Nothing -> One(wire::StoredSecretView), "Delete a secret" |p| stores(p, SecretStoresRoute::DeleteSecret(p[1].clone(), p[2].clone()));
    POST "/accounts/{account_id}/secrets_store/stores/{store_id}/secrets/{secret_id}/duplicate" Json(secret_stores::SecretCopy) -> One(wire::StoredSecretView), "A secret of the same text by another name" |p| stores(p, SecretStoresRoute::DuplicateSecret(p[1].clone(), p[2].clone()));
};

/// All of them.
pub(crate) fn all() -> impl Iterator<Item = &'static Endpoint> {
    [USER, WORKERS, SCRIPTS, CONTAINERS, BERTH, SECRET_STORES].into_iter().flatten()
}

/// A route of an endpoint, for somebody.
pub(crate) fn example(endpoint: &Endpoint) -> Route {
    let named = endpoint.path.split('/').filter(|part| part.starts_with('{'));
    (endpoint.route)(&named.map(str::to_owned).collect::<Vec<_>>())
}

/// The endpoint of a method and a path, whose parts are decoded, with its route.
pub(super) fn find(method: &Method, parts: &[String]) -> Option<Route> {
    all().filter(|endpoint| endpoint.method == *method).find_map(|endpoint| {
        let template = endpoint.path.split('/').skip(1);
        let pairs: Vec<_> = template.zip(parts).collect();
        let is_long =
            pairs.len() == parts.len() && endpoint.path.matches('/').count() == parts.len();
        let fits = |(wanted, part): &(&str, &String)| wanted.starts_with('{') || wanted == part;
        if !is_long || !pairs.iter().all(fits) {
            return None;
        }
        let named = pairs.iter().filter(|(wanted, _)| wanted.starts_with('{'));
        let named: Vec<String> = named.map(|(_, part)| (*part).clone()).collect();
        Some((endpoint.route)(&named))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_endpoint_is_found_by_its_own_path_and_is_no_others() {
        let mut routes: Vec<(Route, &str)> = Vec::new();
        for endpoint in all() {
            let fill = |(number, part): (usize, &str)| match part.starts_with('{') {
                true => format!("part{number}"),
                false => part.to_owned(),
            };
            let parts: Vec<_> = endpoint.path.split('/').skip(1).enumerate().map(fill).collect();
            let route = find(&endpoint.method, &parts);
            let route = route.unwrap_or_else(|| panic!("{} is not found", endpoint.path));
            let other = routes.iter().find(|(known, _)| *known == route).map(|(_, path)| *path);
            assert_eq!(other, None, "{} {}", endpoint.method, endpoint.path);
            routes.push((route, endpoint.path));
        }
        assert!(routes.len() > 70);
    }
}

//! Every endpoint there is: its method, its path below `/client/v4`, what it is for, and its route.
//!
//! Requests are routed by it, and the OpenAPI document is made from it.

use http::Method;

use super::{
    AccountRoute, BerthRoute, ContainersRoute, OpenRoute, Route, ScriptRoute, SecretStoresRoute,
    UserRoute, WorkersRoute, ZonesRoute,
};

/// An endpoint.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) method: Method,
    /// Parts in braces stand for any one part.
    pub(crate) path: &'static str,
    pub(crate) summary: &'static str,
    pub(crate) body: RequestBody,
    /// The route, from what stands for the parts in braces, in their order.
    pub(super) route: fn(&[String]) -> Route,
}

/// What a request carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RequestBody {
    Nothing,
    Json,
    Form,
    Bytes,
}

const fn endpoint(
    method: Method,
    path: &'static str,
    body: RequestBody,
    summary: &'static str,
    route: fn(&[String]) -> Route,
) -> Endpoint {
    Endpoint { method, path, summary, body, route }
}

macro_rules! endpoints {
    ($($method:ident $path:literal $body:ident $summary:literal $route:expr;)*) => {
        &[$(endpoint(Method::$method, $path, RequestBody::$body, $summary, $route)),*]
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
    GET "/user" Nothing "The user that a token stands for" |_| Route::User(UserRoute::User);
    GET "/user/tokens/verify" Nothing "Whether a token counts" |_| Route::User(UserRoute::VerifyToken);
    GET "/accounts" Nothing "The accounts of a token" |_| Route::User(UserRoute::Accounts);
    GET "/memberships" Nothing "The user's memberships" |_| Route::User(UserRoute::Memberships);
    GET "/zones" Nothing "The zone of a host: any name is one" |_| Route::Zones(ZonesRoute::Zones);
    GET "/zones/{zone_id}/workers/routes" Nothing "Routes of a zone's hosts" |p| Route::Zones(ZonesRoute::Routes(p[0].clone()));
    GET "/openapi.json" Nothing "This document" |_| Route::Open(OpenRoute::Document);
    GET "/tails/{tail_id}" Nothing "Watch a Worker (WebSocket, `trace-v1`)" |p| Route::Open(OpenRoute::Tail(p[0].clone()));
    GET "/ssh/{instance_id}" Nothing "SSH to an instance (WebSocket of its bytes), with a ticket" |p| Route::Open(OpenRoute::Ssh(p[0].clone()));
    POST "/accounts/{account_id}/workers/assets/upload" Form "Upload static files, with a session's token" |_| Route::Open(OpenRoute::UploadAssets(None));
    POST "/accounts/{account_id}/workers/assets/upload/{hash}" Bytes "Upload one static file, with a session's token" |p| Route::Open(OpenRoute::UploadAssets(Some(p[1].clone())));
    GET "/accounts/{account_id}/logs/audit" Nothing "Who has changed what" |p| account(p, AccountRoute::AuditLog);
};

const WORKERS: &[Endpoint] = endpoints! {
    GET "/accounts/{account_id}/workers/scripts" Nothing "List Workers" |p| workers(p, WorkersRoute::ListScripts);
    GET "/accounts/{account_id}/workers/subdomain" Nothing "The domain below which Workers have hosts" |p| workers(p, WorkersRoute::AccountSubdomain);
    GET "/accounts/{account_id}/workers/durable_objects/namespaces" Nothing "List Durable Object namespaces" |p| workers(p, WorkersRoute::Namespaces);
    GET "/accounts/{account_id}/workers/services/{script_name}" Nothing "A Worker as a service" |p| workers(p, WorkersRoute::Service(p[1].clone()));
    DELETE "/accounts/{account_id}/workers/services/{script_name}" Nothing "Delete a Worker with its objects" |p| workers(p, WorkersRoute::DeleteService(p[1].clone()));
    GET "/accounts/{account_id}/workers/workers/{script_name}" Nothing "A Worker with its address" |p| workers(p, WorkersRoute::Worker(p[1].clone()));
    PATCH "/accounts/{account_id}/workers/workers/{script_name}/versions/latest" Json "A version like the newest, with other secrets" |p| workers(p, WorkersRoute::PatchLatest(p[1].clone()));
    GET "/accounts/{account_id}/workers/tails/by-consumer/{script_name}" Nothing "Workers whose tail consumer this one is" |p| workers(p, WorkersRoute::TailConsumers(p[1].clone()));
    GET "/accounts/{account_id}/storage/kv/namespaces" Nothing "KV namespaces: there are none" |p| workers(p, WorkersRoute::KvNamespaces);
};

const SCRIPTS: &[Endpoint] = endpoints! {
    PUT "/accounts/{account_id}/workers/scripts/{script_name}" Form "Upload a version and deploy it" |p| script(p, ScriptRoute::Put);
    DELETE "/accounts/{account_id}/workers/scripts/{script_name}" Nothing "Delete a Worker with its objects" |p| script(p, ScriptRoute::Delete);
    GET "/accounts/{account_id}/workers/scripts/{script_name}/settings" Nothing "Settings of the newest version" |p| script(p, ScriptRoute::Settings);
    PATCH "/accounts/{account_id}/workers/scripts/{script_name}/settings" Form "Change the secrets of what serves" |p| script(p, ScriptRoute::PatchSettings);
    GET "/accounts/{account_id}/workers/scripts/{script_name}/content/v2" Nothing "The modules of a version" |p| script(p, ScriptRoute::Content);
    GET "/accounts/{account_id}/workers/scripts/{script_name}/script-settings" Nothing "Settings of all versions" |p| script(p, ScriptRoute::ScriptSettings);
    PATCH "/accounts/{account_id}/workers/scripts/{script_name}/script-settings" Json "Change settings of all versions" |p| script(p, ScriptRoute::PatchScriptSettings);
    GET "/accounts/{account_id}/workers/scripts/{script_name}/secrets" Nothing "List secrets, without their texts" |p| script(p, ScriptRoute::Secrets);
    PUT "/accounts/{account_id}/workers/scripts/{script_name}/secrets" Json "Set a secret" |p| script(p, ScriptRoute::PutSecret);
    PATCH "/accounts/{account_id}/workers/scripts/{script_name}/secrets-bulk" Json "Set and remove secrets" |p| script(p, ScriptRoute::PatchSecrets);
    DELETE "/accounts/{account_id}/workers/scripts/{script_name}/secrets/{secret_name}" Nothing "Remove a secret" |p| script(p, ScriptRoute::DeleteSecret(p[2].clone()));
    GET "/accounts/{account_id}/workers/scripts/{script_name}/versions" Nothing "List versions" |p| script(p, ScriptRoute::Versions);
    POST "/accounts/{account_id}/workers/scripts/{script_name}/versions" Form "Upload a version" |p| script(p, ScriptRoute::UploadVersion);
    GET "/accounts/{account_id}/workers/scripts/{script_name}/versions/{version_id}" Nothing "A version" |p| script(p, ScriptRoute::Version(p[2].clone()));
    GET "/accounts/{account_id}/workers/scripts/{script_name}/deployments" Nothing "List deployments" |p| script(p, ScriptRoute::Deployments);
    POST "/accounts/{account_id}/workers/scripts/{script_name}/deployments" Json "Deploy versions" |p| script(p, ScriptRoute::Deploy);
    GET "/accounts/{account_id}/workers/scripts/{script_name}/subdomain" Nothing "Whether a Worker has a host of its own" |p| script(p, ScriptRoute::Subdomain);
    POST "/accounts/{account_id}/workers/scripts/{script_name}/subdomain" Json "Give a Worker a host of its own" |p| script(p, ScriptRoute::PutSubdomain);
    PUT "/accounts/{account_id}/workers/scripts/{script_name}/routes" Json "Set routes" |p| script(p, ScriptRoute::PutRoutes);
    PUT "/accounts/{account_id}/workers/scripts/{script_name}/domains/records" Json "Set custom domains" |p| script(p, ScriptRoute::PutDomains);
    GET "/accounts/{account_id}/workers/scripts/{script_name}/schedules" Nothing "List cron triggers" |p| script(p, ScriptRoute::Schedules);
    PUT "/accounts/{account_id}/workers/scripts/{script_name}/schedules" Json "Set cron triggers" |p| script(p, ScriptRoute::PutSchedules);
    GET "/accounts/{account_id}/workers/scripts/{script_name}/references" Nothing "Who binds a Worker" |p| script(p, ScriptRoute::References);
    GET "/accounts/{account_id}/workers/scripts/{script_name}/tails" Nothing "List tails" |p| script(p, ScriptRoute::Tails);
    POST "/accounts/{account_id}/workers/scripts/{script_name}/tails" Json "Make a tail" |p| script(p, ScriptRoute::MakeTail);
    DELETE "/accounts/{account_id}/workers/scripts/{script_name}/tails/{tail_id}" Nothing "End a tail" |p| script(p, ScriptRoute::DeleteTail(p[2].clone()));
    POST "/accounts/{account_id}/workers/scripts/{script_name}/assets-upload-session" Json "Begin to upload static files" |p| script(p, ScriptRoute::StartAssets);
};

const CONTAINERS: &[Endpoint] = endpoints! {
    GET "/accounts/{account_id}/containers/me" Nothing "Limits of the account" |p| account(p, AccountRoute::ContainersMe);
    GET "/accounts/{account_id}/containers/registries" Nothing "List registries of others" |p| containers(p, ContainersRoute::Registries);
    POST "/accounts/{account_id}/containers/registries" Json "Add a registry of others, with its credentials" |p| containers(p, ContainersRoute::AddRegistry);
    DELETE "/accounts/{account_id}/containers/registries/{domain}" Nothing "Forget a registry of others" |p| containers(p, ContainersRoute::DeleteRegistry(p[1].clone()));
    POST "/accounts/{account_id}/containers/registries/{domain}/credentials" Json "A credential for the platform's registry" |p| account(p, AccountRoute::Credentials(p[1].clone()));
    GET "/accounts/{account_id}/containers/applications" Nothing "List applications" |p| containers(p, ContainersRoute::Applications);
    POST "/accounts/{account_id}/containers/applications" Json "Make an application" |p| containers(p, ContainersRoute::CreateApplication);
    GET "/accounts/{account_id}/containers/applications/{application_id}" Nothing "An application" |p| containers(p, ContainersRoute::Application(p[1].clone()));
    PATCH "/accounts/{account_id}/containers/applications/{application_id}" Json "Change an application" |p| containers(p, ContainersRoute::ModifyApplication(p[1].clone()));
    DELETE "/accounts/{account_id}/containers/applications/{application_id}" Nothing "Delete an application with its instances" |p| containers(p, ContainersRoute::DeleteApplication(p[1].clone()));
    GET "/accounts/{account_id}/containers/applications/{application_id}/rollouts" Nothing "List rollouts" |p| containers(p, ContainersRoute::Rollouts(p[1].clone()));
    POST "/accounts/{account_id}/containers/applications/{application_id}/rollouts" Json "Begin a rollout" |p| containers(p, ContainersRoute::CreateRollout(p[1].clone()));
    GET "/accounts/{account_id}/containers/applications/{application_id}/rollouts/{rollout_id}" Nothing "A rollout" |p| containers(p, ContainersRoute::Rollout(p[1].clone(), p[2].clone()));
    POST "/accounts/{account_id}/containers/applications/{application_id}/rollouts/{rollout_id}" Json "Move a rollout: next, previous, revert" |p| containers(p, ContainersRoute::UpdateRollout(p[1].clone(), p[2].clone()));
    DELETE "/accounts/{account_id}/containers/applications/{application_id}/rollouts/{rollout_id}" Nothing "Forget a rollout that is over" |p| containers(p, ContainersRoute::DeleteRollout(p[1].clone(), p[2].clone()));
    GET "/accounts/{account_id}/containers/dash/applications" Nothing "List applications with their health" |p| containers(p, ContainersRoute::Dashboard);
    GET "/accounts/{account_id}/containers/dash/applications/{application_id}/instances" Nothing "List instances and their objects" |p| containers(p, ContainersRoute::Instances(p[1].clone()));
    GET "/accounts/{account_id}/containers/instances/{instance_id}/ssh" Nothing "A ticket for SSH to an instance, and where" |p| containers(p, ContainersRoute::SshTicket(p[1].clone()));
    POST "/accounts/{account_id}/containers/image-preparations" Json "Get an image ahead of its first start" |p| containers(p, ContainersRoute::PrepareImage);
};

/// Endpoints that Cloudflare's API does not have.
const BERTH: &[Endpoint] = endpoints! {
    POST "/accounts/{account_id}/berth/instances/{instance_id}/stop" Json "Stop an instance" |p| berth(p, BerthRoute::Stop(p[1].clone()));
    GET "/accounts/{account_id}/berth/instances/{instance_id}/log" Nothing "What an instance prints (WebSocket)" |p| berth(p, BerthRoute::Log(p[1].clone()));
    POST "/accounts/{account_id}/berth/instances/{instance_id}/execs" Json "Prepare a program in an instance" |p| berth(p, BerthRoute::CreateExec(p[1].clone()));
    GET "/accounts/{account_id}/berth/execs/{exec_id}" Nothing "Run a program that was prepared (WebSocket)" |p| berth(p, BerthRoute::StartExec(p[1].clone()));
    GET "/accounts/{account_id}/berth/instances/{instance_id}/file" Nothing "What is at a path in an instance" |p| berth(p, BerthRoute::File(p[1].clone()));
    GET "/accounts/{account_id}/berth/instances/{instance_id}/archive" Nothing "A tar archive of files of an instance (WebSocket)" |p| berth(p, BerthRoute::ReadArchive(p[1].clone()));
    PUT "/accounts/{account_id}/berth/instances/{instance_id}/archive" Bytes "Unpack a tar archive in an instance" |p| berth(p, BerthRoute::WriteArchive(p[1].clone()));
    GET "/accounts/{account_id}/berth/instances/{instance_id}/processes" Nothing "What runs in an instance" |p| berth(p, BerthRoute::Processes(p[1].clone()));
    GET "/accounts/{account_id}/berth/usage" Nothing "What instances use, of what they may" |p| berth(p, BerthRoute::Usage);
    POST "/accounts/{account_id}/berth/applications/{application_id}/restart" Json "Stop an application's instances: their next requests start others" |p| berth(p, BerthRoute::Restart(p[1].clone()));
    GET "/accounts/{account_id}/berth/events" Nothing "What happens to instances (WebSocket)" |p| berth(p, BerthRoute::Events);
};

const SECRET_STORES: &[Endpoint] = endpoints! {
    GET "/accounts/{account_id}/secrets_store/stores" Nothing "List stores" |p| stores(p, SecretStoresRoute::Stores);
    POST "/accounts/{account_id}/secrets_store/stores" Json "Make a store" |p| stores(p, SecretStoresRoute::CreateStore);
    DELETE "/accounts/{account_id}/secrets_store/stores/{store_id}" Nothing "Delete an empty store" |p| stores(p, SecretStoresRoute::DeleteStore(p[1].clone()));
    GET "/accounts/{account_id}/secrets_store/stores/{store_id}/secrets" Nothing "List secrets, without their texts" |p| stores(p, SecretStoresRoute::Secrets(p[1].clone()));
    POST "/accounts/{account_id}/secrets_store/stores/{store_id}/secrets" Json "Make secrets" |p| stores(p, SecretStoresRoute::CreateSecrets(p[1].clone()));
    GET "/accounts/{account_id}/secrets_store/stores/{store_id}/secrets/{secret_id}" Nothing "A secret, without its text" |p| stores(p, SecretStoresRoute::Secret(p[1].clone(), p[2].clone()));
    PATCH "/accounts/{account_id}/secrets_store/stores/{store_id}/secrets/{secret_id}" Json "Change a secret" |p| stores(p, SecretStoresRoute::ChangeSecret(p[1].clone(), p[2].clone()));
    DELETE "/accounts/{account_id}/secrets_store/stores/{store_id}/secrets/{secret_id}" Nothing "Delete a secret" |p| stores(p, SecretStoresRoute::DeleteSecret(p[1].clone(), p[2].clone()));
    POST "/accounts/{account_id}/secrets_store/stores/{store_id}/secrets/{secret_id}/duplicate" Json "A secret of the same text by another name" |p| stores(p, SecretStoresRoute::DuplicateSecret(p[1].clone(), p[2].clone()));
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

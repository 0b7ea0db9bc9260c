//! `/workers/…`.

use http::Response;
use jiff::Timestamp;
use serde_json::Value;

use super::{Asked, Deployed, assets, body, content, not_allowed, secrets, tails, user, versions};
use crate::envelope::{Body, Failure, page, success};
use crate::records::{Cron, Scope, Script, Version};
use crate::route::{ScriptRoute, WorkersRoute};
use crate::routes;
use crate::upload::{Atomic, Upload, WireTailConsumer};
use crate::wanted::is_nothing;
use crate::wire::{
    AccountSubdomain, ConsumerName, CronWish, DomainsWish, Empty, IncomingReference, ListedScript,
    NamespaceView, References, RouteWish, Schedules, ScriptSettings, Service, ServiceEnvironment,
    ServiceReferences, ServiceScript, Subdomain, SubdomainWish, TailPair, TailedScript,
    UploadedScript, VersionSettings, WorkerSubdomain, WorkerView,
};
use crate::workers::{Caller, Workers};

pub(super) async fn answer(
    deployed: &Deployed,
    route: WorkersRoute,
    asked: Asked,
) -> Result<Response<Body>, Failure> {
    let workers = &deployed.workers;
    match route {
        WorkersRoute::ListScripts => {
            let scripts = workers.state.scripts()?;
            Ok(page(&scripts.iter().map(listed).collect::<Vec<_>>()))
        }
        WorkersRoute::AccountSubdomain => {
            Ok(success(&AccountSubdomain { subdomain: workers.domain.clone() }))
        }
        WorkersRoute::Namespaces => namespaces(workers),
        WorkersRoute::Service(name) => {
            let script = workers.state.find_script(&name)?.ok_or_else(Failure::no_service)?;
            Ok(success(&service(&script.value)))
        }
        WorkersRoute::DeleteService(name) => {
            workers.remove(&name, is_forced(&asked)).await?;
            Ok(success(&Value::Null))
        }
        WorkersRoute::Worker(name) => {
            let script = workers.state.script(&name)?.value;
            Ok(success(&worker(deployed, &script)))
        }
        WorkersRoute::PatchLatest(name) => secrets::patch_latest(workers, &name, asked).await,
        WorkersRoute::Script(name, route) => one(deployed, &name, route, asked).await,
        WorkersRoute::TailConsumers(name) => {
            let script = |name: &String| TailedScript { script: name.clone() };
            let tail = |from: &String| TailPair { producer: script(from), consumer: script(&name) };
            Ok(page(&workers.producers(&name)?.iter().map(tail).collect::<Vec<_>>()))
        }
        WorkersRoute::KvNamespaces => Ok(page::<Empty>(&[])),
    }
}

async fn one(
    deployed: &Deployed,
    name: &str,
    route: ScriptRoute,
    asked: Asked,
) -> Result<Response<Body>, Failure> {
    let workers = &deployed.workers;
    match route {
        ScriptRoute::Put => put(workers, name, asked).await,
        ScriptRoute::Delete => {
            workers.remove(name, is_forced(&asked)).await?;
            Ok(success(&Value::Null))
        }
        ScriptRoute::Settings => settings(workers, name),
        ScriptRoute::PatchSettings => secrets::patch_settings(workers, name, asked).await,
        ScriptRoute::Content => content::answer(workers, name, &asked),
        ScriptRoute::ScriptSettings => script_settings(workers, name),
        ScriptRoute::PatchScriptSettings => patch_settings(workers, name, asked).await,
        ScriptRoute::Secrets => secrets::list(workers, name),
        ScriptRoute::PutSecret => secrets::put(workers, name, asked).await,
        ScriptRoute::PatchSecrets => secrets::patch(workers, name, asked).await,
        ScriptRoute::DeleteSecret(secret) => secrets::delete(workers, name, &secret, &asked).await,
        ScriptRoute::Versions => versions::list(workers, name),
        ScriptRoute::UploadVersion => versions::upload(workers, name, asked).await,
        ScriptRoute::Version(id) => versions::view(workers, name, &id),
        ScriptRoute::Deployments => versions::deployments(workers, name),
        ScriptRoute::Deploy => versions::deploy(workers, name, asked).await,
        ScriptRoute::Subdomain => {
            let script = workers.state.script(name)?.value;
            Ok(success(&subdomain(&script)))
        }
        ScriptRoute::PutSubdomain => put_subdomain(workers, name, asked).await,
        ScriptRoute::PutRoutes => put_routes(workers, name, asked).await,
        ScriptRoute::PutDomains => put_domains(workers, name, asked).await,
        ScriptRoute::Schedules => {
            Ok(success(&Schedules { schedules: workers.state.script(name)?.value.crons }))
        }
        ScriptRoute::PutSchedules => put_schedules(workers, name, asked).await,
        ScriptRoute::References => references(workers, name),
        ScriptRoute::Tails => tails::list(workers, name, &asked.head),
        ScriptRoute::MakeTail => tails::make(workers, name, asked).await,
        ScriptRoute::DeleteTail(id) => tails::delete(workers, name, &id),
        ScriptRoute::StartAssets => assets::start(workers, name, asked).await,
    }
}

fn is_forced(asked: &Asked) -> bool {
    asked.query("force").is_some_and(|value| value == "true")
}

/// Who binds a Worker: whoever deletes it wants to know.
fn references(workers: &Workers, name: &str) -> Result<Response<Body>, Failure> {
    let callers = workers.callers(name)?;
    let incoming = callers.into_iter().map(|Caller { script, binding, .. }| IncomingReference {
        service: script,
        environment: "production",
        name: binding,
    });
    let incoming: Vec<_> = incoming.collect();
    let services = (!incoming.is_empty()).then(|| ServiceReferences {
        incoming,
        outgoing: Vec::new(),
        pages_function: false,
    });
    Ok(success(&References { services }))
}

async fn put(workers: &Workers, name: &str, asked: Asked) -> Result<Response<Body>, Failure> {
    let author = asked.author("wrangler");
    let upload = Upload::read(&asked.head.headers, asked.body).await?;
    // Containers that switch together with the code are changed by it.
    if matches!(upload.metadata.atomic()?, Atomic::Applications(_))
        && !asked.token.allows(Scope::ContainersWrite)
    {
        return Err(not_allowed(&asked.token, Scope::ContainersWrite));
    }
    let (script, version) = workers.upload(name, upload, author, true).await?;
    Ok(success(&uploaded(&script, &version)))
}

fn uploaded(script: &Script, version: &Version) -> UploadedScript {
    UploadedScript {
        id: script.name.clone(),
        tag: script.tag.clone(),
        etag: version.etag(),
        deployment_id: version.id.simple().to_string(),
        startup_time_ms: version.startup_time_ms,
        created_on: script.created_on,
        modified_on: script.modified_on,
        migration_tag: script.migration_tag.clone(),
        handlers: vec!["fetch"],
    }
}

fn listed(script: &Script) -> ListedScript {
    ListedScript {
        id: script.name.clone(),
        tag: script.tag.clone(),
        migration_tag: script.migration_tag.clone(),
        created_on: script.created_on,
        modified_on: script.modified_on,
    }
}

fn service(script: &Script) -> Service {
    let wrangler = ServiceScript {
        id: script.name.clone(),
        tag: script.tag.clone(),
        migration_tag: script.migration_tag.clone(),
        last_deployed_from: "wrangler",
    };
    let environment = ServiceEnvironment { environment: "production", script: wrangler };
    Service { id: script.name.clone(), default_environment: environment }
}

fn subdomain(script: &Script) -> Subdomain {
    Subdomain { enabled: script.subdomain, previews_enabled: false }
}

/// `url` is ours: wrangler shows that of the subdomain, and takes none with a port.
fn worker(deployed: &Deployed, script: &Script) -> WorkerView {
    let host = format!("http://{}.{}", script.name, deployed.workers.domain);
    let url = match deployed.port {
        80 => host.clone(),
        port => format!("{host}:{port}"),
    };
    WorkerView {
        id: script.tag.clone(),
        name: script.name.clone(),
        created_on: script.created_on,
        updated_on: script.modified_on,
        url,
        subdomain: WorkerSubdomain {
            enabled: script.subdomain,
            previews_enabled: false,
            url: host,
        },
    }
}

fn settings(workers: &Workers, name: &str) -> Result<Response<Body>, Failure> {
    let script = workers.state.script(name)?.value;
    let version = workers.state.newest_version(&script)?.ok_or_else(Failure::no_version)?;
    Ok(success(&VersionSettings {
        bindings: versions::bindings(&script, &version),
        compatibility_date: version.compatibility_date,
        compatibility_flags: version.compatibility_flags,
        migration_tag: script.migration_tag,
    }))
}

/// What holds for every version.
fn script_settings(workers: &Workers, name: &str) -> Result<Response<Body>, Failure> {
    let consumers = workers.state.script(name)?.value.tail_consumers;
    let wire = |service: String| ConsumerName { service };
    let consumers = (!consumers.is_empty()).then(|| consumers.into_iter().map(wire).collect());
    Ok(success(&ScriptSettings { logpush: false, tail_consumers: consumers, tags: Vec::new() }))
}

/// Changes it: who is told of what happens. Logs are always shown; nothing else can be set.
async fn patch_settings(
    workers: &Workers,
    name: &str,
    asked: Asked,
) -> Result<Response<Body>, Failure> {
    workers.state.script(name)?;
    let wanted = body::object(asked.body).await?;
    check_settings(&wanted)?;
    if let Some(consumers) = wanted.get("tail_consumers") {
        let consumers: Option<Vec<WireTailConsumer>> = serde_json::from_value(consumers.clone())
            .map_err(|error| Failure::bad_request(format!("tail_consumers: {error}")))?;
        workers.change_consumers(name, &consumers.unwrap_or_default()).await?;
    }
    Ok(success(&wanted))
}

/// Refuses what would be accepted and not done.
fn check_settings(wanted: &Value) -> Result<(), Failure> {
    let known = ["observability", "tail_consumers"];
    let mut fields = wanted.as_object().into_iter().flatten();
    match fields.find(|(field, value)| !known.contains(&field.as_str()) && !is_nothing(value)) {
        None => Ok(()),
        Some((field, _)) => {
            let message = format!("`{field}` is not done by `berth serve` yet");
            Err(Failure::validation(message))
        }
    }
}

fn namespaces(workers: &Workers) -> Result<Response<Body>, Failure> {
    let mut all = Vec::new();
    for script in workers.state.scripts()? {
        for class in &script.classes {
            all.push(NamespaceView {
                id: class.namespace_id.clone(),
                name: format!("{}_{}", script.name, class.name),
                class: class.name.clone(),
                script: script.name.clone(),
                use_sqlite: class.sqlite,
            });
        }
    }
    Ok(page(&all))
}

async fn put_subdomain(
    workers: &Workers,
    name: &str,
    asked: Asked,
) -> Result<Response<Body>, Failure> {
    let SubdomainWish { enabled } = body::json(asked.body).await?;
    let change = |script: &mut Script| {
        script.subdomain = enabled;
        Ok(())
    };
    let script = workers.change(name, change).await?;
    Ok(success(&subdomain(&script)))
}

async fn put_routes(
    workers: &Workers,
    name: &str,
    asked: Asked,
) -> Result<Response<Body>, Failure> {
    let routes: Vec<RouteWish> = body::json(asked.body).await?;
    let patterns: Vec<String> = routes.into_iter().map(|route| route.pattern).collect();
    let patterns = free(workers, name, patterns)?;
    let change = |script: &mut Script| {
        script.routes = patterns;
        Ok(())
    };
    workers.change(name, change).await?;
    Ok(success(&Value::Null))
}

async fn put_domains(
    workers: &Workers,
    name: &str,
    asked: Asked,
) -> Result<Response<Body>, Failure> {
    let DomainsWish { origins } = body::json(asked.body).await?;
    let patterns = origins.into_iter().map(|origin| format!("{}/*", origin.hostname)).collect();
    let patterns = free(workers, name, patterns)?;
    let change = |script: &mut Script| {
        script.domains = patterns;
        Ok(())
    };
    workers.change(name, change).await?;
    Ok(success(&Value::Null))
}

/// Patterns that make sense and are no other Worker's.
fn free(workers: &Workers, name: &str, patterns: Vec<String>) -> Result<Vec<String>, Failure> {
    patterns.iter().try_for_each(|pattern| routes::parse(pattern).map(drop))?;
    for other in workers.state.scripts()?.iter().filter(|other| other.name != name) {
        let mut theirs = other.routes.iter().chain(&other.domains);
        if let Some(taken) = theirs.find(|route| patterns.contains(route)) {
            let message = format!("the route \"{taken}\" belongs to the Worker \"{}\"", other.name);
            return Err(Failure::new(http::StatusCode::CONFLICT, 10020, message));
        }
    }
    Ok(patterns)
}

async fn put_schedules(
    workers: &Workers,
    name: &str,
    asked: Asked,
) -> Result<Response<Body>, Failure> {
    let wanted: Vec<CronWish> = body::json(asked.body).await?;
    for CronWish { cron } in &wanted {
        let checked = workers.platform.check_cron(cron);
        checked.map_err(|error| Failure::bad_request(error.to_string()))?;
    }
    let now = Timestamp::now();
    let change = |script: &mut Script| {
        let cron = |CronWish { cron }: CronWish| {
            let known = script.crons.iter().find(|known| known.cron == cron);
            known.cloned().unwrap_or(Cron { cron, created_on: now, modified_on: now })
        };
        script.crons = wanted.into_iter().map(cron).collect();
        Ok(())
    };
    let script = workers.change(name, change).await?;
    Ok(success(&Schedules { schedules: script.crons }))
}

/// Who did something, as clients show it.
pub(super) fn author(name: &str) -> String {
    user::email(name)
}

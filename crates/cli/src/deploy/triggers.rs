//! How a Worker is reached, and when it runs by itself.

use ::project::config::Config;
use serde_json::{Value, json};

use crate::api::{ApiError, Client, Request, failed};
use crate::error::CliError;

/// What leads to a Worker, as people read it: URLs, patterns of routes, cron expressions.
pub(crate) type Triggers = Vec<String>;

/// Which routes a configuration has, by how the platform is told of them. Pure.
#[derive(Debug, PartialEq, Eq)]
struct Wanted<'a> {
    /// Whether the Worker has a host of its own: wrangler's default.
    subdomain: bool,
    routes: Vec<&'a Value>,
    domains: Vec<&'a str>,
}

impl<'a> Wanted<'a> {
    fn of(config: &'a Config) -> Self {
        let (domains, routes): (Vec<&Value>, Vec<&Value>) =
            config.deploy.routes.iter().partition(|route| route["custom_domain"] == json!(true));
        Self {
            subdomain: config.deploy.workers_dev.unwrap_or(config.deploy.routes.is_empty()),
            routes,
            domains: domains.iter().filter_map(|route| route["pattern"].as_str()).collect(),
        }
    }
}

/// Sets them. What the configuration does not name stays as the last deploy left it, as with wrangler.
pub(crate) async fn set(client: &Client, config: &Config) -> Result<Triggers, CliError> {
    let all = try_set(client, config).await;
    all.map_err(failed(&format!("set the triggers of \"{}\"", config.name)))
}

async fn try_set(client: &Client, config: &Config) -> Result<Triggers, ApiError> {
    let wanted = Wanted::of(config);
    let script = client.path(&format!("/workers/scripts/{}", config.name));
    let mut all = Vec::new();
    let subdomain = json!({"enabled": wanted.subdomain});
    let _: Value =
        client.ask(Request::post(format!("{script}/subdomain")).json(&subdomain)).await?;
    if wanted.subdomain {
        let path = client.path(&format!("/workers/workers/{}", config.name));
        let worker: Value = client.ask(Request::get(path)).await?;
        let url = worker["url"].as_str().or(worker["subdomain"]["url"].as_str());
        all.extend(url.map(str::to_owned));
    }
    if !wanted.routes.is_empty() {
        let routes = json!(wanted.routes);
        let _: Value = client.ask(Request::put(format!("{script}/routes")).json(&routes)).await?;
        all.extend(wanted.routes.iter().filter_map(|it| it["pattern"].as_str()).map(str::to_owned));
    }
    if !wanted.domains.is_empty() {
        let origin = |name: &&str| json!({ "hostname": name });
        let origins: Vec<_> = wanted.domains.iter().map(origin).collect();
        let body = json!({"override_scope": true, "override_existing_origin": true,
            "override_existing_dns_record": true, "origins": origins});
        let path = format!("{script}/domains/records");
        let _: Value = client.ask(Request::put(path).json(&body)).await?;
        all.extend(wanted.domains.iter().map(|name| format!("{name} (custom domain)")));
    }
    if config.deploy.has_crons {
        let crons: Vec<_> = config.crons.iter().map(|cron| json!({ "cron": cron })).collect();
        let path = format!("{script}/schedules");
        let _: Value = client.ask(Request::put(path).json(&json!(crons))).await?;
        all.extend(config.crons.iter().map(|cron| format!("schedule: {cron}")));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use project::config::Purpose;

    use super::*;

    fn wanted(keys: &str, check: impl Fn(&Wanted<'_>)) {
        let folder = tempfile::tempdir().unwrap();
        let text = format!(
            r#"{{"name": "a", "main": "i.js", "compatibility_date": "2026-08-01", {keys}}}"#
        );
        fs_err::write(folder.path().join("wrangler.json"), text).unwrap();
        let config = Config::load_for(Purpose::Deploy, folder.path(), None).unwrap().0;
        check(&Wanted::of(&config));
    }

    #[test]
    fn a_worker_has_a_host_of_its_own_unless_it_has_routes() {
        wanted(r#""vars": {}"#, |it| assert!(it.subdomain && it.routes.is_empty()));
        wanted(r#""route": "a.com/*""#, |it| {
            assert!(!it.subdomain);
            assert_eq!(it.routes, [&json!({"pattern": "a.com/*"})]);
        });
        let routes = r#""workers_dev": true, "routes": [
            {"pattern": "b.com", "custom_domain": true}, {"pattern": "c.com/x", "zone_name": "c.com"}]"#;
        wanted(routes, |it| {
            assert!(it.subdomain);
            assert_eq!(it.domains, ["b.com"]);
            assert_eq!(it.routes, [&json!({"pattern": "c.com/x", "zone_name": "c.com"})]);
        });
    }
}

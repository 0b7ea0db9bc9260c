//! `berth delete`: a Worker with its objects' storage, and its containers.

use ::project::config::{Config, Purpose};
use serde_json::{Value, json};

use crate::api::{ApiError, Client, Request, Target, failed};
use crate::args::DeleteArgs;
use crate::dev::project::load;
use crate::error::{CliError, Kind};
use crate::human::confirm;
use crate::printer::Printer;

pub(crate) async fn run(args: &DeleteArgs, printer: &Printer) -> Result<(), CliError> {
    let (name, target) = match &args.name {
        Some(name) => (name.clone(), Target::find(&args.place.project, args.place.env.as_deref())?),
        None => {
            let config = config(args, printer)?;
            let target = Target::find(&config.root, config.environment.as_deref())?;
            (config.name, target)
        }
    };
    let client = Client::open(&target).await?;
    let attempt = format!("delete the Worker \"{name}\"");
    let refused = failed(&attempt);
    let found = owned(&client, &name).await.map_err(&refused)?;
    let Some(applications) = found else {
        let text = format!("there is no Worker \"{name}\" at {}", target.url);
        return Err(CliError::new(Kind::Failure, text));
    };
    if !args.force && !confirm(&question(&name, &applications), printer)? {
        printer.info("Nothing is deleted");
        return Ok(());
    }
    let path = client.path(&format!("/workers/services/{name}?force={}", args.force));
    let _: Value = client.ask(Request::delete(path)).await.map_err(&refused)?;
    for Application { id, .. } in &applications {
        let path = client.path(&format!("/containers/applications/{id}"));
        let gone: Result<Option<Value>, _> = client.find(Request::delete(path)).await;
        gone.map_err(failed("delete the Worker's containers"))?;
    }
    printer.success(format_args!("Deleted {name}"));
    Ok(())
}

fn config(args: &DeleteArgs, printer: &Printer) -> Result<Config, CliError> {
    load(Purpose::Deploy, args.place.path(), args.place.env.as_deref(), printer)
}

/// A container application.
struct Application {
    id: String,
    name: String,
}

/// The applications of the Worker's classes; `None` if there is no such Worker.
async fn owned(client: &Client, name: &str) -> Result<Option<Vec<Application>>, ApiError> {
    let service = client.path(&format!("/workers/services/{name}"));
    let service: Option<Value> = client.find(Request::get(service)).await?;
    if service.is_none() {
        return Ok(None);
    }
    let path = client.path("/workers/durable_objects/namespaces?per_page=1000&page=1");
    let namespaces: Vec<Value> = client.ask(Request::get(path)).await?;
    let applications: Vec<Value> =
        client.ask(Request::get(client.path("/containers/applications"))).await?;
    let is_own = |application: &&Value| {
        let id = &application["durable_objects"]["namespace_id"];
        let mut own = namespaces.iter().filter(|it| it["script"] == json!(name));
        own.any(|namespace| namespace["id"] == *id)
    };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let own = applications.iter().filter(is_own);
    Ok(Some(own.map(|it| Application { id: text(&it["id"]), name: text(&it["name"]) }).collect()))
}

fn question(name: &str, applications: &[Application]) -> String {
    let names: Vec<_> = applications.iter().map(|one| one.name.as_str()).collect();
    let containers = match names.as_slice() {
        [] => String::new(),
        names => format!(", and the containers {}", names.join(", ")),
    };
    format!(
        "Delete the Worker \"{name}\" with all that its Durable Objects have stored{containers}?"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_question_names_everything_that_goes() {
        let application = Application { id: "1".into(), name: "w-c".into() };
        assert!(question("w", &[application]).ends_with("stored, and the containers w-c?"));
        assert!(question("w", &[]).ends_with("stored?"));
    }
}

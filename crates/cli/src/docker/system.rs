//! `info`, `version` and `context ls`.

use http::Method;
use serde_json::{Map, Value, json};

use super::Ended;
use super::args::{ContextArgs, FormatArgs};
use super::client::Client;
use super::output::{self, Format};
use crate::error::CliError;
use crate::printer::Printer;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What the engine says; without one, what this machine is: builds and images need none.
pub(super) async fn info(host: Option<&str>, args: &FormatArgs, printer: &Printer) -> Ended {
    let client = Client::new(host)?;
    // An engine that was named has to answer.
    let there = host.is_some() || client.is_there();
    let mut info = match there {
        true => client.call(Method::GET, "/info", None).await?,
        false => agent::engine::machine_info(VERSION),
    };
    info["ClientInfo"] = json!({"Context": "default", "Version": VERSION});
    if let Some(format) = &args.format {
        let format = if format == "json" { "{{json .}}" } else { format };
        let text = output::template(format)?.apply(&info);
        printer.data(text.map_err(|error| output::wrong(&error))?);
        return Ok(0);
    }
    let text = |key: &str| match &info[key] {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    };
    printer.data(format_args!("Client: berth-docker {VERSION}"));
    match there {
        true => printer.data(format_args!("Server: {}", client.address())),
        false => printer.data(
            "Server: none (images and builds need none; containers do: `berth docker serve`)",
        ),
    }
    for (title, key) in [
        ("Server Version", "ServerVersion"),
        ("Containers", "Containers"),
        ("Running", "ContainersRunning"),
        ("Images", "Images"),
        ("Storage Driver", "Driver"),
        ("Kernel Version", "KernelVersion"),
        ("OSType", "OSType"),
        ("Architecture", "Architecture"),
        ("CPUs", "NCPU"),
        ("Name", "Name"),
        ("Docker Root Dir", "DockerRootDir"),
    ] {
        printer.data(format_args!(" {title}: {}", text(key)));
    }
    Ok(0)
}

pub(super) async fn version(host: Option<&str>, args: &FormatArgs, printer: &Printer) -> Ended {
    let client = Client::new(host)?;
    let (newest, _) = agent::engine::API_VERSIONS;
    let own = json!({"Version": VERSION, "ApiVersion": newest, "DefaultAPIVersion": newest,
        "Os": "linux", "Arch": image::Platform::host().architecture(), "Context": "default"});
    let server = match host.is_some() || client.is_there() {
        true => client.call(Method::GET, "/version", None).await?,
        false => Value::Null,
    };
    let both = json!({"Client": own, "Server": server});
    if let Some(format) = &args.format {
        let format = if format == "json" { "{{json .}}" } else { format };
        let text = output::template(format)?.apply(&both);
        printer.data(text.map_err(|error| output::wrong(&error))?);
        return Ok(0);
    }
    printer.data(format_args!("Client: berth-docker {VERSION} (API {newest})"));
    match server["Version"].as_str() {
        Some(version) => {
            printer.data(format_args!("Server: Berth {version} at {}", client.address()))
        }
        None => printer.data("Server: none"),
    }
    Ok(0)
}

/// There is one context: the engine that is asked.
pub(super) fn contexts(host: Option<&str>, args: &ContextArgs, printer: &Printer) -> Ended {
    let client = Client::new(host)?;
    if args.quiet {
        printer.data("default");
        return Ok(0);
    }
    let row: Map<String, Value> = match json!({
        "Current": true,
        "Description": "Berth's engine",
        "DockerEndpoint": client.address(),
        "Error": "",
        "Name": "default",
    }) {
        Value::Object(row) => row,
        _ => Map::new(),
    };
    let columns = [
        ("NAME", "Name"),
        ("DESCRIPTION", "Description"),
        ("DOCKER ENDPOINT", "DockerEndpoint"),
        ("ERROR", "Error"),
    ];
    Format::parse(args.format.as_deref(), &columns)?.print(&[row], printer).map(|()| 0)
}

/// A call's error as a line, for commands that go on with the next name.
pub(super) fn said(error: &CliError, printer: &Printer) {
    printer.error(error);
}

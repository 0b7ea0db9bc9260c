//! Commands about containers: calls of the Engine API, and what comes of them.

use http::Method;
use serde_json::{Map, Value, json};

use super::args::{ContainerCommand, ExecArgs, InspectArgs, LogsArgs, PsArgs, StartArgs, StopArgs};
use super::client::{Client, escaped};
use super::output::{self, Format, ago, short_id};
use super::terminal::{self, Streams};
use super::{Ended, run as running, session, system};
use crate::error::{CliError, Kind};
use crate::printer::Printer;

pub(super) async fn run(host: Option<&str>, command: ContainerCommand, printer: &Printer) -> Ended {
    let client = Client::new(host)?;
    match command {
        ContainerCommand::Ps(args) => list(&client, &args, printer).await,
        ContainerCommand::Start(args) => start(&client, &args, printer).await,
        ContainerCommand::Logs(args) => logs(&client, &args).await,
        ContainerCommand::Exec(args) => exec(&client, &args).await,
        ContainerCommand::Stop(args) => stop(&client, "stop", &args, printer).await,
        ContainerCommand::Restart(args) => stop(&client, "restart", &args, printer).await,
        ContainerCommand::Kill(args) => {
            let query = format!("kill?signal={}", escaped(&args.signal));
            each(&client, Method::POST, &args.names, &query, printer).await
        }
        ContainerCommand::Rm(args) => {
            let query = format!("?force={}&v={}", u8::from(args.force), u8::from(args.volumes));
            each(&client, Method::DELETE, &args.names, &query, printer).await
        }
        ContainerCommand::Wait(args) => {
            for name in &args.names {
                let target = format!("/containers/{}/wait", escaped(name));
                let wait = client.stream(Method::POST, &target).await?;
                printer.data(running::exit_code(wait).await?);
            }
            Ok(0)
        }
        ContainerCommand::Top(args) => {
            let target = format!("/containers/{}/top", escaped(&args.name));
            let top = client.call(Method::GET, &target, None).await?;
            let words = |value: &Value| -> Vec<String> {
                let list = value.as_array().into_iter().flatten();
                list.filter_map(|word| word.as_str().map(str::to_owned)).collect()
            };
            let titles = words(&top["Titles"]);
            let columns: Vec<(&str, &str)> =
                titles.iter().map(|title| (title.as_str(), title.as_str())).collect();
            let row = |process: &Value| -> Map<String, Value> {
                titles.iter().cloned().zip(words(process).into_iter().map(Value::String)).collect()
            };
            let rows: Vec<_> = top["Processes"].as_array().into_iter().flatten().map(row).collect();
            Format::parse(None, &columns)?.print(&rows, printer).map(|()| 0)
        }
        ContainerCommand::Port(args) => {
            let target = format!("/containers/{}/json", escaped(&args.name));
            let container = client.call(Method::GET, &target, None).await?;
            let ports = container["NetworkSettings"]["Ports"].as_object().into_iter().flatten();
            for (port, bindings) in ports {
                for binding in bindings.as_array().into_iter().flatten() {
                    let text = |key: &str| binding[key].as_str().unwrap_or_default();
                    printer.data(format_args!("{port} -> {}:{}", text("HostIp"), text("HostPort")));
                }
            }
            Ok(0)
        }
    }
}

/// One call for each name, which is printed; what fails does not keep the others.
async fn each(
    client: &Client,
    method: Method,
    names: &[String],
    query: &str,
    printer: &Printer,
) -> Ended {
    let mut code = 0;
    for name in names {
        let between = if query.starts_with('?') { "" } else { "/" };
        let target = format!("/containers/{}{between}{query}", escaped(name));
        match client.call(method.clone(), &target, None).await {
            Ok(_) => printer.data(name),
            Err(error) => {
                system::said(&error, printer);
                code = 1;
            }
        }
    }
    Ok(code)
}

async fn stop(client: &Client, what: &str, args: &StopArgs, printer: &Printer) -> Ended {
    let mut query = format!("{what}?");
    if let Some(time) = args.time {
        query += &format!("t={time}&");
    }
    if let Some(signal) = &args.signal {
        query += &format!("signal={}", escaped(signal));
    }
    each(client, Method::POST, &args.names, &query, printer).await
}

async fn start(client: &Client, args: &StartArgs, printer: &Printer) -> Ended {
    if !args.attach && !args.interactive {
        return each(client, Method::POST, &args.names, "start", printer).await;
    }
    let [name] = &args.names[..] else {
        return Err(CliError::new(Kind::Usage, "only one container can be attached to"));
    };
    let path = format!("/containers/{}", escaped(name));
    let container = client.call(Method::GET, &format!("{path}/json"), None).await?;
    let tty = container["Config"]["Tty"] == true;
    let stdin = u8::from(args.interactive);
    let target = format!("{path}/attach?stream=1&stdout=1&stderr=1&stdin={stdin}");
    let attached = client.hijack(&target, None).await?;
    let wait = client.stream(Method::POST, &format!("{path}/wait?condition=next-exit")).await?;
    client.call(Method::POST, &format!("{path}/start"), None).await?;
    terminal::serve(attached, Streams { stdin: args.interactive, tty }).await?;
    running::exit_code(wait).await
}

async fn logs(client: &Client, args: &LogsArgs) -> Ended {
    let path = format!("/containers/{}", escaped(&args.name));
    let container = client.call(Method::GET, &format!("{path}/json"), None).await?;
    let mut target = format!(
        "{path}/logs?stdout=1&stderr=1&follow={}&timestamps={}&tail={}",
        u8::from(args.follow),
        u8::from(args.timestamps),
        escaped(&args.tail)
    );
    for (key, value) in [("since", &args.since), ("until", &args.until)] {
        if let Some(value) = value {
            target += &format!("&{key}={}", escaped(&moment(value)?));
        }
    }
    let body = client.stream(Method::GET, &target).await?;
    let reader = reader(body);
    let printed = if container["Config"]["Tty"] == true {
        terminal::copy(reader).await
    } else {
        terminal::demultiplex(reader).await
    };
    printed.map_err(|error| CliError::failure("read the log", error))?;
    Ok(0)
}

/// A time, or how long ago: `10m` is ten minutes before now.
fn moment(text: &str) -> Result<String, CliError> {
    match ::project::config::parse_duration(text) {
        Some(ago) => {
            let now = jiff::Timestamp::now().as_second();
            let then = now.saturating_sub(i64::try_from(ago.as_secs()).unwrap_or(i64::MAX));
            Ok(then.to_string())
        }
        None => Ok(text.to_owned()),
    }
}

/// A body as it comes, to be read from.
pub(super) fn reader(body: hyper::body::Incoming) -> impl tokio::io::AsyncRead + Unpin {
    use http_body_util::BodyExt as _;
    let (mut to, from) = tokio::io::duplex(256 * 1024);
    tokio::spawn(async move {
        let mut body = body;
        while let Some(Ok(frame)) = body.frame().await {
            if let Ok(data) = frame.into_data()
                && tokio::io::AsyncWriteExt::write_all(&mut to, &data).await.is_err()
            {
                return;
            }
        }
    });
    from
}

async fn exec(client: &Client, args: &ExecArgs) -> Ended {
    let options = &args.process;
    let attached = !options.detach;
    let env: Vec<String> =
        options.env.iter().filter_map(|text| running::variable_of(text)).collect();
    let body = json!({
        "AttachStdin": options.interactive && attached,
        "AttachStdout": attached,
        "AttachStderr": attached,
        "Tty": options.tty,
        "Cmd": args.command,
        "Env": env,
        "WorkingDir": options.workdir,
        "User": options.user,
    });
    let target = format!("/containers/{}/exec", escaped(&args.name));
    let created = client.call(Method::POST, &target, Some(&body)).await?;
    let id = created["Id"].as_str().unwrap_or_default();
    let start = format!("/exec/{id}/start");
    if options.detach {
        let body = json!({"Detach": true, "Tty": options.tty});
        client.call(Method::POST, &start, Some(&body)).await?;
        return Ok(0);
    }
    let size = terminal::size().filter(|_| options.tty);
    let body = json!({"Detach": false, "Tty": options.tty, "ConsoleSize": size});
    let stream = client.hijack(&start, Some(&body)).await?;
    terminal::serve(stream, Streams { stdin: options.interactive, tty: options.tty }).await?;
    let ended = client.call(Method::GET, &format!("/exec/{id}/json"), None).await?;
    Ok(u8::try_from(ended["ExitCode"].as_u64().unwrap_or(0) & 0xff).unwrap_or(1))
}

/// Containers first, then images, as Docker.
pub(super) async fn inspect(host: Option<&str>, args: &InspectArgs, printer: &Printer) -> Ended {
    let client = Client::new(host)?;
    let (container, image) = match args.kind.as_deref() {
        None => (client.is_there(), true),
        Some("container") => (true, false),
        Some("image") => (false, true),
        Some(other) => {
            return Err(CliError::new(Kind::Usage, format!("\"{other}\" is no type to inspect")));
        }
    };
    let mut found = Vec::new();
    let mut missing = None;
    for name in &args.names {
        if container {
            let target = format!("/containers/{}/json", escaped(name));
            if let Ok(value) = client.ask(Method::GET, &target, None).await? {
                found.push(value);
                continue;
            }
        }
        let value = if image { session::images()?.inspect(name).ok() } else { None };
        match value {
            Some(value) => found.push(value),
            None => missing = Some(CliError::new(Kind::Failure, format!("No such object: {name}"))),
        }
    }
    output::inspected(&found, args.format.as_deref(), printer)?;
    missing.map_or(Ok(0), Err)
}

async fn list(client: &Client, args: &PsArgs, printer: &Printer) -> Ended {
    let last = args.last.or(args.latest.then_some(1)).unwrap_or(0);
    let target = format!(
        "/containers/json?all={}&limit={last}&filters={}",
        u8::from(args.all),
        escaped(&output::filters(&args.filter)?)
    );
    let listed = client.call(Method::GET, &target, None).await?;
    let listed = listed.as_array().cloned().unwrap_or_default();
    if args.quiet {
        for container in &listed {
            printer.data(short_id(container["Id"].as_str().unwrap_or_default(), args.no_trunc));
        }
        return Ok(0);
    }
    let columns = [
        ("CONTAINER ID", "ID"),
        ("IMAGE", "Image"),
        ("COMMAND", "Command"),
        ("CREATED", "RunningFor"),
        ("STATUS", "Status"),
        ("PORTS", "Ports"),
        ("NAMES", "Names"),
    ];
    let format = Format::parse(args.format.as_deref(), &columns)?;
    let rows: Vec<_> = listed.iter().map(|container| row(container, args.no_trunc)).collect();
    format.print(&rows, printer).map(|()| 0)
}

fn row(container: &Value, whole: bool) -> Map<String, Value> {
    let text = |key: &str| container[key].as_str().unwrap_or_default();
    let created = container["Created"].as_i64().unwrap_or_default();
    let command = text("Command");
    let cut = || format!("{}…", command.chars().take(19).collect::<String>());
    let shown = if whole || command.chars().count() <= 20 { command.to_owned() } else { cut() };
    let names = container["Names"].as_array().into_iter().flatten();
    let names: Vec<&str> =
        names.filter_map(Value::as_str).map(|name| name.trim_start_matches('/')).collect();
    let labels = container["Labels"].as_object().into_iter().flatten();
    let labels: Vec<String> = labels
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    let port = |port: &Value| {
        let inside = format!("{}/{}", port["PrivatePort"], port["Type"].as_str().unwrap_or("tcp"));
        match port["PublicPort"].as_u64() {
            Some(public) => {
                format!("{}:{public}->{inside}", port["IP"].as_str().unwrap_or_default())
            }
            None => inside,
        }
    };
    let ports: Vec<String> =
        container["Ports"].as_array().into_iter().flatten().map(port).collect();
    let row = json!({
        "ID": short_id(text("Id"), whole),
        "Image": text("Image"),
        "Command": format!("\"{shown}\""),
        "CreatedAt": jiff::Timestamp::from_second(created).unwrap_or_default().to_string(),
        "RunningFor": ago(created),
        "Status": text("Status"),
        "State": text("State"),
        "Ports": ports.join(", "),
        "Names": names.join(","),
        "Labels": labels.join(","),
        "Mounts": "",
        "Networks": "bridge",
        "LocalVolumes": "0",
        "Size": "0B",
    });
    row.as_object().cloned().unwrap_or_default()
}

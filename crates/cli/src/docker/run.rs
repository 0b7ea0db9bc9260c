//! `run` and `create`: a container from options, attached to or left alone.

use std::path::Path;

use http::Method;
use http::StatusCode;
use serde_json::{Map, Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::signal::unix::{SignalKind, signal};

use super::Ended;
use super::args::{RunArgs, RunOptions};
use super::client::{Client, Refused, escaped};
use super::containers::reader;
use super::terminal::{self, Streams};
use crate::error::{CliError, Kind};
use crate::printer::Printer;

/// What `docker run` exits with when it is not the program that failed.
const FAILED: u8 = 125;

pub(super) async fn create(host: Option<&str>, args: RunArgs, printer: &Printer) -> Ended {
    let client = Client::new(host)?;
    let id = make(&client, &args, printer).await?;
    printer.data(id);
    Ok(0)
}

pub(super) async fn run(host: Option<&str>, args: RunArgs, printer: &Printer) -> Ended {
    let ended = run_container(host, &args, printer).await;
    ended.or_else(|error| {
        printer.error(&error);
        Ok(code_of(&error))
    })
}

/// Docker's exit codes: 127 for a program that is not there, 126 for one that cannot be run.
fn code_of(error: &CliError) -> u8 {
    let text = error.to_string();
    if matches!(error.kind, Kind::Interrupted) {
        130
    } else if text.contains("executable file not found") || text.contains("no such file") {
        127
    } else if text.contains("permission denied") {
        126
    } else {
        FAILED
    }
}

async fn run_container(host: Option<&str>, args: &RunArgs, printer: &Printer) -> Ended {
    let client = Client::new(host)?;
    let options = &args.options;
    let id = make(&client, args, printer).await?;
    let path = format!("/containers/{id}");
    if options.process.detach {
        start(&client, &path, options.rm).await?;
        printer.data(id);
        return Ok(0);
    }
    let streams = Streams { stdin: options.process.interactive, tty: options.process.tty };
    let stdin = u8::from(options.process.interactive);
    let attach = format!("{path}/attach?stream=1&stdout=1&stderr=1&stdin={stdin}");
    let attached = client.hijack(&attach, None).await?;
    // Asked before the start, so that no end is missed.
    let condition = if options.rm { "removed" } else { "next-exit" };
    let wait = client.stream(Method::POST, &format!("{path}/wait?condition={condition}")).await?;
    resize(&client, &path, options.process.tty).await;
    start(&client, &path, options.rm).await?;
    let signals = tokio::spawn(hand_on_signals(client.clone(), path.clone(), options.process.tty));
    let served = terminal::serve(attached, streams).await;
    let code = exit_code(wait).await;
    signals.abort();
    served?;
    code
}

async fn start(client: &Client, path: &str, removes: bool) -> Result<(), CliError> {
    let started = client.call(Method::POST, &format!("{path}/start"), None).await;
    if started.is_err() && removes {
        // As Docker: what never ran is not left.
        let _ = client.call(Method::DELETE, &format!("{path}?force=1"), None).await;
    }
    started.map(|_| ())
}

async fn resize(client: &Client, path: &str, tty: bool) {
    if let (true, Some((rows, columns))) = (tty, terminal::size()) {
        let target = format!("{path}/resize?h={rows}&w={columns}");
        let _ = client.call(Method::POST, &target, None).await;
    }
}

/// The code in the body of a `wait`.
pub(super) async fn exit_code(wait: hyper::body::Incoming) -> Ended {
    let body = http_body_util::BodyExt::collect(wait).await;
    let body = body.map_err(|error| CliError::failure("wait for the container", error))?;
    let value: Value = serde_json::from_slice(&body.to_bytes()).unwrap_or(Value::Null);
    let code = value["StatusCode"].as_u64();
    let code = code.ok_or_else(|| CliError::new(Kind::Failure, "the engine went away"))?;
    Ok(u8::try_from(code & 0xff).unwrap_or(FAILED))
}

/// What this process is told to end by, the container is; a terminal's keys go there by themselves.
async fn hand_on_signals(client: Client, path: String, tty: bool) {
    let kinds = [
        (SignalKind::interrupt(), "INT"),
        (SignalKind::terminate(), "TERM"),
        (SignalKind::hangup(), "HUP"),
    ];
    let mut streams = Vec::new();
    for (kind, name) in kinds {
        streams.extend(signal(kind).ok().map(|stream| (stream, name)));
    }
    let Ok(mut window) = signal(SignalKind::window_change()) else { return };
    let mut tasks = tokio::task::JoinSet::new();
    for (mut stream, name) in streams {
        let (client, path) = (client.clone(), path.clone());
        tasks.spawn(async move {
            while stream.recv().await.is_some() {
                let target = format!("{path}/kill?signal={name}");
                let _ = client.call(Method::POST, &target, None).await;
            }
        });
    }
    while window.recv().await.is_some() {
        resize(&client, &path, tty).await;
    }
}

/// Creates the container; an image that is missing is pulled first.
async fn make(client: &Client, args: &RunArgs, printer: &Printer) -> Result<String, CliError> {
    let options = &args.options;
    let body = body(args)?;
    let mut target = "/containers/create?".to_owned();
    if let Some(name) = &options.name {
        target += &format!("name={}&", escaped(name));
    }
    if let Some(platform) = &options.platform {
        target += &format!("platform={}", escaped(platform));
    }
    if options.pull == "always" {
        pull(client, args).await?;
    }
    let mut created = client.ask(Method::POST, &target, Some(&body)).await?;
    if let Err(refused) = &created
        && refused.status == StatusCode::NOT_FOUND
        && options.pull == "missing"
    {
        printer.info(format_args!("Unable to find image '{}' locally", args.image));
        pull(client, args).await?;
        created = client.ask(Method::POST, &target, Some(&body)).await?;
    }
    let created = created.map_err(Refused::error)?;
    let id = created["Id"].as_str().unwrap_or_default().to_owned();
    if let Some(path) = &options.cidfile {
        fs_err::write(path, &id)
            .map_err(|error| CliError::failure("write the container's id", error))?;
    }
    Ok(id)
}

/// Has the engine pull the image. Standard output is the container's, so nothing is told.
async fn pull(client: &Client, args: &RunArgs) -> Result<(), CliError> {
    let mut target = format!("/images/create?fromImage={}", escaped(&args.image));
    if let Some(platform) = &args.options.platform {
        target += &format!("&platform={}", escaped(platform));
    }
    let messages = BufReader::new(reader(client.stream(Method::POST, &target).await?));
    let mut messages = messages.lines();
    let failed = |error| CliError::failure("pull the image", error);
    while let Some(message) = messages.next_line().await.map_err(failed)? {
        let message: Value = serde_json::from_str(&message).unwrap_or_default();
        if let Some(error) = message["error"].as_str() {
            return Err(CliError::new(Kind::Failure, error));
        }
    }
    Ok(())
}

/// The body of a `create`.
fn body(args: &RunArgs) -> Result<Value, CliError> {
    let options = &args.options;
    let mut env = Vec::new();
    for file in &options.env_file {
        env.extend(env_file(file)?);
    }
    for variable in &options.process.env {
        env.extend(variable_of(variable));
    }
    let (exposed, bindings) = ports(&options.publish)?;
    let pairs = |list: &[String]| -> Map<String, Value> {
        let pair = |text: &String| {
            let (key, value) = text.split_once('=').unwrap_or((text, ""));
            (key.to_owned(), json!(value))
        };
        list.iter().map(pair).collect()
    };
    let tmpfs = options.tmpfs.iter().map(|text| {
        let (path, rest) = text.split_once(':').unwrap_or((text, ""));
        (path.to_owned(), json!(rest))
    });
    let (binds, volumes): (Vec<&String>, Vec<&String>) =
        options.volume.iter().partition(|volume| volume.contains(':'));
    let anonymous: Map<String, Value> =
        volumes.into_iter().map(|path| (path.clone(), json!({}))).collect();
    let attached = !options.process.detach;
    Ok(json!({
        "Image": args.image,
        "Cmd": if args.command.is_empty() { Value::Null } else { json!(args.command) },
        "Entrypoint": options.entrypoint.as_ref().map(|entrypoint| {
            if entrypoint.is_empty() { vec![] } else { vec![entrypoint.clone()] }
        }),
        "Env": env,
        "Labels": pairs(&options.label),
        "Tty": options.process.tty,
        "OpenStdin": options.process.interactive,
        "StdinOnce": options.process.interactive && attached,
        "AttachStdin": options.process.interactive && attached,
        "AttachStdout": attached,
        "AttachStderr": attached,
        "WorkingDir": options.process.workdir.clone().unwrap_or_default(),
        "User": options.process.user.clone().unwrap_or_default(),
        "Hostname": options.hostname.clone().unwrap_or_default(),
        "StopSignal": options.stop_signal,
        "StopTimeout": options.stop_timeout,
        "ExposedPorts": exposed,
        "Volumes": anonymous,
        "HostConfig": host_config(options, &binds, tmpfs.collect(), bindings)?,
    }))
}

fn host_config(
    options: &RunOptions,
    binds: &[&String],
    tmpfs: Map<String, Value>,
    bindings: Map<String, Value>,
) -> Result<Value, CliError> {
    let memory = match &options.memory {
        Some(text) => bytes(text).ok_or_else(|| {
            CliError::new(Kind::Usage, format!("`{text}` is no size such as 64m"))
        })?,
        None => 0,
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "no machine has that many"
    )]
    let cpus = (options.cpus.unwrap_or_default().clamp(0.0, 1e6) * 1e9) as u64;
    let binds = binds.iter().map(|bind| absolute(bind)).collect::<Result<Vec<_>, _>>()?;
    Ok(json!({
        "AutoRemove": options.rm,
        "Binds": binds,
        "Tmpfs": tmpfs,
        "PortBindings": bindings,
        "PublishAllPorts": options.publish_all,
        "Memory": memory,
        "NanoCpus": cpus,
        "PidsLimit": options.pids_limit,
        "NetworkMode": options.network.clone().unwrap_or_else(|| "default".to_owned()),
    }))
}

/// A relative source of a bind is in this folder.
fn absolute(bind: &str) -> Result<String, CliError> {
    match bind.strip_prefix('.') {
        Some(_) => {
            let here = std::env::current_dir();
            let here = here.map_err(|error| CliError::failure("find the current folder", error))?;
            let (source, rest) = bind.split_once(':').unwrap_or((bind, ""));
            let source = here.join(source);
            let source = fs_err::canonicalize(&source).unwrap_or(source);
            Ok(format!("{}:{rest}", source.display()))
        }
        None => Ok(bind.to_owned()),
    }
}

/// `NAME=value`, or this process's value of `NAME`.
pub(super) fn variable_of(text: &str) -> Option<String> {
    match text.contains('=') {
        true => Some(text.to_owned()),
        false => std::env::var(text).ok().map(|value| format!("{text}={value}")),
    }
}

fn env_file(path: &Path) -> Result<Vec<String>, CliError> {
    let text = fs_err::read_to_string(path);
    let text = text.map_err(|error| CliError::failure("read the environment file", error))?;
    let lines = text.lines().map(str::trim_start).filter(|l| !l.is_empty() && !l.starts_with('#'));
    Ok(lines.filter_map(variable_of).collect())
}

/// The ports of `-p`, as the engine wants them.
type Ports = (Map<String, Value>, Map<String, Value>);

/// `ExposedPorts` and `PortBindings` of `[ip:][outside:]inside[/tcp]` for each `-p`.
fn ports(publish: &[String]) -> Result<Ports, CliError> {
    let (mut exposed, mut bindings) = (Map::new(), Map::new());
    for text in publish {
        let wrong = || {
            let said = format!("`{text}` is no port to publish");
            CliError::new(Kind::Usage, said).hint("write [IP:][PORT:]PORT, such as 8080:80")
        };
        let (rest, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        let (front, inside) = match rest.rsplit_once(':') {
            Some((front, inside)) => (Some(front), inside),
            None => (None, rest),
        };
        let (ip, outside) = match front {
            Some(front) => front.rsplit_once(':').unwrap_or(("", front)),
            None => ("", ""),
        };
        let is_port = |port: &str| port.parse::<u16>().is_ok();
        if !is_port(inside) || !(outside.is_empty() || is_port(outside)) {
            return Err(wrong());
        }
        let key = format!("{inside}/{protocol}");
        exposed.insert(key.clone(), json!({}));
        let binding = json!({"HostIp": ip.trim_matches(['[', ']']), "HostPort": outside});
        let list = bindings.entry(key).or_insert_with(|| json!([]));
        list.as_array_mut().ok_or_else(wrong)?.push(binding);
    }
    Ok((exposed, bindings))
}

/// `64m`, `1.5g`, `4096`.
fn bytes(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text[digits.len()..].to_ascii_lowercase().trim_end_matches('b') {
        "" => 1_u64,
        "k" => 1 << 10,
        "m" => 1 << 20,
        "g" => 1 << 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_ports_have_dockers_forms() {
        let publish = ["8080:80", "127.0.0.1:53:53/udp", "9"].map(str::to_owned);
        let (exposed, bindings) = ports(&publish).unwrap();
        assert_eq!(exposed.len(), 3);
        assert_eq!(bindings["80/tcp"][0]["HostPort"], "8080");
        assert_eq!(bindings["53/udp"][0]["HostIp"], "127.0.0.1");
        assert_eq!(bindings["9/tcp"][0]["HostPort"], "");
        for bad in ["", "a", "80:x", "70000"] {
            assert!(ports(&[bad.to_owned()]).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_have_units() {
        assert_eq!(bytes("64m"), Some(64 << 20));
        assert_eq!(bytes("1GB"), Some(1 << 30));
        assert_eq!(bytes("x"), None);
    }
}

//! `berth containers ssh`: the system's `ssh`, led into an instance.
//!
//! `ssh` runs this command again as its `ProxyCommand`, which asks the API for a ticket of its own: so
//! neither a token nor a ticket stands on a command line.

use std::ffi::OsString;
use std::io::{ErrorKind, Write as _};
use std::path::Path;

use futures_util::{SinkExt as _, StreamExt as _};
use project::config::Secret;
use serde::Deserialize;
use tempfile::NamedTempFile;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::process::Command;
use tokio_tungstenite::tungstenite::Message;

use super::client;
use crate::api::{Client, Request, Socket, escaped, failed, open_socket};
use crate::args::SshArgs;
use crate::docker::terminal::{self, Streams};
use crate::error::CliError;

const ATTEMPT: &str = "reach the instance by SSH";
/// The user that the platform lets in, as Cloudflare.
const USER: &str = "cloudchamber";
/// The name by which `ssh` looks for the platform's key: addresses are none of its own.
const HOST: &str = "berth-instance";
/// What `ssh` ends with when it is killed, or fails itself.
const FAILED: u8 = 255;
/// Bytes of what is typed in one message.
const CHUNK: usize = 16 * 1024;
/// Bytes on their way that nobody has taken yet.
const BUFFER: usize = 64 * 1024;

/// Where an instance's SSH server is, and what leads there.
#[derive(Deserialize)]
struct Ticket {
    url: String,
    token: String,
    /// The server's key; Cloudflare tells none.
    host_key: Option<String>,
}

/// Its exit code is that of the command, or of `ssh`.
pub(super) async fn run(args: &SshArgs) -> Result<u8, CliError> {
    let client = client(&args.place).await?;
    let ticket = ticket(&client, &args.instance).await?;
    match args.stdio {
        true => carry(&ticket).await.map(|()| 0),
        false => shell(args, &ticket).await,
    }
}

async fn ticket(client: &Client, instance: &str) -> Result<Ticket, CliError> {
    let path = client.path(&format!("/containers/instances/{}/ssh", escaped(instance)));
    client.ask(Request::get(path)).await.map_err(failed(ATTEMPT))
}

/// Runs `ssh`, which knows the platform's key and asks this program for the way.
async fn shell(args: &SshArgs, ticket: &Ticket) -> Result<u8, CliError> {
    let own = std::env::current_exe();
    let own = own.map_err(|error| CliError::failure("find this program", error))?;
    let known = known_hosts(ticket.host_key.as_deref());
    let known = known.map_err(|error| CliError::failure("write down the platform's key", error))?;
    let words = words(args, &own, known.as_ref().map(NamedTempFile::path));
    let status = Command::new("ssh").args(words).status().await;
    let status = status.map_err(|error| {
        let missing = error.kind() == ErrorKind::NotFound;
        let failure = CliError::failure("run ssh", error);
        if missing { failure.hint("install OpenSSH's client") } else { failure }
    })?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.unwrap_or(FAILED))
}

/// A file for `ssh` with the platform's key, which is there as long as this.
fn known_hosts(host_key: Option<&str>) -> std::io::Result<Option<NamedTempFile>> {
    let Some(key) = host_key else { return Ok(None) };
    let mut file = NamedTempFile::new()?;
    writeln!(file, "{HOST} {key}")?;
    Ok(Some(file))
}

/// The words after `ssh`: those that wrangler gives it, but that the platform's key is looked at.
fn words(args: &SshArgs, own: &Path, known_hosts: Option<&Path>) -> Vec<OsString> {
    let mut words = vec![OsString::from(format!("{USER}@{}", args.instance))];
    let mut option = |text: String| words.extend([OsString::from("-o"), OsString::from(text)]);
    option(format!("ProxyCommand={}", proxy_command(args, own)));
    option(format!("HostKeyAlias={HOST}"));
    for text in ["ControlMaster=no", "ControlPath=none", "UpdateHostKeys=no", "LogLevel=ERROR"] {
        option(text.to_owned());
    }
    let (file, strict) = match known_hosts {
        Some(path) => (format!("\"{}\"", path.display()), "yes"),
        None => ("/dev/null".to_owned(), "no"),
    };
    option(format!("UserKnownHostsFile={file}"));
    option("GlobalKnownHostsFile=/dev/null".to_owned());
    option(format!("StrictHostKeyChecking={strict}"));
    if args.tty {
        option("RequestTTY=force".to_owned());
    }
    if let Some(identity) = &args.identity_file {
        // Else each key of an agent would be tried before it.
        option("IdentitiesOnly=yes".to_owned());
        words.extend([OsString::from("-i"), OsString::from(identity)]);
    }
    words.push("--".into());
    words.extend(args.command.iter().map(OsString::from));
    words
}

/// This command as the one that `ssh` gives to a shell.
fn proxy_command(args: &SshArgs, own: &Path) -> String {
    let own = own.to_string_lossy();
    let mut words = vec![&*own, "containers", "ssh", "--stdio"];
    if let Some(environment) = &args.place.env {
        words.extend(["--env", environment.as_str()]);
    }
    words.extend(["--", args.instance.as_str()]);
    let quoted = words.into_iter().map(quoted).collect::<Vec<_>>();
    quoted.join(" ")
}

/// A word as a shell takes it, after `ssh` has replaced what begins with `%`.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''").replace('%', "%%"))
}

/// Hands bytes between standard input and output and the instance's SSH server.
async fn carry(ticket: &Ticket) -> Result<(), CliError> {
    let token = Secret::new(ticket.token.as_str());
    let socket = open_socket(&ticket.url, None, Some(&token)).await;
    let socket = socket.map_err(|error| CliError::failure(ATTEMPT, error))?;
    let (ours, servers) = tokio::io::duplex(BUFFER);
    let relaying = tokio::spawn(relay(socket, servers));
    // Bytes as they are, as a program with a terminal has them.
    let served = terminal::serve(ours, Streams { stdin: true, tty: true }).await;
    relaying.abort();
    served
}

/// Hands bytes between a stream and a WebSocket until either is at its end.
async fn relay(socket: Socket, stream: DuplexStream) {
    let (mut to, mut from) = socket.split();
    let (mut typed, mut shown) = tokio::io::split(stream);
    let typing = async {
        let mut buffer = vec![0; CHUNK];
        while let Ok(count @ 1..) = typed.read(&mut buffer).await {
            if to.send(Message::binary(buffer[..count].to_vec())).await.is_err() {
                return;
            }
        }
        let _ = to.close().await;
    };
    let showing = async {
        while let Some(Ok(message)) = from.next().await {
            if let Message::Binary(bytes) = message
                && shown.write_all(&bytes).await.is_err()
            {
                return;
            }
        }
    };
    tokio::select! {
        () = typing => {}
        () = showing => {}
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    fn args(words: &[&str]) -> SshArgs {
        SshArgs::parse_from([&["ssh"][..], words].concat())
    }

    fn texts(args: &SshArgs, known_hosts: Option<&str>) -> Vec<String> {
        let words = words(args, Path::new("/opt/it's 100%/berth"), known_hosts.map(Path::new));
        words.into_iter().map(|word| word.into_string().unwrap()).collect()
    }

    #[test]
    fn ssh_asks_this_program_for_the_way_and_no_secret_is_on_its_command_line() {
        let words = texts(&args(&["-e", "staging", "i-1"]), Some("/tmp/known"));
        assert_eq!(words[0], "cloudchamber@i-1");
        let proxy = r"ProxyCommand='/opt/it'\''s 100%%/berth' 'containers' 'ssh' '--stdio' '--env' 'staging' '--' 'i-1'";
        assert!(words.iter().any(|word| word == proxy), "{words:?}");
        for word in ["UserKnownHostsFile=\"/tmp/known\"", "StrictHostKeyChecking=yes"] {
            assert!(words.iter().any(|it| it == word), "{words:?}");
        }
        assert_eq!(words.last().map(String::as_str), Some("--"), "a shell");
    }

    #[test]
    fn a_command_a_terminal_and_a_key_are_handed_on() {
        let words = texts(&args(&["-t", "-i", "/k", "i-1", "--", "ls", "-l"]), None);
        assert!(words.ends_with(&["-i", "/k", "--", "ls", "-l"].map(str::to_owned)), "{words:?}");
        for word in ["RequestTTY=force", "IdentitiesOnly=yes", "StrictHostKeyChecking=no"] {
            assert!(words.iter().any(|it| it == word), "{words:?}");
        }
    }

    #[test]
    fn carrying_bytes_takes_no_command() {
        let parsed = SshArgs::try_parse_from(["ssh", "--stdio", "i-1"]);
        assert!(parsed.is_ok_and(|args| args.stdio));
        assert!(SshArgs::try_parse_from(["ssh", "--stdio", "i-1", "--", "ls"]).is_err());
    }
}

//! `berth containers top`: what instances use, of what they may, and what runs in one.

use std::time::Duration;

use jiff::Timestamp;
use model::Limits;
use serde::{Deserialize, Serialize};

use super::client;
use crate::api::{Client, Request, escaped, failed};
use crate::args::TopArgs;
use crate::dev::signals::stop_token;
use crate::docker::terminal;
use crate::error::CliError;
use crate::human::{print_json, table};
use crate::printer::Printer;

/// Between two looks, from which CPU time follows.
const FIRST: Duration = Duration::from_secs(1);
/// The same, once there is something to see.
const EACH: Duration = Duration::from_secs(2);
/// Rows of a terminal, where nobody tells how many it has.
const ROWS: u16 = 24;

/// A process in an instance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Process {
    pid: u32,
    parent: u32,
    user: u32,
    cpu_seconds: f64,
    age_seconds: f64,
    memory_bytes: u64,
    command: String,
}

/// What instances have used until some moment.
#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Look {
    time: Timestamp,
    instances: Vec<Used>,
}

/// What one has used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Used {
    instance: String,
    application: String,
    durable_object: String,
    cpu_seconds: f64,
    memory_bytes: u64,
    processes: u64,
    limits: Limits,
}

/// The same with what it uses now.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    used: &'a Used,
    /// Of one vCPU; none of an instance that was not there a moment ago.
    cpu_percent: Option<f64>,
}

pub(super) async fn run(args: &TopArgs, printer: &Printer) -> Result<(), CliError> {
    let client = client(&args.place).await?;
    match &args.instance {
        Some(instance) => inside(&client, instance, args.json, printer).await,
        None if args.json || terminal::size().is_none() => all(&client, args.json, printer).await,
        None => {
            let following = follow(&client, printer);
            stop_token()?.run_until_cancelled(following).await.unwrap_or(Ok(()))
        }
    }
}

async fn inside(
    client: &Client,
    instance: &str,
    json: bool,
    printer: &Printer,
) -> Result<(), CliError> {
    let path = client.path(&format!("/berth/instances/{}/processes", escaped(instance)));
    let found: Vec<Process> = client
        .ask(Request::get(path))
        .await
        .map_err(failed(&format!("list the processes of the instance {instance}")))?;
    if json {
        return print_json(&found, printer);
    }
    let rows: Vec<_> = found.iter().map(process_row).collect();
    for line in table(["PID", "PPID", "USER", "%CPU", "MEMORY", "TIME", "COMMAND"], &rows) {
        printer.data(line);
    }
    Ok(())
}

/// A process; its part of the CPU is that of its whole life, as with `ps`.
fn process_row(process: &Process) -> [String; 7] {
    let percent = share(process.cpu_seconds, process.age_seconds).unwrap_or_default();
    let seconds = Duration::try_from_secs_f64(process.cpu_seconds).unwrap_or_default().as_secs();
    [
        process.pid.to_string(),
        process.parent.to_string(),
        process.user.to_string(),
        format!("{percent:.1}"),
        mib(process.memory_bytes),
        format!("{}:{:02}", seconds / 60, seconds % 60),
        process.command.clone(),
    ]
}

/// What all instances use, once.
async fn all(client: &Client, json: bool, printer: &Printer) -> Result<(), CliError> {
    let before = look(client).await?;
    let after = match before.instances.is_empty() {
        true => before.clone(),
        false => {
            tokio::time::sleep(FIRST).await;
            look(client).await?
        }
    };
    let shown = compare(&before, &after);
    if json {
        return print_json(&shown, printer);
    }
    if shown.is_empty() {
        printer.info("There are no instances");
        return Ok(());
    }
    lines(&shown).iter().for_each(|line| printer.data(line));
    Ok(())
}

/// The same again and again, on a terminal.
async fn follow(client: &Client, printer: &Printer) -> Result<(), CliError> {
    let mut before = look(client).await?;
    let mut pause = FIRST;
    loop {
        tokio::time::sleep(pause).await;
        pause = EACH;
        let after = look(client).await?;
        let rows = terminal::size().map_or(ROWS, |(rows, _)| rows);
        printer.screen(&fitting(lines(&compare(&before, &after)), rows));
        before = after;
    }
}

async fn look(client: &Client) -> Result<Look, CliError> {
    let path = client.path("/berth/usage");
    client.ask(Request::get(path)).await.map_err(failed("ask what the instances use"))
}

/// What instances use now, by what they had used before and after; who uses most is the first.
fn compare<'a>(before: &Look, after: &'a Look) -> Vec<Shown<'a>> {
    let between = after.time.duration_since(before.time).as_secs_f64();
    let show = |used: &'a Used| {
        let earlier = before.instances.iter().find(|one| one.instance == used.instance);
        let used_since = earlier.map(|earlier| used.cpu_seconds - earlier.cpu_seconds);
        Shown { used, cpu_percent: used_since.and_then(|seconds| share(seconds, between)) }
    };
    let mut shown: Vec<_> = after.instances.iter().map(show).collect();
    let most = |one: &Shown<'_>| one.cpu_percent.unwrap_or_default();
    shown.sort_by(|one, other| {
        let by_memory = || other.used.memory_bytes.cmp(&one.used.memory_bytes);
        most(other).total_cmp(&most(one)).then_with(by_memory)
    });
    shown
}

/// Which part of a time another is, in percent with one digit behind the point.
fn share(used: f64, time: f64) -> Option<f64> {
    (time > 0.0).then(|| (used.max(0.0) / time * 1000.0).round() / 10.0)
}

fn lines(shown: &[Shown<'_>]) -> Vec<String> {
    let row = |Shown { used, cpu_percent }: &Shown<'_>| {
        let Limits { vcpu, memory_mib, pids, .. } = used.limits;
        [
            used.instance.clone(),
            used.application.clone(),
            cpu_percent.map_or_else(|| "-".to_owned(), |percent| format!("{percent:.1}%")),
            format!("{vcpu}"),
            format!("{} / {memory_mib} MiB", mib(used.memory_bytes)),
            format!("{} / {pids}", used.processes),
        ]
    };
    let rows: Vec<_> = shown.iter().map(row).collect();
    table(["INSTANCE", "APPLICATION", "%CPU", "VCPU", "MEMORY", "PROCESSES"], &rows)
}

/// As many lines as a terminal has rows for, and how many there are beside those.
fn fitting(mut lines: Vec<String>, rows: u16) -> Vec<String> {
    // The cursor has a row of its own.
    let most = usize::from(rows.max(3)) - 1;
    if lines.len() > most {
        let left = lines.len() - (most - 1);
        lines.truncate(most - 1);
        lines.push(format!("… and {left} more"));
    }
    lines
}

/// Bytes in MiB, with one digit behind the point.
fn mib(bytes: u64) -> String {
    let tenths = bytes.saturating_mul(10) / (1024 * 1024);
    format!("{}.{} MiB", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use model::InstanceType;

    use super::*;

    fn used(instance: &str, cpu_seconds: f64) -> Used {
        Used {
            instance: instance.to_owned(),
            application: "app".to_owned(),
            durable_object: "o".to_owned(),
            cpu_seconds,
            memory_bytes: 3 * 512 * 1024,
            processes: 2,
            limits: InstanceType::Lite.limits(),
        }
    }

    fn look(second: i64, instances: Vec<Used>) -> Look {
        Look { time: Timestamp::from_second(second).unwrap(), instances }
    }

    #[test]
    fn cpu_is_what_was_used_between_two_looks() {
        let before = look(10, vec![used("idle", 5.0), used("busy", 1.0), used("again", 9.0)]);
        let after = look(
            12,
            vec![used("idle", 5.0), used("new", 3.0), used("busy", 2.25), used("again", 0.5)],
        );
        let shown = compare(&before, &after);
        let brief: Vec<_> =
            shown.iter().map(|one| (one.used.instance.as_str(), one.cpu_percent)).collect();
        assert_eq!(brief[0], ("busy", Some(62.5)));
        assert!(brief.contains(&("new", None)) && brief.contains(&("idle", Some(0.0))));
        assert!(brief.contains(&("again", Some(0.0))));
        let lines = lines(&shown[..1]);
        let words: Vec<_> = lines[1].split_whitespace().collect();
        let expected =
            ["busy", "app", "62.5%", "0.0625", "1.5", "MiB", "/", "256", "MiB", "2", "/", "1000"];
        assert_eq!(words[..10], expected[..10]);
        assert_eq!(compare(&before, &before)[0].cpu_percent, None);
    }

    #[test]
    fn a_process_is_a_row_as_with_ps() {
        let process = Process {
            pid: 2,
            parent: 0,
            user: 1000,
            cpu_seconds: 75.4,
            age_seconds: 150.8,
            memory_bytes: 1024 * 1024,
            command: "/server".to_owned(),
        };
        let expected = ["2", "0", "1000", "50.0", "1.0 MiB", "1:15", "/server"];
        assert_eq!(process_row(&process), expected);
    }

    #[test]
    fn what_has_no_room_on_the_terminal_is_counted() {
        let lines = |count: usize| (0..count).map(|n| n.to_string()).collect::<Vec<_>>();
        assert_eq!(fitting(lines(3), 4), ["0", "1", "2"]);
        assert_eq!(fitting(lines(4), 4), ["0", "1", "… and 2 more"]);
    }
}

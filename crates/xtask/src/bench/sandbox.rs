//! Part (a): a sandbox alone, from the decision to start it until its program answers.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::Inside;
use super::docker::{Api, Docker};
use super::load::GAP;
use super::report::{Figure, Row};
use super::sample::Sample;
use super::session::SERVER_IMAGE;
use crate::http::{Connection, request};

/// Precedes the figures of sandboxes with everything on, until their program answered.
const ANSWERED: &str = "internet, answered: ";
/// Longest time between a started container and its first answer.
const DEADLINE: Duration = Duration::from_secs(30);
/// Between two looks whether a program listens.
const POLL: Duration = Duration::from_micros(300);

/// Berth's runtime without the rest of Berth, as its own example measures it.
pub(crate) fn of_berth(inside: &Inside, label: &str, count: usize) -> Result<Row> {
    let server = inside.workshop.server();
    let image = server.parent().context("the server lies in a folder")?;
    let mut command = Command::new(inside.workshop.start_bench());
    command.arg(image).args(["8080", "/server"]);
    command.env("COUNT", count.to_string()).env("TMPDIR", &inside.dir);
    let output = command.output().context("run start_bench")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "start_bench ended with {}:\n{said}", output.status);
    let text = String::from_utf8_lossy(&output.stdout);
    let times = text.lines().find_map(|line| read_times(line.strip_prefix(ANSWERED)?));
    let [p50, p95, max] = times.with_context(|| format!("start_bench said:\n{text}"))?;
    let row = Row::new(label).with("n", Figure::Count(count)).with("failed", Figure::Count(0));
    Ok([("p50", p50), ("p95", p95), ("max", max)]
        .into_iter()
        .fold(row, |row, (column, time)| row.with(column, Figure::Time(time))))
}

/// `p50 1.95ms, p95 2.7ms, worst 980.00µs`
fn read_times(text: &str) -> Option<[Duration; 3]> {
    let mut times = text.split(", ").map(|part| read_duration(part.split(' ').nth(1)?));
    Some([times.next()??, times.next()??, times.next()??])
}

/// A duration as its `Debug` writes it.
fn read_duration(text: &str) -> Option<Duration> {
    let unit = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(unit);
    let seconds = match unit {
        "ns" => 1e-9,
        "µs" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(number.parse::<f64>().ok()? * seconds).ok()
}

/// Docker Engine: create and start through its API, with a published port as `wrangler dev` has it.
pub(crate) fn of_docker(docker: &Docker, count: usize) -> Result<Sample> {
    let mut api = docker.connect()?;
    let mut results = Vec::with_capacity(count);
    for _ in 0..count {
        thread::sleep(GAP);
        results.push(Ok(start_once(&mut api)?));
    }
    Ok(Sample::of(results))
}

fn start_once(api: &mut Api) -> Result<Duration> {
    // The limits of `lite`, but for its 1/16 vCPU: Berth holds that back until a program is ready.
    let host_config = json!({
        "Memory": 256 << 20, "NanoCpus": 1_000_000_000, "PidsLimit": 512,
        "PortBindings": { "8080/tcp": [{ "HostIp": "127.0.0.1", "HostPort": "" }] },
    });
    let body = json!({
        "Image": SERVER_IMAGE, "ExposedPorts": { "8080/tcp": {} }, "HostConfig": host_config,
    });
    let body = serde_json::to_vec(&body)?;
    let start = Instant::now();
    let id = api.call("POST", "/containers/create", &body)?;
    let id = id["Id"].as_str().context("a container without an Id")?.to_owned();
    api.call("POST", &format!("/containers/{id}/start"), b"")?;
    let address = published(&api.call("GET", &format!("/containers/{id}/json"), b"")?)?;
    while !answers(address) {
        ensure!(start.elapsed() < DEADLINE, "a container of Docker Engine never answered");
        thread::sleep(POLL);
    }
    let elapsed = start.elapsed();
    api.call("DELETE", &format!("/containers/{id}?force=true"), b"")?;
    Ok(elapsed)
}

fn published(container: &Value) -> Result<SocketAddr> {
    let port = &container["NetworkSettings"]["Ports"]["8080/tcp"][0]["HostPort"];
    let port = port.as_str().and_then(|port| port.parse().ok()).context("no published port")?;
    Ok((Ipv4Addr::LOCALHOST, port).into())
}

/// The proxy of a published port accepts before the program does: only a 200 counts.
fn answers(address: SocketAddr) -> bool {
    let call = |mut connection: Connection<TcpStream>| connection.call(&request("GET", "/", b""));
    let reply = Connection::open(address).and_then(call);
    reply.is_ok_and(|reply| reply.status == 200)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_of_start_bench_are_read() {
        let times = read_times("p50 1.95ms, p95 980.12µs, worst 1.20s").unwrap();
        assert_eq!(times.map(|time| time.as_micros()), [1950, 980, 1_200_000]);
        assert_eq!(read_times("p50 1.95 ms, p95 2ms"), None);
    }
}

//! Part (a): a sandbox alone, from the decision to start it until its program answers.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::docker::{Api, Docker};
use super::http::{Connection, request};
use super::load::GAP;
use super::prepare::Workshop;
use super::sample::Sample;
use super::session::SERVER_IMAGE;

/// Longest time between a started container and its first answer.
const DEADLINE: Duration = Duration::from_secs(30);
/// Between two looks whether a program listens.
const POLL: Duration = Duration::from_micros(300);

/// Berth's runtime, without the rest of Berth: its own example does the measuring.
pub(crate) fn of_berth(workshop: &Workshop, count: usize) -> Result<Sample> {
    let mut command = Command::new(workshop.start_bench());
    command.arg(workshop.server()).arg(count.to_string());
    let output = command.output().context("run start_bench")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "start_bench ended with {}:\n{said}", output.status);
    let text = String::from_utf8_lossy(&output.stdout);
    let times = text.lines().filter_map(|line| line.trim().parse::<f64>().ok());
    Ok(Sample::of(times.map(|milliseconds| Ok(Duration::from_secs_f64(milliseconds / 1e3)))))
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

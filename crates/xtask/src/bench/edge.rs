//! `bench edge`: the edge beside nginx as reverse proxy, both in front of one backend on a unix socket.
//!
//! The load is h2load's: requests one after the other on one connection, and on 64 at once. In turns,
//! so that a busy moment of the machine hits both.

mod servers;
mod sockets;

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use fs_err as fs;

use super::machine;
use super::options::Options;
use super::print;
use super::report::{Figure, Report, Row, Table};
use super::sample::Sample;
use crate::{prerequisites, repository, say};
use servers::{Proxy, Stage};

/// Rounds of each way.
const ROUNDS: usize = 3;
/// The percentiles of a way.
const PERCENTILES: [(&str, usize); 2] = [("p50", 50), ("p99", 99)];

/// How a client speaks.
#[derive(Debug, Clone, Copy)]
struct Way {
    key: [&'static str; 2],
    title: &'static str,
    scheme: &'static str,
    options: &'static [&'static str],
}

const WAYS: [Way; 3] = [
    Way { key: ["edge_h1_1", "edge_h1_64"], title: "HTTP/1.1", scheme: "http", options: &["--h1"] },
    Way {
        key: ["edge_tls_1", "edge_tls_64"],
        title: "HTTP/1.1 with TLS",
        scheme: "https",
        options: &["--h1"],
    },
    Way {
        key: ["edge_h2_1", "edge_h2_64"],
        title: "HTTP/2 with TLS",
        scheme: "https",
        options: &[],
    },
];

/// Runs it.
pub(super) fn run(options: &Options) -> Result<()> {
    prerequisites::install(&[
        ("nginx", "nginx-light"),
        ("h2load", "nghttp2-client"),
        ("openssl", "openssl"),
    ])?;
    repository::run("cargo", &["build", "--release", "--workspace", "--example", "edge_alone"])?;
    let mut report = Report { machine: machine::describe()?, ..Report::default() };
    let stage = Stage::new()?;
    let proxies = [stage.start_edge()?, stage.start_nginx()?];
    for way in WAYS {
        for (key, connections) in way.key.into_iter().zip([1, 64]) {
            say(&format!("bench: {}, {connections} connections", way.title));
            report.tables.push(requests(&stage, &proxies, way, key, connections, options)?);
        }
    }
    say("bench: idle WebSockets");
    report.tables.push(sockets::measure(&stage, &proxies)?);
    report.notes.push("Both proxies, the backend and the load share the processors.".into());
    print(options, &report)
}

fn requests(
    stage: &Stage,
    proxies: &[Proxy; 2],
    way: Way,
    key: &'static str,
    connections: usize,
    options: &Options,
) -> Result<Table> {
    let mut table = Table::new(key, format!("{}, {connections} connections", way.title));
    // One request waits for the one before; there is little to be learnt from as many.
    let count = if connections == 1 { options.proxied().div_ceil(5) } else { options.proxied() };
    let mut all = [(); 2].map(|()| (Sample::default(), Duration::ZERO));
    for round in 0..=ROUNDS {
        for (proxy, (sample, elapsed)) in proxies.iter().zip(&mut all) {
            let (new, took) = load(stage, proxy, way, connections, count)?;
            // The first warms both up.
            if round > 0 {
                sample.merge(new);
                *elapsed += took;
            }
        }
    }
    for (proxy, (sample, elapsed)) in proxies.iter().zip(all) {
        #[expect(clippy::cast_precision_loss, reason = "a count far below 2^52")]
        let rate = sample.count() as f64 / elapsed.as_secs_f64();
        let row = Row::new(proxy.label).with("rate", Figure::PerSecond(rate));
        let memory = Figure::Kibibytes(proxy.memory());
        table.push(row.with_sample(&sample, &PERCENTILES).with("memory", memory));
    }
    table.add_ratios("rate : edge", "rate");
    Ok(table)
}

/// One run of h2load: how long each request took, and all.
fn load(
    stage: &Stage,
    proxy: &Proxy,
    way: Way,
    connections: usize,
    count: usize,
) -> Result<(Sample, Duration)> {
    let log = stage.path("h2load.log");
    let _ = fs::remove_file(&log);
    let port = if way.scheme == "https" { proxy.tls } else { proxy.plain };
    let mut command = Command::new("h2load");
    command.args(way.options).args(["-t1", "-m1", "-c", &connections.to_string()]);
    command.args(["-n", &count.to_string()]).arg(format!("--log-file={}", log.display()));
    let output = command.arg(format!("{}://127.0.0.1:{port}/", way.scheme)).output();
    let output = output.context("run h2load")?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "h2load failed: {said}");
    let took = said.lines().find_map(finished).context("h2load says how long it took")?;
    let lines = fs::read_to_string(&log)?;
    Ok((Sample::of(lines.lines().map(logged)), took))
}

/// `finished in 1.23s, …`
fn finished(line: &str) -> Option<Duration> {
    let time = line.strip_prefix("finished in ")?.split(',').next()?;
    let (number, unit) = match (time.strip_suffix("ms"), time.strip_suffix("us")) {
        (Some(number), _) => (number, 1e-3),
        (_, Some(number)) => (number, 1e-6),
        _ => (time.strip_suffix('s')?, 1.0),
    };
    Some(Duration::from_secs_f64(number.parse::<f64>().ok()? * unit))
}

/// Start, status and microseconds of a request, between tabs.
fn logged(line: &str) -> Result<Duration, String> {
    let fields: Vec<&str> = line.split('\t').collect();
    match fields[..] {
        [_, "200", time] => time.parse().map(Duration::from_micros).map_err(|_| line.to_owned()),
        _ => Err(line.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_h2load_says_is_understood() {
        let line = "finished in 1.50s, 12345.67 req/s, 1.00MB/s";
        assert_eq!(finished(line), Some(Duration::from_millis(1500)));
        let line = "finished in 250.50ms, 1 req/s";
        assert_eq!(finished(line), Some(Duration::from_micros(250_500)));
        assert_eq!(logged("1\t200\t321"), Ok(Duration::from_micros(321)));
        assert!(logged("1\t502\t321").is_err());
    }
}

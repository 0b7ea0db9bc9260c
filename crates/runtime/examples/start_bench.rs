//! How long it takes from the decision to start until the program answers, at p50, p95 and worst.
//!
//! `start_bench <image directory> <port> <program> [args…]`: the program must listen on that port
//! and answer a connection with any byte. `COUNT` (100) starts, one after the other; `BURST` (0) more
//! at once. Needs root.
#![expect(clippy::print_stdout, reason = "a benchmark's output is its result")]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use berth_runtime::{Process, Runtime, RuntimeConfig, Sandbox, SandboxSpec};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut args = std::env::args().skip(1);
    let usage = "usage: start_bench <image directory> <port> <program> [args…]";
    let image = PathBuf::from(args.next().ok_or(usage)?);
    let port: u16 = args.next().ok_or(usage)?.parse()?;
    let args: Vec<String> = args.collect();
    // On a worker's thread, as everything of Berth is.
    tokio::spawn(measure(image, port, args)).await?
}

async fn measure(image: PathBuf, port: u16, args: Vec<String>) -> Result<(), Failure> {
    let number = |name| std::env::var(name).ok().and_then(|n| n.parse::<usize>().ok());
    let (count, burst) = (number("COUNT").unwrap_or(100), number("BURST").unwrap_or(0));

    let dir = std::env::temp_dir().join(format!("berth-bench-{}", std::process::id()));
    let config = RuntimeConfig {
        dir: dir.clone(),
        cgroup: "berth-bench".to_owned(),
        parked: 4,
        ..RuntimeConfig::default()
    };
    let runtime = Runtime::open(config).await?;
    for internet in [false, true] {
        let mut times = Times::default();
        for _ in 0..count + 5 {
            // Let the pool fill, as it would between two requests for new instances.
            tokio::time::sleep(Duration::from_millis(20)).await;
            let spec = spec(&image, &args, internet);
            let (sandbox, started, answered) = start(&runtime, spec, port).await?;
            times.add(started, answered);
            sandbox.destroy().await?;
        }
        times.print(if internet { "internet" } else { "no internet" });
    }
    if burst > 0 {
        let begin = Instant::now();
        let tasks: Vec<_> = (0..burst)
            .map(|_| {
                let (runtime, spec) = (runtime.clone(), spec(&image, &args, true));
                tokio::spawn(async move { start(&runtime, spec, port).await })
            })
            .collect();
        let mut sandboxes = Vec::new();
        for task in tasks {
            sandboxes.push(task.await??.0);
        }
        println!("{burst} at once: all answered after {:.0?}", begin.elapsed());
        for sandbox in sandboxes {
            sandbox.destroy().await?;
        }
    }
    runtime.close().await;
    std::fs::remove_dir(dir)?;
    Ok(())
}

fn spec(image: &std::path::Path, args: &[String], internet: bool) -> SandboxSpec {
    SandboxSpec {
        layers: vec![image.to_owned()],
        upper: None,
        process: Process { args: args.to_vec(), ..Process::default() },
        pid1: false,
        hostname: "bench".to_owned(),
        limits: model::InstanceType::Lite.limits(),
        internet,
        mounts: Vec::new(),
        tmpfs: Vec::new(),
    }
}

/// Starts and asks until answered: time to the program's first instruction, time to its answer.
async fn start(
    runtime: &Runtime,
    spec: SandboxSpec,
    port: u16,
) -> Result<(Sandbox, Duration, Duration), Failure> {
    let begin = Instant::now();
    let parked = runtime.prepare().await?;
    let (sandbox, _output) = runtime.start(parked, spec).await?;
    let started = begin.elapsed();
    let mut stream = loop {
        match sandbox.connect(port).await {
            Err(e) if e.kind() == std::io::ErrorKind::ConnectionRefused => {
                if let Some(status) = sandbox.exit_status() {
                    return Err(format!("the program ended: {status:?}").into());
                }
                // tokio's timer has steps of a millisecond.
                let pause = || std::thread::sleep(Duration::from_micros(50));
                tokio::task::spawn_blocking(pause).await?;
            }
            result => break result?,
        }
    };
    stream.write_all(b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n").await?;
    stream.read_exact(&mut [0]).await?;
    Ok((sandbox, started, begin.elapsed()))
}

#[derive(Default)]
struct Times {
    started: Vec<Duration>,
    answered: Vec<Duration>,
}

impl Times {
    fn add(&mut self, started: Duration, answered: Duration) {
        self.started.push(started);
        self.answered.push(answered);
    }

    /// The first few warm the page cache and are left out.
    fn print(&mut self, what: &str) {
        for (name, times) in [("executed", &mut self.started), ("answered", &mut self.answered)] {
            times.drain(..5.min(times.len()));
            times.sort();
            let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
            let (p50, p95, worst) = (at(0.5), at(0.95), at(1.0));
            println!("{what}, {name}: p50 {p50:.2?}, p95 {p95:.2?}, worst {worst:.2?}");
        }
    }
}

//! `bench deploy`: how soon new code answers, and what requests lose while it comes.
//!
//! `berth serve` runs all the time, with requests on kept connections; the peer is the unmodified
//! wrangler, which deploys to the same platform.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use e2e::{NEWEST, Outcome, Platform, Project};
use serde_json::json;

use super::Inside;
use super::options::Options;
use super::report::{Report, Row, Table};
use super::sample::Sample;
use crate::http::{self, Connection};
use crate::say;

/// Connections that ask all the time.
const CONNECTIONS: usize = 4;
/// Between two looks for the new code, and between two requests of a connection: the machine is there for
/// the deploy.
const PAUSE: Duration = Duration::from_millis(2);
/// New code answers within this time, or never.
const PATIENCE: Duration = Duration::from_secs(120);
const PERCENTILES: [(&str, usize); 2] = [("p50", 50), ("p95", 95)];

/// Installs what deploys, where there is a network.
pub(super) fn prepare() {
    say("bench: a first `berth serve` installs the toolchain, and npm wrangler");
    Platform::start().stop();
    let _ = NEWEST.command(&Project::empty(), &["--version"]).says();
}

/// Measures one way after the other on one platform.
pub(super) fn measure(inside: &Inside, options: &Options, report: &mut Report) -> Result<()> {
    let platform = Platform::start();
    let ways = [
        Way { label: "berth deploy", subject: worker(), deploy: berth },
        Way { label: "berth deploy, with a container", subject: hello(), deploy: berth },
        Way { label: "wrangler deploy", subject: worker(), deploy: wrangler },
    ];
    let mut tables = [
        Table::new("deploy_answer", "(a) From the command to the first answer of new code"),
        Table::new("deploy_end", "(b) Until the command has ended"),
        Table::new("deploy_requests", "(c) Requests while it was deployed"),
    ];
    for way in &ways {
        inside.say(way.label);
        let Came { answers, ends, requests } = way.measure(&platform, options.deploys())?;
        if let Some(first) = requests.failures().first() {
            inside.say(&format!("{}: the first lost request: {first}", way.label));
        }
        for (table, sample) in tables.iter_mut().zip([answers, ends, requests]) {
            table.push(Row::new(way.label).with_sample(&sample, &PERCENTILES));
        }
    }
    platform.stop();
    for mut table in tables {
        table.add_ratios("p50 : first row", "p50");
        report.tables.push(table);
    }
    report.notes.push(format!(
        "{} deploys of each, of code that differs, while {CONNECTIONS} kept connections ask for `/`. \
         wrangler {} deploys to the same `berth serve`.",
        options.deploys(),
        NEWEST.version(),
    ));
    Ok(())
}

/// What is deployed: a Worker that says in its answer which version it is.
struct Subject {
    name: &'static str,
    project: Project,
    file: &'static str,
}

/// How it is deployed.
struct Way {
    label: &'static str,
    subject: Subject,
    deploy: fn(&Platform, &Project) -> Outcome,
}

/// What came of some deploys.
struct Came {
    answers: Sample,
    ends: Sample,
    requests: Sample,
}

fn berth(platform: &Platform, project: &Project) -> Outcome {
    platform.client(project, &["deploy"])
}

fn wrangler(platform: &Platform, project: &Project) -> Outcome {
    platform.wrangler(NEWEST, project, &["deploy"]).run()
}

fn worker() -> Subject {
    let project = Project::empty();
    let config = json!({"name": "bench", "main": "index.js", "compatibility_date": "2026-08-01"});
    project.write("wrangler.json", &config.to_string());
    let code = format!("export default {{ fetch: () => new Response({:?}) }};", version(0));
    project.write("index.js", &code);
    Subject { name: "bench", project, file: "index.js" }
}

fn hello() -> Subject {
    let project = Project::example("hello");
    project.replace("src/index.ts", "Available endpoints:", &version(0));
    Subject { name: "hello-containers", project, file: "src/index.ts" }
}

/// What the Worker of that number says.
fn version(number: usize) -> String {
    format!("version {number};")
}

impl Way {
    fn measure(&self, platform: &Platform, deploys: usize) -> Result<Came> {
        let address = platform.address();
        let ask = request(self.subject.name);
        // The first makes what the others find: the application, the image, the bundler's process.
        let outcome = (self.deploy)(platform, &self.subject.project);
        ensure!(outcome.code == 0, "{} failed: {}", self.label, outcome.stderr);
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            let load = || requests(address, &ask, &over);
            let load: Vec<_> = (0..CONNECTIONS).map(|_| scope.spawn(load)).collect();
            let times = (1..=deploys).map(|number| self.deploy_one(platform, &ask, number));
            let times: Result<Vec<_>> = times.collect();
            over.store(true, Ordering::Relaxed);
            let mut all = Sample::default();
            for thread in load {
                all.merge(thread.join().expect("a connection never panics"));
            }
            let (answers, ends): (Vec<_>, Vec<_>) = times?.into_iter().unzip();
            Ok(Came { answers: Sample::of(answers), ends: Sample::of(ends), requests: all })
        })
    }

    /// Changes the code and deploys it: when it answered, and when the command had ended.
    fn deploy_one(
        &self,
        platform: &Platform,
        ask: &[u8],
        number: usize,
    ) -> Result<(Result<Duration, String>, Result<Duration, String>)> {
        let Subject { project, file, .. } = &self.subject;
        project.replace(file, &version(number - 1), &version(number));
        let begin = Instant::now();
        thread::scope(|scope| {
            let deploy = scope.spawn(|| {
                let outcome = (self.deploy)(platform, project);
                match outcome.code {
                    0 => Ok(begin.elapsed()),
                    code => Err(format!("exit code {code}: {}", outcome.stderr)),
                }
            });
            let answered = loop {
                let reply = Connection::open(platform.address()).and_then(|mut c| c.call(ask));
                let reply = reply.context("ask for the new code")?;
                if String::from_utf8_lossy(&reply.body).contains(&version(number)) {
                    break Ok(begin.elapsed());
                }
                if begin.elapsed() > PATIENCE {
                    break Err("it did not come".to_owned());
                }
                thread::sleep(PAUSE);
            };
            Ok((answered, deploy.join().expect("a deploy never panics")))
        })
    }
}

fn request(worker: &str) -> Vec<u8> {
    format!("GET / HTTP/1.1\r\nHost: {worker}.localhost\r\n\r\n").into_bytes()
}

/// One connection that asks until it is over. A request without a 200 is lost, and so is one whose
/// connection was closed.
fn requests(address: SocketAddr, ask: &[u8], over: &AtomicBool) -> Sample {
    let mut results = Vec::new();
    let mut connection = None;
    while !over.load(Ordering::Relaxed) {
        let begin = Instant::now();
        let result = answer(&mut connection, address, ask);
        if result.is_err() {
            connection = None;
        }
        results.push(result.map(|()| begin.elapsed()));
        thread::sleep(PAUSE);
    }
    Sample::of(results)
}

fn answer(
    kept: &mut Option<Connection<std::net::TcpStream>>,
    address: SocketAddr,
    ask: &[u8],
) -> Result<(), String> {
    let connection = match kept {
        Some(connection) => connection,
        None => kept.insert(Connection::open(address).map_err(|e| e.to_string())?),
    };
    let http::Reply { status, .. } = connection.call(ask).map_err(|e| e.to_string())?;
    if status == 200 { Ok(()) } else { Err(status.to_string()) }
}

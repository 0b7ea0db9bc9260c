//! The load: requests one after the other, all at once, or on several kept connections.
//!
//! Every connection has a thread of its own: what is measured is one blocking write and read.

use std::io;
use std::net::SocketAddr;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::sample::Sample;
use crate::http::{self, Connection, Reply};

/// Between two new IDs, so that one start's background work is not the next one's wait.
pub(crate) const GAP: Duration = Duration::from_millis(50);

/// A burst, and the time until its last answer.
#[derive(Debug)]
pub(crate) struct Burst {
    pub(crate) sample: Sample,
    pub(crate) last: Duration,
}

/// Requests on kept connections, and the time they took together.
#[derive(Debug)]
pub(crate) struct Sustained {
    pub(crate) sample: Sample,
    pub(crate) elapsed: Duration,
}

/// `GET`s each target on a connection of its own, one after the other.
pub(crate) fn in_turn(address: SocketAddr, targets: impl Iterator<Item = String>) -> Sample {
    Sample::of(targets.map(|target| {
        thread::sleep(GAP);
        let start = Instant::now();
        answered(http::get(address, &target)).map(|()| start.elapsed())
    }))
}

/// `GET`s all targets at the same moment, each on a connection of its own.
pub(crate) fn at_once(address: SocketAddr, targets: &[String]) -> Burst {
    let gate = Barrier::new(targets.len());
    let gate = &gate;
    let ends: Vec<_> = thread::scope(|scope| {
        let request = |target| {
            move || {
                gate.wait();
                let start = Instant::now();
                let result = answered(http::get(address, target));
                (start, result.map(|()| start.elapsed()), Instant::now())
            }
        };
        let threads: Vec<_> =
            targets.iter().map(|target| scope.spawn(request(target.as_str()))).collect();
        threads.into_iter().map(|thread| thread.join().expect("a request never panics")).collect()
    });
    let first = ends.iter().map(|(start, ..)| *start).min();
    let last = ends.iter().map(|(.., end)| *end).max();
    let last = first.zip(last).map_or(Duration::ZERO, |(first, last)| last - first);
    Burst { sample: Sample::of(ends.into_iter().map(|(_, result, _)| result)), last }
}

/// `GET`s one target `count` times over `connections` kept connections.
pub(crate) fn sustained(
    address: SocketAddr,
    target: &str,
    connections: usize,
    count: usize,
) -> Result<Sustained> {
    ensure!(connections > 0, "a load needs a connection");
    let request = http::request("GET", target, b"");
    let share = count.div_ceil(connections);
    let start = Instant::now();
    let samples: Vec<io::Result<Sample>> = thread::scope(|scope| {
        let run = || on_one_connection(address, &request, share);
        let threads: Vec<_> = (0..connections).map(|_| scope.spawn(run)).collect();
        threads.into_iter().map(|thread| thread.join().expect("a request never panics")).collect()
    });
    let elapsed = start.elapsed();
    let mut sample = Sample::default();
    for one in samples {
        sample.merge(one?);
    }
    Ok(Sustained { sample, elapsed })
}

fn on_one_connection(address: SocketAddr, request: &[u8], count: usize) -> io::Result<Sample> {
    let mut connection = Connection::open(address)?;
    let mut results = Vec::with_capacity(count);
    for _ in 0..count {
        let start = Instant::now();
        let reply = connection.call(request)?;
        let elapsed = start.elapsed();
        results.push(answered(Ok(reply)).map(|()| elapsed));
    }
    Ok(Sample::of(results))
}

/// Whether it was a 200; if not, what it was.
fn answered(reply: io::Result<Reply>) -> Result<(), String> {
    match reply {
        Ok(Reply { status: 200, .. }) => Ok(()),
        Ok(Reply { status, body }) => {
            let text: String = String::from_utf8_lossy(&body).chars().take(120).collect();
            Err(format!("{status} {}", text.trim()))
        }
        Err(error) => Err(error.to_string()),
    }
}

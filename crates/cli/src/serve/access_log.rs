//! The access log: a line of JSON for each request that was answered.
//!
//! A thread of its own writes, so that no request waits for the disk; what it cannot write as fast as
//! requests come is dropped, and counted. A log that was moved away is opened anew by its name.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use edge::RequestEvent;
use fs_err as fs;
use jiff::Timestamp;
use serde::Serialize;

use crate::error::CliError;
use crate::ingress::protocol;
use crate::printer::Printer;

/// Lines that wait to be written.
const WAITING: usize = 8192;
/// Readable by its owner's group too: whoever collects logs is seldom root.
const MODE: u32 = 0o640;

/// Tells the log of requests; clones are the same log.
#[derive(Debug, Clone)]
pub(crate) struct AccessLog {
    sender: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
}

/// Ends the log: what has been told is written.
#[derive(Debug)]
pub(crate) struct Writer {
    sender: SyncSender<Message>,
    thread: JoinHandle<()>,
}

#[derive(Debug)]
enum Message {
    Request { at: Timestamp, worker: Option<Arc<str>>, event: Box<RequestEvent> },
    End,
}

/// One line. The query is not in it, nor any header: they carry tokens.
#[derive(Debug, Serialize)]
struct Line<'a> {
    time: String,
    ray: String,
    client: String,
    worker: Option<&'a str>,
    scheme: &'a str,
    protocol: &'a str,
    method: &'a str,
    host: Option<&'a str>,
    path: &'a str,
    status: u16,
    bytes: u64,
    duration_ms: f64,
    websocket: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

impl AccessLog {
    /// Opens the file at `path`, to add to it.
    pub(crate) fn open(path: &Path, printer: &Printer) -> Result<(Self, Writer), CliError> {
        let file = open(path).map_err(|error| CliError::failure("open the access log", error))?;
        let (sender, receiver) = sync_channel(WAITING);
        let dropped = Arc::new(AtomicU64::new(0));
        let open = Open { path: path.to_owned(), file, told: false };
        let (printer, lost) = (printer.clone(), Arc::clone(&dropped));
        let thread = std::thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || write(&receiver, open, &lost, &printer))
            .map_err(|error| CliError::failure("start the access log", error))?;
        Ok((Self { sender: sender.clone(), dropped }, Writer { sender, thread }))
    }

    /// A request of a Worker, or of none.
    pub(crate) fn tell(&self, worker: Option<&Arc<str>>, event: &RequestEvent) {
        let event = Box::new(event.clone());
        let message = Message::Request { at: Timestamp::now(), worker: worker.cloned(), event };
        if let Err(TrySendError::Full(_)) = self.sender.try_send(message) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Writer {
    /// Returns when everything is written; blocks.
    pub(crate) fn finish(self) {
        if self.sender.send(Message::End).is_ok() {
            let _ = self.thread.join();
        }
    }
}

/// The file as it was opened.
struct Open {
    path: PathBuf,
    file: File,
    /// Whether it has been said that it cannot be written.
    told: bool,
}

impl Open {
    fn add(&mut self, lines: &[u8]) -> io::Result<()> {
        let there = fs::metadata(&self.path).map(|found| (found.dev(), found.ino()));
        let own = self.file.metadata().map(|found| (found.dev(), found.ino()))?;
        if there.ok() != Some(own) {
            self.file = open(&self.path)?;
        }
        self.file.write_all(lines)
    }
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = std::fs::OpenOptions::new();
    options.create(true).append(true).mode(MODE);
    Ok(fs::OpenOptions::from_options(options).open(path)?.into_parts().0)
}

fn write(messages: &Receiver<Message>, mut open: Open, dropped: &AtomicU64, printer: &Printer) {
    let mut lines = Vec::new();
    let mut ended = false;
    while !ended && let Ok(first) = messages.recv() {
        lines.clear();
        for message in std::iter::once(first).chain(messages.try_iter().take(WAITING)) {
            match message {
                Message::Request { at, worker, event } => {
                    line(&mut lines, at, worker.as_deref(), &event);
                }
                Message::End => ended = true,
            }
        }
        match open.add(&lines) {
            Ok(()) => open.told = false,
            Err(error) if !open.told => {
                printer.warning(format_args!("requests are missing in the access log: {error}"));
                open.told = true;
            }
            Err(_) => {}
        }
        let lost = dropped.swap(0, Ordering::Relaxed);
        if lost > 0 {
            printer.warning(format_args!(
                "{lost} requests are missing in the access log: too many at once"
            ));
        }
    }
}

fn line(lines: &mut Vec<u8>, at: Timestamp, worker: Option<&str>, event: &RequestEvent) {
    let path = event.path.split_once('?').map_or(&*event.path, |(path, _)| path);
    let line = Line {
        time: format!("{at:.3}"),
        ray: event.ray.to_string(),
        client: event.client.to_canonical().to_string(),
        worker,
        scheme: event.scheme,
        protocol: protocol(event.version),
        method: event.method.as_str(),
        host: event.host.as_deref(),
        path,
        status: event.status.as_u16(),
        bytes: event.sent,
        duration_ms: (event.duration.as_secs_f64() * 1e6).round() / 1e3,
        websocket: event.upgraded,
        error: event.error.as_deref(),
    };
    // Texts and numbers become JSON, and a vector takes all of it.
    if serde_json::to_writer(&mut *lines, &line).is_ok() {
        lines.push(b'\n');
    }
}

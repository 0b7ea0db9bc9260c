//! What an instance prints: cut into lines, written to its log files, told to readers.
//!
//! The program is slowed down by nothing but the disk: readers of events that are slow lose lines,
//! and a flood of lines is shown in part ([`flood`]) and written whole.

pub(crate) mod console;
mod flood;
mod lines;
mod log_file;

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use runtime::{Output, StreamReader};
use tokio::io::AsyncReadExt as _;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use crate::event::{AgentEvent, EventSender, Stream, Subject};
use console::Console;
use flood::{Flood, Shown};
use lines::{Line, LineSplitter};
use log_file::LogFile;

/// Lines kept in memory for the message about a program that failed.
const LAST_LINES: usize = 20;
/// Bytes of such a line.
const LAST_LINE_BYTES: usize = 500;
/// Bytes read from a pipe at once.
const CHUNK: usize = 16 * 1024;

/// The last lines of an instance's output.
#[derive(Debug, Clone, Default)]
pub(crate) struct LastLines(Arc<Mutex<VecDeque<String>>>);

impl LastLines {
    pub(crate) fn get(&self) -> Vec<String> {
        self.0.lock().expect("no holder of this lock panics").iter().cloned().collect()
    }

    fn push(&self, line: &str) {
        let mut lines = self.0.lock().expect("no holder of this lock panics");
        if lines.len() == LAST_LINES {
            lines.pop_front();
        }
        let end = line.floor_char_boundary(LAST_LINE_BYTES);
        lines.push_back(line[..end].to_owned());
    }
}

/// Reads an instance's output until it ends or this is dropped; what is unread then waits for
/// whoever adopts the sandbox.
#[derive(Debug)]
pub(crate) struct OutputPump {
    /// What it printed last.
    pub(crate) last_lines: LastLines,
    task: AbortOnDropHandle<()>,
}

impl OutputPump {
    /// Begins to read. `directory` holds the log files and is made when missing; a program whose
    /// output cannot be kept (a full disk) runs all the same.
    pub(crate) fn start(
        output: Output,
        directory: &Path,
        readers: Readers,
        console: Option<Arc<Console>>,
    ) -> Self {
        let log = LogFile::open(directory)
            .inspect_err(|error| tracing::error!(%error, "an instance's output is not kept"))
            .ok();
        let sink = Sink {
            log,
            last_lines: LastLines::default(),
            flood: Flood::new(Instant::now()),
            readers,
            console,
        };
        let last_lines = sink.last_lines.clone();
        Self { last_lines, task: AbortOnDropHandle::new(tokio::spawn(sink.run(output))) }
    }

    /// Waits until everything printed was read, at most that long.
    pub(crate) async fn finish(&mut self, patience: std::time::Duration) {
        if tokio::time::timeout(patience, &mut self.task).await.is_err() {
            tracing::debug!("output goes on after the program's end");
        }
    }
}

/// Blocking: adds to a log what a program had printed that ended while nobody read it.
pub(crate) fn add_to_log(directory: &Path, stream: Stream, bytes: &[u8]) {
    let mut splitter = LineSplitter::new();
    let mut lines = splitter.push(bytes);
    lines.extend(splitter.finish());
    let added = LogFile::open(directory).and_then(|mut log| log.write(stream, &lines));
    if let Err(error) = added {
        tracing::warn!(%error, "the last output of an instance is not in its log");
    }
}

/// Who is told of lines.
#[derive(Debug)]
pub(crate) struct Readers {
    pub(crate) subject: Subject,
    pub(crate) events: EventSender,
    /// Changes when lines were written to the log.
    pub(crate) printed: watch::Sender<()>,
}

/// Where lines go.
#[derive(Debug)]
struct Sink {
    log: Option<LogFile>,
    last_lines: LastLines,
    flood: Flood,
    readers: Readers,
    /// Who else gets every byte.
    console: Option<Arc<Console>>,
}

impl Sink {
    async fn run(mut self, output: Output) {
        let mut stdout = Some((output.stdout, LineSplitter::new()));
        let mut stderr = Some((output.stderr, LineSplitter::new()));
        let (mut out_buffer, mut err_buffer) = (vec![0; CHUNK], vec![0; CHUNK]);
        while stdout.is_some() || stderr.is_some() {
            let (stream, count) = tokio::select! {
                count = read(&mut stdout, &mut out_buffer) => (Stream::Stdout, count),
                count = read(&mut stderr, &mut err_buffer) => (Stream::Stderr, count),
            };
            let (source, bytes) = match stream {
                Stream::Stdout => (&mut stdout, &out_buffer[..count]),
                Stream::Stderr => (&mut stderr, &err_buffer[..count]),
            };
            if let Some(console) = &self.console {
                console.print(stream, bytes).await;
            }
            let lines = lines(source, bytes);
            if lines.is_empty() {
                continue;
            }
            self = match tokio::task::spawn_blocking(move || self.take(stream, lines)).await {
                Ok(sink) => sink,
                Err(error) => return tracing::error!(%error, "the output of an instance is lost"),
            };
        }
    }

    /// Blocking: writes the lines to the log and tells them.
    fn take(mut self, stream: Stream, lines: Vec<Line>) -> Self {
        if let Some(log) = &mut self.log
            && let Err(error) = log.write(stream, &lines)
        {
            tracing::warn!(%error, "output could not be written to its log file");
        }
        self.readers.printed.send_replace(());
        let Readers { subject, events, .. } = &self.readers;
        let now = Instant::now();
        for line in lines {
            self.last_lines.push(&line.text);
            match self.flood.line(now) {
                Shown::No => continue,
                Shown::Yes => {}
                Shown::After(lines) => {
                    let subject = subject.clone();
                    events.send(AgentEvent::OutputSkipped { subject, lines });
                }
            }
            let subject = subject.clone();
            events.send(AgentEvent::Output { subject, stream, line: line.text });
        }
        self
    }
}

type Source = Option<(StreamReader, LineSplitter)>;

/// How many bytes came; zero at the end of the stream, after which it waits forever.
async fn read(source: &mut Source, buffer: &mut [u8]) -> usize {
    let Some((reader, _)) = source else { return std::future::pending().await };
    reader.read(buffer).await.unwrap_or_else(|error| {
        tracing::warn!(%error, "an instance's output could not be read");
        0
    })
}

/// The lines that are whole with these bytes; none are the end of the stream.
fn lines(source: &mut Source, bytes: &[u8]) -> Vec<Line> {
    let Some((_, splitter)) = source else { return Vec::new() };
    if !bytes.is_empty() {
        return splitter.push(bytes);
    }
    let last = splitter.finish();
    *source = None;
    last
}

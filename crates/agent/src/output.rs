//! What an instance prints: cut into lines, written to its log files, told to readers.
//!
//! The program is slowed down by nothing but the disk: readers of events that are slow lose lines,
//! and a flood of lines is shown in part ([`flood`]) and written whole.

mod flood;
mod lines;
mod log_file;

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use runtime::{Output, StreamReader};
use tokio::io::AsyncReadExt as _;
use tokio_util::task::AbortOnDropHandle;

use crate::event::{AgentEvent, EventSender, Stream, Subject};
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
        subject: Subject,
        events: EventSender,
    ) -> Self {
        let log = LogFile::open(directory)
            .inspect_err(|error| tracing::error!(%error, "an instance's output is not kept"))
            .ok();
        let sink = Sink {
            log,
            last_lines: LastLines::default(),
            flood: Flood::new(Instant::now()),
            subject,
            events,
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

/// Where lines go.
#[derive(Debug)]
struct Sink {
    log: Option<LogFile>,
    last_lines: LastLines,
    flood: Flood,
    subject: Subject,
    events: EventSender,
}

impl Sink {
    async fn run(mut self, output: Output) {
        let mut stdout = Some((output.stdout, LineSplitter::new()));
        let mut stderr = Some((output.stderr, LineSplitter::new()));
        let (mut out_buffer, mut err_buffer) = (vec![0; CHUNK], vec![0; CHUNK]);
        while stdout.is_some() || stderr.is_some() {
            let (stream, lines) = tokio::select! {
                lines = read_lines(&mut stdout, &mut out_buffer) => (Stream::Stdout, lines),
                lines = read_lines(&mut stderr, &mut err_buffer) => (Stream::Stderr, lines),
            };
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
        let now = Instant::now();
        for line in lines {
            self.last_lines.push(&line.text);
            match self.flood.line(now) {
                Shown::No => continue,
                Shown::Yes => {}
                Shown::After(lines) => {
                    let subject = self.subject.clone();
                    self.events.send(AgentEvent::OutputSkipped { subject, lines });
                }
            }
            let subject = self.subject.clone();
            self.events.send(AgentEvent::Output { subject, stream, line: line.text });
        }
        self
    }
}

type Source = Option<(StreamReader, LineSplitter)>;

/// The next whole lines of one stream; waits forever once it has ended.
async fn read_lines(source: &mut Source, buffer: &mut [u8]) -> Vec<Line> {
    loop {
        let Some((reader, splitter)) = source else { return std::future::pending().await };
        let lines = match reader.read(buffer).await {
            Ok(0) => {
                let last = splitter.finish();
                *source = None;
                return last;
            }
            Ok(count) => splitter.push(&buffer[..count]),
            Err(error) => {
                tracing::warn!(%error, "an instance's output could not be read");
                *source = None;
                return Vec::new();
            }
        };
        if !lines.is_empty() {
            return lines;
        }
    }
}

//! A build as BuildKit shows one: numbered lines, lines that collapse on a terminal, or JSON.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use image::{Outcome, Progress, Stream, Task, TaskId, TaskKind};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::dev::progress::label;
use crate::printer::{Printer, style, styled};

/// What all three know of the tasks under way.
struct Tasks {
    printer: Printer,
    cancel: CancellationToken,
    under_way: Mutex<UnderWay>,
}

#[derive(Default)]
struct UnderWay {
    /// Of the last task that began, from 1.
    number: usize,
    tasks: HashMap<TaskId, Running>,
}

struct Running {
    number: usize,
    label: String,
    kind: TaskKind,
    began: Instant,
    /// What came of each stream after its last line feed.
    partial: [Vec<u8>; 2],
    bar: Option<ProgressBar>,
}

impl Tasks {
    fn new(printer: &Printer, cancel: CancellationToken) -> Self {
        Self { printer: printer.clone(), cancel, under_way: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, UnderWay> {
        // The table is whole after every call, so a panic elsewhere does not spoil it.
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Numbers a task.
    fn begin(&self, task: &Task, bar: Option<ProgressBar>) -> usize {
        let mut under_way = self.lock();
        under_way.number += 1;
        let number = under_way.number;
        let running = Running {
            number,
            label: label(task),
            kind: task.kind.clone(),
            began: Instant::now(),
            partial: Default::default(),
            bar,
        };
        under_way.tasks.insert(task.id, running);
        number
    }

    fn finish(&self, task: TaskId) -> Option<Running> {
        self.lock().tasks.remove(&task)
    }

    /// The whole lines of what a step wrote, with the step's number and age.
    fn lines(
        &self,
        task: TaskId,
        stream: Stream,
        bytes: &[u8],
    ) -> Option<(usize, Duration, Vec<String>)> {
        let mut under_way = self.lock();
        let running = under_way.tasks.get_mut(&task)?;
        let partial = &mut running.partial[usize::from(stream == Stream::Stderr)];
        partial.extend_from_slice(bytes);
        let whole = partial.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let whole: Vec<u8> = partial.drain(..whole).collect();
        Some((running.number, running.began.elapsed(), split_lines(&whole)))
    }
}

impl Running {
    /// What came after the last line feed of each stream.
    fn rest(&self) -> Vec<String> {
        self.partial.iter().flat_map(|partial| split_lines(partial)).collect()
    }
}

fn split_lines(bytes: &[u8]) -> Vec<String> {
    let lines = bytes.split_inclusive(|byte| *byte == b'\n');
    lines.map(|line| String::from_utf8_lossy(line).trim_end().to_owned()).collect()
}

fn seconds(time: Duration) -> String {
    format!("{:.1}s", time.as_secs_f64())
}

/// `#5 [build 2/7] RUN …`, `#5 0.312 output`, `#5 DONE 1.2s`.
pub(super) struct PlainProgress(Tasks);

impl PlainProgress {
    pub(super) fn new(printer: &Printer, cancel: CancellationToken) -> Self {
        Self(Tasks::new(printer, cancel))
    }

    fn output(&self, number: usize, age: Duration, lines: Vec<String>) {
        for line in lines {
            let age = age.as_secs_f64();
            self.0.printer.info(format_args!("#{number} {age:.3} {line}"));
        }
    }
}

impl Progress for PlainProgress {
    fn begin(&self, task: &Task) {
        let number = self.0.begin(task, None);
        self.0.printer.info(format_args!("#{number} {}", label(task)));
    }

    fn finish(&self, task: TaskId, outcome: Outcome) {
        let Some(running) = self.0.finish(task) else { return };
        let age = running.began.elapsed();
        self.output(running.number, age, running.rest());
        let ended = match outcome {
            Outcome::Done => format!("DONE {}", seconds(age)),
            Outcome::Cached => "CACHED".to_owned(),
            Outcome::Failed => format!("ERROR {}", seconds(age)),
        };
        self.0.printer.info(format_args!("#{} {ended}", running.number));
    }

    fn output(&self, task: TaskId, stream: Stream, bytes: &[u8]) {
        if let Some((number, age, lines)) = self.0.lines(task, stream, bytes) {
            self.output(number, age, lines);
        }
    }

    fn log(&self, line: &str) {
        self.0.printer.info(line);
    }

    fn cancelled(&self) -> bool {
        self.0.cancel.is_cancelled()
    }
}

/// A line for each task under way, with the last that it wrote; one for each step that is done.
pub(super) struct TtyProgress(Tasks);

impl TtyProgress {
    pub(super) fn new(printer: &Printer, cancel: CancellationToken) -> Self {
        Self(Tasks::new(printer, cancel))
    }

    fn bar(&self, task: &Task) -> ProgressBar {
        let template = match (&task.kind, task.total) {
            (TaskKind::Step { .. }, _) => "{spinner} {prefix} {elapsed} {wide_msg:.dim}",
            (_, Some(_)) => "{spinner} {prefix} [{bar:24}] {bytes}/{total_bytes}",
            (_, None) => "{spinner} {prefix} {bytes}",
        };
        let style = ProgressStyle::with_template(template).expect("the templates above are valid");
        let bar = ProgressBar::new(task.total.unwrap_or(0)).with_style(style);
        let bar = self.0.printer.bars().add(bar);
        bar.set_prefix(label(task));
        bar.enable_steady_tick(Duration::from_millis(100));
        bar
    }
}

impl Progress for TtyProgress {
    fn begin(&self, task: &Task) {
        let bar = self.bar(task);
        self.0.begin(task, Some(bar));
    }

    fn advance(&self, task: TaskId, done: u64) {
        if let Some(bar) = self.0.lock().tasks.get(&task).and_then(|running| running.bar.as_ref()) {
            bar.set_position(done);
        }
    }

    fn finish(&self, task: TaskId, outcome: Outcome) {
        let Some(running) = self.0.finish(task) else { return };
        if let Some(bar) = &running.bar {
            bar.finish_and_clear();
            self.0.printer.bars().remove(bar);
        }
        if !matches!(running.kind, TaskKind::Step { .. }) {
            return;
        }
        let label = &running.label;
        let line = match outcome {
            Outcome::Done => format!("=> {label} {}", seconds(running.began.elapsed())),
            Outcome::Cached => styled(style::DIM, format_args!("=> CACHED {label}")),
            Outcome::Failed => styled(style::ERROR, format_args!("=> ERROR {label}")),
        };
        self.0.printer.info(line);
    }

    fn output(&self, task: TaskId, stream: Stream, bytes: &[u8]) {
        let Some((_, _, lines)) = self.0.lines(task, stream, bytes) else { return };
        let under_way = self.0.lock();
        let bar = under_way.tasks.get(&task).and_then(|running| running.bar.as_ref());
        if let (Some(bar), Some(line)) = (bar, lines.last()) {
            bar.set_message(line.clone());
        }
    }

    fn log(&self, line: &str) {
        self.0.printer.info(line);
    }

    fn cancelled(&self) -> bool {
        self.0.cancel.is_cancelled()
    }
}

/// An object on standard output for each event.
pub(super) struct JsonProgress(Tasks);

impl JsonProgress {
    pub(super) fn new(printer: &Printer, cancel: CancellationToken) -> Self {
        Self(Tasks::new(printer, cancel))
    }

    fn event(&self, event: Value) {
        self.0.printer.data(event);
    }
}

impl Progress for JsonProgress {
    fn begin(&self, task: &Task) {
        let id = self.0.begin(task, None);
        let kind = match task.kind {
            TaskKind::Resolve => "resolve",
            TaskKind::Download => "download",
            TaskKind::Compress => "compress",
            TaskKind::Upload => "upload",
            TaskKind::Unpack => "unpack",
            TaskKind::Context => "context",
            TaskKind::Step { .. } => "step",
            _ => "other",
        };
        let mut event = json!({ "event": "begin", "id": id, "kind": kind, "name": task.label });
        if let TaskKind::Step { stage, number, of } = &task.kind {
            event["stage"] = json!(stage);
            event["step"] = json!(number);
            event["of"] = json!(of);
        }
        if let Some(total) = task.total {
            event["bytes"] = json!(total);
        }
        self.event(event);
    }

    fn finish(&self, task: TaskId, outcome: Outcome) {
        let Some(running) = self.0.finish(task) else { return };
        for text in running.rest() {
            self.event(json!({ "event": "output", "id": running.number, "text": text }));
        }
        let outcome = match outcome {
            Outcome::Done => "done",
            Outcome::Cached => "cached",
            Outcome::Failed => "failed",
        };
        let seconds = running.began.elapsed().as_secs_f64();
        let id = running.number;
        self.event(json!({ "event": "end", "id": id, "outcome": outcome, "seconds": seconds }));
    }

    fn output(&self, task: TaskId, stream: Stream, bytes: &[u8]) {
        let Some((id, _, lines)) = self.0.lines(task, stream, bytes) else { return };
        let stream = match stream {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        };
        for text in lines {
            self.event(json!({ "event": "output", "id": id, "stream": stream, "text": text }));
        }
    }

    fn log(&self, line: &str) {
        self.event(json!({ "event": "log", "text": line }));
    }

    fn cancelled(&self) -> bool {
        self.0.cancel.is_cancelled()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_cut_into_lines_wherever_its_pieces_end() {
        let tasks = Tasks::new(&Printer::new(true), CancellationToken::new());
        let kind = TaskKind::Step { stage: "build".into(), number: 2, of: 7 };
        let task = Task { id: 9, kind, label: "RUN x".into(), total: None };
        assert_eq!(tasks.begin(&task, None), 1);
        let lines = |stream, bytes: &[u8]| tasks.lines(9, stream, bytes).unwrap().2;
        assert!(lines(Stream::Stdout, b"on").is_empty());
        assert!(lines(Stream::Stderr, b"other").is_empty());
        assert_eq!(lines(Stream::Stdout, b"e\r\ntwo\nthr"), ["one", "two"]);
        let running = tasks.finish(9).unwrap();
        assert_eq!(running.label, "[build 2/7] RUN x");
        assert_eq!(running.rest(), ["thr", "other"]);
    }
}

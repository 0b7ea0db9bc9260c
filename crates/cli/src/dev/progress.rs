//! Pulls and builds as a person sees them: bars on a terminal, plain lines elsewhere.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use image::{Outcome, Progress, Stream, Task, TaskId, TaskKind};
use indicatif::{ProgressBar, ProgressStyle};
use tokio_util::sync::CancellationToken;

use crate::printer::{Printer, style, styled};

/// Reports one image's pull or build.
pub(crate) struct ImageProgress {
    printer: Printer,
    /// Which image: stands in front of every line.
    name: String,
    cancel: CancellationToken,
    tasks: Mutex<HashMap<TaskId, Shown>>,
}

struct Shown {
    task: Task,
    bar: Option<ProgressBar>,
    /// What a step wrote after its last line feed.
    partial: Vec<u8>,
}

impl ImageProgress {
    pub(crate) fn new(printer: &Printer, name: &str, cancel: CancellationToken) -> Self {
        Self {
            printer: printer.clone(),
            name: styled(style::CONTAINER, name),
            cancel,
            tasks: Mutex::default(),
        }
    }

    fn line(&self, text: &str) {
        self.printer.info(format_args!("{} {text}", self.name));
    }

    fn with<T>(&self, id: TaskId, f: impl FnOnce(&mut Shown) -> T) -> Option<T> {
        // The table is whole after every call, so a panic elsewhere does not spoil it.
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).get_mut(&id).map(f)
    }

    fn bar(&self, task: &Task) -> Option<ProgressBar> {
        let template = match (&task.kind, task.total) {
            (TaskKind::Step { .. }, _) | (TaskKind::Resolve, _) => "{prefix} {spinner} {msg}",
            (_, Some(_)) => "{prefix} {msg} [{bar:24}] {bytes}/{total_bytes}",
            (_, None) => "{prefix} {msg} {spinner} {bytes}",
        };
        let style = ProgressStyle::with_template(template).expect("the templates above are valid");
        let bar = ProgressBar::new(task.total.unwrap_or(0)).with_style(style);
        let bar = self.printer.bars().add(bar);
        bar.set_prefix(self.name.clone());
        bar.set_message(label(task));
        bar.enable_steady_tick(Duration::from_millis(100));
        Some(bar)
    }
}

impl Progress for ImageProgress {
    fn begin(&self, task: &Task) {
        let bar = if self.printer.draws_bars() { self.bar(task) } else { None };
        if bar.is_none() && worth_a_line(task) {
            self.line(&label(task));
        }
        let shown = Shown { task: task.clone(), bar, partial: Vec::new() };
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).insert(task.id, shown);
    }

    fn advance(&self, task: TaskId, done: u64) {
        self.with(task, |shown| {
            if let Some(bar) = &shown.bar {
                bar.set_position(done);
            }
        });
    }

    fn finish(&self, task: TaskId, outcome: Outcome) {
        let shown = self.tasks.lock().unwrap_or_else(PoisonError::into_inner).remove(&task);
        let Some(shown) = shown else { return };
        if !shown.partial.is_empty() {
            self.line(&output(&shown.partial));
        }
        if let Some(bar) = shown.bar {
            bar.finish_and_clear();
            self.printer.bars().remove(&bar);
            if worth_a_line(&shown.task) {
                let cached = if outcome == Outcome::Cached { "CACHED " } else { "" };
                self.line(&format!("{}{}", styled(style::DIM, cached), label(&shown.task)));
            }
        } else if outcome == Outcome::Cached && worth_a_line(&shown.task) {
            self.line(&format!("{} CACHED", number(&shown.task)));
        }
    }

    fn output(&self, task: TaskId, _stream: Stream, bytes: &[u8]) {
        let lines = self.with(task, |shown| {
            shown.partial.extend_from_slice(bytes);
            let whole =
                shown.partial.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            shown.partial.drain(..whole).collect::<Vec<u8>>()
        });
        for line in lines.unwrap_or_default().split_inclusive(|byte| *byte == b'\n') {
            self.line(&output(line));
        }
    }

    fn log(&self, line: &str) {
        self.line(line);
    }

    fn cancelled(&self) -> bool {
        self.cancel.is_cancelled()
    }
}

/// Whether a task is told of where no bars are drawn: the steps and the downloads.
fn worth_a_line(task: &Task) -> bool {
    matches!(
        task.kind,
        TaskKind::Step { .. } | TaskKind::Download | TaskKind::Compress | TaskKind::Upload
    )
}

fn number(task: &Task) -> String {
    match &task.kind {
        TaskKind::Step { stage, number, of } if stage.is_empty() => format!("[{number}/{of}]"),
        TaskKind::Step { stage, number, of } => format!("[{stage} {number}/{of}]"),
        _ => label(task),
    }
}

pub(crate) fn label(task: &Task) -> String {
    match &task.kind {
        TaskKind::Resolve => format!("resolving {}", task.label),
        TaskKind::Download => format!("pulling {}", task.label),
        TaskKind::Compress => format!("compressing {}", task.label),
        TaskKind::Upload => format!("pushing {}", task.label),
        TaskKind::Import => format!("reading {}", task.label),
        TaskKind::Export => format!("writing {}", task.label),
        TaskKind::Unpack => format!("unpacking {}", task.label),
        TaskKind::Context => format!("reading {}", task.label),
        TaskKind::Step { .. } => format!("{} {}", number(task), task.label),
    }
}

/// A line of a build step, without its line feed.
fn output(line: &[u8]) -> String {
    styled(style::DIM, String::from_utf8_lossy(line).trim_end())
}

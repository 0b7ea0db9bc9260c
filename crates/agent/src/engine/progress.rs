//! What a pull, a push or a build tells while it works, in Docker's JSON messages.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use image::{Outcome, Progress, Stream, Task, TaskId, TaskKind};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::error::EngineError;

/// One message.
pub type Message = Value;

/// How often a task's bytes are told.
const EVERY: Duration = Duration::from_millis(100);

/// Where messages go, and whether anybody still wants them.
#[derive(Clone)]
pub struct Messages {
    send: Arc<dyn Fn(Message) + Send + Sync>,
    cancel: CancellationToken,
}

impl fmt::Debug for Messages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Messages").finish_non_exhaustive()
    }
}

impl Messages {
    /// Messages to `send`, until `cancel`.
    pub fn new(send: impl Fn(Message) + Send + Sync + 'static, cancel: CancellationToken) -> Self {
        Self { send: Arc::new(send), cancel }
    }

    /// The same, but that they are kept, for now.
    pub(super) fn held(&self) -> (Self, Arc<Mutex<Vec<Message>>>) {
        let held = Arc::<Mutex<Vec<Message>>>::default();
        let keep = Arc::clone(&held);
        let send = move |message| {
            keep.lock().expect("no holder of this lock panics").push(message);
        };
        (Self::new(send, self.cancel.clone()), held)
    }

    /// Sends one.
    pub fn send(&self, message: Message) {
        (self.send)(message);
    }

    /// A line of a pull's or push's.
    pub(super) fn status(&self, text: impl Into<String>) {
        self.send(json!({"status": text.into()}));
    }

    /// Text of a build's.
    pub(super) fn stream(&self, text: impl Into<String>) {
        self.send(json!({"stream": text.into()}));
    }

    /// Why it failed, as the last message.
    pub(super) fn error(&self, error: &EngineError) {
        let mut text = error.to_string();
        if let Some(hint) = error.hint() {
            text = format!("{text}\nhint: {hint}");
        }
        self.send(json!({"errorDetail": {"message": text}, "error": text}));
    }

    /// Progress of layers, each with its id.
    pub(super) fn layers(&self, words: &'static Words) -> LayerProgress {
        LayerProgress { messages: self.clone(), words, tasks: Mutex::default() }
    }

    /// Progress of a Dockerfile's steps.
    pub(super) fn steps(&self) -> StepProgress {
        StepProgress { messages: self.clone(), tasks: Mutex::default() }
    }
}

/// What a transfer's states are called.
#[derive(Debug)]
pub(super) struct Words {
    moving: &'static str,
    moved: &'static str,
    there: &'static str,
}

/// Docker's words for a pull.
pub(super) const PULL: Words =
    Words { moving: "Downloading", moved: "Download complete", there: "Already exists" };

/// Docker's words for a push.
pub(super) const PUSH: Words =
    Words { moving: "Pushing", moved: "Pushed", there: "Layer already exists" };

/// Layers on their way.
pub(super) struct LayerProgress {
    messages: Messages,
    words: &'static Words,
    tasks: Mutex<HashMap<TaskId, (Task, Instant)>>,
}

/// Steps of a Dockerfile.
pub(super) struct StepProgress {
    messages: Messages,
    tasks: Mutex<HashMap<TaskId, Task>>,
}

/// A layer's id in Docker's form: twelve digits.
fn layer_id(task: &Task) -> String {
    let label = task.label.rsplit_once("sha256:").map_or(task.label.as_str(), |(_, hex)| hex);
    label.chars().take(12).collect()
}

impl LayerProgress {
    fn verb(&self, kind: &TaskKind) -> Option<&'static str> {
        match kind {
            TaskKind::Download | TaskKind::Upload => Some(self.words.moving),
            TaskKind::Unpack => Some("Extracting"),
            _ => None,
        }
    }

    fn with<T>(&self, id: TaskId, f: impl FnOnce(&mut (Task, Instant)) -> T) -> Option<T> {
        self.tasks.lock().expect("no holder of this lock panics").get_mut(&id).map(f)
    }
}

impl Progress for LayerProgress {
    fn begin(&self, task: &Task) {
        if self.verb(&task.kind).is_some() {
            let mut tasks = self.tasks.lock().expect("no holder of this lock panics");
            tasks.insert(task.id, (task.clone(), Instant::now()));
        }
    }

    fn advance(&self, task: TaskId, done: u64) {
        let due = self.with(task, |(task, told)| {
            let due = told.elapsed() >= EVERY;
            if due {
                *told = Instant::now();
            }
            due.then(|| task.clone())
        });
        let Some(Some(task)) = due else { return };
        let Some(verb) = self.verb(&task.kind) else { return };
        let mut detail = json!({"current": done});
        if let Some(total) = task.total {
            detail["total"] = json!(total);
        }
        self.messages.send(json!({
            "status": verb,
            "progressDetail": detail,
            "progress": bar(done, task.total),
            "id": layer_id(&task),
        }));
    }

    fn finish(&self, task: TaskId, outcome: Outcome) {
        let ended = self.tasks.lock().expect("no holder of this lock panics").remove(&task);
        let Some((task, _)) = ended else { return };
        let status = match (outcome, &task.kind) {
            (Outcome::Done, TaskKind::Unpack) => "Pull complete",
            (Outcome::Done, _) => self.words.moved,
            (Outcome::Cached, _) => self.words.there,
            (Outcome::Failed, _) => return,
        };
        self.messages.send(json!({"status": status, "progressDetail": {}, "id": layer_id(&task)}));
    }

    fn log(&self, line: &str) {
        self.messages.status(line);
    }

    fn cancelled(&self) -> bool {
        self.messages.cancel.is_cancelled()
    }
}

impl Progress for StepProgress {
    fn begin(&self, task: &Task) {
        if let TaskKind::Step { number, of, .. } = &task.kind {
            self.messages.stream(format!("Step {number}/{of} : {}\n", task.label));
            let mut tasks = self.tasks.lock().expect("no holder of this lock panics");
            tasks.insert(task.id, task.clone());
        } else if task.kind == TaskKind::Resolve {
            self.messages.stream(format!("Resolving {}\n", task.label));
        }
    }

    fn finish(&self, task: TaskId, outcome: Outcome) {
        let ended = self.tasks.lock().expect("no holder of this lock panics").remove(&task);
        if ended.is_some() && outcome == Outcome::Cached {
            self.messages.stream(" ---> Using cache\n");
        }
    }

    fn output(&self, _task: TaskId, _stream: Stream, bytes: &[u8]) {
        self.messages.stream(String::from_utf8_lossy(bytes));
    }

    fn log(&self, line: &str) {
        self.messages.stream(format!("{line}\n"));
    }

    fn cancelled(&self) -> bool {
        self.messages.cancel.is_cancelled()
    }
}

/// `[====>     ]  1.2MB/3.4MB`
fn bar(done: u64, total: Option<u64>) -> String {
    const WIDTH: u64 = 50;
    let Some(total) = total.filter(|total| *total > 0) else { return size(done) };
    let filled = usize::try_from(done.min(total) * WIDTH / total).unwrap_or_default();
    let rest = 50 - filled;
    let (bar, head) = ("=".repeat(filled), if rest > 0 { ">" } else { "" });
    let blank = " ".repeat(rest.saturating_sub(1));
    format!("[{bar}{head}{blank}]  {}/{}", size(done), size(total))
}

/// A number of bytes as Docker writes it: four digits at most, powers of ten.
#[must_use]
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["B", "kB", "MB", "GB", "TB", "PB"];
    #[expect(clippy::cast_precision_loss, reason = "four digits are shown")]
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    let digits: usize = match value {
        _ if unit == 0 => 0,
        v if v < 10.0 => 2,
        v if v < 100.0 => 1,
        _ => 0,
    };
    let text = format!("{value:.digits$}");
    let text =
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text}{}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_bars_are_dockers() {
        for (bytes, text) in [
            (0, "0B"),
            (999, "999B"),
            (1000, "1kB"),
            (1_240_000, "1.24MB"),
            (72_800_000, "72.8MB"),
            (105_000_000, "105MB"),
        ] {
            assert_eq!(size(bytes), text);
        }
        assert_eq!(bar(5, None), "5B");
        assert!(bar(50, Some(100)).starts_with("[=========================>"));
        assert!(bar(100, Some(100)).contains("=]"));
    }
}

//! `GET /containers/{id}/logs`: what a container printed, from its log files, and what it prints.

use std::io::{self, BufRead as _, BufReader};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use model::instance::State;
use model::limits::LOG_FILES;
use tokio::sync::{mpsc, watch};

use super::Inner;
use super::containers::Found;
use super::error::EngineError;
use super::events::moment;
use super::record::{Life, Status};
use super::reply::{Answer, growing};
use crate::access::LogRequest;
use crate::docker_api::path::Query;
use crate::event::Stream;
use crate::exec::frames::{FrameStream, frame};
use crate::instance::Instance;

/// Lines on their way to a reader.
const PIECES: usize = 64;

/// What is wanted of a log.
#[derive(Debug, Clone)]
struct Wanted {
    streams: [bool; 2],
    timestamps: bool,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    /// Only that many last lines.
    tail: Option<usize>,
    /// As the terminal had it, without frames.
    raw: bool,
}

/// One line of a log file.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Line<'a> {
    time: Timestamp,
    stream: Stream,
    partial: bool,
    text: &'a str,
}

/// `GET /containers/{id}/logs?stdout=&stderr=&follow=&since=&until=&timestamps=&tail=`
pub(super) async fn logs(engine: &Arc<Inner>, found: &Found, query: Query<'_>) -> Answer {
    let wanted = Wanted {
        streams: [query.flag("stdout"), query.flag("stderr")],
        timestamps: query.flag("timestamps"),
        since: moment(query, "since")?,
        until: moment(query, "until")?,
        tail: tail(query)?,
        raw: matches!(found, Found::Plain(container) if container.plain.tty),
    };
    if wanted.streams == [false, false] {
        let text = "Bad parameters: you must choose at least one stream";
        return Err(EngineError::BadParameter(text.to_owned()));
    }
    let instance = found.instance(engine);
    let run = match (found, &instance) {
        (_, Some(instance)) => Some(instance.subject.instance),
        (Found::Plain(container), None) => container.life.borrow().instance,
        (Found::Object(_), None) => None,
    };
    let kind = match wanted.raw {
        true => "application/vnd.docker.raw-stream",
        false => "application/vnd.docker.multiplexed-stream",
    };
    let (send, reply) = growing(kind);
    let Some(run) = run else { return Ok(reply) };
    let log = Log { directory: engine.api.node.log_dir(run), wanted, current: None };
    let program = query.flag("follow").then(|| Program::of(found, instance));
    tokio::spawn(show(log, program, send));
    Ok(reply)
}

/// The log of an instance, for whoever asks the agent itself: frames.
pub(crate) fn of_instance(
    directory: PathBuf,
    instance: Instance,
    request: &LogRequest,
) -> mpsc::Receiver<Bytes> {
    let printed = Some(instance.printed());
    let program = request.follow.then(|| Program { printed, life: None, instance: Some(instance) });
    framed(directory, program, request)
}

/// The same of one that has ended.
pub(crate) fn in_folder(directory: PathBuf, request: &LogRequest) -> mpsc::Receiver<Bytes> {
    framed(directory, None, request)
}

fn framed(
    directory: PathBuf,
    program: Option<Program>,
    request: &LogRequest,
) -> mpsc::Receiver<Bytes> {
    let wanted = Wanted {
        streams: [true, true],
        timestamps: request.timestamps,
        since: request.since,
        until: None,
        tail: request.tail,
        raw: false,
    };
    let log = Log { directory, wanted, current: None };
    let (send, receive) = mpsc::channel(PIECES);
    tokio::spawn(show(log, program, send));
    receive
}

async fn show(log: Log, program: Option<Program>, to: mpsc::Sender<Bytes>) {
    // Whoever reads has gone, or the files have.
    if let Err(error) = log.show(program, to).await {
        tracing::debug!(%error, "a log's reader gets no more");
    }
}

fn tail(query: Query<'_>) -> Result<Option<usize>, EngineError> {
    match query.get("tail").as_deref() {
        None | Some("" | "all") => Ok(None),
        Some(text) if text.starts_with('-') => Ok(None),
        Some(text) => text
            .parse()
            .map(Some)
            .map_err(|_| EngineError::BadParameter(format!("invalid value for \"tail\": {text}"))),
    }
}

/// The program that prints, as its log's followers see it.
struct Program {
    /// Changes with each line that was written.
    printed: Option<watch::Receiver<()>>,
    life: Option<watch::Receiver<Life>>,
    instance: Option<Instance>,
}

impl Program {
    fn of(found: &Found, instance: Option<Instance>) -> Self {
        let life = match found {
            Found::Plain(container) => Some(container.life.subscribe()),
            Found::Object(_) => None,
        };
        Self { printed: instance.as_ref().map(Instance::printed), life, instance }
    }

    /// Whether nothing more will be printed.
    fn is_over(&self) -> bool {
        match (&self.life, &self.instance) {
            (Some(life), _) => life.borrow().status != Status::Running,
            (None, Some(instance)) => instance.state().is_over(),
            (None, None) => true,
        }
    }

    /// What was printed until now will be read.
    fn seen(&mut self) {
        if let Some(printed) = &mut self.printed {
            printed.mark_unchanged();
        }
    }

    /// Waits until more was printed, or nothing more will be.
    async fn change(&mut self) {
        let printed = async {
            let changed = match &mut self.printed {
                Some(printed) => printed.changed().await.is_ok(),
                None => false,
            };
            if !changed {
                // Who printed is gone: its end comes.
                std::future::pending::<()>().await;
            }
        };
        let over = async {
            match (&mut self.life, &self.instance) {
                (Some(life), _) => {
                    let _ = life.wait_for(|life| life.status != Status::Running).await;
                }
                (None, Some(instance)) => _ = instance.until(State::is_over).await,
                (None, None) => {}
            }
        };
        tokio::select! {
            () = printed => {}
            () = over => {}
        }
    }
}

/// A log and how far it was read.
struct Log {
    directory: PathBuf,
    wanted: Wanted,
    current: Option<BufReader<std::fs::File>>,
}

impl Log {
    /// Sends what is there, and what comes while `program` runs, if it is to be followed.
    async fn show(mut self, program: Option<Program>, to: mpsc::Sender<Bytes>) -> io::Result<()> {
        let past;
        (self, past) = self.blocking(Self::past).await?;
        send(&to, past).await?;
        let Some(mut program) = program else { return Ok(()) };
        loop {
            // Asked before the files are read: what is printed before the end is not missed.
            let last = program.is_over();
            program.seen();
            let fresh;
            (self, fresh) = self.blocking(Self::fresh).await?;
            let nothing = fresh.is_empty();
            send(&to, fresh).await?;
            if !nothing {
                continue;
            }
            if last {
                return Ok(());
            }
            tokio::select! {
                () = program.change() => {}
                () = to.closed() => return Ok(()),
            }
        }
    }

    /// Reads where blocking is fine.
    async fn blocking<T: Send + 'static>(
        mut self,
        read: impl FnOnce(&mut Self) -> io::Result<T> + Send + 'static,
    ) -> io::Result<(Self, T)> {
        let read = tokio::task::spawn_blocking(move || read(&mut self).map(|read| (self, read)));
        read.await.map_err(io::Error::other)?
    }

    /// What is there, as it goes out.
    fn past(&mut self) -> io::Result<Vec<Vec<u8>>> {
        let newest = self.directory.join("log");
        // Opened first: what is rotated away meanwhile is read from here to its end.
        self.current = open(&newest)?;
        let mut past = Vec::new();
        for number in (1..LOG_FILES).rev() {
            let path = newest.with_extension(number.to_string());
            // One that was just rotated is the one that is open.
            if let Ok(file) = std::fs::File::open(&path)
                && self.current.as_ref().is_none_or(|own| !is_same(own.get_ref(), &file))
            {
                past.extend(lines(&mut BufReader::new(file))?);
            }
        }
        if let Some(current) = &mut self.current {
            past.extend(lines(current)?);
        }
        let mut chosen: Vec<_> = past
            .iter()
            .filter(|line| self.wanted.takes(line))
            .map(|l| self.wanted.shown(l))
            .collect();
        let skipped = self.wanted.tail.map_or(0, |tail| chosen.len().saturating_sub(tail));
        chosen.drain(..skipped);
        Ok(chosen)
    }

    /// What has come since; nothing only when there is none.
    fn fresh(&mut self) -> io::Result<Vec<Vec<u8>>> {
        loop {
            let fresh = match &mut self.current {
                Some(file) => lines(file)?,
                None => Vec::new(),
            };
            if !fresh.is_empty() {
                let wanted = fresh.iter().filter(|line| self.wanted.takes(line));
                let wanted: Vec<_> = wanted.map(|line| self.wanted.shown(line)).collect();
                if wanted.is_empty() {
                    continue;
                }
                return Ok(wanted);
            }
            let other = open(&self.directory.join("log"))?;
            let rotated = match (&self.current, &other) {
                (Some(own), Some(other)) => !is_same(own.get_ref(), other.get_ref()),
                (None, Some(_)) => true,
                (_, None) => false,
            };
            if !rotated {
                return Ok(Vec::new());
            }
            self.current = other;
        }
    }
}

fn open(path: &PathBuf) -> io::Result<Option<BufReader<std::fs::File>>> {
    match std::fs::File::open(path) {
        Ok(file) => Ok(Some(BufReader::new(file))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn is_same(one: &std::fs::File, other: &std::fs::File) -> bool {
    match (one.metadata(), other.metadata()) {
        (Ok(one), Ok(other)) => one.ino() == other.ino(),
        _ => false,
    }
}

/// The whole lines that can be read now. Lines are written whole.
fn lines(file: &mut BufReader<std::fs::File>) -> io::Result<Vec<String>> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if file.read_line(&mut line)? == 0 {
            return Ok(lines);
        }
        lines.push(line);
    }
}

async fn send(to: &mpsc::Sender<Bytes>, lines: Vec<Vec<u8>>) -> io::Result<()> {
    for line in lines {
        to.send(Bytes::from(line)).await.map_err(|_| io::ErrorKind::BrokenPipe)?;
    }
    Ok(())
}

impl Wanted {
    fn takes(&self, line: &str) -> bool {
        let Some(line) = parse(line) else { return false };
        let [stdout, stderr] = self.streams;
        let stream = match line.stream {
            Stream::Stdout => stdout,
            Stream::Stderr => stderr,
        };
        stream
            && self.since.is_none_or(|since| line.time >= since)
            && self.until.is_none_or(|until| line.time <= until)
    }

    /// The line as it goes out.
    fn shown(&self, line: &str) -> Vec<u8> {
        let Some(line) = parse(line) else { return Vec::new() };
        let mut text = String::new();
        if self.timestamps {
            text = format!("{:.9} ", line.time);
        }
        text += line.text;
        if !line.partial {
            text.push_str(if self.raw { "\r\n" } else { "\n" });
        }
        match (self.raw, line.stream) {
            (true, _) => text.into_bytes(),
            (false, Stream::Stdout) => frame(FrameStream::Stdout, text.as_bytes()),
            (false, Stream::Stderr) => frame(FrameStream::Stderr, text.as_bytes()),
        }
    }
}

/// `<time> stdout F <text>`, as [`crate::output`] writes it.
fn parse(line: &str) -> Option<Line<'_>> {
    let mut parts = line.strip_suffix('\n').unwrap_or(line).splitn(4, ' ');
    let (time, stream) = (parts.next()?.parse().ok()?, parts.next()?);
    let partial = match parts.next()? {
        "F" => false,
        "P" => true,
        _ => return None,
    };
    let stream = match stream {
        "stdout" => Stream::Stdout,
        "stderr" => Stream::Stderr,
        _ => return None,
    };
    Some(Line { time, stream, partial, text: parts.next().unwrap_or_default() })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const ONE: &str = "2026-01-02T03:04:05.000000006Z stdout F a b\n";
    const TWO: &str = "2026-01-02T03:04:06.000000000Z stderr P c\n";

    fn wanted() -> Wanted {
        Wanted {
            streams: [true, true],
            timestamps: false,
            since: None,
            until: None,
            tail: None,
            raw: true,
        }
    }

    fn log(directory: &Path, wanted: &Wanted) -> Log {
        Log { directory: directory.to_owned(), wanted: wanted.clone(), current: None }
    }

    fn text(lines: Vec<Vec<u8>>) -> String {
        String::from_utf8(lines.concat()).unwrap()
    }

    fn read(directory: &Path, wanted: &Wanted) -> String {
        text(log(directory, wanted).past().unwrap())
    }

    #[test]
    fn lines_are_chosen_by_stream_time_and_number() {
        let dir = tempfile::tempdir().unwrap();
        fs_err::write(dir.path().join("log.1"), ONE).unwrap();
        fs_err::write(dir.path().join("log"), format!("{TWO}no line\n{ONE}")).unwrap();
        assert_eq!(read(dir.path(), &wanted()), "a b\r\nca b\r\n");
        assert_eq!(read(dir.path(), &Wanted { tail: Some(1), ..wanted() }), "a b\r\n");
        assert_eq!(read(dir.path(), &Wanted { streams: [false, true], ..wanted() }), "c");
        let since = "2026-01-02T03:04:06Z".parse().ok();
        assert_eq!(read(dir.path(), &Wanted { since, ..wanted() }), "c");
        let timed = read(dir.path(), &Wanted { timestamps: true, tail: Some(1), ..wanted() });
        assert_eq!(timed, "2026-01-02T03:04:05.000000006Z a b\r\n");
    }

    #[test]
    fn what_comes_later_is_read_through_a_rotation_and_once() {
        let dir = tempfile::tempdir().unwrap();
        let (newest, older) = (dir.path().join("log"), dir.path().join("log.1"));
        fs_err::write(&newest, ONE).unwrap();
        let mut log = log(dir.path(), &Wanted { streams: [true, false], ..wanted() });
        assert_eq!(text(log.past().unwrap()), "a b\r\n");
        assert!(log.fresh().unwrap().is_empty());
        fs_err::write(&newest, format!("{ONE}{TWO}{ONE}")).unwrap();
        fs_err::rename(&newest, older).unwrap();
        fs_err::write(&newest, ONE).unwrap();
        assert_eq!(text(log.fresh().unwrap()), "a b\r\n", "the end of the old file");
        assert_eq!(text(log.fresh().unwrap()), "a b\r\n", "the new file");
        assert!(log.fresh().unwrap().is_empty());
    }

    #[test]
    fn no_log_is_an_empty_one() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(dir.path(), &wanted()), "");
    }
}

//! Files of an instance, by the platform's API.

use std::io::{self, BufWriter, Write as _};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::oneshot;
use tokio_tungstenite::tungstenite::Message;

use super::pipe::{self, Pieces, Reader, Writer};
use super::place::{What, linked};
use crate::api::{ApiError, Client, Request, Socket, escaped, failed};
use crate::commands::containers::PROTOCOL;
use crate::commands::containers::streams::next;
use crate::error::{CliError, Kind};
use crate::printer::Printer;

/// Symbolic links that lead to one another, as the kernel follows them.
const MOST_LINKS: usize = 40;
/// Bytes that are read here at once.
const PIECE: usize = 256 * 1024;
/// How long it may take until it is known that files here could not be read.
const SHORT: Duration = Duration::from_secs(1);

const OUT: &str = "copy out of the instance";
const IN: &str = "copy into the instance";

/// What is at a path in the instance; links are not followed.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct File {
    /// As `st_mode` has it.
    pub(super) mode: u32,
    link: Option<String>,
}

impl File {
    pub(super) fn what(&self) -> What {
        match self.mode & 0o170_000 {
            0o040_000 => What::Directory,
            _ => What::Other,
        }
    }
}

/// What the platform says between the bytes of an archive.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Said {
    Size(u64),
    Error(String),
}

/// The files of an instance.
#[derive(Debug)]
pub(super) struct Files<'a> {
    client: &'a Client,
    id: &'a str,
    printer: &'a Printer,
}

impl<'a> Files<'a> {
    pub(super) fn new(client: &'a Client, id: &'a str, printer: &'a Printer) -> Self {
        Self { client, id, printer }
    }

    fn path(&self, what: &str, path: &str) -> String {
        let (id, path) = (escaped(self.id), escaped(path));
        self.client.path(&format!("/berth/instances/{id}/{what}?path={path}"))
    }

    /// What is at an absolute path; `None` when nothing is.
    pub(super) async fn look_at(&self, path: &str) -> Result<Option<File>, CliError> {
        match self.client.ask(Request::get(self.path("file", path))).await {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.is_no_file() => Ok(None),
            Err(error) => Err(failed(&format!("look at {path} in the instance"))(error)),
        }
    }

    /// The same where its link leads to, if it is one: and where that is.
    pub(super) async fn look_through_links(
        &self,
        path: &str,
    ) -> Result<(String, Option<File>), CliError> {
        let mut path = path.to_owned();
        for _ in 0..MOST_LINKS {
            let found = self.look_at(&path).await?;
            match found.as_ref().and_then(|file| file.link.as_deref()) {
                Some(link) => path = linked(&path, link),
                None => return Ok((path, found)),
            }
        }
        let text = format!("the symbolic links at {path} in the instance lead nowhere");
        Err(CliError::new(Kind::Failure, text))
    }

    pub(super) fn missing(&self, path: &str) -> CliError {
        CliError::new(Kind::Failure, format!("there is nothing at {path} in the instance")).hint(
            format!("`berth containers exec {} -- ls DIRECTORY` shows what there is", self.id),
        )
    }

    /// Gives the archive of a path to `consume`, which reads it while it comes; its size.
    pub(super) async fn read(
        &self,
        path: &str,
        consume: impl FnOnce(Reader) -> io::Result<()> + Send + 'static,
    ) -> Result<u64, CliError> {
        let socket = self.client.socket(&self.path("archive", path), PROTOCOL).await;
        let socket = socket.map_err(|error| match error.is_no_file() {
            true => self.missing(path),
            false => failed(OUT)(error),
        })?;
        let bar = self.bar();
        let (pieces, reader) = pipe::channel();
        let consuming = tokio::task::spawn_blocking(move || consume(reader));
        let received = receive(socket, pieces, &bar).await;
        let consumed = consuming.await;
        self.finish(&bar);
        let size = received?;
        let consumed = consumed.map_err(|error| CliError::failure(OUT, error))?;
        consumed.map_err(|error| CliError::failure(OUT, error))?;
        Ok(size)
    }

    /// Has an archive unpacked in a directory that `produce` writes while it goes; its size.
    pub(super) async fn write(
        &self,
        directory: &str,
        produce: impl FnOnce(&mut BufWriter<Writer>) -> io::Result<()> + Send + 'static,
    ) -> Result<u64, CliError> {
        let (pieces, reader) = pipe::channel();
        let (done, produced) = oneshot::channel();
        // No task: whoever types an archive may never come to its end.
        std::thread::spawn(move || {
            // Who has gone need not be told.
            let _ = done.send(fill(pieces, produce));
        });
        let bar = self.bar();
        let request = Request::put(self.path("archive", directory)).stream(bar.wrap_read(reader));
        let answer: Result<Value, ApiError> = self.client.ask(request).await;
        self.finish(&bar);
        // What could not be read here is why it was not taken there.
        let produced = match tokio::time::timeout(SHORT, produced).await {
            Ok(Ok(produced)) => produced,
            Ok(Err(_)) | Err(_) => Ok(0),
        };
        match (answer, produced) {
            (_, Err(error)) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(CliError::failure(IN, error))
            }
            (Err(error), _) => Err(failed(IN)(error)),
            (Ok(_), Err(error)) => Err(CliError::failure(IN, error)),
            (Ok(_), Ok(size)) => Ok(size),
        }
    }

    fn bar(&self) -> ProgressBar {
        if !self.printer.draws_bars() {
            return ProgressBar::hidden();
        }
        let style = ProgressStyle::with_template(WITHOUT_SIZE).expect("the template is valid");
        let bar = self.printer.bars().add(ProgressBar::no_length().with_style(style));
        bar.set_message("copying");
        bar.enable_steady_tick(Duration::from_millis(100));
        bar
    }

    fn finish(&self, bar: &ProgressBar) {
        bar.finish_and_clear();
        self.printer.bars().remove(bar);
    }
}

const WITHOUT_SIZE: &str = "{msg} {spinner} {bytes}";
const WITH_SIZE: &str = "{msg} [{bar:24}] {bytes}/{total_bytes}";

/// Writes an archive to its end; how many bytes it has. Its reader is told if it is not whole.
fn fill(
    pieces: Pieces,
    produce: impl FnOnce(&mut BufWriter<Writer>) -> io::Result<()>,
) -> io::Result<u64> {
    let mut writer = BufWriter::with_capacity(PIECE, Writer::new(pieces.clone()));
    let produced = produce(&mut writer).and_then(|()| writer.flush());
    let size = writer.get_ref().written();
    match produced {
        Ok(()) => Ok(size),
        Err(error) => {
            let _ = pieces.blocking_send(Err(io::Error::other("the archive is not whole")));
            Err(error)
        }
    }
}

/// Hands the bytes of an archive on; how many they were.
async fn receive(mut socket: Socket, to: Pieces, bar: &ProgressBar) -> Result<u64, CliError> {
    let (mut size, mut received) = (None, 0);
    while let Some(message) = next(&mut socket).await? {
        match message {
            Message::Binary(bytes) => {
                received += bytes.len() as u64;
                bar.inc(bytes.len() as u64);
                if to.send(Ok(bytes)).await.is_err() {
                    // Who reads has had enough, and says why.
                    return Ok(received);
                }
            }
            Message::Text(text) => match serde_json::from_str(&text) {
                Ok(Said::Size(bytes)) => {
                    size = Some(bytes);
                    bar.set_length(bytes);
                    bar.set_style(
                        ProgressStyle::with_template(WITH_SIZE).expect("the template is valid"),
                    );
                }
                Ok(Said::Error(text)) => return Err(broken(&to, &text).await),
                Err(error) => tracing::debug!(%error, "the platform says something unknown"),
            },
            _ => {}
        }
    }
    match size {
        Some(size) if size != received => {
            Err(broken(&to, &format!("{received} of {size} bytes have come")).await)
        }
        _ => Ok(received),
    }
}

/// An archive that has come in part alone; its reader is told, too.
async fn broken(to: &Pieces, reason: &str) -> CliError {
    let _ = to.send(Err(io::Error::other("the archive is not whole"))).await;
    CliError::new(Kind::Failure, format!("failed to {OUT}: {reason}")).hint("run the command again")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_platform_tells_a_size_or_an_error() {
        let said = |text: &str| serde_json::from_str::<Said>(text).ok();
        assert_eq!(said(r#"{"size": 7}"#), Some(Said::Size(7)));
        assert_eq!(said(r#"{"error": "disk"}"#), Some(Said::Error("disk".to_owned())));
        assert_eq!(said("{}"), None);
    }
}

//! The console of a plain container: whoever is attached gets every byte it prints, and may type.
//!
//! An attached reader that is slow slows the program down, as a pipe would.

use std::io;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use runtime::StreamWriter;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::{mpsc, watch};

use crate::event::Stream;

/// Pieces of output that may wait for an attached reader.
const PIECES: usize = 64;

/// What one attached reader gets.
pub(crate) type Tap = mpsc::Receiver<(Stream, Bytes)>;

/// Where a program reads from, shared with whoever is typing at this moment.
type Input = Arc<tokio::sync::Mutex<StreamWriter>>;

/// One container's console, from its creation to its removal.
#[derive(Debug, Default)]
pub(crate) struct Console {
    taps: Mutex<Vec<mpsc::Sender<(Stream, Bytes)>>>,
    input: watch::Sender<Option<Input>>,
    /// A terminal's size asked for before there was one: columns and rows.
    size: Mutex<Option<(u16, u16)>>,
}

impl Console {
    /// Everything printed from now on, until the program has ended.
    pub(crate) fn attach(&self) -> Tap {
        let (send, receive) = mpsc::channel(PIECES);
        self.taps.lock().expect("no holder of this lock panics").push(send);
        receive
    }

    /// Whether anybody is attached.
    pub(crate) fn is_attached(&self) -> bool {
        let taps = self.taps.lock().expect("no holder of this lock panics");
        taps.iter().any(|tap| !tap.is_closed())
    }

    /// The program printed this.
    pub(super) async fn print(&self, stream: Stream, bytes: &[u8]) {
        let taps = self.taps.lock().expect("no holder of this lock panics").clone();
        if taps.is_empty() || bytes.is_empty() {
            return;
        }
        let bytes = Bytes::copy_from_slice(bytes);
        let mut gone = false;
        for tap in taps {
            gone |= tap.send((stream, bytes.clone())).await.is_err();
        }
        if gone {
            let mut taps = self.taps.lock().expect("no holder of this lock panics");
            taps.retain(|tap| !tap.is_closed());
        }
    }

    /// The program has ended, or will never run: nothing more is printed.
    pub(crate) fn end(&self) {
        self.taps.lock().expect("no holder of this lock panics").clear();
        self.input.send_replace(None);
    }

    /// A program runs that reads from here.
    pub(crate) fn connect(&self, input: Option<StreamWriter>) {
        if let (Some(input), Some((columns, rows))) = (&input, self.size()) {
            // What is no terminal has no size.
            let _ = input.resize(columns, rows);
        }
        self.input.send_replace(input.map(|input| Arc::new(tokio::sync::Mutex::new(input))));
    }

    /// Types something; what comes before the program runs waits for it.
    ///
    /// # Errors
    /// The program reads no more.
    pub(crate) async fn type_in(&self, bytes: &[u8]) -> io::Result<()> {
        let mut input = self.input.subscribe();
        let input = match input.wait_for(Option::is_some).await {
            Ok(input) => input.clone(),
            Err(_) => None,
        };
        let input = input.ok_or(io::ErrorKind::NotConnected)?;
        input.lock().await.write_all(bytes).await
    }

    /// The end of what is typed: dropping a pipe's end is that. What comes before the program runs
    /// waits for it.
    pub(crate) async fn end_input(&self) {
        let _ = self.input.subscribe().wait_for(Option::is_some).await;
        self.input.send_replace(None);
    }

    /// Sets the terminal's size, now or when there is one.
    pub(crate) async fn resize(&self, columns: u16, rows: u16) {
        *self.size.lock().expect("no holder of this lock panics") = Some((columns, rows));
        let input = self.input.borrow().clone();
        if let Some(input) = input {
            let _ = input.lock().await.resize(columns, rows);
        }
    }

    /// The size that was asked for.
    pub(crate) fn size(&self) -> Option<(u16, u16)> {
        *self.size.lock().expect("no holder of this lock panics")
    }
}

/// A console that is shared by its container and its program.
pub(crate) type SharedConsole = Arc<Console>;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_is_attached_gets_every_byte_until_the_end() {
        let console = Console::default();
        let mut tap = console.attach();
        console.print(Stream::Stdout, b"one").await;
        console.print(Stream::Stderr, b"two").await;
        console.end();
        assert_eq!(tap.recv().await, Some((Stream::Stdout, Bytes::from_static(b"one"))));
        assert_eq!(tap.recv().await, Some((Stream::Stderr, Bytes::from_static(b"two"))));
        assert_eq!(tap.recv().await, None);
    }

    #[tokio::test]
    async fn who_leaves_keeps_nobody_waiting() {
        let console = Console::default();
        drop(console.attach());
        for _ in 0..2 * PIECES {
            console.print(Stream::Stdout, b"x").await;
        }
        assert!(!console.is_attached());
    }
}

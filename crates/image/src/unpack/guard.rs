//! Bounds on what an archive makes us read, whatever its headers claim.

use std::cell::Cell;
use std::io::{self, Read};
use std::rc::Rc;

/// What the guard stopped for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tripped {
    /// More bytes than allowed.
    Bytes,
    /// More bytes of headers than allowed for one entry.
    Headers,
    /// The caller asked to stop.
    Cancelled,
}

/// The guard's state, shared with whoever reads through an archive reader.
pub(crate) struct State {
    bytes_left: Cell<u64>,
    headers_left: Cell<Option<u64>>,
    tripped: Cell<Option<Tripped>>,
}

impl State {
    /// Bounds what is read until this is called again; `None` lifts the bound.
    pub(crate) fn limit_headers(&self, bytes: Option<u64>) {
        self.headers_left.set(bytes);
    }

    pub(crate) fn tripped(&self) -> Option<Tripped> {
        self.tripped.get()
    }
}

pub(crate) struct Guard<'a, R> {
    inner: R,
    state: Rc<State>,
    cancelled: &'a dyn Fn() -> bool,
}

impl<'a, R: Read> Guard<'a, R> {
    pub(crate) fn new(inner: R, bytes: u64, cancelled: &'a dyn Fn() -> bool) -> Self {
        let state = Rc::new(State {
            bytes_left: Cell::new(bytes),
            headers_left: Cell::new(None),
            tripped: Cell::new(None),
        });
        Self { inner, state, cancelled }
    }

    pub(crate) fn state(&self) -> Rc<State> {
        Rc::clone(&self.state)
    }

    fn trip(&self, reason: Tripped) -> io::Error {
        self.state.tripped.set(Some(reason));
        io::Error::other("stopped")
    }
}

impl<R: Read> Read for Guard<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if (self.cancelled)() {
            return Err(self.trip(Tripped::Cancelled));
        }
        let count = self.inner.read(buffer)?;
        let read = count as u64;
        let Some(left) = self.state.bytes_left.get().checked_sub(read) else {
            return Err(self.trip(Tripped::Bytes));
        };
        self.state.bytes_left.set(left);
        if let Some(left) = self.state.headers_left.get() {
            let Some(left) = left.checked_sub(read) else {
                return Err(self.trip(Tripped::Headers));
            };
            self.state.headers_left.set(Some(left));
        }
        Ok(count)
    }
}

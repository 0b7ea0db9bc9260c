//! The record of a sandbox's end: a small file opened before the start, so that no exit code is
//! ever lost while nobody listens.
//!
//! Layout: a header of fixed size (so that rewriting it needs no new disk block), then the output
//! that nobody had read. An empty file means "parked".

use serde::{Deserialize, Serialize};

use crate::message::Status;

/// Bytes kept for the header; output follows.
pub const HEADER_BYTES: usize = 64;

/// What the record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Header {
    /// `Start` was received.
    Running,
    /// The main program ended.
    Exited {
        /// How.
        status: Status,
        /// Whether memory was used up (known to init on cgroup v1 only).
        oom: bool,
        /// Bytes of unread standard output after the header.
        stdout: u32,
        /// Bytes of unread standard error after those.
        stderr: u32,
    },
}

impl Header {
    /// The header's bytes, padded to [`HEADER_BYTES`].
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        postcard::to_slice(self, &mut bytes).expect("a header is far below 64 bytes");
        bytes
    }
}

/// A record as read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// Never started.
    Parked,
    /// Started, no end recorded.
    Running,
    /// Ended.
    Exited {
        /// How.
        status: Status,
        /// Whether memory was used up, as far as init knows.
        oom: bool,
        /// Unread standard output.
        stdout: Vec<u8>,
        /// Unread standard error.
        stderr: Vec<u8>,
    },
}

impl Record {
    /// Reads a record; what cannot be understood counts as running, that is, as an end unknown.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Self {
        if bytes.is_empty() {
            return Self::Parked;
        }
        let Ok(Header::Exited { status, oom, stdout, stderr }) = postcard::from_bytes(bytes) else {
            return Self::Running;
        };
        let mut rest = bytes.get(HEADER_BYTES..).unwrap_or_default();
        let mut take = |n: u32| {
            let (taken, left) = rest.split_at(rest.len().min(n as usize));
            rest = left;
            taken.to_vec()
        };
        let stdout = take(stdout);
        Self::Exited { status, oom, stdout, stderr: take(stderr) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_record_gives_back_status_and_output() {
        let header = Header::Exited { status: Status::Signal(9), oom: true, stdout: 3, stderr: 2 };
        let mut bytes = header.encode().to_vec();
        bytes.extend(b"outer");
        let expected = Record::Exited {
            status: Status::Signal(9),
            oom: true,
            stdout: b"out".to_vec(),
            stderr: b"er".to_vec(),
        };
        assert_eq!(Record::decode(&bytes), expected);
        assert_eq!(Record::decode(&Header::Running.encode()), Record::Running);
        assert_eq!(Record::decode(b""), Record::Parked);
    }

    proptest! {
        #[test]
        fn any_bytes_are_some_record(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Record::decode(&bytes);
        }
    }
}

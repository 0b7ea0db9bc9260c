//! Frames on a unix stream socket: a length (u32, little endian), then the message in postcard.
//! Descriptors ride on a frame's first byte.
//!
//! A frame is read with exact lengths and never beyond its end, so descriptors that arrive while its
//! length is read belong to it.
//!
//! An init lives as long as its program, so it may be older or newer than the agent it talks to. What
//! follows a message's last known field is passed over, and fields that a message lacks at its end
//! read as zero: `false`, `None`, empty. Messages that a running init takes or sends may therefore
//! grow at their end, by fields whose zero means what was meant before, and in no other way.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Longest message. Arguments and environment are limited to 2 MiB by the kernel.
pub const MESSAGE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Zeros read after a message's end.
const DEFAULTS: usize = 64;

/// Most descriptors on one frame: the kernel's `SCM_MAX_FD`.
pub const FDS_MAX: usize = 253;

/// The bytes of a frame.
///
/// # Errors
/// The message is longer than [`MESSAGE_BYTES_MAX`].
pub fn encode<T: Serialize>(message: &T) -> io::Result<Vec<u8>> {
    let bytes = postcard::to_extend(message, vec![0; 4]).map_err(io::Error::other)?;
    let len = bytes.len() - 4;
    if len > MESSAGE_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "message too long"));
    }
    let mut bytes = bytes;
    bytes[..4].copy_from_slice(&u32::try_from(len).expect("below 8 MiB").to_le_bytes());
    Ok(bytes)
}

/// Sends as much of `bytes` as the socket takes, `fds` with the first of them.
///
/// # Errors
/// `WouldBlock` on a full non-blocking socket, `BrokenPipe` when nobody reads.
pub fn send_part(
    socket: BorrowedFd<'_>,
    bytes: &[u8],
    fds: &[BorrowedFd<'_>],
) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "too many descriptors"));
    }
    let sent = rustix::io::retry_on_intr(|| {
        rustix::net::sendmsg(socket, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)
    })?;
    Ok(sent)
}

/// Sends a whole message on a blocking socket.
///
/// # Errors
/// The socket failed, or a message or descriptor too many.
pub fn send<T: Serialize>(
    socket: impl AsFd,
    message: &T,
    fds: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let bytes = encode(message)?;
    let mut sent = send_part(socket.as_fd(), &bytes, fds)?;
    while sent < bytes.len() {
        sent += send_part(socket.as_fd(), &bytes[sent..], &[])?;
    }
    Ok(())
}

/// Puts frames together again; keeps what has arrived of one when the socket has no more.
#[derive(Debug, Default)]
pub struct Receiver {
    bytes: Vec<u8>,
    fds: Vec<OwnedFd>,
}

impl Receiver {
    /// The next message, or `None` at the end of the stream.
    ///
    /// # Errors
    /// `WouldBlock` when more has to arrive on a non-blocking socket: call again. `UnexpectedEof` in
    /// the middle of a frame, `InvalidData` for bytes that are no message.
    pub fn receive<T: DeserializeOwned>(
        &mut self,
        socket: impl AsFd,
    ) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
        loop {
            let wanted = match self.bytes.first_chunk::<4>() {
                None => 4,
                Some(len) => 4 + u32::from_le_bytes(*len) as usize,
            };
            if wanted > 4 + MESSAGE_BYTES_MAX {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "frame too long"));
            }
            if wanted == self.bytes.len() {
                self.bytes.resize(wanted + DEFAULTS, 0);
                let message = postcard::from_bytes(&self.bytes[4..])
                    .map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
                self.bytes.clear();
                return Ok(Some((message, std::mem::take(&mut self.fds))));
            }
            if !self.read(socket.as_fd(), wanted)? {
                return match self.bytes.is_empty() {
                    true => Ok(None),
                    false => Err(io::ErrorKind::UnexpectedEof.into()),
                };
            }
        }
    }

    /// Reads towards `wanted` bytes; false at the end of the stream.
    fn read(&mut self, socket: BorrowedFd<'_>, wanted: usize) -> io::Result<bool> {
        let filled = self.bytes.len();
        // What a frame's length says is not believed before the bytes are there.
        self.bytes.resize(wanted.min(filled + 64 * 1024), 0);
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let result = rustix::io::retry_on_intr(|| {
            let mut buffers = [IoSliceMut::new(&mut self.bytes[filled..])];
            rustix::net::recvmsg(socket, &mut buffers, &mut control, RecvFlags::CMSG_CLOEXEC)
        });
        let read = result.as_ref().map_or(0, |message| message.bytes);
        self.bytes.truncate(filled + read);
        result?;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(fds) = message {
                self.fds.extend(fds);
            }
        }
        Ok(read > 0)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use proptest::prelude::*;

    use super::*;
    use crate::message::{Event, Request, Status};

    #[test]
    fn a_message_arrives_with_its_descriptors_and_the_next_without() {
        let (a, b) = UnixStream::pair().unwrap();
        send(&a, &Event::ExecExited { exec: 1, status: Status::Code(3) }, &[a.as_fd(), b.as_fd()])
            .unwrap();
        send(&a, &Event::ExecExited { exec: 1, status: Status::Signal(9) }, &[]).unwrap();
        drop(a);
        let mut receiver = Receiver::default();
        let (event, fds) = receiver.receive::<Event>(&b).unwrap().unwrap();
        assert_eq!((event, fds.len()), (Event::ExecExited { exec: 1, status: Status::Code(3) }, 2));
        let (event, fds) = receiver.receive::<Event>(&b).unwrap().unwrap();
        assert_eq!(
            (event, fds.len()),
            (Event::ExecExited { exec: 1, status: Status::Signal(9) }, 0)
        );
        drop(fds);
    }

    #[test]
    fn a_frame_in_pieces_is_put_together() {
        let (a, b) = UnixStream::pair().unwrap();
        b.set_nonblocking(true).unwrap();
        let bytes = encode(&Event::ExecExited { exec: 1, status: Status::Code(70_000) }).unwrap();
        let mut receiver = Receiver::default();
        for byte in &bytes[..bytes.len() - 1] {
            send_part(a.as_fd(), &[*byte], &[]).unwrap();
            let error = receiver.receive::<Event>(&b).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        }
        send_part(a.as_fd(), &bytes[bytes.len() - 1..], &[]).unwrap();
        assert!(receiver.receive::<Event>(&b).unwrap().is_some());
        drop(a);
        assert!(receiver.receive::<Event>(&b).unwrap().is_none());
    }

    #[test]
    fn a_message_may_have_grown_at_its_end_or_be_still_to_grow() {
        #[derive(Debug, PartialEq, Serialize, serde::Deserialize)]
        struct Older(u8);
        #[derive(Debug, PartialEq, Serialize, serde::Deserialize)]
        struct Newer(u8, Option<String>, Vec<u8>);
        let (a, b) = UnixStream::pair().unwrap();
        let mut receiver = Receiver::default();
        send(&a, &Older(7), &[]).unwrap();
        let (message, _) = receiver.receive::<Newer>(&b).unwrap().unwrap();
        assert_eq!(message, Newer(7, None, Vec::new()));
        send(&a, &Newer(8, Some("x".to_owned()), vec![1]), &[]).unwrap();
        let (message, _) = receiver.receive::<Older>(&b).unwrap().unwrap();
        assert_eq!(message, Older(8));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_message_an_end_or_an_error(
            bytes in proptest::collection::vec(any::<u8>(), 0..300)
        ) {
            let (a, b) = UnixStream::pair().unwrap();
            if !bytes.is_empty() {
                send_part(a.as_fd(), &bytes, &[]).unwrap();
            }
            drop(a);
            let mut receiver = Receiver::default();
            while let Ok(Some(_)) = receiver.receive::<Request>(&b) {}
        }
    }
}

//! Netlink messages, by hand: the few we need would not justify a crate in every sandbox's PID 1.

use std::io;

use rustix::net::{AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType};

const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_ACK: u16 = 0x4;
const NLMSG_ERROR: u16 = 0x2;
const NLA_F_NESTED: u16 = 0x8000;

/// Adds to an existing set and creates what is missing.
pub(crate) const CREATE: u16 = 0x400;
/// Adds at the end.
pub(crate) const APPEND: u16 = 0x800;

/// One or more messages in one buffer.
#[derive(Debug, Default)]
pub(crate) struct Messages {
    bytes: Vec<u8>,
    start: usize,
}

impl Messages {
    /// Begins a message; the payload follows by `raw`, `attribute` and `nested`.
    pub(crate) fn begin(&mut self, kind: u16, flags: u16) -> &mut Self {
        self.start = self.bytes.len();
        self.raw(&[0; 4]);
        self.raw(&[kind.to_ne_bytes(), (flags | NLM_F_REQUEST).to_ne_bytes()].concat());
        self.raw(&[0; 8])
    }

    /// Asks for an answer to the current message.
    pub(crate) fn acknowledge(&mut self) -> &mut Self {
        let at = self.start + 6;
        let flags = u16::from_ne_bytes([self.bytes[at], self.bytes[at + 1]]) | NLM_F_ACK;
        self.bytes[at..at + 2].copy_from_slice(&flags.to_ne_bytes());
        self
    }

    /// Bytes as they are, padded to 4.
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(bytes);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        let len = u32::try_from(self.bytes.len() - self.start).expect("messages are short");
        self.bytes[self.start..self.start + 4].copy_from_slice(&len.to_ne_bytes());
        self
    }

    /// An attribute.
    pub(crate) fn attribute(&mut self, kind: u16, value: &[u8]) -> &mut Self {
        let len = u16::try_from(value.len() + 4).expect("attributes are short");
        self.raw(&[len.to_ne_bytes(), kind.to_ne_bytes()].concat());
        self.raw(value)
    }

    /// An attribute whose value is a number in network byte order, as nftables has it.
    pub(crate) fn number(&mut self, kind: u16, value: u32) -> &mut Self {
        self.attribute(kind, &value.to_be_bytes())
    }

    /// An attribute whose value is a text with its final NUL.
    pub(crate) fn text(&mut self, kind: u16, value: &str) -> &mut Self {
        self.attribute(kind, &[value.as_bytes(), b"\0"].concat())
    }

    /// An attribute of attributes.
    pub(crate) fn nested(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) -> &mut Self {
        let at = self.bytes.len();
        self.attribute(kind | NLA_F_NESTED, &[]);
        fill(self);
        let len = u16::try_from(self.bytes.len() - at).expect("attributes are short");
        self.bytes[at..at + 2].copy_from_slice(&len.to_ne_bytes());
        self
    }

    /// Sends everything and waits for the first answer. The last message must ask for one
    /// ([`Self::acknowledge`]); failing messages answer by themselves, and before it.
    pub(crate) fn send(&self, protocol: Option<Protocol>) -> io::Result<()> {
        let socket = rustix::net::socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            protocol,
        )?;
        rustix::net::send(&socket, &self.bytes, SendFlags::empty())?;
        let mut answer = [0; 8192];
        let (len, _) = rustix::net::recv(&socket, &mut answer, RecvFlags::empty())?;
        match error_of(&answer[..len]) {
            Some(0) => Ok(()),
            Some(error) => Err(io::Error::from_raw_os_error(-error)),
            None => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

/// The error number of an answer: negative, or 0 for success.
fn error_of(answer: &[u8]) -> Option<i32> {
    let kind = u16::from_ne_bytes(answer.get(4..6)?.try_into().ok()?);
    let error = i32::from_ne_bytes(answer.get(16..20)?.try_into().ok()?);
    (kind == NLMSG_ERROR && error <= 0).then_some(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_cover_what_is_nested() {
        let mut messages = Messages::default();
        messages.begin(1, 0).raw(&[7]).nested(2, |m| {
            m.text(3, "abc");
        });
        let length = |at: usize| u16::from_ne_bytes([messages.bytes[at], messages.bytes[at + 1]]);
        assert_eq!(messages.bytes.len(), 32);
        assert_eq!((length(0), length(20), length(24)), (32, 12, 8));
    }

    #[test]
    fn an_answer_too_short_or_of_another_kind_is_none() {
        assert_eq!(error_of(&[0; 19]), None);
        assert_eq!(error_of(&[0; 20]), None);
        let mut answer = [0; 20];
        answer[4] = 2;
        assert_eq!(error_of(&answer), Some(0));
    }
}

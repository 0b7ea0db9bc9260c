//! Packets of esbuild's service protocol: what its own npm package speaks with the same binary over
//! standard input and output. A packet is an id, a direction and one value.
//!
//! The protocol has no specification; it is fixed by the pinned version of the binary, which both
//! sides compare when they begin.

use std::collections::BTreeMap;

/// A value as the protocol knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Int(u32),
    String(String),
    Bytes(Vec<u8>),
    Array(Vec<Value>),
    Object(BTreeMap<String, Value>),
}

/// A request or the answer to one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Packet {
    pub(super) id: u32,
    pub(super) is_request: bool,
    pub(super) value: Value,
}

/// Deepest nesting that is decoded; real packets stay below ten.
const DEPTH: usize = 64;

impl Value {
    /// An object of these keys.
    pub(super) fn object<const N: usize>(entries: [(&str, Value); N]) -> Self {
        Self::Object(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
    }

    /// A list of texts.
    pub(super) fn strings<T: Into<String>>(items: impl IntoIterator<Item = T>) -> Self {
        Self::Array(items.into_iter().map(|item| Self::String(item.into())).collect())
    }

    /// The value of a key, if this is an object that has it.
    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        match self {
            Self::Object(entries) => entries.get(key),
            _ => None,
        }
    }

    /// The text of a key; empty if there is none.
    pub(super) fn text(&self, key: &str) -> &str {
        match self.get(key) {
            Some(Self::String(text)) => text,
            _ => "",
        }
    }

    /// The number of a key; zero if there is none.
    pub(super) fn int(&self, key: &str) -> u32 {
        match self.get(key) {
            Some(Self::Int(number)) => *number,
            _ => 0,
        }
    }

    /// The bytes of a key, which may be written as a text.
    pub(super) fn bytes(&self, key: &str) -> &[u8] {
        match self.get(key) {
            Some(Self::Bytes(bytes)) => bytes,
            Some(Self::String(text)) => text.as_bytes(),
            _ => &[],
        }
    }

    /// The list of a key; empty if there is none.
    pub(super) fn list(&self, key: &str) -> &[Value] {
        match self.get(key) {
            Some(Self::Array(items)) => items,
            _ => &[],
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Null => out.push(0),
            Self::Bool(value) => out.extend([1, u8::from(*value)]),
            Self::Int(number) => {
                out.push(2);
                out.extend(number.to_le_bytes());
            }
            Self::String(text) => {
                out.push(3);
                block(out, text.as_bytes());
            }
            Self::Bytes(bytes) => {
                out.push(4);
                block(out, bytes);
            }
            Self::Array(items) => {
                out.push(5);
                out.extend(length(items.len()));
                for item in items {
                    item.encode(out);
                }
            }
            Self::Object(entries) => {
                out.push(6);
                out.extend(length(entries.len()));
                for (key, value) in entries {
                    block(out, key.as_bytes());
                    value.encode(out);
                }
            }
        }
    }
}

fn length(length: usize) -> [u8; 4] {
    u32::try_from(length).expect("packets are far below 4 GiB").to_le_bytes()
}

fn block(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend(length(bytes.len()));
    out.extend(bytes);
}

impl Packet {
    /// The packet with its length in front, as it goes over the wire.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut body = (self.id << 1 | u32::from(!self.is_request)).to_le_bytes().to_vec();
        self.value.encode(&mut body);
        let mut out = Vec::with_capacity(body.len() + 4);
        block(&mut out, &body);
        out
    }

    /// A packet without its length; `None` if it is none.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        let id = reader.int()?;
        let value = reader.value(0)?;
        reader.0.is_empty().then_some(Self { id: id >> 1, is_request: id & 1 == 0, value })
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn int(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    fn block(&mut self) -> Option<&'a [u8]> {
        let length = self.int()? as usize;
        self.take(length)
    }

    fn string(&mut self) -> Option<String> {
        Some(String::from_utf8_lossy(self.block()?).into_owned())
    }

    fn value(&mut self, depth: usize) -> Option<Value> {
        if depth > DEPTH {
            return None;
        }
        Some(match self.take(1)?[0] {
            0 => Value::Null,
            1 => Value::Bool(self.take(1)?[0] != 0),
            2 => Value::Int(self.int()?),
            3 => Value::String(self.string()?),
            4 => Value::Bytes(self.block()?.to_vec()),
            5 => {
                let count = self.int()?;
                Value::Array((0..count).map(|_| self.value(depth + 1)).collect::<Option<_>>()?)
            }
            6 => {
                let count = self.int()?;
                let mut entry = || Some((self.string()?, self.value(depth + 1)?));
                Value::Object((0..count).map(|_| entry()).collect::<Option<_>>()?)
            }
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_encoded_is_decoded() {
        let value = Value::object([
            ("null", Value::Null),
            ("list", Value::Array(vec![Value::Bool(true), Value::Int(7)])),
            ("text", Value::String("é".to_owned())),
            ("bytes", Value::Bytes(vec![0, 255])),
        ]);
        let packet = Packet { id: 3, is_request: false, value };
        let bytes = packet.encode();
        assert_eq!(bytes[..8], [bytes.len() as u8 - 4, 0, 0, 0, 7, 0, 0, 0]);
        assert_eq!(Packet::decode(&bytes[4..]), Some(packet));
    }

    #[test]
    fn a_list_that_claims_more_than_there_is_is_refused() {
        assert_eq!(Packet::decode(&[0, 0, 0, 0, 5, 255, 255, 255, 255]), None);
        let deep: Vec<u8> = [0; 4].into_iter().chain([5, 1, 0, 0, 0].repeat(100_000)).collect();
        assert_eq!(Packet::decode(&deep), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Packet::decode(&bytes);
        }
    }
}

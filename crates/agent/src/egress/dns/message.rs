//! DNS messages, as far as they are looked at: the question of a query, and short answers to it.
//!
//! Pure, and the bytes are hostile. Questions are copied into answers as they came.

use std::net::Ipv4Addr;

/// Bytes of a message's header.
const HEADER: usize = 12;
/// Longest name on the wire.
const MOST_NAME_BYTES: usize = 255;
/// Seconds an answer of ours may be remembered.
const TTL: u32 = 60;

/// IPv4 addresses.
pub(super) const A: u16 = 1;
/// IPv6 addresses.
pub(super) const AAAA: u16 = 28;
/// How to reach a service, maybe with addresses and keys that hide the server's name.
pub(super) const SVCB: u16 = 64;
/// The same for HTTPS.
pub(super) const HTTPS: u16 = 65;

/// Answer codes.
pub(super) const NO_ERROR: u8 = 0;
pub(super) const SERVER_FAILURE: u8 = 2;
pub(super) const NAME_ERROR: u8 = 3;

/// What a query asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Question {
    /// The name in lower case, without the root's dot; `None` when it is no host's.
    pub(super) name: Option<String>,
    /// The type of record.
    pub(super) kind: u16,
    /// Where the question ends in the message.
    end: usize,
}

/// The only question of a query; `None` when it is something else.
pub(super) fn question(query: &[u8]) -> Option<Question> {
    let is_query = query.get(2)? & 0xf8 == 0;
    let count = u16::from_be_bytes([*query.get(4)?, *query.get(5)?]);
    if !is_query || count != 1 {
        return None;
    }
    let (mut at, mut name, mut plain) = (HEADER, String::new(), true);
    loop {
        let length = usize::from(*query.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        // Longer ones are pointers, which have nothing to point to in a question.
        let label = query.get(at..at + length).filter(|_| length < 64)?;
        at += length;
        plain &= label.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(byte));
        if !name.is_empty() {
            name.push('.');
        }
        name.extend(label.iter().map(|byte| char::from(byte.to_ascii_lowercase())));
        if at - HEADER > MOST_NAME_BYTES {
            return None;
        }
    }
    let kind = u16::from_be_bytes([*query.get(at)?, *query.get(at + 1)?]);
    query.get(at + 3)?; // the class
    let name = (plain && !name.is_empty()).then_some(name);
    Some(Question { name, kind, end: at + 4 })
}

/// The code of an answer.
pub(super) fn code(answer: &[u8]) -> Option<u8> {
    answer.get(3).map(|byte| byte & 0x0f)
}

/// An answer without records to a query with that question.
pub(super) fn empty(query: &[u8], question: &Question, code: u8) -> Vec<u8> {
    let mut answer = query[..question.end].to_vec();
    answer[2] |= 0x80; // QR: an answer
    answer[3] = 0x80 | code; // RA
    answer[6..HEADER].fill(0);
    answer
}

/// An answer with one IPv4 address.
pub(super) fn address(query: &[u8], question: &Question, address: Ipv4Addr) -> Vec<u8> {
    let mut answer = empty(query, question, NO_ERROR);
    answer[7] = 1;
    // The name is the question's, by a pointer.
    answer.extend([0xc0, 12, 0, 1, 0, 1]);
    answer.extend(TTL.to_be_bytes());
    answer.extend([0, 4]);
    answer.extend(address.octets());
    answer
}

/// The whole query as an answer with that code; nothing when it is too short to be a message.
pub(super) fn failure(query: &[u8], code: u8) -> Vec<u8> {
    let mut answer = query.to_vec();
    if answer.len() < HEADER {
        return Vec::new();
    }
    answer[2] |= 0x80;
    answer[3] = 0x80 | code;
    answer
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A query with recursion desired, id 0x1234.
    pub(crate) fn query(name: &str, kind: u16) -> Vec<u8> {
        let mut bytes = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00".to_vec();
        for label in name.split('.') {
            bytes.push(u8::try_from(label.len()).unwrap());
            bytes.extend(label.as_bytes());
        }
        bytes.push(0);
        bytes.extend(kind.to_be_bytes());
        bytes.extend([0, 1]);
        bytes
    }

    #[test]
    fn a_question_has_a_name_and_a_kind() {
        let asked = question(&query("My.KV", A)).unwrap();
        assert_eq!((asked.name.as_deref(), asked.kind), (Some("my.kv"), A));
        // With EDNS behind it.
        let mut longer = query("my.kv", AAAA);
        longer[11] = 1;
        longer.extend(b"\0\0\x29\x10\0\0\0\0\0\0\0");
        let asked = question(&longer).unwrap();
        let answer = empty(&longer, &asked, NAME_ERROR);
        assert_eq!((answer.len(), code(&answer)), (12 + 7 + 4, Some(NAME_ERROR)));
        assert_eq!(answer[6..12], [0; 6], "no records, also no EDNS");
    }

    #[test]
    fn what_is_no_query_has_no_question() {
        let mut answer = query("a.b", A);
        answer[2] |= 0x80;
        let mut two = query("a.b", A);
        two[5] = 2;
        let pointer = b"\0\0\0\0\0\x01\0\0\0\0\0\0\xc0\x0c\0\x01\0\x01";
        for bytes in [&answer[..], &two, pointer, b"short", &query("a.b", A)[..18]] {
            assert_eq!(question(bytes), None, "{bytes:?}");
        }
        assert_eq!(question(&query("a b", A)).unwrap().name, None);
    }

    #[test]
    fn an_address_is_an_answer_to_the_question() {
        let query = query("my.kv", A);
        let asked = question(&query).unwrap();
        let answer = address(&query, &asked, Ipv4Addr::new(192, 0, 2, 80));
        assert_eq!((&answer[..2], answer[2] & 0x80, answer[7]), (&query[..2], 0x80, 1));
        assert!(answer.ends_with(&[0, 4, 192, 0, 2, 80]));
        assert_eq!(answer[12..query.len()], query[12..]);
    }

    proptest! {
        #[test]
        fn no_query_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Some(asked) = question(&bytes) {
                let _ = empty(&bytes, &asked, NAME_ERROR);
                let _ = address(&bytes, &asked, Ipv4Addr::LOCALHOST);
            }
            let _ = failure(&bytes, SERVER_FAILURE);
        }

        #[test]
        fn every_name_is_read_back(name in "[a-z0-9_-]{1,63}(\\.[a-z0-9_-]{1,63}){0,3}", kind: u16) {
            prop_assume!(name.len() < 250);
            let asked = question(&query(&name, kind)).unwrap();
            prop_assert_eq!((asked.name, asked.kind), (Some(name), kind));
        }
    }
}

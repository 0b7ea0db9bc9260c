//! Docker's stream multiplexing: each piece of output behind a header of eight bytes.

/// Which of the program's streams a frame carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FrameStream {
    /// Its standard output.
    Stdout = 1,
    /// Its standard error.
    Stderr = 2,
}

/// A frame: the stream, three zeroes, the length with its high byte first, the payload.
pub(crate) fn frame(stream: FrameStream, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("frames are made of short buffers");
    let mut frame = Vec::with_capacity(8 + payload.len());
    frame.extend_from_slice(&[stream as u8, 0, 0, 0]);
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a client of the API does with the bytes.
    fn decode(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
        let mut frames = Vec::new();
        while let [stream, 0, 0, 0, a, b, c, d, rest @ ..] = bytes {
            let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
            frames.push((*stream, rest[..length].to_vec()));
            bytes = &rest[length..];
        }
        assert!(bytes.is_empty());
        frames
    }

    proptest! {
        #[test]
        fn a_client_reads_back_what_was_framed(pieces in proptest::collection::vec((any::<bool>(), proptest::collection::vec(any::<u8>(), 0..400)), 0..9)) {
            let mut bytes = Vec::new();
            for (error, payload) in &pieces {
                let stream = if *error { FrameStream::Stderr } else { FrameStream::Stdout };
                bytes.extend(frame(stream, payload));
            }
            let expected: Vec<_> = pieces.into_iter().map(|(e, p)| (if e { 2 } else { 1 }, p)).collect();
            prop_assert_eq!(decode(&bytes), expected);
        }
    }
}

//! Parts of a blob: `Range` of a download, `Content-Range` of a chunk that is uploaded.

/// Which part of a blob is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// All of it; also when the header is one we need not understand.
    All,
    /// From this byte, so many.
    Part { start: u64, length: u64 },
    /// A part that it does not have.
    Nothing,
}

/// Reads `Range` for a blob of this size. Of several parts none is served: all of it is.
pub(crate) fn wanted(header: Option<&str>, size: u64) -> Wanted {
    let Some(range) = header.and_then(|header| header.trim().strip_prefix("bytes=")) else {
        return Wanted::All;
    };
    let Some((first, last)) = range.split_once('-') else { return Wanted::All };
    let part = |start: u64, end: u64| {
        if start < end { Wanted::Part { start, length: end - start } } else { Wanted::Nothing }
    };
    match (number(first), number(last), first.trim(), last.trim()) {
        (Some(first), Some(last), ..) => part(first, last.saturating_add(1).min(size)),
        (Some(first), None, _, "") => part(first, size),
        (None, Some(length), "", _) => part(size - length.min(size), size),
        _ => Wanted::All,
    }
}

/// Where a chunk belongs: first and last byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Chunk {
    pub(crate) first: u64,
    pub(crate) length: u64,
}

/// Reads the `Content-Range` of a chunk: `0-1023`, or as HTTP has it, `bytes 0-1023/4096`.
pub(crate) fn chunk(header: &str) -> Option<Chunk> {
    let text = header.trim();
    let text = text.strip_prefix("bytes ").or_else(|| text.strip_prefix("bytes=")).unwrap_or(text);
    let text = text.split('/').next().unwrap_or(text);
    let (first, last) = text.split_once('-')?;
    let (first, last) = (number(first)?, number(last)?);
    let length = last.checked_add(1)?.checked_sub(first).filter(|length| *length > 0)?;
    Some(Chunk { first, length })
}

/// Digits alone: `parse` would take a sign.
fn number(text: &str) -> Option<u64> {
    let text = text.trim();
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_part_is_cut_to_what_there_is() {
        let part = |start, length| Wanted::Part { start, length };
        for (header, expected) in [
            ("bytes=0-0", part(0, 1)),
            ("bytes=500-1499", part(500, 1000)),
            ("bytes=500-", part(500, 1548)),
            ("bytes=-500", part(1548, 500)),
            ("bytes=-5000", part(0, 2048)),
            ("bytes=2000-5000", part(2000, 48)),
            ("bytes=500-0", Wanted::Nothing),
            ("bytes=5000-10000", Wanted::Nothing),
            ("bytes=2048-", Wanted::Nothing),
            ("bytes=-0", Wanted::Nothing),
            ("bytes=0-1,5-6", Wanted::All),
            ("bytes=-", Wanted::All),
            ("bytes=+1-2", Wanted::All),
            ("lines=1-2", Wanted::All),
        ] {
            assert_eq!(wanted(Some(header), 2048), expected, "{header}");
        }
        assert_eq!(wanted(Some("bytes=0-"), 0), Wanted::Nothing);
        assert_eq!(wanted(None, 0), Wanted::All);
    }

    #[test]
    fn a_chunk_is_written_in_ocis_way_or_https() {
        let expected = Some(Chunk { first: 10, length: 10 });
        assert_eq!(chunk("10-19"), expected);
        assert_eq!(chunk("bytes 10-19/100"), expected);
        for bad in ["", "10", "10-", "-10", "19-10", "a-b", "0-18446744073709551615"] {
            assert_eq!(chunk(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn a_part_never_leaves_the_blob(header in "bytes=[0-9]{0,21}-[0-9]{0,21}", size in any::<u64>()) {
            if let Wanted::Part { start, length } = wanted(Some(&header), size) {
                prop_assert!(length > 0 && start.checked_add(length).is_some_and(|end| end <= size));
            }
        }
    }
}

//! Keeps secrets out of what a step writes, wherever its pieces are cut.

/// What stands in a secret's place.
const MASK: &[u8] = b"***";
/// Shorter secrets are found everywhere by chance.
const SHORTEST: usize = 4;

/// Takes secrets out of a stream.
#[derive(Default)]
pub(super) struct Redactor {
    secrets: Vec<Vec<u8>>,
    /// The end of what came, which may be the beginning of a secret.
    held: Vec<u8>,
}

impl Redactor {
    /// Redacts these secrets, and each line of one that has several.
    pub(super) fn new(secrets: &[Vec<u8>]) -> Self {
        let lines = secrets.iter().flat_map(|secret| secret.split(|byte| *byte == b'\n'));
        let mut secrets: Vec<Vec<u8>> = lines
            .map(|line| line.trim_ascii().to_vec())
            .filter(|line| line.len() >= SHORTEST)
            .collect();
        // The longest first: another may be part of it.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Self { secrets, held: Vec::new() }
    }

    /// What may be shown once these bytes came.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        if self.secrets.is_empty() {
            return bytes.to_vec();
        }
        self.held.extend_from_slice(bytes);
        self.take(false)
    }

    /// What was held back to the end.
    pub(super) fn finish(&mut self) -> Vec<u8> {
        self.take(true)
    }

    fn take(&mut self, last: bool) -> Vec<u8> {
        let text = std::mem::take(&mut self.held);
        let (mut out, mut at) = (Vec::with_capacity(text.len()), 0);
        while at < text.len() {
            let rest = &text[at..];
            let begins = |secret: &&Vec<u8>| secret.len() > rest.len() && secret.starts_with(rest);
            if !last && self.secrets.iter().any(|secret| begins(&secret)) {
                self.held = rest.to_vec();
                break;
            }
            if let Some(secret) = self.secrets.iter().find(|secret| rest.starts_with(secret)) {
                out.extend_from_slice(MASK);
                at += secret.len();
            } else {
                out.push(text[at]);
                at += 1;
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn redacted(secrets: &[&str], pieces: &[&str]) -> String {
        let secrets: Vec<Vec<u8>> = secrets.iter().map(|s| s.as_bytes().to_vec()).collect();
        let mut redactor = Redactor::new(&secrets);
        let mut out: Vec<u8> = pieces.iter().flat_map(|p| redactor.push(p.as_bytes())).collect();
        out.extend(redactor.finish());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn secrets_are_masked_however_they_are_cut() {
        assert_eq!(redacted(&["hunter2"], &["a hunter2 b", " hun", "ter", "2!"]), "a *** b ***!");
        assert_eq!(redacted(&["hunter2"], &["hunt", "ing hunter"]), "hunting hunter");
        assert_eq!(redacted(&["line one\nline two\n"], &["line two, line one"]), "***, ***");
        assert_eq!(redacted(&["pass", "password"], &["password"]), "***");
        assert_eq!(redacted(&["pass", "password"], &["pass", "word pass"]), "*** ***");
        assert_eq!(redacted(&["a", ""], &["banana"]), "banana");
    }

    proptest! {
        #[test]
        fn no_piece_of_the_output_has_the_secret(
            before in "[abc]{0,9}", after in "[abc]{0,9}", cut in 0_usize..20,
        ) {
            let text = format!("{before}abcab{after}");
            let cut = cut.min(text.len());
            let shown = redacted(&["abcab"], &[&text[..cut], &text[cut..]]);
            prop_assert!(!shown.contains("abcab"));
        }
    }
}

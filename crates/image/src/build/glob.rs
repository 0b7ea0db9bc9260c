//! Path patterns of `.dockerignore` and of sources of `COPY`: `*`, `?`, `[a-z]`, `\x` and, in
//! `.dockerignore`, `**`.
//!
//! Matching keeps a set of positions instead of trying again, so no pattern is slow.

/// A compiled pattern.
#[derive(Debug, Clone)]
pub(super) struct Glob {
    tokens: Vec<Token>,
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Byte(u8),
    /// Any byte but `/`.
    Any,
    /// Any bytes but `/`, also none.
    Star,
    /// Any bytes, also none.
    DoubleStar,
    /// Nothing, or anything that ends with `/`.
    Directories,
    Class {
        negated: bool,
        ranges: Vec<(u8, u8)>,
    },
}

impl Glob {
    /// Compiles a pattern; with `double_star`, `**` goes across directories.
    pub(super) fn new(pattern: &str, double_star: bool) -> Result<Self, String> {
        let bytes = pattern.as_bytes();
        let mut tokens = Vec::new();
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            at += 1;
            match byte {
                b'*' if double_star && bytes.get(at) == Some(&b'*') => {
                    while bytes.get(at) == Some(&b'*') {
                        at += 1;
                    }
                    if bytes.get(at) == Some(&b'/') {
                        at += 1;
                        tokens.push(Token::Directories);
                    } else {
                        tokens.push(Token::DoubleStar);
                    }
                }
                b'*' => tokens.push(Token::Star),
                b'?' => tokens.push(Token::Any),
                b'[' => {
                    let (class, end) = class(bytes, at)
                        .ok_or_else(|| format!("the pattern \"{pattern}\" has a [ without ]"))?;
                    tokens.push(class);
                    at = end;
                }
                b'\\' => {
                    let next = bytes.get(at).ok_or_else(|| {
                        format!("the pattern \"{pattern}\" ends with a backslash")
                    })?;
                    tokens.push(Token::Byte(*next));
                    at += 1;
                }
                byte => tokens.push(Token::Byte(byte)),
            }
        }
        Ok(Self { tokens })
    }

    /// Whether the text has any pattern character.
    pub(super) fn is_pattern(text: &str) -> bool {
        text.contains(['*', '?', '[', '\\'])
    }

    pub(super) fn matches(&self, path: &[u8]) -> bool {
        // `at[i]`: what came so far can be followed by token i. `within[i]`: it is amid the names
        // that token i, a `**/`, stands for.
        let mut at = vec![false; self.tokens.len() + 1];
        let mut within = vec![false; self.tokens.len()];
        at[0] = true;
        self.skip_optional(&mut at);
        for &byte in path {
            let mut next = vec![false; at.len()];
            let mut next_within = vec![false; within.len()];
            for (index, token) in self.tokens.iter().enumerate() {
                let here = at[index];
                match token {
                    Token::Byte(wanted) => next[index + 1] |= here && *wanted == byte,
                    Token::Any => next[index + 1] |= here && byte != b'/',
                    Token::Star => next[index] |= here && byte != b'/',
                    Token::DoubleStar => next[index] |= here,
                    Token::Directories => {
                        let inside = here || within[index];
                        next_within[index] = inside;
                        next[index + 1] |= inside && byte == b'/';
                    }
                    Token::Class { negated, ranges } => {
                        let listed =
                            ranges.iter().any(|(low, high)| (*low..=*high).contains(&byte));
                        next[index + 1] |= here && byte != b'/' && listed != *negated;
                    }
                }
            }
            self.skip_optional(&mut next);
            (at, within) = (next, next_within);
        }
        at[self.tokens.len()]
    }

    /// What may stand for nothing need not be there.
    fn skip_optional(&self, at: &mut [bool]) {
        for (index, token) in self.tokens.iter().enumerate() {
            if matches!(token, Token::Star | Token::DoubleStar | Token::Directories) {
                at[index + 1] |= at[index];
            }
        }
    }
}

/// A class after its `[`, and where it ends.
fn class(bytes: &[u8], start: usize) -> Option<(Token, usize)> {
    let mut at = start;
    let negated = matches!(bytes.get(at), Some(b'^' | b'!'));
    at += usize::from(negated);
    let mut ranges = Vec::new();
    let take = |at: &mut usize| {
        let mut byte = *bytes.get(*at)?;
        if byte == b'\\' {
            *at += 1;
            byte = *bytes.get(*at)?;
        }
        *at += 1;
        Some(byte)
    };
    loop {
        if bytes.get(at) == Some(&b']') && !ranges.is_empty() {
            return Some((Token::Class { negated, ranges }, at + 1));
        }
        let low = take(&mut at)?;
        let mut high = low;
        if bytes.get(at) == Some(&b'-') && bytes.get(at + 1).is_some_and(|byte| *byte != b']') {
            at += 1;
            high = take(&mut at)?;
        }
        ranges.push((low, high));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(pattern: &str, path: &str) -> bool {
        Glob::new(pattern, true).unwrap().matches(path.as_bytes())
    }

    #[test]
    fn patterns_match_as_written_in_the_documentation() {
        for (pattern, path, expected) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("*", "a", true),
            ("*", "a/b", false),
            ("*/temp*", "somedir/temporary.txt", true),
            ("*/temp*", "a/b/temp", false),
            ("temp?", "tempa", true),
            ("temp?", "temp", false),
            ("temp?", "temp/", false),
            ("**/*.go", "main.go", true),
            ("**/*.go", "a/b/main.go", true),
            ("**/*.go", "a/b/main.gob", false),
            ("**/foo", "xfoo", false),
            ("a/**", "a/b/c", true),
            ("a/**/b", "a/b", true),
            ("a/**/b", "a/x/y/b", true),
            ("a/**/b", "axb", false),
            ("**", "a/b", true),
            ("[a-c]x", "bx", true),
            ("[^a-c]x", "bx", false),
            ("[]-]x", "]x", true),
            ("\\*", "*", true),
            ("\\*", "a", false),
        ] {
            assert_eq!(matches(pattern, path), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn without_double_star_a_star_stays_in_its_directory() {
        assert!(!Glob::new("**/x", false).unwrap().matches(b"a/b/x"));
        assert!(Glob::new("**/x", false).unwrap().matches(b"a/x"));
    }

    #[test]
    fn a_pattern_made_to_be_slow_is_not() {
        let pattern = "*a".repeat(200);
        assert!(!matches(&pattern, &"a".repeat(5000)[..4000].replace('a', "b")));
    }

    proptest! {
        #[test]
        fn any_pattern_is_refused_or_matched_without_panic(
            pattern in "[a/*?\\[\\]^!\\\\-]{0,12}",
            path in "[a/b]{0,12}",
        ) {
            if let Ok(glob) = Glob::new(&pattern, true) {
                let _ = glob.matches(path.as_bytes());
            }
        }
    }
}

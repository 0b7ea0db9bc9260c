//! Patterns of `${variable#pattern}` and its like: `*`, `?` and `\x`, and nothing else.

/// A compiled pattern.
pub(super) struct Pattern {
    tokens: Vec<Token>,
}

#[derive(Clone, Copy)]
enum Token {
    Char(char),
    /// Any one character.
    Any,
    /// Any characters, also none.
    Star,
}

impl Pattern {
    pub(super) fn new(text: &str) -> Self {
        let mut tokens = Vec::new();
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            tokens.push(match c {
                '*' => Token::Star,
                '?' => Token::Any,
                '\\' => Token::Char(chars.next().unwrap_or(c)),
                c => Token::Char(c),
            });
        }
        Self { tokens }
    }

    /// The value without the shortest, or longest, beginning that matches.
    pub(super) fn without_prefix(&self, value: &str, longest: bool) -> String {
        let chars: Vec<char> = value.chars().collect();
        let end = matching(self.tokens.iter(), &chars, longest).unwrap_or(0);
        chars[end..].iter().collect()
    }

    /// The value without the shortest, or longest, end that matches.
    pub(super) fn without_suffix(&self, value: &str, longest: bool) -> String {
        let chars: Vec<char> = value.chars().rev().collect();
        let end = matching(self.tokens.iter().rev(), &chars, longest).unwrap_or(0);
        chars[end..].iter().rev().collect()
    }

    /// The value with its first match, or every one, replaced. Matches are as long as can be.
    pub(super) fn replace(&self, value: &str, replacement: &str, every: bool) -> String {
        let chars: Vec<char> = value.chars().collect();
        let mut out = String::new();
        let mut at = 0;
        while at < chars.len() {
            match matching(self.tokens.iter(), &chars[at..], true) {
                // Nothing is replaced where nothing is matched.
                None | Some(0) => {
                    out.push(chars[at]);
                    at += 1;
                }
                Some(length) => {
                    out.push_str(replacement);
                    at += length;
                    if !every {
                        break;
                    }
                }
            }
        }
        out.extend(&chars[at..]);
        out
    }
}

/// How many characters from the beginning match. All ways to match are followed at once, so no
/// pattern is slow.
fn matching<'a>(
    tokens: impl Iterator<Item = &'a Token>,
    chars: &[char],
    longest: bool,
) -> Option<usize> {
    let tokens: Vec<Token> = tokens.copied().collect();
    let skip_stars = |at: &mut Vec<bool>| {
        for (index, token) in tokens.iter().enumerate() {
            if matches!(token, Token::Star) {
                at[index + 1] |= at[index];
            }
        }
    };
    // `at[i]`: what came so far can be followed by token i.
    let mut at = vec![false; tokens.len() + 1];
    at[0] = true;
    skip_stars(&mut at);
    let mut found = at[tokens.len()].then_some(0);
    for (count, c) in chars.iter().enumerate() {
        if (found.is_some() && !longest) || !at.contains(&true) {
            break;
        }
        let mut next = vec![false; at.len()];
        for (index, token) in tokens.iter().enumerate().filter(|(index, _)| at[*index]) {
            match token {
                Token::Star => next[index] = true,
                Token::Any => next[index + 1] = true,
                Token::Char(wanted) => next[index + 1] |= wanted == c,
            }
        }
        skip_stars(&mut next);
        at = next;
        if at[tokens.len()] {
            found = Some(count + 1);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shortest_and_the_longest_match_are_told_apart() {
        let pattern = Pattern::new("*-");
        assert_eq!(pattern.without_prefix("a-b-c", false), "b-c");
        assert_eq!(pattern.without_prefix("a-b-c", true), "c");
        let pattern = Pattern::new("-*");
        assert_eq!(pattern.without_suffix("a-b-c", false), "a-b");
        assert_eq!(pattern.without_suffix("a-b-c", true), "a");
        assert_eq!(Pattern::new("x").without_suffix("a-b", true), "a-b");
    }

    #[test]
    fn matches_are_replaced_once_or_everywhere() {
        assert_eq!(Pattern::new("a?").replace("abacab", "-", false), "-acab");
        assert_eq!(Pattern::new("a?").replace("abacab", "-", true), "---");
        assert_eq!(Pattern::new("").replace("ab", "-", true), "ab");
        assert_eq!(Pattern::new("\\*").replace("a*b", "-", true), "a-b");
        assert_eq!(Pattern::new("ö").replace("höh", "o", true), "hoh");
    }
}

//! `--chmod`: an octal number, or what chmod(1) takes.

/// What becomes of modes.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Chmod {
    To(u32),
    /// Clause by clause.
    Change(Vec<Clause>),
}

/// `go-w`, `u=rwX`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Clause {
    who: u32,
    operator: char,
    permissions: String,
}

impl Chmod {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("--chmod={text} is no mode (755, u=rwX,go=rX)");
        if text.starts_with(|c: char| c.is_ascii_digit()) {
            let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o7777);
            return mode.map(Self::To).ok_or_else(wrong);
        }
        text.split(',')
            .map(Clause::parse)
            .collect::<Option<_>>()
            .map(Self::Change)
            .ok_or_else(wrong)
    }

    /// The mode that a file of mode `mode` gets.
    pub(super) fn apply(&self, mode: u32, directory: bool) -> u32 {
        match self {
            Self::To(mode) => *mode,
            Self::Change(clauses) => {
                clauses.iter().fold(mode & 0o7777, |mode, clause| clause.apply(mode, directory))
            }
        }
    }
}

impl Clause {
    fn parse(text: &str) -> Option<Self> {
        let at = text.find(['+', '-', '='])?;
        let mut who = 0;
        for c in text[..at].chars() {
            who |= match c {
                'u' => 0o4700,
                'g' => 0o2070,
                'o' => 0o1007,
                'a' => 0o7777,
                _ => return None,
            };
        }
        let permissions = text[at + 1..].to_owned();
        let copies = matches!(permissions.as_str(), "u" | "g" | "o");
        let known = copies || permissions.chars().all(|c| "rwxXst".contains(c));
        let who = if who == 0 { 0o7777 } else { who };
        known.then(|| Self { who, operator: text[at..].chars().next().unwrap_or('='), permissions })
    }

    fn apply(&self, mode: u32, directory: bool) -> u32 {
        let three = |bits: u32| bits << 6 | bits << 3 | bits;
        let mut bits = 0;
        for c in self.permissions.chars() {
            bits |= match c {
                'r' => 0o444,
                'w' => 0o222,
                'x' => 0o111,
                'X' if directory || mode & 0o111 != 0 => 0o111,
                's' => 0o6000,
                't' => 0o1000,
                'u' => three(mode >> 6 & 7),
                'g' => three(mode >> 3 & 7),
                'o' => three(mode & 7),
                _ => 0,
            };
        }
        let bits = bits & self.who;
        match self.operator {
            '+' => mode | bits,
            '-' => mode & !bits,
            // Special bits of a directory stay unless they are named.
            _ => mode & !(self.who & 0o777) | bits,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_changes() {
        for (text, mode, directory, expected) in [
            ("755", 0o600, false, 0o755),
            ("04755", 0o600, false, 0o4755),
            ("u+x", 0o644, false, 0o744),
            ("+x", 0o644, false, 0o755),
            ("go-rwx", 0o777, false, 0o700),
            ("u=rwX,go=rX", 0o600, false, 0o644),
            ("u=rwX,go=rX", 0o600, true, 0o755),
            ("a+X", 0o744, false, 0o755),
            ("g=u", 0o640, false, 0o660),
            ("u+s,o+t", 0o755, false, 0o5755),
        ] {
            let chmod = Chmod::parse(text).unwrap();
            assert_eq!(chmod.apply(mode, directory), expected, "{text}");
        }
        for bad in ["", "u", "9", "888", "77777", "u+y", "z+x", "u+x,", "-1"] {
            assert!(Chmod::parse(bad).is_err(), "{bad}");
        }
    }
}

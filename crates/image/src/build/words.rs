//! Words of an instruction: quotes, escapes and variables, as BuildKit's shell lexer reads them.

use std::iter::Peekable;
use std::str::Chars;

use super::pattern::Pattern;

/// Looks a variable up; `None` when it is not set.
pub(super) type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A text with its variables replaced.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Expanded {
    pub(super) text: String,
    /// Variables that are not set although their value was asked for.
    pub(super) unset: Vec<String>,
}

/// Replaces variables and takes quotes and escapes away.
///
/// # Errors
/// A quote or brace is not closed, a modifier is not supported, or `${x:?message}` says so.
pub(super) fn expand(text: &str, escape: char, lookup: Lookup<'_>) -> Result<Expanded, String> {
    let mut expander = Expander::new(text, escape, lookup);
    let text = expander.run(None, Escapes::Taken)?;
    Ok(Expanded { text, unset: expander.unset })
}

/// Replaces variables in a here-document: quotes are text there, and a backslash quotes only `$` and
/// itself.
///
/// # Errors
/// As [`expand`].
pub(super) fn expand_document(text: &str, lookup: Lookup<'_>) -> Result<Expanded, String> {
    let mut expander = Expander::new(text, '\\', lookup);
    let mut out = String::new();
    while let Some(c) = expander.chars.next() {
        match c {
            '$' => expander.variable(&mut out)?,
            '\\' => match expander.chars.next_if(|next| matches!(next, '$' | '\\')) {
                Some(next) => out.push(next),
                None => out.push(c),
            },
            c => out.push(c),
        }
    }
    Ok(Expanded { text: out, unset: expander.unset })
}

/// Variables may stand within variables so deep.
const DEPTH: usize = 16;

struct Expander<'a> {
    chars: Peekable<Chars<'a>>,
    escape: char,
    lookup: Lookup<'a>,
    depth: usize,
    unset: Vec<String>,
}

/// What becomes of an escape and the character after it.
#[derive(Clone, Copy, PartialEq)]
enum Escapes {
    /// The character alone is left.
    Taken,
    /// Both are left: they mean something in a pattern.
    Kept,
}

impl<'a> Expander<'a> {
    fn new(text: &'a str, escape: char, lookup: Lookup<'a>) -> Self {
        Self { chars: text.chars().peekable(), escape, lookup, depth: 0, unset: Vec::new() }
    }

    /// Reads until `stop`, which stays unread, or the end.
    fn run(&mut self, stop: Option<char>, escapes: Escapes) -> Result<String, String> {
        let mut out = String::new();
        while let Some(&c) = self.chars.peek() {
            if Some(c) == stop {
                break;
            }
            self.chars.next();
            match c {
                '\'' => self.single_quoted(&mut out)?,
                '"' => self.double_quoted(&mut out)?,
                '$' => self.variable(&mut out)?,
                c if c == self.escape => {
                    out.extend((escapes == Escapes::Kept).then_some(c));
                    out.extend(self.chars.next());
                }
                c => out.push(c),
            }
        }
        Ok(out)
    }

    fn single_quoted(&mut self, out: &mut String) -> Result<(), String> {
        loop {
            match self.chars.next() {
                Some('\'') => return Ok(()),
                Some(c) => out.push(c),
                None => return Err("a single quote is not closed".to_owned()),
            }
        }
    }

    fn double_quoted(&mut self, out: &mut String) -> Result<(), String> {
        loop {
            match self.chars.next() {
                Some('"') => return Ok(()),
                Some('$') => self.variable(out)?,
                Some(c) if c == self.escape => match self.chars.next() {
                    Some(next) if next == '"' || next == '$' || next == self.escape => {
                        out.push(next);
                    }
                    Some(next) => out.extend([c, next]),
                    None => return Err("a double quote is not closed".to_owned()),
                },
                Some(c) => out.push(c),
                None => return Err("a double quote is not closed".to_owned()),
            }
        }
    }

    /// What follows a `$`.
    fn variable(&mut self, out: &mut String) -> Result<(), String> {
        match self.chars.peek() {
            Some('{') => {
                self.chars.next();
                out.push_str(&self.braced()?);
            }
            Some(c) if c.is_ascii_alphabetic() || *c == '_' => {
                let name = self.name();
                out.push_str(&self.value(&name));
            }
            // Shells' special variables are never set in a build.
            Some(c) if c.is_ascii_digit() || "@*#?-!$".contains(*c) => {
                self.chars.next();
            }
            _ => out.push('$'),
        }
        Ok(())
    }

    /// A variable's value; empty, and noted, when it has none.
    fn value(&mut self, name: &str) -> String {
        (self.lookup)(name).unwrap_or_else(|| {
            self.unset.push(name.to_owned());
            String::new()
        })
    }

    fn name(&mut self) -> String {
        let mut name = String::new();
        while let Some(c) = self.chars.next_if(|c| c.is_ascii_alphanumeric() || *c == '_') {
            name.push(c);
        }
        name
    }

    /// `${name}` and its modifiers, after the brace.
    fn braced(&mut self) -> Result<String, String> {
        let name = self.name();
        if name.is_empty() {
            return Err("${…} has no variable name".to_owned());
        }
        let colon = self.chars.next_if_eq(&':').is_some();
        match self.chars.next() {
            Some('}') if !colon => Ok(self.value(&name)),
            Some(modifier @ ('-' | '+' | '?')) => self.by_whether_set(&name, modifier, colon),
            Some(side @ ('#' | '%')) if !colon => {
                let longest = self.chars.next_if_eq(&side).is_some();
                let pattern = Pattern::new(&self.nested('}', Escapes::Kept)?);
                let value = self.value(&name);
                Ok(if side == '#' {
                    pattern.without_prefix(&value, longest)
                } else {
                    pattern.without_suffix(&value, longest)
                })
            }
            Some('/') if !colon => {
                let every = self.chars.next_if_eq(&'/').is_some();
                let pattern = Pattern::new(&self.nested('/', Escapes::Kept)?);
                let replacement = self.nested('}', Escapes::Taken)?;
                Ok(pattern.replace(&self.value(&name), &replacement, every))
            }
            Some(other) => {
                let colon = if colon { ":" } else { "" };
                Err(format!("the modifier {colon}{other} in ${{{name}…}} is not supported"))
            }
            None => Err(format!("${{{name} is not closed")),
        }
    }

    /// `-`, `+` and `?`; with a colon, empty counts as unset.
    fn by_whether_set(
        &mut self,
        name: &str,
        modifier: char,
        colon: bool,
    ) -> Result<String, String> {
        let word = self.nested('}', Escapes::Taken)?;
        let value = (self.lookup)(name);
        let set = value.as_ref().is_some_and(|value| !colon || !value.is_empty());
        match (modifier, set) {
            ('-', true) => Ok(value.unwrap_or_default()),
            ('-', false) | ('+', true) => Ok(word),
            ('+', false) => Ok(String::new()),
            (_, true) => Ok(value.unwrap_or_default()),
            (_, false) if word.is_empty() => Err(format!("{name} is not set")),
            (_, false) => Err(format!("{name}: {word}")),
        }
    }

    /// A word of a modifier, up to what ends it.
    fn nested(&mut self, end: char, escapes: Escapes) -> Result<String, String> {
        self.depth += 1;
        if self.depth > DEPTH {
            return Err("variables are nested too deep".to_owned());
        }
        let word = self.run(Some(end), escapes)?;
        self.depth -= 1;
        match self.chars.next() {
            Some(c) if c == end => Ok(word),
            _ => Err("${…} is not closed".to_owned()),
        }
    }
}

/// Splits at white space outside quotes; quotes and escapes stay for [`expand`].
pub(super) fn split(text: &str, escape: char) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match quote {
            None if c.is_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                continue;
            }
            None if c == '\'' || c == '"' => quote = Some(c),
            Some(open) if c == open => quote = None,
            _ => {}
        }
        word.push(c);
        if c == escape && quote != Some('\'') {
            word.extend(chars.next());
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// The pairs of `ENV` and `LABEL`, not expanded: `a=b c="d e"`, or the old `name value of words`.
pub(super) fn pairs(text: &str, escape: char) -> Result<Vec<(String, String)>, String> {
    let words = split(text, escape);
    let Some(first) = words.first() else { return Err("it needs a name and a value".to_owned()) };
    if !first.contains('=') {
        let value = text.trim_start().strip_prefix(first.as_str()).unwrap_or_default().trim();
        if value.is_empty() {
            return Err(format!("\"{first}\" has no value (write {first}=value)"));
        }
        return Ok(vec![(first.clone(), value.to_owned())]);
    }
    words
        .iter()
        .map(|word| match word.split_once('=') {
            Some(("", _)) => Err(format!("\"{word}\" has no name")),
            Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
            None => Err(format!("\"{word}\" is no name=value (quote values with spaces)")),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lookup(name: &str) -> Option<String> {
        match name {
            "X" => Some("x value".to_owned()),
            "EMPTY" => Some(String::new()),
            "P" => Some("/usr/lib/x.tar.gz".to_owned()),
            _ => None,
        }
    }

    fn run(text: &str) -> Result<String, String> {
        expand(text, '\\', &lookup).map(|expanded| expanded.text)
    }

    #[test]
    fn variables_quotes_and_escapes() {
        for (text, expected) in [
            ("plain", "plain"),
            ("$X", "x value"),
            ("${X}y", "x valuey"),
            ("$Xy", ""),
            ("a$UNSET-b", "a-b"),
            ("\\$X", "$X"),
            ("'$X'", "$X"),
            ("\"$X\"", "x value"),
            ("\"\\$X \\\\ \\n\"", "$X \\ \\n"),
            ("a\\ b", "a b"),
            ("'a b'\"c d\"e", "a bc de"),
            ("$", "$"),
            ("a$/b", "a$/b"),
            ("${UNSET:-d}", "d"),
            ("${UNSET-d}", "d"),
            ("${EMPTY:-d}", "d"),
            ("${EMPTY-d}", ""),
            ("${X:-d}", "x value"),
            ("${X:+a}", "a"),
            ("${EMPTY:+a}", ""),
            ("${EMPTY+a}", "a"),
            ("${UNSET:+a}", ""),
            ("${UNSET:-${X:-d}}", "x value"),
            ("${UNSET:-'a}b'}", "a}b"),
            ("${X:?no}", "x value"),
            ("${P#*/}", "usr/lib/x.tar.gz"),
            ("${P##*/}", "x.tar.gz"),
            ("${P%.*}", "/usr/lib/x.tar"),
            ("${P%%.*}", "/usr/lib/x"),
            ("${P#nothing}", "/usr/lib/x.tar.gz"),
            ("${P/\\//_}", "_usr/lib/x.tar.gz"),
            ("${P//\\//_}", "_usr_lib_x.tar.gz"),
            ("${P/l?b/${X}}", "/usr/x value/x.tar.gz"),
            ("${P//[x]/}", "/usr/lib/x.tar.gz"),
            ("${UNSET#x}", ""),
            ("", ""),
        ] {
            assert_eq!(run(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_expanded_says_why() {
        for (text, reason) in [
            ("'open", "single quote"),
            ("\"open", "double quote"),
            ("${X", "not closed"),
            ("${}", "no variable name"),
            ("${X:-d", "not closed"),
            ("${X#p", "not closed"),
            ("${X/p}", "not closed"),
            ("${X:#p}", "modifier :#"),
            ("${X:1}", "modifier :1"),
            ("${UNSET:?must be given}", "UNSET: must be given"),
        ] {
            assert!(run(text).unwrap_err().contains(reason), "{text}: {:?}", run(text));
        }
        assert!(run(&"${UNSET:-".repeat(1000)).is_err());
    }

    #[test]
    fn another_escape_character_leaves_backslashes_alone() {
        assert_eq!(expand("C:\\x`$X", '`', &lookup).unwrap().text, "C:\\x$X");
    }

    #[test]
    fn quotes_in_a_here_document_are_text() {
        let text = "say \"$X\" and '${X}' or \\$X \\\\ \\n \\\"\n";
        let expected = "say \"x value\" and 'x value' or $X \\ \\n \\\"\n";
        assert_eq!(expand_document(text, &lookup).unwrap().text, expected);
    }

    #[test]
    fn variables_that_are_not_set_are_told_unless_that_was_asked() {
        let text = "$X $NO ${NO} ${ALSO#x} ${NO:-d} ${NO:+d} '$QUOTED'";
        assert_eq!(expand(text, '\\', &lookup).unwrap().unset, ["NO", "NO", "ALSO"]);
    }

    #[test]
    fn pairs_come_in_the_new_and_the_old_form() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            pairs(r#"A=1 B="two words" C=th\ ree"#, '\\'),
            Ok(vec![pair("A", "1"), pair("B", "\"two words\""), pair("C", "th\\ ree")])
        );
        assert_eq!(pairs("A b  c=d", '\\'), Ok(vec![pair("A", "b  c=d")]));
        assert!(pairs("A=1 B", '\\').is_err());
        assert!(pairs("A", '\\').is_err());
        assert!(pairs("=1", '\\').is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_refused_or_expanded_without_panic(text in "[$X{}:'\"\\\\+?a/#% *-]{0,24}") {
            let _ = run(&text);
            let _ = expand_document(&text, &lookup);
            let _ = split(&text, '\\');
            let _ = pairs(&text, '\\');
        }
    }
}

//! Here-documents of `RUN`, wherever in the command they are announced. The parser knows them only
//! at its beginning, so they are taken out of the text before it reads it; lines and bytes stay where
//! they are.

use std::collections::BTreeMap;

use super::super::words::split;

/// A text that the instruction is followed by.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::build) struct HereDocument {
    /// The word that ends it.
    pub(in crate::build) name: String,
    /// Its lines as written.
    pub(in crate::build) content: String,
    /// `<<-`: tabs at the beginning of lines do not count.
    pub(in crate::build) chomp: bool,
}

impl HereDocument {
    /// What the document says.
    pub(in crate::build) fn text(&self) -> String {
        if !self.chomp {
            return self.content.clone();
        }
        let lines = self.content.split_inclusive('\n');
        lines.map(|line| line.trim_start_matches('\t')).collect()
    }
}

/// A Dockerfile whose here-documents were found.
#[derive(Debug)]
pub(super) struct Scanned {
    /// The text without those of `RUN`, every byte and line in its place.
    pub(super) text: String,
    /// By the line, from 1, that their instruction begins on.
    pub(super) documents: BTreeMap<usize, Vec<HereDocument>>,
}

/// A here-document that is not ended.
#[derive(Debug, PartialEq)]
pub(super) struct NotEnded {
    pub(super) line: usize,
    pub(super) name: String,
}

/// Which instruction a line begins, as far as here-documents go.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Run,
    /// The parser knows theirs.
    CopyOrAdd,
    Other,
}

/// Finds the here-documents of a Dockerfile's text.
pub(super) fn scan(text: &str, escape: char) -> Result<Scanned, NotEnded> {
    let mut masked = Vec::with_capacity(text.len());
    let mut documents = BTreeMap::new();
    let mut lines = text.split_inclusive('\n').enumerate().peekable();
    while let Some((index, line)) = lines.next() {
        if is_blank_or_comment(line) {
            masked.extend_from_slice(line.as_bytes());
            continue;
        }
        let mut instruction = line.to_owned();
        let mut end = line;
        while continues(end, escape) || (end != line && is_blank_or_comment(end)) {
            let Some((_, next)) = lines.next() else { break };
            instruction.push_str(next);
            end = next;
        }
        let kind = kind(&instruction);
        let mut found = if kind == Kind::Other || !instruction.contains("<<") {
            Vec::new()
        } else {
            announced(&super::join_lines(&instruction, escape), escape)
        };
        let hide = kind == Kind::Run && !found.is_empty();
        if hide {
            // The parser must not look for what is not there any more.
            masked.extend_from_slice(instruction.replace("<<", "@@").as_bytes());
        } else {
            masked.extend_from_slice(instruction.as_bytes());
        }
        for document in &mut found {
            let not_ended = || NotEnded { line: index + 1, name: document.name.clone() };
            loop {
                let (_, line) = lines.next().ok_or_else(not_ended)?;
                hidden(line, hide, &mut masked);
                let text = line.trim_end_matches(['\n', '\r']);
                let text = if document.chomp { text.trim_start_matches('\t') } else { text };
                if text == document.name {
                    break;
                }
                document.content.push_str(line);
            }
        }
        if !found.is_empty() {
            documents.insert(index + 1, found);
        }
    }
    let text = String::from_utf8(masked).expect("bytes were replaced line by line");
    Ok(Scanned { text, documents })
}

/// Appends a line, as a comment if it is to be hidden.
fn hidden(line: &str, hide: bool, masked: &mut Vec<u8>) {
    if hide {
        masked.extend(line.bytes().map(|byte| if byte == b'\n' { byte } else { b'#' }));
    } else {
        masked.extend_from_slice(line.as_bytes());
    }
}

fn is_blank_or_comment(line: &str) -> bool {
    let line = line.trim();
    line.is_empty() || line.starts_with('#')
}

fn continues(line: &str, escape: char) -> bool {
    !is_blank_or_comment(line) && line.trim_end().ends_with(escape)
}

fn kind(instruction: &str) -> Kind {
    let mut words = instruction.split_whitespace().map(str::to_ascii_uppercase);
    let first = words.next().unwrap_or_default();
    let word = if first == "ONBUILD" { words.next().unwrap_or_default() } else { first };
    match word.as_str() {
        "RUN" => Kind::Run,
        "COPY" | "ADD" => Kind::CopyOrAdd,
        _ => Kind::Other,
    }
}

/// The here-documents that an instruction's words announce: `<<EOF`, `<<-"EOF"`, `3<<EOF`.
fn announced(instruction: &str, escape: char) -> Vec<HereDocument> {
    let words = split(instruction, escape);
    words.iter().filter_map(|word| announcement(word)).collect()
}

fn announcement(word: &str) -> Option<HereDocument> {
    let rest = word.trim_start_matches(|c: char| c.is_ascii_digit()).strip_prefix("<<")?;
    let (chomp, rest) = match rest.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    let name: String = rest.chars().filter(|c| !matches!(c, '"' | '\'' | '\\')).collect();
    let valid = !name.is_empty() && !rest.contains('<');
    valid.then(|| HereDocument { name, content: String::new(), chomp })
}

/// Whether a command is nothing but one here-document.
pub(in crate::build) fn is_alone(command: &str) -> bool {
    !command.contains(char::is_whitespace) && announcement(command).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn documents(text: &str) -> Vec<HereDocument> {
        scan(text, '\\').unwrap().documents.into_values().flatten().collect()
    }

    fn document(name: &str, content: &str, chomp: bool) -> HereDocument {
        HereDocument { name: name.into(), content: content.into(), chomp }
    }

    #[test]
    fn documents_stand_anywhere_in_a_command() {
        let text =
            "FROM a\nRUN cat <<EOF \\\n  # why\n > /x && 3<<-'B C' cat\nhello\nEOF\n\tb\n\tB C\n";
        assert_eq!(
            documents(text),
            [document("EOF", "hello\n", false), document("B C", "\tb\n", true)]
        );
        assert_eq!(documents(text)[1].text(), "b\n");
        assert_eq!(documents("RUN <<EOF\nEOF"), [document("EOF", "", false)]);
    }

    #[test]
    fn what_only_looks_like_one_is_none() {
        for text in [
            "RUN cat <<<word",
            "RUN echo \"<<EOF\"",
            "RUN x=$((1<<2))",
            "ENV A=<<EOF",
            "RUN [\"sh\", \"<<EOF\"]",
            "# RUN <<EOF",
        ] {
            assert_eq!(documents(text), [], "{text}");
        }
    }

    #[test]
    fn the_parser_sees_neither_document_nor_announcement_and_everything_else_in_its_place() {
        let text = "FROM a\nRUN cat <<EOF\nRÜN x\n\nEOF\nRUN y\nCOPY <<F /f\nRUN z\nF\n";
        let scanned = scan(text, '\\').unwrap();
        assert_eq!(
            scanned.text,
            "FROM a\nRUN cat @@EOF\n######\n\n###\nRUN y\nCOPY <<F /f\nRUN z\nF\n"
        );
        assert_eq!(scanned.documents.keys().copied().collect::<Vec<_>>(), [2, 7]);
    }

    #[test]
    fn a_document_without_an_end_is_named() {
        let error = scan("FROM a\nRUN <<EOF\nx\n", '\\').unwrap_err();
        assert_eq!(error, NotEnded { line: 2, name: "EOF".into() });
    }

    #[test]
    fn one_document_and_nothing_else_is_a_script() {
        assert!(is_alone("<<EOF") && is_alone("<<-\"EOF\""));
        assert!(!is_alone("<<EOF cat") && !is_alone("cat <<EOF") && !is_alone("<<A <<B"));
    }
}

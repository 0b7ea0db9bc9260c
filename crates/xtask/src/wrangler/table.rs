//! What came of each command.

/// A command, or requests to what it deployed.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) scene: &'static str,
    /// Version of wrangler.
    pub(super) version: &'static str,
    pub(super) what: String,
    pub(super) came: Came,
    pub(super) seconds: f64,
}

/// What came of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Came {
    /// What should.
    Expected,
    /// It was refused, as it should be, for this reason.
    Refused(&'static str),
    /// Something else.
    Else(String),
}

/// Most characters of what came instead.
const SHOWN: usize = 2000;

impl Row {
    pub(super) fn differs(&self) -> bool {
        matches!(self.came, Came::Else(_))
    }
}

/// The rows, one on a line; what differs has lines of its own below it.
pub(super) fn show(rows: &[Row]) -> Vec<String> {
    let width = rows.iter().map(|row| row.what.chars().count()).max().unwrap_or_default();
    rows.iter()
        .flat_map(|row| {
            let (mark, more) = match &row.came {
                Came::Expected => ("ok".to_owned(), String::new()),
                Came::Refused(reason) => (format!("refused: {reason}"), String::new()),
                Came::Else(text) => ("DIFFERS".to_owned(), shortened(text)),
            };
            let head = format!(
                "{:<12} {:<8} {:<width$} {:>5.1} s  {mark}",
                row.scene, row.version, row.what, row.seconds
            );
            let more: Vec<_> = more.lines().map(|line| format!("    {line}")).collect();
            std::iter::once(head).chain(more)
        })
        .collect()
}

/// The end of a long text: what went wrong is said there.
fn shortened(text: &str) -> String {
    let count = text.chars().count();
    match count > SHOWN {
        true => format!("…{}", text.chars().skip(count - SHOWN).collect::<String>()),
        false => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_shown_with_what_came() {
        let row = |came| Row {
            scene: "worker",
            version: "4.0.0",
            what: "wrangler deploy".into(),
            came,
            seconds: 1.25,
        };
        let rows = [
            row(Came::Expected),
            row(Came::Refused("there is one machine")),
            row(Came::Else("an error\nof two lines".into())),
        ];
        assert_eq!(rows.iter().map(Row::differs).collect::<Vec<_>>(), [false, false, true]);
        let lines = show(&rows);
        assert!(lines[0].ends_with("1.2 s  ok"), "{lines:?}");
        assert!(lines[1].ends_with("refused: there is one machine"), "{lines:?}");
        assert!(lines[2].ends_with("DIFFERS"), "{lines:?}");
        assert_eq!(lines[3..], ["    an error", "    of two lines"]);
    }
}

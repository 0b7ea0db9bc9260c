//! Tables of figures: as Markdown, which reads well in a terminal too, or as JSON.

use std::fmt::Write;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::sample::Sample;

/// All that one run has measured.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// The machine it ran on.
    pub(crate) machine: String,
    /// What a reader must know about all tables.
    pub(crate) notes: Vec<String>,
    pub(crate) tables: Vec<Table>,
}

/// One thing measured in several ways; the first row is Berth's.
#[derive(Debug)]
pub(crate) struct Table {
    /// Its name in JSON.
    key: &'static str,
    title: String,
    notes: Vec<String>,
    rows: Vec<Row>,
}

/// A way, and its figures by column. All rows of a table have the same columns.
#[derive(Debug)]
pub(crate) struct Row {
    label: String,
    cells: Vec<(&'static str, Figure)>,
}

/// A figure and its unit.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Figure {
    Missing,
    Count(usize),
    Time(Duration),
    PerSecond(f64),
    /// A second.
    Megabytes(f64),
    Kibibytes(f64),
    Ratio(f64),
}

impl Report {
    pub(crate) fn markdown(&self) -> String {
        let mut text = format!("Machine: {}\n", self.machine);
        self.notes.iter().for_each(|note| push_note(&mut text, note));
        self.tables.iter().for_each(|table| table.write_markdown(&mut text));
        text
    }

    pub(crate) fn json(&self) -> Value {
        let tables = self.tables.iter().map(|table| (table.key.to_owned(), table.json()));
        let tables: Map<String, Value> = tables.collect();
        json!({ "machine": self.machine, "notes": self.notes, "tables": tables })
    }
}

impl Table {
    pub(crate) fn new(key: &'static str, title: impl Into<String>) -> Self {
        Self { key, title: title.into(), notes: Vec::new(), rows: Vec::new() }
    }

    pub(crate) fn push(&mut self, row: Row) {
        self.rows.push(row);
    }

    pub(crate) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// Adds a column `name`: each row's `column` divided by the first row's.
    pub(crate) fn add_ratios(&mut self, name: &'static str, column: &str) {
        let Some(base) = self.rows.first().and_then(|row| row.value(column)) else { return };
        for row in &mut self.rows {
            let ratio = row.value(column).map_or(f64::NAN, |value| value / base);
            row.cells.push((name, Figure::Ratio(ratio)));
        }
    }

    fn write_markdown(&self, text: &mut String) {
        let mut lines = vec![vec![String::new()]];
        for (column, _) in self.rows.first().into_iter().flat_map(|row| &row.cells) {
            lines[0].push(column.replace('_', " "));
        }
        for row in &self.rows {
            let figures = row.cells.iter().map(|(_, figure)| figure.text());
            lines.push(std::iter::once(row.label.clone()).chain(figures).collect());
        }
        let width = |column: usize| {
            let cells = lines.iter().filter_map(|line| line.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..lines[0].len()).map(width).collect();
        let _ = writeln!(text, "\n### {}\n", self.title);
        for (number, line) in lines.iter().enumerate() {
            text.push('|');
            for (column, (cell, width)) in line.iter().zip(&widths).enumerate() {
                let _ = match column {
                    0 => write!(text, " {cell:<width$} |"),
                    _ => write!(text, " {cell:>width$} |"),
                };
            }
            text.push('\n');
            if number == 0 {
                let rule = |(column, width): (usize, &usize)| match column {
                    0 => format!("{}|", "-".repeat(width + 2)),
                    _ => format!("{}:|", "-".repeat(width + 1)),
                };
                let rules: String = widths.iter().enumerate().map(rule).collect();
                let _ = writeln!(text, "|{rules}");
            }
        }
        self.notes.iter().for_each(|note| push_note(text, note));
    }

    fn json(&self) -> Value {
        let rows = self.rows.iter().map(|row| {
            let cells = row.cells.iter().map(|(column, figure)| {
                (format!("{}{}", json_key(column), figure.unit()), json!(figure.number()))
            });
            (row.label.clone(), Value::Object(cells.collect()))
        });
        let rows: Map<String, Value> = rows.collect();
        json!({ "title": self.title, "notes": self.notes, "rows": rows })
    }
}

impl Row {
    pub(crate) fn new(label: impl Into<String>) -> Self {
        Self { label: label.into(), cells: Vec::new() }
    }

    #[must_use]
    pub(crate) fn with(mut self, column: &'static str, figure: Figure) -> Self {
        self.cells.push((column, figure));
        self
    }

    /// Number of attempts, those that failed, and these percentiles of the others.
    #[must_use]
    pub(crate) fn with_sample(
        mut self,
        sample: &Sample,
        percentiles: &[(&'static str, usize)],
    ) -> Self {
        self = self.with("n", Figure::Count(sample.count()));
        self = self.with("failed", Figure::Count(sample.failures().len()));
        for (column, percent) in percentiles {
            self = self.with(column, Figure::of(sample.percentile(*percent)));
        }
        self.with("max", Figure::of(sample.max()))
    }

    fn value(&self, column: &str) -> Option<f64> {
        let (_, figure) = self.cells.iter().find(|(name, _)| *name == column)?;
        Some(figure.number())
    }
}

impl Figure {
    /// A time, if there is one.
    fn of(time: Option<Duration>) -> Self {
        time.map_or(Self::Missing, Self::Time)
    }

    /// A size.
    pub(crate) fn bytes(size: u64) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "a size far below 2^52")]
        Self::Kibibytes(size as f64 / 1024.0)
    }

    fn text(self) -> String {
        match self {
            Self::Missing => "-".to_owned(),
            Self::Count(count) => count.to_string(),
            Self::Time(_) if self.number() < 10.0 => format!("{:.2} ms", self.number()),
            Self::Time(_) if self.number() < 100.0 => format!("{:.1} ms", self.number()),
            Self::Time(_) => format!("{:.0} ms", self.number()),
            Self::PerSecond(rate) => format!("{rate:.0} /s"),
            Self::Megabytes(rate) => format!("{rate:.0} MB/s"),
            Self::Kibibytes(size) if size.abs() < 10_240.0 => format!("{size:.0} KiB"),
            Self::Kibibytes(size) => format!("{:.1} MiB", size / 1024.0),
            Self::Ratio(ratio) if !ratio.is_finite() => "-".to_owned(),
            Self::Ratio(ratio) if ratio < 10.0 => format!("{ratio:.2}×"),
            Self::Ratio(ratio) => format!("{ratio:.1}×"),
        }
    }

    /// Ends the names of its kind in JSON.
    fn unit(self) -> &'static str {
        match self {
            Self::Missing => "_ms",
            Self::Count(_) => "",
            Self::Time(_) => "_ms",
            Self::PerSecond(_) => "_per_second",
            Self::Megabytes(_) => "_mb_per_second",
            Self::Kibibytes(_) => "_kib",
            Self::Ratio(_) => "_ratio",
        }
    }

    fn number(self) -> f64 {
        match self {
            Self::Missing => f64::NAN,
            #[expect(clippy::cast_precision_loss, reason = "a count far below 2^52")]
            Self::Count(count) => count as f64,
            Self::Time(time) => time.as_secs_f64() * 1e3,
            Self::PerSecond(number)
            | Self::Megabytes(number)
            | Self::Kibibytes(number)
            | Self::Ratio(number) => number,
        }
    }
}

/// `p50 : Berth` → `p50_berth`
fn json_key(column: &str) -> String {
    let words = column.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("_").to_lowercase()
}

fn push_note(text: &mut String, note: &str) {
    let _ = writeln!(text, "\n{note}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new("new_id", "A new ID");
        for (label, milliseconds) in [("Berth", 20), ("Docker Engine", 300)] {
            let time = Figure::Time(Duration::from_millis(milliseconds));
            table.push(Row::new(label).with("p50", time));
        }
        table.add_ratios("p50 : Berth", "p50");
        table
    }

    #[test]
    fn a_table_is_aligned_markdown_with_ratios_to_its_first_row() {
        let mut text = String::new();
        table().write_markdown(&mut text);
        let expected = "
### A new ID

|               |     p50 | p50 : Berth |
|---------------|--------:|------------:|
| Berth         | 20.0 ms |       1.00× |
| Docker Engine |  300 ms |       15.0× |
";
        assert_eq!(text, expected);
    }

    #[test]
    fn json_names_units() {
        let json = table().json();
        assert_eq!(json["rows"]["Docker Engine"]["p50_ms"], 300.0);
        assert_eq!(json["rows"]["Docker Engine"]["p50_berth_ratio"], 15.0);
    }
}

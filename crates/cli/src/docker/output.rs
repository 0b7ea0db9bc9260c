//! How Docker's tables, templates and progress messages look on a terminal and elsewhere.

use agent::engine::Template;
use serde_json::{Map, Value};

use crate::error::{CliError, Kind};
use crate::printer::Printer;

/// How rows are shown.
#[derive(Debug)]
pub(super) enum Format {
    /// A table of these columns: a head, and the field it shows.
    Table(Vec<(String, String)>),
    /// A line of JSON for each.
    Json,
    /// A line for each by a template; with a line of heads in front.
    Template { template: Template, heads: Option<String> },
}

impl Format {
    /// From `--format`; `columns` are those of the table that is shown without one.
    pub(super) fn parse(text: Option<&str>, columns: &[(&str, &str)]) -> Result<Self, CliError> {
        let table = || {
            let own = |(head, field): &(&str, &str)| ((*head).to_owned(), (*field).to_owned());
            Self::Table(columns.iter().map(own).collect())
        };
        match text.map(str::trim) {
            None | Some("" | "table") => Ok(table()),
            Some("json" | "{{json .}}") => Ok(Self::Json),
            Some(text) => {
                let (text, heads) = match text.strip_prefix("table ") {
                    Some(rest) => (unescape(rest), true),
                    None => (unescape(text), false),
                };
                let template = template(&text)?;
                let heads = heads.then(|| {
                    let head = |field: String| {
                        let known =
                            columns.iter().find(|(_, own)| own.eq_ignore_ascii_case(&field));
                        known.map_or(field.to_uppercase(), |(head, _)| (*head).to_owned())
                    };
                    template.fields().into_iter().map(head).collect::<Vec<_>>().join("\t")
                });
                Ok(Self::Template { template, heads })
            }
        }
    }

    /// Prints rows, each an object of texts.
    pub(super) fn print(
        &self,
        rows: &[Map<String, Value>],
        printer: &Printer,
    ) -> Result<(), CliError> {
        match self {
            Self::Json => rows.iter().for_each(|row| printer.data(Value::Object(row.clone()))),
            Self::Table(columns) => {
                let head = columns.iter().map(|(head, _)| head.clone()).collect();
                let cell = |row: &Map<String, Value>, field: &str| {
                    row.get(field).map(plain).unwrap_or_default()
                };
                let cells =
                    rows.iter().map(|row| columns.iter().map(|(_, f)| cell(row, f)).collect());
                let lines: Vec<Vec<String>> = std::iter::once(head).chain(cells).collect();
                aligned(&lines).iter().for_each(|line| printer.data(line));
            }
            Self::Template { template, heads } => {
                let mut lines: Vec<String> = heads.iter().cloned().collect();
                for row in rows {
                    let line = template.apply(&Value::Object(row.clone()));
                    lines.push(line.map_err(|error| wrong(&error))?);
                }
                if heads.is_some() {
                    let split = |line: &String| line.split('\t').map(str::to_owned).collect();
                    let cells: Vec<Vec<String>> = lines.iter().map(split).collect();
                    lines = aligned(&cells);
                }
                lines.iter().for_each(|line| printer.data(line));
            }
        }
        Ok(())
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Columns under each other, three blanks between them.
fn aligned(lines: &[Vec<String>]) -> Vec<String> {
    let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
    let width = |at: usize| {
        lines
            .iter()
            .filter_map(|line| line.get(at))
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |cells: &Vec<String>| {
        let cells = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("   ").trim_end().to_owned()
    };
    lines.iter().map(line).collect()
}

/// `\t` and `\n` as a shell hands them on.
fn unescape(text: &str) -> String {
    text.replace("\\t", "\t").replace("\\n", "\n")
}

/// A template of `--format`.
pub(super) fn template(text: &str) -> Result<Template, CliError> {
    Template::parse(text).map_err(|error| wrong(&error))
}

/// A template that does not fit.
pub(super) fn wrong(error: &agent::engine::TemplateError) -> CliError {
    CliError::new(Kind::Failure, error.to_string())
}

/// Objects by `--format`, or as one JSON array.
pub(super) fn inspected(
    values: &[Value],
    format: Option<&str>,
    printer: &Printer,
) -> Result<(), CliError> {
    match format {
        None | Some("") => {
            let text = serde_json::to_string_pretty(values);
            let text = text.map_err(|error| CliError::failure("write JSON", error))?;
            // Docker indents by four.
            printer.data(indented_by_four(&text));
        }
        Some("json") => printer.data(serde_json::Value::Array(values.to_vec())),
        Some(text) => {
            let template = template(&unescape(text))?;
            for value in values {
                printer.data(template.apply(value).map_err(|error| wrong(&error))?);
            }
        }
    }
    Ok(())
}

fn indented_by_four(text: &str) -> String {
    let line = |line: &str| {
        let rest = line.trim_start();
        format!("{}{rest}", "  ".repeat(line.len() - rest.len()))
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// Shows messages of a pull, a push or a build as lines, a layer's progress left out.
pub(super) fn show(printer: &Printer, quiet: bool) -> impl Fn(Value) + Send + Sync + use<> {
    let printer = printer.clone();
    move |message: Value| {
        if quiet
            || message.get("progressDetail").is_some_and(|detail| detail.get("current").is_some())
        {
            return;
        }
        let text = |key: &str| message.get(key).and_then(Value::as_str);
        match (text("stream"), text("status"), text("id")) {
            (Some(stream), ..) => {
                let stream = stream.trim_end_matches('\n');
                if !stream.is_empty() {
                    printer.info(stream);
                }
            }
            (None, Some(status), Some(id)) => printer.data(format_args!("{id}: {status}")),
            (None, Some(status), None) => printer.data(status),
            _ => {}
        }
    }
}

/// A time since 1970 in seconds, as `5 minutes ago`.
pub(super) fn ago(seconds: i64) -> String {
    let since = jiff::Timestamp::now().as_second().saturating_sub(seconds);
    format!("{} ago", agent::engine::duration_text(u64::try_from(since).unwrap_or_default()))
}

/// `sha256:` left out, and all but twelve digits unless `whole`.
pub(super) fn short_id(id: &str, whole: bool) -> String {
    if whole {
        return id.to_owned();
    }
    id.trim_start_matches("sha256:").chars().take(12).collect()
}

/// `key=value` filters as the Engine API has them.
pub(super) fn filters(filters: &[String]) -> Result<String, CliError> {
    let mut map: std::collections::BTreeMap<String, Vec<String>> =
        std::collections::BTreeMap::new();
    for filter in filters {
        let Some((key, value)) = filter.split_once('=') else {
            let text = format!("invalid argument \"{filter}\": must be NAME=VALUE");
            return Err(CliError::new(Kind::Usage, text));
        };
        map.entry(key.to_owned()).or_default().push(value.to_owned());
    }
    serde_json::to_string(&map).map_err(|error| CliError::failure("write the filters", error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_under_each_other() {
        let rows = [vec!["A".to_owned(), "B".to_owned()], vec!["long".to_owned(), "x".to_owned()]];
        assert_eq!(aligned(&rows), ["A      B", "long   x"]);
    }

    #[test]
    fn json_is_indented_by_four() {
        assert_eq!(
            indented_by_four("[\n  {\n    \"a\": 1\n  }\n]"),
            "[\n    {\n        \"a\": 1\n    }\n]"
        );
    }

    #[test]
    fn filters_are_grouped_by_their_key() {
        let text = filters(&["label=a".into(), "label=b=c".into()]).unwrap();
        assert_eq!(text, r#"{"label":["a","b=c"]}"#);
        assert!(filters(&["x".into()]).is_err());
    }
}

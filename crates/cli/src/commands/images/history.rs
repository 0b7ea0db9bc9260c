//! `berth images history`.

use image::HistoryStep;
use serde_json::json;

use super::{Context, store_failed};
use crate::args::HistoryArgs;
use crate::error::CliError;
use crate::human::{ago, print_json, size, table, time};

/// Characters of a command that are shown unless all are asked for, as in Docker.
const COMMAND: usize = 45;

pub(super) fn run(args: &HistoryArgs, context: &Context) -> Result<(), CliError> {
    let (image, _) = context.find(&args.image)?;
    let steps = context.store.history(&image.digest);
    let steps = steps.map_err(|error| store_failed("read the image's history", error))?;
    let printer = &context.printer;
    if args.json {
        let shown = steps.iter().map(|step| {
            json!({
                "created": step.created.map(|seconds| time(seconds).to_string()),
                "created_by": step.created_by,
                "comment": step.comment,
                "size": step.size,
                "diff_id": step.diff_id,
            })
        });
        return print_json(&shown.collect::<Vec<_>>(), printer);
    }
    let now = jiff::Timestamp::now().as_second();
    let row = |(index, step): (usize, &HistoryStep)| {
        // Only the newest step is an image here.
        let id = match (index, args.no_trunc) {
            (0, true) => image.id.to_string(),
            (0, false) => image.id.short().to_owned(),
            _ => "<missing>".to_owned(),
        };
        let created = step.created.map_or_else(|| "N/A".to_owned(), |then| ago(now, then));
        let command = command(&step.created_by, args.no_trunc);
        [id, created, command, size(step.size), step.comment.clone()]
    };
    let rows: Vec<_> = steps.iter().enumerate().map(row).collect();
    let lines = table(["IMAGE", "CREATED", "CREATED BY", "SIZE", "COMMENT"], &rows);
    lines.iter().for_each(|line| printer.data(line));
    Ok(())
}

/// A command on one line.
fn command(text: &str, whole: bool) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if whole || line.chars().count() <= COMMAND {
        return line;
    }
    let short: String = line.chars().take(COMMAND - 1).collect();
    format!("{short}…")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_cut_short_unless_all_of_it_is_asked_for() {
        let long = format!("RUN {}", "x".repeat(100));
        assert_eq!(command(&long, false).chars().count(), COMMAND);
        assert_eq!(command(&long, true), long);
        assert_eq!(command("RUN a \\\n  && b", true), "RUN a \\ && b");
    }
}

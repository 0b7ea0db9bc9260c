//! `berth images df`: whose the disk is, and how much of it could be had back.

use image::UsageRow;
use serde_json::json;

use super::{Context, store_failed};
use crate::args::DfArgs;
use crate::commands::snapshots::images_in_use;
use crate::error::CliError;
use crate::human::{print_json, size, table};

pub(super) fn run(args: &DfArgs, context: &Context) -> Result<(), CliError> {
    let usage = context.store.usage(&images_in_use());
    let usage = usage.map_err(|error| store_failed("measure the images", error))?;
    let rows = [
        ("Images", usage.images),
        ("  Layers, unpacked", usage.layers),
        ("Snapshots", usage.snapshots),
        ("Build cache", usage.build_cache),
        ("Registry", usage.registry),
        ("Unused", usage.unused),
    ];
    if args.json {
        let shown = rows.map(|(kind, row)| {
            json!({
                "type": kind.trim(),
                "total": row.total,
                "active": row.active,
                "size": row.size,
                "reclaimable": row.reclaimable,
            })
        });
        return print_json(&shown, &context.printer);
    }
    let rows = rows.map(|(kind, row)| {
        let (total, active) = (row.total.to_string(), row.active.to_string());
        [kind.to_owned(), total, active, size(row.size), reclaimable(row)]
    });
    let lines = table(["TYPE", "TOTAL", "ACTIVE", "SIZE", "RECLAIMABLE"], &rows);
    lines.iter().for_each(|line| context.printer.data(line));
    Ok(())
}

/// With its share, where there is something.
fn reclaimable(row: UsageRow) -> String {
    match row.reclaimable.saturating_mul(100).checked_div(row.size) {
        Some(percent) => format!("{} ({percent}%)", size(row.reclaimable)),
        None => size(row.reclaimable),
    }
}

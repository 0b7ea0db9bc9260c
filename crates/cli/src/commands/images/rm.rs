//! `berth images rm`: takes names away, and with the last of them the content.

use std::collections::HashSet;

use image::{Digest, ImageSummary, Reference};
use serde_json::json;

use super::{Context, store_failed};
use crate::args::RmArgs;
use crate::commands::snapshots::images_in_use;
use crate::error::{CliError, Kind};
use crate::human::print_json;

/// What was done.
#[derive(Debug, Default)]
struct Done {
    untagged: Vec<String>,
    deleted: Vec<Digest>,
    bytes: u64,
}

pub(super) fn run(args: &RmArgs, context: &Context) -> Result<(), CliError> {
    let mut done = Done::default();
    let mut last = None;
    for text in &args.images {
        if let Err(error) = remove(text, args.force, context, &mut done) {
            // The others go all the same; each failure is told.
            if let Some(before) = last.replace(error) {
                context.printer.error(&before);
            }
        }
    }
    let printer = &context.printer;
    if args.json {
        let Done { untagged, deleted, bytes } = &done;
        print_json(&json!({ "untagged": untagged, "deleted": deleted, "freed": bytes }), printer)?;
    } else {
        done.untagged.iter().for_each(|name| printer.data(format_args!("Untagged: {name}")));
        done.deleted.iter().for_each(|digest| printer.data(format_args!("Deleted: {digest}")));
    }
    last.map_or(Ok(()), Err)
}

fn remove(text: &str, force: bool, context: &Context, done: &mut Done) -> Result<(), CliError> {
    let (image, name) = context.find(text)?;
    let names = match &name {
        Some(name) => vec![name.clone()],
        None => image.references.clone(),
    };
    let running = images_in_use();
    let leased = context.store.leased().map_err(|e| store_failed("read the leases", e))?;
    if let Some(conflict) = conflict(&image, &names, &running, &leased).filter(|_| !force) {
        return Err(conflict);
    }
    let failed = |error| store_failed("remove the image", error);
    for name in &names {
        context.store.untag(name).map_err(failed)?;
        done.untagged.push(name.familiar());
    }
    if names.len() < image.references.len() {
        return Ok(());
    }
    let freed = context.store.reclaim(std::slice::from_ref(&image.digest), &running);
    let freed = freed.map_err(failed)?;
    if freed.blobs == 0 {
        let text =
            "its content stays while something has need of it; `berth images prune` frees it later";
        context.printer.info(text);
        return Ok(());
    }
    done.bytes += freed.bytes + freed.unpacked;
    done.deleted.push(image.id);
    Ok(())
}

/// Why it should not be removed without being asked for twice.
fn conflict(
    image: &ImageSummary,
    names: &[Reference],
    running: &[Digest],
    leased: &HashSet<Digest>,
) -> Option<CliError> {
    let refused = |text: String| {
        CliError::new(Kind::Failure, text).hint("`--force` removes its names all the same")
    };
    // A name of several can always go.
    if names.len() < image.references.len() {
        return None;
    }
    let id = image.id.short();
    if running.contains(&image.digest) {
        return Some(refused(format!("image {id} is not removed: an instance runs on it")));
    }
    if leased.contains(&image.digest) {
        return Some(refused(format!("image {id} is not removed: a running `berth` needs it")));
    }
    (names.len() > 1).then(|| {
        let names: Vec<String> = names.iter().map(Reference::familiar).collect();
        let names = names.join(", ");
        refused(format!("image {id} is not removed: it has several names ({names})"))
    })
}

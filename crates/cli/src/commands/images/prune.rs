//! `berth images prune`: removes what is not needed.

use std::collections::HashSet;
use std::time::Duration;

use image::{Digest, ImageSummary, PruneRequest, Reference};
use serde_json::json;

use super::filter::Filters;
use super::{Context, store_failed};
use crate::args::PruneArgs;
use crate::commands::snapshots::images_in_use;
use crate::error::CliError;
use crate::human::{confirm, print_json, size};

const FILTERS: [&str; 3] = ["until", "label", "reference"];

/// What is going to be done.
#[derive(Debug, Default, PartialEq)]
struct Plan {
    /// Names that go.
    untag: Vec<Reference>,
    /// Ids of images that go with their last name, or have none.
    delete: Vec<Digest>,
    /// Images without a name that stay.
    keep: Vec<Digest>,
}

pub(super) fn run(args: &PruneArgs, context: &Context) -> Result<(), CliError> {
    let printer = &context.printer;
    let filters = Filters::parse(&args.filters, &FILTERS, context)?;
    let running = images_in_use();
    let mut used = context.store.leased().map_err(|e| store_failed("read the leases", e))?;
    used.extend(running.iter().cloned());
    if !args.force && !confirm(question(args), printer)? {
        return Ok(());
    }
    let plan = plan(&context.all()?, &used, &filters, args.all);
    let failed = |error| store_failed("prune the images", error);
    for name in &plan.untag {
        context.store.untag(name).map_err(failed)?;
    }
    let cache = prune_cache(args, &filters, context)?;
    let roots = running.into_iter().chain(plan.keep).collect();
    let request = PruneRequest { roots, grace: args.grace };
    let pruned = context.store.prune(&request, &context.progress("prune")).map_err(failed)?;
    let freed = pruned.bytes + pruned.unpacked;
    let untagged: Vec<String> = plan.untag.iter().map(Reference::familiar).collect();
    if args.json {
        let value = json!({
            "untagged": untagged, "deleted": plan.delete, "freed": freed,
            "build_cache_entries": cache,
        });
        return print_json(&value, printer);
    }
    untagged.iter().for_each(|name| printer.data(format_args!("Untagged: {name}")));
    plan.delete.iter().for_each(|digest| printer.data(format_args!("Deleted: {digest}")));
    if cache > 0 {
        printer.data(format_args!("Build cache: {cache} entries"));
    }
    printer.data(format_args!("Total reclaimed space: {}", size(freed)));
    Ok(())
}

/// Removes of the build cache what is asked for, all of it when nothing is said; returns how much
/// that was. Its layers go with everything else that nothing leads to.
fn prune_cache(args: &PruneArgs, filters: &Filters, context: &Context) -> Result<usize, CliError> {
    if !args.build_cache {
        return Ok(0);
    }
    let everything = (args.keep_storage.is_none()).then_some(Duration::ZERO);
    let pruned = context.store.prune_build_cache(args.keep_storage, filters.age().or(everything));
    let pruned = pruned.map_err(|error| store_failed("prune the build cache", error))?;
    Ok(pruned.steps + pruned.mounts)
}

fn question(args: &PruneArgs) -> &'static str {
    match (args.all, args.build_cache) {
        (false, false) => "This removes all images without a name. Go on?",
        (false, true) => "This removes all images without a name, and the build cache. Go on?",
        (true, false) => "This removes all images that no instance uses. Go on?",
        (true, true) => {
            "This removes all images that no instance uses, and the build cache. Go on?"
        }
    }
}

fn plan(all: &[ImageSummary], used: &HashSet<Digest>, filters: &Filters, every: bool) -> Plan {
    let mut plan = Plan::default();
    for image in all {
        if used.contains(&image.digest) {
            continue;
        }
        if image.references.is_empty() {
            if filters.fits(image, None) {
                plan.delete.push(image.id.clone());
            } else {
                plan.keep.push(image.digest.clone());
            }
            continue;
        }
        let goes = |name: &&Reference| every && filters.fits(image, Some(name));
        let names: Vec<Reference> = image.references.iter().filter(goes).cloned().collect();
        if names.len() == image.references.len() {
            plan.delete.push(image.id.clone());
        }
        plan.untag.extend(names);
    }
    plan
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn image(id: &str, names: &[&str]) -> ImageSummary {
        ImageSummary {
            id: Digest::of(format!("id of {id}").as_bytes()),
            digest: Digest::of(id.as_bytes()),
            references: names.iter().map(|name| name.parse().unwrap()).collect(),
            created: Some(1),
            size: 1,
            transferred: 1,
            labels: BTreeMap::new(),
        }
    }

    #[test]
    fn names_stay_unless_all_is_asked_for_and_what_is_used_always_does() {
        let all = [image("named", &["a:1", "a:2"]), image("used", &["b:1"]), image("none", &[])];
        let used = HashSet::from([all[1].digest.clone()]);
        let dangling = plan(&all, &used, &Filters::default(), false);
        assert_eq!((dangling.untag, dangling.delete), (vec![], vec![all[2].id.clone()]));
        let every = plan(&all, &used, &Filters::default(), true);
        assert_eq!(every.untag, all[0].references);
        assert_eq!(every.delete, [all[0].id.clone(), all[2].id.clone()]);
        let mut filters = Filters::default();
        filters.name("a:2");
        let some = plan(&all, &used, &filters, true);
        assert_eq!(some.untag, ["a:2".parse().unwrap()]);
        assert_eq!((some.delete, some.keep), (vec![], vec![all[2].digest.clone()]));
    }
}

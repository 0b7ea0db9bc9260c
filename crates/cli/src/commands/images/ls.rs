//! `berth images ls`.

use image::{ImageSummary, Reference};
use serde_json::{Value, json};

use super::Context;
use super::filter::Filters;
use crate::args::LsArgs;
use crate::error::CliError;
use crate::human::{ago, print_json, size, table, time};

const FILTERS: [&str; 5] = ["reference", "dangling", "label", "before", "since"];
/// What stands for a name that is not there, as in every other program.
const NONE: &str = "<none>";

pub(super) fn run(args: &LsArgs, context: &Context) -> Result<(), CliError> {
    let mut filters = Filters::parse(&args.filters, &FILTERS, context)?;
    args.name.iter().for_each(|name| filters.name(name));
    let all = context.all()?;
    let shown: Vec<(&ImageSummary, Vec<Option<&Reference>>)> = all
        .iter()
        .map(|image| (image, names(image).filter(|name| filters.fits(image, *name)).collect()))
        .filter(|(_, names): &(_, Vec<_>)| !names.is_empty())
        .collect();
    let printer = &context.printer;
    if args.json {
        return print_json(
            &shown.iter().map(|(image, _)| as_json(image)).collect::<Vec<_>>(),
            printer,
        );
    }
    let id = |image: &ImageSummary| match args.no_trunc {
        true => image.id.to_string(),
        false => image.id.short().to_owned(),
    };
    if printer.is_quiet() {
        shown.iter().for_each(|(image, _)| printer.data(id(image)));
        return Ok(());
    }
    let now = jiff::Timestamp::now().as_second();
    let mut rows = Vec::new();
    for (image, names) in &shown {
        for name in names {
            let created = image.created.map_or_else(|| "N/A".to_owned(), |then| ago(now, then));
            let [repository, tag] = repository_and_tag(*name);
            let digest = image.digest.to_string();
            rows.push([repository, tag, digest, id(image), created, size(image.size)]);
        }
    }
    let lines = if args.digests {
        table(["REPOSITORY", "TAG", "DIGEST", "IMAGE ID", "CREATED", "SIZE"], &rows)
    } else {
        let rows: Vec<_> = rows.into_iter().map(|[a, b, _, c, d, e]| [a, b, c, d, e]).collect();
        table(["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"], &rows)
    };
    lines.iter().for_each(|line| printer.data(line));
    Ok(())
}

/// An image's names, or the fact that it has none.
fn names(image: &ImageSummary) -> impl Iterator<Item = Option<&Reference>> {
    let none = image.references.is_empty().then_some(None);
    image.references.iter().map(Some).chain(none)
}

fn repository_and_tag(name: Option<&Reference>) -> [String; 2] {
    let Some(name) = name else { return [NONE.to_owned(), NONE.to_owned()] };
    [name.familiar_repository(), name.tag().unwrap_or(NONE).to_owned()]
}

/// An image as JSON shows it.
pub(super) fn as_json(image: &ImageSummary) -> Value {
    json!({
        "id": image.id,
        "digest": image.digest,
        "names": image.references.iter().map(Reference::familiar).collect::<Vec<_>>(),
        "created": image.created.map(|seconds| time(seconds).to_string()),
        "size": image.size,
        "transferred_size": image.transferred,
        "labels": image.labels,
    })
}

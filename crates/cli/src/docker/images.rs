//! Commands about images, on the store in `BERTH_HOME`.

use std::io::{Read, Write};

use agent::engine::{Transfer, size_text};
use serde_json::{Map, Value, json};

use super::args::{
    HistoryArgs, ImportArgs, InspectArgs, ListArgs, LoadArgs, PruneArgs, PullArgs, PushArgs,
    RemoveArgs, SaveArgs, TagArgs,
};
use super::output::{self, Format, ago, short_id};
use super::{Ended, failed, session};
use crate::error::{CliError, Kind};
use crate::printer::Printer;

pub(super) fn inspect(args: &InspectArgs, printer: &Printer) -> Ended {
    let images = session::images()?;
    let (mut found, mut missing) = (Vec::new(), None);
    for name in &args.names {
        match images.inspect(name) {
            Ok(value) => found.push(value),
            Err(error) => missing = Some(failed(&error)),
        }
    }
    // What is there is shown, also when something is not.
    if !found.is_empty() || args.format.is_none() {
        output::inspected(&found, args.format.as_deref(), printer)?;
    }
    missing.map_or(Ok(0), Err)
}

pub(super) fn list(args: &ListArgs, printer: &Printer) -> Ended {
    let images = session::images()?;
    let mut filters = args.filter.clone();
    filters.extend(args.reference.iter().map(|reference| format!("reference={reference}")));
    let listed = images.listed(&output::filters(&filters)?).map_err(|error| failed(&error))?;
    if args.quiet {
        for image in &listed {
            printer.data(short_id(text(image, "Id"), args.no_trunc));
        }
        return Ok(0);
    }
    let mut columns = vec![("REPOSITORY", "Repository"), ("TAG", "Tag")];
    if args.digests {
        columns.push(("DIGEST", "Digest"));
    }
    columns.extend([("IMAGE ID", "ID"), ("CREATED", "CreatedSince"), ("SIZE", "Size")]);
    let format = Format::parse(args.format.as_deref(), &columns)?;
    let rows: Vec<_> = listed.iter().flat_map(|image| rows(image, args.no_trunc)).collect();
    format.print(&rows, printer).map(|()| 0)
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

/// One row for each name.
fn rows(image: &Value, whole: bool) -> Vec<Map<String, Value>> {
    let words = |key: &str| -> Vec<String> {
        let list = image[key].as_array().into_iter().flatten();
        list.filter_map(|word| word.as_str().map(str::to_owned)).collect()
    };
    let mut names = words("RepoTags");
    if names.is_empty() {
        names.push("<none>:<none>".to_owned());
    }
    let digests = words("RepoDigests");
    let created = image["Created"].as_i64().unwrap_or_default();
    let row = |name: String| {
        let (repository, tag) = name.rsplit_once(':').unwrap_or((&name, "<none>"));
        let of = format!("{repository}@");
        let digest = digests.iter().find_map(|digest| digest.strip_prefix(&of));
        let row = json!({
            "Containers": "N/A",
            "CreatedAt": jiff::Timestamp::from_second(created).unwrap_or_default().to_string(),
            "CreatedSince": ago(created),
            "Digest": digest.unwrap_or("<none>"),
            "ID": short_id(text(image, "Id"), whole),
            "Repository": repository,
            "SharedSize": "N/A",
            "Size": size_text(image["Size"].as_u64().unwrap_or_default()),
            "Tag": tag,
            "UniqueSize": "N/A",
        });
        match row {
            Value::Object(row) => row,
            _ => Map::new(),
        }
    };
    names.into_iter().map(row).collect()
}

pub(super) fn remove(args: &RemoveArgs, printer: &Printer) -> Ended {
    let images = session::images()?;
    let mut missing = None;
    for name in &args.names {
        match images.remove(name, args.force) {
            Ok(removed) => {
                removed
                    .untagged
                    .iter()
                    .for_each(|name| printer.data(format_args!("Untagged: {name}")));
                removed.deleted.iter().for_each(|id| printer.data(format_args!("Deleted: {id}")));
            }
            Err(error) => missing = Some(failed(&error)),
        }
    }
    missing.filter(|_| !args.force).map_or(Ok(0), Err)
}

pub(super) fn prune(args: &PruneArgs, printer: &Printer) -> Ended {
    let images = session::images()?;
    let (removed, bytes) = images.prune(args.all).map_err(|error| failed(&error))?;
    if !removed.untagged.is_empty() || !removed.deleted.is_empty() {
        printer.data("Deleted Images:");
        removed.untagged.iter().for_each(|name| printer.data(format_args!("untagged: {name}")));
        removed.deleted.iter().for_each(|id| printer.data(format_args!("deleted: {id}")));
        printer.data("");
    }
    printer.data(format_args!("Total reclaimed space: {}", size_text(bytes)));
    Ok(0)
}

pub(super) fn history(args: &HistoryArgs, printer: &Printer) -> Ended {
    let images = session::images()?;
    let steps = images.history(&args.name).map_err(|error| failed(&error))?;
    if args.quiet {
        for step in &steps {
            printer.data(short_id(text(step, "Id"), args.no_trunc));
        }
        return Ok(0);
    }
    let columns = [
        ("IMAGE", "ID"),
        ("CREATED", "CreatedSince"),
        ("CREATED BY", "CreatedBy"),
        ("SIZE", "Size"),
        ("COMMENT", "Comment"),
    ];
    let format = Format::parse(args.format.as_deref(), &columns)?;
    let row = |step: &Value| {
        let created = step["Created"].as_i64().unwrap_or_default();
        let by = text(step, "CreatedBy");
        let cut = || format!("{}…", by.chars().take(44).collect::<String>());
        let row = json!({
            "ID": short_id(text(step, "Id"), args.no_trunc),
            "CreatedAt": jiff::Timestamp::from_second(created).unwrap_or_default().to_string(),
            "CreatedSince": ago(created),
            "CreatedBy": if args.no_trunc || by.chars().count() <= 45 { by.to_owned() } else { cut() },
            "Size": size_text(step["Size"].as_u64().unwrap_or_default()),
            "Comment": text(step, "Comment"),
        });
        row.as_object().cloned().unwrap_or_default()
    };
    format.print(&steps.iter().map(row).collect::<Vec<_>>(), printer).map(|()| 0)
}

pub(super) fn tag(args: &TagArgs) -> Ended {
    let images = session::images()?;
    images.tag(&args.source, &args.target).map_err(|error| failed(&error))?;
    Ok(0)
}

pub(super) async fn pull(args: PullArgs, printer: &Printer) -> Ended {
    if agent::engine::is_sidecar(&args.name) {
        // What `wrangler dev` wants to have beside each container is part of the engine.
        printer.data(format_args!("{}: part of Berth", args.name));
        return Ok(0);
    }
    let name = args.name.clone();
    let transfer = Transfer { credentials: None, platform: args.platform };
    session::told(output::show(printer, args.quiet), move |messages| {
        let run = std::sync::Arc::new(session::RunsNothing);
        let images = session::images_with(&args.mirrors, run, Vec::new());
        let images =
            images.map_err(|error| agent::engine::EngineError::Failed(error.to_string()))?;
        images.pull(&args.name, &transfer, messages)
    })
    .await?;
    printer.data(name);
    Ok(0)
}

pub(super) async fn push(args: PushArgs, printer: &Printer) -> Ended {
    let images = session::images()?;
    let name = args.name;
    session::told(output::show(printer, args.quiet), move |messages| {
        images.push(&name, &Transfer::default(), messages)
    })
    .await?;
    Ok(0)
}

pub(super) async fn save(args: SaveArgs, printer: &Printer) -> Ended {
    let images = session::images()?;
    let to: Box<dyn Write + Send> = match &args.output {
        Some(path) => {
            let file = fs_err::File::create(path);
            Box::new(file.map_err(|error| CliError::failure("make the archive", error))?)
        }
        None if std::io::IsTerminal::is_terminal(&std::io::stdout()) => {
            let text = "cowardly refusing to save to a terminal";
            return Err(CliError::new(Kind::Usage, text).hint("use the -o flag or redirect"));
        }
        None => Box::new(std::io::stdout()),
    };
    session::told(output::show(printer, true), move |messages| {
        let mut to = std::io::BufWriter::with_capacity(256 * 1024, to);
        images.save(&args.names, &mut to, messages)
    })
    .await?;
    Ok(0)
}

pub(super) async fn load(args: LoadArgs, printer: &Printer) -> Ended {
    let images = session::images()?;
    let from = input(args.input.as_deref())?;
    let loaded = session::told(output::show(printer, args.quiet), move |messages| {
        images.load(from, messages)
    })
    .await?;
    loaded.iter().for_each(|name| printer.data(format_args!("Loaded image: {name}")));
    Ok(0)
}

pub(super) async fn import(args: ImportArgs, printer: &Printer) -> Ended {
    let images = session::images()?;
    let from = input(Some(&args.file))?;
    let id = session::told(output::show(printer, true), move |messages| {
        images.import(from, args.name.as_deref(), messages)
    })
    .await?;
    printer.data(id);
    Ok(0)
}

/// A file, or standard input for none and for `-`.
fn input(path: Option<&std::path::Path>) -> Result<Box<dyn Read + Send>, CliError> {
    match path.filter(|path| path.as_os_str() != "-") {
        Some(path) => {
            let file = fs_err::File::open(path);
            Ok(Box::new(file.map_err(|error| CliError::failure("open the archive", error))?))
        }
        None => Ok(Box::new(std::io::stdin())),
    }
}

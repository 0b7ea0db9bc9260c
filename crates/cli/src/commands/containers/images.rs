//! `berth containers images`: what a platform's registry has of an account.

use std::path::Path;

use image::{Catalog, Reference, RemoteRegistry, Silent};
use regex_automata::meta::Regex;
use regex_automata::util::syntax;
use serde::Serialize;

use crate::api::{Client, Target};
use crate::args::{PlatformImagesArgs, PlatformImagesCommand};
use crate::deploy::registry::PlatformRegistry;
use crate::error::{CliError, Kind};
use crate::human::{confirm, print_json, table};
use crate::printer::Printer;

pub(super) async fn run(args: &PlatformImagesArgs, printer: &Printer) -> Result<(), CliError> {
    let env = args.env.as_deref();
    match &args.command {
        PlatformImagesCommand::List { filter, json } => {
            let filter = filter.as_deref().map(pattern).transpose()?;
            list(env, filter.as_ref(), *json, printer).await
        }
        PlatformImagesCommand::Delete { image, force } => delete(env, image, *force, printer).await,
    }
}

/// A repository, as `wrangler containers images list --json` prints it.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Repository {
    name: String,
    tags: Vec<String>,
}

async fn list(
    env: Option<&str>,
    filter: Option<&Regex>,
    as_json: bool,
    printer: &Printer,
) -> Result<(), CliError> {
    let target = Target::find(Path::new("."), env)?;
    let client = Client::open(&target).await?;
    let registry = PlatformRegistry::open(&client, &target, &["pull"]).await?;
    let catalog = registry.ask("list the images", |remote| remote.catalog(&Silent)).await?;
    let all = repositories(catalog, client.account(), filter);
    if as_json {
        return print_json(&all, printer);
    }
    if all.is_empty() {
        printer.info("There are no images");
        return Ok(());
    }
    let rows = |one: &Repository| -> Vec<[String; 2]> {
        one.tags.iter().map(|tag| [one.name.clone(), tag.clone()]).collect()
    };
    let rows: Vec<_> = all.iter().flat_map(rows).collect();
    for line in table(["REPOSITORY", "TAG"], &rows) {
        printer.data(line);
    }
    Ok(())
}

async fn delete(
    env: Option<&str>,
    image: &str,
    force: bool,
    printer: &Printer,
) -> Result<(), CliError> {
    let name = tagged(image)?;
    if !force && !confirm(&format!("Delete {image} from the platform's registry?"), printer)? {
        printer.info("Nothing is deleted");
        return Ok(());
    }
    let target = Target::find(Path::new("."), env)?;
    let client = Client::open(&target).await?;
    let registry = PlatformRegistry::open(&client, &target, &["pull", "push"]).await?;
    let name = registry.own_name(&name)?;
    let delete = move |remote: &RemoteRegistry| {
        remote.delete_tag(name.repository(), name.version(), &Silent)
    };
    let digest = registry.ask(&format!("delete {image}"), delete).await?;
    match digest {
        Some(digest) => printer.success(format_args!("Deleted {image} ({digest})")),
        None => printer.success(format_args!("Deleted {image}")),
    }
    Ok(())
}

/// A name with a tag: nobody deletes `latest` by saying nothing.
fn tagged(image: &str) -> Result<Reference, CliError> {
    let last = image.rsplit('/').next().unwrap_or(image);
    if !last.contains(':') {
        let text = format!("{image} has no tag");
        return Err(CliError::new(Kind::Usage, text).hint("write IMAGE:TAG, such as app:1"));
    }
    let name = image.parse::<Reference>();
    name.map_err(|error| CliError::attempt(Kind::Usage, "read an image name", error))
}

/// Names in a registry are ASCII.
fn pattern(text: &str) -> Result<Regex, CliError> {
    let syntax = syntax::Config::new().unicode(false).utf8(false);
    Regex::builder().syntax(syntax).build(text).map_err(|error| {
        CliError::attempt(Kind::Usage, "read the regular expression of `--filter`", error)
    })
}

/// Repositories that have tags and match by their name, with the account before it or without.
fn repositories(catalog: Catalog, account: &str, filter: Option<&Regex>) -> Vec<Repository> {
    let own = format!("{account}/");
    let one = |(whole, mut tags): (String, Vec<String>)| {
        let name = whole.strip_prefix(&own).unwrap_or(&whole);
        // Tags that stand for what was attached to a manifest are no images.
        tags.retain(|tag| !tag.starts_with("sha256"));
        let wanted =
            filter.is_none_or(|filter| filter.is_match(whole.as_str()) || filter.is_match(name));
        let repository = Repository { name: name.to_owned(), tags };
        (wanted && !repository.tags.is_empty()).then_some(repository)
    };
    catalog.into_iter().filter_map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(filter: &str) -> Vec<String> {
        let owned = |tags: &str| tags.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let catalog = [("local/app", "1 sha256-x.sig"), ("local/web", "2")];
        let catalog = catalog.map(|(name, tags)| (name.to_owned(), owned(tags)));
        let filter = pattern(filter).unwrap();
        let all = repositories(Catalog::from(catalog), "local", Some(&filter));
        all.into_iter().map(|one| format!("{}:{}", one.name, one.tags.join(","))).collect()
    }

    #[test]
    fn a_filter_is_of_names_with_and_without_the_account() {
        assert_eq!(names(""), ["app:1", "web:2"]);
        assert_eq!(names("^app$"), ["app:1"]);
        assert_eq!(names("^local/w"), ["web:2"]);
        assert_eq!(names(r"^\w{4}$"), [""; 0]);
        let error = pattern("(").map(drop).unwrap_err();
        assert_eq!(error.kind, Kind::Usage, "{error}");
    }

    #[test]
    fn repositories_without_tags_are_not_listed() {
        let catalog = Catalog::from([("local/gone".to_owned(), Vec::new())]);
        assert_eq!(repositories(catalog, "local", None), []);
    }

    #[test]
    fn what_is_deleted_has_a_tag() {
        assert_eq!(tagged("owner/app:1").unwrap().version(), "1");
        for wrong in ["app", "localhost:5000/app", "app:", "A B:1"] {
            assert_eq!(tagged(wrong).unwrap_err().kind, Kind::Usage, "{wrong}");
        }
    }
}

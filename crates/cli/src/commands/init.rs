//! `berth init`: writes one of the examples as a new project.

use std::path::{Path, PathBuf};

use rust_embed::RustEmbed;

use crate::args::InitArgs;
use crate::error::{CliError, Kind};
use crate::printer::Printer;

/// The repository's `examples/`, as they are at build time; what a run leaves in them stays out.
#[derive(RustEmbed)]
#[folder = "../../examples/"]
#[exclude = "*/node_modules/*"]
#[exclude = "*/.berth/*"]
#[exclude = "*/.wrangler/*"]
#[exclude = "*/target/*"]
#[exclude = "*/.dev.vars"]
struct Examples;

pub(crate) fn run(args: &InitArgs, printer: &Printer) -> Result<(), CliError> {
    let templates = templates();
    if args.list {
        return list(&templates, args.json, printer);
    }
    if !templates.contains(&args.template) {
        let message = format!("there is no template `{}`", args.template);
        return Err(CliError::new(Kind::Usage, message)
            .hint(format!("the templates are: {}", templates.join(", "))));
    }
    let dir = args.dir.clone().unwrap_or_else(|| PathBuf::from(&args.template));
    require_empty(&dir)?;
    let files = write(&args.template, &dir)?;
    printer.success(format_args!("wrote {files} files to {}", dir.display()));
    printer.info(format_args!("\nNext: berth dev {}", dir.display()));
    Ok(())
}

/// Names of the templates, sorted.
fn templates() -> Vec<String> {
    let mut names: Vec<String> = Examples::iter()
        .filter_map(|path| path.split_once('/').map(|(name, _)| name.to_owned()))
        .collect();
    names.sort();
    names.dedup();
    names
}

fn list(templates: &[String], json: bool, printer: &Printer) -> Result<(), CliError> {
    if json {
        let json = serde_json::to_string(templates)
            .map_err(|error| CliError::failure("print the templates as JSON", error))?;
        printer.data(json);
    } else {
        templates.iter().for_each(|name| printer.data(name));
    }
    Ok(())
}

fn require_empty(dir: &Path) -> Result<(), CliError> {
    let occupied = match fs_err::read_dir(dir) {
        Ok(mut entries) => entries.next().is_some(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => false,
        Err(error) => return Err(CliError::failure("look into the new project's folder", error)),
    };
    if occupied {
        let message = format!("{} is not empty", dir.display());
        return Err(CliError::new(Kind::Usage, message).hint("name a new folder: `berth init DIR`"));
    }
    Ok(())
}

fn write(template: &str, dir: &Path) -> Result<usize, CliError> {
    let prefix = format!("{template}/");
    let mut written = 0;
    for path in Examples::iter() {
        let Some(relative) = path.strip_prefix(&prefix) else { continue };
        let file = Examples::get(&path).expect("iter() lists only what get() finds");
        let target = dir.join(relative);
        let folder = target.parent().unwrap_or(dir);
        fs_err::create_dir_all(folder)
            .and_then(|()| fs_err::write(&target, &file.data))
            .map_err(|error| CliError::failure("write the project", error))?;
        written += 1;
    }
    Ok(written)
}

//! `berth rollback`: an earlier version of a Worker serves again.

use serde_json::Value;

use super::versions::{deploy, deployments_of};
use super::worker::Worker;
use crate::args::RollbackArgs;
use crate::error::{CliError, Kind};
use crate::human::confirm;
use crate::printer::Printer;

pub(crate) async fn run(args: &RollbackArgs, printer: &Printer) -> Result<(), CliError> {
    let worker = Worker::find(&args.place, printer).await?;
    let version = match &args.version {
        Some(version) => version.clone(),
        None => previous(&deployments_of(&worker).await?).ok_or_else(|| {
            let text = format!("no other version of \"{}\" has served", worker.name);
            CliError::new(Kind::Failure, text).hint("`berth versions list` shows what there is")
        })?,
    };
    let question = format!(
        "Let version {version} of the Worker \"{}\" serve? Its containers stay as they are, unless they \
         switch together with its code.",
        worker.name
    );
    if !args.force && !confirm(&question, printer)? {
        printer.info("Nothing has changed");
        return Ok(());
    }
    let shares = [(version.clone(), 100.0)];
    deploy(&worker, &shares, args.message.as_deref(), "roll back").await?;
    printer.success(format_args!("Version {version} of {} serves", worker.name));
    Ok(())
}

/// The version that served before the one that serves, of deployments the newest first. Pure.
fn previous(deployments: &[Value]) -> Option<String> {
    let mut versions = deployments.iter().map(|one| one["versions"][0]["version_id"].as_str());
    let current = versions.next()?;
    versions.find(|version| *version != current)?.map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_version_before_is_another_one() {
        let of = |ids: &[&str]| {
            let one = |id: &&str| json!({"versions": [{"version_id": id, "percentage": 100}]});
            previous(&ids.iter().map(one).collect::<Vec<_>>())
        };
        assert_eq!(of(&["c", "c", "b", "a"]).as_deref(), Some("b"));
        assert_eq!(of(&["a", "a"]), None);
        assert_eq!(of(&[]), None);
    }
}

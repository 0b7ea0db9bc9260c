//! `berth images tag`.

use serde_json::json;

use super::{Context, store_failed};
use crate::args::TagArgs;
use crate::error::{CliError, Kind};
use crate::human::print_json;

pub(super) fn run(args: &TagArgs, context: &Context) -> Result<(), CliError> {
    if args.name.digest().is_some() {
        let text = format!("{} has a digest, and a name to give has none", args.name);
        return Err(CliError::new(Kind::Usage, text).hint("give it a tag: NAME:TAG"));
    }
    let (image, _) = context.find(&args.image)?;
    let tagged = context.store.tag(&args.name, &image.digest);
    tagged.map_err(|error| store_failed("tag the image", error))?;
    if args.json {
        let value = json!({ "name": args.name.familiar(), "id": image.id, "digest": image.digest });
        return print_json(&value, &context.printer);
    }
    Ok(())
}

//! `berth images inspect`.

use super::{Context, store_failed};
use crate::args::InspectArgs;
use crate::error::CliError;
use crate::human::print_json;

pub(super) fn run(args: &InspectArgs, context: &Context) -> Result<(), CliError> {
    let mut shown = Vec::new();
    let mut missing = None;
    for text in &args.images {
        match context.find(text) {
            Ok((image, _)) => {
                let value = context.store.inspect(&image);
                shown.push(value.map_err(|error| store_failed("read the image", error))?);
            }
            Err(error) => missing = Some(error),
        }
    }
    // Those that are here are shown all the same.
    print_json(&shown, &context.printer)?;
    missing.map_or(Ok(()), Err)
}

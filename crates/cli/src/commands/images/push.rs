//! `berth images push`.

use image::PushOptions;
use serde_json::json;

use super::{Context, failed};
use crate::args::PushArgs;
use crate::error::CliError;
use crate::human::print_json;

pub(super) fn run(args: &PushArgs, context: &Context) -> Result<(), CliError> {
    let options = PushOptions {
        insecure: args.insecure.iter().cloned().collect(),
        chunk: args.chunk_size,
        compress: !args.preserve_digest,
        ..PushOptions::default()
    };
    let progress = context.progress(&args.name.familiar());
    let digest = context.store.push(&args.name, &options, &progress).map_err(|error| {
        let (hint, cancelled) = (error.hint(), error.is_cancelled());
        failed("push an image", error, hint, cancelled)
    })?;
    if args.json {
        return print_json(&json!({ "name": args.name, "digest": digest }), &context.printer);
    }
    context.printer.data(format_args!("{}: digest: {digest}", args.name.familiar()));
    Ok(())
}

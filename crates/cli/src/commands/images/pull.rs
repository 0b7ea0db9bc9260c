//! `berth images pull`.

use image::{Image, PullError, PullOptions, Reference};

use super::ls::as_json;
use super::{Context, failed};
use crate::args::PullArgs;
use crate::error::CliError;
use crate::human::print_json;

pub(super) fn run(args: &PullArgs, context: &Context) -> Result<(), CliError> {
    let options = PullOptions {
        mirrors: args.mirrors.by_host(),
        insecure: args.insecure.iter().cloned().collect(),
        ..PullOptions::default()
    };
    let mut pulled = Vec::new();
    for name in &args.names {
        pull(name, &options, context)?;
        if args.json {
            pulled.push(as_json(&context.find(&name.to_string())?.0));
        } else {
            context.printer.data(name);
        }
    }
    if args.json { print_json(&pulled, &context.printer) } else { Ok(()) }
}

fn pull(name: &Reference, options: &PullOptions, context: &Context) -> Result<Image, CliError> {
    let progress = context.progress(&name.familiar());
    context.store.pull(name, options, &progress).map_err(|error: PullError| {
        let (hint, cancelled) = (error.hint(), error.is_cancelled());
        failed("pull an image", error, hint, cancelled)
    })
}

//! `manifest inspect`: what a registry has under a name.

use super::args::ManifestArgs;
use super::{Ended, session};
use crate::printer::Printer;

pub(super) async fn inspect(args: ManifestArgs, printer: &Printer) -> Ended {
    let images = session::images()?;
    let (name, verbose) = (args.name, args.verbose);
    let shown =
        session::told(|_| {}, move |messages| images.remote_manifest(&name, verbose, messages))
            .await?;
    printer.data(shown);
    Ok(0)
}

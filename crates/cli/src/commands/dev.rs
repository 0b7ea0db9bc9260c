//! `berth dev`: starts a project's session and follows it until somebody stops it.

use tokio_util::sync::CancellationToken;

use crate::args::DevArgs;
use crate::dev::keys::{Key, Keys};
use crate::dev::session::Session;
use crate::dev::signals;
use crate::dev::watch::Watch;
use crate::error::CliError;
use crate::printer::{Printer, style, styled};

pub(crate) async fn run(args: DevArgs, printer: &Printer) -> Result<(), CliError> {
    let stop = signals::stop_token()?;
    let (mut session, mut watch) = Session::start(args, printer, &stop).await?;
    printer.data(format_args!(
        "{} {}",
        styled(style::SUCCESS, "Ready on"),
        styled(style::SUCCESS, session.url())
    ));
    printer.info("Press r to rebuild the images, q to stop");
    follow(&mut session, &mut watch, printer, &stop).await;
    printer.info("Stopping");
    session.close().await;
    Ok(())
}

/// Takes up keys and changes until it is time to stop.
async fn follow(
    session: &mut Session,
    watch: &mut Watch,
    printer: &Printer,
    stop: &CancellationToken,
) {
    let mut keys = Keys::read();
    loop {
        let done = tokio::select! {
            () = stop.cancelled() => return,
            key = keys.next() => match key {
                Key::Quit => return,
                Key::Rebuild => session.rebuild(stop).await,
            },
            changed = watch.changed() => session.reload(&changed, watch).await,
        };
        // What runs goes on: the next save or key may mend it.
        if let Err(error) = done {
            printer.error(&error);
        }
    }
}

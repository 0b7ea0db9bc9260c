//! `berth`: parses the command line, sets up output and runs one command.

mod api;
mod args;
mod backup;
mod commands;
mod deploy;
mod dev;
mod docker;
mod engines;
mod error;
mod human;
mod ingress;
mod paths;
mod printer;
mod sandboxes;
mod secrets;
mod serve;

use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _};
use runtime::ordinary_user::Ids;

use crate::args::{Args, Command, ContainersCommand, VersionsCommand};
use crate::printer::Printer;

fn main() -> ExitCode {
    let given = Args::command().get_matches_from(docker::name::command_line());
    let args = Args::from_arg_matches(&given).unwrap_or_else(|error| error.exit());
    let printer = Printer::new(args.quiet);
    start_diagnostics(&printer);
    if needs_root(&args.command) {
        become_root(&printer);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            printer.error(&error::CliError::failure("start the async runtime", error));
            return ExitCode::FAILURE;
        }
    };
    let result = runtime.block_on(async {
        match args.command {
            Command::Dev(args) => Box::pin(commands::dev::run(args, &printer)).await.map(|()| 0),
            Command::Deploy(args) => commands::deploy::run(*args, &printer).await.map(|()| 0),
            Command::Delete(args) => commands::delete::run(&args, &printer).await.map(|()| 0),
            Command::Secret(args) => commands::secret::run(&args, &printer).await.map(|()| 0),
            Command::SecretsStore(args) => {
                commands::secrets_store::run(&args, &printer).await.map(|()| 0)
            }
            Command::Versions(args) => commands::versions::run(&args, &printer).await.map(|()| 0),
            Command::Deployments(args) => {
                commands::versions::deployments(&args, &printer).await.map(|()| 0)
            }
            Command::Rollback(args) => commands::rollback::run(&args, &printer).await.map(|()| 0),
            Command::Tail(args) => commands::tail::run(&args, &printer).await.map(|()| 0),
            Command::Login(args) => commands::login::run(&args, &printer).await.map(|()| 0),
            Command::Whoami(args) => commands::whoami::run(&args, &printer).await.map(|()| 0),
            Command::Env(args) => commands::env::run(&args, &printer).map(|()| 0),
            Command::Serve(args) => {
                let given = given.subcommand().map(|(_, given)| given.clone()).unwrap_or_default();
                Box::pin(commands::serve::run(*args, &given, &printer)).await.map(|()| 0)
            }
            Command::Token(args) => commands::token::run(&args, &printer).map(|()| 0),
            Command::Backup(args) => commands::backup::run(&args, &printer).map(|()| 0),
            Command::Restore(args) => commands::backup::restore(&args, &printer).map(|()| 0),
            Command::RotateKey(args) => commands::rotate_key::run(&args, &printer).map(|()| 0),
            Command::Build(args) => commands::build::run(*args, &printer).await.map(|()| 0),
            Command::Doctor(args) => commands::doctor::run(&args, &printer).await.map(|()| 0),
            Command::Init(args) => commands::init::run(&args, &printer).map(|()| 0),
            Command::Images(command) => commands::images::run(command, &printer).await.map(|()| 0),
            Command::Registry(args) => {
                commands::registry::run(args.command, &printer).await.map(|()| 0)
            }
            Command::Containers(args) => commands::containers::run(args.command, &printer).await,
            Command::Completions { shell } => {
                commands::completions::run(shell, &printer);
                Ok(0)
            }
            Command::Man { dir } => commands::completions::man(&dir).map(|()| 0),
            Command::Docker(args) => docker::run(args, &printer).await,
        }
    });
    // Whatever a blocking task still waits for (a key press, say) must not hold the process.
    runtime.shutdown_background();
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            printer.error(&error);
            error.exit_code()
        }
    }
}

/// Whether a command makes sandboxes or unpacks images.
fn needs_root(command: &Command) -> bool {
    use docker::args::DockerCommand;
    match command {
        Command::Dev(_) | Command::Deploy(_) | Command::Build(_) | Command::Images(_) => true,
        Command::Versions(args) => matches!(args.command, VersionsCommand::Upload(_)),
        Command::Containers(args) => matches!(
            args.command,
            ContainersCommand::Build(_) | ContainersCommand::Push(_) | ContainersCommand::Apply(_)
        ),
        // A question is asked by whoever asks it.
        Command::Serve(serve) => !(serve.check || serve.print_config),
        Command::Docker(docker) => !matches!(
            docker.command,
            DockerCommand::Login(_) | DockerCommand::Logout(_) | DockerCommand::Context(_)
        ),
        _ => false,
    }
}

/// An ordinary user becomes root of a user namespace, while there is one thread. Where that is not
/// allowed, what needs it says so later: a Worker alone does not.
fn become_root(printer: &Printer) {
    if rustix::process::geteuid().is_root() {
        return;
    }
    match runtime::ordinary_user::become_root() {
        Ok(Ids::Subordinate) => {}
        Ok(Ids::RootAlone { reason }) => {
            printer.warning(format_args!("images' users other than root cannot be had: {reason}"))
        }
        Err(error) => tracing::debug!("{error}"),
    }
}

/// `BERTH_LOG=agent=debug` shows what the rooms trace, spans with the time they took when they close;
/// nothing is shown otherwise.
fn start_diagnostics(printer: &Printer) {
    use tracing_subscriber::fmt::format::FmtSpan;
    let Ok(filter) = tracing_subscriber::EnvFilter::try_from_env("BERTH_LOG") else { return };
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(printer.diagnostics())
        .with_ansi(false)
        .with_span_events(FmtSpan::CLOSE)
        .init();
}

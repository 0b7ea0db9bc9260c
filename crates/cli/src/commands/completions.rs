//! `berth completions` and `berth man`: the command line as shells complete it and as manuals have it.

use std::path::Path;

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::args::Args;
use crate::error::CliError;
use crate::printer::Printer;

/// Prints a script that a shell is to read.
pub(crate) fn run(shell: Shell, printer: &Printer) {
    printer.data(script(shell).trim_end());
}

fn script(shell: Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "berth", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// Writes a page for each command.
pub(crate) fn man(dir: &Path) -> Result<(), CliError> {
    fs_err::create_dir_all(dir)
        .and_then(|()| clap_mangen::generate_to(Args::command(), dir))
        .map_err(|error| CliError::failure("write the manual's pages", error))
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;

    #[test]
    fn every_command_is_completed_and_has_a_page() {
        let folder = tempfile::tempdir().unwrap();
        man(folder.path()).unwrap();
        let commands: Vec<String> = Args::command()
            .get_subcommands()
            .filter(|command| !command.is_hide_set())
            .map(|command| command.get_name().to_owned())
            .collect();
        assert!(commands.contains(&"containers".to_owned()) && commands.len() > 20);
        for command in &commands {
            let page = fs_err::read_to_string(folder.path().join(format!("berth-{command}.1")));
            assert!(page.unwrap().contains(".TH"), "{command}");
        }
        for shell in Shell::value_variants() {
            let script = script(*shell);
            for command in &commands {
                assert!(script.contains(command), "{shell}: {command}");
            }
        }
    }
}

//! Options of the commands about a platform and who asks it.

use std::path::PathBuf;

use clap::Parser;

use super::deploy::ProjectPlace;

#[derive(Debug, Parser)]
pub(crate) struct LoginArgs {
    /// The platform's address, such as `https://berth.example.com:8443`. The token is asked for, or
    /// read from standard input.
    pub(crate) url: String,
    /// Host of its registry [default: that of the address].
    #[arg(long, value_name = "HOST[:PORT]")]
    pub(crate) registry: Option<String>,
}

#[derive(Debug, Parser)]
pub(crate) struct WhoamiArgs {
    /// Print it as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Parser)]
pub(crate) struct EnvArgs {
    /// Make a token of this name, for deploying, at the platform of this machine.
    #[arg(long, value_name = "NAME")]
    pub(crate) token: Option<String>,
    /// That platform's data directory [default: `BERTH_HOME`, or /var/lib/berth].
    #[arg(long, value_name = "DIR", requires = "token")]
    pub(crate) data: Option<PathBuf>,
}

#[derive(Debug, Parser)]
pub(crate) struct DeleteArgs {
    #[command(flatten)]
    pub(crate) place: ProjectPlace,
    /// The Worker's name [default: the project's].
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Ask nothing, and delete a Worker that others bind, too.
    #[arg(long)]
    pub(crate) force: bool,
}

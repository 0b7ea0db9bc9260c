//! Options of `berth containers registries`.

use clap::{Parser, Subcommand};

use super::registry::CredentialTerms;

#[derive(Debug, Parser)]
pub(crate) struct RegistriesArgs {
    /// Environment whose `.env` file names the platform.
    #[arg(short, long, env = "CLOUDFLARE_ENV", global = true)]
    pub(crate) env: Option<String>,
    #[command(subcommand)]
    pub(crate) command: RegistriesCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RegistriesCommand {
    /// Let the platform pull from a registry of others with a name and a password, which is asked
    /// for, or read from standard input.
    Configure(ConfigureRegistryArgs),
    /// List the registries of others that were configured.
    #[command(visible_alias = "ls")]
    List {
        /// Print them as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Forget a registry of others; a secret that it used stays in its store.
    Delete {
        /// Its host, such as `docker.io`.
        domain: String,
        /// Ask nothing.
        #[arg(short = 'y', long, alias = "skip-confirmation")]
        force: bool,
    },
    /// Print a password for the platform's own registry that lasts some minutes; its user is `v1`.
    Credentials(RegistryCredentialsArgs),
}

#[derive(Debug, Parser)]
pub(crate) struct ConfigureRegistryArgs {
    /// The registry's host as it stands in names of images, such as `docker.io` or `ghcr.io`.
    pub(crate) domain: String,
    /// The user's name there, or the address of a service account.
    #[arg(
        long,
        value_name = "NAME",
        visible_aliases = ["dockerhub-username", "gar-email"],
        aliases = ["public-credential", "aws-access-key-id"]
    )]
    pub(crate) username: String,
    /// The id or the name of the store that keeps the password [default: the only one; the first is
    /// made].
    #[arg(long, value_name = "STORE")]
    pub(crate) secret_store_id: Option<String>,
    /// The secret's name in the store; one that is there is used, and no password asked for
    /// [default: made of the host].
    #[arg(long, value_name = "NAME")]
    pub(crate) secret_name: Option<String>,
    /// Keep the password with the registry, encrypted, and not in a store.
    #[arg(long, conflicts_with_all = ["secret_store_id", "secret_name"])]
    pub(crate) disable_secrets_store: bool,
    /// Ask nothing but the password.
    #[arg(short = 'y', long, alias = "skip-confirmation")]
    pub(crate) force: bool,
}

#[derive(Debug, Parser)]
pub(crate) struct RegistryCredentialsArgs {
    /// The registry's host [default: as `CLOUDFLARE_CONTAINER_REGISTRY` or the login has it].
    pub(crate) domain: Option<String>,
    /// It may pull.
    #[arg(long, required_unless_present = "push")]
    pub(crate) pull: bool,
    #[command(flatten)]
    pub(crate) terms: CredentialTerms,
    /// Print account, host, user name and password as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<RegistriesCommand, clap::Error> {
        let args = RegistriesArgs::try_parse_from(["registries"].iter().chain(words))?;
        Ok(args.command)
    }

    #[test]
    fn wranglers_command_lines_are_taken() {
        let words = ["configure", "docker.io", "--dockerhub-username=me", "--secret-name=HUB"];
        let RegistriesCommand::Configure(args) = parse(&words).unwrap() else {
            panic!("it configures")
        };
        assert_eq!((args.username.as_str(), args.secret_name.as_deref()), ("me", Some("HUB")));
        for right in [
            &["delete", "docker.io", "--skip-confirmation"][..],
            &["credentials", "h:1", "--push", "--pull", "--expiration-minutes", "5", "--json"],
            &["credentials", "--push"],
            &["list", "--json"],
        ] {
            assert!(parse(right).is_ok(), "{right:?}");
        }
        for wrong in [
            &["credentials", "h:1"][..],
            &["configure", "ghcr.io"],
            &["configure", "h", "--username=u", "--disable-secrets-store", "--secret-name=N"],
        ] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }
}

//! Options of `berth secrets-store`.

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
pub(crate) struct SecretsStoreArgs {
    /// Environment whose `.env` file names the platform.
    #[arg(short, long, env = "CLOUDFLARE_ENV", global = true)]
    pub(crate) env: Option<String>,
    /// As wrangler wants it: a platform's store is always meant here.
    #[arg(long, global = true, hide = true)]
    pub(crate) remote: bool,
    #[command(subcommand)]
    pub(crate) command: SecretsStoreCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SecretsStoreCommand {
    /// Stores of secrets.
    #[command(subcommand)]
    Store(StoreCommand),
    /// Secrets in a store.
    #[command(subcommand)]
    Secret(StoredSecretCommand),
}

#[derive(Debug, Subcommand)]
pub(crate) enum StoreCommand {
    /// Make a store, and print its id.
    Create {
        /// Its name.
        name: String,
    },
    /// List the stores.
    #[command(visible_alias = "ls")]
    List {
        /// Print them as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Delete a store that has no secrets.
    Delete {
        /// Its id or its name.
        store: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum StoredSecretCommand {
    /// Make a secret, and print its id: its value is asked for, or read from standard input.
    Create(CreateSecretArgs),
    /// List the secrets of a store, without their values.
    #[command(visible_alias = "ls")]
    List {
        /// The store's id or its name.
        store: String,
        /// Print them as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Say what a secret is for; nobody is shown its value.
    Get {
        #[command(flatten)]
        which: WhichSecret,
        /// Print it as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Change a secret.
    Update(UpdateSecretArgs),
    /// Delete a secret.
    Delete {
        #[command(flatten)]
        which: WhichSecret,
        /// Ask nothing.
        #[arg(short = 'y', long)]
        force: bool,
    },
    /// Make another secret of the same value, and print its id.
    Duplicate(DuplicateSecretArgs),
}

/// Which secret is meant.
#[derive(Debug, Parser)]
pub(crate) struct WhichSecret {
    /// The store's id or its name.
    pub(crate) store: String,
    /// The secret's id or its name.
    #[arg(long = "secret-id", value_name = "ID")]
    pub(crate) secret: String,
}

/// What a secret is made with, beside its value.
#[derive(Debug, Parser)]
pub(crate) struct NewSecret {
    /// The new secret's name.
    #[arg(long)]
    pub(crate) name: String,
    /// What may use it, separated by commas: `workers` bind it, `containers` pull images with it.
    #[arg(long, required = true, value_name = "SCOPE", value_delimiter = ',', value_parser = SCOPES)]
    pub(crate) scopes: Vec<String>,
    /// What to say about it.
    #[arg(long, value_name = "TEXT")]
    pub(crate) comment: Option<String>,
}

/// Cloudflare's scopes, of which the first two mean something here.
const SCOPES: [&str; 4] = ["workers", "containers", "ai_gateway", "access"];

#[derive(Debug, Parser)]
pub(crate) struct CreateSecretArgs {
    /// The store's id or its name.
    pub(crate) store: String,
    #[command(flatten)]
    pub(crate) secret: NewSecret,
    /// Wrangler's option, which is refused.
    #[arg(long, hide = true)]
    pub(crate) value: Option<String>,
}

#[derive(Debug, Parser)]
pub(crate) struct UpdateSecretArgs {
    #[command(flatten)]
    pub(crate) which: WhichSecret,
    /// Ask for a new value, or read it from standard input, as where nothing else changes.
    #[arg(long)]
    pub(crate) new_value: bool,
    /// What may use it from now on, separated by commas.
    #[arg(long, value_name = "SCOPE", value_delimiter = ',', value_parser = SCOPES)]
    pub(crate) scopes: Vec<String>,
    /// What to say about it from now on.
    #[arg(long, value_name = "TEXT")]
    pub(crate) comment: Option<String>,
    /// Wrangler's option, which is refused.
    #[arg(long, hide = true)]
    pub(crate) value: Option<String>,
}

#[derive(Debug, Parser)]
pub(crate) struct DuplicateSecretArgs {
    #[command(flatten)]
    pub(crate) which: WhichSecret,
    #[command(flatten)]
    pub(crate) copy: NewSecret,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<SecretsStoreArgs, clap::Error> {
        SecretsStoreArgs::try_parse_from(["secrets-store"].iter().chain(words))
    }

    #[test]
    fn wranglers_command_lines_are_taken() {
        let words =
            ["secret", "create", "s", "--name", "A", "--scopes", "workers,containers", "--remote"];
        let SecretsStoreCommand::Secret(StoredSecretCommand::Create(args)) =
            parse(&words).unwrap().command
        else {
            panic!("it makes a secret")
        };
        assert_eq!(args.secret.scopes, ["workers", "containers"]);
        assert!(parse(&["store", "list", "--remote"]).is_ok());
        for wrong in [
            &["secret", "create", "s", "--name", "A"][..],
            &["secret", "create", "s", "--name", "A", "--scopes", "everybody"],
            &["secret", "get", "s"],
        ] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }
}

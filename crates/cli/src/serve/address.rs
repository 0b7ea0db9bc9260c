//! Where a platform is reached, as it wrote it down at its last start: for commands on its machine.

use std::io;

use fs_err as fs;
use project::config::Secret;
use serde::{Deserialize, Serialize};

use super::Folders;
use crate::api::Target;
use crate::error::{CliError, Kind};

/// Everything that a client needs but a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Address {
    pub(crate) url: String,
    pub(crate) account: String,
    pub(crate) registry: String,
}

impl Address {
    /// The address of the last `berth serve` on this data; `None` if there was none.
    pub(crate) fn read(folders: &Folders) -> Result<Option<Self>, CliError> {
        let text = match fs::read(&folders.address) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(CliError::failure("read the platform's address", error)),
        };
        serde_json::from_slice(&text).map(Some).map_err(|error| {
            CliError::attempt(Kind::Failure, "read the platform's address", error)
                .hint("`berth serve` writes it anew when it starts")
        })
    }

    pub(crate) fn write(&self, folders: &Folders) -> Result<(), CliError> {
        let failed = |error| CliError::failure("write down the platform's address", error);
        let text = serde_json::to_vec(self).map_err(io::Error::from).map_err(failed)?;
        fs::write(&folders.address, text).map_err(failed)
    }

    /// What a client needs.
    pub(crate) fn with_token(self, token: Secret) -> Target {
        let Self { url, account, registry } = self;
        Target { url, token, account: Some(account), registry }
    }
}

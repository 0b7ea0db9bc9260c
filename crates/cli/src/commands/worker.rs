//! Which Worker a command means, and the platform that has it.

use std::path::PathBuf;

use ::project::config::Purpose;

use crate::api::{Client, Target};
use crate::args::WorkerPlace;
use crate::dev::project::load;
use crate::error::CliError;
use crate::printer::Printer;

/// A Worker at a platform.
pub(super) struct Worker {
    pub(super) client: Client,
    pub(super) name: String,
}

impl Worker {
    /// The one that is named, or else the project's.
    pub(super) async fn find(place: &WorkerPlace, printer: &Printer) -> Result<Self, CliError> {
        let path = place.config.clone().unwrap_or_else(|| PathBuf::from("."));
        let (name, target) = match &place.name {
            Some(name) => (name.clone(), Target::find(".".as_ref(), place.env.as_deref())?),
            None => {
                let config = load(Purpose::Deploy, &path, place.env.as_deref(), printer)?;
                let target = Target::find(&config.root, config.environment.as_deref())?;
                (config.name, target)
            }
        };
        Ok(Self { client: Client::open(&target).await?, name })
    }

    /// The path of something that belongs to the Worker.
    pub(super) fn path(&self, below: &str) -> String {
        self.client.path(&format!("/workers/scripts/{}{below}", self.name))
    }
}

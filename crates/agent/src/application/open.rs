//! Applications that nobody has configured: they are known by their containers' names alone.

use std::collections::BTreeMap;
use std::time::Duration;

use model::{Application, ApplicationImages, ImageSource, InstanceType};

use super::ApplicationRuntime;

/// What an application is like that is known by its containers' names alone.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OpenApplications {
    /// What each of its instances may use.
    pub(crate) instance_type: InstanceType,
    /// Time between SIGTERM and SIGKILL.
    pub(crate) stop_grace: Duration,
}

impl OpenApplications {
    /// The application of this key.
    pub(super) fn application(self, key: &str) -> ApplicationRuntime {
        ApplicationRuntime {
            application: Application {
                name: key.to_owned(),
                class_name: key.to_owned(),
                images: ApplicationImages::One(ImageSource::Reference(String::new())),
                instance_type: self.instance_type,
                max_instances: u32::MAX,
                stop_grace: self.stop_grace,
            },
            id: key.to_owned(),
            unique_key: key.to_owned(),
            image_name: None,
            image: None,
            choices: BTreeMap::new(),
            version: 0,
            staged: None,
        }
    }
}

//! An application: one entry of `containers[]`, resolved.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::InstanceType;

/// Where an application's image comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ImageSource {
    /// Built from a Dockerfile.
    Dockerfile {
        /// The Dockerfile itself.
        path: PathBuf,
        /// The build context, by default the Dockerfile's folder.
        context: PathBuf,
        /// `image_vars`: build arguments.
        build_args: BTreeMap<String, String>,
    },
    /// Pulled from a registry.
    Reference(String),
}

/// Which images an application's containers have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ApplicationImages {
    /// All the same one (`image`).
    One(ImageSource),
    /// Each the one that its Durable Object chooses at its start, from `ctx.container.images`: by
    /// name (`images`, with `scheduling_policy: "durable_object"`).
    Named(BTreeMap<String, ImageSource>),
}

/// One entry of `containers[]` with every default filled in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Application {
    /// Name, by default `<worker>-<class>` in lower case.
    pub name: String,
    /// The Durable Object class that owns the instances.
    pub class_name: String,
    /// Where the images come from.
    pub images: ApplicationImages,
    /// What each instance may use.
    pub instance_type: InstanceType,
    /// How many instances may run at once.
    pub max_instances: u32,
    /// Time between SIGTERM and SIGKILL at a stop.
    pub stop_grace: Duration,
}

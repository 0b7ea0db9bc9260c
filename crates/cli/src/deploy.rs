//! What `berth deploy` and `berth versions upload` are made of; their files in `commands` put it together.

pub(crate) mod applications;
pub(crate) mod assets;
pub(crate) mod assets_folder;
pub(crate) mod choices;
pub(crate) mod differences;
pub(crate) mod images;
pub(crate) mod metadata;
pub(crate) mod migrations;
pub(crate) mod project;
pub(crate) mod registry;
pub(crate) mod script;
pub(crate) mod triggers;
pub(crate) mod version;

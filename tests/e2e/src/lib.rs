//! Fixtures of the end-to-end tests: they start the real `berth` on a copy of a project and see
//! what a user sees: HTTP, WebSockets, lines on the terminal, files and processes.
//!
//! Nothing here imports one of Berth's rooms, and nothing sleeps: everything waits for a state,
//! with a deadline. A fixture that cannot do its work panics, for a test has nothing to recover.

pub mod base_images;
mod berth;
mod cache;
mod certificate;
mod client;
mod deployment;
mod dev;
mod engine;
mod hello;
mod internet;
mod leftovers;
mod lines;
mod numbered;
mod packages;
mod platform;
mod process;
mod project;
mod registry;
mod registry_server;
mod syncs;
mod template;
mod terminal;
pub mod user;
mod wait;
mod wall_clock;
mod wrangler;

pub use berth::{Berth, Outcome};
pub use cache::{berth_binary, berth_home, cache_dir, entry as cache_entry};
pub use certificate::Certificate;
pub use client::{Client, Reply, WebSocket};
pub use deployment::Deployment;
pub use dev::Dev;
pub use engine::{Background, Engine, Tool, berth_docker_binary};
pub use hello::Hello;
pub use internet::Internet;
pub use leftovers::{Footprint, readable_files_with};
pub use numbered::Numbered;
pub use platform::Platform;
pub use process::{Process, processes};
pub use project::{Project, SmallDisk};
pub use registry::Registry;
pub use registry_server::{Data, RegistryServer};
pub use syncs::SlowWrites;
pub use wait::{PATIENCE, eventually, until};
pub use wall_clock::WallClock;
pub use wrangler::{NEWEST, ON_NODE_20, Wrangler, WranglerDev};

/// What the examples' servers say after these words is the ID of their instance.
const INSTANCE_ID: &str = "my instance ID is: ";

/// The instance that answered: the last word of what `hello` and `stateless` say.
///
/// # Panics
/// The answer is not theirs.
#[must_use]
pub fn instance_id(reply: &Reply) -> String {
    assert_eq!(reply.status, 200, "no instance answered: {reply}");
    let text = reply.text();
    let id = text.rsplit_once(INSTANCE_ID).or_else(|| text.rsplit_once("served by "));
    let (_, id) = id.unwrap_or_else(|| panic!("no instance ID in: {reply}"));
    id.trim().to_owned()
}

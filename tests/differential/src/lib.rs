//! The differential test's parts: Dockerfiles are built by Berth and by Debian's buildah in the same
//! run, and both images are compared, file by file and field by field.
//!
//! A difference fails the test unless the case lists it with its reason, and a listed difference that
//! is not seen fails it too.

mod bases;
mod berth;
mod buildah;
mod case;
mod compare;
mod image;
mod run;
mod server;
mod tree;

pub use bases::Bases;
pub use buildah::Buildah;
pub use case::{Case, Expect, Listed, corpus};
pub use compare::{Difference, compare, compare_steps, contradictions};
pub use image::Image;
pub use run::check;
pub use tree::{Content, Inode, Kind, Tree};

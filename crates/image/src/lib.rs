//! Images: references, content by digest, unpacked layers, pulls from registries, Dockerfile builds.
//!
//! Everything here blocks and may be called from many threads and processes at once over one
//! directory; async callers use a blocking thread. It runs nothing itself: commands of `RUN` go
//! through [`RunStep`], and mounting an image for an instance is the runtime's.
//!
//! ```text
//! <dir>/content/sha256/<hex>     blobs: manifests, configs, layers as transferred
//! <dir>/snapshots/sha256/<hex>/  unpacked layers, by digest of the uncompressed archive
//! <dir>/sizes/<hex>              bytes that an unpacked layer's files have
//! <dir>/unsynced/<hex>           marks unpacked layers that may not be on disk yet
//! <dir>/images/<hex>.json        names: reference → manifest digest
//! <dir>/cache/                   build cache: key → layer
//! <dir>/ingest/<hex>             blobs that are coming in, over several runs if need be
//! <dir>/repositories/            what the registry keeps of each repository
//! <dir>/uploads/                 uploads to the registry
//! <dir>/mounts/                  directories of `RUN --mount=type=cache`
//! <dir>/tmp/, <dir>/locks/       work in progress
//! ```
#![forbid(unsafe_code)]

mod archive;
mod build;
mod cache;
mod cache_mounts;
mod cache_prune;
mod content;
mod copy_tree;
mod digest;
mod distribution;
mod document;
mod error;
pub mod fuzz;
mod gc;
mod graft;
mod ids;
mod image;
mod ingest;
mod layer;
mod layout;
mod leases;
mod list;
mod live;
mod options;
mod overlay;
mod overlay_notes;
mod progress;
mod pull;
mod push;
mod records;
mod reference;
mod repositories;
mod root;
mod run_step;
mod snapshot;
mod snapshots;
mod sparse;
mod store;
mod unpack;
mod unsynced;
mod upload;
mod usage;
mod view;
mod workers;

pub use archive::{ArchiveFormat, Exported, ImportOptions, Imported, RootFileSystem};
pub use cache_prune::PrunedCache;
pub use digest::{Digest, DigestError};
pub use distribution::{
    Catalog, LoginError, RegistryError, RemoteRegistry, agent_for, log_in, trusted_certificates,
};
pub use error::{
    ArchiveError, Attempt, BuildError, PullError, PushError, StepError, StepProblem, StoreError,
    UnpackError,
};
pub use gc::{PruneRequest, Pruned};
pub use graft::{graft, inject};
pub use ids::Ids;
pub use image::{ExposedPort, ExposedPortError, Image, ImageConfig, Protocol};
pub use list::{Found, HistoryStep, ImageSummary};
pub use live::{Archived, LiveTree, PathStat};
pub use options::{
    BuildRequest, CacheExport, Credentials, NamedContext, Platform, PullOptions, PushOptions,
    SecretSource, UnpackLimits,
};
pub use progress::{Outcome, Progress, Silent, Stream, Task, TaskId, TaskKind};
pub use reference::{DOCKER_HUB, Reference, ReferenceError};
pub use repositories::{
    Blob, Collected, ContentDigest, ContentDigestError, ManifestError, NameError, PutManifest,
    Repositories, RepositoryError, RepositoryManifest, RepositoryName, Tag, UploadSession, Version,
};
pub use run_step::{RunMount, RunNetwork, RunRequest, RunStep, RunStepError};
pub use snapshots::{Captured, Origin, Snapshot, SnapshotKind, Snapshots};
pub use store::{ImageRecord, ImageStore, KeptContent};
pub use upload::Upload;
pub use usage::{Usage, UsageRow};

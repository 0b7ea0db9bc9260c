//! The image store against a registry, real overlay mounts and real commands. Needs root.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod archives;
mod build_add;
mod build_cache;
mod build_checks;
mod build_config;
mod build_copy;
mod build_mounts;
mod build_onbuild;
mod build_run;
mod build_stages;
mod crash;
mod full_disk;
mod gc;
mod pull;
mod push;
mod support;

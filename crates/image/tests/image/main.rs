//! The image store against a registry, real overlay mounts and real commands. Needs root.

mod build_copy;
mod build_run;
mod pull;
mod support;

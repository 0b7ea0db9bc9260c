//! Ways out of an instance, each tried from inside a real one. One file for each family; SECURITY.md
//! lists them.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail the test")]

mod bombs;
mod cgroups;
mod descriptors;
mod devices;
mod disk;
mod docker;
mod images;
mod kernel;
mod mounts;
mod network;
mod privileges;
mod proc_files;
mod processes;
mod seccomp;
mod sockets;
mod users;

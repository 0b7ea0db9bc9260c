//! What `berth-init` and the runtime say to each other.

//! Room `init` of Berth; see ARCHITECTURE.md.

//! Room `project` of Berth; see ARCHITECTURE.md.

//! Room `workers` of Berth; see ARCHITECTURE.md.

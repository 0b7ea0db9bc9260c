//! Room `runtime` of Berth; see ARCHITECTURE.md.

//! Room `agent` of Berth; see ARCHITECTURE.md.

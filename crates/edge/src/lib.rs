//! Room `edge` of Berth; see ARCHITECTURE.md.

//! Room `image` of Berth; see ARCHITECTURE.md.

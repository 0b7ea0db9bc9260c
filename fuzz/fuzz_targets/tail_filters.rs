//! `cargo fuzz run tail_filters`: see `tests/fuzzing`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzzing::run("tail_filters", bytes));

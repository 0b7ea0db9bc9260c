//! `cargo fuzz run init_protocol`: see `tests/fuzzing`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzzing::run("init_protocol", bytes));

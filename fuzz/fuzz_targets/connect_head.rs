//! `cargo fuzz run connect_head`: see `tests/fuzzing`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzzing::run("connect_head", bytes));

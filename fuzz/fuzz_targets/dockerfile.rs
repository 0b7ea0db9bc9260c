//! `cargo fuzz run dockerfile`: see `tests/fuzzing`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzzing::run("dockerfile", bytes));

//! `cargo fuzz run engine_request`: see `tests/fuzzing`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzzing::run("engine_request", bytes));

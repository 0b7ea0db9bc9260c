//! `cargo fuzz run forwarded_headers`: see `tests/fuzzing`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzzing::run("forwarded_headers", bytes));

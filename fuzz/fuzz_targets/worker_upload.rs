//! `cargo fuzz run worker_upload`: see `tests/fuzzing`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzzing::run("worker_upload", bytes));

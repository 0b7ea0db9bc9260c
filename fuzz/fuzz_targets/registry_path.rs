//! `cargo fuzz run registry_path`: see `tests/fuzzing`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzzing::run("registry_path", bytes));

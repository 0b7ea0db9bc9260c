//! `cargo fuzz run registry_authorization`: see `tests/fuzzing`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzzing::run("registry_authorization", bytes));

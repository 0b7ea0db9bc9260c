//! `cargo fuzz run docker_request`: see `tests/fuzzing`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzzing::run("docker_request", bytes));

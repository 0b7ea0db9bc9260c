//! `cargo fuzz run dev_vars`: see `tests/fuzzing`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzzing::run("dev_vars", bytes));

//! `cargo fuzz run go_template`: see `tests/fuzzing`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzzing::run("go_template", bytes));

//! `cargo fuzz run wrangler_toml`: see `tests/fuzzing`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzzing::run("wrangler_toml", bytes));

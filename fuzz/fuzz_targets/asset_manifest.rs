//! `cargo fuzz run asset_manifest`: see `tests/fuzzing`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzzing::run("asset_manifest", bytes));

//! `cargo fuzz run pushed_manifest`: see `tests/fuzzing`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzzing::run("pushed_manifest", bytes));

//! `cargo fuzz run image_archive`: see `tests/fuzzing`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzzing::run("image_archive", bytes));

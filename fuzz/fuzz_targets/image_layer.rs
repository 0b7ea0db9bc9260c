//! `cargo fuzz run image_layer`: see `tests/fuzzing`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzzing::run("image_layer", bytes));

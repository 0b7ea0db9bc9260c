//! `cargo fuzz run backup_archive`: see `tests/fuzzing`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzzing::run("backup_archive", bytes));

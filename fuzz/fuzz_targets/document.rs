//! Writes whatever bytes to `metadata.json`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| glancefs::fs::fuzzing::document(data));

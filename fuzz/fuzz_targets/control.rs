//! Writes whatever bytes to the small files of an image, and commands to `.glancefs/uploads`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| glancefs::fs::fuzzing::control(data));

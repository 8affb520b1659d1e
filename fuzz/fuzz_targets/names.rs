//! Makes files of whatever names, and shows whatever the service calls its own.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| glancefs::fs::fuzzing::names(data));

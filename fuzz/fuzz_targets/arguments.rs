//! Calls the program in every form, with whatever arguments.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| glancefs::cli::fuzzing::arguments(data));

//! Locks and counters: those of the standard library, or with the feature `shuttle` those of a scheduler that runs a
//! test in thousands of interleavings of its threads.
//!
//! What is checked so takes its locks and atomics from here. A program built with the feature works nowhere but inside
//! such a test.

#[cfg(feature = "shuttle")]
pub(crate) use shuttle::sync::atomic;
#[cfg(not(feature = "shuttle"))]
pub(crate) use std::sync::atomic;

/// Runs a test in a number of interleavings, half of them drawn evenly and half by few, well-placed changes of the
/// thread that runs. What fails is printed as a seed (`SHUTTLE_RANDOM_SEED` tries it again) and as a schedule.
#[cfg(all(test, feature = "shuttle"))]
pub(crate) fn interleave(test: impl Fn() + Send + Sync + 'static) {
    let times = if std::env::var_os("GLANCEFS_TEST_LONG").is_some() { 50_000 } else { 1_000 };
    let test = std::sync::Arc::new(test);
    let again = std::sync::Arc::clone(&test);
    shuttle::check_random(move || test(), times);
    // Nearly all known races need three changes or fewer.
    shuttle::check_pct(move || again(), times, 3);
}

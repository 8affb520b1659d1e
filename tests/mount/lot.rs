//! What tests draw by lot.

/// The seed of a test, which prints it: that of `GLANCEFS_TEST_SEED`, so that the test does again what it did, or a new one.
pub(crate) fn seed() -> u64 {
    let given = std::env::var("GLANCEFS_TEST_SEED").ok();
    let seed = given.map_or_else(|| fastrand::u64(..), |seed| seed.parse().unwrap());
    println!("seed {seed}; GLANCEFS_TEST_SEED={seed} draws the same");
    seed
}

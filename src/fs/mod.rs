//! The filesystem in plain async Rust, without FUSE types.

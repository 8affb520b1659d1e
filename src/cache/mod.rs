//! Blocks of images in memory.

//! Promises of the cache on disk.

mod blocks;
mod damage;
mod room;
mod sealing;
mod sharing;

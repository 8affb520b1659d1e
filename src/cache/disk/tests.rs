//! Promises of the cache on disk.

mod blocks;
mod crash;
mod damage;
mod model;
mod room;
mod sealing;
mod sharing;

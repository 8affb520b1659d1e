//! Blocks of images in memory.
//!
//! [`Cache`] keeps blocks, least recently used ones go first. It has no size of its own: every buffer, whether it is
//! being filled, cached or on its way to a reader, holds its bytes out of the mount's [`Budget`](crate::budget::Budget),
//! and cached blocks that nobody holds make room when the budget refuses.

mod block;
pub mod disk;
mod memory;
mod spare;
mod sparse;

pub use block::{BLOCK, Buffer, Identity, Run, SPAN, block_at, span_end};
pub use memory::{Cache, Use};

pub(crate) use sparse::Sparse;

pub(crate) use crate::sync::lock;

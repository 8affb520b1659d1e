//! Sending one upload.

use std::sync::Arc;

use super::home::Table;
use super::upload::Upload;

/// What the buffers of one sender hold, in bytes.
pub(super) const MEMORY: u64 = 1 << 20;

#[expect(clippy::unused_async, reason = "it will send")]
pub(super) async fn run(upload: Arc<Upload>, table: Arc<Table>) {
    drop((upload, table));
}

//! What is still done for the disk when nobody reads any more: writes under way, proofs of what is complete there, seals.

use std::sync::Arc;

use tokio::sync::watch;

/// Counts what is under way.
#[derive(Clone, Debug)]
pub(super) struct Keeping(Arc<watch::Sender<usize>>);

/// Something under way, until it is dropped.
#[derive(Debug)]
pub(super) struct Work(Keeping);

impl Keeping {
    /// Nothing yet.
    pub(super) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(0)))
    }

    /// Something begins. What follows from it begins before it ends, so that nobody sees a gap.
    pub(super) fn begin(&self) -> Work {
        self.0.send_modify(|count| *count += 1);
        Work(self.clone())
    }

    /// Whether anything is under way.
    pub(super) fn is_busy(&self) -> bool {
        *self.0.borrow() > 0
    }

    /// Waits until nothing is.
    pub(super) async fn ended(&self) {
        // The sender lives as long as this.
        let _ = self.0.subscribe().wait_for(|count| *count == 0).await;
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.0.0.send_modify(|count| *count = count.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn it_is_over_when_the_last_of_all_that_began_is() {
        let keeping = Keeping::new();
        assert!(keeping.ended().now_or_never().is_some());
        let (one, other) = (keeping.begin(), keeping.begin());
        drop(one);
        assert!(keeping.is_busy() && keeping.ended().now_or_never().is_none());
        let next = keeping.begin();
        drop(other);
        assert!(keeping.ended().now_or_never().is_none());
        drop(next);
        assert!(!keeping.is_busy() && keeping.ended().now_or_never().is_some());
    }
}

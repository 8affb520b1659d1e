//! One piece of work for all who wait for it.

use std::future::Future;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use tokio::task::AbortHandle;

use crate::service::{Kind, Result, ServiceError};

/// What waiters hold; dropping it does not stop the work.
pub(super) type Waiting<T> = Shared<BoxFuture<'static, Result<T>>>;

/// The work under way, if any.
pub(super) struct Flight<T>(Option<(AbortHandle, Waiting<T>)>);

impl<T> Default for Flight<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T: Clone + Send + Sync + 'static> Flight<T> {
    /// Whether it has not come to its end.
    #[cfg(test)]
    pub(super) fn is_under_way(&self) -> bool {
        self.0.as_ref().is_some_and(|(task, _)| !task.is_finished())
    }

    /// Joins the work under way, or starts it in a task of its own.
    pub(super) fn join<F>(&mut self, work: impl FnOnce() -> F) -> Waiting<T>
    where
        F: Future<Output = Result<T>> + Send + 'static,
    {
        if let Some((task, flight)) = &self.0
            && !task.is_finished()
        {
            return flight.clone();
        }
        let task = tokio::spawn(work());
        let handle = task.abort_handle();
        let waiting = async move {
            task.await.unwrap_or_else(|_| Err(ServiceError::new(Kind::Unavailable, "go on: the program is ending")))
        };
        let flight = waiting.boxed().shared();
        self.0 = Some((handle, flight.clone()));
        flight
    }
}

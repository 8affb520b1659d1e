//! From a request of the kernel to its answer: begun on the thread that took it, and gone on with in the runtime where
//! something has to be waited for.

#[cfg(test)]
mod tests;

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use fuser::Request;
use tokio::runtime::Handle;
use tracing::{Instrument, Span};

use super::Adapter;
use crate::fs;
use crate::mount::caller::Caller;
use crate::mount::convert;
use crate::mount::reply::Refuse;
use crate::mount::waiting::{self, Untold};

impl Adapter {
    /// Looks at something for `request`.
    pub(super) fn look<R, T>(
        &self,
        request: &Request,
        span: Span,
        reply: R,
        work: impl Future<Output = fs::Result<T>> + Send + 'static,
        send: impl FnOnce(R, T) + Send + 'static,
    ) where
        R: Refuse + Send + 'static,
        T: Send + 'static,
    {
        self.answer(span, reply, waiting::looked(Caller(request.pid()), work), send);
    }

    /// Changes something for `request`.
    pub(super) fn change<R, T>(
        &self,
        request: &Request,
        span: Span,
        reply: R,
        work: impl Future<Output = fs::Result<T>> + Send + 'static,
        send: impl FnOnce(R, T) + Send + 'static,
    ) where
        R: Refuse + Send + 'static,
        T: Untold + Send + 'static,
    {
        let files = Arc::clone(&self.files);
        let work = waiting::done(Caller(request.pid()), work, move |value: T| value.forgotten(&files));
        self.answer(span, reply, work, send);
    }

    /// Does `work` and gives its result to `send`; a failure goes to the kernel as its errno.
    pub(super) fn answer<R, T>(
        &self,
        span: Span,
        reply: R,
        work: impl Future<Output = fs::Result<T>> + Send + 'static,
        send: impl FnOnce(R, T) + Send + 'static,
    ) where
        R: Refuse + Send + 'static,
        T: Send + 'static,
    {
        let answered = async move {
            match work.await {
                Ok(value) => send(reply, value),
                Err(error) => {
                    tracing::debug!(%error, "refused");
                    reply.refuse(convert::errno(&error));
                }
            }
        };
        begin_here(&self.runtime, answered.instrument(span));
    }
}

/// Polls `work` once on this thread; what is not done then goes on in the runtime, which polls it again with a waker of its
/// own.
fn begin_here(runtime: &Handle, work: impl Future<Output = ()> + Send + 'static) {
    let mut work = Box::pin(work);
    let entered = runtime.enter();
    // A panic ends one request, whose reply answers EIO when it is dropped, and not the thread.
    let first = catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(&mut Context::from_waker(Waker::noop()))));
    drop(entered);
    if let Ok(Poll::Pending) = first {
        runtime.spawn(work);
    }
}

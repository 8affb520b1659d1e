//! Locks, atomics and tasks: those of the standard library and of tokio, or with the feature `shuttle` those of a
//! scheduler that runs a test in thousands of interleavings of its threads and tasks.
//!
//! What is checked so takes all of them from here. A program built with the feature works nowhere but inside such a test.

use std::sync::PoisonError;

#[cfg(feature = "shuttle")]
pub(crate) use shuttle::sync::{Mutex, MutexGuard, atomic};
#[cfg(not(feature = "shuttle"))]
pub(crate) use std::sync::{Mutex, MutexGuard, atomic};
#[cfg(not(feature = "shuttle"))]
pub(crate) use tokio::time::timeout;

/// Locks `mutex`. A panic of another holder does not spread: what these mutexes guard is consistent between statements.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts a task that nobody waits for.
#[cfg(not(feature = "shuttle"))]
pub(crate) fn spawn(task: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(task);
}

/// Starts a task that nobody waits for.
#[cfg(feature = "shuttle")]
pub(crate) fn spawn(task: impl Future<Output = ()> + Send + 'static) {
    drop(shuttle::future::spawn(task));
}

/// The time of a [`timeout`] has passed.
#[cfg(feature = "shuttle")]
pub(crate) struct Passed;

/// Waits for `future`. There are no clocks in a test of interleavings: up to ten seconds pass in no time where the
/// scheduler likes, so that pauses end at any moment; more never pass, so that who waits for ever is found.
#[cfg(feature = "shuttle")]
pub(crate) async fn timeout<F: Future>(after: std::time::Duration, future: F) -> Result<F::Output, Passed> {
    use std::task::Poll;

    use shuttle::rand::Rng;

    let mut left = if after.as_secs() > 10 { None } else { Some(shuttle::rand::thread_rng().gen_range(0..8)) };
    let mut future = std::pin::pin!(future);
    std::future::poll_fn(|context| match (future.as_mut().poll(context), &mut left) {
        (Poll::Ready(output), _) => Poll::Ready(Ok(output)),
        (Poll::Pending, Some(0)) => Poll::Ready(Err(Passed)),
        (Poll::Pending, Some(left)) => {
            *left -= 1;
            context.waker().wake_by_ref();
            Poll::Pending
        }
        (Poll::Pending, None) => Poll::Pending,
    })
    .await
}

/// Runs a test in so many interleavings, and far more with `GLANCEFS_TEST_LONG`, half of them drawn evenly and half by
/// few, well-placed changes of the thread that runs. What fails is printed as a seed (`SHUTTLE_RANDOM_SEED` tries it
/// again) and as a schedule.
#[cfg(test)]
#[cfg(feature = "shuttle")]
pub(crate) fn interleave(times: usize, test: impl Fn() + Send + Sync + 'static) {
    let times = if std::env::var_os("GLANCEFS_TEST_LONG").is_some() { times * 10 } else { times } / 2;
    let test = std::sync::Arc::new(test);
    let again = std::sync::Arc::clone(&test);
    shuttle::check_random(move || test(), times);
    // Nearly all known races need three changes or fewer.
    shuttle::check_pct(move || again(), times, 3);
}

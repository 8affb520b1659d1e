//! A way to the service that takes time.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

/// What a socket holds for who is late to take it, in bytes.
const SOCKET: f64 = 500e3;

/// A way: its times are those of tokio, so that a test which stops the clock waits for none of them.
#[derive(Debug)]
pub(in crate::read) struct Line {
    /// From a request to its answer.
    latency: Duration,
    /// What one connection and all together carry, in bytes a second.
    each: f64,
    all: f64,
    /// When all together have carried what was sent so far.
    done: Mutex<Option<Instant>>,
}

/// A connection of a line.
#[derive(Debug)]
pub(in crate::read) struct Connection {
    done: Instant,
}

impl Line {
    pub(in crate::read) fn new(latency: Duration, each: f64, all: f64) -> Self {
        Self { latency, each, all, done: Mutex::default() }
    }

    /// Answers a request.
    pub(in crate::read) async fn answer(&self) -> Connection {
        sleep(self.latency).await;
        Connection { done: Instant::now() }
    }

    /// Until `bytes` more of the answer have arrived.
    pub(in crate::read) async fn carry(&self, connection: &mut Connection, bytes: usize) {
        #[expect(clippy::cast_precision_loss, reason = "a chunk")]
        let takes = |rate: f64| Duration::from_secs_f64(bytes as f64 / rate);
        let now = Instant::now();
        // The clock has no less than milliseconds; who is late by some gets what has gathered.
        let late = |rate: f64| now.checked_sub(Duration::from_secs_f64(SOCKET / rate)).unwrap_or(now);
        connection.done = connection.done.max(late(self.each)) + takes(self.each);
        let together = {
            let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
            let end = done.unwrap_or(now).max(late(self.all)) + takes(self.all);
            *done.insert(end)
        };
        sleep_until(connection.done.max(together)).await;
    }
}

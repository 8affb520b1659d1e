//! The other side of an upload: what it sends, how fast it is let, and when it is heard no more.

use super::errors::{ApiError, Refusal};
use super::receive::{Outcome, Upload};
use super::service::Service;
use super::upload_fault::UploadFault;
use axum::body::{Body, BodyDataStream, Bytes};
use futures_util::StreamExt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How long a stalled upload stands still; longer than any sender waits.
const STALL: Duration = Duration::from_mins(10);

/// How often who is slowed down looks whether he still is.
const GLANCE: Duration = Duration::from_millis(50);

/// Who sends an image's data.
pub(crate) struct Sender {
    body: BodyDataStream,
    service: Arc<Service>,
    /// How long the silence of a sender is borne.
    patience: Duration,
    fault: Option<UploadFault>,
    /// After so many bytes the fault begins, if it is one that comes midway.
    unheard_after: u64,
}

/// What comes from a sender.
enum Heard {
    Bytes(Bytes),
    End,
    /// It went away, or is heard no more.
    Nothing,
    /// It said nothing for too long.
    Silence,
}

impl Sender {
    /// A sender of `length` bytes, as far as it told.
    pub(crate) fn new(service: Arc<Service>, body: Body, fault: Option<UploadFault>, length: Option<u64>) -> Self {
        let midway = fault.is_some_and(UploadFault::is_midway);
        let unheard_after = if midway { length.unwrap_or(0) / 2 } else { u64::MAX };
        let patience = service.behaviour().sender_patience;
        Self { body: body.into_data_stream(), service, patience, fault, unheard_after }
    }

    /// Hands the bytes to the task that hashes and writes them, until they end or that task has seen enough. It undoes
    /// what it does not hear the end of.
    pub(crate) async fn deliver(mut self, upload: Upload) -> Result<Outcome, Refusal> {
        let (chunks, task) = upload.start();
        let mut silent = false;
        loop {
            match self.listen().await {
                Heard::Bytes(chunk) => {
                    if chunks.send(Some(chunk)).await.is_err() {
                        break;
                    }
                }
                Heard::End => {
                    // A failure shows in the outcome.
                    let _ = chunks.send(None).await;
                    break;
                }
                Heard::Nothing => break,
                Heard::Silence => {
                    silent = true;
                    break;
                }
            }
        }
        drop(chunks);
        let outcome = task.await.map_err(|_| ApiError::internal())?;
        if silent { Err(ApiError::internal().into()) } else { Ok(outcome) }
    }

    async fn listen(&mut self) -> Heard {
        if self.unheard_after == 0 {
            if self.fault == Some(UploadFault::Stalled) {
                tokio::time::sleep(STALL).await;
            }
            return Heard::Nothing;
        }
        match tokio::time::timeout(self.patience, self.body.next()).await {
            Err(_) => Heard::Silence,
            Ok(None) => Heard::End,
            Ok(Some(Err(_))) => Heard::Nothing,
            Ok(Some(Ok(chunk))) => self.take(chunk).await,
        }
    }

    async fn take(&mut self, chunk: Bytes) -> Heard {
        let length = chunk.len() as u64;
        self.service.counters.received.fetch_add(length, Ordering::Relaxed);
        if self.unheard_after != u64::MAX {
            self.unheard_after = self.unheard_after.saturating_sub(length);
        }
        rest(&self.service, length).await;
        Heard::Bytes(chunk)
    }
}

/// Takes as long as so many bytes take at the rate that is set by then: a sender who is held up for hours is let go when
/// nobody holds him up any more.
async fn rest(service: &Service, length: u64) {
    let began = Instant::now();
    while let Some(rate) = service.behaviour().upload_rate {
        let all = Duration::from_nanos(length.saturating_mul(1_000_000_000) / rate.max(1));
        let left = all.saturating_sub(began.elapsed());
        if left.is_zero() {
            break;
        }
        tokio::time::sleep(left.min(GLANCE)).await;
    }
}

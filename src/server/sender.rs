//! The other side of an upload: what it sends, how fast it is let, and when it is heard no more.

use super::behaviour::Behaviour;
use super::errors::{ApiError, Refusal};
use super::receive::{Outcome, Upload};
use super::traffic::Counters;
use super::upload_fault::UploadFault;
use axum::body::{Body, BodyDataStream, Bytes};
use futures_util::StreamExt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How long a stalled upload stands still; longer than any sender waits.
const STALL: Duration = Duration::from_mins(10);

/// Who sends an image's data.
pub(crate) struct Sender {
    body: BodyDataStream,
    behaviour: Behaviour,
    counters: Arc<Counters>,
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
    pub(crate) fn new(
        body: Body,
        behaviour: Behaviour,
        counters: Arc<Counters>,
        fault: Option<UploadFault>,
        length: Option<u64>,
    ) -> Self {
        let midway = fault.is_some_and(UploadFault::is_midway);
        let unheard_after = if midway { length.unwrap_or(0) / 2 } else { u64::MAX };
        Self { body: body.into_data_stream(), behaviour, counters, fault, unheard_after }
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
        match tokio::time::timeout(self.behaviour.sender_patience, self.body.next()).await {
            Err(_) => Heard::Silence,
            Ok(None) => Heard::End,
            Ok(Some(Err(_))) => Heard::Nothing,
            Ok(Some(Ok(chunk))) => self.take(chunk).await,
        }
    }

    async fn take(&mut self, chunk: Bytes) -> Heard {
        let length = chunk.len() as u64;
        self.counters.received.fetch_add(length, Ordering::Relaxed);
        if self.unheard_after != u64::MAX {
            self.unheard_after = self.unheard_after.saturating_sub(length);
        }
        if let Some(rate) = self.behaviour.upload_rate {
            tokio::time::sleep(Duration::from_nanos(length.saturating_mul(1_000_000_000) / rate.max(1))).await;
        }
        Heard::Bytes(chunk)
    }
}

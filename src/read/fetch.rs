//! One ranged request for a run of blocks.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::time::{Instant, timeout};

use super::error::ReadError;
use super::flight::Claim;
use super::intake::Intake;
use super::{Content, Reads, add};
use crate::cache::{Block, Buffer, Identity, lock};
use crate::service::{Kind, Source};

/// Fetches a run of neighbouring blocks, from `store` or from where the service likes. Each block lands as soon as its
/// bytes are here; a failure is told to those who wait for the others.
pub(super) async fn run(
    reads: Arc<Reads>,
    content: Arc<Content>,
    identity: Identity,
    store: Option<String>,
    run: Vec<Claim>,
) {
    let source = Source { image: content.image, size: content.size, store };
    let mut claims = VecDeque::from(run);
    let Err(error) = fetch(&reads, &source, &mut claims).await else { return };
    if matches!(&error, ReadError::Service(failure) if failure.kind == Kind::Unseekable) {
        lock(&reads.routes).refused(&content, &identity, source.store.as_deref());
    }
    for claim in claims {
        claim.fail(error.clone());
    }
}

async fn fetch(reads: &Reads, source: &Source, claims: &mut VecDeque<Claim>) -> Result<(), ReadError> {
    let Ok(_permit) = reads.requests.acquire().await else { return Ok(()) };
    // The memory first: a connection that waits for memory would be cut off.
    let Some(first) = memory(reads, claims).await? else { return Ok(()) };
    let mut intake = begin(reads, source, claims).await?;
    let mut next = Some(first);
    while let Some(mut buffer) = next {
        intake.fill(&mut buffer).await?;
        land(reads, claims, buffer);
        next = memory(reads, claims).await?;
    }
    Ok(())
}

/// Memory for the next block. `None` when there is no next block, or no memory and nobody who waits for one of them:
/// then the rest is given up.
async fn memory(reads: &Reads, claims: &VecDeque<Claim>) -> Result<Option<Buffer>, ReadError> {
    let Some(claim) = claims.front() else { return Ok(None) };
    let length = claim.key().length();
    if let Ok(buffer) = reads.cache.try_buffer(length) {
        return Ok(Some(buffer));
    }
    if !claims.iter().any(Claim::is_awaited) {
        return Ok(None);
    }
    Ok(Some(reads.cache.buffer(length, Instant::now() + reads.settings.patience).await?))
}

async fn begin(reads: &Reads, source: &Source, claims: &VecDeque<Claim>) -> Result<Intake, ReadError> {
    let start = claims.front().map_or(0, |claim| claim.key().offset());
    let end = claims.back().map_or(0, |claim| claim.key().offset() + claim.key().length());
    add(&reads.counters.ranges, 1);
    let waited = reads.settings.patience;
    let stream = timeout(waited, reads.service.0.read_range(source, start..end)).await;
    let stream = stream.map_err(|_| ReadError::TimedOut { image: source.image, waited })??;
    Ok(Intake::new(source.image, stream, waited))
}

fn land(reads: &Reads, claims: &mut VecDeque<Claim>, buffer: Buffer) {
    let Some(claim) = claims.pop_front() else { return };
    add(&reads.counters.fetched, claim.key().length());
    if let Some(block) = Block::new(claim.key().clone(), buffer) {
        claim.land(&reads.cache, block);
    }
}

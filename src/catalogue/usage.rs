//! How much of the quota is used: what `df` shows, and what others ask in passing.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::{Catalogue, Inner, Timed, is_away};
use crate::image::Usage;
use crate::service::Result;

/// How long somebody waits for an answer where an earlier one is known. umount(8) asks before it unmounts, and does not look at
/// it.
const PATIENCE: Duration = Duration::from_secs(1);

/// The same where none is known: a service that is busy takes some seconds.
const FIRST: Duration = Duration::from_secs(10);

impl Catalogue {
    /// How much of the quota is used; `None` where the service does not tell. While it is away or does not answer soon, what
    /// it last told.
    pub async fn usage(&self) -> Result<Option<Usage>> {
        let (before, away) = {
            let state = self.state();
            (state.usage.clone(), state.away)
        };
        if let Some(fresh) = before.as_ref().and_then(|known| known.within(self.0.ttl)) {
            return Ok(fresh.value);
        }
        if let (true, Some(known)) = (away, &before) {
            // Which finds out that the service is back.
            let _ = self.listing().await;
            return Ok(known.value);
        }
        let inner = Arc::clone(&self.0);
        let asked = self.state().asked_usage.join(move || async move { inner.ask_usage().await });
        let patience = if before.is_some() { PATIENCE } else { FIRST };
        match (timeout(patience, asked).await, before) {
            (Ok(Ok(told)), _) => Ok(told),
            (Ok(Err(error)), Some(known)) if is_away(&error.kind) => Ok(known.value),
            (Ok(Err(error)), _) => Err(error),
            // It is taken in when it comes.
            (Err(_), known) => Ok(known.and_then(|known| known.value)),
        }
    }
}

impl Inner {
    async fn ask_usage(&self) -> Result<Option<Usage>> {
        let since = Instant::now();
        let value = self.service.usage().await?;
        self.state().usage = Some(Timed { value, since });
        Ok(value)
    }
}

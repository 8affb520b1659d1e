//! How the listing is kept young: a short question about what changed lately most times, and all of it at times, because
//! a deletion, an image that was hidden and a change of members show in no short answer.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::changes::Change;
use super::pages::{self, Listed, Part};
use super::snapshot::Snapshot;
use super::state::{Ends, State};
use super::{Inner, Timed, is_away};
use crate::allocator;
use crate::image::{Image, ImageId};
use crate::service::{ListQuery, Result};

/// With fewer images than this, one page of the service, the listing is complete each time: it is one request either way.
pub(super) const ONE_PAGE: usize = 1000;

/// A longer listing is complete so often at most.
const COMPLETE: Duration = Duration::from_mins(1);

/// And so rarely that it takes at most this share of the time: a listing of 100,000 images is a hundred requests, each of
/// a second or more of a real service's processor.
const SHARE: u32 = 20;

/// How far a short question reaches behind the latest change that is known. The service cuts times to seconds, and each
/// of its servers writes its own clock. What is told again is known already.
const OVERLAP: SignedDuration = SignedDuration::from_mins(1);

impl Inner {
    /// Asks the service for what is new. The listing itself is not the answer: whoever holds that makes the next change
    /// copy it.
    pub(super) async fn refresh(self: Arc<Self>, asked: Instant) -> Result<()> {
        let question = self.state().question();
        let outcome = match question {
            Question::All => self.list_completely().await,
            Question::Short => self.catch_up().await,
            Question::None => {
                self.complete_in_time(&mut self.state());
                return Ok(());
            }
        };
        let mut state = self.state();
        let is_away = outcome.as_ref().err().is_some_and(|error| is_away(&error.kind));
        let was_away = std::mem::replace(&mut state.away, is_away);
        state.failed = outcome.clone().err().map(|value| Timed { value, since: asked });
        match &outcome {
            Err(error) if is_away && was_away => tracing::debug!(%error, "the images could not be listed"),
            Err(error) => tracing::warn!(%error, "the images could not be listed"),
            Ok(()) if was_away => tracing::info!("the service answers again"),
            Ok(()) => {}
        }
        if outcome.is_ok() {
            self.complete_in_time(&mut state);
        }
        outcome
    }

    /// Takes in what changed lately.
    async fn catch_up(&self) -> Result<()> {
        let since = Instant::now();
        let latest = {
            let mut state = self.state();
            state.changes.asked(since);
            state.latest
        };
        let changed = ("updated_at".to_owned(), changed_from(latest, Timestamp::now()));
        let query = ListQuery { filters: vec![changed], ..ListQuery::default() };
        let mut listed = pages::all(self.service.as_ref(), &query, &Part::ALL).await;
        let _ = listed.as_mut().map(|listed| listed.say(&self.remarks));
        let mut state = self.state();
        let outcome = listed.map(|listed| state.catch_up(listed, since));
        state.changes.answered(since);
        outcome
    }

    /// Asks for all of it.
    async fn list_completely(&self) -> Result<()> {
        let since = Instant::now();
        self.state().changes.asked(since);
        let known = |id| self.listed(id);
        let part = Part { known: &known, goes_on: &|| self.list_for_long(), ..Part::ALL };
        let mut listed = pages::all(self.service.as_ref(), &ListQuery::default(), &part).await;
        let _ = listed.as_mut().map(|listed| listed.say(&self.remarks));
        let mut state = self.state();
        state.lists_for_long = false;
        state.asked_for_all = Some(Timed { value: since.elapsed(), since });
        let complete = listed.map(|mut listed| {
            state.reaches(&listed);
            state.takes(&mut listed);
            let mut snapshot = Snapshot::of(listed.images);
            state.changes.bring_up(&mut snapshot, since);
            snapshot
        });
        state.changes.answered(since);
        state.replace(complete?, since);
        if state.listing.as_ref().is_some_and(|listing| listing.value.len() >= ONE_PAGE) {
            // What its pages were read from is free now. Nobody waits for this.
            drop(tokio::task::spawn_blocking(allocator::give_back_gaps));
        }
        Ok(())
    }

    /// An image as it is listed. The listing is held no longer than that.
    pub(super) fn listed(&self, id: ImageId) -> Option<Arc<Image>> {
        self.state().listing.as_ref()?.value.image(id).cloned()
    }

    /// Lets a complete listing begin behind a short one, where it is time for it. Nobody waits for it. One that fails is no
    /// sooner tried again than another one would begin.
    fn complete_in_time(self: &Arc<Self>, state: &mut State) {
        let is_due = |asked: &Timed<Duration>| asked.since.elapsed() >= COMPLETE.max(asked.value * SHARE);
        if state.asked_for_all.as_ref().is_some_and(is_due) {
            let inner = Arc::clone(self);
            drop(state.completing.join(move || async move { inner.complete().await }));
        }
    }

    async fn complete(&self) -> Result<()> {
        let outcome = self.list_completely().await;
        let was_incomplete = {
            let mut state = self.state();
            state.away &= outcome.is_err();
            std::mem::replace(&mut state.is_incomplete, outcome.is_err())
        };
        match &outcome {
            Err(error) if was_incomplete => tracing::debug!(%error, "what is deleted elsewhere goes on being listed"),
            Err(error) => tracing::warn!(%error, "what is deleted elsewhere goes on being listed"),
            Ok(()) => {}
        }
        outcome
    }
}

/// What is asked to bring the listing up to date.
enum Question {
    /// For all of it.
    All,
    /// For what changed lately.
    Short,
    /// Nothing, because the service finds no end.
    None,
}

impl State {
    fn question(&self) -> Question {
        match &self.listing {
            None => Question::All,
            Some(_) if self.ends == Ends::None => Question::None,
            Some(known) if known.value.len() < ONE_PAGE && self.ends == Ends::All => Question::All,
            Some(_) => Question::Short,
        }
    }

    /// Notes whether a complete listing came to its end. Where it did not, what is known goes on being listed.
    fn takes(&mut self, listed: &mut Listed) {
        self.ends = match self.ends {
            _ if !listed.is_endless => Ends::All,
            Ends::All => Ends::Short,
            before => before,
        };
        if let Some(known) = self.listing.as_ref().filter(|_| listed.is_endless) {
            listed.keep(&known.value);
        }
    }

    /// Takes in what a short question that was asked at `since` showed.
    fn catch_up(&mut self, listed: Listed, since: Instant) {
        self.reaches(&listed);
        if listed.is_endless {
            self.ends = Ends::None;
        }
        let known = self.listing.as_ref().map(|listing| Arc::clone(&listing.value)).unwrap_or_default();
        let is_new = |image: &Arc<Image>| known.image(image.id) != Some(image);
        let news = listed.images.into_iter().filter(|image| is_new(image) && !self.changes.is_newer(image.id, since));
        let news: Vec<Change> = news.map(Change::Image).collect();
        drop(known);
        self.apply(news, since);
        if let Some(listing) = &mut self.listing {
            listing.since = listing.since.max(since);
        }
    }
}

/// What a short question asks for. A change from the future, by the clock of whoever wrote it, hides none of those of today.
fn changed_from(latest: Timestamp, now: Timestamp) -> String {
    let from = latest.min(now).checked_sub(OVERLAP).unwrap_or(Timestamp::UNIX_EPOCH).max(Timestamp::UNIX_EPOCH);
    format!("gte:{from:.0}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_question_reaches_behind_the_latest_change_and_never_into_the_future() {
        let at = |second| Timestamp::from_second(second).unwrap();
        for (latest, now, from) in [
            (at(1000), at(5000), "gte:1970-01-01T00:15:40Z"),
            (at(1_800_000_000), at(1000), "gte:1970-01-01T00:15:40Z"),
            (at(30), at(5000), "gte:1970-01-01T00:00:00Z"),
            (Timestamp::UNIX_EPOCH, at(5000), "gte:1970-01-01T00:00:00Z"),
            (Timestamp::MAX, Timestamp::MIN, "gte:1970-01-01T00:00:00Z"),
        ] {
            assert_eq!(changed_from(latest, now), from, "{latest}, {now}");
        }
    }
}

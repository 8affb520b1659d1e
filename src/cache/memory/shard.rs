//! One part of the cache: spans in two orders.
//!
//! What passing readers have left behind goes first, the oldest of it before the rest, so that a copy of a huge image
//! makes room for itself and not at the cost of what others come back to.

use lru::LruCache;

use crate::cache::block::{Identity, Run, SPAN};

/// Where a span is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Place {
    content: Identity,
    span: u64,
}

impl Place {
    /// The span of the block `block` of `content`.
    pub(super) fn of(content: &Identity, block: u64) -> Self {
        Self { content: content.clone(), span: block / SPAN }
    }

    /// A number that spreads the spans of one content, and the contents.
    pub(super) fn number(&self) -> usize {
        usize::try_from(self.content.number().wrapping_add(self.span)).unwrap_or(0)
    }
}

/// The blocks of one span that are here.
#[derive(Debug, Default)]
pub(super) struct Span {
    runs: Vec<Run>,
    /// Somebody used it who may come back.
    kept: bool,
}

impl Span {
    fn find(&self, block: u64) -> Option<&Run> {
        self.runs.iter().find(|run| run.has(block))
    }

    fn is_held(&self) -> bool {
        self.runs.iter().any(Run::is_shared)
    }

    fn count(&self) -> u64 {
        self.runs.iter().map(|run| run.blocks().end - run.blocks().start).sum()
    }
}

/// Spans by their places.
#[derive(Debug)]
pub(super) struct Shard {
    kept: LruCache<Place, Span>,
    passed: LruCache<Place, Span>,
}

impl Default for Shard {
    fn default() -> Self {
        Self { kept: LruCache::unbounded(), passed: LruCache::unbounded() }
    }
}

impl Shard {
    pub(super) fn get(&mut self, place: &Place, block: u64, how: super::Use) -> Option<Run> {
        if how == super::Use::Passing {
            return self.peek(place).and_then(|span| span.find(block)).cloned();
        }
        if let Some(span) = self.passed.pop(place) {
            self.kept.put(place.clone(), span);
        }
        let span = self.kept.get_mut(place)?;
        span.kept = true;
        span.find(block).cloned()
    }

    pub(super) fn has(&self, place: &Place, block: u64) -> bool {
        self.peek(place).is_some_and(|span| span.find(block).is_some())
    }

    fn peek(&self, place: &Place) -> Option<&Span> {
        self.kept.peek(place).or_else(|| self.passed.peek(place))
    }

    /// Answers what is not needed any more, to be dropped without the lock.
    pub(super) fn put(&mut self, place: Place, run: Run) -> Vec<Run> {
        let mut span = self.kept.pop(&place).or_else(|| self.passed.pop(&place)).unwrap_or_default();
        let within = |inner: &Run| run.blocks().start <= inner.blocks().start && inner.blocks().end <= run.blocks().end;
        let (replaced, mut runs): (Vec<Run>, Vec<Run>) = span.runs.into_iter().partition(within);
        runs.push(run);
        span.runs = runs;
        self.kept.put(place, span);
        replaced
    }

    pub(super) fn passed(&mut self, place: Place) -> Option<Span> {
        if self.kept.peek(&place).is_none_or(|span| span.kept) {
            return None;
        }
        let span = self.kept.pop(&place)?;
        self.passed.put(place, span)
    }

    pub(super) fn forget(&mut self, doomed: impl Fn(&Identity) -> bool) -> Vec<Span> {
        let mut gone = Vec::new();
        for spans in [&mut self.kept, &mut self.passed] {
            let places = spans.iter().map(|(place, _)| place).filter(|place| doomed(&place.content));
            let places: Vec<Place> = places.cloned().collect();
            gone.extend(places.iter().filter_map(|place| spans.pop(place)));
        }
        gone
    }

    pub(super) fn count(&self) -> u64 {
        self.kept.iter().chain(self.passed.iter()).map(|(_, span)| span.count()).sum()
    }

    /// The oldest span that was passed.
    pub(super) fn give_up_passed(&mut self) -> Option<Span> {
        give_up(&mut self.passed)
    }

    /// The least recently used span. One that was passed since these were looked through counts too: it would otherwise
    /// be seen in neither place.
    pub(super) fn give_up_any(&mut self) -> Option<Span> {
        give_up(&mut self.kept).or_else(|| self.give_up_passed())
    }
}

/// The oldest span that nobody holds. What somebody holds would free nothing; being in use, it goes to the other end.
fn give_up(spans: &mut LruCache<Place, Span>) -> Option<Span> {
    for _ in 0..spans.len() {
        match spans.pop_lru() {
            Some((place, span)) if span.is_held() => drop(spans.put(place, span)),
            other => return other.map(|(_, span)| span),
        }
    }
    None
}

//! What of one image is under way, and who waits for it: single flight as a pure structure.
//!
//! A *lane* is one request: it has passed all blocks before `next`, is asked for those before `want`, and could go on to
//! `end`. A block is fetched by at most one lane, but for streams of the whole image, which pass what another one brought.
//! Looking and deciding happen under one lock, and a lane publishes a
//! block in the cache before it moves on, so that a block is always in the cache, on a lane, or nowhere.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use tokio::sync::{Notify, oneshot};

use super::error::ReadError;
use crate::cache::{BLOCK, Run, SPAN, span_end};
use crate::image::Text;

/// How many blocks a request must have left beyond its own part, to be cut off when several are to share its way. What the
/// service has sent of it already is lost: up to 12 MiB were seen in the sockets of both sides on a busy machine. A request
/// that has less than twice that beyond its part goes to its end, and the others begin behind it.
const WORTH_CUTTING: u64 = (24 << 20) / BLOCK;

/// A request goes on over blocks that nobody asked for yet to what is wanted behind them, where these are at most so many
/// times what is wanted.
const EARLY: u64 = 2;

/// What becomes of a wait: the run with the block, or why there is none. A sender that is dropped says: look again.
pub(super) type Arrival = Result<Run, ReadError>;

/// How a lane gets its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// By a range, from this store or from where the service likes.
    Ranges(Option<Text>),
    /// As one stream of the whole image, from the first block on.
    Whole,
    /// From the disk.
    Local,
}

/// Who waits for which block.
type Waiting = BTreeMap<u64, Vec<oneshot::Sender<Arrival>>>;

/// The number of a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LaneId(u64);

#[derive(Debug)]
struct Lane {
    id: LaneId,
    way: Way,
    next: u64,
    want: u64,
    end: u64,
    /// It is at the blocks before this one, which come whether they are wanted or not.
    busy: u64,
    /// Who wanted what it brings has gone away.
    forsaken: bool,
    /// The number of the wish for which it was started or went on last.
    wish: u64,
    /// Which of the blocks that a stream passes were asked for, by their first one: in their order and apart.
    asked: BTreeMap<u64, u64>,
    nudge: Arc<Notify>,
}

impl Lane {
    fn brings_any_of(&self, blocks: &Range<u64>) -> bool {
        self.next < blocks.end && blocks.start < self.want
    }

    /// A stream was asked for those of `blocks` that it brings.
    fn ask(&mut self, blocks: &Range<u64>) {
        let (mut start, mut end) = (blocks.start.max(self.next), blocks.end.min(self.want));
        if self.way != Way::Whole || start >= end {
            return;
        }
        while let Some((first, last)) = self.asked.range(..=end).next_back().map(|(first, last)| (*first, *last))
            && last >= start
        {
            self.asked.remove(&first);
            (start, end) = (start.min(first), end.max(last));
        }
        self.asked.insert(start, end);
    }

    /// The block before which nothing was asked for of what a stream brings next.
    fn passes_until(&mut self) -> u64 {
        while let Some((first, last)) = self.asked.first_key_value().map(|(first, last)| (*first, *last))
            && last <= self.next
        {
            self.asked.remove(&first);
        }
        let first = self.asked.keys().next().copied();
        if self.way == Way::Whole { first.unwrap_or(self.want) } else { self.next }
    }
}

/// A lane that is to be started.
#[derive(Debug)]
pub(super) struct Start {
    pub(super) id: LaneId,
    pub(super) way: Way,
    /// Told when there may be something to do after a pause.
    pub(super) nudge: Arc<Notify>,
}

/// What is wanted, and how it may be fetched; all in blocks.
#[derive(Debug)]
pub(super) struct Wish {
    pub(super) blocks: Range<u64>,
    /// How far a single request may go.
    pub(super) reach: u64,
    /// How much that a stream passes before them is wanted too: the kernel's reads overtake each other.
    pub(super) near: u64,
    /// Requests for it that are worth making at once.
    pub(super) lanes: u64,
    /// The length of each of several requests.
    pub(super) part: u64,
    /// How the service gives it.
    pub(super) way: Way,
    /// The blocks of the whole image.
    pub(super) count: u64,
}

/// What a lane does next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Get these blocks, all in one span.
    Fill(Range<u64>),
    /// Wait: nobody wants more now.
    Pause,
    /// It is over.
    End,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Board {
    lanes: Vec<Lane>,
    waiting: Waiting,
    /// Lanes that were started, and wishes.
    made: u64,
    wishes: u64,
    /// How many have the image open, and how many have had it.
    readers: u64,
    opened: u64,
    /// Of the image as it is open now: the furthest block that a stream has passed, and whether somebody wanted one of those
    /// later.
    passed: u64,
    gone_back: bool,
}

impl Board {
    /// Gets under way what is wished for and neither `here` nor under way; `local` blocks come from the disk.
    pub(super) fn wish(&mut self, wish: &Wish, here: impl Fn(u64) -> bool, local: impl Fn(u64) -> bool) -> Vec<Start> {
        let mut starts = Vec::new();
        let mut at = wish.blocks.start;
        self.wishes += 1;
        while at < wish.blocks.end {
            let is_local = local(at);
            if here(at) || self.is_coming(at, is_local) {
                at += 1;
                continue;
            }
            let alike = |block: &u64| !here(*block) && !self.is_coming(*block, is_local) && local(*block) == is_local;
            let gap = at..at + 1 + (at + 1..wish.blocks.end).take_while(alike).fold(0, |count, _| count + 1);
            at = gap.end;
            let gap = if is_local { gap } else { self.joined(gap, &wish.way, |block| here(block) || local(block)) };
            match (is_local, &wish.way) {
                (true, _) => self.cover_local(gap, &mut starts),
                (false, Way::Whole) => self.cover_by_stream(&gap, wish.count, &mut starts),
                (false, way) => self.cover_by_ranges(gap, way, wish, &mut starts),
            }
        }
        let wanted = |lane: &&mut Lane| lane.brings_any_of(&wish.blocks);
        self.lanes.iter_mut().filter(wanted).for_each(|lane| lane.forsaken = false);
        self.ask(&wish.blocks, wish.near);
        starts
    }

    /// Streams that are to pass `blocks`, or so many before them, are to bring them.
    pub(super) fn ask(&mut self, blocks: &Range<u64>, near: u64) {
        let asked = blocks.start.saturating_sub(near)..blocks.end;
        self.lanes.iter_mut().filter(|lane| lane.brings_any_of(blocks)).for_each(|lane| lane.ask(&asked));
    }

    /// Whether somebody wants any of the `blocks` that the lane is to bring, and it does not only pass them.
    pub(super) fn is_wanted(&self, id: LaneId, blocks: &Range<u64>) -> bool {
        let asked =
            |lane: &Lane| lane.asked.range(..blocks.end).next_back().is_some_and(|(_, end)| *end > blocks.start);
        self.lanes.iter().any(|lane| lane.id == id && (lane.way != Way::Whole || asked(lane)))
            || self.is_awaited(blocks.clone())
    }

    /// Waits for `block`, which is under way; one that `is_local` not by a stream, which may be far away.
    pub(super) fn wait(&mut self, block: u64, is_local: bool) -> Option<oneshot::Receiver<Arrival>> {
        if !self.is_coming(block, is_local) {
            return None;
        }
        let (sender, receiver) = oneshot::channel();
        self.waiting.entry(block).or_default().push(sender);
        Some(receiver)
    }

    /// What the lane does next, at most `most` blocks at once.
    pub(super) fn step(&mut self, id: LaneId, most: u64) -> Step {
        let Some(at) = self.lanes.iter().position(|lane| lane.id == id) else { return Step::End };
        let Some(lane) = self.lanes.get(at) else { return Step::End };
        let (next, want, end) = (lane.next, lane.want, lane.end);
        if next >= end || (self.readers == 0 && !self.is_awaited(next..want)) {
            self.lanes.swap_remove(at);
            return Step::End;
        }
        if next >= want {
            return Step::Pause;
        }
        let passes_until = self.lanes.get_mut(at).map_or(next, Lane::passes_until);
        let busy = want.min(span_end(next)).min(next + most.max(1));
        let busy = if next < passes_until { busy.min(passes_until) } else { busy };
        self.lanes.iter_mut().filter(|lane| lane.id == id).for_each(|lane| lane.busy = busy);
        Step::Fill(next..busy)
    }

    /// Somebody went away, and with them the wish for what was to be fetched ahead: what nobody waits for is not wanted any
    /// more. Whoever is left says with the next read what is.
    pub(super) fn trim(&mut self) {
        let waiting = &self.waiting;
        for lane in &mut self.lanes {
            let awaited = last_awaited(waiting, lane.next..lane.want);
            lane.forsaken = awaited.is_none();
            lane.want = awaited.map_or(lane.next, |last| last + 1).max(lane.busy.min(lane.want));
            lane.nudge.notify_one();
        }
    }

    /// Whether all who wanted what the lane brings have gone away.
    pub(super) fn is_forsaken(&self, id: LaneId) -> bool {
        self.lanes.iter().any(|lane| lane.id == id && lane.forsaken && !self.is_awaited(lane.next..lane.want))
    }

    /// A lane that is at work ends, if nobody waits for it and either nobody has the image open any more, or it has been
    /// forsaken `long` enough. `true` when it has.
    pub(super) fn abandon(&mut self, id: LaneId, long: bool) -> bool {
        let Some(lane) = self.lanes.iter().find(|lane| lane.id == id) else { return true };
        let unwanted = self.readers == 0 || (long && lane.forsaken);
        let over = unwanted && !self.is_awaited(lane.next..lane.want);
        if over {
            self.lanes.retain(|lane| lane.id != id);
        }
        over
    }

    /// Where the request of the lane ends, as far as is known now.
    pub(super) fn end_of(&self, id: LaneId) -> Option<u64> {
        self.lanes.iter().find(|lane| lane.id == id).map(|lane| lane.end)
    }

    /// A lane that has paused for long ends, unless somebody has come meanwhile.
    pub(super) fn retire(&mut self, id: LaneId) -> bool {
        let idle = |lane: &Lane| lane.id == id && lane.next >= lane.want;
        let before = self.lanes.len();
        self.lanes.retain(|lane| !idle(lane));
        self.lanes.len() < before
    }

    /// The lane `id` has all blocks before `until`; answers who waited for them.
    pub(super) fn advance(&mut self, id: LaneId, blocks: &Range<u64>) -> Vec<oneshot::Sender<Arrival>> {
        if let Some(lane) = self.lanes.iter_mut().find(|lane| lane.id == id) {
            (lane.next, lane.want) = (blocks.end, lane.want.max(blocks.end));
            if lane.way == Way::Whole {
                self.passed = self.passed.max(blocks.end);
            }
        }
        let mut served = self.waiting.split_off(&blocks.start);
        self.waiting.append(&mut served.split_off(&blocks.end));
        served.into_values().flatten().collect()
    }

    /// The lane `id` is over, whichever way; answers who waits for what is not under way any more.
    pub(super) fn remove(&mut self, id: LaneId) -> Vec<oneshot::Sender<Arrival>> {
        self.lanes.retain(|lane| lane.id != id);
        let lost: Vec<u64> = self.waiting.keys().copied().filter(|block| !self.is_coming(*block, false)).collect();
        lost.iter().filter_map(|block| self.waiting.remove(block)).flatten().collect()
    }

    /// Whether somebody waits for one of `blocks`.
    pub(super) fn is_awaited(&self, blocks: Range<u64>) -> bool {
        last_awaited(&self.waiting, blocks).is_some()
    }

    /// Somebody opens the image. `true` for the first one.
    pub(super) fn enter(&mut self) -> bool {
        (self.readers, self.opened) = (self.readers + 1, self.opened + 1);
        if self.readers == 1 {
            (self.passed, self.gone_back) = (0, false);
        }
        self.readers == 1
    }

    /// Somebody closes it. `true` for the last one: lanes end then where nobody waits for them.
    pub(super) fn leave(&mut self) -> bool {
        self.readers = self.readers.saturating_sub(1);
        self.trim();
        self.readers == 0
    }

    /// How many have the image open.
    pub(super) fn readers(&self) -> u64 {
        self.readers
    }

    /// Whether anybody has had the image open.
    pub(super) fn was_opened(&self) -> bool {
        self.opened > 0
    }

    /// Whether a stream has passed what somebody wanted later, so that another one was begun.
    pub(super) fn has_gone_back(&self) -> bool {
        self.gone_back
    }

    /// How many blocks streams have to pass before the one that somebody waits for, at most.
    pub(super) fn distance(&self) -> Option<u64> {
        let streams = self.lanes.iter().filter(|lane| lane.way == Way::Whole);
        let waits = |lane: &Lane| Some(last_awaited(&self.waiting, lane.next..lane.want)? - lane.next);
        streams.filter_map(waits).max()
    }

    /// Blocks under way.
    pub(super) fn count(&self) -> u64 {
        self.lanes.iter().map(|lane| lane.want.saturating_sub(lane.next)).sum()
    }

    /// Whether a lane brings the block. For one that `is_local` no stream counts.
    fn is_coming(&self, block: u64, is_local: bool) -> bool {
        let counts = |lane: &&Lane| !is_local || lane.way != Way::Whole;
        self.lanes.iter().filter(counts).any(|lane| lane.brings_any_of(&(block..block + 1)))
    }

    /// The gap with the few blocks before it that a request on its way there is about to pass, where these are neither
    /// `here` nor under way. The kernel sends the parts of a long read at once, and they arrive in any order; what a
    /// second request would bring is in the sockets of the first one already.
    fn joined(&self, gap: Range<u64>, way: &Way, here: impl Fn(u64) -> bool) -> Range<u64> {
        let near = gap.start.saturating_sub((gap.end - gap.start) * EARLY);
        let ahead = |lane: &&Lane| lane.way == *way && (near..gap.start).contains(&lane.want) && lane.end > gap.start;
        match self.lanes.iter().filter(ahead).map(|lane| lane.want).max() {
            Some(start) if (start..gap.start).all(|block| !here(block) && !self.is_coming(block, false)) => {
                start..gap.end
            }
            _ => gap,
        }
    }

    fn cover_local(&mut self, gap: Range<u64>, starts: &mut Vec<Start>) {
        match self.lanes.iter_mut().find(|lane| lane.way == Way::Local && lane.want == gap.start) {
            Some(lane) => {
                (lane.want, lane.end) = (gap.end, gap.end);
                lane.nudge.notify_one();
            }
            None => starts.push(self.start(Way::Local, gap.start, gap.end, gap.end)),
        }
    }

    /// A stream brings what it has not passed. For what is behind all of them another one begins, and who is ahead goes on
    /// with the one that there is.
    fn cover_by_stream(&mut self, gap: &Range<u64>, count: u64, starts: &mut Vec<Start>) {
        let wish = self.wishes;
        let before = |lane: &&mut Lane| lane.way == Way::Whole && lane.next <= gap.start;
        if let Some(lane) = self.lanes.iter_mut().filter(before).max_by_key(|lane| lane.next) {
            (lane.want, lane.wish) = (lane.want.max(gap.end), wish);
            lane.nudge.notify_one();
            return;
        }
        self.end_streams();
        self.gone_back |= gap.start < self.passed;
        starts.push(self.start(Way::Whole, 0, gap.end, count));
    }

    /// Makes place for another stream where there is one more than readers already, for a reader of two places or for the
    /// hash: those end that nobody waits for, first the ones that have not been wanted for longest.
    fn end_streams(&mut self) {
        loop {
            let streams = || self.lanes.iter().enumerate().filter(|(_, lane)| lane.way == Way::Whole);
            let idle = streams().filter(|(_, lane)| !self.is_awaited(lane.next..lane.want));
            let oldest = idle.min_by_key(|(_, lane)| lane.wish).map(|(at, _)| at);
            let is_room = u64::try_from(streams().count()).is_ok_and(|count| count <= self.readers);
            match oldest {
                Some(at) if !is_room => self.lanes.swap_remove(at).nudge.notify_one(),
                _ => return,
            }
        }
    }

    fn cover_by_ranges(&mut self, gap: Range<u64>, way: &Way, wish: &Wish, starts: &mut Vec<Start>) {
        let mut at = self.go_on(&gap, way, wish);
        // A request that ran into another one's blocks would fetch them twice.
        let ahead = self.lanes.iter().map(|lane| lane.next).filter(|next| *next >= gap.end).min();
        // What follows the gap within the wish is here or comes otherwise.
        let reach = if gap.end < wish.blocks.end { gap.end } else { wish.reach.max(gap.end) };
        let reach = reach.min(ahead.unwrap_or(u64::MAX));
        while at < gap.end {
            let part = if wish.lanes > 1 { (at + wish.part.max(1)).next_multiple_of(SPAN) } else { reach };
            let end = part.min(reach);
            let want = end.min(gap.end);
            starts.push(self.start(way.clone(), at, want, end));
            at = want;
        }
    }

    /// Lets the request that has got to the beginning of the gap go on; answers the block that it leaves to others.
    fn go_on(&mut self, gap: &Range<u64>, way: &Way, wish: &Wish) -> u64 {
        let arrived = |lane: &&mut Lane| lane.way == *way && lane.want == gap.start && lane.end > gap.start;
        let Some(lane) = self.lanes.iter_mut().find(arrived) else { return gap.start };
        let part = (gap.start + wish.part).next_multiple_of(SPAN);
        if wish.lanes > 1 && lane.end >= part + WORTH_CUTTING {
            // Several share the way now, so that a long request keeps one part of it.
            lane.end = part;
        }
        lane.want = gap.end.min(lane.end);
        lane.nudge.notify_one();
        lane.want
    }

    fn start(&mut self, way: Way, next: u64, want: u64, end: u64) -> Start {
        self.made += 1;
        let (id, nudge) = (LaneId(self.made), Arc::new(Notify::new()));
        let start = Start { id, way: way.clone(), nudge: Arc::clone(&nudge) };
        let (wish, asked) = (self.wishes, BTreeMap::new());
        self.lanes.push(Lane { id, way, next, want, end, busy: next, forsaken: false, wish, asked, nudge });
        start
    }
}

/// The last one of `blocks` that somebody waits for.
fn last_awaited(waiting: &Waiting, blocks: Range<u64>) -> Option<u64> {
    if blocks.is_empty() {
        return None;
    }
    let live = |waiters: &[oneshot::Sender<Arrival>]| waiters.iter().any(|waiter| !waiter.is_closed());
    waiting.range(blocks).rev().find(|(_, waiters)| live(waiters)).map(|(block, _)| *block)
}

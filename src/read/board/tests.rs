//! The rules of the board, without a network.

use std::collections::BTreeSet;

use super::*;

const RANGES: Way = Way::Ranges(None);

fn wish(blocks: Range<u64>) -> Wish {
    Wish { reach: blocks.end, near: 32, blocks, lanes: 1, part: 32, way: RANGES, count: 1000 }
}

/// A board of an image that somebody has open.
fn open() -> Board {
    let mut board = Board::default();
    assert!(board.enter());
    board
}

fn stream(blocks: Range<u64>) -> Wish {
    Wish { way: Way::Whole, ..wish(blocks) }
}

fn fill(blocks: Range<u64>) -> Step {
    Step::Fill(blocks)
}

fn never(_: u64) -> bool {
    false
}

/// A request, by its first block and the one behind its last.
type Request = (u64, u64);

/// The requests that are made for a wish.
fn started(board: &mut Board, wish: &Wish) -> Vec<Request> {
    let starts = board.wish(wish, never, never);
    starts.iter().map(|start| request(board, start)).collect()
}

/// A request that was just made.
fn request(board: &Board, start: &Start) -> Request {
    let lane = board.lanes.iter().find(|lane| lane.id == start.id).unwrap();
    (lane.next, lane.end)
}

#[test]
fn what_is_under_way_is_not_asked_for_again() {
    let mut board = open();
    assert_eq!(started(&mut board, &wish(4..8)), [(4, 8)]);
    assert_eq!(started(&mut board, &wish(5..7)), [] as [Request; 0]);
    assert_eq!(started(&mut board, &wish(2..10)), [(2, 4), (8, 10)]);
    assert_eq!(board.count(), 8);
}

#[test]
fn what_is_here_is_not_asked_for() {
    let mut board = open();
    let starts = board.wish(&wish(0..10), |block| (3..5).contains(&block), never);
    assert_eq!(starts.iter().map(|start| request(&board, start)).collect::<Vec<_>>(), [(0, 3), (5, 10)]);
}

#[test]
fn a_request_goes_on_as_the_window_moves() {
    let mut board = open();
    assert_eq!(started(&mut board, &Wish { reach: 100, ..wish(0..8) }), [(0, 100)]);
    assert_eq!(started(&mut board, &Wish { reach: 116, ..wish(0..16) }), [] as [Request; 0]);
    assert_eq!(board.count(), 16);
    assert_eq!(started(&mut board, &wish(90..110)), [(90, 110)], "what it has not got to is not its own");
}

#[test]
fn a_request_goes_on_to_a_read_that_comes_before_the_ones_in_front_of_it() {
    let board = || {
        let mut board = open();
        board.wish(&Wish { reach: 100, ..wish(0..8) }, never, never);
        board
    };
    let mut early = board();
    assert_eq!(started(&mut early, &wish(24..32)), []);
    assert_eq!(started(&mut early, &wish(8..24)), [], "it brings what is in front of it as well");
    assert_eq!(early.count(), 32);
    assert_eq!(started(&mut board(), &wish(25..33)), [(25, 33)], "that is too far away to wait for it");
    assert_eq!(started(&mut board(), &wish(99..110)), [(99, 110)], "nor does the request go there");
    let starts = board().wish(&wish(24..32), |block| block == 20, never);
    assert_eq!(starts.len(), 1, "a block that is here is not fetched again");
    let mut other = board();
    started(&mut other, &wish(20..21));
    assert_eq!(started(&mut other, &wish(24..32)), [(24, 32)], "nor is one that another request brings");
}

#[test]
fn a_request_ends_where_another_one_begins() {
    let mut board = open();
    started(&mut board, &wish(50..60));
    assert_eq!(started(&mut board, &Wish { reach: 100, ..wish(0..8) }), [(0, 50)]);
}

#[test]
fn several_requests_share_the_way_in_parts_of_whole_spans() {
    let mut board = open();
    let parts = started(&mut board, &Wish { lanes: 4, reach: 1000, ..wish(3..100) });
    assert_eq!(parts, [(3, 40), (40, 72), (72, 104)]);
    assert_eq!(board.count(), 97);
    assert_eq!(started(&mut board, &Wish { lanes: 4, reach: 1000, ..wish(3..120) }), [(104, 136)]);
}

#[test]
fn a_long_request_keeps_one_part_when_others_join() {
    let mut board = open();
    started(&mut board, &Wish { reach: 1000, ..wish(0..8) });
    let parts = started(&mut board, &Wish { lanes: 2, reach: 1000, ..wish(0..64) });
    assert_eq!(parts, [(40, 72)]);
}

#[test]
fn a_request_that_is_nearly_over_is_not_cut_off_when_others_join() {
    let mut board = open();
    // What is left of it beyond a part is less than the sockets of both sides may hold twice.
    let end = 40 + WORTH_CUTTING - 1;
    started(&mut board, &Wish { reach: end, ..wish(0..8) });
    assert_eq!(started(&mut board, &Wish { lanes: 2, reach: 1000, ..wish(0..end - 8) }), []);
    let behind = (end + 32).next_multiple_of(SPAN);
    assert_eq!(started(&mut board, &Wish { lanes: 2, reach: 1000, ..wish(end - 8..behind) }), [(end, behind)]);
}

#[test]
fn a_lane_fills_what_is_wanted_span_by_span_and_then_pauses() {
    let mut board = open();
    let lane = board.wish(&Wish { reach: 100, ..wish(3..20) }, never, never).remove(0).id;
    for blocks in [3..8, 8..16, 16..20] {
        assert_eq!(board.step(lane, 8), fill(blocks.clone()));
        board.advance(lane, &blocks);
    }
    assert_eq!(board.step(lane, 8), Step::Pause);
    assert!(board.retire(lane));
    assert_eq!(board.step(lane, 8), Step::End);
}

#[test]
fn a_lane_does_not_retire_while_more_is_wanted() {
    let mut board = open();
    let lane = board.wish(&Wish { reach: 100, ..wish(0..2) }, never, never).remove(0).id;
    board.advance(lane, &(0..2));
    started(&mut board, &wish(2..3));
    assert!(!board.retire(lane));
    assert_eq!(board.step(lane, 8), fill(2..3));
}

#[test]
fn who_waits_is_served_by_the_run_that_has_the_block() {
    let mut board = open();
    let lane = board.wish(&wish(0..8), never, never).remove(0).id;
    assert!(board.wait(9, false).is_none(), "it is not under way");
    let (_first, _second) = (board.wait(1, false).unwrap(), board.wait(5, false).unwrap());
    assert_eq!(board.advance(lane, &(0..4)).len(), 1);
    assert!(board.is_awaited(4..8));
    assert_eq!(board.remove(lane).len(), 1, "the other one is told when the request is over");
}

#[test]
fn nobody_is_left_waiting_for_what_is_not_under_way() {
    let mut board = open();
    let one = board.wish(&wish(0..4), never, never).remove(0).id;
    board.wish(&wish(4..8), never, never);
    let (_lost, _other) = (board.wait(2, false).unwrap(), board.wait(6, false).unwrap());
    assert_eq!(board.remove(one).len(), 1);
    assert!(board.is_awaited(6..7));
}

#[test]
fn a_reader_who_went_away_keeps_nothing_under_way() {
    let mut board = open();
    let lane = board.wish(&Wish { reach: 100, ..wish(0..8) }, never, never).remove(0).id;
    let waiter = board.wait(3, false).unwrap();
    assert!(board.leave());
    assert_eq!(board.step(lane, 8), fill(0..4));
    drop(waiter);
    assert_eq!(board.step(lane, 8), Step::End);
}

#[test]
fn what_was_to_be_fetched_ahead_goes_with_who_went_away() {
    let mut board = open();
    let lane = board.wish(&Wish { reach: 100, ..wish(0..40) }, never, never).remove(0).id;
    assert_eq!(board.step(lane, 8), fill(0..8));
    let waiter = board.wait(20, false).unwrap();
    board.trim();
    assert_eq!((board.count(), board.is_forsaken(lane)), (21, false), "somebody waits for block 20");
    drop(waiter);
    board.trim();
    assert_eq!((board.count(), board.is_forsaken(lane)), (8, true), "what it is at comes all the same");
    assert!(!board.abandon(lane, false), "the image is open");
    assert_eq!(started(&mut board, &Wish { reach: 100, ..wish(4..30) }), []);
    assert_eq!((board.count(), board.is_forsaken(lane)), (30, false), "somebody else wants it");
    assert!(!board.abandon(lane, true));
    board.trim();
    board.advance(lane, &(0..8));
    assert_eq!((board.step(lane, 8), board.count()), (Step::Pause, 0));
    assert!(board.leave());
    assert!(board.abandon(lane, false));
    assert_eq!(board.step(lane, 8), Step::End);
}

#[test]
fn a_request_that_goes_on_for_somebody_else_is_not_forsaken() {
    for way in [RANGES, Way::Whole] {
        let mut board = open();
        let of = |blocks: Range<u64>, way: &Way| Wish { reach: 100, way: way.clone(), ..wish(blocks) };
        let lane = board.wish(&of(0..8, &way), never, never).remove(0).id;
        assert_eq!(board.step(lane, 8), fill(0..8));
        board.trim();
        assert!(board.is_forsaken(lane));
        assert_eq!(started(&mut board, &of(8..16, &way)), [], "behind what it is at");
        assert!(!board.is_forsaken(lane) && !board.abandon(lane, true));
    }
}

#[test]
fn who_is_ahead_keeps_the_stream_and_who_is_behind_it_has_another_one() {
    let mut board = open();
    board.enter();
    let lane = board.wish(&stream(10..20), never, never).remove(0);
    assert_eq!((request(&board, &lane), board.has_gone_back()), ((0, 1000), false));
    board.advance(lane.id, &(0..16));
    let other = board.wish(&stream(3..5), never, never).remove(0);
    assert_eq!((request(&board, &other), board.has_gone_back()), ((0, 1000), true));
    let (ahead, behind) = (board.wait(18, false).unwrap(), board.wait(4, false).unwrap());
    assert_eq!(board.distance(), Some(4));
    assert_eq!(board.step(lane.id, 8), fill(16..20));
    assert_eq!(board.step(other.id, 8), fill(0..5));
    drop(ahead);
    assert_eq!(started(&mut board, &stream(20..30)), [], "the one that is nearer goes on");
    assert_eq!((board.step(lane.id, 8), board.step(other.id, 8)), (fill(16..24), fill(0..5)));
    drop(behind);
    assert_eq!(board.distance(), None);
    board.trim();
    board.advance(other.id, &(0..5));
    assert_eq!(board.step(other.id, 8), Step::Pause);
}

#[test]
fn there_is_one_stream_more_than_readers_and_those_that_somebody_waits_for() {
    let mut board = open();
    let first = board.wish(&stream(10..20), never, never).remove(0).id;
    board.advance(first, &(0..16));
    let awaited = board.wait(18, false).unwrap();
    let second = board.wish(&stream(3..5), never, never).remove(0).id;
    board.advance(second, &(0..5));
    let third = board.wish(&stream(1..2), never, never).remove(0).id;
    assert_eq!((board.step(first, 8), board.step(second, 8)), (fill(16..20), Step::End), "somebody waits for one");
    drop(awaited);
    board.advance(third, &(0..2));
    assert_eq!(started(&mut board, &stream(3..4)), []);
    let fourth = board.wish(&stream(0..1), never, never).remove(0).id;
    assert_eq!((board.step(first, 8), board.step(third, 8)), (Step::End, fill(2..4)), "who was wanted later stays");
    board.enter();
    board.advance(fourth, &(0..1));
    board.advance(third, &(2..4));
    let fifth = board.wish(&stream(0..1), never, never).remove(0).id;
    assert_eq!((board.step(third, 8), board.step(fourth, 8)), (Step::Pause, Step::Pause), "there are two readers");
    assert_eq!(board.step(fifth, 8), fill(0..1));
}

#[test]
fn a_stream_passes_what_nobody_has_asked_for_up_to_what_is_close_to_what_somebody_has() {
    let mut board = open();
    let lane = board.wish(&stream(100..110), never, never).remove(0).id;
    let step = |board: &mut Board| match board.step(lane, 8) {
        Step::Fill(blocks) => {
            let is_wanted = board.is_wanted(lane, &blocks);
            board.advance(lane, &blocks);
            (blocks.start, blocks.end, is_wanted)
        }
        step => panic!("{step:?}"),
    };
    assert_eq!(step(&mut board), (0, 8, false));
    // Others want parts of what it passes; one waits for another, of a read of several.
    assert_eq!(started(&mut board, &stream(48..50)), []);
    board.ask(&(9..12), 0);
    let _waiter = board.wait(14, false).unwrap();
    assert_eq!([step(&mut board), step(&mut board), step(&mut board)], [(8, 9, false), (9, 16, true), (16, 24, true)]);
    while board.step(lane, 8) != fill(48..56) {
        assert!(step(&mut board).2, "it is near");
    }
    assert_eq!([step(&mut board), step(&mut board)], [(48, 56, true), (56, 64, false)]);
    assert_eq!([step(&mut board), step(&mut board)], [(64, 68, false), (68, 72, true)], "it is near");
    let next = board.step(lane, 8);
    board.ask(&(80..81), 0);
    assert_eq!((next, board.is_wanted(lane, &(80..84))), (fill(72..80), true), "it may be said at any time");
}

#[test]
fn what_is_on_the_disk_does_not_wait_for_a_stream_that_is_to_pass_it() {
    let mut board = open();
    board.wish(&stream(100..110), never, never);
    assert!(board.wait(50, true).is_none());
    let starts = board.wish(&stream(50..52), never, |block| block == 50);
    assert_eq!(starts.iter().map(|start| &start.way).collect::<Vec<_>>(), [&Way::Local]);
    assert!(board.wait(50, true).is_some() && board.wait(51, false).is_some());
}

#[test]
fn a_stream_that_was_given_up_in_a_pause_is_none_that_somebody_went_back_in() {
    let mut board = open();
    let lane = board.wish(&stream(0..10), never, never).remove(0).id;
    board.advance(lane, &(0..10));
    assert!(board.retire(lane));
    board.wish(&stream(10..20), never, never);
    assert!(!board.has_gone_back());
    board.wish(&stream(3..4), |block| block > 3, never);
    let next = board.wish(&stream(0..10), never, never);
    assert!(next.is_empty() && !board.has_gone_back(), "the stream that begins again brings that");
    board.lanes.clear();
    board.wish(&stream(3..4), never, never);
    assert!(board.has_gone_back());
    assert!(board.leave() && board.enter() && !board.has_gone_back());
}

#[test]
fn a_stream_for_who_went_away_goes_no_further_than_others_want_it() {
    let mut board = open();
    let lane = board.wish(&stream(0..9), never, never).remove(0).id;
    let (first, further) = (board.wait(4, false).unwrap(), board.wait(8, false).unwrap());
    drop(further);
    board.trim();
    assert_eq!(board.step(lane, 8), fill(0..5), "up to the block that is waited for");
    drop(first);
    board.trim();
    board.advance(lane, &(0..5));
    assert_eq!(board.step(lane, 8), Step::Pause);
}

#[test]
fn what_is_on_the_disk_is_not_asked_of_the_service() {
    let mut board = open();
    let starts = board.wish(&Wish { reach: 64, ..wish(0..32) }, never, |block| block < 16);
    let ways: Vec<(Way, Request)> = starts.iter().map(|start| (start.way.clone(), request(&board, start))).collect();
    assert_eq!(ways, [(Way::Local, (0, 16)), (RANGES, (16, 64))]);
}

/// Random wishes, landings, failures and ends: each block is on at most one lane, and a wait is never forgotten.
#[test]
fn no_block_is_on_two_lanes_whatever_happens() {
    for seed in 0..300 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (mut board, mut here, mut lanes) = (open(), BTreeSet::new(), Vec::new());
        let mut waits = Vec::new();
        for _ in 0..200 {
            let start = random.u64(..200);
            let blocks = start..start + random.u64(1..40);
            let reach = blocks.end + random.u64(..100);
            let wish = Wish { reach, lanes: random.u64(1..5), part: random.u64(1..40), ..wish(blocks.clone()) };
            let starts = board.wish(&wish, |block| here.contains(&block), never);
            lanes.extend(starts.into_iter().map(|start| start.id));
            for block in blocks {
                let coming = board.lanes.iter().filter(|lane| (lane.next..lane.want).contains(&block)).count();
                assert_eq!(coming, usize::from(!here.contains(&block)), "seed {seed}: block {block}");
            }
            waits.extend(board.wait(start, false));
            let Some(lane) = random.choice(&lanes).copied() else { continue };
            match board.step(lane, random.u64(1..9)) {
                Step::Fill(_) if random.u8(..10) == 0 => drop(board.remove(lane)),
                Step::Fill(blocks) => {
                    here.extend(blocks.clone());
                    board.advance(lane, &blocks);
                }
                Step::Pause => drop(board.retire(lane)),
                Step::End => lanes.retain(|other| *other != lane),
            }
            if random.u8(..4) == 0 {
                here.retain(|_| random.bool());
            }
            if random.u8(..4) == 0 {
                let left = random.usize(..=waits.len());
                waits.truncate(left);
                board.trim();
            }
        }
        for lane in lanes {
            board.remove(lane);
        }
        assert_eq!(board.count(), 0, "seed {seed}");
        assert!(board.waiting.is_empty(), "seed {seed}");
    }
}

/// The same with streams: what is wished for comes or is here, a wait is never forgotten, and streams that nobody waits for
/// are no more than there are readers.
#[test]
fn whatever_happens_streams_bring_what_is_wanted_and_are_few() {
    for seed in 0..300 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (mut board, mut here, mut lanes) = (Board::default(), BTreeSet::new(), Vec::new());
        let mut waits = Vec::new();
        for _ in 0..200 {
            if board.readers() == 0 || random.u8(..20) == 0 {
                board.enter();
            }
            let start = random.u64(..200);
            let blocks = start..start + random.u64(1..40);
            let starts = board.wish(&stream(blocks.clone()), |block| here.contains(&block), never);
            lanes.extend(starts.iter().map(|start| start.id));
            for block in blocks {
                let is_coming = board.lanes.iter().any(|lane| (lane.next..lane.want).contains(&block));
                assert!(is_coming || here.contains(&block), "seed {seed}: block {block}");
            }
            if !starts.is_empty() {
                let unawaited = |lane: &&Lane| !board.is_awaited(lane.next..lane.want);
                let idle = u64::try_from(board.lanes.iter().filter(unawaited).count()).unwrap();
                assert!(idle <= board.readers() + 1, "seed {seed}: {idle} for {}", board.readers());
            }
            waits.extend(board.wait(start, false));
            let Some(lane) = random.choice(&lanes).copied() else { continue };
            match board.step(lane, random.u64(1..9)) {
                Step::Fill(_) if random.u8(..10) == 0 => drop(board.remove(lane)),
                Step::Fill(blocks) => {
                    here.extend(blocks.clone());
                    board.advance(lane, &blocks);
                }
                Step::Pause => drop(random.bool().then(|| board.retire(lane))),
                Step::End => lanes.retain(|other| *other != lane),
            }
            if random.u8(..4) == 0 {
                here.retain(|_| random.bool());
            }
            if random.u8(..8) == 0 {
                let left = random.usize(..=waits.len());
                waits.truncate(left);
                board.leave();
            }
        }
        for lane in lanes {
            board.remove(lane);
        }
        assert_eq!(board.count(), 0, "seed {seed}");
        assert!(board.waiting.is_empty(), "seed {seed}");
    }
}

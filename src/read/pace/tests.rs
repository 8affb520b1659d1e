//! The controller against simulated links.

mod calm;
mod following;

use super::*;

/// A link: what one connection and all of them together carry, in bytes a second, and how long a request takes to be
/// answered.
#[derive(Clone, Copy, Debug)]
struct Link {
    latency: Duration,
    each: f64,
    all: f64,
    /// What each further connection costs the others, as a share.
    drag: f64,
    noise: f64,
    /// How often a connection loses something and stalls, in times a second.
    loss: f64,
}

/// The length of a request, in bytes.
const LENGTH: f64 = 8e6;

/// For how long who lost something waits until it is sent again: the least that Linux does (`TCP_RTO_MIN` of
/// include/net/tcp.h).
const STALL: Duration = Duration::from_millis(200);

impl Link {
    /// Bytes a second with so many requests of one part each at once.
    fn rate(&self, lanes: u64) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "at most 64")]
        let lanes = lanes as f64;
        let one = LENGTH / (self.latency.as_secs_f64() + LENGTH / self.each);
        (one * lanes).min(self.all) * (1.0 - self.drag * (lanes - 1.0)).max(0.1)
    }
}

/// When the connections of a link go on that have lost something.
struct Stalls([Moment; 16]);

impl Stalls {
    /// How many of the first `lanes` connections bring bytes in the step up to `now`.
    fn flowing(&mut self, link: Link, lanes: u64, now: Moment, random: &mut fastrand::Rng) -> u64 {
        let lanes = usize::try_from(lanes).unwrap();
        let mut flowing = 0;
        for until in self.0.iter_mut().take(lanes) {
            if *until <= now && random.f64() < link.loss * 0.005 {
                *until = now + STALL;
            }
            flowing += u64::from(*until <= now);
        }
        flowing
    }
}

/// Bytes arrive, of as many requests as are worth making.
fn arrive(pace: &mut Pace, now: Moment, bytes: u64) {
    while pace.under_way != pace.lanes() {
        if pace.under_way < pace.lanes() { pace.begins(now) } else { pace.ends(now) }
    }
    pace.arrived(now, bytes);
}

/// Lets a reader who always waits read for `time`; answers the controller and the bytes read.
fn play(link: Link, time: Duration, seed: u64) -> (Pace, f64, Vec<u64>) {
    let mut random = fastrand::Rng::with_seed(seed);
    let (mut pace, mut now, mut read) = (Pace::new(16), Duration::ZERO, 0.0);
    let (mut history, mut stalls) = (Vec::new(), Stalls([Duration::ZERO; 16]));
    pace.wait(now);
    pace.answered(link.latency);
    while now < time {
        let noise = 1.0 + link.noise * (random.f64() * 2.0 - 1.0);
        now += Duration::from_millis(5);
        let flowing = stalls.flowing(link, pace.lanes(), now, &mut random);
        let bytes = if flowing == 0 { 0.0 } else { link.rate(flowing) * 0.005 * noise };
        read += bytes;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small and positive")]
        arrive(&mut pace, now, bytes as u64);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small and positive")]
        pace.taken(now, bytes as u64);
        history.push(pace.lanes());
    }
    (pace, read, history)
}

/// The number of requests at which the controller spends most of its time after the beginning.
fn settled(history: &[u64]) -> u64 {
    let late = &history[history.len() / 4..];
    let count = |lanes: u64| late.iter().filter(|seen| **seen == lanes).count();
    [1, 2, 4, 8, 16].into_iter().max_by_key(|lanes| count(*lanes)).unwrap()
}

const CAPPED: Link =
    Link { latency: Duration::from_millis(20), each: 100e6, all: 3e9, drag: 0.0, noise: 0.0, loss: 0.0 };
const LOCAL: Link =
    Link { latency: Duration::from_millis(1), each: 1.5e9, all: 1.7e9, drag: 0.02, noise: 0.0, loss: 0.0 };

#[test]
fn over_a_capped_path_it_ends_at_the_most() {
    for seed in 0..20 {
        let (_, read, history) = play(Link { noise: 0.1, ..CAPPED }, Duration::from_secs(10), seed);
        assert_eq!(settled(&history), 16, "seed {seed}: {history:?}");
        let best = CAPPED.rate(16) * 10.0;
        assert!(read > best * 0.85, "seed {seed}: {read} of {best}");
    }
}

#[test]
fn where_connections_lose_something_now_and_then_the_number_is_found_all_the_same() {
    for (loss, path, wanted) in [(0.5, CAPPED, 16..=16), (2.0, CAPPED, 16..=16), (0.5, LOCAL, 1..=4)] {
        for seed in 0..20 {
            let (_, read, history) = play(Link { noise: 0.1, loss, ..path }, Duration::from_secs(20), seed);
            assert!(wanted.contains(&settled(&history)), "{loss}, seed {seed}: {history:?}");
            // What that many connections bring while they do not stall.
            let best = path.rate(settled(&history)) / (1.0 + loss * STALL.as_secs_f64()) * 20.0;
            assert!(read > best * 0.85, "{loss}, seed {seed}: {read} of {best}");
        }
    }
}

#[test]
fn over_a_capped_path_it_gets_there_within_a_quarter_of_a_second() {
    let (_, _, history) = play(CAPPED, Duration::from_millis(250), 1);
    assert_eq!(history.last(), Some(&16), "{history:?}");
}

#[test]
fn a_mount_that_was_idle_finds_the_number_as_soon_as_a_new_one() {
    let (mut pace, mut now) = (Pace::new(16), Duration::from_secs(1));
    pace.wait(now);
    pace.answered(CAPPED.latency);
    let until = now + Duration::from_millis(250);
    while now < until {
        now += Duration::from_millis(5);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small and positive")]
        let bytes = (CAPPED.rate(pace.lanes()) * 0.005) as u64;
        arrive(&mut pace, now, bytes);
    }
    assert_eq!(pace.lanes(), 16);
}

#[test]
fn on_a_fast_service_close_by_it_ends_near_two() {
    for seed in 0..20 {
        let (_, read, history) = play(Link { noise: 0.1, ..LOCAL }, Duration::from_secs(20), seed);
        assert!(settled(&history) <= 2, "seed {seed}: {history:?}");
        assert!(read > LOCAL.rate(1) * 20.0 * 0.9, "seed {seed}");
    }
}

#[test]
fn what_has_not_paid_is_tried_less_and_less() {
    let (_, _, history) = play(Link { drag: 0.3, ..LOCAL }, Duration::from_mins(1), 1);
    let more = |part: &[u64]| part.iter().filter(|lanes| **lanes > 1).count();
    let (early, late) = history.split_at(history.len() / 2);
    assert!(more(late) <= more(early) && more(late) * 20 <= late.len(), "{} and {}", more(early), more(late));
}

#[test]
fn a_line_that_is_full_with_four_is_not_given_sixteen() {
    let link = Link { all: 400e6, noise: 0.05, ..CAPPED };
    for seed in 0..20 {
        let (_, read, history) = play(link, Duration::from_secs(20), seed);
        assert!((4..=8).contains(&settled(&history)), "seed {seed}: {history:?}");
        assert!(read > 400e6 * 20.0 * 0.8, "seed {seed}");
    }
}

#[test]
fn when_the_path_becomes_short_fewer_requests_are_made() {
    let mut pace = Pace::new(16);
    let mut now = Duration::ZERO;
    pace.wait(now);
    let mut run = |link: Link, time: u64| {
        let end = now + Duration::from_secs(time);
        pace.answered(link.latency);
        while now < end {
            now += Duration::from_millis(5);
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small and positive")]
            let bytes = (link.rate(pace.lanes()) * 0.005) as u64;
            arrive(&mut pace, now, bytes);
        }
        pace.lanes()
    };
    assert_eq!(run(CAPPED, 5), 16);
    let after = run(LOCAL, 120);
    assert!(after <= 4, "{after}");
}

/// Lets `arrives` and `takes` bytes a second pass for `time`, while readers wait or do not.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small and positive")]
fn pass(pace: &mut Pace, now: &mut Moment, time: Duration, [arrives, takes]: [f64; 2]) {
    let until = *now + time;
    while *now < until {
        *now += Duration::from_millis(5);
        arrive(pace, *now, (arrives * 0.005) as u64);
        pace.taken(*now, (takes * 0.005) as u64);
    }
}

#[test]
fn a_single_request_that_falters_for_a_moment_is_left_alone() {
    for (low, high, phase) in (2..10).flat_map(|low| (2..10).map(move |high| (low * 10, high * 10, low + high))) {
        let (mut pace, mut now) = (Pace::new(16), Duration::ZERO);
        pace.wait(now);
        pass(&mut pace, &mut now, Duration::from_millis(3000 + 5 * phase), [600e6, 600e6]);
        let (mut more, mut steps) = (0, 0);
        while steps < 1000 {
            for rate in (0..low).map(|_| [100e6; 2]).chain((0..high).map(|_| [600e6; 2])) {
                pass(&mut pace, &mut now, Duration::from_millis(5), rate);
                (more, steps) = (more + u32::from(pace.lanes() > 1), steps + 1);
            }
        }
        assert!(more * 10 <= steps, "{low} and {high}: in {more} of {steps} steps");
    }
}

#[test]
fn more_requests_are_not_credited_with_the_end_of_a_falter() {
    let mut more = 0;
    for falter in 1..200 {
        let (mut pace, mut now) = (Pace::new(16), Duration::ZERO);
        pace.wait(now);
        pass(&mut pace, &mut now, Duration::from_secs(3), [600e6, 600e6]);
        pass(&mut pace, &mut now, Duration::from_millis(5 * falter), [100e6, 100e6]);
        for _ in 0..400 {
            pass(&mut pace, &mut now, Duration::from_millis(5), [600e6, 600e6]);
            more += u32::from(pace.lanes() > 1);
        }
    }
    assert!(more < 199 * 400 / 36, "in {more} steps of 79,600");
}

#[test]
fn where_the_line_becomes_another_one_the_number_is_found_soon() {
    for phase in 0..40 {
        let (mut pace, mut now) = (Pace::new(16), Duration::ZERO);
        pace.wait(now);
        pass(&mut pace, &mut now, Duration::from_secs(20), [600e6, 600e6]);
        // What is learnt while the line falters says nothing of the line that it is.
        pass(&mut pace, &mut now, Duration::from_secs(1), [100e6, 100e6]);
        pass(&mut pace, &mut now, Duration::from_millis(1500 + phase * 50), [600e6, 600e6]);
        for (link, lanes) in [(CAPPED, 16..=16), (Link { each: 1e9, all: 600e6, ..CAPPED }, 1..=4)] {
            pace.answered(link.latency);
            let until = now + Duration::from_secs(4);
            while now < until {
                let rate = link.rate(pace.lanes());
                pass(&mut pace, &mut now, Duration::from_millis(5), [rate, rate]);
            }
            assert!(lanes.contains(&pace.lanes()), "phase {phase}: {} for {link:?}", pace.lanes());
        }
    }
}

#[test]
fn where_the_line_becomes_slow_more_requests_are_tried_first() {
    let (mut pace, mut now) = (Pace::new(16), Duration::ZERO);
    let mut run = |pace: &mut Pace, link: Link, until: &dyn Fn(&Pace) -> bool| {
        let began = now;
        while !until(pace) {
            let rate = link.rate(pace.lanes());
            pass(pace, &mut now, Duration::from_millis(5), [rate, rate]);
        }
        now.saturating_sub(began)
    };
    pace.wait(Duration::ZERO);
    let full = Link { all: 400e6, ..CAPPED };
    run(&mut pace, full, &|pace| pace.down_next && pace.experiment.is_none() && pace.pause > 100);
    assert_eq!(pace.lanes(), 8);
    let took = run(&mut pace, Link { each: 20e6, ..CAPPED }, &|pace| pace.lanes() != 8);
    assert!(pace.lanes() == 16 && took < Duration::from_secs(3), "{} after {took:?}", pace.lanes());
}

#[test]
fn behind_a_pause_more_requests_are_tried_first() {
    let (mut pace, mut now) = (Pace::new(16), Duration::ZERO);
    let full = Link { all: 400e6, ..CAPPED };
    pace.wait(now);
    while !pace.down_next || pace.experiment.is_some() {
        let rate = full.rate(pace.lanes());
        pass(&mut pace, &mut now, Duration::from_millis(5), [rate, rate]);
    }
    pace.served(now);
    let before = pace.lanes();
    now += Duration::from_secs(3);
    pace.wait(now);
    while pace.lanes() == before {
        let rate = CAPPED.rate(pace.lanes());
        pass(&mut pace, &mut now, Duration::from_millis(5), [rate, rate]);
    }
    assert!(pace.lanes() > before);
}

#[test]
fn a_reader_who_comes_and_goes_finds_the_number_as_soon_as_another() {
    let (mut pace, mut now) = (Pace::new(16), Duration::ZERO);
    pace.answered(CAPPED.latency);
    for pause in [100, 400, 5000].into_iter().cycle().take(30) {
        now += Duration::from_millis(pause);
        pace.wait(now);
        let rate = CAPPED.rate(pace.lanes());
        pass(&mut pace, &mut now, Duration::from_millis(200), [rate, rate]);
        pace.served(now);
    }
    now += Duration::from_secs(3);
    pace.wait(now);
    let until = now + Duration::from_millis(400);
    while now < until {
        let rate = CAPPED.rate(pace.lanes());
        pass(&mut pace, &mut now, Duration::from_millis(5), [rate, rate]);
    }
    // Half of them may be on trial just now.
    assert_eq!(pace.experiment.map_or(pace.lanes(), |experiment| experiment.before), 16);
}

#[test]
fn what_has_failed_before_a_pause_is_tried_soon_behind_it() {
    let (mut pace, mut now) = (Pace::new(16), Duration::ZERO);
    pace.wait(now);
    pass(&mut pace, &mut now, Duration::from_secs(30), [600e6, 600e6]);
    assert_eq!(pace.lanes(), 1);
    pace.served(now);
    now += Duration::from_secs(3);
    // Another network: each request brings as much.
    pace.wait(now);
    assert_eq!(pace.rest, REST, "nor does one that fails there make the next ones rare");
    pace.answered(CAPPED.latency);
    let until = now + Duration::from_millis(600);
    while now < until {
        let rate = CAPPED.rate(pace.lanes());
        pass(&mut pace, &mut now, Duration::from_millis(5), [rate, rate]);
    }
    assert_eq!(pace.lanes(), 16);
}

#[test]
fn bytes_may_gather_only_while_readers_have_theirs_in_time() {
    let (mut pace, mut now) = (Pace::new(16), Duration::ZERO);
    arrive(&mut pace, now, BEGINNING);
    let mut trial = |pace: &mut Pace| {
        now += LONG_TRIAL;
        arrive(pace, now, 1);
        now
    };
    assert!(!pace.is_calm(), "nothing is known yet");
    let passed = trial(&mut pace);
    assert!(pace.is_calm());
    pace.wait(passed);
    assert!(!pace.is_calm(), "somebody waits");
    let passed = trial(&mut pace);
    pace.served(passed);
    assert!(!pace.is_calm(), "somebody has waited all the time");
    // More requests are tried now, and a trial begins with them.
    trial(&mut pace);
    trial(&mut pace);
    assert!(pace.is_calm());
}

#[test]
fn the_bound_of_the_mount_is_kept() {
    let mut pace = Pace::new(3);
    pace.wait(Duration::ZERO);
    for step in 1..2000 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small and positive")]
        let bytes = (CAPPED.rate(pace.lanes()) * 0.005) as u64;
        arrive(&mut pace, Duration::from_millis(step * 5), bytes);
        assert!((1..=3).contains(&pace.lanes()));
    }
}

#[test]
fn a_line_that_brings_nothing_is_judged_all_the_same() {
    let mut pace = Pace::new(16);
    pace.wait(Duration::ZERO);
    let mut most = 0;
    for step in 1..100 {
        arrive(&mut pace, Duration::from_secs(step), 1000);
        most = most.max(pace.lanes());
    }
    assert_eq!((pace.lanes(), most), (1, 2), "more requests brought no more");
}

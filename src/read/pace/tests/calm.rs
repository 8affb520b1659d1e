//! Readers who do not wait, or whose hash sets the pace.

use super::*;

const CLOSE: Link =
    Link { latency: Duration::from_millis(1), each: 0.8e9, all: 0.9e9, drag: 0.0, noise: 0.0, loss: 0.0 };

/// A reader whose hash takes `most` bytes a second, out of what has arrived and not been taken, which is a window at most.
#[derive(Debug)]
struct Behind {
    pace: Pace,
    now: Moment,
    most: f64,
    /// Bytes here, and read.
    here: f64,
    read: f64,
    waits: bool,
}

impl Behind {
    fn new(link: Link, most: f64) -> Self {
        let mut pace = Pace::new(16);
        pace.wait(Duration::ZERO);
        pace.answered(link.latency);
        Self { pace, now: Duration::ZERO, most, here: 0.0, read: 0.0, waits: true }
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "small")]
    fn step(&mut self, link: Link, noise: f64) {
        self.now += Duration::from_millis(5);
        let room = (self.pace.lanes() * self.pace.part()) as f64;
        let bytes = (link.rate(self.pace.lanes()) * 0.005 * noise).min((room - self.here).max(0.0));
        if bytes > 0.0 {
            arrive(&mut self.pace, self.now, bytes as u64);
        }
        self.here += bytes;
        let taken = self.here.min(self.most * 0.005);
        self.pace.taken(self.now, taken as u64);
        (self.here, self.read) = (self.here - taken, self.read + taken);
        let waits = taken < self.most * 0.005;
        match (self.waits, waits) {
            (false, true) => self.pace.wait(self.now),
            (true, false) => self.pace.served(self.now),
            _ => {}
        }
        self.waits = waits;
    }
}

#[test]
fn a_reader_whose_hash_sets_the_pace_has_enough_nearly_always() {
    // Sixteen requests bring 1.3 GB/s, eight 0.64, four 0.32.
    for (most, seed) in
        [0.3e9, 0.5e9, 0.6e9, 0.7e9, 0.9e9].into_iter().flat_map(|most| (0..10).map(move |seed| (most, seed)))
    {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut reader = Behind::new(CAPPED, most);
        while reader.now < Duration::from_secs(4) {
            reader.step(CAPPED, 1.0 + 0.2 * (random.f64() - 0.5));
        }
        let share = reader.read / (most * 4.0);
        assert!(share > 0.9, "{most} bytes a second, seed {seed}: {share}");
    }
}

#[test]
fn a_single_request_that_is_nearly_enough_stays_nearly_alone() {
    // One brings 0.8 GB/s and two 1.1; the hash takes 0.7.
    let link = Link { latency: Duration::from_millis(15), each: 0.85e9, all: 1.1e9, drag: 0.0, noise: 0.0, loss: 0.0 };
    let close = Link { latency: Duration::ZERO, ..link };
    for seed in 0..10 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut reader = Behind::new(link, 0.7e9);
        let mut more = 0;
        while reader.now < Duration::from_secs(4) {
            // A single request is a long one, which waits for no other.
            let link = if reader.pace.lanes() == 1 { close } else { link };
            reader.step(link, 1.0 + 0.2 * (random.f64() - 0.5));
            more += u32::from(reader.pace.lanes() > 1);
        }
        assert!(more < 800 / 5, "seed {seed}: in {more} of 800 steps");
        assert!(reader.read > 0.95 * 0.7e9 * 4.0, "seed {seed}: {}", reader.read);
    }
}

#[test]
fn a_slow_beginning_leaves_no_more_than_two_requests_where_these_are_enough() {
    // The machine is busy with other things while the first bytes arrive.
    let slow = [(0.1, 60), (0.2, 100), (0.4, 100), (0.1, 300)];
    let mut most_tried = 0;
    for (most, (slow, low), seed) in [0.5e9, 0.7e9, 0.85e9]
        .into_iter()
        .flat_map(|most| slow.map(|slow| (most, slow)))
        .flat_map(|(most, slow)| (0..20).map(move |seed| (most, slow, seed)))
    {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut reader = Behind::new(CLOSE, most);
        let mut history = Vec::new();
        while reader.now < Duration::from_secs(4) {
            let slow = if reader.now < Duration::from_millis(low) { slow } else { 1.0 };
            reader.step(CLOSE, slow * (1.0 + 0.6 * (random.f64() - 0.5)));
            history.push(reader.pace.lanes());
        }
        let seen = format!("{most} bytes a second, {slow} of that for {low} ms, seed {seed}");
        let (early, late) = history.split_at(400);
        most_tried = most_tried.max(early.iter().copied().max().unwrap_or(0));
        let many = late.iter().filter(|lanes| **lanes > 2).count();
        assert!(many <= 40, "{seen}: in {many} of {} steps", late.len());
        let share = reader.read / (most.min(CLOSE.rate(1)) * 4.0);
        assert!(share > 0.9, "{seen}: {share}");
    }
    assert!(most_tried > 4, "more seemed to pay at first");
}

#[test]
fn who_needs_his_requests_and_then_more_is_given_those_soon() {
    // Four bring 0.32 GB/s, so that two are tried in vain.
    let mut reader = Behind::new(CAPPED, 0.3e9);
    let mut fewer = 0;
    while reader.now < Duration::from_mins(1) {
        let before = reader.pace.lanes();
        reader.step(CAPPED, 1.0);
        fewer += u32::from(reader.pace.lanes() < before.min(4));
    }
    assert!((3..20).contains(&fewer), "{fewer} times");
    reader.most = 1e9;
    while reader.pace.lanes() < 16 {
        reader.step(CAPPED, 1.0);
        assert!(reader.now < Duration::from_secs(62), "{} requests", reader.pace.lanes());
    }
}

#[test]
fn who_waits_behind_a_trial_with_fewer_requests_that_were_enough_is_given_more_of_them_first() {
    let (mut pace, mut now) = (Pace::new(16), Duration::ZERO);
    (pace.lanes, pace.least) = (4, 40e6);
    while pace.lanes() == 4 {
        pass(&mut pace, &mut now, Duration::from_millis(5), [30e6, 30e6]);
    }
    assert!(pace.lanes() == 2 && pace.experiment.is_some(), "half of them need not be enough");
    while pace.experiment.is_some() {
        pass(&mut pace, &mut now, Duration::from_millis(5), [30e6, 30e6]);
    }
    assert_eq!(pace.lanes(), 2);
    pace.wait(now);
    while pace.lanes() == 2 {
        pass(&mut pace, &mut now, Duration::from_millis(5), [30e6, 30e6]);
    }
    assert_eq!(pace.lanes(), 4);
}

#[test]
fn the_longer_the_way_the_later_fewer_requests_are_tried() {
    // Sixteen bring 1.3 GB/s, and eight 0.64.
    let mut reader = Behind::new(CAPPED, 0.7e9);
    let mut tried = Vec::new();
    while reader.now < Duration::from_secs(30) {
        reader.step(CAPPED, 1.0);
        if reader.pace.experiment.is_some_and(|experiment| experiment.calm) {
            tried.push(reader.now);
        }
    }
    let first = tried.first().copied().unwrap();
    assert!(first > CAPPED.latency * decide::REFILLS, "{first:?}");
    assert!(tried.len() * 20 < 6000, "in {} of 6000 steps", tried.len());
}

#[test]
fn a_slow_reader_says_nothing_of_a_fast_one_behind_a_pause() {
    for most in [20e6, 50e6, 100e6] {
        let mut reader = Behind::new(CAPPED, most);
        reader.pace.lanes = 8;
        while reader.now < Duration::from_secs(5) {
            reader.step(CAPPED, 1.0);
        }
        if reader.waits {
            reader.pace.served(reader.now);
        }
        reader.now += Duration::from_secs(3);
        reader.pace.wait(reader.now);
        assert!(reader.pace.experiment.is_none() && reader.pace.least == 0.0, "{most}");
        (reader.here, reader.most, reader.waits) = (0.0, 1e9, true);
        let until = reader.now + Duration::from_millis(400);
        while reader.now < until {
            reader.step(CAPPED, 1.0);
        }
        let lanes = reader.pace.experiment.map_or(reader.pace.lanes(), |experiment| experiment.before);
        assert_eq!(lanes, 16, "{most} bytes a second before");
    }
}

#[test]
fn a_reader_who_pauses_without_a_wait_keeps_the_requests_that_he_needs() {
    let (mut pace, mut now) = (Pace::new(16), Duration::ZERO);
    (pace.lanes, pace.least) = (16, 1e9);
    // So long a way that fewer are not tried meanwhile.
    pace.answered(CAPPED.latency);
    arrive(&mut pace, now, BEGINNING);
    for _ in 0..8 {
        for _ in 0..80 {
            #[expect(clippy::cast_precision_loss, reason = "at most 64")]
            let rate = pace.lanes() as f64 * 60e6;
            pass(&mut pace, &mut now, Duration::from_millis(5), [rate, rate]);
        }
        // His program writes what it has; what is ahead of him is full.
        now += Duration::from_millis(900);
        let lanes = pace.experiment.map_or(pace.lanes(), |experiment| experiment.before);
        assert_eq!(lanes, 16);
    }
}

#[test]
fn fewer_requests_that_were_enough_make_the_next_ones_fewer_soon() {
    for (most, seed) in [20e6, 70e6].into_iter().flat_map(|most| (0..10).map(move |seed| (most, seed))) {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut reader = Behind::new(CAPPED, most);
        for image in 0..10 {
            // Others have wanted all of them, and no pause is in between.
            (reader.pace.lanes, reader.pace.least) = (16, 1.2e9);
            let until = reader.now + Duration::from_secs(8);
            while reader.now < until && reader.pace.lanes() > 1 {
                reader.step(CAPPED, 1.0 + 0.2 * (random.f64() - 0.5));
            }
            assert_eq!(reader.pace.lanes(), 1, "{most} bytes a second, seed {seed}, image {image}");
        }
    }
}

#[test]
fn a_reader_who_takes_what_is_here_keeps_the_requests_that_he_needs() {
    let (mut pace, mut now) = (Pace::new(16), Duration::ZERO);
    pace.wait(now);
    pace.answered(CAPPED.latency);
    while pace.lanes() < 16 || pace.experiment.is_some() {
        let rate = CAPPED.rate(pace.lanes());
        pass(&mut pace, &mut now, Duration::from_millis(5), [rate, rate]);
    }
    pace.served(now);
    // Little arrives, because much is here.
    pass(&mut pace, &mut now, Duration::from_secs(5), [100e6, 900e6]);
    assert_eq!(pace.experiment.map_or(pace.lanes(), |experiment| experiment.before), 16);
    pass(&mut pace, &mut now, Duration::from_mins(1), [100e6, 100e6]);
    assert!(pace.lanes() < 16, "and no more than these");
}

#[test]
fn a_single_request_is_not_given_up_for_a_little_more() {
    let (mut pace, mut now) = (Pace::new(16), Duration::ZERO);
    pace.wait(now);
    while pace.lanes() == 1 {
        pass(&mut pace, &mut now, Duration::from_millis(5), [500e6, 500e6]);
    }
    // Two bring all that he takes, which is a tenth more.
    pace.served(now);
    while pace.experiment.is_some() {
        pass(&mut pace, &mut now, Duration::from_millis(5), [900e6, 550e6]);
    }
    assert_eq!(pace.lanes(), 1);
}

#[test]
fn a_reader_who_does_not_wait_changes_nothing() {
    let mut pace = Pace::new(16);
    for step in 1..1000 {
        arrive(&mut pace, Duration::from_millis(step * 5), 1 << 20);
    }
    assert_eq!(pace.lanes(), 1);
}

#[test]
fn a_reader_who_stops_waiting_is_given_fewer_requests_and_the_same_bytes() {
    // The line brings 1.2 GB/s with sixteen requests, and the reader takes 90 MB/s after the beginning.
    let (mut pace, mut now) = (Pace::new(16), Duration::ZERO);
    pace.wait(now);
    pace.answered(CAPPED.latency);
    for _ in 0..400 {
        now += Duration::from_millis(5);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small and positive")]
        let bytes = (CAPPED.rate(pace.lanes()) * 0.005) as u64;
        arrive(&mut pace, now, bytes);
    }
    assert_eq!(pace.lanes(), 16);
    pace.served(now);
    for _ in 0..20_000 {
        now += Duration::from_millis(5);
        arrive(&mut pace, now, 450_000);
        pace.taken(now, 450_000);
    }
    assert_eq!(pace.lanes(), 1);
}

#[test]
fn who_waits_again_with_fewer_requests_is_given_more_of_them_first() {
    let (mut pace, mut now) = (Pace::new(16), Duration::ZERO);
    // More than four have failed before.
    (pace.lanes, pace.rest, pace.down_next, pace.least) = (4, 2, true, 40e6);
    while pace.lanes() == 4 {
        pass(&mut pace, &mut now, Duration::from_millis(5), [10e6, 10e6]);
    }
    assert_eq!(pace.lanes(), 2);
    pace.wait(now);
    while pace.lanes() == 2 {
        pass(&mut pace, &mut now, Duration::from_millis(5), [20e6, 20e6]);
    }
    assert_eq!(pace.lanes(), 4);
}

//! Requests under way that follow the number later, or not at all.

use super::*;

#[test]
fn more_requests_are_judged_when_there_are_more_and_not_before() {
    let (mut pace, mut now) = (Pace::new(16), Duration::ZERO);
    pace.wait(now);
    pace.begins(now);
    // The line brings 10 MB/s for each connection, and the only request goes on alone.
    let mut bring = |pace: &mut Pace, requests: u64, time: u64| {
        for _ in 0..time / 5 {
            now += Duration::from_millis(5);
            pace.arrived(now, requests * 50_000);
        }
        now
    };
    while pace.lanes() == 1 {
        bring(&mut pace, 1, 5);
    }
    bring(&mut pace, 1, 2000);
    assert_eq!(pace.lanes(), 2, "nothing has been shown");
    let begun = bring(&mut pace, 1, 5);
    pace.begins(begun);
    bring(&mut pace, 2, 500);
    assert!(pace.lanes() > 2, "they bring twice as much");
}

#[test]
fn more_requests_that_never_come_about_are_given_up_and_tried_again_soon() {
    let (mut pace, mut now) = (Pace::new(16), Duration::ZERO);
    pace.wait(now);
    pace.begins(now);
    let (mut tried, mut was) = (0, 1);
    for _ in 0..20_000 {
        now += Duration::from_millis(5);
        pace.arrived(now, 50_000);
        tried += u32::from(pace.lanes() > was);
        was = pace.lanes();
        assert!(pace.lanes() <= 2);
    }
    assert!((10..20).contains(&tried), "{tried} times in 100 s");
}

#[test]
fn where_more_requests_never_come_about_fewer_are_tried() {
    let (mut pace, mut now) = (Pace::new(16), Duration::ZERO);
    pace.wait(now);
    pace.lanes = 4;
    // The images are so short that there are never more than four, and one would bring as much.
    for _ in 0..2000 {
        now += Duration::from_millis(5);
        while pace.under_way != pace.lanes().min(4) {
            if pace.under_way < pace.lanes() { pace.begins(now) } else { pace.ends(now) }
        }
        pace.arrived(now, 1_000_000);
    }
    assert_eq!(pace.experiment.map_or(pace.lanes(), |experiment| experiment.before), 1);
}

#[test]
fn a_long_image_behind_many_short_ones_has_all_requests_soon() {
    let (mut pace, mut now) = (Pace::new(16), Duration::ZERO);
    pace.wait(now);
    pace.lanes = 4;
    let mut run = |pace: &mut Pace, possible: u64, time: u64| {
        let until = now + Duration::from_secs(time);
        while now < until && pace.lanes() < 16 {
            now += Duration::from_millis(5);
            while pace.under_way != pace.lanes().min(possible) {
                if pace.under_way < pace.lanes().min(possible) { pace.begins(now) } else { pace.ends(now) }
            }
            pace.arrived(now, pace.under_way * 50_000);
        }
    };
    run(&mut pace, 4, 300);
    run(&mut pace, 16, 3);
    assert_eq!(pace.lanes(), 16);
}

#[test]
fn what_is_still_under_way_of_more_requests_is_not_credited_to_fewer() {
    let (mut pace, mut now) = (Pace::new(16), Duration::ZERO);
    pace.wait(now);
    // All together bring 10 MB/s, so that two are no more than one.
    while pace.experiment.is_none() {
        pass(&mut pace, &mut now, Duration::from_millis(5), [10e6, 10e6]);
    }
    while pace.experiment.is_some() {
        pass(&mut pace, &mut now, Duration::from_millis(5), [10e6, 10e6]);
    }
    assert_eq!(pace.lanes(), 1);
    let before = pace.rate;
    // The second one brings its part, and the line is twice as fast for so long.
    assert_eq!(pace.under_way, 2);
    for _ in 0..400 {
        now += Duration::from_millis(5);
        pace.arrived(now, 100_000);
    }
    assert!(pace.rate < before * 1.3, "{} beside {before}", pace.rate);
}

#[test]
fn fewer_requests_are_awaited_also_where_nobody_waits_just_now() {
    let (mut pace, mut now) = (Pace::new(16), Duration::ZERO);
    pace.wait(now);
    pace.answered(Duration::from_millis(1));
    let mut tried = |pace: &mut Pace| {
        while pace.lanes() < 16 || pace.experiment.is_some() || pace.pause > 1 {
            pass(pace, &mut now, Duration::from_millis(5), [160e6, 160e6]);
        }
        // He has what he waited for, and reads again a moment later; sixteen go on for most of a second.
        while pace.lanes() == 16 {
            now += Duration::from_millis(1);
            pace.served(now);
            pace.arrived(now, 160_000);
            pace.wait(now);
        }
        for _ in 0..600 {
            now += Duration::from_millis(1);
            pace.served(now);
            pace.arrived(now, 160_000);
            pace.wait(now);
        }
        pace.lanes()
    };
    (pace.lanes, pace.under_way) = (16, 16);
    assert_eq!(tried(&mut pace), 8, "it is still on trial");
    assert!(pace.experiment.is_some() && pace.trial.bytes == 0);
}

#[test]
fn a_request_that_is_about_to_end_does_not_hide_that_there_are_more() {
    let (mut pace, mut now) = (Pace::new(16), Duration::ZERO);
    pace.wait(now);
    pace.answered(CAPPED.latency);
    let mut run = |pace: &mut Pace, link: Link, time: u64| {
        let until = now + Duration::from_secs(time);
        while now < until {
            now += Duration::from_millis(5);
            // Beside several there is always one more, of which little is left.
            let tail = u64::from(pace.lanes() > 1);
            while pace.under_way != pace.lanes() + tail {
                if pace.under_way < pace.lanes() + tail { pace.begins(now) } else { pace.ends(now) }
            }
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small and positive")]
            pace.arrived(now, (link.rate(pace.lanes()) * 0.005) as u64);
        }
    };
    run(&mut pace, Link { each: 100e6, all: 160e6, ..CAPPED }, 3);
    assert_eq!(pace.experiment.map_or(pace.lanes(), |experiment| experiment.before), 2);
    run(&mut pace, CAPPED, 5);
    assert!(pace.lanes() >= 8, "{}", pace.lanes());
}

#[test]
fn readers_of_single_blocks_are_no_reason_to_try_anything() {
    let (mut pace, mut now) = (Pace::new(16), Duration::ZERO);
    pace.wait(now);
    for step in 0..20_000 {
        now += Duration::from_millis(5);
        // The service answers at its mood.
        pace.arrived(now, if step / 100 % 2 == 0 { 100_000 } else { 500_000 });
        assert_eq!(pace.lanes(), 1);
    }
    // Who reads an image beside them does not wait for long.
    let latest = now + Duration::from_secs(1);
    while pace.lanes() < 16 {
        let rate = CAPPED.rate(pace.lanes());
        pass(&mut pace, &mut now, Duration::from_millis(5), [rate, rate]);
        assert!(now < latest, "{}", pace.lanes());
    }
}

#[test]
fn fewer_requests_of_several_readers_are_awaited_for_what_all_of_them_have_ahead() {
    let (mut pace, mut now) = (Pace::new(16), Duration::ZERO);
    pace.wait(now);
    // Four readers with four parts of 8 MiB each, of which two are to be enough.
    (pace.lanes, pace.under_way, pace.for_each) = (2, 16, 4.0);
    pace.change_from(4, 4 * PART, now);
    for _ in 0..16 * 8 {
        now += Duration::from_millis(6);
        pace.arrived(now, 1 << 20);
        assert!(pace.change.is_some_and(|change| !change.is_followed()), "at {now:?}");
    }
    for _ in 0..8 {
        pace.ends(now);
    }
    assert!(pace.change.is_some_and(|change| change.is_followed()), "the old ones are over");
}

#[test]
fn fewer_requests_are_not_credited_with_what_the_old_ones_bring() {
    let (mut pace, mut now) = (Pace::new(16), Duration::ZERO);
    // Sixteen bring 160 MB/s; a reader takes nearly that, and does not wait.
    (pace.lanes, pace.least) = (16, 160e6);
    for _ in 0..16 {
        pace.begins(now);
    }
    let mut bring = |pace: &mut Pace, time: u64, waits: bool| {
        for _ in 0..time / 5 {
            now += Duration::from_millis(5);
            let bytes = pace.under_way * 50_000;
            pace.arrived(now, bytes);
            pace.taken(now, bytes);
            if waits && pace.waiting == 0 {
                pace.wait(now);
            }
        }
        now
    };
    while pace.lanes() == 16 {
        bring(&mut pace, 5, false);
    }
    // Now he waits for a part, and what is under way goes on.
    bring(&mut pace, 600, true);
    assert!(pace.lanes() == 8 && pace.experiment.is_some(), "eight have shown nothing");
    let over = bring(&mut pace, 5, true);
    for _ in 0..8 {
        pace.ends(over);
    }
    bring(&mut pace, 600, true);
    assert!(pace.lanes() == 16 && pace.experiment.is_none(), "they bring half");
}

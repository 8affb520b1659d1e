//! Readers who go away before they have what they asked for.

use std::time::Duration;

use futures_util::FutureExt;

use super::*;
use crate::cache::SPAN;

/// Asks for bytes at `offset`, and gives up.
async fn give_up(reader: &Reader, offset: u64) {
    let read = tokio::time::timeout(Duration::from_secs(1), reader.read(offset, 100)).await;
    assert!(read.is_err());
}

/// How long it takes until the service answers nobody any more; `None` after an hour.
async fn until_nobody_is_answered(bench: &Bench) -> Option<Duration> {
    let begun = tokio::time::Instant::now();
    while bench.fake.answering() > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        if begun.elapsed() > Duration::from_hours(1) {
            return None;
        }
    }
    Some(begun.elapsed())
}

#[tokio::test(start_paused = true)]
async fn a_request_that_stands_still_ends_with_the_last_reader() {
    for seekless in [false, true] {
        let bench = bench();
        bench.fake.seekless.store(seekless, Ordering::SeqCst);
        let content = bench.fake.add(1, 8 << 20);
        let reader = bench.open(&content);
        bench.fake.hold();
        give_up(&reader, 100).await;
        assert_eq!(bench.fake.answering(), 1, "somebody may come back");
        drop(reader);
        assert!(until_nobody_is_answered(&bench).await.unwrap() <= Duration::from_millis(10));
        assert_eq!(bench.reads.stats().under_way, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_stands_still_ends_soon_after_who_wanted_it_also_where_others_have_the_image_open() {
    for seekless in [false, true] {
        let bench = bench();
        bench.fake.seekless.store(seekless, Ordering::SeqCst);
        let content = bench.fake.add(1, 8 << 20);
        let (_other, reader) = (bench.open(&content), bench.open(&content));
        bench.fake.hold();
        give_up(&reader, 100).await;
        drop(reader);
        let ended = until_nobody_is_answered(&bench).await.unwrap();
        // Whoever is left would have to pass all of a stream again.
        let kept = if seekless { Duration::from_mins(1) } else { Duration::from_secs(5) };
        assert!(ended + Duration::from_secs(2) > kept && ended < kept + Duration::from_secs(1), "{ended:?}");
        assert_eq!(bench.reads.stats().under_way, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn who_goes_away_while_nothing_arrives_does_not_end_the_stream_of_another_reader() {
    let bench = bench();
    bench.fake.seekless.store(true, Ordering::SeqCst);
    let content = bench.fake.add(1, 20 << 20);
    let (staying, leaving) = (bench.open(&content), bench.open(&content));
    for at in (0..8 * MIB).step_by(1 << 20) {
        staying.read(at, 1 << 20).await.unwrap();
    }
    bench.fake.hold();
    give_up(&leaving, 15 << 20).await;
    drop(leaving);
    tokio::time::sleep(Duration::from_secs(30)).await;
    bench.fake.release();
    assert!(read_all(&staying, 131_072).await.unwrap() == bench.fake.bytes(&content));
    assert_eq!(bench.fake.log().iter().filter(|request| request.range.is_none()).count(), 1, "each byte moves once");
}

#[tokio::test(start_paused = true)]
async fn who_comes_back_to_a_forsaken_request_is_served_by_it() {
    for others in [0, 1] {
        let bench = bench();
        let content = bench.fake.add(1, 8 << 20);
        let reader = bench.open(&content);
        let kept: Vec<Reader> = (0..others).map(|_| bench.open(&content)).collect();
        bench.fake.hold();
        give_up(&reader, 100).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        let read = reader.read(50, 100);
        let release = async {
            tokio::time::sleep(Duration::from_secs(30)).await;
            bench.fake.release();
        };
        let (read, ()) = tokio::join!(read, release);
        assert_eq!(read.unwrap(), bench.fake.bytes(&content)[50..150]);
        assert_eq!(bench.fake.log().len(), 1);
        drop(kept);
    }
}

#[tokio::test]
async fn a_stream_does_not_go_on_for_a_reader_of_its_end_who_went_away() {
    for closes in [false, true] {
        let bench = bench();
        bench.fake.seekless.store(true, Ordering::SeqCst);
        let content = bench.fake.add(1, 20 << 20);
        let (other, reader) = (bench.open(&content), bench.open(&content));
        bench.fake.hold();
        {
            let mut read = std::pin::pin!(reader.read(19 << 20, 100));
            while bench.fake.answering() == 0 {
                assert!(read.as_mut().now_or_never().is_none());
                tokio::task::yield_now().await;
            }
        }
        let left = if closes { None } else { Some(reader) };
        bench.fake.release();
        for _ in 0..10_000 {
            tokio::task::yield_now().await;
        }
        assert!(bench.fake.sent() <= 2 * MIB, "{} bytes", bench.fake.sent());
        assert!(read_all(&other, 131_072).await.unwrap() == bench.fake.bytes(&content));
        assert_eq!(bench.fake.sent(), content.size, "it is the same stream");
        drop(left);
    }
}

#[tokio::test]
async fn what_is_fetched_ahead_for_one_reader_goes_on_for_another_when_it_goes_away() {
    let bench = bench();
    let content = bench.fake.add(1, 20 << 20);
    let (one, two) = (bench.open(&content), bench.open(&content));
    for at in (0..8 * MIB).step_by(131_072) {
        assert_eq!(one.read(at, 100).await.unwrap(), two.read(at, 100).await.unwrap());
    }
    drop(one);
    assert!(read_all(&two, 131_072).await.unwrap() == bench.fake.bytes(&content));
    assert!(bench.fake.sent() <= content.size + bench.cut_off(), "{} bytes", bench.fake.sent());
}

#[tokio::test]
async fn what_was_to_be_fetched_ahead_is_not_when_its_reader_closes_an_image_that_others_have_open() {
    let bench = bench();
    let content = bench.fake.add(1, 20 << 20);
    let (_other, reader) = (bench.open(&content), bench.open(&content));
    for at in (0..).step_by(131_072) {
        reader.read(at, 100).await.unwrap();
        if bench.reads.stats().under_way > 2 * SPAN {
            break;
        }
    }
    drop(reader);
    assert!(bench.reads.stats().under_way <= SPAN, "no more than a request is at");
}

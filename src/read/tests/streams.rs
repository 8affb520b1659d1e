//! Stores that answer no ranges.

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use futures_util::FutureExt;

use super::*;

fn seekless(spool: bool) -> Bench {
    let spool = spool.then(std::env::temp_dir);
    let bench = bench_with(8 * MIB, Settings { spool, ..Settings::default() });
    bench.fake.seekless.store(true, Ordering::SeqCst);
    bench
}

fn seekless_or_not(seekless: bool) -> Bench {
    let bench = bench();
    bench.fake.seekless.store(seekless, Ordering::SeqCst);
    bench
}

/// Signs of life, of which there are ten a second.
const TEN_MINUTES: u32 = 6000;

/// Reads a MiB at this place, in MiB, and compares it.
async fn take(bench: &Bench, reader: &Reader, at: u64) {
    let from = usize::try_from(at << 20).unwrap();
    assert!(reader.read(at << 20, 1 << 20).await.unwrap() == bench.fake.bytes(reader.content())[from..][..1 << 20]);
}

/// Requests for whole images.
fn streams(bench: &Bench) -> usize {
    bench.fake.log().iter().filter(|request| request.range.is_none()).count()
}

#[tokio::test]
async fn a_store_without_ranges_is_read_from_one_stream() {
    for spool in [false, true] {
        let bench = seekless(spool);
        let content = bench.fake.add(1, (20 << 20) + 3);
        let reader = bench.open(&content);
        assert!(read_all(&reader, 131_072).await.unwrap() == bench.fake.bytes(&content));
        assert_eq!((streams(&bench), bench.fake.sent()), (1, content.size));
        assert_eq!(reader.verified(), Verified::Yes);
    }
}

#[tokio::test]
async fn going_back_in_a_stream_begins_it_once_more_and_then_never_again() {
    let bench = seekless(true);
    let content = bench.fake.add(1, 20 << 20);
    read_at_random(&bench.open(&content), &bench.fake.bytes(&content), 300, 7).await;
    assert_eq!(streams(&bench), 2, "from then on there is a spool");
    assert!(bench.fake.sent() <= 2 * content.size);
}

#[tokio::test]
async fn random_reads_without_ranges_are_right_without_a_spool() {
    let bench = seekless(false);
    let content = bench.fake.add(1, 20 << 20);
    read_at_random(&bench.open(&content), &bench.fake.bytes(&content), 40, 8).await;
    assert!(streams(&bench) > 1);
}

#[tokio::test]
async fn a_store_is_asked_for_a_range_once() {
    let bench = seekless(true);
    let contents = [1, 2].map(|seed| Content { stores: vec!["rbd".into()], ..bench.fake.add(seed, 100_000) });
    for content in &contents {
        assert_eq!(bench.open(content).read(7, 10).await.unwrap(), bench.fake.bytes(content)[7..17]);
    }
    assert_eq!((bench.fake.log().len(), streams(&bench)), (3, 2));
}

#[tokio::test]
async fn of_two_stores_the_one_that_can_seek_is_used() {
    let bench = bench();
    bench.fake.seekless_stores.lock().unwrap().insert("rbd".into());
    let stores = vec!["rbd".into(), "file".into()];
    let content = Content { stores, ..bench.fake.add(1, 100_000) };
    assert_eq!(bench.open(&content).read(7, 10).await.unwrap(), bench.fake.bytes(&content)[7..17]);
    assert_eq!(bench.fake.log().last().unwrap().store.as_deref(), Some("file"));
    assert_eq!(streams(&bench), 0);
}

#[tokio::test]
async fn readers_of_one_image_share_the_stream() {
    let bench = seekless(true);
    let content = bench.fake.add(1, 6 << 20);
    let (one, two) = (bench.open(&content), bench.open(&content));
    let (first, second) = tokio::join!(read_all(&one, 131_072), read_all(&two, 1 << 20));
    assert!(first.unwrap() == second.unwrap());
    assert_eq!((streams(&bench), bench.fake.sent()), (1, content.size));
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_stream_that_passes_what_it_brought_before_waits_for_as_long_as_bytes_arrive() {
    for seekless in [true, false] {
        let bench = seekless_or_not(seekless);
        let content = bench.fake.add(1, 6 << 20);
        bench.fake.signs.store(TEN_MINUTES, Ordering::SeqCst);
        let begun = tokio::time::Instant::now();
        let read = bench.open(&content).read(5 << 20, 100).await;
        assert_eq!(read.unwrap(), bench.fake.bytes(&content)[5 << 20..][..100]);
        assert!(begun.elapsed() > 4 * Settings::default().patience);
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_the_hash_waits_for_as_long_as_bytes_arrive_for_it() {
    let bench = seekless(false);
    let feed = bench.reads.feed(bench.fake.add(1, 6 << 20));
    let (is_done, begun) = (AtomicBool::new(false), tokio::time::Instant::now());
    let arrive = async {
        for _ in 0..10 {
            tokio::time::sleep(Duration::from_mins(1)).await;
            feed.progress.fetch_add(1, Ordering::Relaxed);
        }
        is_done.store(true, Ordering::Relaxed);
    };
    let (waited, ()) = tokio::join!(feed.wait_for_hash(&bench.reads, |_| is_done.load(Ordering::Relaxed)), arrive);
    assert!(waited.is_ok() && begun.elapsed() >= Duration::from_mins(10));
    let stuck = feed.wait_for_hash(&bench.reads, |_| false).await;
    assert!(matches!(stuck, Err(ReadError::TimedOut { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_passes_what_it_brought_before_lets_readers_of_other_images_go_first() {
    let bench = bench_with(64 * MIB, Settings { max_parallel: 1, ..Settings::default() });
    bench.fake.seekless.store(true, Ordering::SeqCst);
    let contents = [1, 2].map(|seed| bench.fake.add(seed, 1 << 20));
    let [slow, other] = contents.each_ref().map(|content| bench.open(content));
    bench.fake.signs.store(TEN_MINUTES, Ordering::SeqCst);
    let quick = async {
        while bench.fake.answering() == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        bench.fake.signs.store(0, Ordering::SeqCst);
        let begun = tokio::time::Instant::now();
        take(&bench, &other, 0).await;
        begun.elapsed()
    };
    let ((), waited) = tokio::join!(take(&bench, &slow, 0), quick);
    assert!(waited < Settings::default().patience, "{waited:?}");
}

#[tokio::test]
async fn who_reads_what_a_stream_is_to_pass_for_another_reader_needs_no_other_stream() {
    let bench = seekless(false);
    let content = bench.fake.add(1, 60 << 20);
    let (ahead, behind) = (bench.open(&content), bench.open(&content));
    bench.fake.hold();
    let later = async {
        while bench.fake.answering() == 0 {
            tokio::task::yield_now().await;
        }
        take(&bench, &behind, 20).await;
    };
    let release = async {
        for _ in 0..1000 {
            tokio::task::yield_now().await;
        }
        bench.fake.release();
    };
    tokio::join!(take(&bench, &ahead, 40), later, release);
    assert_eq!(streams(&bench), 1);
}

/// What `ahead` reads in this test is all of the image, and what `behind` does from `first` on, in MiB.
async fn read_apart(first: u64) -> Bench {
    let bench = seekless(false);
    let content = bench.fake.add(1, 60 << 20);
    let (ahead, behind) = (bench.open(&content), bench.open(&content));
    for at in 0..40 {
        take(&bench, &ahead, at).await;
    }
    // One after the other, so that neither waits while the other one's bytes are asked for.
    for at in 40..60 {
        take(&bench, &behind, at - 40 + first).await;
        take(&bench, &ahead, at).await;
    }
    for at in 20 + first..60 {
        take(&bench, &behind, at).await;
    }
    assert_eq!(ahead.verified(), Verified::Yes);
    bench
}

#[tokio::test]
async fn readers_far_apart_without_a_spool_do_not_take_the_stream_from_each_other() {
    for first in [0, 5, 20] {
        let bench = read_apart(first).await;
        // Once for each; with as little memory as here something may have been driven out before it was read.
        assert!(bench.fake.sent() <= 240 * MIB, "from {first}: {} bytes", bench.fake.sent());
    }
}

#[tokio::test]
async fn a_reader_of_two_places_without_a_spool_has_a_stream_for_each() {
    let bench = seekless(false);
    let content = bench.fake.add(1, 60 << 20);
    let reader = bench.open(&content);
    for at in 0..20 {
        take(&bench, &reader, 40 + at).await;
        take(&bench, &reader, 10 + at).await;
    }
    assert!(bench.fake.sent() <= 4 * content.size, "{} bytes", bench.fake.sent());
}

#[tokio::test]
async fn what_is_fetched_for_a_hash_is_not_once_nobody_waits_for_that() {
    let bench = bench_with(64 * MIB, Settings { spool: None, ..Settings::default() });
    bench.fake.seekless.store(true, Ordering::SeqCst);
    let content = bench.fake.add(1, 20 << 20);
    let reader = bench.open(&content);
    for at in (10..20).chain(0..9) {
        take(&bench, &reader, at).await;
    }
    let feed = bench.reads.feed(content.clone());
    feed.proof.rested().await;
    bench.reads.cache.forget_image(content.image);
    // What was fetched ahead is gone, so that all comes again: enough of it for the last read, and not for what the hash
    // lacks behind that.
    bench.fake.hold();
    bench.fake.chunks.add_permits((10 << 20) / testing::CHUNK + 2);
    {
        let mut last = std::pin::pin!(reader.read(9 << 20, 1 << 20));
        while feed.proof.hashed() < 10 * MIB {
            assert!(last.as_mut().now_or_never().is_none(), "it waits for the verdict");
            tokio::task::yield_now().await;
        }
    }
    while !feed.is_awaited(10 * MIB / BLOCK..u64::MAX) {
        tokio::task::yield_now().await;
    }
    drop(reader);
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    assert_eq!((bench.fake.answering(), feed.count()), (0, 0));
}

#[tokio::test]
async fn nothing_is_fetched_again_for_a_hash_that_nobody_waits_for() {
    for spool in [false, true] {
        let bench = seekless(spool);
        let content = bench.fake.add(1, 60 << 20);
        for part in [30..60, 0..30] {
            let reader = bench.open(&content);
            for at in part {
                take(&bench, &reader, at).await;
            }
        }
        let feed = bench.reads.feed(content.clone());
        feed.proof.rested().await;
        let sent = bench.fake.sent();
        assert!(sent <= 3 * content.size, "{sent} bytes");
        assert!(feed.shelf.get().is_none(), "a spool that nobody reads");
        assert!(read_all(&bench.open(&content), 1 << 20).await.unwrap() == bench.fake.bytes(&content));
        assert_eq!(feed.proof.verified(), Verified::Yes);
    }
}

#[tokio::test]
async fn readers_who_fall_behind_take_what_has_passed_from_the_spool() {
    let bench = seekless(true);
    let content = bench.fake.add(1, 60 << 20);
    let expected = bench.fake.bytes(&content);
    let readers: Vec<Reader> = (0..10).map(|_| bench.open(&content)).collect();
    let mut places = [0_u64; 10];
    // All are as fast at first; then the n-th one is n times as fast as the first.
    while places.iter().any(|place| *place < content.size) {
        for (speed, (reader, place)) in (1..).zip(readers.iter().zip(&mut places)) {
            for _ in 0..if *place < 20 * MIB { 1 } else { speed } {
                let read = reader.read(*place, 131_072).await.unwrap();
                let from = usize::try_from(*place).unwrap();
                assert!(read == expected[from..from + read.len()]);
                *place += read.len() as u64;
            }
        }
    }
    let sent = bench.fake.sent();
    assert!(sent <= content.size + 8 * MIB, "{sent} bytes: once, and what memory held before there was a spool");
    assert!(readers.iter().all(|reader| reader.verified() == Verified::Yes));
}

#[tokio::test]
async fn who_waits_for_a_block_of_a_stream_is_told_how_far_away_it_is() {
    let bench = seekless(false);
    let content = bench.fake.add(1, 20 << 20);
    let reader = bench.open(&content);
    bench.fake.hold();
    let mut read = std::pin::pin!(reader.read(15 << 20, 100));
    while bench.fake.answering() == 0 {
        assert!(read.as_mut().now_or_never().is_none());
        tokio::task::yield_now().await;
    }
    let told = || bench.reads.downloads().first().map(|read| read.to_pass);
    assert_eq!(told(), Some(15 << 20));
    bench.fake.release();
    read.await.unwrap();
    assert_eq!(told(), Some(0));
}

#[tokio::test]
async fn a_stream_runs_ahead_of_its_readers_no_further_than_the_window() {
    let bench = seekless(true);
    let content = bench.fake.add(1, 20 << 20);
    let reader = bench.open(&content);
    reader.read(0, 4096).await.unwrap();
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    assert!(bench.fake.sent() <= MIB, "{} bytes", bench.fake.sent());
}

#[tokio::test]
async fn a_stream_that_dies_is_told_and_the_next_read_begins_another() {
    let bench = seekless(true);
    let content = bench.fake.add(1, 4 << 20);
    let reader = bench.open(&content);
    reader.read(0, 4096).await.unwrap();
    bench.reads.forget(content.image);
    bench.fake.cut.store(2 << 20, Ordering::SeqCst);
    let other = bench.fake.add(2, 4 << 20);
    let reader = bench.open(&other);
    assert!(matches!(reader.read(3 << 20, 10).await, Err(ReadError::Service(_))));
    assert_eq!(bench.reads.stats().under_way, 0);
    bench.fake.cut.store(usize::MAX, Ordering::SeqCst);
    assert!(read_all(&reader, 131_072).await.unwrap() == bench.fake.bytes(&other));
}

#[tokio::test]
async fn a_stream_that_is_torn_down_tells_all_who_wait() {
    let bench = seekless(false);
    let known = bench.fake.add(1, 1 << 20);
    // The service in memory panics over an image that it does not have.
    let reader = bench.open(&Content { image: ImageId::random(), ..known });
    for _ in 0..2 {
        assert!(matches!(reader.read(0, 10).await, Err(ReadError::Service(_))));
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_nobody_wants_more_of_ends_and_begins_again_on_demand() {
    let bench = seekless(true);
    let content = bench.fake.add(1, 8 << 20);
    let reader = bench.open(&content);
    reader.read(0, 4096).await.unwrap();
    tokio::time::sleep(Duration::from_mins(10)).await;
    let expected = bench.fake.bytes(&content);
    assert_eq!(reader.read(6 << 20, 10).await.unwrap(), expected[6 << 20..][..10]);
    assert_eq!(streams(&bench), 2);
}

#[tokio::test]
async fn damaged_bytes_of_a_stream_are_found_and_not_kept() {
    let bench = seekless(true);
    let content = bench.fake.add(1, 3 << 20);
    bench.fake.damage(&content, 1_000_000);
    let reader = bench.open(&content);
    assert!(matches!(read_all(&reader, 131_072).await, Err(ReadError::HashMismatch { .. })));
    bench.fake.damage(&content, 1_000_000);
    assert!(read_all(&bench.open(&content), 131_072).await.is_ok());
}

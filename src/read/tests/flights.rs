//! Single flight, failures and waiters.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::*;
use crate::cache::{BLOCK, SPAN};
use crate::service::Kind;

#[tokio::test]
async fn two_readers_of_one_block_share_one_request() {
    let bench = bench();
    let content = bench.fake.add(1, 300_000);
    let (one, two) = (bench.open(&content), bench.open(&content));
    let (first, second) = tokio::join!(one.read(0, 100), two.read(100_000, 100));
    assert_eq!(first.unwrap(), bench.fake.bytes(&content)[..100]);
    assert_eq!(second.unwrap(), bench.fake.bytes(&content)[100_000..100_100]);
    assert_eq!(bench.fake.log().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_reader_neither_ends_the_fetch_nor_loses_it() {
    let bench = bench();
    let content = bench.fake.add(1, 300_000);
    let (one, two) = (bench.open(&content), bench.open(&content));
    bench.fake.hold();
    let cancelled = tokio::time::timeout(Duration::from_secs(1), one.read(0, 100)).await;
    assert!(cancelled.is_err());
    let release = async { bench.fake.release() };
    let (second, ()) = tokio::join!(two.read(0, 100), release);
    assert_eq!(second.unwrap(), bench.fake.bytes(&content)[..100]);
    assert_eq!((bench.fake.log().len(), bench.reads.stats().under_way), (1, 0));
}

#[tokio::test]
async fn a_failed_fetch_is_told_to_all_who_wait_and_the_next_read_tries_again() {
    let bench = bench();
    let content = bench.fake.add(1, 300_000);
    let (one, two) = (bench.open(&content), bench.open(&content));
    bench.fake.failures.store(1, Ordering::SeqCst);
    let (first, second) = tokio::join!(one.read(0, 100), two.read(0, 100));
    for outcome in [first, second] {
        assert!(matches!(outcome, Err(ReadError::Service(error)) if error.kind == Kind::Unavailable));
    }
    assert_eq!((bench.fake.log().len(), bench.reads.stats().under_way), (1, 0));
    assert_eq!(one.read(0, 100).await.unwrap(), bench.fake.bytes(&content)[..100]);
}

#[tokio::test]
async fn bytes_that_end_too_early_are_an_error_and_never_a_short_read() {
    let bench = bench();
    let content = bench.fake.add(1, 300_000);
    let reader = bench.open(&content);
    bench.fake.cut.store(99_999, Ordering::SeqCst);
    let outcome = reader.read(0, 100).await;
    assert!(matches!(outcome, Err(ReadError::Service(error)) if error.kind == Kind::Malformed));
    bench.fake.cut.store(usize::MAX, Ordering::SeqCst);
    assert_eq!(reader.read(0, 100).await.unwrap(), bench.fake.bytes(&content)[..100]);
}

#[tokio::test(start_paused = true)]
async fn a_read_for_which_nothing_arrives_ends_at_its_deadline() {
    let bench = bench();
    let content = bench.fake.add(1, 300_000);
    bench.fake.hold();
    let begun = tokio::time::Instant::now();
    let outcome = bench.open(&content).read(0, 100).await;
    assert!(matches!(outcome, Err(ReadError::TimedOut { .. })));
    assert_eq!(begun.elapsed().as_secs(), 120);
}

#[tokio::test(start_paused = true)]
async fn a_read_that_met_its_deadline_is_given_up_once_more_at_once_and_then_tried_again() {
    let bench = bench();
    let content = bench.fake.add(1, 3_000_000);
    let reader = bench.open(&content);
    bench.fake.hold();
    let passed = async |offset| {
        let begun = tokio::time::Instant::now();
        assert!(matches!(reader.read(offset, 100).await, Err(ReadError::TimedOut { .. })));
        begun.elapsed().as_secs()
    };
    assert_eq!((passed(0).await, passed(50).await), (120, 0));
    // The request ends as well.
    tokio::time::advance(Duration::from_millis(1)).await;
    assert_eq!(passed(50).await, 120, "it is said once");
    assert_eq!(passed(1_000_000).await, 120, "bytes that nobody has waited for");
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(passed(1_000_000).await, 120, "a second is over");
    let (_, _) = tokio::join!(reader.read(2_000_000, 100), reader.read(2_500_000, 100));
    assert_eq!((passed(2_000_000).await), 0, "both were given up together");
    bench.fake.release();
    assert_eq!(reader.read(1_000_000, 100).await.unwrap(), bench.fake.bytes(&content)[1_000_000..1_000_100]);
}

#[tokio::test(start_paused = true)]
async fn a_block_is_given_out_before_its_neighbours_have_arrived() {
    let bench = bench();
    let content = bench.fake.add(1, 4 << 20);
    let reader = bench.open(&content);
    bench.fake.hold();
    // Enough chunks for the first span, and not for the second one of the same request.
    bench.fake.chunks.add_permits(12);
    let (span, first) = (u32::try_from(SPAN * BLOCK).unwrap(), reader.read(0, 2 << 20));
    let other = bench.open(&content);
    let (whole, block) =
        tokio::join!(tokio::time::timeout(Duration::from_secs(1), first), async { other.read(0, span).await });
    assert!(whole.is_err());
    assert_eq!(block.unwrap(), bench.fake.bytes(&content)[..1 << 20]);
    assert_eq!(bench.fake.log().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_among_failures_get_the_right_bytes_or_an_error() {
    for seekless in [false, true] {
        let bench = bench_with(16 * MIB, Settings { spool: None, ..Settings::default() });
        bench.fake.seekless.store(seekless, Ordering::SeqCst);
        let content = bench.fake.add(1, 6 << 20);
        let readers = (0..4_u64).map(|seed| {
            let (reader, fake) = (bench.open(&content), Arc::clone(&bench.fake));
            tokio::spawn(async move {
                let (expected, mut random) = (fake.bytes(reader.content()), fastrand::Rng::with_seed(seed));
                for _ in 0..60 {
                    fake.failures.store(random.u32(..2), Ordering::SeqCst);
                    let offset = random.usize(..expected.len() - 100_000);
                    let outcome = reader.read(offset as u64, 100_000).await;
                    assert!(outcome.is_err() || outcome.unwrap() == expected[offset..offset + 100_000], "seed {seed}");
                }
            })
        });
        for reader in readers.collect::<Vec<_>>() {
            reader.await.unwrap();
        }
        bench.fake.failures.store(0, Ordering::SeqCst);
        read_at_random(&bench.open(&content), &bench.fake.bytes(&content), 20, 9).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_image_that_hangs_does_not_keep_another_from_being_read() {
    let bench = bench();
    let (hanging, other) = (bench.fake.add(1, 300_000), bench.fake.add(2, 300_000));
    let (stuck, free) = (bench.open(&hanging), bench.open(&other));
    free.read(0, 10).await.unwrap();
    bench.fake.hold();
    let (failed, read) = tokio::join!(stuck.read(0, 10), free.read(10, 10));
    assert!(failed.is_err());
    assert_eq!(read.unwrap(), bench.fake.bytes(&other)[10..20]);
}

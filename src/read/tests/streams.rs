//! Stores that answer no ranges.

use super::*;

fn seekless(spool: bool) -> Bench {
    let spool = spool.then(std::env::temp_dir);
    let bench = bench_with(8 * MIB, Settings { spool, ..Settings::default() });
    bench.fake.seekless.store(true, Ordering::SeqCst);
    bench
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

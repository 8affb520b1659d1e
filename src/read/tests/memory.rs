//! The budget.

use super::*;
use crate::cache::Run;

async fn ten_readers(budget: u64, settings: Settings, seekless: bool) -> Bench {
    let bench = bench_with(budget, settings);
    bench.fake.seekless.store(seekless, Ordering::SeqCst);
    // All are open before the first one reads: a buffer that is being made counts as somebody else's for a moment.
    let open: Vec<_> = (0..10)
        .map(|seed| {
            let content = bench.fake.add(seed, (3 << 20) + 12_345);
            (seed, bench.open(&content), bench.fake.bytes(&content))
        })
        .collect();
    let readers: Vec<_> = open
        .into_iter()
        .map(|(seed, reader, expected)| {
            tokio::spawn(async move {
                let step = if seed % 2 == 0 { 1 << 20 } else { 131_072 };
                assert!(read_all(&reader, step).await.unwrap() == expected);
                assert_eq!(reader.verified(), Verified::Yes);
                read_at_random(&reader, &expected, 20, seed).await;
            })
        })
        .collect();
    for reader in readers {
        reader.await.unwrap();
    }
    assert!(bench.budget.peak() <= budget);
    bench
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_readers_of_ten_images_stay_within_the_budget() {
    let bench = ten_readers(16 * MIB, Settings::default(), false).await;
    assert!(bench.budget.peak() > 8 * MIB, "the budget is used");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_readers_make_progress_on_the_least_budget() {
    let bench = ten_readers(16 * MIB, Settings::default(), true).await;
    assert!(bench.reads.stats().streams >= 10);
    ten_readers(MINIMUM, Settings::default(), false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_readers_at_random_places_are_right_on_the_least_budget() {
    let folder = Some(std::env::temp_dir());
    for (seekless, spool) in [(false, None), (true, folder), (true, None)] {
        let bench = bench_with(MINIMUM, Settings { spool, ..Settings::default() });
        bench.fake.seekless.store(seekless, Ordering::SeqCst);
        let contents = [1, 2].map(|seed| bench.fake.add(seed, 6 << 20));
        let readers = (0..12).map(|seed| {
            let content = &contents[seed % 2];
            let (reader, expected) = (bench.open(content), bench.fake.bytes(content));
            tokio::spawn(async move { read_at_random(&reader, &expected, 25, seed as u64).await })
        });
        for reader in readers.collect::<Vec<_>>() {
            reader.await.unwrap();
        }
        // Read-ahead may still be under way; it ends by itself.
        while bench.reads.stats().under_way > 0 {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn never_more_requests_are_open_than_there_may_be() {
    let bench = bench_with(64 * MIB, Settings { max_parallel: 2, ..Settings::default() });
    let readers = (0..8).map(|seed| {
        let content = bench.fake.add(seed, 20 << 20);
        let (reader, expected) = (bench.open(&content), bench.fake.bytes(&content));
        tokio::spawn(async move {
            // Each leaves requests open that it may go on with.
            for part in [0, 10 * MIB] {
                for at in (part..part + 6 * MIB).step_by(131_072) {
                    reader.read(at, 131_072).await.unwrap();
                }
            }
            read_at_random(&reader, &expected, 20, seed).await;
            assert!(read_all(&reader, 131_072).await.unwrap() == expected);
        })
    });
    for reader in readers.collect::<Vec<_>>() {
        reader.await.unwrap();
    }
    assert_eq!(bench.fake.most(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_nobody_wants_more_of_is_ended_for_who_waits_for_one() {
    let bench = bench_with(64 * MIB, Settings { max_parallel: 1, ..Settings::default() });
    let (content, other) = (bench.fake.add(1, 30 << 20), bench.fake.add(2, 1 << 20));
    let reader = bench.open(&content);
    for at in (0..6 * MIB).step_by(131_072) {
        reader.read(at, 131_072).await.unwrap();
    }
    while bench.reads.stats().under_way > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(bench.fake.answering(), 1, "somebody may come back to it");
    let begun = tokio::time::Instant::now();
    assert_eq!(bench.open(&other).read(5, 10).await.unwrap(), bench.fake.bytes(&other)[5..15]);
    assert!(begun.elapsed() < Duration::from_millis(100), "{:?}", begun.elapsed());
    assert_eq!(bench.fake.most(), 1);
    assert!(read_all(&reader, 131_072).await.unwrap() == bench.fake.bytes(&content));
}

#[tokio::test]
async fn blocks_that_were_evicted_before_their_hash_are_fetched_again_for_it() {
    let bench = bench_with(MINIMUM, Settings::default());
    let content = bench.fake.add(1, 12 << 20);
    let reader = bench.open(&content);
    // The first block comes last, when the others have long made room for each other.
    for at in (0..12).rev() {
        reader.read(at * MIB, 1 << 20).await.unwrap();
    }
    assert_eq!(reader.verified(), Verified::Yes);
}

#[tokio::test]
async fn all_memory_is_given_back_when_nothing_is_cached() {
    let bench = bench();
    let content = bench.fake.add(1, 3 << 20);
    let reader = bench.open(&content);
    let reply = reader.read(100, 1 << 20).await.unwrap();
    bench.reads.forget(content.image);
    // What waits for the hash goes once it was hashed.
    while bench.budget.held() > 1 << 20 {
        tokio::task::yield_now().await;
    }
    assert_eq!(bench.budget.held(), 1 << 20);
    drop(reply);
    assert_eq!(bench.budget.held(), 0);
}

#[tokio::test]
async fn what_is_remembered_of_images_that_nobody_has_open_is_bounded() {
    let bench = bench();
    let buffer = || {
        let mut buffer = bench.reads.cache.try_buffer(BLOCK).unwrap();
        buffer.fill(&vec![0; usize::try_from(BLOCK).unwrap()]);
        buffer
    };
    let bytes = || lock(&bench.reads.feeds).iter().map(|(_, feed)| feed.proof.bytes()).sum::<usize>();
    let mut open = Vec::new();
    for _ in 0..8 {
        let content = Content { size: u64::MAX, ..bench.fake.add(1, 10) };
        let reader = bench.open(&content);
        let feed = bench.reads.feed(content.clone());
        // The least that has to be known of blocks which are all over the image.
        for block in (0..400).map(|place| place << 30) {
            let run = Run::new(&feed.identity, block..block + 1, buffer()).unwrap();
            feed.proof.note(&run.range(), &run, 0);
        }
        assert!(bench.reads.verified(&content).is_some(), "the last one is remembered");
        open.push(reader);
    }
    assert!(bytes() > 2 * REMEMBERED_BYTES, "what is open is known: {}", bytes());
    open.clear();
    assert!(bytes() <= REMEMBERED_BYTES, "{}", bytes());
    assert!(bytes() > REMEMBERED_BYTES / 2, "some of them are");
    for _ in 0..2 * REMEMBERED {
        bench.reads.feed(bench.fake.add(1, 10));
    }
    assert!(lock(&bench.reads.feeds).len() <= REMEMBERED + 1);
}

#[tokio::test]
async fn opening_is_refused_where_others_hold_the_memory() {
    let bench = bench_with(8 * MIB, Settings::default());
    let content = bench.fake.add(1, 1 << 20);
    let held = bench.budget.reserve(5 * MIB).unwrap();
    let refused = bench.reads.open(content.clone()).unwrap_err();
    assert!(matches!(refused, ReadError::Memory(_)));
    assert!(refused.to_string().contains("--memory"), "{refused}");
    drop(held);
    assert!(bench.reads.open(content).is_ok());
}

#[tokio::test]
async fn a_reply_larger_than_the_budget_is_refused_at_once() {
    let bench = bench_with(MINIMUM, Settings::default());
    let content = bench.fake.add(1, 8 << 20);
    let reader = bench.open(&content);
    for len in [8 << 20, 4 << 20, (2 << 20) + 1] {
        assert!(matches!(reader.read(0, len).await, Err(ReadError::Memory(_))));
    }
    assert!(bench.fake.log().is_empty());
    assert_eq!(reader.read(0, 2 << 20).await.unwrap().len(), 2 << 20);
}

use super::*;
use crate::cache::{BLOCK, SPAN};
use crate::image::Checksums;

fn content(blocks: u64) -> Identity {
    Identity::new(ImageId::random(), blocks * BLOCK, Checksums::default())
}

fn cache(blocks: u64) -> Cache {
    Cache::with_shards(Budget::new(blocks * BLOCK), 1)
}

fn run(cache: &Cache, content: &Identity, blocks: std::ops::Range<u64>) -> Run {
    let range = content.bytes(&blocks);
    let mut buffer = cache.try_buffer(range.end - range.start).unwrap();
    buffer.whole().fill(u8::try_from(blocks.start % 251).unwrap());
    Run::new(content, blocks, buffer).unwrap()
}

fn put(cache: &Cache, content: &Identity, block: u64) {
    cache.put(run(cache, content, block..block + 1));
}

/// Which of the first blocks of these spans are here.
fn here<const N: usize>(cache: &Cache, content: &Identity, spans: [u64; N]) -> [bool; N] {
    spans.map(|span| cache.has(content, span * SPAN))
}

#[test]
fn a_run_gives_its_bytes_only_to_those_who_name_them() {
    let cache = cache(8);
    let (one, two) = (content(9), content(9));
    let kept = run(&cache, &one, 1..3);
    assert!(kept.bytes_of(&one, &(BLOCK..3 * BLOCK)).is_some());
    for range in [BLOCK - 1..2 * BLOCK, 2 * BLOCK..3 * BLOCK + 1] {
        assert!(kept.bytes_of(&one, &range).is_none(), "{range:?}");
    }
    assert!(kept.bytes_of(&two, &(BLOCK..2 * BLOCK)).is_none());
    assert!(kept.share(&two, &(BLOCK..2 * BLOCK)).is_none());
}

#[test]
fn a_run_of_the_wrong_length_or_across_spans_is_none() {
    let cache = cache(40);
    let content = content(20);
    let buffer = |blocks: u64| {
        let mut buffer = cache.try_buffer(blocks * BLOCK).unwrap();
        buffer.whole();
        buffer
    };
    assert!(Run::new(&content, 0..2, buffer(1)).is_none());
    assert!(Run::new(&content, SPAN - 1..SPAN + 1, buffer(2)).is_none());
    assert!(Run::new(&content, 19..21, buffer(2)).is_none());
    assert!(Run::new(&content, 19..20, buffer(1)).is_some());
}

#[test]
fn equal_contents_are_found_by_whoever_names_them_anew() {
    let cache = cache(8);
    let (image, checksums) = (ImageId::random(), Checksums { md5: Some("a".into()), ..Checksums::default() });
    put(&cache, &Identity::new(image, 5 * BLOCK, checksums.clone()), 3);
    assert!(cache.has(&Identity::new(image, 5 * BLOCK, checksums.clone()), 3));
    assert!(!cache.has(&Identity::new(image, 6 * BLOCK, checksums), 3));
    assert!(!cache.has(&Identity::new(image, 5 * BLOCK, Checksums::default()), 3));
}

#[test]
fn the_least_recently_used_block_makes_room() {
    let cache = cache(3);
    let content = content(5 * SPAN);
    (0..3).for_each(|span| put(&cache, &content, span * SPAN));
    assert!(cache.get(&content, 0, Use::Kept).is_some());
    put(&cache, &content, 3 * SPAN);
    assert_eq!(here(&cache, &content, [0, 1, 2, 3]), [true, false, true, true]);
    assert_eq!(cache.budget().peak(), 3 * BLOCK);
}

#[test]
fn a_copy_of_a_huge_image_makes_room_for_itself_and_not_at_the_cost_of_others() {
    let cache = cache(8);
    let (used, huge) = (content(4 * SPAN), content(100 * SPAN));
    for span in 0..4 {
        put(&cache, &used, span * SPAN);
        assert!(cache.get(&used, span * SPAN, Use::Kept).is_some());
    }
    for span in 0..100 {
        put(&cache, &huge, span * SPAN);
        let run = cache.get(&huge, span * SPAN, Use::Passing).unwrap();
        cache.passed(&run);
    }
    assert_eq!(here(&cache, &used, [0, 1, 2, 3]), [true; 4]);
    assert_eq!(here(&cache, &huge, [95, 96, 97, 98, 99]), [false, true, true, true, true], "the oldest went first");
}

#[test]
fn what_was_passed_and_is_used_again_is_kept() {
    let cache = cache(3);
    let content = content(9 * SPAN);
    for span in 0..3 {
        put(&cache, &content, span * SPAN);
        cache.passed(&cache.get(&content, span * SPAN, Use::Passing).unwrap());
    }
    let again = cache.get(&content, 0, Use::Kept).unwrap();
    cache.passed(&again);
    drop(again);
    put(&cache, &content, 3 * SPAN);
    put(&cache, &content, 4 * SPAN);
    assert_eq!(here(&cache, &content, [0, 1, 2, 3, 4]), [true, false, false, true, true]);
}

#[test]
fn a_longer_run_replaces_those_within_it() {
    let cache = cache(SPAN + 2);
    let content = content(SPAN);
    put(&cache, &content, 0);
    put(&cache, &content, 2);
    cache.put(run(&cache, &content, 0..SPAN));
    assert_eq!((cache.count(), cache.budget().held()), (SPAN, SPAN * BLOCK));
}

#[test]
fn memory_is_held_for_as_long_as_a_reply_lives() {
    let cache = cache(2);
    let content = content(2);
    let kept = run(&cache, &content, 0..1);
    let reply = kept.share(&content, &(0..100_000)).unwrap();
    drop(kept);
    assert_eq!(cache.budget().held(), BLOCK);
    drop(reply);
    assert_eq!(cache.budget().held(), 0);
}

#[test]
fn a_small_reply_keeps_no_run_in_memory() {
    let cache = cache(1);
    let content = content(1);
    let reply = run(&cache, &content, 0..1).share(&content, &(5..4101)).unwrap();
    assert_eq!((reply.len(), cache.budget().held()), (4096, 0));
}

#[test]
fn blocks_that_somebody_holds_are_not_evicted_in_vain() {
    let cache = cache(2);
    let content = content(3);
    let held: Vec<Run> = (0..2).map(|block| run(&cache, &content, block..block + 1)).collect();
    for run in &held {
        cache.put(run.clone());
    }
    assert!(cache.try_buffer(BLOCK).is_err());
    assert_eq!(cache.count(), 2);
    drop(held);
    assert!(cache.try_buffer(BLOCK).is_ok());
}

#[test]
fn forgetting_an_image_gives_its_memory_back() {
    let cache = cache(8);
    let (one, two) = (content(2), content(2));
    put(&cache, &one, 0);
    put(&cache, &two, 0);
    cache.forget_image(one.image());
    assert_eq!((cache.count(), cache.budget().held()), (1, BLOCK));
    cache.forget_content(&two);
    assert_eq!(cache.budget().held(), 0);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_memory_gets_it_when_a_buffer_is_given_back() {
    let cache = Arc::new(cache(1));
    let held = cache.try_buffer(BLOCK).unwrap();
    let deadline = Instant::now() + Duration::from_secs(5);
    let waiting = tokio::spawn({
        let cache = Arc::clone(&cache);
        async move { cache.buffer(BLOCK, deadline).await.map(|buffer| buffer.missing()) }
    });
    tokio::task::yield_now().await;
    drop(held);
    assert!(waiting.await.unwrap().is_ok());
    assert!(Instant::now() < deadline);
}

#[tokio::test(start_paused = true)]
async fn waiting_for_memory_ends_at_the_deadline() {
    let cache = cache(1);
    let _held = cache.try_buffer(BLOCK).unwrap();
    let refused = cache.buffer(1, Instant::now() + Duration::from_secs(5)).await.unwrap_err();
    assert_eq!((refused.wanted, refused.left), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn memory_given_back_by_another_part_of_the_program_is_found() {
    let budget = Budget::new(BLOCK);
    let cache = Cache::new(budget.clone());
    let foreign = budget.reserve(BLOCK).unwrap();
    assert_eq!(cache.held_by_others(), BLOCK);
    let give_back = async {
        tokio::time::advance(Duration::from_secs(1)).await;
        drop(foreign);
    };
    let (buffer, ()) = tokio::join!(cache.buffer(BLOCK, Instant::now() + Duration::from_secs(5)), give_back);
    assert!(buffer.is_ok());
}

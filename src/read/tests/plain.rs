//! What is read, and what it costs on the wire.

use super::*;
use crate::cache::BLOCK;

#[tokio::test]
async fn random_reads_give_the_images_bytes() {
    for (seed, size) in [(1, 1), (2, 4096), (3, 512 * 1024), (4, 512 * 1024 + 1), (5, 7_654_321)] {
        let bench = bench();
        let content = bench.fake.add(seed, size);
        let expected = bench.fake.bytes(&content);
        read_at_random(&bench.open(&content), &expected, 200, seed).await;
    }
}

#[tokio::test]
async fn reads_at_and_beyond_the_end_are_short_and_empty() {
    let bench = bench();
    let content = bench.fake.add(1, 1000);
    let reader = bench.open(&content);
    assert_eq!(reader.read(990, 100).await.unwrap().len(), 10);
    for (offset, len) in [(1000, 1), (5000, 1), (u64::MAX, u32::MAX), (0, 0), (1000, 0)] {
        assert!(reader.read(offset, len).await.unwrap().is_empty(), "{len} at {offset}");
    }
    assert_eq!(reader.read(0, u32::MAX).await.unwrap().len(), 1000);
}

#[tokio::test]
async fn an_image_without_bytes_reads_as_empty_without_a_request() {
    let bench = bench();
    let content = bench.fake.add(1, 0);
    let reader = bench.open(&content);
    assert!(reader.read(0, 4096).await.unwrap().is_empty());
    assert_eq!(reader.verified(), Verified::Yes);
    assert!(bench.fake.log().is_empty());
}

#[tokio::test]
async fn a_small_read_of_a_large_image_moves_less_than_two_mebibytes() {
    for offset in [0, BLOCK - 2048, 100 * MIB] {
        let bench = bench();
        let content = bench.fake.add(1, 256 << 20);
        let got = bench.open(&content).read(offset, 4096).await.unwrap();
        let at = usize::try_from(offset).unwrap();
        assert_eq!(got, bench.fake.bytes(&content)[at..at + 4096]);
        assert!(bench.fake.sent() < 2 * MIB, "{} bytes", bench.fake.sent());
    }
}

#[tokio::test]
async fn a_sequential_read_moves_each_byte_once_in_few_requests() {
    for step in [4096, 131_072, 1 << 20, 3_000_001] {
        let bench = bench();
        let content = bench.fake.add(1, (40 << 20) + 77);
        let reader = bench.open(&content);
        assert!(read_all(&reader, step).await.unwrap() == bench.fake.bytes(&content));
        assert!(bench.fake.sent() <= content.size + bench.cut_off(), "{} bytes", bench.fake.sent());
        assert!(bench.fake.log().len() <= 16, "{} requests", bench.fake.log().len());
        assert_eq!(reader.verified(), Verified::Yes);
    }
}

#[tokio::test]
async fn a_second_reader_of_what_is_in_memory_makes_no_request() {
    let bench = bench();
    let content = bench.fake.add(1, 5 << 20);
    read_all(&bench.open(&content), 131_072).await.unwrap();
    let requests = bench.fake.log().len();
    read_all(&bench.open(&content), 131_072).await.unwrap();
    assert_eq!(bench.fake.log().len(), requests);
}

#[tokio::test]
async fn a_forgotten_image_is_fetched_again() {
    let bench = bench();
    let content = bench.fake.add(1, 1000);
    bench.open(&content).read(0, 1000).await.unwrap();
    bench.reads.forget(content.image);
    bench.open(&content).read(0, 1000).await.unwrap();
    assert_eq!(bench.fake.log().len(), 2);
}

#[tokio::test]
async fn another_version_of_an_image_is_not_read_from_the_blocks_of_the_first() {
    let bench = bench();
    let content = bench.fake.add(1, 1000);
    bench.open(&content).read(0, 10).await.unwrap();
    let mut other = content.clone();
    other.checksums.md5 = Some("another".into());
    bench.open(&other).read(0, 10).await.unwrap();
    assert_eq!(bench.fake.log().len(), 2);
}

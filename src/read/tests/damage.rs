//! Verification.

use futures_util::future::join_all;

use super::*;

#[tokio::test]
async fn damaged_bytes_fail_the_read_that_completes_the_image_and_all_after_it() {
    let bench = bench();
    let content = bench.fake.add(1, 3 << 20);
    bench.fake.damage(&content, 1_000_000);
    let reader = bench.open(&content);
    let last = content.size - 1000;
    for at in (0..last).step_by(100_000) {
        reader.read(at, u32::try_from((last - at).min(100_000)).unwrap()).await.unwrap();
    }
    for (offset, len) in [(last, 1000), (last, 1000), (0, 10)] {
        let outcome = reader.read(offset, len).await;
        assert!(matches!(outcome, Err(ReadError::HashMismatch { .. })), "{outcome:?}");
    }
    assert_eq!(reader.verified(), Verified::No);
    let requests = bench.fake.log().len();
    bench.open(&content).read(0, 10).await.unwrap();
    assert_eq!(bench.fake.log().len(), requests + 1, "nothing of it is in memory");
}

#[tokio::test]
async fn after_damage_on_the_way_a_new_reader_gets_the_image_anew() {
    let bench = bench();
    let content = bench.fake.add(1, 3 << 20);
    bench.fake.damage(&content, 5);
    assert!(read_all(&bench.open(&content), 131_072).await.is_err());
    bench.fake.damage(&content, 5);
    let reader = bench.open(&content);
    assert!(read_all(&reader, 131_072).await.unwrap() == bench.fake.bytes(&content));
    assert_eq!(reader.verified(), Verified::Yes);
}

#[tokio::test]
async fn what_a_reader_got_is_what_the_verdict_speaks_of_also_where_it_was_fetched_again_for_the_hash() {
    let bench = bench_with(8 * MIB, Settings::default());
    let content = bench.fake.add(1, 30 << 20);
    let reader = bench.open(&content);
    let mut outcomes = Vec::new();
    for at in (0..30_u64).rev() {
        let damaged = at == 20;
        if damaged {
            bench.fake.damage(&content, 20_000_000 + (1 << 20));
        }
        outcomes.push(reader.read(at << 20, 1 << 20).await.map(drop));
        if damaged {
            bench.fake.damage(&content, 20_000_000 + (1 << 20));
        }
    }
    let failed = outcomes.iter().filter_map(|outcome| outcome.as_ref().err()).collect::<Vec<_>>();
    assert!(!failed.is_empty() && failed.iter().all(|error| error.is_damage()), "{failed:?}");
    assert_eq!(reader.verified(), Verified::No);
    let anew = bench.open(&content);
    assert!(read_all(&anew, 131_072).await.unwrap() == bench.fake.bytes(&content));
    assert_eq!(anew.verified(), Verified::Yes);
}

#[tokio::test]
async fn who_reads_from_end_to_end_hears_the_verdict_also_where_others_have_read_more_than_fits_into_memory() {
    for is_sound in [true, false] {
        let bench = bench_with(8 * MIB, Settings::default());
        let content = bench.fake.add(1, 40 << 20);
        if !is_sound {
            bench.fake.damage(&content, 30_000_000);
        }
        let other = bench.open(&content);
        for at in (1..40).rev() {
            other.read(at * MIB, 1 << 20).await.unwrap();
        }
        drop(other);
        let before = bench.fake.sent();
        let reader = bench.open(&content);
        let outcome = read_all(&reader, 131_072).await;
        match outcome {
            Ok(bytes) => assert!(is_sound && bytes == bench.fake.bytes(&content)),
            Err(error) => assert!(!is_sound && error.is_damage(), "{error}"),
        }
        assert_eq!(reader.verified(), if is_sound { Verified::Yes } else { Verified::No });
        let moved = bench.fake.sent() - before;
        assert!(moved <= 2 * content.size + bench.cut_off(), "{moved} bytes");
    }
}

#[tokio::test]
async fn reads_that_the_kernel_sends_out_of_order_are_verified() {
    let bench = bench();
    let content = bench.fake.add(1, 6 << 20);
    let reader = bench.open(&content);
    let parts: Vec<u64> = (0..content.size).step_by(131_072).collect();
    for window in parts.chunks(8) {
        let reads = window.iter().rev().map(|at| reader.read(*at, 131_072));
        join_all(reads).await.into_iter().for_each(|part| drop(part.unwrap()));
    }
    assert_eq!(reader.verified(), Verified::Yes);
    assert!(bench.fake.sent() <= content.size + bench.cut_off(), "{} bytes", bench.fake.sent());
}

#[tokio::test]
async fn what_was_read_in_part_is_not_called_verified() {
    let bench = bench();
    let content = bench.fake.add(1, 3 << 20);
    let reader = bench.open(&content);
    assert_eq!(reader.verified(), Verified::No);
    reader.read(2 << 20, 1 << 20).await.unwrap();
    assert_eq!(reader.verified(), Verified::No);
    reader.read(0, 1 << 19).await.unwrap();
    reader.read(0, 1 << 20).await.unwrap();
    assert!(matches!(reader.verified(), Verified::Part(_) | Verified::No));
    reader.read(1 << 20, 1 << 20).await.unwrap();
    assert_eq!(reader.verified(), Verified::Yes);
}

#[tokio::test]
async fn a_hash_that_nobody_here_can_compute_hinders_no_read() {
    let bench = bench();
    let mut content = bench.fake.add(1, 1 << 20);
    content.checksums = Checksums { md5: None, algorithm: Some("shake_256".into()), value: Some("00".into()) };
    let reader = bench.open(&content);
    assert!(read_all(&reader, 131_072).await.unwrap() == bench.fake.bytes(&content));
    assert_eq!(reader.verified(), Verified::Unknown);
}

#[tokio::test]
async fn bytes_that_are_damaged_when_they_are_fetched_again_are_found_although_the_image_was_verified() {
    for seekless in [false, true] {
        let bench = bench_with(8 * MIB, Settings::default());
        bench.fake.seekless.store(seekless, Ordering::SeqCst);
        let content = bench.fake.add(1, 30 << 20);
        assert!(read_all(&bench.open(&content), 131_072).await.is_ok());
        assert_eq!(bench.open(&content).verified(), Verified::Yes);
        bench.fake.damage(&content, 3_000_000);
        let outcome = read_all(&bench.open(&content), 131_072).await;
        let Err(ReadError::Service(error)) = outcome else { panic!("{:?}", outcome.map(|bytes| bytes.len())) };
        assert!(error.to_string().contains("other bytes"), "{error}");
        bench.fake.damage(&content, 3_000_000);
        assert!(read_all(&bench.open(&content), 131_072).await.unwrap() == bench.fake.bytes(&content));
    }
}

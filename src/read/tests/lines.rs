//! How soon reading takes what a line gives, with a clock that stands still while nothing is waited for.

use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::time::Instant;

use super::*;
use crate::read::testing::Line;

/// What the kernel asks for at once, and how many of its reads are under way.
const READ: u64 = 1 << 20;
const AHEAD: usize = 2;

/// Reads all of it as the kernel does for `cp`; answers how long that took.
async fn copy(reader: &Reader) -> Duration {
    let (began, size) = (Instant::now(), reader.content().size);
    let reads = (0..size).step_by(1 << 20).map(|at| reader.read(at, u32::try_from(READ).unwrap()));
    let read = stream::iter(reads).buffered(AHEAD).try_fold(0, |read, bytes| async move { Ok(read + bytes.len()) });
    assert_eq!(read.await.unwrap() as u64, size);
    began.elapsed()
}

/// A mount with so many bytes for blocks behind a line of this latency, in milliseconds, and these bytes a second for each
/// connection and for all.
fn behind(memory: u64, latency: u64, each: f64, all: f64) -> Bench {
    let bench = bench_with(memory, Settings::default());
    *bench.fake.line.lock().unwrap() = Some(Arc::new(Line::new(Duration::from_millis(latency), each, all)));
    bench
}

/// What a mount has where nothing else is asked for.
const MEMORY: u64 = 236 * MIB;

/// Enough for all the connections that a mount makes.
const WIDE: f64 = 10e9;

/// What a copy of `seconds` at the full rate of sixteen connections comes to, as a share of that rate.
async fn share(latency: u64, each: f64, seconds: f64) -> f64 {
    let bench = behind(MEMORY, latency, each, WIDE);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a gigabyte at most")]
    let content = bench.fake.add_zeros((each * 16.0 * seconds) as usize);
    let share = seconds / copy(&bench.open(&content)).await.as_secs_f64();
    println!("{latency} ms, {:.0} MB/s a connection: {share:.2} of sixteen", each / 1e6);
    share
}

#[tokio::test(start_paused = true)]
async fn a_line_that_is_narrow_for_each_connection_is_soon_used_as_a_whole() {
    let lines = [(1e6, 8.0), (3e6, 8.0), (10e6, 4.0), (30e6, 2.0), (100e6, 0.6)];
    let least = [(1, [0.3, 0.5, 0.6, 0.6, 0.6]), (20, [0.3, 0.5, 0.6, 0.6, 0.45]), (100, [0.3, 0.5, 0.45, 0.45, 0.2])];
    for (latency, least) in least {
        for ((each, seconds), least) in lines.into_iter().zip(least) {
            let share = share(latency, each, seconds).await;
            assert!(share > least, "{latency} ms, {each} bytes a second a connection: {share:.2} of sixteen");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn images_too_short_for_several_requests_say_nothing_of_the_next_one() {
    let bench = behind(MEMORY, 20, 10e6, WIDE);
    for _ in 0..10 {
        copy(&bench.open(&bench.fake.add_zeros(7 << 20))).await;
    }
    let took = copy(&bench.open(&bench.fake.add_zeros(512 << 20))).await;
    assert!(took < Duration::from_secs(7), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn images_too_short_for_sixteen_requests_hold_up_no_long_one() {
    let bench = behind(MEMORY, 20, 10e6, WIDE);
    for _ in 0..30 {
        copy(&bench.open(&bench.fake.add_zeros(20 << 20))).await;
    }
    let took = copy(&bench.open(&bench.fake.add_zeros(256 << 20))).await;
    println!("{took:?}");
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_line_that_one_connection_fills_is_left_to_one() {
    for latency in [1, 20] {
        let bench = behind(MEMORY, latency, 300e6, 300e6);
        let content = bench.fake.add_zeros(1 << 30);
        let took = copy(&bench.open(&content)).await.as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "a gigabyte")]
        let ideal = content.size as f64 / 300e6;
        let requests = bench.fake.log().len();
        println!("{latency} ms: {:.2} of the line with {requests} requests", ideal / took);
        assert!(took < ideal * 1.15, "{latency} ms: {took} s");
        assert!(requests <= 40, "{latency} ms: {requests} requests");
    }
}

#[tokio::test(start_paused = true)]
async fn a_narrow_line_is_used_as_far_as_there_is_memory() {
    // Half of it is for what is ahead, in parts of 4 MiB.
    for (memory, parts, least) in [(28, 3.0, 0.7), (44, 5.0, 0.6), (84, 10.0, 0.5)] {
        let bench = behind(memory * MIB, 20, 10e6, WIDE);
        let content = bench.fake.add_zeros(512 << 20);
        let took = copy(&bench.open(&content)).await.as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "half a gigabyte")]
        let share = content.size as f64 / (parts * 10e6) / took;
        println!("{memory} MiB: {share:.2} of {parts}");
        assert!(share > least, "{memory} MiB: {share:.2} of {parts}");
    }
}

#[tokio::test(start_paused = true)]
async fn two_readers_of_two_images_use_a_narrow_line_as_one_does() {
    let bench = behind(MEMORY, 20, 10e6, WIDE);
    let (one, other) = (bench.fake.add_zeros(256 << 20), bench.fake.add_zeros(256 << 20));
    let (one, other) = (bench.open(&one), bench.open(&other));
    let (one, other) = tokio::join!(copy(&one), copy(&other));
    println!("{one:?} and {other:?}");
    assert!(one.max(other) < Duration::from_secs(8), "{one:?} and {other:?}");
}

//! What holds in whatever order readers, lanes and failures come to one image.

use std::sync::LazyLock;
use std::sync::atomic::Ordering as Order;

use bytes::Bytes;
use shuttle::future;
use shuttle::rand::{Rng, thread_rng};

use super::testing::{Fake, Shared};
use super::*;
use crate::sync::{interleave, timeout};

/// Two blocks and a short one.
const SIZE: u64 = 2 * BLOCK + 100;

static BYTES: LazyLock<Bytes> = LazyLock::new(|| (0..SIZE).map(|at| (at / 251 % 256).to_le_bytes()[0]).collect());

/// What readers do beside reading.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Habit {
    /// They close the image when they have read.
    Leaves,
    /// They have it open until the end.
    Stays,
    /// Blocks are dropped from the cache behind them; then they leave.
    Forgets,
}

/// A scene: a service with one image, whose id is the same in each run, and readers of it.
struct Scene {
    fake: Arc<Fake>,
    reads: Arc<Reads>,
}

impl Scene {
    /// Lanes with nothing to do may end at any moment.
    fn new() -> Self {
        Self::with(Duration::from_secs(1))
    }

    fn with(stream_idle: Duration) -> Self {
        let fake = Arc::new(Fake::new());
        fake.put(Self::content().image, BYTES.clone());
        let max_parallel = thread_rng().gen_range(1..4);
        let settings = Settings { spool: None, stream_idle, max_parallel, ..Settings::default() };
        let reads = Reads::new(Arc::new(Shared(Arc::clone(&fake))), Budget::new(4 * MINIMUM), settings).unwrap();
        Self { fake, reads }
    }

    fn content() -> Content {
        let image = "00000000-0000-4000-8000-000000000001".parse().unwrap();
        Content { image, size: SIZE, checksums: Checksums::default(), stores: Vec::new() }
    }

    /// Some readers at once, each with a few reads that overlap with those of others; answers how many reads failed, and the
    /// readers who stayed.
    async fn read_by_many(&self, habit: Habit) -> (usize, Vec<Reader>) {
        let readers: Vec<_> = (0..3)
            .map(|_| {
                let reads = Arc::clone(&self.reads);
                future::spawn(async move {
                    let reader = reads.open(Self::content()).unwrap();
                    let mut failed = 0;
                    for _ in 0..2 {
                        failed += usize::from(read(&reader).await.is_err());
                        if habit == Habit::Forgets && thread_rng().gen_bool(0.3) {
                            reads.cache.forget_image(Self::content().image);
                        }
                    }
                    (failed, (habit == Habit::Stays).then_some(reader))
                })
            })
            .collect();
        let (mut failed, mut stayed) = (0, Vec::new());
        for reader in readers {
            let (failures, reader) = reader.await.unwrap();
            failed += failures;
            stayed.extend(reader);
        }
        (failed, stayed)
    }

    /// Nobody reads any more, and all lanes end. One that did not would hold on to this for ever, which the scheduler's
    /// limit of steps finds.
    async fn settles(&self) {
        while Arc::strong_count(&self.reads) > 1 {
            future::yield_now().await;
        }
    }

    /// After all of it: the image is read as if nothing had been, and when nobody reads it nothing is left.
    async fn ends_well(self) {
        self.settles().await;
        self.fake.failures.store(0, Order::SeqCst);
        let reader = self.reads.open(Self::content()).unwrap();
        assert_eq!(reader.read(0, u32::MAX).await.unwrap(), *BYTES);
        drop(reader);
        self.settles().await;
        assert_eq!((self.reads.stats().under_way, self.reads.stats().readers), (0, 0));
        self.reads.cache.forget_image(Self::content().image);
        assert_eq!(self.reads.stats().memory, 0);
    }
}

/// One read, in the middle of the image or of all of it. What it brings is right.
async fn read(reader: &Reader) -> Result<(), ReadError> {
    let from = thread_rng().gen_range(0..3) * BLOCK;
    let length = *[1, 5000, 2 * BLOCK].get(thread_rng().gen_range(0..3_usize)).unwrap();
    let bytes = reader.read(from, u32::try_from(length).unwrap()).await?;
    let place = |at: u64| usize::try_from(at.min(SIZE)).unwrap();
    assert!(bytes == BYTES.slice(place(from)..place(from + length)), "{length} bytes at {from}");
    Ok(())
}

#[test]
fn readers_at_once_fetch_each_block_once_and_all_get_it() {
    interleave(400, || {
        future::block_on(async {
            let scene = Scene::new();
            // What was to be fetched ahead of one who has left may end in the middle of a block.
            let (failed, readers) = scene.read_by_many(Habit::Stays).await;
            assert_eq!(failed, 0);
            scene.reads.open(Scene::content()).unwrap().read(0, u32::MAX).await.unwrap();
            assert_eq!(scene.reads.stats().fetched, SIZE);
            drop(readers);
            scene.ends_well().await;
        });
    });
}

#[test]
fn an_image_is_open_for_as_long_as_somebody_has_it_open() {
    interleave(400, || {
        future::block_on(async {
            let scene = Scene::new();
            let readers = [(); 3].map(|()| {
                let reads = Arc::clone(&scene.reads);
                future::spawn(async move {
                    for _ in 0..2 {
                        let reader = reads.open(Scene::content()).unwrap();
                        // Another one closes it meanwhile.
                        future::yield_now().await;
                        assert!(!reads.feed(Scene::content()).is_idle());
                        drop(reader);
                    }
                })
            });
            for reader in readers {
                reader.await.unwrap();
            }
            assert!(scene.reads.feed(Scene::content()).is_idle());
            scene.ends_well().await;
        });
    });
}

#[test]
fn readers_at_once_share_one_stream_and_all_get_its_blocks() {
    interleave(400, || {
        future::block_on(async {
            let scene = Scene::with(Settings::default().stream_idle);
            scene.fake.seekless.store(true, Order::SeqCst);
            let reader = scene.reads.open(Scene::content()).unwrap();
            assert_eq!(scene.read_by_many(Habit::Leaves).await.0, 0);
            reader.read(0, u32::MAX).await.unwrap();
            drop(reader);
            assert_eq!((scene.reads.stats().fetched, scene.reads.stats().streams), (SIZE, 1));
            scene.ends_well().await;
        });
    });
}

#[test]
fn whatever_fails_or_is_forgotten_each_reader_gets_its_bytes_or_an_error() {
    interleave(400, || {
        future::block_on(async {
            let scene = Scene::new();
            let failures = thread_rng().gen_range(0..4);
            scene.fake.failures.store(failures, Order::SeqCst);
            scene.fake.seekless.store(thread_rng().gen_bool(0.5), Order::SeqCst);
            let (failed, _) = scene.read_by_many(Habit::Forgets).await;
            assert!(failures > 0 || failed == 0, "{failed} reads failed although no request did");
            scene.ends_well().await;
        });
    });
}

#[test]
fn readers_who_give_up_leave_nothing_under_way_and_the_others_get_their_bytes() {
    interleave(400, || {
        future::block_on(async {
            let scene = Scene::new();
            scene.fake.seekless.store(thread_rng().gen_bool(0.5), Order::SeqCst);
            let leaving = [(); 2].map(|()| {
                let reads = Arc::clone(&scene.reads);
                future::spawn(async move {
                    let reader = reads.open(Scene::content()).unwrap();
                    for _ in 0..2 {
                        // It takes no time, or the scheduler ends it at some moment.
                        let _ = timeout(Duration::from_secs(1), read(&reader)).await;
                    }
                })
            });
            let (staying, _) = scene.read_by_many(Habit::Leaves).await;
            for reader in leaving {
                reader.await.unwrap();
            }
            assert_eq!(staying, 0);
            scene.ends_well().await;
        });
    });
}

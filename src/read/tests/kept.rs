//! The cache on disk, from one mount to the next.

use std::os::unix::fs::FileExt;

use super::*;
use crate::cache::disk::{DiskCache, DiskSettings};
use crate::cache::{BLOCK, SPAN};

/// A mount of the service `fake` with a cache in `folder`.
fn mount(fake: &Arc<Fake>, folder: &std::path::Path) -> Bench {
    let disk = Some(Disk { folder: folder.to_owned(), size: 1 << 30 });
    let (fake, budget) = (Arc::clone(fake), Budget::new(8 * MIB));
    let settings = Settings { disk, ..Settings::default() };
    let reads = Reads::new(Arc::new(Shared(Arc::clone(&fake))), budget.clone(), settings).unwrap();
    Bench { fake, budget, reads }
}

/// Somebody drops all that is kept in `folder`.
fn dropped(folder: &std::path::Path) {
    for entry in std::fs::read_dir(folder.join("images")).unwrap() {
        std::fs::remove_dir_all(entry.unwrap().path()).unwrap();
    }
}

/// Waits until the image is complete on disk and sealed, which happens behind the readers.
async fn sealed(bench: &Bench, content: &Content) {
    let sealed = async {
        while bench.reads.sealed(content).await.is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), sealed).await.expect("it is never sealed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_that_was_read_once_is_sealed_and_never_fetched_again() {
    let (fake, folder) = (Arc::new(Fake::new()), tempfile::tempdir().unwrap());
    let content = fake.add(1, (20 << 20) + 77);
    let first = mount(&fake, folder.path());
    assert!(read_all(&first.open(&content), 131_072).await.unwrap() == fake.bytes(&content));
    sealed(&first, &content).await;
    drop(first);
    let requests = fake.log().len();
    let second = mount(&fake, folder.path());
    let file = second.reads.sealed(&content).await.unwrap();
    assert_eq!(file.metadata().unwrap().len(), content.size);
    let reader = second.open(&content);
    read_at_random(&reader, &fake.bytes(&content), 50, 1).await;
    assert_eq!(reader.verified(), Verified::Yes, "it was proved before");
    assert_eq!(fake.log().len(), requests);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_read_in_pieces_is_proved_from_the_disk_once_it_is_complete() {
    let (fake, folder) = (Arc::new(Fake::new()), tempfile::tempdir().unwrap());
    let content = fake.add(2, 12 << 20);
    let bench = mount(&fake, folder.path());
    for part in [8..12, 0..4, 4..8] {
        let reader = bench.open(&content);
        for at in part.rev() {
            reader.read(at * MIB, 1 << 20).await.unwrap();
        }
    }
    sealed(&bench, &content).await;
    assert!(fake.sent() <= content.size + bench.cut_off(), "{} bytes", fake.sent());
}

/// Reads in some way, waits until that is kept, and has the next mount find the image sealed.
async fn is_sealed_once_it_is_kept(seed: u64, read: impl AsyncFn(&Bench, &Content)) {
    let (fake, folder) = (Arc::new(Fake::new()), tempfile::tempdir().unwrap());
    let content = fake.add(seed, (12 << 20) + 77);
    let bench = mount(&fake, folder.path());
    read(&bench, &content).await;
    bench.reads.kept().await;
    assert!(!bench.reads.is_keeping());
    // What the first one did from here on would come too late.
    let next = mount(&fake, folder.path());
    assert!(next.reads.sealed(&content).await.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_read_whole_is_sealed_once_it_is_kept() {
    for seed in 0..10 {
        is_sealed_once_it_is_kept(seed, async |bench, content| {
            read_all(&bench.open(content), 1 << 20).await.unwrap();
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_complete_on_disk_and_was_not_read_whole_is_sealed_once_it_is_kept() {
    for seed in 0..10 {
        is_sealed_once_it_is_kept(seed, async |bench, content| {
            let reader = bench.open(content);
            for at in (0..13).rev() {
                // All but the last byte.
                let length = if at == 12 { 76 } else { 1 << 20 };
                reader.read(at * MIB, length).await.unwrap();
            }
        })
        .await;
    }
}

#[tokio::test]
async fn a_mount_without_a_disk_keeps_nothing_that_anybody_would_wait_for() {
    let bench = bench();
    let content = bench.fake.add(1, 3 << 20);
    let reader = bench.open(&content);
    read_all(&reader, 1 << 20).await.unwrap();
    assert!(!bench.reads.is_keeping());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_mount_has_sealed_does_not_vouch_for_damaged_bytes_that_were_given_out_here() {
    let (fake, folder) = (Arc::new(Fake::new()), tempfile::tempdir().unwrap());
    let content = fake.add(5, 5 << 20);
    let ours = mount(&fake, folder.path());
    fake.damage(&content, 600_000);
    ours.open(&content).read(600_000, 100).await.unwrap();
    fake.damage(&content, 600_000);
    // It stays in memory only.
    ours.reads.kept().await;
    dropped(folder.path());
    let theirs = mount(&fake, folder.path());
    assert!(read_all(&theirs.open(&content), 131_072).await.unwrap() == fake.bytes(&content));
    sealed(&theirs, &content).await;
    sealed(&ours, &content).await;
    let reader = ours.open(&content);
    match read_all(&reader, 131_072).await {
        Ok(bytes) => assert!(bytes == fake.bytes(&content), "wrong bytes, verified: {:?}", reader.verified()),
        Err(error) => assert!(error.is_damage(), "{error}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_mount_has_sealed_vouches_for_the_same_bytes_that_were_given_out_here() {
    let (fake, folder) = (Arc::new(Fake::new()), tempfile::tempdir().unwrap());
    let content = fake.add(8, 5 << 20);
    let ours = mount(&fake, folder.path());
    ours.open(&content).read(3 << 20, 100).await.unwrap();
    ours.reads.kept().await;
    assert_ne!(ours.reads.verified(&content), Some(Verified::Yes));
    let theirs = mount(&fake, folder.path());
    read_all(&theirs.open(&content), 131_072).await.unwrap();
    sealed(&theirs, &content).await;
    drop(ours.reads.sealed(&content).await.unwrap());
    assert_eq!(ours.reads.verified(&content), Some(Verified::Yes));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_from_the_service_after_a_sealed_image_was_dropped_is_not_called_verified() {
    let (fake, folder) = (Arc::new(Fake::new()), tempfile::tempdir().unwrap());
    let content = fake.add(6, 5 << 20);
    let first = mount(&fake, folder.path());
    read_all(&first.open(&content), 1 << 20).await.unwrap();
    sealed(&first, &content).await;
    drop(first);
    let second = mount(&fake, folder.path());
    assert_eq!(second.reads.verified(&content), None);
    for _ in 0..2 {
        drop(second.reads.sealed(&content).await.unwrap());
        assert_eq!(second.reads.verified(&content), Some(Verified::Yes));
    }
    dropped(folder.path());
    second.open(&content).read(3 << 20, 100).await.unwrap();
    assert_ne!(second.reads.verified(&content), Some(Verified::Yes));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_reads_a_sealed_image_whose_disk_fails_midway_hears_the_verdict_of_what_came_instead() {
    for is_sound in [true, false] {
        let (fake, folder) = (Arc::new(Fake::new()), tempfile::tempdir().unwrap());
        let content = fake.add(7, 8 << 20);
        let first = mount(&fake, folder.path());
        read_all(&first.open(&content), 1 << 20).await.unwrap();
        sealed(&first, &content).await;
        drop(first);
        let second = mount(&fake, folder.path());
        let reader = second.open(&content);
        let mut all = reader.read(0, 1 << 20).await.unwrap().to_vec();
        assert_eq!(reader.verified(), Verified::Yes);
        for entry in std::fs::read_dir(folder.path().join("images")).unwrap() {
            let file = std::fs::OpenOptions::new().write(true).open(entry.unwrap().path().join("data")).unwrap();
            file.write_all_at(b"damaged", 6 << 20).unwrap();
        }
        if !is_sound {
            fake.damage(&content, (6 << 20) + 77);
        }
        let rest = async {
            while all.len() < 8 << 20 {
                all.extend_from_slice(&reader.read(all.len() as u64, 131_072).await?);
            }
            Ok::<_, ReadError>(())
        };
        match rest.await {
            Ok(()) => assert!(is_sound && all == fake.bytes(&content)),
            Err(error) => assert!(!is_sound && error.is_damage(), "{error}"),
        }
        assert_eq!(reader.verified(), if is_sound { Verified::Yes } else { Verified::No });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damaged_bytes_are_not_kept_on_disk() {
    let (fake, folder) = (Arc::new(Fake::new()), tempfile::tempdir().unwrap());
    let content = fake.add(3, 5 << 20);
    fake.damage(&content, 70_000);
    let bench = mount(&fake, folder.path());
    assert!(matches!(read_all(&bench.open(&content), 131_072).await, Err(ReadError::HashMismatch { .. })));
    assert!(bench.reads.sealed(&content).await.is_none());
    fake.damage(&content, 70_000);
    drop(bench);
    let bench = mount(&fake, folder.path());
    assert!(read_all(&bench.open(&content), 131_072).await.unwrap() == fake.bytes(&content));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_read_in_part_is_read_from_the_disk_by_the_next_mount() {
    let (fake, folder) = (Arc::new(Fake::new()), tempfile::tempdir().unwrap());
    let content = fake.add(4, 40 << 20);
    let bench = mount(&fake, folder.path());
    bench.open(&content).read(8 * MIB, 1 << 20).await.unwrap();
    let kept = || {
        let settings = DiskSettings { folder: folder.path().to_owned(), size: 1 << 30, floor: None };
        let image = DiskCache::open(&settings).unwrap();
        let identity = Identity::new(content.image, content.size, content.checksums.clone());
        image.image(&identity).unwrap().run(8 * SPAN, SPAN)
    };
    drop(bench);
    while kept() < SPAN {
        tokio::task::yield_now().await;
    }
    let (requests, next) = (fake.log().len(), mount(&fake, folder.path()));
    let got = next.open(&content).read(8 * MIB + 5, 1000).await.unwrap();
    assert_eq!(got, fake.bytes(&content)[(8 << 20) + 5..][..1000]);
    assert_eq!(fake.log().len(), requests);
    let beyond = next.open(&content).read(20 * MIB, u32::try_from(BLOCK).unwrap()).await.unwrap();
    assert_eq!(beyond, fake.bytes(&content)[20 << 20..][..beyond.len()]);
}

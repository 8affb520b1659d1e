//! Scratch files, and what becomes of those that are made an image's.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::super::testing::{self, Fake, Point, fill};
use super::super::{Scratch, State, Uploads, WriteError};
use crate::image::{Image, Status};

async fn scene(folder: &Path) -> (Arc<Fake>, Arc<Uploads>, Image) {
    let service = Fake::new();
    let uploads = testing::open(folder, &service).await;
    let image = service.add();
    (service, uploads, image)
}

async fn scratch(uploads: &Uploads, bytes: &[u8]) -> Arc<Scratch> {
    let scratch = uploads.scratch().await.unwrap();
    scratch.write_now(0, bytes).unwrap();
    scratch
}

/// The files of a folder, all the way down.
fn files(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    entries.map(|entry| if entry.path().is_dir() { files(&entry.path()) } else { 1 }).sum()
}

#[tokio::test]
async fn a_scratch_file_is_read_as_it_was_written_and_gone_with_its_last_holder() {
    let folder = tempfile::tempdir().unwrap();
    let (_, uploads, _) = scene(folder.path()).await;
    let scratch = scratch(&uploads, b"hello").await;
    scratch.write_now(7, b"there").unwrap();
    assert_eq!(&scratch.read_at(3, 100).await.unwrap()[..], b"lo\0\0there");
    scratch.truncate(4).await.unwrap();
    assert_eq!((scratch.len().unwrap(), files(folder.path())), (4, 1));
    let given = std::time::UNIX_EPOCH + std::time::Duration::from_secs(5);
    scratch.set_time(given);
    assert_eq!(scratch.time().unwrap(), given);
    scratch.write_now(0, b"j").unwrap();
    assert_ne!(scratch.time().unwrap(), given, "it was written to since");
    drop(scratch);
    assert_eq!(files(folder.path()), 0);
}

#[tokio::test]
async fn a_scratch_file_that_is_placed_is_the_images_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let (service, uploads, image) = scene(folder.path()).await;
    let bytes = fill(1, 300_000);
    let scratch = scratch(&uploads, &bytes).await;
    let upload = uploads.place(&image, &scratch).await.unwrap().unwrap();
    assert!(matches!(scratch.write_now(0, b"late"), Err(WriteError::Immutable(_))), "nobody changes it any more");
    assert!(uploads.place(&image, &scratch).await.is_err(), "nor is it anybody else's");
    upload.seal().await.unwrap();
    upload.settled().await.unwrap();
    assert_eq!(service.bytes(image.id), bytes);
    drop(scratch);
    assert_eq!(files(folder.path()), 0);
}

#[tokio::test]
async fn a_scratch_file_replaces_what_waits_to_be_sent() {
    let folder = tempfile::tempdir().unwrap();
    let (service, uploads, image) = scene(folder.path()).await;
    service.hold(Point::Upload);
    let writer = uploads.begin(&image).await.unwrap();
    writer.write_at(0, Bytes::from_static(b"earlier")).await.unwrap();
    writer.seal().await.unwrap();
    let earlier = Arc::clone(writer.upload());
    let scratch = scratch(&uploads, b"later").await;
    assert!(matches!(uploads.place(&image, &scratch).await, Err(WriteError::Busy(_))), "somebody writes");
    drop(writer);
    service.arrival().await;
    let waiting = tokio::spawn({
        let earlier = Arc::clone(&earlier);
        async move { earlier.settled().await }
    });
    let upload = uploads.place(&image, &scratch).await.unwrap().unwrap();
    service.release();
    upload.seal().await.unwrap();
    upload.settled().await.unwrap();
    assert_eq!(service.bytes(image.id), Bytes::from_static(b"later"));
    assert!(waiting.await.unwrap().is_err());
    // What still holds the earlier one changes nothing on the disk.
    earlier.sync().await.unwrap();
    earlier.seal().await.unwrap();
    // Nothing is kept for the next upload any more.
    uploads.leave();
    assert_eq!(files(folder.path()), 0);
}

#[tokio::test]
async fn a_scratch_file_that_no_image_can_have_stays_one() {
    let folder = tempfile::tempdir().unwrap();
    let (_, uploads, image) = scene(folder.path()).await;
    let scratch = scratch(&uploads, b"this is no disk").await;
    let named = Image { disk_format: Some("qcow2".into()), container_format: Some("bare".into()), ..image.clone() };
    assert!(matches!(uploads.place(&named, &scratch).await, Err(WriteError::Failed(_))));
    let active = Image { status: Status::Active, ..image };
    assert!(matches!(uploads.place(&active, &scratch).await, Err(WriteError::Immutable(_))));
    scratch.write_now(0, b"still").unwrap();
    assert!(uploads.list().is_empty());
}

#[tokio::test]
async fn what_was_placed_and_not_sealed_is_kept_by_the_next_mount() {
    let folder = tempfile::tempdir().unwrap();
    let (service, uploads, image) = scene(folder.path()).await;
    let scratch = scratch(&uploads, b"placed").await;
    uploads.place(&image, &scratch).await.unwrap();
    // A mount that is only dropped lets go of its files a little later.
    uploads.drain(Duration::ZERO).await;
    drop((scratch, uploads));
    let uploads = testing::open(folder.path(), &service).await;
    let upload = uploads.of(image.id).unwrap();
    assert_eq!((upload.state(), &upload.read_at(0, 9).await.unwrap()[..]), (State::Writing, &b"placed"[..]));
}

#[tokio::test]
async fn a_scratch_file_is_a_copy_of_an_image_by_all_of_its_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let (service, uploads, image) = scene(folder.path()).await;
    let bytes = fill(3, 700_000);
    let first = scratch(&uploads, &bytes).await;
    assert!(!first.is_copy_of(&image).await.unwrap(), "it has no bytes");
    let upload = uploads.place(&image, &first).await.unwrap().unwrap();
    upload.seal().await.unwrap();
    upload.settled().await.unwrap();
    let image = service.image(image.id).unwrap();
    let again = scratch(&uploads, &bytes).await;
    assert!(again.is_copy_of(&image).await.unwrap());
    again.write_now(699_999, &[bytes[699_999] ^ 1]).unwrap();
    assert!(!again.is_copy_of(&image).await.unwrap(), "the last byte is another one");
    again.write_now(699_999, &[bytes[699_999], 0]).unwrap();
    assert!(!again.is_copy_of(&image).await.unwrap(), "there is one more");
    again.truncate(700_000).await.unwrap();
    assert!(again.is_copy_of(&image).await.unwrap());
    let unknown = Image { checksums: crate::image::Checksums::default(), ..image };
    assert!(!again.is_copy_of(&unknown).await.unwrap(), "whose hash nobody tells");
}

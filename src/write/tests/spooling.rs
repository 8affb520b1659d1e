//! Writing and taking back, without a service that takes anything.

use std::sync::Arc;

use bytes::Bytes;

use super::super::testing::{self, Fake, Point};
use super::super::{Allocation, State, Uploads, WriteError};
use crate::image::{Checksums, Image, Status};

/// A mount whose service never comes to an upload.
async fn open(folder: &std::path::Path) -> (Arc<Uploads>, Image) {
    let service = Fake::new();
    service.hold(Point::Update);
    (testing::open(folder, &service).await, service.add())
}

#[tokio::test]
async fn bytes_can_be_written_in_any_order_and_read_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let (uploads, image) = open(folder.path()).await;
    let writer = uploads.begin(&image).await.unwrap();
    writer.write_at(1 << 20, Bytes::from_static(b"end")).await.unwrap();
    writer.write_at(0, Bytes::from_static(b"begin")).await.unwrap();
    assert!(writer.write_now(5, b"ning").unwrap());
    let upload = uploads.of(image.id).unwrap();
    assert_eq!(upload.len().unwrap(), (1 << 20) + 3);
    assert_eq!(&upload.read_at(0, 11).await.unwrap()[..], b"beginning\0\0");
    assert_eq!(&upload.read_at(1 << 20, 100).await.unwrap()[..], b"end");
    writer.truncate(4).await.unwrap();
    assert_eq!(&upload.read_at(0, 100).await.unwrap()[..], b"begi");
    writer.truncate(6).await.unwrap();
    assert_eq!(&upload.read_at(0, 100).await.unwrap()[..], b"begi\0\0");
    writer.allocate(Allocation::Extend, 0, 8).await.unwrap();
    assert_eq!(upload.len().unwrap(), 8);
}

#[tokio::test]
async fn there_is_one_writer_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let (uploads, image) = open(folder.path()).await;
    let writer = uploads.begin(&image).await.unwrap();
    assert!(matches!(uploads.begin(&image).await, Err(WriteError::Busy(_))));
    drop(writer);
    let _again = uploads.begin(&image).await.unwrap();
}

#[tokio::test]
async fn another_mount_of_the_same_service_finds_the_upload_busy() {
    let folder = tempfile::tempdir().unwrap();
    let (uploads, image) = open(folder.path()).await;
    let _writer = uploads.begin(&image).await.unwrap();
    let (other, _) = open(folder.path()).await;
    assert!(other.all().is_empty());
    assert!(matches!(other.begin(&image).await, Err(WriteError::Busy(_))));
    assert_eq!(Uploads::peek(folder.path()).unwrap().len(), 1);
}

#[tokio::test]
async fn what_was_sealed_is_taken_back_with_its_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let (uploads, image) = open(folder.path()).await;
    let writer = uploads.begin(&image).await.unwrap();
    writer.write_at(0, Bytes::from_static(b"first")).await.unwrap();
    writer.seal().await.unwrap();
    drop(writer);
    let upload = uploads.of(image.id).unwrap();
    let waiting = tokio::spawn(async move { upload.settled().await });
    tokio::task::yield_now().await;
    let writer = uploads.begin(&image).await.unwrap();
    assert_eq!(writer.state(), State::Writing);
    assert_eq!(&writer.read_at(0, 9).await.unwrap()[..], b"first");
    assert!(matches!(waiting.await.unwrap(), Err(WriteError::Reopened(_))));
}

#[tokio::test]
async fn what_was_taken_back_and_not_changed_goes_back_to_the_queue() {
    let folder = tempfile::tempdir().unwrap();
    let (uploads, image) = open(folder.path()).await;
    let writer = uploads.begin(&image).await.unwrap();
    writer.write_at(0, Bytes::from_static(b"first")).await.unwrap();
    writer.seal().await.unwrap();
    drop(writer);
    let upload = uploads.of(image.id).unwrap();
    let again = uploads.begin(&image).await.unwrap();
    assert_eq!(upload.state(), State::Writing);
    drop(again);
    assert!(!upload.report().needs_somebody());
    upload.reaches("sealed").await;

    let changed = uploads.begin(&image).await.unwrap();
    changed.truncate(1).await.unwrap();
    drop(changed);
    assert!(upload.report().needs_somebody(), "nobody said that these are all");
}

#[tokio::test]
async fn writing_through_a_handle_that_was_sealed_takes_it_back() {
    let folder = tempfile::tempdir().unwrap();
    let (uploads, image) = open(folder.path()).await;
    let writer = uploads.begin(&image).await.unwrap();
    writer.write_at(0, Bytes::from_static(b"some")).await.unwrap();
    writer.seal().await.unwrap();
    writer.seal().await.unwrap();
    assert!(!writer.write_now(0, b"more").unwrap());
    writer.write_at(0, Bytes::from_static(b"more")).await.unwrap();
    assert_eq!(writer.state(), State::Writing);
}

#[tokio::test]
async fn a_contradiction_is_refused_when_it_is_sealed_and_can_be_mended() {
    let folder = tempfile::tempdir().unwrap();
    let (uploads, image) = open(folder.path()).await;
    let image = Image { disk_format: Some("qcow2".into()), ..image };
    let writer = uploads.begin(&image).await.unwrap();
    writer.write_at(0, Bytes::from_static(b"no qcow2")).await.unwrap();
    let refused = writer.seal().await.unwrap_err();
    assert!(refused.to_string().contains("disk_format is qcow2"), "{refused}");
    assert_eq!(writer.state().word(), "failed");
    assert!(matches!(writer.settled().await, Err(WriteError::Failed(_))));
    writer.write_at(0, Bytes::from_static(b"QFI\xfb\0\0\0\x03")).await.unwrap();
    writer.truncate(4096).await.unwrap();
    writer.seal().await.unwrap();
    assert_eq!(writer.state().word(), "sealed");
}

#[tokio::test]
async fn an_image_that_takes_no_data_is_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let (uploads, image) = open(folder.path()).await;
    let active = Image { status: Status::Active, size: Some(1), ..image.clone() };
    assert!(matches!(uploads.begin(&active).await, Err(WriteError::Immutable(_))));
    let importing = Image { status: Status::Importing, ..image.clone() };
    assert!(matches!(uploads.begin(&importing).await, Err(WriteError::Status { .. })));
    let checksums = Checksums { md5: Some("5d41".into()), ..Checksums::default() };
    assert!(matches!(uploads.begin(&Image { checksums, ..image }).await, Err(WriteError::Poisoned(_))));
    assert!(uploads.all().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_rests_is_sealed_after_a_while_and_not_while_it_is_open() {
    let folder = tempfile::tempdir().unwrap();
    let (uploads, image) = open(folder.path()).await;
    let writer = uploads.begin(&image).await.unwrap();
    writer.write_at(0, Bytes::from_static(b"some")).await.unwrap();
    writer.seal_when_quiet();
    tokio::time::sleep(std::time::Duration::from_secs(10)).await;
    assert_eq!(writer.state(), State::Writing);
    let (upload, hold) = (Arc::clone(writer.upload()), writer.hold());
    drop(writer);
    upload.seal_when_quiet();
    tokio::time::sleep(std::time::Duration::from_secs(10)).await;
    assert_eq!(upload.state(), State::Writing, "also by one who may not write now");
    drop(hold);
    upload.seal_when_quiet();
    // Who only looks puts it off.
    drop(uploads.begin(&image).await.unwrap());
    assert_eq!(upload.state(), State::Writing);
    tokio::time::sleep(std::time::Duration::from_secs(10)).await;
    assert_ne!(upload.state(), State::Writing);
}

#[tokio::test]
async fn what_is_discarded_is_gone_from_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let (uploads, image) = open(folder.path()).await;
    let writer = uploads.begin(&image).await.unwrap();
    writer.write_at(0, Bytes::from_static(b"some")).await.unwrap();
    writer.seal().await.unwrap();
    assert!(matches!(uploads.discard(image.id).await, Err(WriteError::Busy(_))));
    drop(writer);
    let upload = uploads.of(image.id).unwrap();
    uploads.discard(image.id).await.unwrap();
    assert!(matches!(upload.settled().await, Err(WriteError::Discarded(_))));
    assert!(uploads.all().is_empty());
    assert!(matches!(uploads.discard(image.id).await, Err(WriteError::Unknown(..))));
    assert!(Uploads::peek(folder.path()).unwrap().is_empty());
}

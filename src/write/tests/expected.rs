//! Hashes that were told before the bytes.

use bytes::Bytes;

use super::super::testing::{Fake, Point, open};
use super::super::{Expected, Reason, State, WriteError};
use crate::image::Status;

fn md5(digits: &str) -> Expected {
    Expected { md5: Some(digits.to_owned()), sha512: None }
}

/// That of `hello`.
const HELLO: &str = "5d41402abc4b2a76b9719d911017c592";

#[tokio::test]
async fn bytes_that_have_another_hash_than_was_told_are_not_sent_and_others_are() {
    let (folder, service) = (tempfile::tempdir().unwrap(), Fake::new());
    let uploads = open(folder.path(), &service).await;
    let image = service.add();
    let writer = uploads.begin(&image).await.unwrap();
    writer.upload().note_expected(md5(HELLO)).await.unwrap();
    writer.write_at(0, Bytes::from_static(b"other")).await.unwrap();
    writer.seal().await.unwrap();
    let Err(WriteError::Failed(cause)) = writer.settled().await else { panic!("it was sent") };
    assert!(cause.reason == Reason::Mismatch && cause.sentence.contains(HELLO), "{cause}");
    assert_eq!(service.taken(), 0);
    drop((writer, uploads));

    let uploads = open(folder.path(), &service).await;
    assert_eq!(uploads.of(image.id).unwrap().expected(), Some(md5(HELLO)), "it survives the mount");
    let writer = uploads.begin(&image).await.unwrap();
    writer.write_at(0, Bytes::from_static(b"hello")).await.unwrap();
    writer.seal().await.unwrap();
    assert_eq!(writer.settled().await.unwrap().status, Status::Active);
}

#[tokio::test]
async fn what_the_bytes_have_to_be_comes_too_late_once_they_are_on_their_way() {
    let (folder, service) = (tempfile::tempdir().unwrap(), Fake::new());
    let uploads = open(folder.path(), &service).await;
    let image = service.add();
    service.hold(Point::Middle);
    let writer = uploads.begin(&image).await.unwrap();
    writer.write_at(0, Bytes::from_static(b"hello")).await.unwrap();
    writer.seal().await.unwrap();
    service.arrival().await;
    let upload = writer.upload();
    assert!(matches!(upload.state(), State::Sending { .. }));
    assert!(matches!(upload.note_expected(md5("00")).await, Err(WriteError::Underway(_))));
    service.release();
    assert_eq!(writer.settled().await.unwrap().status, Status::Active);
}

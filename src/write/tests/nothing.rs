//! Files to which nothing was written, and what becomes of their images: nothing.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::super::testing::{Fake, Point, open, open_with};
use super::super::{Expected, Settings, Uploads, WriteError};
use super::crash::killed;
use crate::image::{Image, Status};

const LONG: Duration = Duration::from_mins(1);

/// Opens an image, empties it, and closes it.
async fn emptied(uploads: &Uploads, image: &Image) {
    let writer = uploads.begin(image).await.unwrap();
    writer.truncate(0).await.unwrap();
    assert!(!writer.close().await.unwrap(), "there are no data");
    let upload = Arc::clone(writer.upload());
    drop(writer);
    upload.seal_when_quiet();
}

/// Waits until the mount has no upload any more.
async fn none(uploads: &Uploads) {
    let gone = async {
        while !uploads.all().is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(LONG, gone).await.unwrap();
}

fn soon(folder: &std::path::Path) -> Settings {
    Settings { quiet: Duration::from_millis(1), ..Settings::new(folder.to_owned()) }
}

fn md5(hash: &str) -> Expected {
    Expected { md5: Some(hash.to_owned()), sha512: None }
}

#[tokio::test]
async fn an_image_to_which_nothing_was_written_is_asked_for_nothing_and_waits_on() {
    let (folder, service) = (tempfile::tempdir().unwrap(), Fake::new());
    let uploads = open_with(soon(folder.path()), &service).await;
    let image = service.add();
    emptied(&uploads, &image).await;
    none(&uploads).await;
    // Who says that it is all says so of no bytes.
    let writer = uploads.begin(&image).await.unwrap();
    let upload = Arc::clone(writer.upload());
    drop(writer);
    upload.seal().await.unwrap();
    none(&uploads).await;
    assert_eq!((service.image(image.id).unwrap().status, service.log()), (Status::Queued, Vec::new()));
    assert!(Uploads::peek(folder.path()).unwrap().is_empty());
    let writer = uploads.begin(&image).await.unwrap();
    writer.write_at(0, Bytes::from_static(b"bytes")).await.unwrap();
    writer.seal().await.unwrap();
    writer.settled().await.unwrap();
    assert_eq!(service.bytes(image.id), Bytes::from_static(b"bytes"));
}

#[tokio::test]
async fn what_waits_to_be_sent_and_is_emptied_is_dropped() {
    let (folder, service) = (tempfile::tempdir().unwrap(), Fake::new());
    service.hold(Point::Upload);
    let uploads = open_with(soon(folder.path()), &service).await;
    let [written, placed] = [service.add(), service.add()];
    for image in [&written, &placed] {
        let writer = uploads.begin(image).await.unwrap();
        writer.write_at(0, Bytes::from_static(b"earlier")).await.unwrap();
        writer.seal().await.unwrap();
    }
    emptied(&uploads, &written).await;
    let scratch = uploads.scratch().await.unwrap();
    assert!(uploads.place(&placed, &scratch).await.unwrap().is_none());
    service.release();
    none(&uploads).await;
    assert!(Uploads::peek(folder.path()).unwrap().is_empty());
    assert_eq!(service.taken(), 0);
    let active = Image { status: Status::Active, ..placed };
    assert!(
        matches!(uploads.place(&active, &scratch).await, Err(WriteError::Immutable(_))),
        "of which nothing is dropped"
    );
}

#[tokio::test]
async fn a_mount_that_ends_sends_nothing_of_what_is_empty_and_keeps_none_of_it() {
    let (folder, service) = (tempfile::tempdir().unwrap(), Fake::new());
    let uploads = open(folder.path(), &service).await;
    emptied(&uploads, &service.add()).await;
    drop(uploads.begin(&service.add()).await.unwrap());
    assert!(uploads.drain(LONG).await.is_empty());
    assert!(Uploads::peek(folder.path()).unwrap().is_empty());
    assert!(service.log().is_empty());
}

#[test]
fn what_a_killed_mount_left_empty_is_not_sent_by_the_next_one() {
    let (folder, service) = (tempfile::tempdir().unwrap(), Fake::new());
    killed(async {
        let uploads = open(folder.path(), &service).await;
        emptied(&uploads, &service.add()).await;
    });
    assert_eq!(Uploads::peek(folder.path()).unwrap().len(), 1);
    killed(async {
        let uploads = open_with(soon(folder.path()), &service).await;
        none(&uploads).await;
    });
    assert!(Uploads::peek(folder.path()).unwrap().is_empty());
    assert!(service.log().is_empty());
}

#[tokio::test]
async fn no_bytes_are_sent_where_the_checksums_ask_for_just_these() {
    let (folder, service) = (tempfile::tempdir().unwrap(), Fake::new());
    let uploads = open_with(soon(folder.path()), &service).await;
    let [written, placed, other] = [service.add(), service.add(), service.add()];
    for image in [&written, &placed] {
        let writer = uploads.begin(image).await.unwrap();
        writer.note_expected(md5("d41d8cd98f00b204e9800998ecf8427e")).await.unwrap();
    }
    emptied(&uploads, &written).await;
    let scratch = uploads.scratch().await.unwrap();
    let upload = uploads.place(&placed, &scratch).await.unwrap().unwrap();
    upload.seal().await.unwrap();
    none(&uploads).await;
    for image in [written, placed] {
        let image = service.image(image.id).unwrap();
        assert_eq!((image.status, image.size), (Status::Active, Some(0)));
    }
    // What other data are to be is not forgotten with those that there are not.
    let writer = uploads.begin(&other).await.unwrap();
    writer.note_expected(md5("900150983cd24fb0d6963f7d28e17f72")).await.unwrap();
    drop(writer);
    emptied(&uploads, &other).await;
    uploads.of(other.id).unwrap().seal().await.unwrap();
    assert!(uploads.place(&other, &uploads.scratch().await.unwrap()).await.unwrap().is_none());
    let left = uploads.drain(LONG).await;
    assert_eq!(left.iter().map(|report| (report.image, report.size)).collect::<Vec<_>>(), [(other.id, 0)]);
    assert_eq!(service.image(other.id).unwrap().status, Status::Queued);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_opens_an_image_while_its_empty_upload_goes_finds_it_open() {
    let (folder, service) = (tempfile::tempdir().unwrap(), Fake::new());
    let uploads = open_with(Settings { quiet: Duration::ZERO, ..soon(folder.path()) }, &service).await;
    let image = service.add();
    for round in 0..300 {
        emptied(&uploads, &image).await;
        let writer = uploads.begin(&image).await.unwrap_or_else(|error| panic!("round {round}: {error}"));
        writer.write_at(0, Bytes::from_static(b"kept")).await.unwrap();
        assert_eq!(&uploads.of(image.id).unwrap().read_at(0, 9).await.unwrap()[..], b"kept", "round {round}");
    }
    let upload = uploads.of(image.id).unwrap();
    upload.seal().await.unwrap();
    upload.settled().await.unwrap();
    assert_eq!((service.bytes(image.id), service.taken()), (Bytes::from_static(b"kept"), 1));
}

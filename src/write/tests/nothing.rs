//! Files to which nothing was written, and what becomes of their images.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::super::testing::{Fake, Point, open, open_with};
use super::super::{Expected, Settings, State, Uploads, WriteError};
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

#[tokio::test]
async fn what_was_only_opened_is_not_sent_and_waits_on() {
    let (folder, service) = (tempfile::tempdir().unwrap(), Fake::new());
    let uploads = open_with(soon(folder.path()), &service).await;
    let image = service.add();
    let writer = uploads.begin(&image).await.unwrap();
    let upload = Arc::clone(writer.upload());
    drop(writer);
    upload.leave(upload.turn());
    none(&uploads).await;
    assert_eq!((service.image(image.id).unwrap().status, service.log()), (Status::Queued, Vec::new()));
    assert!(Uploads::peek(folder.path()).unwrap().is_empty());
    let writer = uploads.begin(&image).await.unwrap();
    writer.write_at(0, Bytes::from_static(b"bytes")).await.unwrap();
    writer.seal().await.unwrap();
    writer.settled().await.unwrap();
    assert_eq!(service.bytes(image.id), Bytes::from_static(b"bytes"));
}

#[tokio::test(start_paused = true)]
async fn what_rests_stays_where_somebody_only_opens_it_behind() {
    let (folder, service) = (tempfile::tempdir().unwrap(), Fake::new());
    let uploads = open(folder.path(), &service).await;
    let image = service.add();
    emptied(&uploads, &image).await;
    let writer = uploads.begin(&image).await.unwrap();
    let upload = Arc::clone(writer.upload());
    drop(writer);
    upload.leave(upload.turn());
    upload.settled().await.unwrap();
    assert_eq!(service.image(image.id).unwrap().size, Some(0));
}

#[tokio::test]
async fn what_waits_to_be_sent_and_is_emptied_is_sent_empty() {
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
    assert!(uploads.place(&placed, &scratch).await.unwrap().is_none(), "nobody waits for it");
    service.release();
    none(&uploads).await;
    assert_eq!([written, placed.clone()].map(|image| service.image(image.id).unwrap().size), [Some(0), Some(0)]);
    let active = Image { status: Status::Active, ..placed };
    let outcome = uploads.place(&active, &scratch).await;
    assert!(matches!(outcome, Err(WriteError::Immutable(_))), "an image that has its bytes");
}

#[tokio::test]
async fn no_bytes_are_not_sent_to_an_image_of_a_format_that_they_are_not() {
    let (folder, service) = (tempfile::tempdir().unwrap(), Fake::new());
    let uploads = open_with(soon(folder.path()), &service).await;
    let image = service.add_raw();
    let qcow2 = service.put(Image { disk_format: Some("qcow2".into()), ..image.clone() });
    for _ in 0..2 {
        emptied(&uploads, &qcow2).await;
        none(&uploads).await;
    }
    assert!(uploads.place(&qcow2, &uploads.scratch().await.unwrap()).await.unwrap().is_none());
    none(&uploads).await;
    assert_eq!((service.image(image.id).unwrap().status, service.taken()), (Status::Queued, 0));
    assert!(Uploads::peek(folder.path()).unwrap().is_empty());
}

#[tokio::test]
async fn who_says_that_an_image_stays_queued_takes_no_bytes_back_and_no_others() {
    let (folder, service) = (tempfile::tempdir().unwrap(), Fake::new());
    let uploads = open(folder.path(), &service).await;
    let [empty, hole, open, sent, late] = [0; 5].map(|_| service.add());
    emptied(&uploads, &empty).await;
    for (image, is_sealed) in [(&hole, false), (&sent, true)] {
        let writer = uploads.begin(image).await.unwrap();
        writer.truncate(9).await.unwrap();
        assert!(!writer.close().await.unwrap());
        writer.seal_when_quiet();
        if is_sealed {
            writer.seal().await.unwrap();
        }
    }
    let writer = uploads.begin(&open).await.unwrap();
    let kept = uploads.begin(&late).await.unwrap();
    let descriptor = kept.hold();
    for image in [&empty, &hole, &open, &sent, &late, &service.add()] {
        uploads.stay_queued(image.id).await.unwrap();
    }
    assert!(uploads.of(empty.id).is_none());
    assert_eq!(uploads.of(hole.id).unwrap().len().unwrap(), 9);
    writer.write_at(0, Bytes::from_static(b"bytes")).await.unwrap();
    drop(writer);
    // Said while it was open: it holds when it is closed.
    assert!(!kept.close().await.unwrap());
    kept.seal_when_quiet();
    drop((descriptor, kept));
    assert_eq!(uploads.drain(LONG).await.len(), 1, "which nobody has closed");
    let sizes = [&empty, &hole, &open, &sent, &late].map(|image| service.image(image.id).unwrap().size);
    assert_eq!(sizes, [None, Some(9), None, Some(9), None]);
}

#[tokio::test(start_paused = true)]
async fn what_rests_waits_until_nothing_is_changed_of_its_image_however_slow_the_service_is() {
    let (folder, service) = (tempfile::tempdir().unwrap(), Fake::new());
    let uploads = open(folder.path(), &service).await;
    let [image, other] = [service.add(), service.add()];
    emptied(&uploads, &image).await;
    emptied(&uploads, &other).await;
    let upload = uploads.of(image.id).unwrap();
    let began = Instant::now();
    for seconds in [5, 1, 3] {
        let stir = uploads.stir(image.id);
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        drop(stir);
        assert_eq!(upload.state(), State::Writing);
        tokio::time::sleep(Duration::from_millis(1999)).await;
    }
    upload.settled().await.unwrap();
    // The last one took three seconds, and four times as long had to be waited for the next.
    assert_eq!(began.elapsed().as_secs(), 5 + 2 + 1 + 2 + 3 + 12 - 1);
    assert_eq!(service.image(other.id).unwrap().size, Some(0), "of another image nothing was changed");
}

#[tokio::test]
async fn a_mount_that_ends_sends_what_rests_and_keeps_nothing_of_what_was_only_opened() {
    let (folder, service) = (tempfile::tempdir().unwrap(), Fake::new());
    let uploads = open(folder.path(), &service).await;
    let [rests, opened] = [service.add(), service.add()];
    emptied(&uploads, &rests).await;
    drop(uploads.begin(&opened).await.unwrap());
    assert!(uploads.drain(LONG).await.is_empty());
    assert!(Uploads::peek(folder.path()).unwrap().is_empty());
    assert_eq!([rests, opened].map(|image| service.image(image.id).unwrap().size), [Some(0), None]);
}

#[tokio::test]
async fn what_the_data_are_to_be_is_not_forgotten_with_those_that_there_are_not() {
    let (folder, service) = (tempfile::tempdir().unwrap(), Fake::new());
    let uploads = open(folder.path(), &service).await;
    let image = service.add();
    let expected = Expected { md5: Some("900150983cd24fb0d6963f7d28e17f72".to_owned()), sha512: None };
    let writer = uploads.begin(&image).await.unwrap();
    writer.note_expected(expected.clone()).await.unwrap();
    drop(writer);
    emptied(&uploads, &image).await;
    uploads.stay_queued(image.id).await.unwrap();
    assert_eq!(uploads.of(image.id).unwrap().expected(), Some(expected));
    let left = uploads.drain(LONG).await;
    assert_eq!(left.iter().map(|report| (report.image, report.size)).collect::<Vec<_>>(), [(image.id, 0)]);
    assert_eq!(service.image(image.id).unwrap().status, Status::Queued);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_opens_an_image_while_its_empty_upload_goes_finds_it_open() {
    let (folder, service) = (tempfile::tempdir().unwrap(), Fake::new());
    let uploads = open_with(Settings { quiet: Duration::ZERO, ..soon(folder.path()) }, &service).await;
    let image = service.add();
    for round in 0..300 {
        let opened = uploads.begin(&image).await.unwrap();
        let upload = Arc::clone(opened.upload());
        opened.truncate(0).await.unwrap();
        drop(opened);
        upload.leave(upload.turn());
        let writer = uploads.begin(&image).await.unwrap_or_else(|error| panic!("round {round}: {error}"));
        writer.write_at(0, Bytes::from_static(b"kept")).await.unwrap();
        assert_eq!(&uploads.of(image.id).unwrap().read_at(0, 9).await.unwrap()[..], b"kept", "round {round}");
    }
    let upload = uploads.of(image.id).unwrap();
    upload.seal().await.unwrap();
    upload.settled().await.unwrap();
    assert_eq!((service.bytes(image.id), service.taken()), (Bytes::from_static(b"kept"), 1));
}

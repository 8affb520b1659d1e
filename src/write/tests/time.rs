//! How old the bytes are, told with them.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;

use super::super::testing::{self, Fake, Point};
use super::super::{Uploads, Writer};
use crate::image::{DATA_MTIME, Image, ImageId, Text};

fn time() -> Timestamp {
    "2020-02-03T04:05:06.789Z".parse().unwrap()
}

async fn scene(folder: &Path) -> (Arc<Fake>, Arc<Uploads>, Image) {
    let service = Fake::new();
    let uploads = testing::open(folder, &service).await;
    let image = service.add();
    (service, uploads, image)
}

async fn written(uploads: &Uploads, image: &Image) -> Writer {
    let writer = uploads.begin(image).await.unwrap();
    writer.write_at(0, Bytes::from_static(b"bytes")).await.unwrap();
    writer
}

fn told(service: &Fake, image: ImageId) -> Option<Timestamp> {
    service.image(image).unwrap().properties.get(DATA_MTIME).map(|time| time.parse().unwrap())
}

fn updates(service: &Fake) -> usize {
    service.log().iter().filter(|call| **call == "update").count()
}

#[tokio::test]
async fn a_time_that_is_said_while_bytes_are_written_costs_no_request_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let (service, uploads, image) = scene(folder.path()).await;
    let writer = written(&uploads, &image).await;
    assert!(writer.set_time(time()).await.unwrap());
    assert_eq!(writer.time(), Some(time()));
    writer.seal().await.unwrap();
    let done = writer.settled().await.unwrap();
    assert_eq!((told(&service, image.id), updates(&service)), (Some(time()), 1));
    assert_eq!(done.properties.get(DATA_MTIME).map(Text::as_str), Some(time().to_string().as_str()));
    assert!(!writer.set_time(time()).await.unwrap(), "from now on the service has to be told");
}

#[tokio::test]
async fn a_time_that_is_said_while_bytes_are_under_way_is_told_behind_them() {
    let folder = tempfile::tempdir().unwrap();
    let (service, uploads, image) = scene(folder.path()).await;
    service.hold(Point::Middle);
    let writer = written(&uploads, &image).await;
    writer.seal().await.unwrap();
    service.arrival().await;
    assert!(writer.set_time(time()).await.unwrap());
    assert_eq!(updates(&service), 1, "which sets the formats");
    service.release();
    writer.settled().await.unwrap();
    assert_eq!((told(&service, image.id), updates(&service)), (Some(time()), 2));
}

#[tokio::test]
async fn a_time_that_the_service_refuses_keeps_no_bytes_back() {
    let folder = tempfile::tempdir().unwrap();
    let (service, uploads, image) = scene(folder.path()).await;
    *service.fixed.lock().unwrap() = Some(DATA_MTIME);
    let writer = written(&uploads, &image).await;
    writer.set_time(time()).await.unwrap();
    writer.seal().await.unwrap();
    let done = writer.settled().await.unwrap();
    assert_eq!((done.disk_format.as_deref(), told(&service, image.id)), (Some("raw"), None));
}

#[tokio::test]
async fn a_time_survives_the_mount() {
    let folder = tempfile::tempdir().unwrap();
    let (service, uploads, image) = scene(folder.path()).await;
    let writer = written(&uploads, &image).await;
    writer.set_time(time()).await.unwrap();
    drop((writer, uploads));
    let uploads = testing::open(folder.path(), &service).await;
    let upload = uploads.of(image.id).unwrap();
    assert_eq!(upload.time(), Some(time()));
    upload.seal().await.unwrap();
    upload.settled().await.unwrap();
    assert_eq!(told(&service, image.id), Some(time()));
}

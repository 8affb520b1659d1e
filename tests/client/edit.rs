//! Making, changing, filling and deleting images through the trait `ImageService`.

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use glancefs::image::{Image, ImageId, Status, Text, Visibility};
use glancefs::service::glance::Glance;
use glancefs::service::{Change, ImageService, Kind, NewImage, Outgoing, ServiceError, Source};
use md5::{Digest, Md5};
use serde_json::{Value, json};
use sha2::Sha512;

use crate::target::Target;

crate::contracts!(Both:
    an_image_is_made_as_it_was_asked_for,
    an_image_that_is_made_of_nothing_has_its_id,
    an_id_that_is_taken_is_a_conflict,
    a_name_that_the_service_does_not_take_is_invalid,
    an_image_is_deleted_once,
    a_protected_image_is_not_deleted,
    attributes_and_properties_are_set_and_removed,
    a_property_that_is_not_there_is_as_good_as_removed,
    changes_that_come_at_once_are_all_kept,
    what_cannot_be_written_is_forbidden,
    bytes_make_an_image_active_with_their_hashes,
    no_bytes_make_an_empty_image,
    bytes_go_into_an_image_once,
    bytes_without_a_format_are_refused_and_taken_when_it_is_set,
    bytes_unlike_their_format_spoil_the_image,
    bytes_of_our_own_that_fail_leave_the_image_queued,
    an_image_that_is_deleted_meanwhile_takes_no_bytes,
    bytes_over_the_quota_are_refused,
    a_reader_sends_no_bytes,
);

pub(crate) async fn new(target: &Target, glance: &Glance, image: NewImage) -> Image {
    let made = glance.create(&image).await.unwrap();
    target.remember(&target.person("demo").await, made.id);
    made
}

/// A new image that is ready for bytes.
pub(crate) async fn empty(target: &Target, glance: &Glance, disk_format: &str) -> ImageId {
    let (disk_format, container_format) = (Some(disk_format.into()), Some("bare".into()));
    new(target, glance, NewImage { disk_format, container_format, ..NewImage::new(ImageId::random()) }).await.id
}

/// Bytes that do not repeat within a block.
pub(crate) fn noise(length: usize) -> Bytes {
    let mut random = fastrand::Rng::with_seed(11);
    std::iter::repeat_with(|| random.u8(..)).take(length).collect()
}

pub(crate) fn hex(bytes: impl AsRef<[u8]>) -> String {
    bytes.as_ref().iter().fold(String::new(), |digits, byte| digits + &format!("{byte:02x}"))
}

pub(crate) async fn upload(glance: &Glance, image: ImageId, bytes: &Bytes) -> Result<(), ServiceError> {
    let parts: Vec<_> = bytes.chunks(100_000).map(|part| Ok(bytes.slice_ref(part))).collect();
    let body = futures_util::stream::iter(parts).boxed();
    glance.upload(Outgoing { image, size: bytes.len() as u64, body }).await
}

/// Asks until the image has the status, for as long as a busy machine may need.
pub(crate) async fn until(glance: &Glance, id: ImageId, status: Status) -> Image {
    for _ in 0..300 {
        let image = glance.show(id).await.unwrap();
        if image.status == status {
            return image;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("{id} does not become {status}");
}

async fn an_image_is_made_as_it_was_asked_for(target: &Target) {
    let glance = target.glance("demo").await;
    let wanted = NewImage {
        id: ImageId::random(),
        name: Some("a/b".to_owned()),
        container_format: Some("bare".into()),
        disk_format: Some("qcow2".into()),
        visibility: Some(Visibility::Private),
        properties: [("os_distro".into(), "debian".into())].into_iter().collect(),
        tags: vec!["z".into(), "a".into()],
    };
    let made = new(target, &glance, wanted.clone()).await;
    assert_eq!((made.id, &made.name, &made.status, made.size), (wanted.id, &wanted.name, &Status::Queued, None));
    assert_eq!((&made.disk_format, &made.container_format), (&wanted.disk_format, &wanted.container_format));
    assert_eq!((&made.visibility, &made.properties), (&Visibility::Private, &wanted.properties));
    assert_eq!(made.tags, ["a", "z"]);
    assert_eq!(glance.show(wanted.id).await.unwrap(), made);
}

async fn an_image_that_is_made_of_nothing_has_its_id(target: &Target) {
    let glance = target.glance("demo").await;
    let id = ImageId::random();
    let made = new(target, &glance, NewImage::new(id)).await;
    assert_eq!((made.id, made.name, made.disk_format, made.container_format), (id, None, None, None));
    assert_eq!(made.visibility, Visibility::Shared);
}

async fn an_id_that_is_taken_is_a_conflict(target: &Target) {
    let glance = target.glance("demo").await;
    let image = NewImage::new(ImageId::random());
    new(target, &glance, image.clone()).await;
    assert_eq!(glance.create(&image).await.unwrap_err().kind, Kind::Conflict);
    glance.delete(image.id).await.unwrap();
    let error = glance.create(&image).await.unwrap_err();
    assert_eq!(error.kind, Kind::Conflict, "the id of a deleted image too");
    assert!(error.to_string().contains("already exists"), "{error}");
}

async fn a_name_that_the_service_does_not_take_is_invalid(target: &Target) {
    let glance = target.glance("demo").await;
    let image = NewImage { name: Some("n".repeat(256)), ..NewImage::new(ImageId::random()) };
    assert_eq!(glance.create(&image).await.unwrap_err().kind, Kind::Invalid);
}

async fn an_image_is_deleted_once(target: &Target) {
    let glance = target.glance("demo").await;
    let id = glance.create(&NewImage::new(ImageId::random())).await.unwrap().id;
    glance.delete(id).await.unwrap();
    assert_eq!(glance.delete(id).await.unwrap_err().kind, Kind::NotFound);
    assert_eq!(glance.show(id).await.unwrap_err().kind, Kind::NotFound);
}

async fn a_protected_image_is_not_deleted(target: &Target) {
    let glance = target.glance("demo").await;
    let id = new(target, &glance, NewImage::new(ImageId::random())).await.id;
    assert!(glance.update(id, &[Change::set("protected", true)]).await.unwrap().protected);
    let error = glance.delete(id).await.unwrap_err();
    assert_eq!(error.kind, Kind::Forbidden);
    assert!(error.to_string().contains("is protected and cannot be deleted"), "{error}");
    glance.update(id, &[Change::set("protected", false)]).await.unwrap();
}

async fn attributes_and_properties_are_set_and_removed(target: &Target) {
    let glance = target.glance("demo").await;
    let properties = [("p".into(), "1".into()), ("a/b~c".into(), "1".into())].into_iter().collect();
    let id = new(target, &glance, NewImage { properties, ..NewImage::new(ImageId::random()) }).await.id;
    let changes = [
        Change::set("name", "new"),
        Change::set("min_disk", 2),
        Change::set("disk_format", "vdi"),
        Change::set("visibility", "private"),
        Change::set("tags", json!(["é", "a"])),
        Change::set("data_mtime", "2026-01-02T03:04:05Z"),
        Change::set("a/b~c", "2"),
        Change::remove("p"),
    ];
    let image = glance.update(id, &changes).await.unwrap();
    assert_eq!((image.name.as_deref(), image.min_disk), (Some("new"), 2));
    assert_eq!((image.disk_format.as_deref(), &image.visibility), (Some("vdi"), &Visibility::Private));
    assert_eq!(image.tags, ["a", "é"]);
    let properties: Vec<_> = image.properties.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    assert_eq!(properties, [("a/b~c", "2"), ("data_mtime", "2026-01-02T03:04:05Z")]);
    assert_eq!(glance.show(id).await.unwrap(), image);
    assert_eq!(glance.update(id, &[Change::set("name", Value::Null)]).await.unwrap().name, None);
}

async fn a_property_that_is_not_there_is_as_good_as_removed(target: &Target) {
    let glance = target.glance("demo").await;
    let id = new(target, &glance, NewImage::new(ImageId::random())).await.id;
    glance.update(id, &[Change::remove("p")]).await.unwrap();
    let image = glance.update(id, &[Change::remove("p"), Change::set("q", "v")]).await.unwrap();
    assert_eq!(image.properties.get("q").map(Text::as_str), Some("v"));
}

async fn changes_that_come_at_once_are_all_kept(target: &Target) {
    let glance = target.glance("demo").await;
    let id = new(target, &glance, NewImage::new(ImageId::random())).await.id;
    let changes: Vec<_> = (0..10).map(|n| [Change::set(format!("p{n}"), "v")]).collect();
    let outcomes = futures_util::future::join_all(changes.iter().map(|change| glance.update(id, change))).await;
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    assert_eq!(glance.show(id).await.unwrap().properties.len(), 10);
}

async fn what_cannot_be_written_is_forbidden(target: &Target) {
    let glance = target.glance("demo").await;
    let id = empty(target, &glance, "raw").await;
    upload(&glance, id, &noise(10)).await.unwrap();
    for change in [Change::set("size", 5), Change::remove("name")] {
        let error = glance.update(id, std::slice::from_ref(&change)).await.unwrap_err();
        assert_eq!(error.kind, Kind::Forbidden, "{change:?}: {error}");
    }
    let error = glance.update(id, &[Change::set("disk_format", "iso")]).await.unwrap_err();
    assert_eq!(error.kind, Kind::Conflict, "only its status forbids it: {error}");
    let error = glance.update(id, &[Change::set("min_disk", "x")]).await.unwrap_err();
    assert_eq!(error.kind, Kind::Invalid, "{error}");
    let error = glance.update(ImageId::random(), &[Change::set("p", "v")]).await.unwrap_err();
    assert_eq!(error.kind, Kind::NotFound, "{error}");
}

async fn bytes_make_an_image_active_with_their_hashes(target: &Target) {
    let glance = target.glance("demo").await;
    let id = empty(target, &glance, "raw").await;
    let bytes = noise(3_000_001);
    upload(&glance, id, &bytes).await.unwrap();
    let image = glance.show(id).await.unwrap();
    assert_eq!((&image.status, image.size), (&Status::Active, Some(3_000_001)));
    assert_eq!(image.checksums.md5, Some(hex(Md5::digest(&bytes)).into()));
    assert_eq!(image.checksums.value, Some(hex(Sha512::digest(&bytes)).into()));
    let source = Source { image: id, size: 3_000_001, store: None };
    let read: Vec<Bytes> = glance.read_all(&source).await.unwrap().try_collect().await.unwrap();
    assert_eq!(read.concat(), bytes);
}

async fn no_bytes_make_an_empty_image(target: &Target) {
    let glance = target.glance("demo").await;
    let id = empty(target, &glance, "raw").await;
    upload(&glance, id, &Bytes::new()).await.unwrap();
    let image = glance.show(id).await.unwrap();
    assert_eq!((image.status, image.size), (Status::Active, Some(0)));
}

async fn bytes_go_into_an_image_once(target: &Target) {
    let glance = target.glance("demo").await;
    let id = empty(target, &glance, "raw").await;
    upload(&glance, id, &noise(10)).await.unwrap();
    let error = upload(&glance, id, &noise(20)).await.unwrap_err();
    assert_eq!(error.kind, Kind::Conflict, "{error}");
    assert_eq!(glance.show(id).await.unwrap().size, Some(10));
}

async fn bytes_without_a_format_are_refused_and_taken_when_it_is_set(target: &Target) {
    let glance = target.glance("demo").await;
    let id = new(target, &glance, NewImage::new(ImageId::random())).await.id;
    let error = upload(&glance, id, &noise(10)).await.unwrap_err();
    assert_eq!(error.kind, Kind::Invalid, "{error}");
    let formats = [Change::set("disk_format", "raw"), Change::set("container_format", "bare")];
    glance.update(id, &formats).await.unwrap();
    upload(&glance, id, &noise(10)).await.unwrap();
}

async fn bytes_unlike_their_format_spoil_the_image(target: &Target) {
    let glance = target.glance("demo").await;
    let id = empty(target, &glance, "qcow2").await;
    let error = upload(&glance, id, &noise(70_000)).await.unwrap_err();
    assert_eq!(error.kind, Kind::FormatMismatch, "{error}");
    assert!(error.to_string().contains("does not match stream data raw"), "{error}");
    let image = glance.show(id).await.unwrap();
    assert_eq!((image.status, image.size), (Status::Queued, None));
    assert!(image.checksums.md5.is_some(), "what was refused is still there");
    assert_eq!(upload(&glance, id, &noise(70_000)).await.unwrap_err().kind, Kind::Unavailable);
}

async fn bytes_of_our_own_that_fail_leave_the_image_queued(target: &Target) {
    let glance = target.glance("demo").await;
    let id = empty(target, &glance, "raw").await;
    let broken = ServiceError::new(Kind::Malformed, "read the spool");
    let parts = vec![Ok(noise(100_000)), Err(broken)];
    let body = futures_util::stream::iter(parts).boxed();
    let error = glance.upload(Outgoing { image: id, size: 1_000_000, body }).await.unwrap_err();
    assert_eq!(error.action, "read the spool");
    let image = until(&glance, id, Status::Queued).await;
    assert_eq!((image.size, image.checksums.md5), (None, None));
    let short = Outgoing { image: id, size: 10, body: futures_util::stream::iter([Ok(noise(9))]).boxed() };
    assert_eq!(glance.upload(short).await.unwrap_err().kind, Kind::Invalid);
    // The service may notice only now that the one before was given up.
    while let Err(error) = upload(&glance, id, &noise(10)).await {
        assert_eq!(error.kind, Kind::Conflict, "{error}");
        until(&glance, id, Status::Queued).await;
    }
    assert_eq!(glance.show(id).await.unwrap().size, Some(10));
}

async fn an_image_that_is_deleted_meanwhile_takes_no_bytes(target: &Target) {
    let glance = target.glance("demo").await;
    let id = empty(target, &glance, "raw").await;
    let (begin, signal) = tokio::sync::oneshot::channel::<()>();
    let rest = futures_util::stream::once(async move {
        signal.await.unwrap();
        Ok(noise(300_000))
    });
    let body = futures_util::stream::iter([Ok(noise(300_000))]).chain(rest).boxed();
    let sent = glance.upload(Outgoing { image: id, size: 600_000, body });
    let deleted = async {
        until(&glance, id, Status::Saving).await;
        glance.delete(id).await.unwrap();
        begin.send(()).unwrap();
    };
    let (outcome, ()) = tokio::join!(sent, deleted);
    assert_eq!(outcome.unwrap_err().kind, Kind::Gone);
    assert_eq!(upload(&glance, id, &noise(10)).await.unwrap_err().kind, Kind::NotFound);
}

async fn bytes_over_the_quota_are_refused(target: &Target) {
    target.limited().await;
    let glance = target.glance("small").await;
    let formats = (Some("raw".into()), Some("bare".into()));
    let image = NewImage { disk_format: formats.0, container_format: formats.1, ..NewImage::new(ImageId::random()) };
    let id = glance.create(&image).await.unwrap().id;
    target.remember(&target.person("small").await, id);
    let error = upload(&glance, id, &noise(6 << 20)).await.unwrap_err();
    assert_eq!(error.kind, Kind::OverQuota, "{error}");
    assert!(error.to_string().contains("image_size_total"), "{error}");
    until(&glance, id, Status::Queued).await;
    upload(&glance, id, &noise(10)).await.unwrap();
}

async fn a_reader_sends_no_bytes(target: &Target) {
    let glance = target.glance("demo").await;
    let id = empty(target, &glance, "raw").await;
    let reader = target.glance("reader").await;
    assert_eq!(upload(&reader, id, &noise(10)).await.unwrap_err().kind, Kind::Forbidden);
    assert_eq!(reader.delete(id).await.unwrap_err().kind, Kind::Forbidden);
    assert_eq!(reader.create(&NewImage::new(ImageId::random())).await.unwrap_err().kind, Kind::Forbidden);
}

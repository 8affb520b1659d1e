//! Uploads that are cut, refused, stalled, and answered by nobody.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use glancefs::image::{ImageId, Status};
use glancefs::server::{Behaviour, Quota, Server, Settings, UploadFault};
use glancefs::service::glance::Glance;
use glancefs::service::{Change, ImageService, Kind, NewImage, Outgoing, ServiceError};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::peer::{Answer, Peer};
use crate::{ID, IMPATIENT, cloud, connected, id, peer};

/// An embedded service without accounts, and our client of it.
struct Scene {
    _server: Server,
    glance: Glance,
    _folder: tempfile::TempDir,
}

impl Scene {
    async fn new(behaviour: Behaviour) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = Server::start(Settings { behaviour, ..Settings::new(folder.path()) }).await.unwrap();
        let glance = Glance::connect_with(cloud(&server.url()), IMPATIENT).await.unwrap();
        Self { _server: server, glance, _folder: folder }
    }

    async fn with(faults: &[UploadFault]) -> Self {
        Self::new(Behaviour { uploads: faults.to_vec(), ..Behaviour::default() }).await
    }

    /// A new image that is ready for bytes.
    async fn image(&self) -> ImageId {
        let (disk_format, container_format) = (Some("raw".into()), Some("bare".into()));
        let image = NewImage { disk_format, container_format, ..NewImage::new(ImageId::random()) };
        self.glance.create(&image).await.unwrap().id
    }

    async fn upload(&self, image: ImageId, size: usize) -> Result<(), ServiceError> {
        self.glance.upload(outgoing(image, size)).await
    }

    async fn status(&self, image: ImageId) -> Status {
        self.glance.show(image).await.unwrap().status
    }

    /// Waits for a status; the test runner's own limit ends a wait in vain.
    async fn until(&self, image: ImageId, status: Status) {
        while self.status(image).await != status {
            tokio::task::yield_now().await;
        }
    }
}

fn outgoing(image: ImageId, size: usize) -> Outgoing {
    let part = Bytes::from(vec![7; 1 << 20]);
    let parts = (0..size.div_ceil(1 << 20)).map(move |at| Ok(part.slice(..(size - (at << 20)).min(1 << 20))));
    Outgoing { image, size: size as u64, body: futures_util::stream::iter(parts).boxed() }
}

#[tokio::test]
async fn an_upload_is_one_request_with_its_length_ahead() {
    let peer =
        peer(|request, _| request.path().ends_with("/file").then(|| Answer::Full(204, String::new(), Vec::new())))
            .await;
    let glance = connected(&peer).await;
    let before = peer.requests().len();
    glance.upload(outgoing(id(), 1000)).await.unwrap();
    let requests = peer.requests();
    assert_eq!(requests.len() - before, 1);
    let request = requests.last().unwrap();
    assert_eq!((request.method(), request.path()), ("PUT", format!("/v2/images/{ID}/file").as_str()));
    let headers = ["content-length", "x-openstack-image-size", "content-type", "transfer-encoding"];
    let expected = [Some("1000"), Some("1000"), Some("application/octet-stream"), None];
    assert_eq!(headers.map(|name| request.header(name)), expected);
}

#[tokio::test]
async fn an_upload_that_breaks_is_unavailable_and_can_be_made_again() {
    let faults = [
        UploadFault::Closed,
        UploadFault::Unavailable,
        UploadFault::Limited,
        UploadFault::Page,
        UploadFault::Cut,
        UploadFault::Broken,
    ];
    for fault in faults {
        // Short ones fit into the buffers of the connection, long ones do not.
        for size in [1000, 20 << 20] {
            let scene = Scene::with(&[fault]).await;
            let image = scene.image().await;
            let error = scene.upload(image, size).await.unwrap_err();
            assert_eq!(error.kind, Kind::Unavailable, "{fault:?} {size}: {error}");
            scene.until(image, Status::Queued).await;
            scene.upload(image, size).await.unwrap();
            assert_eq!(scene.status(image).await, Status::Active);
        }
    }
}

#[tokio::test]
async fn an_upload_whose_answer_was_lost_is_unavailable_and_the_image_tells() {
    for (fault, status) in [
        (UploadFault::Unanswered, Status::Active),
        (UploadFault::Late, Status::Active),
        (UploadFault::Stuck, Status::Saving),
    ] {
        let scene = Scene::with(&[fault]).await;
        let image = scene.image().await;
        let error = scene.upload(image, 1000).await.unwrap_err();
        assert_eq!(error.kind, Kind::Unavailable, "{fault:?}: {error}");
        scene.until(image, status).await;
        assert_eq!(scene.upload(image, 1000).await.unwrap_err().kind, Kind::Conflict);
        scene.glance.delete(image).await.unwrap();
    }
}

#[tokio::test]
async fn an_image_is_not_changed_while_its_bytes_are_under_way() {
    let scene = Scene::new(Behaviour::default()).await;
    let image = scene.image().await;
    let change = [Change::set("p", "v")];
    let (go, gone) = tokio::sync::oneshot::channel();
    let rest = futures_util::stream::once(async move { Ok(gone.await.unwrap()) });
    let body = futures_util::stream::iter([Ok(Bytes::from_static(b"hello"))]).chain(rest).boxed();
    let sent = scene.glance.upload(Outgoing { image, size: 10, body });
    let changed = async {
        scene.until(image, Status::Saving).await;
        let error = scene.glance.update(image, &change).await.unwrap_err();
        assert!(error.kind == Kind::Conflict && error.to_string().contains("is being uploaded"), "{error}");
        go.send(Bytes::from_static(b"world")).unwrap();
    };
    tokio::join!(sent, changed).0.unwrap();
    let image = scene.glance.update(image, &change).await.unwrap();
    assert_eq!((image.status, image.properties.len()), (Status::Active, 1));
}

#[tokio::test]
async fn the_service_may_ask_to_wait() {
    let peer = peer(|request, _| {
        let headers = "Retry-After: 7\r\n".to_owned();
        request.path().ends_with("/file").then(|| Answer::Full(429, headers.clone(), Vec::new()))
    })
    .await;
    let error = connected(&peer).await.upload(outgoing(id(), 0)).await.unwrap_err();
    assert_eq!((error.kind, error.retry_after), (Kind::Unavailable, Some(Duration::from_secs(7))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_over_the_quota_is_told_as_such_however_the_connection_ends() {
    let quota = Some(Quota { image_size_total: 5, ..Quota::default() });
    let scene = Scene::new(Behaviour { quota, ..Behaviour::default() }).await;
    let image = scene.image().await;
    for round in 0..50 {
        let error = scene.upload(image, (6 + round % 20) << 20).await.unwrap_err();
        assert_eq!(error.kind, Kind::OverQuota, "round {round}: {error}");
        assert!(error.to_string().contains("image_size_total"), "{error}");
    }
    assert_eq!(scene.status(image).await, Status::Queued);
    scene.upload(image, 1 << 20).await.unwrap();
}

/// What is answered to the first upload, and to those after it.
async fn refusing(first: Answer, then: Answer) -> Peer {
    peer(move |request, before| {
        request.path().ends_with("/file").then(|| if before == 0 { first.clone() } else { then.clone() })
    })
    .await
}

#[tokio::test]
async fn a_refusal_that_was_lost_with_its_connection_is_asked_for_again() {
    let quota =
        Answer::json(413, &json!({"message": "over a limit for [Resource image_size_total is over limit of 5]"}));
    let cut = Answer::Short(413, String::new(), Vec::new(), 500);
    for (first, then, kind) in [
        (Answer::Reset, quota.clone(), Kind::OverQuota),
        (Answer::Reset, Answer::json(403, &json!({"message": "no"})), Kind::Forbidden),
        (Answer::Reset, Answer::Nothing, Kind::Unavailable),
        (Answer::Reset, Answer::json(409, &json!({"message": "saving to saving"})), Kind::Unavailable),
        (cut.clone(), quota, Kind::OverQuota),
        (cut, Answer::Nothing, Kind::TooLarge),
    ] {
        let peer = refusing(first.clone(), then.clone()).await;
        let error = connected(&peer).await.upload(outgoing(id(), 9 << 20)).await.unwrap_err();
        assert_eq!(error.kind, kind, "{first:?} {then:?}: {error}");
        let uploads = peer.requests().iter().filter(|request| request.method() == "PUT").count();
        assert_eq!(uploads, 2, "{first:?} {then:?}");
    }
}

#[tokio::test]
async fn an_upload_over_the_cap_is_too_large() {
    let scene = Scene::new(Behaviour { size_cap: 1 << 20, ..Behaviour::default() }).await;
    let image = scene.image().await;
    for size in [2 << 20, 40 << 20] {
        let error = scene.upload(image, size).await.unwrap_err();
        assert_eq!(error.kind, Kind::TooLarge, "{size}: {error}");
        scene.until(image, Status::Queued).await;
    }
    scene.upload(image, 1 << 20).await.unwrap();
}

#[tokio::test]
async fn too_many_uploads_at_once_are_no_lack_of_room() {
    let quota = Some(Quota { image_count_uploading: 0, ..Quota::default() });
    let scene = Scene::new(Behaviour { quota, ..Behaviour::default() }).await;
    let image = scene.image().await;
    assert_eq!(scene.upload(image, 1000).await.unwrap_err().kind, Kind::Unavailable);
}

#[tokio::test]
async fn a_refused_token_is_replaced_for_the_next_try() {
    let refused = Answer::json(401, &json!({"error": {"message": "no"}}));
    let peer = refusing(refused, Answer::Full(204, String::new(), Vec::new())).await;
    let glance = connected(&peer).await;
    assert_eq!(glance.upload(outgoing(id(), 0)).await.unwrap_err().kind, Kind::Unavailable);
    glance.upload(outgoing(id(), 0)).await.unwrap();
}

#[tokio::test]
async fn refusals_of_uploads_keep_their_meaning() {
    let table = [
        (400, "Properties disk_format must be set prior to saving data.", Kind::Invalid),
        (403, "no", Kind::Forbidden),
        (404, "no", Kind::NotFound),
        (409, "Image status transition from active to saving is not allowed", Kind::Conflict),
        (410, "no", Kind::Gone),
        (413, "Image storage media is full: no", Kind::StoreFull),
        (413, "The incoming image is too large", Kind::TooLarge),
        (415, "Image disk_format qcow2 does not match stream data raw", Kind::FormatMismatch),
        (500, "no", Kind::Unavailable),
    ];
    for (status, words, kind) in table {
        let peer = peer(move |request, _| {
            request.path().ends_with("/file").then(|| Answer::json(status, &json!({"message": words})))
        })
        .await;
        let error = connected(&peer).await.upload(outgoing(id(), 0)).await.unwrap_err();
        assert_eq!((error.kind, error.words.as_deref()), (kind, Some(words)));
    }
}

/// A service that is well until an upload comes, and then takes this many bytes and says nothing.
async fn silent(taken: usize) -> String {
    let well = peer(|_, _| None).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let origin = well.url.trim_start_matches("http://").to_owned();
            tokio::spawn(async move {
                let mut first = vec![0; 4];
                stream.read_exact(&mut first).await.unwrap();
                if first == b"PUT " {
                    let mut body = vec![0; taken];
                    let _ = stream.read_exact(&mut body).await;
                    std::future::pending::<()>().await;
                }
                let mut there = tokio::net::TcpStream::connect(origin).await.unwrap();
                there.write_all(&first).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut stream, &mut there).await;
            });
        }
    });
    url
}

#[tokio::test]
async fn a_service_that_takes_no_more_bytes_or_does_not_answer_is_given_up() {
    for (taken, size, words) in [
        (1000, 40 << 20, "the service takes no more bytes"),
        (1000, 500, "the service has all bytes, and does not answer"),
    ] {
        let glance = Glance::connect_with(cloud(&silent(taken).await), IMPATIENT).await.unwrap();
        tokio::time::pause();
        let error = glance.upload(outgoing(id(), size)).await.unwrap_err();
        tokio::time::resume();
        assert_eq!((error.kind, error.words.as_deref()), (Kind::TimedOut, Some(words)));
    }
}

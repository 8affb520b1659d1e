//! The same over HTTP, to the embedded service.

use std::sync::Arc;
use std::time::Duration;

use url::Url;

use super::super::testing::fill;
use super::super::{Reason, Settings, Uploads, WriteError};
use crate::config::{Cloud, Tls};
use crate::image::{Image, ImageId};
use crate::server::{Behaviour, Server, UploadFault};
use crate::service::glance::Glance;
use crate::service::retry::Patience;
use crate::service::{ImageService, NewImage};

const SIZE: usize = (3 << 20) + 7;

struct Served {
    server: Server,
    glance: Arc<Glance>,
    uploads: Arc<Uploads>,
    _folder: tempfile::TempDir,
}

impl Served {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = Server::start(crate::server::Settings::new(folder.path().join("images"))).await.unwrap();
        let cloud = Cloud::of_url(Url::parse(&server.url()).unwrap(), Tls::default());
        let glance = Arc::new(Glance::connect(cloud).await.unwrap());
        // Tests do not wait as people do.
        let patience =
            Patience { first_pause: Duration::from_millis(5), longest_pause: Duration::from_millis(50), tries: 30 };
        let settings = Settings { patience, ..Settings::new(folder.path().join("uploads")) };
        let service = Arc::clone(&glance) as Arc<dyn ImageService>;
        let uploads = Uploads::open(settings, service).await.unwrap();
        Self { server, glance, uploads, _folder: folder }
    }

    async fn image(&self) -> Image {
        self.glance.create(&NewImage::new(ImageId::random())).await.unwrap()
    }

    async fn write(&self, image: &Image, seed: u64) -> Result<Arc<Image>, WriteError> {
        let writer = self.uploads.begin(image).await?;
        writer.write_at(0, fill(seed, SIZE)).await?;
        writer.seal().await?;
        writer.settled().await
    }

    /// How many requests `work` makes.
    async fn requests<T>(&self, work: impl Future<Output = T>) -> (T, u64) {
        let before = self.server.traffic().requests;
        let done = work.await;
        (done, self.server.traffic().requests - before)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_of_an_image_without_formats_makes_three_requests() {
    let served = Served::new().await;
    let image = served.image().await;
    let (active, requests) = served.requests(served.write(&image, 1)).await;
    let active = active.unwrap();
    assert_eq!((active.size, active.disk_format.as_deref()), (Some(SIZE as u64), Some("raw")));
    assert_eq!(requests, 3, "the formats, the bytes, and the hash");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_is_cut_refused_and_unanswered_ends_active_and_is_not_sent_twice() {
    use UploadFault::{Broken, Closed, Cut, Late, Limited, Page, Unanswered, Unavailable};
    for uploads in [vec![Closed, Cut, Broken], vec![Unavailable, Page, Limited], vec![Unanswered], vec![Late]] {
        let served = Served::new().await;
        served.server.set_behaviour(Behaviour { uploads: uploads.clone(), ..Behaviour::default() });
        let image = served.image().await;
        let settled = served.write(&image, 2).await;
        assert!(settled.is_ok(), "{uploads:?}: {settled:?}");
        if uploads.len() == 1 {
            assert_eq!(served.server.traffic().body_bytes_received, SIZE as u64, "{uploads:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_seed_does_to_uploads_they_end_active() {
    use UploadFault::{Broken, Closed, Cut, Late, Page, Unanswered};
    let served = Served::new().await;
    let first = fastrand::u64(..1 << 32);
    println!("seeds from {first} on");
    for seed in first..first + 4 {
        let mut random = fastrand::Rng::with_seed(seed);
        let uploads: Vec<_> = (0..random.usize(..6))
            .filter_map(|_| random.choice([Broken, Closed, Cut, Late, Page, Unanswered]))
            .collect();
        served.server.set_behaviour(Behaviour { uploads: uploads.clone(), ..Behaviour::default() });
        let image = served.image().await;
        let settled = served.write(&image, seed).await;
        assert!(settled.is_ok(), "seed {seed}, {uploads:?}: {settled:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_over_the_size_cap_fails_and_can_be_sent_once_there_is_room() {
    let served = Served::new().await;
    served.server.set_behaviour(Behaviour { size_cap: 1 << 20, ..Behaviour::default() });
    let image = served.image().await;
    let Err(WriteError::Failed(cause)) = served.write(&image, 3).await else { panic!() };
    assert_eq!(cause.reason, Reason::TooLarge, "{cause}");
    served.server.set_behaviour(Behaviour::default());
    let upload = served.uploads.of(image.id).unwrap();
    served.uploads.retry(image.id).await.unwrap();
    upload.settled().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_on_its_way_is_taken_back_and_sent_with_its_last_bytes() {
    let served = Served::new().await;
    served.server.set_behaviour(Behaviour { upload_rate: Some(4 << 20), ..Behaviour::default() });
    let image = served.image().await;
    let writer = served.uploads.begin(&image).await.unwrap();
    writer.write_at(0, fill(4, SIZE)).await.unwrap();
    writer.seal().await.unwrap();
    while writer.report().sent == 0 {
        tokio::task::yield_now().await;
    }
    writer.write_at(0, fill(5, SIZE)).await.unwrap();
    served.server.set_behaviour(Behaviour::default());
    writer.seal().await.unwrap();
    let active = writer.settled().await.unwrap();
    let shown = served.glance.show(image.id).await.unwrap();
    assert_eq!(active.checksums, shown.checksums);
}

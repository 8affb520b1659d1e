//! What the tests of this module share: an Image service in memory that fails in all the ways of a real one.

use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use md5::Md5;
use sha2::{Digest, Sha512};
use tokio::sync::Semaphore;

use super::{Settings, Upload, Uploads};
use crate::hash::hexadecimal;
use crate::image::{Checksums, Image, ImageId, Member, Status, Task, Usage, Visibility};
use crate::service::{
    ByteStream, Change, ImageService, Kind, ListQuery, Marker, NewImage, Outgoing, Page, Result, ServiceError, Source,
};

/// An image without bytes and formats.
pub(super) fn queued(name: Option<&str>) -> Image {
    Image {
        id: ImageId::random(),
        name: name.map(str::to_owned),
        status: Status::Queued,
        visibility: Visibility::Shared,
        owner: Some("own".into()),
        size: None,
        virtual_size: None,
        disk_format: None,
        container_format: None,
        checksums: Checksums::default(),
        created_at: "2026-01-02T03:04:05Z".parse().unwrap(),
        updated_at: "2026-01-02T03:04:05Z".parse().unwrap(),
        protected: false,
        hidden: false,
        min_disk: 0,
        min_ram: 0,
        tags: Vec::new(),
        stores: Vec::new(),
        properties: crate::image::Properties::default(),
        other: crate::image::Attributes::default(),
    }
}

/// What happens to one upload.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Fault {
    /// It is refused before a byte is read.
    Refused(Kind),
    /// The connection breaks after so many bytes; the image is queued again.
    Cut(u64, Kind),
    /// The same, but the image is shown as saving for so many looks.
    CutSlowly(u64, u32),
    /// All is taken, and the answer is lost.
    AnswerLost(Kind),
    /// The same, but the image is shown as saving for so many looks.
    AnswerLostSlowly(u32),
    /// It is shown as saving for ever.
    Stuck,
    /// All is taken, and then the token has expired: the image is deleted.
    TokenExpired,
    /// Somebody deletes the image meanwhile.
    Deleted,
    /// The format is refused after the last byte, and the image left unusable.
    Poisoned,
    /// A byte is flipped on the way.
    Flipped,
}

/// Where all that comes by is held up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Point {
    Show,
    Update,
    /// Before an upload is looked at.
    Upload,
    /// After its first frame.
    Middle,
    /// After all of it was taken, before the answer.
    Answer,
}

/// An image as the service has it.
struct Held {
    image: Image,
    bytes: Bytes,
    /// It is shown as saving for so many looks.
    saving: u32,
}

/// The service.
pub(super) struct Fake {
    images: Mutex<HashMap<ImageId, Held>>,
    pub(super) faults: Mutex<VecDeque<Fault>>,
    /// So many of the next looks fail.
    pub(super) blind: Mutex<u32>,
    /// The property that may not be changed.
    pub(super) fixed: Mutex<Option<&'static str>>,
    /// What it tells of the tasks of every image.
    pub(super) tasks: Mutex<Vec<Task>>,
    /// The calls, in their order.
    log: Mutex<Vec<&'static str>>,
    /// How often bytes were taken.
    taken: Mutex<u32>,
    pub(super) held: Mutex<Option<Point>>,
    /// Somebody has come to the point where it is held up.
    pub(super) arrived: Semaphore,
    /// Lets so many go on.
    pub(super) passes: Semaphore,
    under_way: Mutex<(u32, u32)>,
}

impl Fake {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            images: Mutex::default(),
            faults: Mutex::default(),
            blind: Mutex::default(),
            fixed: Mutex::default(),
            tasks: Mutex::default(),
            log: Mutex::default(),
            taken: Mutex::default(),
            held: Mutex::default(),
            arrived: Semaphore::new(0),
            passes: Semaphore::new(0),
            under_way: Mutex::default(),
        })
    }

    /// A new image, without formats.
    pub(super) fn add(&self) -> Image {
        self.put(queued(Some("disk")))
    }

    pub(super) fn put(&self, image: Image) -> Image {
        let held = Held { image: image.clone(), bytes: Bytes::new(), saving: 0 };
        self.images.lock().unwrap().insert(image.id, held);
        image
    }

    /// The same with formats.
    pub(super) fn add_raw(&self) -> Image {
        let (container_format, disk_format) = (Some("bare".into()), Some("raw".into()));
        self.put(Image { disk_format, container_format, ..queued(None) })
    }

    pub(super) fn fail(&self, faults: impl IntoIterator<Item = Fault>) {
        self.faults.lock().unwrap().extend(faults);
    }

    pub(super) fn log(&self) -> Vec<&'static str> {
        self.log.lock().unwrap().clone()
    }

    /// How often bytes were taken, all of them.
    pub(super) fn taken(&self) -> u32 {
        *self.taken.lock().unwrap()
    }

    /// The most uploads that were under way at once.
    pub(super) fn most(&self) -> u32 {
        self.under_way.lock().unwrap().1
    }

    pub(super) fn image(&self, id: ImageId) -> Option<Image> {
        self.images.lock().unwrap().get(&id).map(|held| held.image.clone())
    }

    pub(super) fn bytes(&self, id: ImageId) -> Bytes {
        self.images.lock().unwrap()[&id].bytes.clone()
    }

    pub(super) fn remove(&self, id: ImageId) {
        self.images.lock().unwrap().remove(&id);
    }

    pub(super) fn change(&self, id: ImageId, change: impl FnOnce(&mut Image)) {
        change(&mut self.images.lock().unwrap().get_mut(&id).unwrap().image);
    }

    pub(super) fn hold(&self, point: Point) {
        *self.held.lock().unwrap() = Some(point);
    }

    /// Lets all go on, now and later.
    pub(super) fn release(&self) {
        *self.held.lock().unwrap() = None;
        self.passes.add_permits(100);
    }

    async fn at(&self, point: Point) {
        let held = *self.held.lock().unwrap();
        if held == Some(point) {
            self.arrived.add_permits(1);
            self.passes.acquire().await.unwrap().forget();
        }
    }

    /// Waits until somebody has come to where it is held up.
    pub(super) async fn arrival(&self) {
        self.arrived.acquire().await.unwrap().forget();
    }

    fn call(&self, name: &'static str) {
        self.log.lock().unwrap().push(name);
    }

    async fn receive(&self, outgoing: Outgoing, most: u64) -> Result<Vec<u8>> {
        let Outgoing { size, mut body, .. } = outgoing;
        let mut bytes = Vec::new();
        while (bytes.len() as u64) < most {
            let Some(frame) = body.next().await.transpose()? else { break };
            assert!(frame.len() < 512 << 10 && !frame.is_empty(), "a frame of {} bytes", frame.len());
            bytes.extend_from_slice(&frame);
            self.at(Point::Middle).await;
        }
        assert!(bytes.len() as u64 == size || bytes.len() as u64 >= most, "{} of {size}", bytes.len());
        Ok(bytes)
    }

    fn fill(&self, id: ImageId, bytes: Vec<u8>, shown: &[u8], saving: u32) {
        let mut images = self.images.lock().unwrap();
        let held = images.get_mut(&id).unwrap();
        assert_eq!(held.image.status, Status::Saving, "bytes are taken once");
        held.image.status = Status::Active;
        held.image.size = Some(shown.len() as u64);
        held.image.checksums = Checksums {
            md5: Some(hexadecimal(&Md5::digest(shown)).into()),
            algorithm: Some("sha512".into()),
            value: Some(hexadecimal(&Sha512::digest(shown)).into()),
        };
        held.bytes = bytes.into();
        held.saving = saving;
        *self.taken.lock().unwrap() += 1;
    }

    fn requeue(&self, id: ImageId, saving: u32) {
        if let Some(held) = self.images.lock().unwrap().get_mut(&id) {
            held.image.status = Status::Queued;
            held.saving = saving;
        }
    }

    async fn take(&self, outgoing: Outgoing, fault: Option<Fault>) -> Result<()> {
        let id = outgoing.image;
        match fault {
            None => {
                let bytes = self.receive(outgoing, u64::MAX).await?;
                self.fill(id, bytes.clone(), &bytes, 0);
                self.at(Point::Answer).await;
                Ok(())
            }
            Some(Fault::Refused(kind)) => {
                self.requeue(id, 0);
                failed(kind)
            }
            Some(Fault::Cut(at, kind)) => {
                self.receive(outgoing, at).await?;
                self.requeue(id, 0);
                failed(kind)
            }
            Some(Fault::CutSlowly(at, looks)) => {
                self.receive(outgoing, at).await?;
                self.requeue(id, looks);
                failed(Kind::TimedOut)
            }
            Some(Fault::AnswerLost(kind)) => {
                let bytes = self.receive(outgoing, u64::MAX).await?;
                self.fill(id, bytes.clone(), &bytes, 0);
                failed(kind)
            }
            Some(Fault::AnswerLostSlowly(looks)) => {
                let bytes = self.receive(outgoing, u64::MAX).await?;
                self.fill(id, bytes.clone(), &bytes, looks);
                failed(Kind::Unavailable)
            }
            Some(Fault::Stuck) => {
                self.receive(outgoing, 1).await?;
                self.requeue(id, u32::MAX);
                failed(Kind::Unavailable)
            }
            Some(Fault::TokenExpired) => {
                self.receive(outgoing, u64::MAX).await?;
                self.remove(id);
                failed(Kind::Unauthorized)
            }
            Some(Fault::Deleted) => {
                self.receive(outgoing, 1).await?;
                self.remove(id);
                failed(Kind::Gone)
            }
            Some(Fault::Poisoned) => {
                self.receive(outgoing, u64::MAX).await?;
                self.requeue(id, 0);
                self.change(id, |image| image.checksums.md5 = Some("5d41".into()));
                failed(Kind::FormatMismatch)
            }
            Some(Fault::Flipped) => {
                let mut bytes = self.receive(outgoing, u64::MAX).await?;
                if let Some(byte) = bytes.last_mut() {
                    *byte ^= 1;
                }
                self.fill(id, bytes.clone(), &bytes, 0);
                Ok(())
            }
        }
    }
}

/// Counts an upload for as long as it lives; one that is dropped before its end leaves the image queued.
struct UnderWay<'a>(&'a Fake, ImageId);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.under_way.lock().unwrap().0 -= 1;
        if let Some(held) = self.0.images.lock().unwrap().get_mut(&self.1)
            && held.image.status == Status::Saving
        {
            held.image.status = Status::Queued;
        }
    }
}

fn failed<T>(kind: Kind) -> Result<T> {
    Err(ServiceError::new(kind, "upload the data"))
}

#[async_trait]
impl ImageService for Fake {
    async fn list(&self, _: &ListQuery, _: Option<&Marker>) -> Result<Page> {
        failed(Kind::NotOffered)
    }

    async fn tasks(&self, _: ImageId) -> Result<Vec<Task>> {
        Ok(self.tasks.lock().unwrap().clone())
    }

    async fn show(&self, id: ImageId) -> Result<Image> {
        self.call("show");
        self.at(Point::Show).await;
        {
            let mut blind = self.blind.lock().unwrap();
            if *blind > 0 {
                *blind -= 1;
                return failed(Kind::Unavailable);
            }
        }
        let mut images = self.images.lock().unwrap();
        let held = images.get_mut(&id).ok_or_else(|| ServiceError::new(Kind::NotFound, "show the image"))?;
        if held.saving == 0 {
            return Ok(held.image.clone());
        }
        held.saving = held.saving.saturating_sub(u32::from(held.saving < u32::MAX));
        let (size, checksums) = (None, Checksums::default());
        Ok(Image { status: Status::Saving, size, checksums, ..held.image.clone() })
    }

    async fn members(&self, _: ImageId) -> Result<Vec<Member>> {
        failed(Kind::NotOffered)
    }

    async fn read_range(&self, _: &Source, _: Range<u64>) -> Result<ByteStream> {
        failed(Kind::NotOffered)
    }

    async fn read_all(&self, _: &Source) -> Result<ByteStream> {
        failed(Kind::NotOffered)
    }

    async fn usage(&self) -> Result<Option<Usage>> {
        failed(Kind::NotOffered)
    }

    async fn create(&self, _: &NewImage) -> Result<Image> {
        failed(Kind::NotOffered)
    }

    async fn delete(&self, _: ImageId) -> Result<()> {
        failed(Kind::NotOffered)
    }

    async fn update(&self, id: ImageId, changes: &[Change]) -> Result<Image> {
        self.call("update");
        self.at(Point::Update).await;
        let set = |change: &Change| {
            let Change::Set { key, value } = change else { panic!("{change:?}") };
            (key.clone(), value.as_str().unwrap().to_owned())
        };
        let (changes, fixed) = (changes.iter().map(set), *self.fixed.lock().unwrap());
        if changes.clone().any(|(key, _)| Some(key.as_str()) == fixed) {
            return failed(Kind::Forbidden);
        }
        self.change(id, |image| {
            for (key, value) in changes {
                match key.as_str() {
                    "disk_format" => image.disk_format = Some(value.into()),
                    "container_format" => image.container_format = Some(value.into()),
                    _ => drop(image.properties.insert(key.into(), value.into())),
                }
            }
        });
        Ok(self.image(id).unwrap())
    }

    async fn upload(&self, outgoing: Outgoing) -> Result<()> {
        self.call("upload");
        self.at(Point::Upload).await;
        let id = outgoing.image;
        {
            let mut images = self.images.lock().unwrap();
            let Some(held) = images.get_mut(&id) else { return failed(Kind::NotFound) };
            if held.image.status != Status::Queued || held.saving > 0 {
                return failed(Kind::Conflict);
            }
            if held.image.disk_format.is_none() || held.image.container_format.is_none() {
                return failed(Kind::Invalid);
            }
            held.image.status = Status::Saving;
            let mut under_way = self.under_way.lock().unwrap();
            under_way.0 += 1;
            under_way.1 = under_way.1.max(under_way.0);
        }
        let _under_way = UnderWay(self, id);
        let fault = self.faults.lock().unwrap().pop_front();
        self.take(outgoing, fault).await
    }
}

impl Upload {
    /// Waits until it is in the state of this name.
    pub(super) async fn reaches(&self, word: &str) {
        let mut stages = self.stage.subscribe();
        stages.wait_for(|stage| stage.state.word() == word).await.unwrap();
    }
}

/// What a mount with this service opens.
pub(super) async fn open(folder: &Path, service: &Arc<Fake>) -> Arc<Uploads> {
    open_with(Settings::new(folder), service).await
}

pub(super) async fn open_with(settings: Settings, service: &Arc<Fake>) -> Arc<Uploads> {
    Uploads::open(settings, Arc::clone(service) as Arc<dyn ImageService>).await.unwrap()
}

/// The record of an upload as another boot of the machine finds it.
pub(super) fn cut_power(folder: &Path, image: ImageId) {
    let path = folder.join("jobs").join(image.as_str()).join("job.json");
    let Ok(text) = std::fs::read_to_string(&path) else { return };
    let mut record: serde_json::Value = serde_json::from_str(text.trim_end().lines().last().unwrap()).unwrap();
    record["boot"] = "an earlier one".into();
    std::fs::write(&path, format!("{record}\n")).unwrap();
}

/// `length` bytes that depend on `seed`.
pub(super) fn fill(seed: u64, length: usize) -> Bytes {
    let mut bytes = vec![0; length];
    fastrand::Rng::with_seed(seed).fill(&mut bytes);
    bytes.into()
}

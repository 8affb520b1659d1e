//! Who closes, and what is sent then.

use bytes::Bytes;

use super::*;
use crate::image::Image;
use crate::write::{self, State, Uploads};

pub(super) const WRITER: Process = Process(7);

/// A filesystem over a service with one queued image, `new`.
pub(super) struct Scene {
    pub(super) service: Fake,
    pub(super) fs: Arc<FileSystem>,
    pub(super) uploads: Arc<Uploads>,
    _folder: tempfile::TempDir,
}

impl Scene {
    pub(super) async fn new() -> Self {
        Self::with(settings()).await
    }

    pub(super) async fn with(settings: Settings) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let queued = Image { status: Status::Queued, size: None, checksums: Checksums::default(), ..image(1, "new") };
        let service = Fake::with([queued]);
        let uploads = Uploads::open(write::Settings::new(folder.path().join("uploads")), Arc::new(service.clone()));
        let uploads = uploads.await.unwrap();
        let fs = FileSystem::new(Arc::new(service.clone()), Some(Arc::clone(&uploads)), settings, UNIX_EPOCH);
        Self { service, fs: fs.unwrap(), uploads, _folder: folder }
    }

    pub(super) async fn data(&self) -> Attr {
        self.fs.walk("by-name/new/data").await.unwrap().attr
    }

    /// Opens `data` as [`WRITER`] and writes something.
    pub(super) async fn written(&self) -> HandleId {
        let handle = self.opened().await;
        self.fs.write(handle, 0, Bytes::from_static(b"written")).await.unwrap();
        handle
    }

    /// Opens `data` as [`WRITER`] and empties it.
    pub(super) async fn opened(&self) -> HandleId {
        let writing = Some(Writing { process: WRITER, truncate: true });
        let asked = Asked { writing, ..Asked::default() };
        self.fs.open(self.data().await.ino, asked).await.unwrap().handle
    }

    pub(super) async fn close(&self, handle: HandleId, process: Process, is_killed: bool) -> Result<()> {
        self.fs.flush(handle, || process, async { closing(is_killed) }).await
    }

    /// The number of what is at `path`.
    pub(super) async fn ino(&self, path: &str) -> Ino {
        self.fs.walk(path).await.unwrap().attr.ino
    }

    /// Makes a file, writes `text` to it and closes it.
    pub(super) async fn put(&self, folder: &str, name: &str, text: &'static str) -> Result<Entry> {
        let (entry, opened) = self.fs.create(self.ino(folder).await, OsStr::new(name), Writing::of(WRITER)).await?;
        self.fs.write(opened.handle, 0, Bytes::from_static(text.as_bytes())).await?;
        let closed = self.close(opened.handle, WRITER, false).await;
        self.fs.release(opened.handle);
        closed.map(|()| entry)
    }

    /// Renames, and answers the errno.
    pub(super) async fn mv(&self, from: (&str, &str), to: (&str, &str)) -> i32 {
        let (source, target) = (self.ino(from.0).await, self.ino(to.0).await);
        errno(self.fs.rename((source, OsStr::new(from.1)), (target, OsStr::new(to.1)), Asker::UNKNOWN).await)
    }

    /// The bytes that the service has of the image with this entry in `by-name`.
    pub(super) async fn sent(&self, name: &str) -> Option<Bytes> {
        let image = self.fs.catalogue.listing().await.unwrap().value.names().resolve(name)?;
        self.service.change(|world| world.uploaded.get(&image).cloned())
    }

    pub(super) fn status(&self) -> Status {
        self.service.change(|world| world.images[0].status.clone())
    }
}

#[tokio::test]
async fn the_close_of_who_opened_returns_when_the_image_is_active() {
    let scene = Scene::new().await;
    let handle = scene.written().await;
    scene.close(handle, Process(8), false).await.unwrap();
    assert_eq!(scene.status(), Status::Queued, "another process's close sends nothing");
    scene.close(handle, WRITER, false).await.unwrap();
    assert_eq!(scene.status(), Status::Active);
    assert_eq!((scene.data().await.size, scene.data().await.perm), (7, 0o444), "and it shows at once");
    scene.fs.release(handle);
    assert!(scene.uploads.list().is_empty());
}

#[tokio::test]
async fn the_close_of_who_was_killed_sends_nothing_and_says_so() {
    let scene = Scene::new().await;
    let handle = scene.written().await;
    let error = scene.close(handle, WRITER, true).await.unwrap_err();
    assert!(error.to_string().contains("killed"), "{error}");
    scene.fs.release(handle);
    let upload = scene.uploads.of(id(1)).unwrap();
    assert_eq!((upload.state(), scene.status()), (State::Writing, Status::Queued));
    let left = scene.uploads.drain(Duration::ZERO).await;
    assert_eq!(left.first().map(|left| left.state.clone()), Some(State::Writing), "nor when the mount ends");
}

#[tokio::test]
async fn what_a_killed_writer_left_can_be_written_again() {
    let scene = Scene::new().await;
    let killed = scene.written().await;
    scene.close(killed, WRITER, true).await.unwrap_err();
    // The kernel tells of the release later than of the close.
    let again = scene.written().await;
    scene.fs.release(killed);
    scene.close(again, WRITER, false).await.unwrap();
    assert_eq!(scene.status(), Status::Active);
}

#[tokio::test]
async fn a_second_writer_is_told_that_there_is_one() {
    let scene = Scene::new().await;
    scene.written().await;
    let asked = Asked { writing: Some(Writing { process: Process(8), truncate: false }), ..Asked::default() };
    let error = scene.fs.open(scene.data().await.ino, asked).await.unwrap_err();
    assert_eq!(error.errno(), libc::EBUSY);
    assert!(error.to_string().contains("another program"), "{error}");
}

#[tokio::test]
async fn readers_see_the_spool_and_are_shown_its_length_for_no_time() {
    let scene = Scene::new().await;
    scene.written().await;
    assert_eq!(scene.fs.cat("by-name/new/data").await.unwrap(), "written");
    let looked = scene.fs.walk("by-name/new/data").await.unwrap();
    assert_eq!((looked.attr.size, looked.ttl), (7, Duration::ZERO));
    let folder = scene.fs.walk("by-name/new").await.unwrap().attr.ino;
    let lines = scene.fs.lines_of(folder, true).await;
    let listed = lines.into_iter().find(|line| line.0 == "data").and_then(|line| line.2).unwrap();
    assert_eq!((listed.attr.size, listed.ttl), (7, Duration::ZERO));
}

#[tokio::test]
async fn deleting_an_image_gives_its_upload_up() {
    let scene = Scene::new().await;
    let handle = scene.written().await;
    scene.close(handle, WRITER, true).await.unwrap_err();
    scene.fs.release(handle);
    scene.fs.rmdir(scene.fs.walk("by-name").await.unwrap().attr.ino, OsStr::new("new")).await.unwrap();
    assert!(scene.uploads.list().is_empty());
}

#[tokio::test]
async fn an_image_of_another_project_is_only_to_be_read_but_by_an_administrator() {
    let theirs = Image { owner: Some("theirs".into()), status: Status::Queued, size: None, ..image(2, "theirs") };
    let ours = Image { status: Status::Queued, size: None, ..image(1, "ours") };
    let service = Fake::with([ours, theirs]);
    let fs = mounted(&service);
    let (written, read) = ([0o755, 0o644, 0o755], [0o555, 0o444, 0o555]);
    let has = async |name: &str, modes: [u16; 3]| {
        for (part, mode) in ["", "/data", "/tags"].into_iter().zip(modes) {
            let path = format!("by-name/{name}{part}");
            assert_eq!(fs.walk(&path).await.unwrap().attr.perm, mode, "{path}");
        }
    };
    has("ours", written).await;
    has("theirs", read).await;
    service.change(|world| world.is_administrator = true);
    has("theirs", written).await;
}

#[tokio::test]
async fn without_a_folder_for_it_nothing_can_be_written_and_the_sentence_says_why() {
    let queued = Image { status: Status::Queued, size: None, ..image(1, "new") };
    let fs = mounted(&Fake::with([queued]));
    let data = fs.walk("by-name/new/data").await.unwrap().attr.ino;
    let asked = Asked { writing: Some(Writing { process: WRITER, truncate: false }), ..Asked::default() };
    let error = fs.open(data, asked).await.unwrap_err();
    assert_eq!(error.errno(), libc::EROFS);
    assert!(error.to_string().contains("--state-dir"), "{error}");
}

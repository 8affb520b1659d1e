//! `.glancefs/`: what the mount tells of its uploads, and what it can be told to do with them.

use bytes::Bytes;

use super::*;
use crate::image::{Image, ImageId};
use crate::write::{self, Line, State, Uploads};

const UPLOADS: &str = ".glancefs/uploads";

/// A filesystem over a service with two queued images, which name a format that nothing written here is in.
struct Scene {
    service: Fake,
    fs: Arc<FileSystem>,
    uploads: Arc<Uploads>,
    _folder: tempfile::TempDir,
}

impl Scene {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let queued = |n| Image {
            status: Status::Queued,
            size: None,
            checksums: Checksums::default(),
            disk_format: Some("qcow2".into()),
            ..image(n, &format!("new-{n}"))
        };
        let service = Fake::with([queued(1), queued(2)]);
        let uploads = Uploads::open(write::Settings::new(folder.path().join("uploads")), Arc::new(service.clone()));
        let uploads = uploads.await.unwrap();
        let fs = FileSystem::new(Arc::new(service.clone()), Some(Arc::clone(&uploads)), settings(), UNIX_EPOCH);
        Self { service, fs: fs.unwrap(), uploads, _folder: folder }
    }

    async fn opened(&self, path: &str) -> HandleId {
        let writing = Some(Writing { process: Process(7), truncate: true });
        let ino = self.fs.walk(path).await.unwrap().attr.ino;
        self.fs.open(ino, Asked { writing, ..Asked::default() }).await.unwrap().handle
    }

    /// Writes an image that fails when it is closed.
    async fn failed(&self, n: u32) -> ImageId {
        let handle = self.opened(&format!("by-name/new-{n}/data")).await;
        self.fs.write(handle, 0, Bytes::from_static(b"no qcow2")).await.unwrap();
        assert_eq!(errno(self.fs.flush(handle, || Process(7), async { Closing::Last }).await), libc::EINVAL);
        self.fs.release(handle);
        id(n)
    }

    /// Writes pieces of text to the file, and closes it.
    async fn tell(&self, pieces: &[&str]) -> Result<()> {
        let handle = self.opened(UPLOADS).await;
        let mut outcome = Ok(());
        for piece in pieces {
            outcome = outcome.and(self.fs.write(handle, 0, Bytes::copy_from_slice(piece.as_bytes())).await);
        }
        let closed = self.fs.flush(handle, || Process(7), async { Closing::Last }).await;
        self.fs.release(handle);
        outcome.and(closed)
    }

    async fn shown(&self) -> Vec<Line> {
        Line::all_in(&self.fs.cat(UPLOADS).await.unwrap())
    }

    async fn sentence(&self) -> String {
        let ino = self.fs.walk(UPLOADS).await.unwrap().attr.ino;
        String::from_utf8(self.fs.getxattr(ino, OsStr::new("user.glancefs.error"), 0).await.unwrap()).unwrap()
    }
}

#[tokio::test]
async fn the_folder_is_in_no_listing_and_always_there_to_open() {
    let fs = mounted(&Fake::with([image(1, "disk")]));
    assert!(!fs.ls("").await.contains(&".glancefs".to_owned()));
    assert_eq!(fs.ls(".glancefs").await, ["uploads", "errors", "status.json", "metrics"]);
    let (folder, file) = (fs.walk(".glancefs").await.unwrap().attr, fs.walk(UPLOADS).await.unwrap().attr);
    assert_eq!((folder.kind, folder.perm), (FileKind::Directory, 0o555));
    assert_eq!((file.kind, file.perm, file.size), (FileKind::File, 0o644, 0));
    assert_eq!(fs.cat(UPLOADS).await.unwrap(), "");
    assert_eq!(errno(fs.walk(".glancefs/other").await), libc::ENOENT);
}

#[tokio::test]
async fn each_upload_that_is_not_done_is_a_line() {
    let scene = Scene::new().await;
    assert_eq!(scene.shown().await, []);
    let id = scene.failed(1).await;
    let writer = scene.opened("by-name/new-2/data").await;
    scene.fs.write(writer, 0, Bytes::from_static(b"so far")).await.unwrap();
    let shown = scene.shown().await;
    assert_eq!(shown.iter().map(|line| line.state.as_str()).collect::<Vec<_>>(), ["failed", "writing"]);
    assert_eq!((shown[0].image, shown[0].name.as_deref(), shown[0].needs_somebody), (id, Some("new-1"), true));
    assert!(shown[0].sentence.as_deref().unwrap().contains("qcow2"), "{shown:?}");
    assert_eq!((shown[1].size, shown[1].needs_somebody), (6, false), "who writes it is at it");
    let file = scene.fs.walk(UPLOADS).await.unwrap();
    assert_eq!((file.attr.size, file.ttl), (scene.fs.cat(UPLOADS).await.unwrap().len() as u64, Duration::ZERO));
}

#[tokio::test]
async fn a_line_that_is_written_is_carried_out_in_that_write() {
    let scene = Scene::new().await;
    let (one, two) = (scene.failed(1).await, scene.failed(2).await);
    let handle = scene.opened(UPLOADS).await;
    let line = Bytes::from(format!("discard {one}\n"));
    assert!(!scene.fs.write_now(handle, 0, &line).unwrap(), "not on the thread that takes requests");
    scene.fs.write(handle, 0, line).await.unwrap();
    assert_eq!(scene.uploads.list().len(), 1, "before it is closed");
    scene.fs.write(handle, 45, Bytes::from(format!("discard {two}"))).await.unwrap();
    assert_eq!(scene.uploads.list().len(), 1, "the line has not ended");
    scene.fs.flush(handle, || Process(7), async { Closing::Last }).await.unwrap();
    assert_eq!(scene.uploads.list().len(), 0, "what nothing has ended, the close ends");
}

#[tokio::test]
async fn retry_sends_what_failed_and_lines_may_come_in_pieces() {
    let scene = Scene::new().await;
    let id = scene.failed(1).await;
    // Its bytes fit now.
    scene.service.change(|world| world.images[0].disk_format = Some("raw".into()));
    let upload = scene.uploads.of(id).unwrap();
    scene.tell(&["ret", &format!("ry {id}"), "\n\n"]).await.unwrap();
    upload.settled().await.unwrap();
    assert_eq!((upload.state(), scene.shown().await), (State::Done, vec![]));
}

#[tokio::test]
async fn what_cannot_be_done_is_told_by_the_write_with_a_sentence_in_the_attribute() {
    let scene = Scene::new().await;
    let failed = scene.failed(1).await;
    let _writer = scene.opened("by-name/new-2/data").await;
    let long = "x".repeat(1000);
    for (line, expected, word) in [
        (format!("retry {}\n", id(9)), libc::ENOENT, id(9).to_string()),
        (format!("discard {}\n", id(9)), libc::ENOENT, "no upload".to_owned()),
        (format!("discard {}\n", id(2)), libc::EBUSY, "another program".to_owned()),
        ("retry all\n".to_owned(), libc::EINVAL, "retry all".to_owned()),
        (format!("resume {failed}\n"), libc::EINVAL, "no command".to_owned()),
        (format!("discard {failed} now\n"), libc::EINVAL, "on a line of its own".to_owned()),
        ("retry \u{1b}[2J\n".to_owned(), libc::EINVAL, "\\u001b[2J".to_owned()),
        (long, libc::EINVAL, "xxx".to_owned()),
    ] {
        assert_eq!(errno(scene.tell(&[&line]).await), expected, "{line}");
        let sentence = scene.sentence().await;
        assert!(sentence.contains(&word) && sentence.len() < 400, "{line}: {sentence}");
    }
    assert_eq!(scene.shown().await.len(), 2, "nothing was changed");
}

#[tokio::test]
async fn lines_before_one_that_fails_are_carried_out_and_those_behind_are_not() {
    let scene = Scene::new().await;
    let (one, two) = (scene.failed(1).await, scene.failed(2).await);
    let text = format!("discard {one}\nnonsense\ndiscard {two}\n");
    assert_eq!(errno(scene.tell(&[&text]).await), libc::EINVAL);
    assert_eq!(scene.uploads.list().iter().map(|left| left.image).collect::<Vec<_>>(), [two]);
}

#[tokio::test]
async fn the_mounts_own_files_can_neither_be_removed_nor_renamed_and_nothing_is_made_beside_them() {
    let scene = Scene::new().await;
    let fs = &scene.fs;
    let folder = fs.walk(".glancefs").await.unwrap().attr.ino;
    assert_eq!(errno(fs.unlink(folder, OsStr::new("uploads")).await), libc::EPERM);
    assert_eq!(errno(fs.rmdir(Ino::ROOT, OsStr::new(".glancefs")).await), libc::EPERM);
    assert_eq!(errno(fs.mkdir(folder, OsStr::new("new")).await), libc::EPERM);
    let other = (folder, OsStr::new("other"));
    assert_eq!(errno(fs.rename((folder, OsStr::new("uploads")), other, Asker::UNKNOWN).await), libc::EPERM);
}

#[tokio::test]
async fn through_a_read_only_mount_nothing_can_be_told() {
    let settings = Settings { read_only: true, ..settings() };
    let fs = FileSystem::new(Arc::new(Fake::default()), None, settings, UNIX_EPOCH).unwrap();
    let file = fs.walk(UPLOADS).await.unwrap().attr;
    assert_eq!(file.perm, 0o444);
    let writing = Some(Writing { process: Process(7), truncate: true });
    assert_eq!(errno(fs.open(file.ino, Asked { writing, ..Asked::default() }).await), libc::EROFS);
    assert_eq!(fs.cat(UPLOADS).await.unwrap(), "");
}

#[tokio::test(start_paused = true)]
async fn what_is_known_keeps_answering_while_the_service_is_away_and_says_how_old_it_is() {
    let scene = Scene::new().await;
    let status = async || {
        let text = scene.fs.cat(".glancefs/status.json").await.unwrap();
        serde_json::from_str::<serde_json::Value>(&text).unwrap()["catalogue"].clone()
    };
    assert_eq!(status().await["listed_seconds_ago"], serde_json::Value::Null);
    let data = scene.fs.walk("by-name/new-1/data").await.unwrap().attr.ino;
    let stale = async || {
        let value = scene.fs.getxattr(data, OsStr::new("user.glancefs.stale"), 0).await;
        value.ok().map(|value| String::from_utf8(value).unwrap())
    };
    assert_eq!((status().await["images"].clone(), stale().await), (2.into(), None));

    scene.service.change(|world| world.failing = Some(Kind::Unreachable));
    tokio::time::advance(TTL + Duration::from_secs(7)).await;
    assert_eq!(scene.fs.ls("by-name").await, ["new-1", "new-2"]);
    assert_eq!(
        (status().await["stale"].clone(), status().await["listed_seconds_ago"].clone()),
        (true.into(), 12.into())
    );
    assert_eq!(stale().await.as_deref(), Some("12"));
    assert!(scene.fs.listxattr(data).await.unwrap().contains(&"user.glancefs.stale".into()));

    scene.service.change(|world| world.failing = None);
    tokio::time::advance(TTL).await;
    scene.fs.ls("by-name").await;
    while status().await["stale"] == true {
        tokio::task::yield_now().await;
    }
    assert_eq!(stale().await, None);
}

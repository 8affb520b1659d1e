//! What is sent when files are closed by those who have not said that it is all, and what is not.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use super::writing::{Scene, WRITER};
use super::*;
use crate::write::State;

/// Longer than an upload rests.
const LONG: Duration = Duration::from_mins(1);

impl Scene {
    /// The state of the upload of the image, while there is one.
    fn state(&self) -> Option<State> {
        self.uploads.of(id(1)).map(|upload| upload.state())
    }

    /// Waits until no upload is under way.
    async fn idle(&self) {
        while self.status() != Status::Active {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_writer_who_is_silent_for_long_is_waited_for() {
    let scene = Scene::new().await;
    let handle = scene.opened().await;
    // The shell has given its descriptor to a program, and closes its own.
    scene.close(handle, WRITER, false).await.unwrap();
    tokio::time::sleep(LONG).await;
    assert_eq!((scene.status(), scene.state()), (Status::Queued, Some(State::Writing)));
    scene.fs.write(handle, 0, Bytes::from_static(b"late")).await.unwrap();
    scene.fs.release(handle);
    scene.idle().await;
    assert_eq!(scene.sent("new").await, Some(Bytes::from_static(b"late")));
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_mapped_is_not_sealed_before_the_mapping_ends() {
    let scene = Scene::new().await;
    let handle = scene.opened().await;
    scene.fs.truncate(handle, 5).await.unwrap();
    scene.close(handle, WRITER, false).await.unwrap();
    tokio::time::sleep(LONG).await;
    // The kernel writes what was changed in memory.
    scene.fs.write(handle, 0, Bytes::from_static(b"pages")).await.unwrap();
    scene.fs.release(handle);
    scene.idle().await;
    assert_eq!(scene.sent("new").await, Some(Bytes::from_static(b"pages")));
}

#[tokio::test(start_paused = true)]
async fn a_write_that_failed_leaves_a_gap_and_nothing_is_sent_that_has_one() {
    let scene = Scene::new().await;
    let handle = scene.written().await;
    // No file is so long.
    let beyond = scene.fs.write(handle, 1 << 62, Bytes::from_static(b"x")).await;
    assert_eq!(errno(beyond), libc::EFBIG);
    scene.fs.write(handle, 7, Bytes::from_static(b"more")).await.unwrap();
    assert_eq!(errno(scene.close(handle, WRITER, false).await), libc::EFBIG, "close says it again");
    scene.fs.release(handle);
    tokio::time::sleep(LONG).await;
    assert_eq!((scene.status(), scene.state()), (Status::Queued, Some(State::Writing)));
    // Who begins anew has no gap.
    let handle = scene.written().await;
    assert!(scene.fs.write(handle, 1 << 62, Bytes::from_static(b"x")).await.is_err());
    scene.fs.truncate(handle, 0).await.unwrap();
    scene.fs.write(handle, 0, Bytes::from_static(b"anew")).await.unwrap();
    scene.close(handle, WRITER, false).await.unwrap();
    assert_eq!(scene.sent("new").await, Some(Bytes::from_static(b"anew")));
}

#[tokio::test(start_paused = true)]
async fn what_a_killed_writer_left_is_not_sealed_by_an_earlier_one_who_closes_later() {
    let scene = Scene::new().await;
    let first = scene.opened().await;
    scene.fs.truncate(first, 1 << 20).await.unwrap();
    scene.close(first, WRITER, false).await.unwrap();
    let killed = scene.written().await;
    scene.close(killed, WRITER, true).await.unwrap_err();
    scene.fs.release(killed);
    scene.fs.release(first);
    tokio::time::sleep(LONG).await;
    assert_eq!((scene.status(), scene.state()), (Status::Queued, Some(State::Writing)));
}

#[tokio::test(start_paused = true)]
async fn a_mount_that_ends_under_a_writer_does_not_send_the_half() {
    let scene = Scene::new().await;
    scene.written().await;
    scene.fs.close_all();
    scene.uploads.drain(LONG).await;
    assert_eq!((scene.status(), scene.state()), (Status::Queued, Some(State::Writing)));
}

#[tokio::test]
async fn a_close_that_nobody_waits_for_any_more_is_carried_out() {
    let scene = Scene::new().await;
    let handle = scene.written().await;
    {
        let mut closing = pin!(scene.close(handle, WRITER, false));
        let begun = closing.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(begun, Poll::Pending));
    }
    scene.idle().await;
    assert_eq!(scene.sent("new").await, Some(Bytes::from_static(b"written")));
}

#[tokio::test]
async fn who_writes_on_after_the_image_is_active_is_refused_and_begins_nothing() {
    let scene = Scene::new().await;
    let handle = scene.written().await;
    scene.close(handle, WRITER, false).await.unwrap();
    let late = scene.fs.write(handle, 0, Bytes::from_static(b"late")).await;
    assert_eq!(errno(late), libc::EPERM);
    scene.fs.release(handle);
    assert!(scene.uploads.list().is_empty());
}

#[tokio::test]
async fn an_image_that_is_done_behind_its_writer_is_never_seen_empty() {
    let scene = Scene::with(Settings { write_back: true, ..settings() }).await;
    let handle = scene.written().await;
    scene.close(handle, WRITER, false).await.unwrap();
    scene.fs.release(handle);
    while scene.state().is_some() {
        assert_eq!(scene.data().await.size, 7);
        tokio::task::yield_now().await;
    }
    assert_eq!(scene.data().await.size, 7);
    assert_eq!(scene.fs.cat("by-name/new/status").await.unwrap(), "active\n");
}

#[tokio::test]
async fn data_that_are_made_anew_have_nothing_of_what_was_there() {
    let scene = Scene::new().await;
    let killed = scene.written().await;
    scene.close(killed, WRITER, true).await.unwrap_err();
    scene.fs.release(killed);
    let folder = scene.ino("by-name/new").await;
    scene.fs.unlink(folder, OsStr::new("data")).await.unwrap();
    scene.put("by-name/new", "data", "less").await.unwrap();
    assert_eq!(scene.sent("new").await, Some(Bytes::from_static(b"less")));
}

#[tokio::test]
async fn who_is_not_known_is_not_the_one_who_opened() {
    let scene = Scene::new().await;
    let writing = Some(Writing { process: Process::UNKNOWN, truncate: true });
    let asked = Asked { writing, ..Asked::default() };
    let handle = scene.fs.open(scene.data().await.ino, asked).await.unwrap().handle;
    scene.fs.write(handle, 0, Bytes::from_static(b"some")).await.unwrap();
    scene.close(handle, Process::UNKNOWN, false).await.unwrap();
    assert_eq!(scene.state(), Some(State::Writing));
}

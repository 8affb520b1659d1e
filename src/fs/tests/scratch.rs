//! Scratch files, and what they become.

use std::path::Path;
use std::time::SystemTime;

use bytes::Bytes;

use super::super::scratch::Place;
use super::writing::{Scene, WRITER};
use super::*;

const FOLDER: &str = "by-name/new";

#[tokio::test]
async fn any_other_name_in_an_images_folder_is_a_scratch_file_of_both_views() {
    let scene = Scene::new().await;
    let made = scene.put(FOLDER, "notes~", "hello").await.unwrap();
    assert_eq!((made.attr.kind, made.attr.perm, made.ttl), (FileKind::File, 0o644, Duration::ZERO));
    assert_eq!(scene.fs.cat("by-name/new/notes~").await.unwrap(), "hello");
    assert_eq!(scene.ino(&format!("by-id/{}/notes~", id(1))).await, made.attr.ino);
    assert_eq!(scene.fs.ls(FOLDER).await.last().map(String::as_str), Some("notes~"));
    let again = scene.fs.mknod(scene.ino(FOLDER).await, OsStr::new("notes~")).await;
    assert_eq!(errno(again), libc::EEXIST);
    for elsewhere in ["", "by-name", "by-id"] {
        assert_eq!(errno(scene.put(elsewhere, "notes~", "").await), libc::EPERM, "{elsewhere}");
    }
    assert_eq!((scene.service.calls("create"), scene.service.calls("update")), (0, 0));
}

#[tokio::test]
async fn a_scratch_file_goes_when_it_is_removed_and_with_its_image() {
    let scene = Scene::new().await;
    scene.put(FOLDER, "one", "1").await.unwrap();
    scene.put(FOLDER, "two", "2").await.unwrap();
    scene.fs.unlink(scene.ino(FOLDER).await, OsStr::new("one")).await.unwrap();
    assert_eq!(errno(scene.fs.walk("by-name/new/one").await), libc::ENOENT);
    scene.fs.rmdir(scene.ino("by-name").await, OsStr::new("new")).await.unwrap();
    assert!(scene.fs.scratches.get(Place::Image(id(1)), "two").is_none());
}

#[tokio::test]
async fn a_scratch_file_that_is_renamed_onto_data_is_the_images_bytes_with_its_time() {
    let scene = Scene::new().await;
    let made = scene.put(FOLDER, ".data.x1y2", "copied").await.unwrap();
    let time = UNIX_EPOCH + Duration::from_millis(1_580_702_706_789);
    scene.fs.setattr(made.attr.ino, None, None, Some(Modified::At(time)), Asker::UNKNOWN).await.unwrap();
    assert_eq!(scene.mv((FOLDER, ".data.x1y2"), (FOLDER, "data")).await, 0);
    assert_eq!(scene.status(), Status::Active);
    assert_eq!(scene.sent("new").await, Some(Bytes::from_static(b"copied")));
    let data = scene.data().await;
    assert_eq!((data.size, data.mtime), (6, time));
    assert_eq!(errno(scene.fs.walk("by-name/new/.data.x1y2").await), libc::ENOENT);
    assert!(scene.uploads.list().is_empty());
}

#[tokio::test]
async fn data_that_are_there_are_replaced_by_no_scratch_file() {
    let scene = Scene::new().await;
    scene.put(FOLDER, "first", "1").await.unwrap();
    scene.put(FOLDER, "second", "2").await.unwrap();
    assert_eq!(scene.mv((FOLDER, "first"), (FOLDER, "data")).await, 0);
    assert_eq!(scene.mv((FOLDER, "second"), (FOLDER, "data")).await, libc::EPERM);
    assert_eq!(scene.fs.cat("by-name/new/second").await.unwrap(), "2", "it is where it was");
    let told = scene.fs.getxattr(scene.data().await.ino, OsStr::new("user.glancefs.error"), 0).await.unwrap();
    assert!(String::from_utf8(told).unwrap().contains("once"));
}

#[tokio::test]
async fn a_scratch_file_in_another_format_than_the_image_names_stays_where_it_is() {
    let scene = Scene::new().await;
    scene.service.change(|world| world.images[0].disk_format = Some("qcow2".into()));
    scene.put(FOLDER, "raw", "no disk").await.unwrap();
    assert_eq!(scene.mv((FOLDER, "raw"), (FOLDER, "data")).await, libc::EINVAL);
    assert_eq!(scene.fs.cat("by-name/new/raw").await.unwrap(), "no disk");
    assert_eq!((scene.status(), scene.service.calls("upload")), (Status::Queued, 0));
}

#[tokio::test]
async fn who_still_writes_a_scratch_file_that_became_data_is_refused() {
    let scene = Scene::new().await;
    let (_, opened) = scene.fs.create(scene.ino(FOLDER).await, OsStr::new("tmp"), Writing::of(WRITER)).await.unwrap();
    scene.fs.write(opened.handle, 0, Bytes::from_static(b"whole")).await.unwrap();
    assert_eq!(scene.mv((FOLDER, "tmp"), (FOLDER, "data")).await, 0);
    let late = scene.fs.write(opened.handle, 0, Bytes::from_static(b"late")).await;
    assert_eq!(errno(late), libc::EPERM);
    assert_eq!(scene.sent("new").await, Some(Bytes::from_static(b"whole")));
}

#[tokio::test]
async fn scratch_files_are_renamed_over_one_another() {
    let scene = Scene::new().await;
    let one = scene.put(FOLDER, "one", "1").await.unwrap();
    scene.put(FOLDER, "two", "2").await.unwrap();
    assert_eq!(scene.mv((FOLDER, "one"), (FOLDER, "two")).await, 0);
    assert_eq!(scene.fs.cat("by-name/new/two").await.unwrap(), "1");
    assert_eq!(scene.ino("by-name/new/two").await, one.attr.ino);
    assert_eq!(scene.mv((FOLDER, "two"), (FOLDER, "status")).await, libc::EINVAL, "no word of a status");
}

#[tokio::test]
async fn a_scratch_file_is_cut_read_and_timed_like_any_other() {
    let scene = Scene::new().await;
    let made = scene.put(FOLDER, "tmp", "12345").await.unwrap();
    let cut = scene.fs.setattr(made.attr.ino, None, Some(3), None, Asker::UNKNOWN).await.unwrap();
    assert_eq!(cut.attr.size, 3);
    let asked = Asked { writing: Some(Writing { process: WRITER, truncate: true }), ..Asked::default() };
    let opened = scene.fs.open(made.attr.ino, asked).await.unwrap();
    scene.fs.truncate(opened.handle, 2).await.unwrap();
    scene.fs.fsync(opened.handle).await.unwrap();
    assert_eq!(scene.fs.read(opened.handle, 0, 10).await.unwrap(), Bytes::from_static(b"\0\0"));
}

#[tokio::test]
async fn a_symbolic_link_is_a_scratch_file_too() {
    let scene = Scene::new().await;
    let made = scene.fs.symlink(scene.ino(FOLDER).await, OsStr::new(".#data"), Path::new("me@here.7")).await.unwrap();
    assert_eq!((made.attr.kind, made.attr.size), (FileKind::Link, 9));
    assert_eq!(scene.fs.readlink(made.attr.ino).unwrap(), Path::new("me@here.7"));
    assert_eq!(scene.mv((FOLDER, ".#data"), (FOLDER, "data")).await, libc::EPERM);
    let refused = scene.fs.symlink(scene.ino("by-name").await, OsStr::new("x"), Path::new("new")).await;
    assert_eq!(errno(refused), libc::EPERM);
    assert_eq!(errno(scene.fs.readlink(scene.data().await.ino)), libc::EINVAL);
}

#[tokio::test]
async fn a_scratch_file_without_a_time_is_as_old_as_its_last_write() {
    let scene = Scene::new().await;
    let before = SystemTime::now() - Duration::from_secs(1);
    let made = scene.put(FOLDER, "tmp", "x").await.unwrap();
    assert!(scene.fs.getattr(made.attr.ino).await.unwrap().attr.mtime >= before);
}

#[tokio::test]
async fn data_that_were_removed_can_be_made_once_more() {
    let scene = Scene::new().await;
    scene.fs.unlink(scene.ino(FOLDER).await, OsStr::new("data")).await.unwrap();
    assert_eq!(errno(scene.fs.walk("by-name/new/data").await), libc::ENOENT);
    scene.put(FOLDER, "data", "again").await.unwrap();
    assert_eq!(scene.sent("new").await, Some(Bytes::from_static(b"again")));
}

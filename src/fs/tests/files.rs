//! The flat view: each image as one file.

use bytes::Bytes;

use super::writing::Scene;
use super::*;

#[tokio::test]
async fn each_image_is_a_file_called_by_its_name_and_format() {
    let service = Fake::with([image(1, "disk"), image(2, "x"), image(3, "x"), image(4, "")]);
    let fs = mounted(&service);
    assert_eq!(fs.ls("files").await, ["disk.raw", "x~00000002.raw", "x~00000003.raw"]);
    let (flat, data) = (fs.walk("files/disk.raw").await.unwrap(), fs.walk("by-name/disk/data").await.unwrap());
    assert_eq!(flat.attr, data.attr, "it is the inode of data");
    assert_eq!(fs.cat("files/disk.raw").await.unwrap(), "hello");
    assert_eq!(errno(fs.walk("files/disk.qcow2").await), libc::ENOENT);
}

#[tokio::test]
async fn a_file_that_is_made_is_an_image_of_that_name_and_format() {
    let scene = Scene::new().await;
    scene.put("files", "disk.raw", "bytes").await.unwrap();
    scene.put("files", "cloud.img", "others").await.unwrap();
    assert_eq!(scene.sent("disk").await, Some(Bytes::from_static(b"bytes")));
    assert_eq!(scene.fs.ls("files").await, ["cloud.img.raw", "disk.raw", "new.raw"]);
    scene.fs.walk("files/cloud.img").await.expect("and is found by the name that it was given");
    assert_eq!(errno(scene.put("files", "disk.qcow2", "").await), libc::EEXIST, "the name is taken");
    assert_eq!(errno(scene.put("files", "50%.raw", "").await), libc::EINVAL);
}

#[tokio::test]
async fn a_file_whose_content_is_not_what_its_name_says_is_refused() {
    let scene = Scene::new().await;
    assert_eq!(errno(scene.put("files", "disk.qcow2", "no disk").await), libc::EINVAL);
    scene.put("files", ".disk.qcow2.tmp", "no disk").await.unwrap();
    assert_eq!(scene.mv(("files", ".disk.qcow2.tmp"), ("files", "other.qcow2")).await, libc::EINVAL);
    assert_eq!(errno(scene.fs.walk("files/other.qcow2").await), libc::ENOENT, "and made no image");
}

#[tokio::test]
async fn a_hidden_file_is_a_scratch_file_and_becomes_an_image_when_it_is_renamed() {
    let scene = Scene::new().await;
    scene.put("files", ".disk.raw.Xy", "bytes").await.unwrap();
    assert_eq!(scene.service.calls("create"), 0);
    assert_eq!(scene.mv(("files", ".disk.raw.Xy"), ("files", "disk.raw")).await, 0);
    assert_eq!(scene.sent("disk").await, Some(Bytes::from_static(b"bytes")));
    scene.put("files", ".new.raw.Xy", "more").await.unwrap();
    assert_eq!(scene.mv(("files", ".new.raw.Xy"), ("files", "new.raw")).await, 0, "also one that was made before");
    assert_eq!(scene.sent("new").await, Some(Bytes::from_static(b"more")));
}

#[tokio::test]
async fn a_file_that_is_renamed_is_an_image_of_another_name() {
    let service = Fake::with([image(1, "disk"), image(2, "other")]);
    let fs = mounted(&service);
    let files = fs.walk("files").await.unwrap().attr.ino;
    let mv = async |from: &str, to: &str| {
        errno(fs.rename((files, OsStr::new(from)), (files, OsStr::new(to)), Asker::UNKNOWN).await)
    };
    assert_eq!(mv("disk.raw", "moved.raw").await, 0);
    assert_eq!(fs.ls("files").await, ["moved.raw", "other.raw"]);
    assert_eq!(mv("moved.raw", "other.raw").await, libc::EEXIST);
    assert_eq!(mv("moved.raw", "moved.qcow2").await, libc::EPERM, "its bytes stay in their format");
    assert_eq!(mv("moved.raw", ".moved").await, libc::EPERM);
    let by_name = fs.walk("by-name").await.unwrap().attr.ino;
    let out = fs.rename((files, OsStr::new("moved.raw")), (by_name, OsStr::new("x")), Asker::UNKNOWN).await;
    assert_eq!(errno(out), libc::EPERM);
}

#[tokio::test]
async fn a_file_that_is_removed_is_an_image_that_is_deleted_unless_it_is_protected() {
    let mut kept = image(2, "kept");
    kept.protected = true;
    let service = Fake::with([image(1, "disk"), kept]);
    let fs = mounted(&service);
    let files = fs.walk("files").await.unwrap().attr.ino;
    fs.unlink(files, OsStr::new("disk.raw")).await.unwrap();
    assert_eq!(errno(fs.unlink(files, OsStr::new("kept.raw")).await), libc::EPERM);
    assert_eq!(fs.ls("files").await, ["kept.raw"]);
    assert_eq!(fs.ls("by-name").await, ["kept"]);
    assert_eq!(errno(fs.rmdir(Ino::ROOT, OsStr::new("files")).await), libc::EPERM);
}

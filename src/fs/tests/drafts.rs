//! Where a small file ends for those who write it, and what of their texts is taken.

use bytes::Bytes;

use super::editing::{EDITOR, Scene};
use super::*;
use crate::image::Image;
use crate::write::Allocation;

/// How long a file is for a process, by an open file of its own or by none.
async fn length(scene: &Scene, path: &str, handle: Option<HandleId>, process: u32) -> u64 {
    let ino = scene.fs.walk(path).await.unwrap().attr.ino;
    scene.fs.stat(ino, handle, Asker { thread: process, look: Process }).await.unwrap().attr.size
}

async fn opened(scene: &Scene, path: &str, truncate: bool) -> HandleId {
    let ino = scene.fs.walk(path).await.unwrap().attr.ino;
    scene.fs.open(ino, Scene::asked(truncate)).await.unwrap().handle
}

const PROPERTY: &str = "by-name/disk/properties/os_distro";

#[tokio::test]
async fn a_small_file_ends_for_each_writer_where_his_text_does() {
    let scene = Scene::new().await;
    let ino = scene.fs.walk(PROPERTY).await.unwrap().attr.ino;
    let handle = opened(&scene, PROPERTY, false).await;
    let other = Asked { writing: Some(Writing { process: Process(8), truncate: true }), ..Asked::default() };
    let other = scene.fs.open(ino, other).await.unwrap().handle;
    assert_eq!(
        (length(&scene, PROPERTY, Some(handle), 0).await, length(&scene, PROPERTY, Some(other), 0).await),
        (7, 0)
    );
    scene.fs.write(handle, 7, Bytes::from_static(b"12")).await.unwrap();
    let mut seen = Vec::new();
    for process in [EDITOR.0, 8, 9] {
        seen.push(length(&scene, PROPERTY, None, process).await);
    }
    assert_eq!(seen, [9, 0, 7], "who does not write it sees the file");
    let emptied = scene.fs.setattr(ino, Some(handle), Some(0), None, Asker::UNKNOWN).await.unwrap();
    assert_eq!(emptied.attr.size, 0, "the kernel goes on there");
    scene.close(handle).await.unwrap();
    assert_eq!(length(&scene, PROPERTY, None, EDITOR.0).await, 7, "and nothing came of it");
    scene.fs.release(handle);
    scene.fs.release(other);
    assert_eq!(scene.changes(), 0);
}

#[tokio::test]
async fn what_is_appended_stands_behind_its_writers_text_whatever_the_kernel_takes_for_the_end() {
    let scene = Scene::new().await;
    let handle = opened(&scene, PROPERTY, false).await;
    for (end, piece) in [(100, &b"12"[..]), (0, b"\n"), (5000, b"3\n")] {
        scene.fs.append(handle, end, Bytes::from_static(piece)).await.unwrap();
    }
    scene.close(handle).await.unwrap();
    scene.fs.release(handle);
    assert_eq!(scene.image().properties.get("os_distro").unwrap(), "debian\n12\n3");
    let handle = opened(&scene, PROPERTY, true).await;
    scene.fs.append(handle, 13, Bytes::from_static(b"x\n")).await.unwrap();
    assert_eq!(scene.image().properties.get("os_distro").unwrap(), "x");
}

#[tokio::test]
async fn bytes_that_nobody_wrote_are_no_value() {
    let scene = Scene::new().await;
    let handle = opened(&scene, PROPERTY, true).await;
    scene.fs.write(handle, 7, Bytes::from_static(b"x\n")).await.unwrap();
    assert_eq!(errno(scene.close(handle).await), libc::EINVAL);
    assert!(scene.sentence(PROPERTY).await.contains("bytes 0 to 7"));
    scene.fs.release(handle);
    let ino = scene.fs.walk(PROPERTY).await.unwrap().attr.ino;
    assert_eq!(errno(scene.fs.setattr(ino, None, Some(20), None, Asker::UNKNOWN).await), libc::EINVAL);
    assert_eq!(scene.changes(), 0);
}

#[tokio::test]
async fn a_small_file_that_is_cut_by_its_name_holds_what_is_left() {
    let scene = Scene::new().await;
    let cut = async |path: &str, size: u64| {
        let ino = scene.fs.walk(&format!("by-name/disk/{path}")).await.unwrap().attr.ino;
        scene.fs.setattr(ino, None, Some(size), None, Asker::UNKNOWN).await.map(|entry| entry.attr.size)
    };
    assert_eq!(cut("properties/os_distro", 3).await.unwrap(), 4, "a value is shown with a newline");
    assert_eq!(scene.image().properties.get("os_distro").unwrap(), "deb");
    assert_eq!(cut("properties/os_distro", 0).await.unwrap(), 4, "what is emptied is on its way to another text");
    assert_eq!(errno(cut("metadata.json", 9).await), libc::EINVAL);
    assert_eq!(errno(cut("status", 3).await), libc::EINVAL);
    scene.service.change(|world| {
        world.refusing.insert("update", (Kind::Forbidden, "no"));
    });
    assert_eq!(errno(cut("properties/os_distro", 2).await), libc::EPERM);
    assert_eq!(scene.image().properties.get("os_distro").unwrap(), "deb");
}

#[tokio::test]
async fn behind_a_line_that_was_refused_no_other_one_is_taken() {
    let scene = Scene::new().await;
    let handle = opened(&scene, "by-name/disk/status", true).await;
    let write = async |line: &'static [u8]| errno(scene.fs.write(handle, 0, Bytes::from_static(line)).await);
    // The place in the file does not move where a write is refused.
    assert_eq!((write(b"nope\n").await, write(b"deactivated\n").await), (libc::EINVAL, libc::EINVAL));
    assert_eq!(errno(scene.close(handle).await), libc::EINVAL);
    assert_eq!(scene.changes(), 0);
    scene.fs.truncate(handle, 0).await.unwrap();
    assert_eq!(write(b"deactivated\n").await, 0, "somebody begins anew");
    assert_eq!(scene.image().status, Status::Deactivated);
}

#[tokio::test]
async fn nobody_goes_on_with_what_a_killed_program_began() {
    let scene = Scene::new().await;
    let handle = opened(&scene, PROPERTY, true).await;
    scene.fs.write(handle, 0, Bytes::from_static(b"alp")).await.unwrap();
    scene.fs.flush(handle, || EDITOR, async { Closing::Killed }).await.unwrap();
    // A child of it has the file open still.
    let refused = scene.fs.write(handle, 3, Bytes::from_static(b"ine\n")).await.unwrap_err();
    assert!(refused.errno() == libc::EINVAL && refused.to_string().contains("was killed"), "{refused}");
    scene.fs.release(handle);
    tokio::task::yield_now().await;
    assert_eq!(scene.changes(), 0);
}

#[tokio::test]
async fn checksums_that_data_have_to_fit_can_be_appended_and_have_a_length() {
    let checksums = Checksums::default();
    let scene = Scene::with(Image { status: Status::Queued, size: None, checksums, ..image(1, "disk") }).await;
    let path = "by-name/disk/checksums";
    let md5 = "MD5 (data) = 5d41402abc4b2a76b9719d911017c592\n";
    let sha512 = format!("SHA512 (data) = {}\n", "0".repeat(128));
    scene.put(path, &[md5]).await.unwrap();
    assert_eq!(length(&scene, path, None, 0).await, md5.len() as u64);
    let handle = opened(&scene, path, false).await;
    scene.fs.append(handle, 0, Bytes::from(sha512.clone())).await.unwrap();
    scene.close(handle).await.unwrap();
    scene.fs.release(handle);
    assert_eq!(scene.fs.cat(path).await.unwrap(), sha512.clone() + md5);
    let shown = scene.fs.walk(path).await.unwrap();
    assert_eq!(shown.attr.size, (sha512.len() + md5.len()) as u64);
}

#[tokio::test]
async fn no_space_is_reserved_in_a_small_file_and_it_says_so() {
    let scene = Scene::new().await;
    let reserve = async |handle: HandleId| errno(scene.fs.allocate(handle, Allocation::Reserve, 0, 10).await);
    for path in [PROPERTY, "by-name/disk/metadata.json", "by-name/disk/status", "by-name/disk/tags/one"] {
        let handle = opened(&scene, path, false).await;
        assert_eq!(reserve(handle).await, libc::EOPNOTSUPP, "{path}");
        assert!(scene.sentence(path).await.contains("no space can be reserved"), "{path}");
        scene.close(handle).await.unwrap();
        scene.fs.release(handle);
    }
    let (_, handle) = begun(&scene, "new").await;
    assert_eq!(reserve(handle).await, libc::EOPNOTSUPP);
    scene.close(handle).await.unwrap();
    scene.fs.release(handle);
    assert_eq!((listed(&scene).await, scene.changes()), (vec!["os_distro".to_owned()], 0), "nothing was made");
    let handle = opened(&scene, PROPERTY, true).await;
    assert_eq!(reserve(handle).await, libc::EOPNOTSUPP);
    scene.fs.write(handle, 0, Bytes::from_static(b"alpine\n")).await.unwrap();
    assert_eq!(scene.image().properties.get("os_distro").unwrap(), "alpine", "who goes on without it is heard");
    let handle = opened(&scene, ".glancefs/uploads", false).await;
    assert_eq!(reserve(handle).await, libc::EOPNOTSUPP);
}

const PROPERTIES: &str = "by-name/disk/properties";

/// Makes a property, which has no value yet.
async fn begun(scene: &Scene, name: &str) -> (Entry, HandleId) {
    let folder = scene.fs.walk(PROPERTIES).await.unwrap().attr.ino;
    let (entry, opened) = scene.fs.create(folder, OsStr::new(name), Writing::of(EDITOR)).await.unwrap();
    (entry, opened.handle)
}

/// What is listed once nothing goes on in the background any more.
async fn listed(scene: &Scene) -> Vec<String> {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    scene.fs.ls(PROPERTIES).await
}

async fn flushed(scene: &Scene, handle: HandleId, closing: Closing) -> i32 {
    errno(scene.fs.flush(handle, || EDITOR, async { closing }).await)
}

#[tokio::test]
async fn a_property_without_a_value_is_made_where_its_maker_hears_of_it() {
    let scene = Scene::new().await;
    let (_, handle) = begun(&scene, "closed").await;
    assert_eq!((flushed(&scene, handle, Closing::OneOfSeveral).await, scene.changes()), (0, 0), "a value may come");
    assert_eq!((flushed(&scene, handle, Closing::Last).await, scene.changes()), (0, 1));
    scene.fs.release(handle);
    let (entry, handle) = begun(&scene, "touched").await;
    let then = Some(Modified::At(UNIX_EPOCH));
    scene.fs.setattr(entry.attr.ino, None, None, then, Asker::UNKNOWN).await.unwrap();
    assert_eq!(scene.changes(), 2);
    scene.fs.release(handle);
    let (entry, handle) = begun(&scene, "copied").await;
    scene.fs.write(handle, 0, Bytes::from_static(b"value")).await.unwrap();
    scene.fs.setattr(entry.attr.ino, None, None, then, Asker::UNKNOWN).await.unwrap();
    assert_eq!((flushed(&scene, handle, Closing::Last).await, scene.changes()), (0, 3), "it gets its value at once");
    scene.fs.release(handle);
    scene.service.change(|world| {
        world.refusing.insert("update", (Kind::Forbidden, "no"));
    });
    let (_, handle) = begun(&scene, "refused").await;
    assert_eq!(flushed(&scene, handle, Closing::Last).await, libc::EPERM);
    scene.fs.release(handle);
    let (entry, handle) = begun(&scene, "refused").await;
    assert_eq!(errno(scene.fs.setattr(entry.attr.ino, None, None, then, Asker::UNKNOWN).await), libc::EPERM);
    scene.fs.release(handle);
    assert_eq!(listed(&scene).await, ["closed", "copied", "os_distro", "touched"]);
}

#[tokio::test]
async fn a_property_that_is_removed_or_renamed_while_it_is_open_does_not_come_back() {
    let scene = Scene::new().await;
    let folder = scene.fs.walk(PROPERTIES).await.unwrap().attr.ino;
    let rename = async |from: &str, to: &str| {
        scene.fs.rename((folder, OsStr::new(from)), (folder, OsStr::new(to)), Asker::UNKNOWN).await.unwrap();
    };
    for text in ["", "value"] {
        let (_, handle) = begun(&scene, "removed").await;
        scene.fs.write(handle, 0, Bytes::from_static(text.as_bytes())).await.unwrap();
        scene.fs.unlink(folder, OsStr::new("removed")).await.unwrap();
        assert_eq!(flushed(&scene, handle, Closing::Last).await, 0);
        scene.fs.release(handle);
        assert_eq!((listed(&scene).await, scene.changes()), (vec!["os_distro".to_owned()], 0), "{text}");
    }
    let (_, handle) = begun(&scene, "begun").await;
    rename("begun", "renamed").await;
    assert_eq!((scene.image().properties.get("renamed").unwrap().as_str(), scene.changes()), ("", 1));
    assert_eq!(errno(scene.fs.write(handle, 0, Bytes::from_static(b"value\n")).await), libc::ESTALE);
    scene.fs.release(handle);
    let handle = opened(&scene, PROPERTY, true).await;
    scene.fs.write(handle, 0, Bytes::from_static(b"value")).await.unwrap();
    rename("os_distro", "distro").await;
    assert_eq!(flushed(&scene, handle, Closing::Last).await, 0);
    scene.fs.release(handle);
    assert_eq!((listed(&scene).await, scene.changes()), (vec!["distro".to_owned(), "renamed".to_owned()], 2));
}

#[tokio::test]
async fn a_shell_that_closes_a_descriptor_behind_each_line_writes_one_document() {
    let scene = Scene::new().await;
    let handle = opened(&scene, "by-name/disk/metadata.json", true).await;
    let mut at = 0;
    for (line, changes) in [("{\n", 0), ("\"min_ram\":\n", 0), ("64}\n", 1)] {
        scene.fs.write(handle, at, Bytes::from_static(line.as_bytes())).await.unwrap();
        at += line.len() as u64;
        assert_eq!((flushed(&scene, handle, Closing::OneOfSeveral).await, scene.changes()), (0, changes), "{line}");
    }
    assert_eq!((flushed(&scene, handle, Closing::Last).await, scene.image().min_ram), (0, 64));
}

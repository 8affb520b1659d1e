//! Images are made, renamed and removed as folders are.

use super::*;
use crate::image::Image;

/// The names in a folder.
async fn names_in(fs: &FileSystem, folder: Ino) -> Vec<String> {
    let mut names: Vec<_> = fs.lines_of(folder, false).await.into_iter().map(|line| line.0).collect();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn a_folder_made_in_by_name_is_an_image_of_that_name() {
    let service = Fake::with([image(1, "one")]);
    let fs = mounted(&service);
    let by_name = fs.lookup(Ino::ROOT, OsStr::new("by-name")).await.unwrap().attr.ino;
    let made = fs.mkdir(by_name, OsStr::new("two%2Fthree")).await.unwrap();
    assert_eq!(names_in(&fs, by_name).await, ["one", "two%2Fthree"]);
    assert_eq!(service.change(|world| world.images.last().unwrap().name.clone()).as_deref(), Some("two/three"));
    let data = fs.lookup(made.attr.ino, OsStr::new("data")).await.unwrap();
    assert_eq!((data.attr.size, data.attr.perm), (0, 0o644));

    for (name, errno) in [("one", libc::EEXIST), ("50%", libc::EINVAL), ("%", libc::EINVAL)] {
        assert_eq!(fs.mkdir(by_name, OsStr::new(name)).await.unwrap_err().errno(), errno, "{name}");
    }
    assert_eq!(fs.mkdir(Ino::ROOT, OsStr::new("x")).await.unwrap_err().errno(), libc::EPERM);
    assert_eq!(service.calls("create"), 1, "what is refused costs no call");
}

#[tokio::test]
async fn a_folder_made_in_by_id_is_an_image_with_that_id() {
    let service = Fake::with([image(1, "one")]);
    let fs = mounted(&service);
    let by_id = fs.lookup(Ino::ROOT, OsStr::new("by-id")).await.unwrap().attr.ino;
    fs.mkdir(by_id, OsStr::new(id(2).as_str())).await.unwrap();
    assert!(service.change(|world| world.images.iter().any(|image| image.id == id(2))));
    assert_eq!(fs.mkdir(by_id, OsStr::new("two")).await.unwrap_err().errno(), libc::EINVAL);
    assert_eq!(fs.mkdir(by_id, OsStr::new(id(1).as_str())).await.unwrap_err().errno(), libc::EEXIST);
}

#[tokio::test]
async fn removing_an_images_folder_deletes_the_image_and_a_protected_one_stays() {
    let service = Fake::with([image(1, "one"), Image { protected: true, ..image(2, "two") }]);
    let fs = mounted(&service);
    let by_name = fs.lookup(Ino::ROOT, OsStr::new("by-name")).await.unwrap().attr.ino;
    let two = fs.lookup(by_name, OsStr::new("two")).await.unwrap().attr.ino;
    fs.rmdir(by_name, OsStr::new("one")).await.unwrap();
    assert_eq!(names_in(&fs, by_name).await, ["two"]);
    assert_eq!(fs.rmdir(by_name, OsStr::new("two")).await.unwrap_err().errno(), libc::EPERM);
    assert_eq!(fs.unlink(two, OsStr::new("data")).await.unwrap_err().errno(), libc::EPERM);
    assert_eq!(service.calls("delete"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_removed_file_of_an_image_is_hidden_for_five_seconds_and_nothing_is_asked_of_the_service() {
    let service = Fake::with([image(1, "one")]);
    let fs = mounted(&service);
    let by_name = fs.lookup(Ino::ROOT, OsStr::new("by-name")).await.unwrap().attr.ino;
    let folder = fs.lookup(by_name, OsStr::new("one")).await.unwrap().attr.ino;
    fs.unlink(folder, OsStr::new("data")).await.unwrap();
    fs.rmdir(folder, OsStr::new("tags")).await.unwrap();
    let left = ["checksums", "members", "metadata.json", "properties", "status"];
    assert_eq!(names_in(&fs, folder).await, left);
    assert_eq!(fs.lookup(folder, OsStr::new("data")).await.unwrap_err().errno(), libc::ENOENT);
    assert_eq!((service.calls("delete"), service.calls("update")), (0, 0));

    tokio::time::advance(Duration::from_secs(5)).await;
    assert_eq!(names_in(&fs, folder).await.len(), 7);
    fs.lookup(folder, OsStr::new("data")).await.unwrap();
}

#[tokio::test]
async fn a_removed_property_or_tag_is_removed_from_the_image() {
    let tags = ["new", "old"].map(Into::into).to_vec();
    let properties = [("os".into(), "linux".into())].into_iter().collect();
    let service = Fake::with([Image { tags, properties, ..image(1, "one") }]);
    let fs = mounted(&service);
    let by_name = fs.lookup(Ino::ROOT, OsStr::new("by-name")).await.unwrap().attr.ino;
    let folder = fs.lookup(by_name, OsStr::new("one")).await.unwrap().attr.ino;
    for (collection, item) in [("tags", "old"), ("properties", "os")] {
        let collection = fs.lookup(folder, OsStr::new(collection)).await.unwrap().attr.ino;
        fs.unlink(collection, OsStr::new(item)).await.unwrap();
    }
    let left = service.change(|world| world.images[0].clone());
    assert_eq!((left.tags, left.properties.len()), (vec!["new".into()], 0));
}

#[tokio::test]
async fn renaming_a_folder_of_by_name_renames_the_image() {
    let service = Fake::with([image(1, "one"), image(2, "two")]);
    let fs = mounted(&service);
    let folder = async |name| fs.lookup(Ino::ROOT, OsStr::new(name)).await.unwrap().attr.ino;
    let (by_name, by_id) = (folder("by-name").await, folder("by-id").await);
    let rename = async |from, to: (Ino, &'static str)| {
        fs.rename((by_name, OsStr::new(from)), (to.0, OsStr::new(to.1)), Asker::UNKNOWN)
            .await
            .map_err(|error| error.errno())
    };
    assert_eq!(rename("one", (by_name, "two")).await, Err(libc::EEXIST));
    assert_eq!(rename("one", (by_id, "three")).await, Err(libc::EPERM));
    assert_eq!(rename("one", (by_name, "three")).await, Ok(()));
    assert_eq!(names_in(&fs, by_name).await, ["three", "two"]);
}

#[tokio::test]
async fn nothing_can_be_changed_through_a_read_only_mount() {
    let service = Fake::with([image(1, "one")]);
    let settings = Settings { read_only: true, ..settings() };
    let fs = FileSystem::new(Arc::new(service), None, settings, UNIX_EPOCH).unwrap();
    let by_name = fs.lookup(Ino::ROOT, OsStr::new("by-name")).await.unwrap().attr;
    assert_eq!(by_name.perm, 0o555);
    for outcome in [
        fs.mkdir(by_name.ino, OsStr::new("two")).await.map(drop),
        fs.rmdir(by_name.ino, OsStr::new("one")).await,
        fs.rename((by_name.ino, OsStr::new("one")), (by_name.ino, OsStr::new("two")), Asker::UNKNOWN).await,
    ] {
        assert_eq!(outcome.unwrap_err().errno(), libc::EROFS);
    }
}

#[tokio::test]
async fn what_cannot_be_made_is_refused_with_a_sentence_at_the_folder() {
    let service = Fake::with([image(1, "one")]);
    let fs = mounted(&service);
    let folder = fs.walk("by-name/one").await.unwrap().attr.ino;
    for (what, word) in [(Unmakeable::Link, "links"), (Unmakeable::Device, "devices")] {
        assert_eq!(fs.refuse(folder, what).errno(), libc::EPERM);
        let told = fs.getxattr(folder, OsStr::new("user.glancefs.error"), 0).await.unwrap();
        assert!(String::from_utf8(told).unwrap().contains(word), "{what:?}");
    }
    let settings = Settings { read_only: true, ..settings() };
    let fs = FileSystem::new(Arc::new(service), None, settings, UNIX_EPOCH).unwrap();
    assert_eq!(fs.refuse(Ino::ROOT, Unmakeable::Link).errno(), libc::EROFS);
}

#[tokio::test]
async fn what_could_not_be_made_is_told_of_by_the_path_that_it_was_to_have() {
    let fs = mounted(&Fake::with([image(1, "one")]));
    let by_name = fs.walk("by-name").await.unwrap().attr.ino;
    let path = async |ino: Ino| {
        let told = fs.getxattr(ino, OsStr::new("user.glancefs.failure"), 0).await.unwrap();
        serde_json::from_slice::<Failed>(&told).unwrap().path
    };
    for (folder, name, expected) in
        [(by_name, "one", "by-name/one"), (by_name, "100%\n", "by-name/100%\n"), (Ino::ROOT, "new", "new")]
    {
        fs.mkdir(folder, OsStr::new(name)).await.unwrap_err();
        assert_eq!(path(folder).await, expected);
        fs.mknod(folder, OsStr::new("file")).await.unwrap_err();
        assert_eq!(path(folder).await, expected.replace(name, "file"));
    }
}

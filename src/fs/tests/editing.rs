//! Attributes and the status as files.

use bytes::Bytes;
use serde_json::Value;

use super::*;
use crate::image::Image;
use crate::service::Offers;
use crate::write::{self, Uploads};

pub(super) const EDITOR: Process = Process(7);

/// A filesystem over a service with one active image.
pub(super) struct Scene {
    pub(super) service: Fake,
    pub(super) fs: Arc<FileSystem>,
    _folder: tempfile::TempDir,
}

impl Scene {
    pub(super) async fn with(image: Image) -> Self {
        Self::offering(Offers::IMAGE, image).await
    }

    /// The same of a service that offers this.
    pub(super) async fn offering(offers: Offers, image: Image) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let service = Fake::with([image]);
        service.change(|world| world.offers = Some(offers));
        let uploads = Uploads::open(write::Settings::new(folder.path().join("uploads")), Arc::new(service.clone()));
        let uploads = Some(uploads.await.unwrap());
        let fs = FileSystem::new(Arc::new(service.clone()), uploads, settings(), UNIX_EPOCH).unwrap();
        Self { service, fs, _folder: folder }
    }

    pub(super) async fn new() -> Self {
        let mut image = image(1, "disk");
        image.properties.insert("os_distro".into(), "debian".into());
        image.tags = vec!["one".into()];
        Self::with(image).await
    }

    pub(super) fn image(&self) -> Image {
        self.service.change(|world| world.images[0].clone())
    }

    /// What the service is asked to change.
    pub(super) fn changes(&self) -> usize {
        ["update", "act", "add_tag", "remove_tag", "add_member", "remove_member", "set_member", "import"]
            .iter()
            .map(|call| self.service.calls(call))
            .sum()
    }

    pub(super) fn asked(truncate: bool) -> Asked {
        Asked { writing: Some(Writing { process: EDITOR, truncate }), ..Asked::default() }
    }

    /// A shell's `>`: opens, is closed once before anything is written, writes the pieces, closes.
    pub(super) async fn put(&self, path: &str, pieces: &[&str]) -> Result<()> {
        let (folder, name) = path.rsplit_once('/').unwrap();
        let opened = if let Ok(entry) = self.fs.walk(path).await {
            self.fs.open(entry.attr.ino, Self::asked(true)).await?
        } else {
            let folder = self.fs.walk(folder).await?.attr.ino;
            self.fs.create(folder, OsStr::new(name), Writing::of(EDITOR)).await?.1
        };
        self.fs.flush(opened.handle, || EDITOR, async { Closing::OneOfSeveral }).await?;
        let (mut at, mut outcome) = (0, Ok(()));
        for piece in pieces {
            outcome = self.fs.write(opened.handle, at, Bytes::copy_from_slice(piece.as_bytes())).await;
            at += piece.len() as u64;
            if outcome.is_err() {
                break;
            }
        }
        let closed = self.close(opened.handle).await;
        self.fs.release(opened.handle);
        outcome.and(closed)
    }

    pub(super) async fn close(&self, handle: HandleId) -> Result<()> {
        self.fs.flush(handle, || EDITOR, async { Closing::Last }).await
    }

    /// Reads the document as an editor does.
    pub(super) async fn document(&self) -> String {
        let by = Asker { thread: EDITOR.0, look: Process };
        let ino = self.fs.walk("by-name/disk/metadata.json").await.unwrap().attr.ino;
        let opened = self.fs.open(ino, Asked { by, ..Asked::default() }).await.unwrap();
        let bytes = self.fs.read(opened.handle, 0, 1 << 20).await.unwrap();
        self.fs.release(opened.handle);
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    pub(super) async fn save(&self, document: &str) -> Result<()> {
        self.put("by-name/disk/metadata.json", &[document]).await
    }

    pub(super) async fn sentence(&self, path: &str) -> String {
        let ino = self.fs.walk(path).await.unwrap().attr.ino;
        String::from_utf8(self.fs.getxattr(ino, OsStr::new("user.glancefs.error"), 0).await.unwrap()).unwrap()
    }
}

#[tokio::test]
async fn a_saved_document_is_one_change_and_what_others_changed_meanwhile_stays() {
    let scene = Scene::new().await;
    let document = scene.document().await;
    scene.service.change(|world| {
        world.images[0].properties.insert("theirs".into(), "kept".into());
        world.images[0].tags.push("two".into());
        world.images[0].min_disk = 9;
    });
    let edited =
        document.replace("\"disk\"", "\"renamed\"").replace("\"one\"", "\"three\"").replace("\"debian\"", "\"fedora\"");
    scene.save(&edited).await.unwrap();
    assert_eq!(scene.service.calls("update"), 1);
    let image = scene.image();
    assert_eq!((image.name.as_deref(), image.min_disk), (Some("renamed"), 9));
    assert_eq!(image.tags, ["three", "two"]);
    assert_eq!(
        (image.properties.get("os_distro").unwrap().as_str(), image.properties.get("theirs").unwrap().as_str()),
        ("fedora", "kept")
    );
}

#[tokio::test]
async fn a_second_save_of_an_editor_is_compared_with_what_it_saved_before() {
    let scene = Scene::new().await;
    let document = scene.document().await;
    scene.save(&document.replace("\"debian\"", "\"fedora\"")).await.unwrap();
    scene.save(&document).await.unwrap();
    assert_eq!(scene.image().properties.get("os_distro").unwrap(), "debian", "taken back");
    scene.save(&document).await.unwrap();
    assert_eq!(scene.service.calls("update"), 2, "nothing to do");
}

#[tokio::test]
async fn a_line_that_is_taken_out_removes_its_property() {
    let scene = Scene::new().await;
    let document: Value = serde_json::from_str(&scene.document().await).unwrap();
    let Value::Object(mut fields) = document else { panic!("no object") };
    fields.remove("os_distro");
    scene.save(&Value::Object(fields).to_string()).await.unwrap();
    assert!(scene.image().properties.is_empty());
}

#[tokio::test]
async fn a_document_that_comes_in_pieces_is_sent_with_the_brace_that_closes_it() {
    let scene = Scene::new().await;
    scene.put("by-name/disk/metadata.json", &["{\n", "\"os_distro\":", " \"a{}\"\n", "}", "\n"]).await.unwrap();
    assert_eq!(
        (scene.image().properties.get("os_distro").unwrap().as_str(), scene.service.calls("update")),
        ("a{}", 1)
    );
}

#[tokio::test]
async fn a_document_that_is_none_is_refused_with_its_line_and_nothing_is_sent() {
    let scene = Scene::new().await;
    let before = scene.document().await;
    assert_eq!(errno(scene.save("{\n  \"name\": nope\n}\n").await), libc::EINVAL);
    let sentence = scene.sentence("by-name/disk/metadata.json").await;
    assert!(sentence.contains("line 2, column"), "{sentence}");
    for unfinished in ["{\"name\": ", "{\"name\": \"x\""] {
        assert_eq!(errno(scene.save(unfinished).await), libc::EINVAL, "{unfinished}");
    }
    scene.save("").await.unwrap();
    assert_eq!(scene.changes(), 0);
    assert_eq!(scene.document().await, before);
    let errors = scene.fs.cat(".glancefs/errors").await.unwrap();
    assert!(errors.contains("metadata.json\",\"errno\":\"EINVAL\""), "{errors}");
}

#[tokio::test]
async fn a_read_only_attribute_is_refused_by_its_name_and_another_images_is_passed_over() {
    let scene = Scene::new().await;
    let document = scene.document().await;
    assert_eq!(errno(scene.save(&document.replace("\"size\": 5", "\"size\": 6")).await), libc::EINVAL);
    assert!(scene.sentence("by-name/disk/metadata.json").await.contains("size"));
    let backup = document.replace(id(1).as_str(), id(2).as_str()).replace("\"size\": 5", "\"size\": 6");
    scene.save(&backup.replace("\"min_ram\": 0", "\"min_ram\": 64")).await.unwrap();
    assert_eq!((scene.image().size, scene.image().min_ram), (Some(5), 64));
}

#[tokio::test]
async fn an_editor_that_renames_its_document_into_place_is_understood() {
    let scene = Scene::new().await;
    let folder = scene.fs.walk("by-name/disk").await.unwrap().attr.ino;
    let mv = async |from: &str, to: &str| {
        scene.fs.rename((folder, OsStr::new(from)), (folder, OsStr::new(to)), Asker::UNKNOWN).await
    };
    let document = scene.document().await;
    mv("metadata.json", "metadata.json~").await.unwrap();
    assert_eq!(scene.fs.cat("by-name/disk/metadata.json~").await.unwrap(), document);
    assert_eq!(scene.document().await, document, "a copy was made");
    scene.put("by-name/disk/sedXY", &[&document.replace("\"debian\"", "\"arch\"")]).await.unwrap();
    mv("sedXY", "metadata.json").await.unwrap();
    assert_eq!(
        (scene.image().properties.get("os_distro").unwrap().as_str(), scene.service.calls("update")),
        ("arch", 1)
    );
    assert_eq!(errno(scene.fs.walk("by-name/disk/sedXY").await), libc::ENOENT);
    scene.put("by-name/disk/bad.tmp", &["{]"]).await.unwrap();
    assert_eq!(mv("bad.tmp", "metadata.json").await.unwrap_err().errno(), libc::EINVAL);
    assert!(scene.fs.walk("by-name/disk/bad.tmp").await.is_ok(), "what was refused is still there");
}

#[tokio::test]
async fn a_word_written_to_status_takes_effect_in_its_write() {
    let scene = Scene::new().await;
    scene.put("by-name/disk/status", &["deactivated\n"]).await.unwrap();
    assert_eq!(scene.image().status, Status::Deactivated);
    assert_eq!(scene.fs.cat("by-name/disk/status").await.unwrap(), "deactivated\n");
    scene.put("by-name/disk/status", &["act", "ive"]).await.unwrap();
    assert_eq!((scene.image().status, scene.service.calls("act")), (Status::Active, 2));
    assert_eq!(errno(scene.put("by-name/disk/status", &["off\n"]).await), libc::EINVAL);
    assert!(scene.sentence("by-name/disk/status").await.contains("'off' is no word that can be written there"));
}

#[tokio::test]
async fn checksums_are_compared_with_what_is_there() {
    let scene = Scene::new().await;
    let has = scene.fs.cat("by-name/disk/checksums").await.unwrap();
    scene.put("by-name/disk/checksums", &[&has]).await.unwrap();
    assert_eq!(errno(scene.put("by-name/disk/checksums", &["MD5 (data) = 00\n"]).await), libc::EPERM);
    assert_eq!(errno(scene.put("by-name/disk/checksums", &["00  data\n"]).await), libc::EINVAL);
    assert_eq!(scene.changes(), 0);
}

#[tokio::test]
async fn an_image_that_is_queued_can_be_imported_and_another_one_has_no_such_file() {
    let scene = Scene::with(Image { status: Status::Queued, size: None, ..image(1, "disk") }).await;
    assert_eq!(scene.fs.ls("by-name/disk").await.last().map(String::as_str), Some("import"));
    assert_eq!(scene.fs.cat("by-name/disk/import").await.unwrap(), "");
    assert_eq!(errno(scene.put("by-name/disk/import", &["no url\n"]).await), libc::EINVAL);
    scene.put("by-name/disk/import", &["http://example.org/disk\n"]).await.unwrap();
    assert_eq!(scene.service.calls("import"), 1);
    scene.service.change(|world| world.images[0].status = Status::Active);
    tokio::time::pause();
    tokio::time::advance(TTL).await;
    assert_eq!(errno(scene.fs.walk("by-name/disk/import").await), libc::ENOENT);
}

#[tokio::test]
async fn what_an_editor_did_not_close_itself_is_done_by_the_last_release() {
    let scene = Scene::new().await;
    let ino = scene.fs.walk("by-name/disk/status").await.unwrap().attr.ino;
    let opened = scene.fs.open(ino, Scene::asked(true)).await.unwrap();
    scene.fs.write(opened.handle, 0, Bytes::from_static(b"deactivated")).await.unwrap();
    scene.fs.flush(opened.handle, || Process(8), async { Closing::Last }).await.unwrap();
    assert_eq!(scene.changes(), 0, "somebody else has it open still");
    scene.fs.release(opened.handle);
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(scene.image().status, Status::Deactivated);
}

#[tokio::test]
async fn what_a_killed_program_left_half_written_is_not_sent() {
    let scene = Scene::new().await;
    let ino = scene.fs.walk("by-name/disk/properties/os_distro").await.unwrap().attr.ino;
    let opened = scene.fs.open(ino, Scene::asked(true)).await.unwrap();
    scene.fs.write(opened.handle, 0, Bytes::from_static(b"deb")).await.unwrap();
    scene.fs.flush(opened.handle, || EDITOR, async { Closing::Killed }).await.unwrap();
    scene.fs.release(opened.handle);
    tokio::task::yield_now().await;
    assert_eq!(scene.changes(), 0);
}

#[tokio::test]
async fn nothing_is_edited_through_a_read_only_mount() {
    let service = Fake::with([image(1, "disk")]);
    let settings = Settings { read_only: true, ..settings() };
    let fs = FileSystem::new(Arc::new(service), None, settings, UNIX_EPOCH).unwrap();
    for path in ["by-name/disk/status", "by-name/disk/metadata.json"] {
        let entry = fs.walk(path).await.unwrap();
        assert_eq!(entry.attr.perm, 0o444);
        let asked = Asked { writing: Some(Writing { process: EDITOR, truncate: true }), ..Asked::default() };
        assert_eq!(errno(fs.open(entry.attr.ino, asked).await), libc::EROFS);
    }
}

#[tokio::test]
async fn a_backup_is_restored_again_and_again_by_whoever_does() {
    let scene = Scene::new().await;
    let backup = scene.document().await.replace(id(1).as_str(), id(2).as_str()).replace("\"debian\"", "\"arch\"");
    for name in ["one.tmp", "two.tmp"] {
        scene.put(&format!("by-name/disk/{name}"), &[&backup]).await.unwrap();
        let folder = scene.fs.walk("by-name/disk").await.unwrap().attr.ino;
        let (from, to) = ((folder, OsStr::new(name)), (folder, OsStr::new("metadata.json")));
        scene.fs.rename(from, to, Asker { thread: 90, look: Process }).await.unwrap();
    }
    assert_eq!(
        (scene.image().properties.get("os_distro").unwrap().as_str(), scene.service.calls("update")),
        ("arch", 1)
    );
}

#[tokio::test]
async fn a_save_by_somebody_else_is_not_taken_back_by_who_read_the_document_before() {
    let scene = Scene::new().await;
    let folder = scene.fs.walk("by-name/disk").await.unwrap().attr.ino;
    let read = scene.document().await;
    let copied = read.replace("\"disk\"", "\"copied\"");
    scene.save(&read.replace("\"min_ram\": 0", "\"min_ram\": 64")).await.unwrap();
    // Another program puts in place what was made from the document before that save.
    let opened = scene.fs.create(folder, OsStr::new("copy.tmp"), Writing::of(Process(50))).await.unwrap().1;
    scene.fs.write(opened.handle, 0, Bytes::from(copied)).await.unwrap();
    scene.fs.release(opened.handle);
    let (from, to) = ((folder, OsStr::new("copy.tmp")), (folder, OsStr::new("metadata.json")));
    let refused = scene.fs.rename(from, to, Asker { thread: 51, look: Process }).await.unwrap_err();
    assert!(refused.errno() == libc::EINVAL && refused.to_string().contains("read it again"), "{refused}");
    assert_eq!((scene.image().min_ram, scene.image().name.as_deref()), (64, Some("disk")));
}

#[tokio::test]
async fn of_a_document_of_which_a_line_was_refused_nothing_is_taken() {
    let scene = Scene::new().await;
    let read: Value = serde_json::from_str(&scene.document().await).unwrap();
    let ino = scene.fs.walk("by-name/disk/metadata.json").await.unwrap().attr.ino;
    let opened = scene.fs.open(ino, Scene::asked(true)).await.unwrap();
    let first = format!("{{\"id\": {}, \"updated_at\": {},\n", read["id"], read["updated_at"]);
    // The place in the file does not move where a write is refused.
    let at = first.len() as u64;
    let write = async |at: u64, line: &str| {
        errno(scene.fs.write(opened.handle, at, Bytes::copy_from_slice(line.as_bytes())).await)
    };
    assert_eq!(write(0, &first).await, 0);
    assert_eq!(write(at, "\"os_distro\": debian,\n").await, libc::EINVAL);
    assert_eq!(write(at, "\"min_disk\": 7\n").await, libc::EINVAL);
    assert_eq!(write(at, "}\n").await, libc::EINVAL);
    assert_eq!(errno(scene.close(opened.handle).await), libc::EINVAL);
    scene.fs.release(opened.handle);
    assert_eq!((scene.changes(), scene.image().properties.get("os_distro").unwrap().as_str()), (0, "debian"));
    assert!(scene.sentence("by-name/disk/metadata.json").await.contains("line 2"), "the first reason is told");
}

#[tokio::test]
async fn a_file_that_is_removed_and_made_again_begins_empty() {
    let scene = Scene::new().await;
    let folder = scene.fs.walk("by-name/disk").await.unwrap().attr.ino;
    scene.put("by-name/disk/status", &["deactivated\n"]).await.unwrap();
    scene.fs.unlink(folder, OsStr::new("status")).await.unwrap();
    scene.put("by-name/disk/status", &["active\n"]).await.unwrap();
    assert_eq!(scene.image().status, Status::Active);
}

#[tokio::test]
async fn fsync_of_a_document_that_is_not_whole_says_so_and_sends_nothing() {
    let scene = Scene::new().await;
    let before = scene.document().await;
    let ino = scene.fs.walk("by-name/disk/metadata.json").await.unwrap().attr.ino;
    let opened = scene.fs.open(ino, Scene::asked(true)).await.unwrap();
    scene.fs.fsync(opened.handle).await.unwrap();
    scene.fs.write(opened.handle, 0, Bytes::from_static(b"{\n  \"min_ram\": 64,\n")).await.unwrap();
    assert_eq!(errno(scene.fs.fsync(opened.handle).await), libc::EINVAL);
    let sentence = scene.sentence("by-name/disk/metadata.json").await;
    assert!(sentence.contains("line 3"), "{sentence}");
    assert_eq!((scene.changes(), scene.document().await), (0, before));
    scene.fs.truncate(opened.handle, 0).await.unwrap();
    scene.fs.write(opened.handle, 0, Bytes::from_static(b"{\"min_ram\": 64}")).await.unwrap();
    scene.fs.fsync(opened.handle).await.unwrap();
    assert_eq!((scene.changes(), scene.image().min_ram), (1, 64));
}

#[tokio::test]
async fn equal_sentences_of_different_moments_are_different_failures() {
    let scene = Scene::new().await;
    let failure = async |path: &str| {
        let ino = scene.fs.walk(path).await.unwrap().attr.ino;
        let told = scene.fs.getxattr(ino, OsStr::new("user.glancefs.failure"), 0).await.unwrap();
        serde_json::from_slice::<Failed>(&told).unwrap()
    };
    scene.put("by-name/disk/status", &["wrong\n"]).await.unwrap_err();
    let first = failure("by-name/disk/status").await;
    scene.put("by-name/disk/status", &["wrong\n"]).await.unwrap_err();
    let second = failure("by-name/disk/status").await;
    assert_eq!((&first.sentence, &first.path), (&second.sentence, &second.path));
    assert!(first.time < second.time, "{first:?} {second:?}");
    let lines = scene.fs.cat(".glancefs/errors").await.unwrap();
    let last: Vec<Failed> = lines.lines().rev().take(2).map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(last, [second, first], "they are those of the list");
}

#[tokio::test]
async fn a_new_property_that_is_refused_is_one_failure_that_its_folder_tells_too() {
    let scene = Scene::new().await;
    scene.put("by-name/disk/properties/new", &["\u{ff01}\n"]).await.unwrap();
    scene.service.change(|world| world.refusing.insert("update", (Kind::OverQuota, "too many")));
    scene.put("by-name/disk/properties/newer", &["x\n"]).await.unwrap_err();
    let listed = scene.fs.cat(".glancefs/errors").await.unwrap();
    let listed: Vec<Failed> = listed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [only] = &listed[..] else { panic!("{listed:?}") };
    assert!(only.path.ends_with("/properties/newer") && only.sentence.contains("too many"), "{only:?}");
    for view in ["by-name/disk", &format!("by-id/{}", id(1))] {
        let folder = scene.fs.walk(&format!("{view}/properties")).await.unwrap().attr.ino;
        let told = scene.fs.getxattr(folder, OsStr::new("user.glancefs.failure"), 0).await.unwrap();
        assert_eq!(serde_json::from_slice::<Failed>(&told).unwrap(), *only);
    }
}

#[tokio::test]
async fn a_long_tag_is_written_and_removed_by_the_entry_that_shows_it() {
    // Their entries are cut, and the third one is called as the first one's entry is.
    let longs = ["a", "b"].map(|end| "é".repeat(127) + end + "x");
    let mut image = image(1, "disk");
    image.tags = vec![longs[0].clone().into(), longs[1].clone().into()];
    let scene = Scene::with(image.clone()).await;
    let listed = scene.fs.ls("by-name/disk/tags").await;
    image.tags.push(listed[0].clone().into());
    let scene = Scene::with(image).await;
    let now = scene.fs.ls("by-name/disk/tags").await;
    assert!(listed.iter().all(|entry| now.contains(entry)) && now.len() == 3, "{now:?}");
    let first = now.iter().find(|entry| !listed.contains(entry)).unwrap();
    scene.put(&format!("by-name/disk/tags/{first}"), &[]).await.unwrap();
    assert_eq!(scene.changes(), 0, "it is there");
    let folder = scene.fs.walk("by-name/disk/tags").await.unwrap().attr.ino;
    scene.fs.unlink(folder, OsStr::new(&listed[0])).await.unwrap();
    assert_eq!(scene.image().tags, longs, "what is called so is removed");
    for entry in now.iter().filter(|entry| **entry != listed[0]) {
        scene.fs.unlink(folder, OsStr::new(entry)).await.unwrap();
    }
    assert_eq!(scene.image().tags, [""; 0]);
}

#[tokio::test]
async fn an_entry_that_two_long_properties_could_mean_is_refused() {
    // Their SHA-512 begin with the same eight digits.
    let [one, two] = document::colliding();
    let mut image = image(1, "disk");
    image.properties.insert(one.clone().into(), "1".into());
    let entry = Scene::with(image.clone()).await.fs.ls("by-name/disk/properties").await[0].clone();
    image.properties.insert(two.clone().into(), "2".into());
    let scene = Scene::with(image).await;
    let path = format!("by-name/disk/properties/{entry}");
    assert_eq!(errno(scene.fs.walk(&path).await), libc::ENOENT);
    assert_eq!(errno(scene.put(&path, &["3\n"]).await), libc::EEXIST);
    assert_eq!(scene.changes(), 0);
    let listed = scene.fs.ls("by-name/disk/properties").await;
    let mut values = Vec::new();
    for entry in &listed {
        values.push(scene.fs.cat(&format!("by-name/disk/properties/{entry}")).await.unwrap());
    }
    let second = values.iter().position(|value| value == "2\n").unwrap();
    assert!(values.len() == 2 && values.contains(&"1\n".to_owned()), "{values:?}");
    scene.put(&format!("by-name/disk/properties/{}", listed[second]), &["3\n"]).await.unwrap();
    assert_eq!(
        (
            scene.image().properties.get(one.as_str()).unwrap().as_str(),
            scene.image().properties.get(two.as_str()).unwrap().as_str()
        ),
        ("1", "3")
    );
}

//! What is told of files that cannot be changed, where nothing failed.

use super::*;
use crate::image::Image;

const OWNER: u32 = 1;

async fn told(fs: &FileSystem, path: &str, user: u32) -> Option<String> {
    let ino = fs.walk(path).await.unwrap().attr.ino;
    assert_eq!(errno(fs.getxattr(ino, OsStr::new("user.glancefs.error"), user).await), libc::ENODATA, "nothing failed");
    let limits = fs.getxattr(ino, OsStr::new("user.glancefs.limits"), user).await;
    limits.ok().map(|text| String::from_utf8(text).unwrap())
}

#[tokio::test]
async fn an_image_of_another_project_is_told_as_such_in_all_its_files_but_the_members_own() {
    let anothers = Image { owner: Some("their\nproject".into()), ..image(1, "disk") };
    let service = Fake::with([Image { tags: vec!["t".into()], ..anothers }]);
    let member = Member { project: "own".to_owned(), status: MemberStatus::Pending, updated_at: None };
    service.change(|world| world.members.push(member));
    let fs = mounted(&service);
    for part in ["", "/metadata.json", "/status", "/tags", "/tags/t", "/properties", "/members", "/data"] {
        let limits = told(&fs, &format!("by-name/disk{part}"), OWNER).await.unwrap();
        let words = "belongs to project their\\u000aproject, and is only to be read here";
        assert!(limits.contains(words), "{part}: {limits}");
        let attr = fs.walk(&format!("by-name/disk{part}")).await.unwrap().attr;
        assert_eq!(attr.perm & 0o222, 0, "{part}: which the mode says too");
    }
    assert_eq!(told(&fs, "by-name/disk/members/own", OWNER).await, None);
}

#[tokio::test]
async fn data_that_are_there_say_how_other_data_become_an_image() {
    let service = Fake::with([image(1, "disk"), Image { status: Status::Queued, ..image(2, "new") }]);
    let fs = mounted(&service);
    let limits = told(&fs, "by-name/disk/data", OWNER).await.unwrap();
    assert!(limits.contains("mkdir in by-name") && limits.lines().count() == 1, "{limits}");
    for path in ["by-name/disk", "by-name/disk/metadata.json", "by-name/new/data", "by-name", "files"] {
        assert_eq!(told(&fs, path, OWNER).await, None, "{path}");
        assert_eq!(told(&fs, path, 0).await, None, "{path}");
    }
}

#[tokio::test]
async fn each_thing_that_holds_is_a_line() {
    let fs = mounted(&Fake::with([Image { protected: true, owner: Some("their".into()), ..image(1, "disk") }]));
    let limits = told(&fs, "by-name/disk/data", 77).await.unwrap();
    let words = ["can be written once", "belongs to project their", "is protected", "belongs to user 1"];
    assert_eq!(limits.lines().count(), words.len(), "{limits}");
    for (line, words) in limits.lines().zip(words) {
        assert!(line.contains(words), "{line}");
    }
}

#[tokio::test]
async fn a_protected_image_is_not_told_of_beside_a_failure_that_has_another_reason() {
    let fs = mounted(&Fake::with([Image { protected: true, ..image(1, "disk") }]));
    let folder = fs.walk("by-name/disk").await.unwrap().attr.ino;
    assert!(told(&fs, "by-name/disk", OWNER).await.unwrap().contains("is protected"));
    fs.mkdir(folder, OsStr::new("new")).await.unwrap_err();
    let limits = fs.getxattr(folder, OsStr::new("user.glancefs.limits"), OWNER).await;
    assert_eq!(errno(limits), libc::ENODATA);
}

#[tokio::test]
async fn what_belongs_to_the_mount_and_to_its_user_is_told_too() {
    let fs = mounted(&Fake::with([image(1, "disk")]));
    assert!(told(&fs, "", OWNER).await.unwrap().contains("other ones cannot be made"));
    assert!(told(&fs, ".glancefs/errors", OWNER).await.unwrap().contains("only to be read"));
    assert_eq!(told(&fs, ".glancefs/uploads", OWNER).await, None);
    assert!(told(&fs, "by-name/disk/status", 77).await.unwrap().contains("--uid"));

    let fs = FileSystem::new(Arc::new(Fake::with([])), None, Settings { read_only: true, ..settings() }, UNIX_EPOCH);
    assert_eq!(told(&fs.unwrap(), "", OWNER).await.unwrap(), "this mount is read-only");
}

//! The filesystem without a kernel, over a service in memory.

mod closing;
mod compute;
mod control;
mod drafts;
mod editing;
mod files;
mod items;
mod limits;
mod making;
mod query;
mod scratch;
mod versions;
mod writing;

use std::ffi::OsStr;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use super::testing::{Fake, id, image};
use super::*;
use crate::image::{Checksums, Member, MemberStatus, Status, Usage, Visibility};
use crate::service::Kind;

const TTL: Duration = Duration::from_secs(5);

fn settings() -> Settings {
    let owner = Owner { uid: 1, gid: 2 };
    Settings { ttl: TTL, read_only: false, write_back: false, owner, memory: 64 << 20, read: read::Settings::default() }
}

fn mounted(service: &Fake) -> Arc<FileSystem> {
    FileSystem::new(Arc::new(service.clone()), None, settings(), UNIX_EPOCH).unwrap()
}

/// How a process closes a file for the last time.
fn closing(is_killed: bool) -> Closing {
    if is_killed { Closing::Killed } else { Closing::Last }
}

impl FileSystem {
    async fn walk(&self, path: &str) -> Result<Entry> {
        let mut entry = self.getattr(Ino::ROOT).await?;
        for name in path.split('/').filter(|name| !name.is_empty()) {
            entry = self.lookup(entry.attr.ino, OsStr::new(name)).await?;
        }
        Ok(entry)
    }

    async fn cat(&self, path: &str) -> Result<String> {
        let opened = self.open(self.walk(path).await?.attr.ino, Asked::default()).await?;
        let bytes = self.read(opened.handle, 0, 1 << 20).await;
        drop(self.released(opened.handle));
        Ok(String::from_utf8(bytes?.to_vec()).unwrap())
    }

    /// The names in a folder: sorted, where they have no order.
    async fn ls(&self, path: &str) -> Vec<String> {
        let lines = self.lines_of(self.walk(path).await.unwrap().attr.ino, false).await;
        let mut names: Vec<_> = lines.into_iter().map(|line| line.0).collect();
        let unordered = ["by-name", "by-id", "files", "/members", "/tags", "/properties"];
        if unordered.iter().any(|folder| path.ends_with(folder)) {
            names.sort_unstable();
        }
        names
    }

    /// The lines of a folder but the first two: names, where to go on behind them, and what is told of them.
    async fn lines_of(&self, folder: Ino, plus: bool) -> Vec<(String, u64, Option<Entry>)> {
        let mut lines = Vec::new();
        self.lines(&self.readdir(folder, 0).await.unwrap(), plus, &mut |line| {
            lines.push((line.name.to_owned(), line.next, line.entry));
            false
        });
        lines.split_off(2)
    }
}

/// Whether the kernel's pages of before may be read.
fn keeps(opened: &Opened) -> bool {
    matches!(opened.mode, Mode::Cached { keep: true } | Mode::Direct { keep: true })
}

fn errno(outcome: Result<impl Sized>) -> i32 {
    outcome.err().map_or(0, |error| error.errno())
}

#[tokio::test]
async fn an_image_is_a_folder_of_the_parts_in_their_order() {
    let fs = mounted(&Fake::with([image(1, "disk")]));
    assert_eq!(fs.ls("").await, ["by-id", "by-name", "files", "query"]);
    assert_eq!(fs.ls("by-name").await, ["disk"]);
    assert_eq!(fs.ls("by-id").await, [id(1).as_str()]);
    let parts = ["data", "metadata.json", "status", "checksums", "members", "tags", "properties"];
    assert_eq!(fs.ls("by-name/disk").await, parts);
}

#[tokio::test]
async fn files_are_the_same_inodes_in_both_views_and_folders_are_not() {
    let fs = mounted(&Fake::with([image(1, "disk")]));
    let by_id = format!("by-id/{}", id(1));
    for part in ["data", "metadata.json", "status", "checksums"] {
        let (one, other) = (format!("by-name/disk/{part}"), format!("{by_id}/{part}"));
        assert_eq!(fs.walk(&one).await.unwrap().attr, fs.walk(&other).await.unwrap().attr);
    }
    assert_ne!(fs.walk("by-name/disk").await.unwrap().attr.ino, fs.walk(&by_id).await.unwrap().attr.ino);
}

#[tokio::test]
async fn a_listing_with_attributes_shows_what_stat_shows_and_counts_as_look_ups() {
    let fs = mounted(&Fake::with([image(1, "a"), image(2, "b")]));
    let folder = fs.walk("by-name/a").await.unwrap().attr.ino;
    let seen = fs.lines_of(folder, true).await;
    for (name, _, entry) in &seen {
        let (attr, looked) = (entry.clone().unwrap().attr, fs.walk(&format!("by-name/a/{name}")).await.unwrap());
        assert_eq!(looked.attr, attr);
    }
    // The folder was looked up as often as its files, and once more; each of them was listed and looked up.
    for (_, _, entry) in &seen {
        fs.forget(entry.as_ref().unwrap().attr.ino, 2);
    }
    fs.forget(folder, u64::try_from(seen.len()).unwrap());
    assert!(fs.node(folder).is_ok());
    fs.forget(folder, 1);
    assert!(fs.node(folder).is_err());
}

#[tokio::test]
async fn a_line_that_did_not_fit_is_not_told_and_comes_again() {
    let fs = mounted(&Fake::with([image(1, "a"), image(2, "b"), image(3, "c")]));
    let folder = fs.walk("by-name").await.unwrap().attr.ino;
    let before = fs.inodes.len();
    let mut taken = Vec::new();
    fs.lines(&fs.readdir(folder, 0).await.unwrap(), true, &mut |line| {
        let full = taken.len() == 3;
        if !full {
            taken.push((line.name.to_owned(), line.next));
        }
        full
    });
    assert_eq!(fs.inodes.len(), before + 1, "the third taken line is the first image");
    let mut rest = Vec::new();
    fs.lines(&fs.readdir(folder, taken[2].1).await.unwrap(), true, &mut |line| {
        rest.push(line.name.to_owned());
        false
    });
    let mut all: Vec<_> = taken.into_iter().skip(2).map(|(name, _)| name).chain(rest).collect();
    all.sort_unstable();
    assert_eq!(all, ["a", "b", "c"]);
}

#[tokio::test(start_paused = true)]
async fn who_reads_a_folder_piece_by_piece_meets_each_image_that_stays_once() {
    let service = Fake::with((1..=40).map(|n| image(n, &format!("n{n}"))));
    let fs = mounted(&service);
    for view in ["by-name", "by-id", "files"] {
        let folder = fs.walk(view).await.unwrap().attr.ino;
        let mut taken: Vec<String> = Vec::new();
        let mut from = 2;
        for piece in 0_u32.. {
            let before = taken.len();
            fs.lines(&fs.readdir(folder, from).await.unwrap(), piece % 2 == 0, &mut |line| {
                let full = taken.len() == before + 3;
                if !full {
                    taken.push(line.name.to_owned());
                    from = line.next;
                }
                full
            });
            if taken.len() == before {
                break;
            }
            // Others come and go meanwhile, and the listing is asked for anew.
            service.change(|world| {
                let all = &mut world.images;
                all.retain(|other| !other.name.as_deref().unwrap_or_default().starts_with("guest"));
                all.push(image(100 + piece, &format!("guest{piece}")));
            });
            tokio::time::advance(TTL).await;
        }
        let mut stayed: Vec<_> = taken.into_iter().filter(|name| !is_guest(name)).collect();
        stayed.sort_unstable();
        let mut all: Vec<_> = (1..=40)
            .map(|n| match view {
                "by-id" => id(n).to_string(),
                "by-name" => format!("n{n}"),
                _ => format!("n{n}.raw"),
            })
            .collect();
        all.sort_unstable();
        assert_eq!(stayed, all, "{view}");
        service.change(|world| world.images.retain(|other| !is_guest(other.name.as_deref().unwrap_or_default())));
        tokio::time::advance(TTL).await;
    }
}

fn is_guest(name: &str) -> bool {
    name.starts_with("guest")
        || name.parse().is_ok_and(|other: crate::image::ImageId| (100..200).any(|n| id(n) == other))
}

#[tokio::test]
async fn by_id_resolves_what_no_listing_shows() {
    let service = Fake::with([]);
    service.change(|world| world.hidden.push(image(7, "secret")));
    let fs = mounted(&service);
    assert_eq!(fs.cat(&format!("by-id/{}/data", id(7))).await.unwrap(), "hello");
    assert_eq!(fs.ls("by-id").await, [""; 0]);
    assert_eq!(errno(fs.walk(&format!("by-id/{}", id(8))).await), libc::ENOENT);
    assert_eq!(errno(fs.walk("by-id/no-uuid").await), libc::ENOENT);
    assert_eq!(service.calls("show"), 2, "what is no id is not asked for");
}

#[tokio::test(start_paused = true)]
async fn a_folder_that_was_listed_before_its_time_was_asked_for_has_another_time_once_it_lists_something_else() {
    for folder in ["by-name", "by-id", "files"] {
        let service = Fake::with([image(1, "one")]);
        let fs = mounted(&service);
        // So the kernel looks a folder up, and lists it without asking for its time again.
        let before = fs.walk(folder).await.unwrap().attr;
        assert_eq!(fs.lines_of(before.ino, true).await.len(), 1);
        service.change(|world| world.images.push(image(2, "two")));
        tokio::time::advance(TTL).await;
        let after = fs.getattr(before.ino).await.unwrap().attr;
        assert_ne!(after.mtime, before.mtime, "{folder}: by which the kernel knows that it lists something else");
        assert_eq!(fs.lines_of(before.ino, true).await.len(), 2, "{folder}");
    }
}

#[tokio::test(start_paused = true)]
async fn folders_of_an_image_that_is_again_what_it_was_have_another_time_for_as_long_as_the_kernel_knows_the_image() {
    let fs = mounted(&Fake::with([image(1, "one"), image(2, "two")]));
    fs.tell(|_| {}).unwrap();
    let (folder, other) = (fs.walk("by-name/one/tags").await.unwrap(), fs.walk("by-name/two/tags").await.unwrap());
    let mut tagged = image(1, "one");
    tagged.tags.push("new".into());
    let comes_and_goes = async || {
        fs.catalogue.learn(tagged.clone());
        let between = fs.getattr(folder.attr.ino).await.unwrap().attr;
        fs.catalogue.learn(image(1, "one"));
        (between, fs.getattr(folder.attr.ino).await.unwrap().attr)
    };
    let ((between, after), (later, last)) = (comes_and_goes().await, comes_and_goes().await);
    let mut times = [&folder.attr, &between, &after, &later, &last].map(|attr| attr.mtime).to_vec();
    times.sort_unstable();
    times.dedup();
    assert_eq!(times.len(), 5, "none of them comes back: {times:?}");
    assert_eq!(fs.getattr(other.attr.ino).await.unwrap().attr.mtime, other.attr.mtime);
    fs.forget(fs.walk("by-name/one").await.unwrap().attr.ino, 2);
    fs.forget(folder.attr.ino, 1);
    assert!(fs.node(folder.attr.ino).is_err() && fs.inodes.turned(id(1)).is_none());
}

#[tokio::test]
async fn data_without_bytes_is_an_empty_file_and_is_not_asked_for() {
    for status in [Status::Queued, Status::Saving, Status::Uploading, Status::Importing] {
        let mut queued = image(1, "q");
        queued.status = status;
        let service = Fake::with([queued]);
        let fs = mounted(&service);
        assert_eq!(fs.walk("by-name/q/data").await.unwrap().attr.size, 0);
        assert_eq!(fs.cat("by-name/q/data").await.unwrap(), "");
        assert_eq!(service.calls("read"), 0);
    }
}

#[tokio::test]
async fn data_of_a_deactivated_image_is_refused_with_a_sentence() {
    let mut off = image(1, "off");
    off.status = Status::Deactivated;
    let fs = mounted(&Fake::with([off]));
    assert_eq!(errno(fs.cat("by-name/off/data").await), libc::EACCES);
    let ino = fs.walk("by-name/off/data").await.unwrap().attr.ino;
    let told = fs.getxattr(ino, OsStr::new("user.glancefs.error"), 0).await.unwrap();
    assert!(String::from_utf8(told).unwrap().contains("deactivated"));
}

#[tokio::test(start_paused = true)]
async fn an_image_deleted_or_replaced_under_an_open_file_is_stale() {
    let service = Fake::with([image(1, "a")]);
    let fs = mounted(&service);
    let ino = fs.walk("by-name/a/data").await.unwrap().attr.ino;
    let before = fs.open(ino, Asked::default()).await.unwrap();
    service.change(|world| world.images[0].checksums.md5 = Some("00".into()));
    tokio::time::advance(TTL).await;
    let after = fs.open(ino, Asked::default()).await.unwrap();
    assert!(!keeps(&after), "the kernel's pages are of the other bytes");
    assert_eq!(errno(fs.read(before.handle, 0, 5).await), libc::ESTALE);
    service.change(|world| world.images.clear());
    assert_eq!(errno(fs.read(after.handle, 0, 5).await), libc::ESTALE);
    tokio::time::advance(TTL).await;
    assert_eq!(errno(fs.getattr(ino).await), libc::ESTALE);
    assert_eq!(errno(fs.walk("by-name/a/data").await), libc::ENOENT);
}

#[tokio::test(start_paused = true)]
async fn while_the_service_is_away_names_and_attributes_go_on_answering() {
    let service = Fake::with([image(1, "a")]);
    let fs = mounted(&service);
    fs.walk("by-name/a/data").await.unwrap();
    service.change(|world| world.failing = Some(Kind::Unreachable));
    tokio::time::advance(TTL * 2).await;
    assert_eq!(fs.ls("by-name").await, ["a"]);
    assert_eq!(fs.cat("by-name/a/status").await.unwrap(), "active\n");
    assert_eq!(errno(fs.cat("by-name/a/data").await), libc::EHOSTUNREACH);
    service.change(|world| {
        world.failing = None;
        world.images.push(image(2, "b"));
    });
    // The refresh that runs behind an answer of the past ends at some time; then the next look shows it.
    while fs.ls("by-name").await.len() < 2 {
        tokio::task::yield_now().await;
        tokio::time::advance(TTL).await;
    }
}

#[tokio::test]
async fn a_look_up_that_fails_for_another_reason_than_the_name_is_told_at_its_folder() {
    let service = Fake::with([image(1, "a")]);
    let fs = mounted(&service);
    let folder = fs.walk("by-id").await.unwrap().attr.ino;
    let sentence = async || fs.getxattr(folder, OsStr::new("user.glancefs.error"), 0).await;
    assert_eq!(errno(fs.walk(&format!("by-id/{}", id(2))).await), libc::ENOENT);
    assert_eq!(errno(sentence().await), libc::ENODATA, "a name that does not exist is nothing to tell");
    service.change(|world| world.failing = Some(Kind::Unreachable));
    assert_eq!(errno(fs.walk(&format!("by-id/{}", id(3))).await), libc::EHOSTUNREACH);
    assert!(String::from_utf8(sentence().await.unwrap()).unwrap().contains("show"));
}

#[tokio::test]
async fn members_are_asked_for_where_an_image_is_shared_and_only_there() {
    let mut private = image(2, "private");
    private.visibility = Visibility::Private;
    let service = Fake::with([image(1, "shared"), private]);
    let member = Member { project: "p1".to_owned(), status: MemberStatus::Pending, updated_at: None };
    service.change(|world| world.members.push(member));
    let fs = mounted(&service);
    assert_eq!(fs.ls("by-name/private/members").await, [""; 0]);
    assert_eq!(service.calls("members"), 0);
    assert_eq!(fs.ls("by-name/shared/members").await, ["p1"]);
    assert_eq!(fs.cat("by-name/shared/members/p1").await.unwrap(), "pending\n");
    assert_eq!(errno(fs.walk("by-name/shared/members/p2").await), libc::ENOENT);
}

#[tokio::test]
async fn tags_and_properties_are_files() {
    let mut tagged = image(1, "a");
    tagged.tags = vec!["x/y".into()];
    tagged.properties.insert("os_distro".into(), "debian".into());
    let fs = mounted(&Fake::with([tagged]));
    assert_eq!(fs.ls("by-name/a/tags").await, ["x%2Fy"]);
    assert_eq!(fs.cat("by-name/a/tags/x%2Fy").await.unwrap(), "");
    assert_eq!(fs.cat("by-name/a/properties/os_distro").await.unwrap(), "debian\n");
    assert_eq!(fs.walk("by-name/a/properties/os_distro").await.unwrap().attr.size, 7);
}

#[tokio::test]
async fn extended_attributes_tell_each_attribute_and_no_foreign_ones() {
    let fs = mounted(&Fake::with([image(1, "a")]));
    let ino = fs.walk("by-name/a/data").await.unwrap().attr.ino;
    let get = async |name: &str| fs.getxattr(ino, OsStr::new(name), 0).await;
    assert_eq!(get("user.glance.disk_format").await.unwrap(), b"raw");
    assert_eq!(get("user.glance.size").await.unwrap(), b"5");
    assert_eq!(errno(get("user.glance.owner_of").await), libc::ENODATA);
    assert_eq!(errno(get("security.selinux").await), libc::EOPNOTSUPP);
    let names = fs.listxattr(ino).await.unwrap();
    assert!(names.contains(&"user.glance.checksum".into()) && !names.contains(&"user.glance.virtual_size".into()));
}

#[tokio::test]
async fn space_is_the_quota_or_a_large_constant() {
    let service = Fake::with([]);
    let fs = mounted(&service);
    assert_eq!(fs.statfs().await.unwrap().blocks, 1 << 48);
    let told = Usage { used: 8 << 20, limit: Some(20 << 20), images: 2, image_limit: Some(3) };
    let fs = mounted(&service);
    service.change(|world| world.usage = Some(told));
    let space = fs.statfs().await.unwrap();
    assert_eq!((space.blocks, space.free), (5120, 3072));
    assert_eq!((space.files, space.files_free), (3, 1));
}

#[tokio::test]
async fn a_number_that_was_forgotten_is_stale_and_a_long_name_is_too_long() {
    let fs = mounted(&Fake::with([]));
    assert_eq!(errno(fs.getattr(Ino(99)).await), libc::ESTALE);
    assert_eq!(errno(fs.lookup(Ino::ROOT, OsStr::new(&"x".repeat(256))).await), libc::ENAMETOOLONG);
    assert_eq!(errno(fs.lookup(Ino::ROOT, OsStr::new(".Trash")).await), libc::ENOENT);
}

#[tokio::test]
async fn an_active_image_without_a_size_is_an_error_and_not_an_empty_file() {
    let mut odd = image(1, "odd");
    odd.size = None;
    let fs = mounted(&Fake::with([odd]));
    assert_eq!(errno(fs.cat("by-name/odd/data").await), libc::EIO);
}

#[tokio::test]
async fn what_was_verified_once_stays_so_when_others_read_a_part() {
    let service = Fake::with([image(1, "a")]);
    let fs = mounted(&service);
    let ino = fs.walk("by-name/a/data").await.unwrap().attr.ino;
    let verified = async || {
        let told = fs.getxattr(ino, OsStr::new("user.glancefs.verified"), 0).await;
        told.map(|told| String::from_utf8(told).unwrap()).ok()
    };
    assert_eq!(verified().await, None, "nobody read it");
    assert!(!keeps(&fs.open(ino, Asked::default()).await.unwrap()), "a whole reading is to come through us");
    assert_eq!(fs.cat("by-name/a/data").await.unwrap(), "hello");
    assert_eq!(verified().await.as_deref(), Some("yes"));
    let opened = fs.open(ino, Asked::default()).await.unwrap();
    assert!(keeps(&opened), "what is verified need not be read again");
    fs.read(opened.handle, 0, 2).await.unwrap();
    fs.release(opened.handle);
    assert_eq!(verified().await.as_deref(), Some("yes"));
}

#[tokio::test]
async fn pages_are_kept_no_longer_than_it_is_remembered_which_bytes_were_proved() {
    let fs = mounted(&Fake::with([image(1, "a")]));
    let ino = fs.walk("by-name/a/data").await.unwrap().attr.ino;
    assert_eq!(fs.cat("by-name/a/data").await.unwrap(), "hello");
    fs.reads.forget(id(1));
    assert!(!keeps(&fs.open(ino, Asked::default()).await.unwrap()), "what comes again is to be compared again");
}

#[tokio::test]
async fn pages_of_an_image_without_a_hash_are_kept() {
    let mut unknown = image(1, "a");
    unknown.checksums = Checksums::default();
    let fs = mounted(&Fake::with([unknown]));
    let ino = fs.walk("by-name/a/data").await.unwrap().attr.ino;
    assert_eq!(fs.cat("by-name/a/data").await.unwrap(), "hello");
    assert!(keeps(&fs.open(ino, Asked::default()).await.unwrap()));
}

#[tokio::test]
async fn an_image_that_the_kernel_reads_from_a_sealed_file_is_verified() {
    let fs = mounted(&Fake::with([image(1, "a")]));
    fs.seal(tempfile::tempfile().unwrap());
    let ino = fs.walk("by-name/a/data").await.unwrap().attr.ino;
    let opened = fs.open(ino, Asked { passthrough: true, ..Asked::default() }).await.unwrap();
    fs.release(opened.handle);
    assert_eq!(fs.getxattr(ino, OsStr::new("user.glancefs.verified"), 0).await.unwrap(), b"yes");
}

#[tokio::test]
async fn bytes_that_are_not_what_the_hash_says_are_an_error_and_go_on_being_one() {
    let mut damaged = image(1, "a");
    damaged.checksums.md5 = Some("00000000000000000000000000000000".into());
    let fs = mounted(&Fake::with([damaged]));
    let ino = fs.walk("by-name/a/data").await.unwrap().attr.ino;
    let opened = fs.open(ino, Asked::default()).await.unwrap();
    for _ in 0..2 {
        assert_eq!(errno(fs.read(opened.handle, 0, 5).await), libc::EIO);
    }
    assert_eq!(fs.getxattr(ino, OsStr::new("user.glancefs.verified"), 0).await.unwrap(), b"no");
    assert!(!keeps(&fs.open(ino, Asked::default()).await.unwrap()), "the kernel drops the pages that it has of them");
}

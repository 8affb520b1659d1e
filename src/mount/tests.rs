//! The kernel side on real mounts, over a service in memory.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use tempfile::TempDir;
use tokio::time::timeout;

use super::point::{self, PointError};
use super::session::{self, Mounted, Options};
use super::unmount::{self, How, UnmountError};
use super::{life, mountinfo};
use crate::config::mount_settings::{Access, Limits, Ownership};
use crate::fs::testing::{Fake, id, image};
use crate::fs::{FileSystem, Owner, Settings};
use crate::read;
use crate::service::Kind;

/// Far longer than anything here takes; a test that waits this long has failed.
const LIMIT: Duration = Duration::from_secs(30);

/// A mount that leaves nothing behind when its test fails.
struct Place {
    mounted: Mounted,
    files: Arc<FileSystem>,
    point: PathBuf,
    _folder: TempDir,
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = self.mounted.unmount();
    }
}

impl Place {
    fn new(service: &Fake) -> Self {
        Self::with(service, Ownership { uid: 3, gid: 4, file_mask: 0, folder_mask: 0 })
    }

    fn with(service: &Fake, ownership: Ownership) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let point = point::prepare(folder.path()).unwrap();
        let owner = Owner { uid: ownership.uid, gid: ownership.gid };
        let settings = Settings {
            ttl: Duration::from_secs(5),
            read_only: true,
            write_back: false,
            owner,
            memory: 64 << 20,
            read: read::Settings::default(),
        };
        let files = FileSystem::new(Arc::new(service.clone()), None, settings, UNIX_EPOCH).unwrap();
        let access = Access::Owner;
        let options = Options {
            source: "my, cloud".into(),
            point: point.clone(),
            handed: None,
            access,
            exec: true,
            follow: true,
            limits: Limits::default(),
            read_only: true,
            ownership,
        };
        Self { mounted: session::start(Arc::clone(&files), &options).unwrap(), files, point, _folder: folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.point.join(name)
    }

    async fn ended(&mut self) {
        timeout(LIMIT, self.mounted.ended()).await.expect("the session ends");
    }
}

/// What may ask the mount runs beside the runtime, as a program of its own would.
async fn ask<T: Send + 'static>(question: impl FnOnce() -> T + Send + 'static) -> T {
    timeout(LIMIT, tokio::task::spawn_blocking(question)).await.expect("the mount answers").unwrap()
}

fn names(path: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_list_read_and_stat_what_the_service_shows() {
    let mut place = Place::new(&Fake::with([image(1, "debian")]));
    life::answers(&place.point).await.unwrap();
    let (root, data) = (place.point.clone(), place.path("by-name/debian/data"));
    ask(move || {
        assert_eq!(names(&root), ["by-id", "by-name", "files", "query"]);
        assert_eq!(names(&root.join("by-name")), ["debian"]);
        let about = data.metadata().unwrap();
        assert_eq!((about.len(), about.mode() & 0o7777, about.uid(), about.gid()), (5, 0o444, 3, 4));
        assert_eq!(fs::read(&data).unwrap(), b"hello");
        let mut part = [0; 3];
        File::open(&data).unwrap().read_exact_at(&mut part, 1).unwrap();
        assert_eq!(&part, b"ell");
        let by_id = root.join("by-id").join(id(1).as_str()).join("data");
        assert_eq!(by_id.metadata().unwrap().ino(), about.ino());
    })
    .await;
    place.mounted.unmount().unwrap();
    place.ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_listed_as_glancefs_with_its_source_and_read_only() {
    let place = Place::new(&Fake::default());
    let mount = mountinfo::at(&place.point).unwrap().unwrap();
    assert!(mount.is_ours(), "{}", mount.kind);
    assert_eq!(mount.source, "my, cloud");
    let target = place.path("by-name/new");
    let error = ask(move || fs::create_dir(target).unwrap_err()).await;
    assert_eq!(error.raw_os_error(), Some(libc::EROFS));
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_of_the_service_reach_the_program_as_errno() {
    let service = Fake::with([image(1, "debian")]);
    let place = Place::new(&service);
    service.change(|world| world.failing = Some(Kind::Unreachable));
    let (folder, missing) = (place.path("by-name"), place.path("nothing"));
    let refused = ask(move || fs::read_dir(folder).unwrap().next().unwrap().unwrap_err()).await;
    assert_eq!(refused.raw_os_error(), Some(libc::EHOSTUNREACH));
    assert_eq!(ask(move || fs::read_dir(missing).unwrap_err()).await.raw_os_error(), Some(libc::ENOENT));
    let long = place.path(&"x".repeat(256));
    assert_eq!(ask(move || long.metadata().unwrap_err()).await.raw_os_error(), Some(libc::ENAMETOOLONG));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_of_thousands_is_listed_whole() {
    let images = (1..=3000).map(|n| image(n, &format!("image-{n:04}")));
    let place = Place::new(&Fake::with(images));
    let folder = place.path("by-name");
    let listed = ask(move || names(&folder)).await;
    assert_eq!(listed, (1..=3000).map(|n| format!("image-{n:04}")).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn masks_take_mode_bits_away() {
    let ownership = Ownership { uid: 0, gid: 0, file_mask: 0o077, folder_mask: 0o007 };
    let place = Place::with(&Fake::with([image(1, "debian")]), ownership);
    let (folder, file) = (place.path("by-name/debian"), place.path("by-name/debian/data"));
    let modes = ask(move || (folder.metadata().unwrap().mode() & 0o777, file.metadata().unwrap().mode() & 0o777)).await;
    assert_eq!(modes, (0o550, 0o400));
}

#[tokio::test(flavor = "multi_thread")]
async fn unmounting_from_outside_ends_the_session() {
    let mut place = Place::new(&Fake::default());
    let point = place.point.clone();
    ask(move || unmount::unmount(&point, How::Plain).unwrap()).await;
    place.ended().await;
    assert_eq!(mountinfo::at(&place.point).unwrap(), None);
    place.ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_mount_is_not_unmounted_plainly_and_serves_open_files_after_a_lazy_end() {
    let mut place = Place::new(&Fake::with([image(1, "debian")]));
    let data = place.path("by-name/debian/data");
    let mut file = ask(move || File::open(data).unwrap()).await;
    let point = place.point.clone();
    let refused = ask(move || unmount::unmount(&point, How::Plain)).await;
    assert!(matches!(refused, Err(UnmountError::Busy(_))), "{refused:?}");

    place.mounted.unmount().unwrap();
    assert_eq!(mountinfo::at(&place.point).unwrap(), None);
    let content = ask(move || {
        let mut content = String::new();
        file.read_to_string(&mut content).unwrap();
        content
    })
    .await;
    assert_eq!(content, "hello");
    place.ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mount_that_took_the_place_meanwhile_is_left_alone() {
    let mut first = Place::new(&Fake::default());
    let point = first.point.clone();
    ask(move || unmount::unmount(&point, How::Plain).unwrap()).await;
    first.ended().await;

    let owner = Owner { uid: 0, gid: 0 };
    let settings = Settings {
        ttl: Duration::ZERO,
        read_only: true,
        write_back: false,
        owner,
        memory: 64 << 20,
        read: read::Settings::default(),
    };
    let files = FileSystem::new(Arc::new(Fake::default()), None, settings, UNIX_EPOCH).unwrap();
    let ownership = Ownership { uid: 0, gid: 0, file_mask: 0, folder_mask: 0 };
    let point = first.point.clone();
    let options = Options {
        source: "second".into(),
        point,
        handed: None,
        access: Access::Owner,
        exec: true,
        follow: true,
        limits: Limits::default(),
        read_only: true,
        ownership,
    };
    let mut second = session::start(files, &options).unwrap();
    first.mounted.unmount().unwrap();
    assert_eq!(mountinfo::at(&first.point).unwrap().unwrap().source, "second");
    second.unmount().unwrap();
    assert_eq!(mountinfo::at(&first.point).unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_is_mounted_already_is_busy() {
    let place = Place::new(&Fake::default());
    let point = place.point.clone();
    let refused = ask(move || point::prepare(&point)).await;
    assert!(matches!(refused, Err(PointError::Busy(..))), "{refused:?}");
}

/// Puts a file in the place of every image's bytes, as the blocks on disk do with a complete one.
fn seal(place: &Place, content: &[u8]) {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(content).unwrap();
    place.files.seal(file);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sealed_image_is_read_by_the_kernel_and_not_asked_for() {
    let service = Fake::with([image(1, "debian")]);
    let place = Place::new(&service);
    seal(&place, b"local");
    let data = place.path("by-name/debian/data");
    // Opened again while it is open, and after the last close.
    ask(move || {
        let (one, two) = (File::open(&data).unwrap(), File::open(&data).unwrap());
        let mut part = [0; 3];
        one.read_exact_at(&mut part, 1).unwrap();
        assert_eq!(&part, b"oca");
        drop(one);
        two.read_exact_at(&mut part, 2).unwrap();
        assert_eq!(&part, b"cal");
        drop(two);
        assert_eq!(fs::read(&data).unwrap(), b"local");
    })
    .await;
    assert_eq!(service.calls("read"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_is_sealed_while_it_is_open_is_handed_over_after_the_last_close() {
    let place = Place::new(&Fake::with([image(1, "debian")]));
    let data = place.path("by-name/debian/data");
    let path = data.clone();
    let before = ask(move || File::open(path).unwrap()).await;
    seal(&place, b"local");
    ask(move || {
        assert_eq!(fs::read(&data).unwrap(), b"hello", "beside one that is read through us");
        drop(before);
        // The kernel tells of a close when it has time; until then the file counts as open.
        while fs::read(&data).unwrap() != b"local" {
            std::thread::yield_now();
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deactivated_image_is_not_opened_although_it_is_sealed() {
    let mut off = image(1, "off");
    off.status = crate::image::Status::Deactivated;
    let place = Place::new(&Fake::with([off]));
    seal(&place, b"local");
    let data = place.path("by-name/off/data");
    assert_eq!(ask(move || File::open(data).unwrap_err()).await.raw_os_error(), Some(libc::EACCES));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_the_kernel_will_not_read_by_itself_is_read_through_us() {
    let place = Place::new(&Fake::with([image(1, "debian")]));
    // The kernel takes no folder for a file.
    let folder = File::open(place.point.parent().unwrap()).unwrap();
    place.files.seal(folder);
    let data = place.path("by-name/debian/data");
    ask(move || {
        for _ in 0..3 {
            assert_eq!(fs::read(&data).unwrap(), b"hello");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_page_of_an_image_that_proved_to_be_damaged_is_left() {
    let mut damaged = image(1, "debian");
    damaged.checksums.md5 = Some("00000000000000000000000000000000".into());
    // More than the kernel reads ahead at once, so that pages of the start are there before the end is compared.
    damaged.size = Some(16 << 20);
    let service = Fake::with([damaged]);
    let place = Place::new(&service);
    let data = place.path("by-name/debian/data");
    ask(move || {
        let (one, other) = (File::open(&data).unwrap(), File::open(&data).unwrap());
        let mut part = vec![0; 64 << 10];
        let mut at = 0;
        let error = loop {
            match one.read_at(&mut part, at) {
                Ok(count) => at += count as u64,
                Err(error) => break error,
            }
        };
        assert_eq!(error.raw_os_error(), Some(libc::EIO));
        // What is void is told beside the answer; from then on no handle reads what was read before.
        while other.read_at(&mut part, 0).is_ok() {
            std::thread::yield_now();
        }
        assert_eq!(one.read_at(&mut part, 0).unwrap_err().raw_os_error(), Some(libc::EIO));
    })
    .await;
}

/// A program that reads an image whose bytes never arrive, killed while it waits.
async fn killed_while_it_waits(reading: &str) {
    let service = Fake::with([image(1, "debian")]);
    service.change(|world| world.stalled = true);
    let place = Place::new(&service);
    let mut command = Command::new("dd");
    command.arg(format!("if={}", place.path("by-name/debian/data").display())).args(["of=/dev/null", reading]);
    let mut program = command.stderr(Stdio::null()).spawn().unwrap();
    while service.calls("read") == 0 {
        tokio::task::yield_now().await;
    }
    program.kill().unwrap();
    ask(move || program.wait().unwrap()).await;
    let files = Arc::clone(&place.files);
    ask(move || {
        while files.open_handles() > 0 {
            std::thread::yield_now();
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_is_killed_while_it_reads_ahead_leaves_no_open_file() {
    killed_while_it_waits("bs=1M").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_is_killed_while_it_reads_directly_ends_at_once_and_leaves_no_open_file() {
    killed_while_it_waits("iflag=direct").await;
}

//! A filesystem over a service in memory, and what programs do with it.

use std::ffi::OsStr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tokio::runtime::{Builder, Runtime};

use crate::fs::error::FsError;
use crate::fs::testing::{Fake, image};
use crate::fs::{Asked, Closing, Entry, FileSystem, Ino, Owner, Process, Result, Settings, Writing, errno};
use crate::image::{Image, Member, MemberStatus, Status};
use crate::plain::Plain;
use crate::read;

const WRITER: Process = Process(7);

/// The image, and who else there is.
pub(super) struct Scene {
    pub(super) service: Fake,
    pub(super) fs: Arc<FileSystem>,
}

/// The project that the filesystem asks for, which the service in memory knows it by.
pub(super) const OWN: &str = "own";

thread_local! {
    static RUNTIME: Option<Runtime> = Builder::new_current_thread().enable_time().build().ok();
}

/// Runs something to its end, and what it left behind in tasks too.
pub(super) fn run<T>(work: impl Future<Output = Option<T>>) -> Option<T> {
    let all = async {
        let outcome = work.await;
        for _ in 0..8 {
            tokio::task::yield_now().await;
        }
        outcome
    };
    RUNTIME.with(|runtime| runtime.as_ref()?.block_on(all))
}

impl Scene {
    /// The bits of `choice`: the image is queued, it is another project's, it is protected.
    pub(super) fn new(choice: u8) -> Option<Self> {
        let has = |bit: u8| choice & bit != 0;
        let image = Image {
            status: if has(1) { Status::Queued } else { Status::Active },
            owner: Some(if has(2) { "other".into() } else { OWN.into() }),
            protected: has(4),
            tags: vec!["t".into()],
            properties: [("p".into(), "1".into())].into_iter().collect(),
            ..image(1, "disk")
        };
        let service = Fake::with([image]);
        let member =
            |project: &str| Member { project: project.to_owned(), status: MemberStatus::Pending, updated_at: None };
        service.change(|world| world.members = vec![member("m"), member(OWN)]);
        let settings = Settings {
            ttl: Duration::from_secs(5),
            read_only: false,
            write_back: false,
            owner: Owner { uid: 1, gid: 2 },
            memory: 64 << 20,
            read: read::Settings::default(),
        };
        let fs = FileSystem::new(Arc::new(service.clone()), None, settings, SystemTime::UNIX_EPOCH).ok()?;
        Some(Self { service, fs })
    }

    /// The image as the service has it.
    pub(super) fn image(&self) -> Option<Image> {
        self.service.change(|world| world.images.first().cloned())
    }

    pub(super) fn members(&self) -> Vec<Member> {
        self.service.change(|world| world.members.clone())
    }

    pub(super) async fn walk(&self, path: &str) -> Result<Entry> {
        let mut entry = self.fs.getattr(Ino::ROOT).await?;
        for name in path.split('/') {
            entry = self.fs.lookup(entry.attr.ino, OsStr::new(name)).await?;
        }
        Ok(entry)
    }

    /// A shell's `>`: opens or makes the file, writes the pieces up to the first that is refused, closes.
    pub(super) async fn put(&self, folder: &str, name: &str, pieces: &[&[u8]]) -> Result<()> {
        let folder = self.walk(folder).await?.attr.ino;
        let opened = match self.fs.lookup(folder, OsStr::new(name)).await {
            Ok(entry) => {
                let writing = Some(Writing { process: WRITER, truncate: true });
                self.fs.open(entry.attr.ino, Asked { writing, ..Asked::default() }).await?
            }
            Err(_) => self.fs.create(folder, OsStr::new(name), Writing::of(WRITER)).await?.1,
        };
        let (mut at, mut outcome) = (0, Ok(()));
        for piece in pieces {
            outcome = self.fs.write(opened.handle, at, Bytes::copy_from_slice(piece)).await;
            at = at.saturating_add(u64::try_from(piece.len()).unwrap_or_default());
            if outcome.is_err() {
                break;
            }
        }
        let closed = self.fs.flush(opened.handle, || WRITER, async { Closing::Last }).await;
        self.fs.release(opened.handle);
        outcome.and(closed)
    }

    /// The names in a folder.
    pub(super) async fn listed(&self, folder: &str) -> Vec<String> {
        let mut names = Vec::new();
        let Ok(entry) = self.walk(folder).await else { return names };
        let Ok(listing) = self.fs.readdir(entry.attr.ino, 0).await else { return names };
        self.fs.lines(&listing, false, &mut |line| {
            names.push(line.name.to_owned());
            false
        });
        names
    }

    /// What failed is told with an errno and a sentence, each failure on a line of its own.
    pub(super) fn assert_told(&self, error: &FsError) {
        assert!(error.errno() != libc::EIO && errno::name_of(error.errno()) != "EIO", "{error:?}");
        super::assert_readable(&Plain(error).to_string());
        for line in self.fs.failures.lines().lines() {
            assert!(serde_json::from_str::<crate::fs::Failed>(line).is_ok(), "{line}");
        }
    }
}

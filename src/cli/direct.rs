//! The tree without a kernel: what `get`, `put`, `ls` and `cache warm` work on, where nothing can be mounted or need be. It is
//! the filesystem of a mount, asked as the kernel asks it.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use super::connect::{self, Connection, Target};
use super::output::{self, Code, Failure};
use super::writes::Writes;
use crate::config::folders::variable;
use crate::config::{Backend, OpenStackOptions, mount_settings};
use crate::fs::{self, Asked, Entry, FileKind, FileSystem, FsError, HandleId, Ino, Process, Writing};
use crate::image::{ImageId, Status};
use crate::mount::life::{self, End, EndSignals};
use crate::mount::point;
use crate::telemetry::{self, Detail, Sink, VARIABLE};
use crate::write::Uploads;
use crate::{name, read};

/// Bytes asked for at once: as many as the kernel asks for.
const PIECE: u32 = 1 << 20;

/// The folder of images by their names.
const BY_NAME: &str = "by-name";

/// That of images by their ids.
const BY_ID: &str = "by-id";

/// Folders of the root: a path that begins with one of them is one of the tree.
const FOLDERS: [&str; 5] = [BY_ID, BY_NAME, "files", "query", ".glancefs"];

/// Links that are followed on the way to a file, as many as Linux follows (`MAXSYMLINKS`).
const LINKS: u32 = 40;

/// Which service, and with what.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// What would be mounted, as for glancefs mount [default: what the `OS_*` variables tell]
    #[arg(short, long, value_name = "SOURCE", help_heading = "Cloud")]
    source: Option<String>,
    /// The service that shows the images
    #[arg(long, value_name = "SERVICE", value_enum, default_value_t, help_heading = "Cloud")]
    service: Backend,
    /// Memory for image data [default: 256MiB]
    #[arg(long, value_name = "SIZE", value_parser = mount_settings::memory)]
    memory: Option<u64>,
    /// Requests for image data under way at once, from 1 to 64 [default: 16]
    #[arg(long, value_name = "NUMBER", value_parser = mount_settings::parallel)]
    max_parallel: Option<usize>,
    /// Keep image data in this folder, which mounts may use at the same time [default: only in memory]
    #[arg(long, value_name = "DIR")]
    cache_dir: Option<PathBuf>,
    /// How much of it [default: 16GiB; with this option alone, in ~/.cache/glancefs]
    #[arg(long, value_name = "SIZE", value_parser = mount_settings::cache_size)]
    cache_size: Option<u64>,
    #[command(flatten)]
    cloud: OpenStackOptions,
}

/// The tree of a service.
pub(super) struct Direct {
    pub(super) files: Arc<FileSystem>,
    /// What is written, where something can be.
    pub(super) uploads: Option<Arc<Uploads>>,
}

/// Whether something is written, and where that is kept until the service has it.
pub(super) enum Access {
    Reading,
    Writing { state: Option<PathBuf> },
}

/// Logs in, does `work` on the tree, and leaves it tidy.
pub(super) fn run<T>(
    options: &Options,
    access: Access,
    work: impl AsyncFnOnce(&Direct, &mut EndSignals) -> Result<T, Failure>,
) -> Result<T, Failure> {
    // A service that closes its connection must not end this program either.
    output::survive_closed_pipe();
    if std::env::var_os(VARIABLE).is_some() {
        telemetry::start(Sink::Stderr, Detail::Problems);
    }
    let settings = options.settings()?;
    let target = connect::target(connect::source(options.source.as_deref())?, &options.cloud, options.service)?;
    // What is only read is not made.
    if let (Target::Folder(folder, _), Access::Reading) = (&target, &access)
        && !folder.is_dir()
    {
        return Err(Failure::new(Code::Usage, format!("there is no image folder {}", folder.display())));
    }
    let runtime = connect::runtime()?;
    let (outcome, came) = runtime.block_on(async {
        let mut signals = match EndSignals::unless_ignored() {
            Ok(signals) => signals,
            Err(error) => return (Err(Failure::new(Code::System, error)), None),
        };
        let outcome = Box::pin(connected(target, settings, access, &mut signals, work)).await;
        (outcome, signals.came())
    });
    runtime.shutdown_background();
    if let (Err(failure), Some(signal)) = (&outcome, came)
        && failure.code == Code::Interrupted as u8
    {
        output::problem(failure);
        life::end_by(signal);
    }
    outcome
}

async fn connected<T>(
    target: Target,
    settings: fs::Settings,
    access: Access,
    signals: &mut EndSignals,
    work: impl AsyncFnOnce(&Direct, &mut EndSignals) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let opening = Box::pin(connect::open(target, false));
    let connection = unless_interrupted(signals, opening).await?.map_err(unconnected)?;
    let outcome = Box::pin(on(&connection, settings, access, signals, work)).await;
    connection.close().await;
    outcome
}

async fn on<T>(
    connection: &Connection,
    settings: fs::Settings,
    access: Access,
    signals: &mut EndSignals,
    work: impl AsyncFnOnce(&Direct, &mut EndSignals) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let uploads = match access {
        Access::Reading => None,
        Access::Writing { state } => Writes::alone(state.as_deref())?.open_alone(connection).await?,
    };
    let settings = fs::Settings { read_only: uploads.is_none(), ..settings };
    let files = FileSystem::new(connection.service(), uploads.clone(), settings, SystemTime::now());
    let direct = Direct { files: files.map_err(Failure::with(Code::Usage))?, uploads };
    let outcome = work(&direct, signals).await;
    let end = if outcome.is_ok() { End::Unmounted } else { End::Overdue };
    life::keep(&direct.files, end, signals).await;
    outcome
}

/// Does `work` until a signal comes.
pub(super) async fn unless_interrupted<T>(
    signals: &mut EndSignals,
    work: impl Future<Output = T>,
) -> Result<T, Failure> {
    tokio::select! {
        done = work => Ok(done),
        () = signals.next() => Err(interrupted()),
    }
}

/// Nothing was to be mounted, so that the status is that of a service that fails.
fn unconnected(failure: Failure) -> Failure {
    Failure { code: Code::System as u8, ..failure }
}

fn interrupted() -> Failure {
    Failure::new(Code::Interrupted, "interrupted")
}

impl Options {
    /// The same with a cache on disk: the one that is named, or the usual one.
    pub(super) fn keeping(&self, folder: Option<&Path>) -> Self {
        let cache_dir = folder.map(Path::to_owned).or_else(|| self.cache_dir.clone());
        let cache_size = self.cache_size.or_else(|| cache_dir.is_none().then_some(mount_settings::CACHE_SIZE));
        Self { cache_dir, cache_size, ..self.clone() }
    }

    /// The folder of its cache, where one was named.
    pub(super) fn cache(&self) -> Option<&Path> {
        self.cache_dir.as_deref()
    }

    fn settings(&self) -> Result<fs::Settings, Failure> {
        let disk = mount_settings::disk_cache(self.cache_dir.as_deref(), self.cache_size, &variable, point::is_root())
            .map_err(Failure::with(Code::Usage))?;
        let disk = disk.map(|disk| read::Disk { folder: disk.folder, size: disk.size });
        let max_parallel = self.max_parallel.unwrap_or(mount_settings::MAX_PARALLEL);
        let (uid, gid) = point::user();
        Ok(fs::Settings {
            ttl: mount_settings::TTL,
            read_only: true,
            write_back: false,
            owner: fs::Owner { uid, gid },
            memory: self.memory.unwrap_or(mount_settings::MEMORY),
            read: read::Settings { max_parallel, disk, ..read::Settings::default() },
        })
    }
}

/// Where `text` leads: a path of the tree, the id of an image, or its name.
pub(super) fn path(text: &str) -> PathBuf {
    let mut parts = text.split('/').filter(|part| !part.is_empty());
    let first = parts.next().unwrap_or_default();
    if first == BY_ID
        && let Some(id) = parts.next().and_then(image_id)
    {
        return parts.fold(Path::new(BY_ID).join(id), |path, part| path.join(part));
    }
    if text.is_empty() || text == "/" || FOLDERS.contains(&first) {
        return PathBuf::from(text.trim_start_matches('/'));
    }
    if let Some(id) = image_id(text) {
        return Path::new(BY_ID).join(id);
    }
    // An entry of the folder is taken as it is; what could be none is a name to be made one.
    let entry = if name::decode(text).is_some() { text.to_owned() } else { name::encode(text) };
    Path::new(BY_NAME).join(entry)
}

/// A UUID as services spell them, whatever the case in which somebody wrote it.
fn image_id(text: &str) -> Option<String> {
    text.parse::<ImageId>().is_ok().then(|| text.to_ascii_lowercase())
}

impl Direct {
    /// What is at `path`; links are followed.
    pub(super) async fn walk(&self, path: &Path) -> Result<Entry, FsError> {
        let mut ways: Vec<Entry> = vec![self.files.getattr(Ino::ROOT).await?];
        let mut left: VecDeque<OsString> = components(path).collect();
        let mut links = 0;
        while let Some(name) = left.pop_front() {
            if name == ".." {
                if ways.len() > 1 {
                    ways.pop();
                }
                continue;
            }
            let folder = ways.last().map_or(Ino::ROOT, |entry| entry.attr.ino);
            let entry = self.files.lookup(folder, &name).await?;
            if entry.attr.kind == FileKind::Link && links < LINKS {
                links += 1;
                let target = self.files.readlink(entry.attr.ino)?;
                components(&target).rev().for_each(|name| left.push_front(name));
            } else {
                ways.push(entry);
            }
        }
        Ok(ways.pop().unwrap_or(self.files.getattr(Ino::ROOT).await?))
    }

    /// A file to read: the one at `path`, or the data of the image at `path`.
    pub(super) async fn file(&self, path: &Path) -> Result<Entry, Failure> {
        let found = match self.walk(path).await {
            Ok(found) => found,
            Err(error) => return Err(self.failed(path, &error).await),
        };
        let found = match found.attr.kind {
            FileKind::Directory => self.data_in(path, &found).await?,
            _ => found,
        };
        // An image without data is an empty file of the tree; who asks for its data alone is told.
        match self.status_of_data(path, &found).await? {
            Some(status) if !status.has_data() => {
                let sentence = format!("{}: it has no data yet: its status is {status}", path.display());
                Err(Failure::new(Code::Usage, sentence))
            }
            _ => Ok(found),
        }
    }

    /// What failed on `path`. Of a name that several images have, their entries are told.
    pub(super) async fn failed(&self, path: &Path, error: &FsError) -> Failure {
        let refused = failure(path, error);
        let FsError::NotFound { folder, name } = error else { return refused };
        // Where they cannot be asked for, it is as it was.
        let several = if folder == BY_NAME { self.files.namesakes(name).await.unwrap_or_default() } else { Vec::new() };
        match several.split_last() {
            Some((last, others)) if !others.is_empty() => Failure {
                sentence: format!(
                    "{}: several images are called '{name}': name one by its id, or as {} or {last}",
                    path.display(),
                    others.join(", "),
                ),
                ..refused
            },
            _ => refused,
        }
    }

    async fn data_in(&self, path: &Path, folder: &Entry) -> Result<Entry, Failure> {
        match self.files.lookup(folder.attr.ino, OsStr::new("data")).await {
            Err(FsError::NotFound { .. }) => {
                let sentence = format!("{}: it is a folder that has no data: name an image or a file", path.display());
                Err(Failure::new(Code::Usage, sentence))
            }
            found => found.map_err(|error| failure(path, &error)),
        }
    }

    /// The status of the image whose data a file is.
    pub(super) async fn status_of_data(&self, path: &Path, file: &Entry) -> Result<Option<Status>, Failure> {
        self.files.status_of_data(file.attr.ino).await.map_err(|error| failure(path, &error))
    }

    /// Opens a file for reading.
    pub(super) async fn open(&self, file: Ino) -> Result<Open<'_>, FsError> {
        let opened = self.files.open(file, Asked::default()).await?;
        Ok(Open { files: &self.files, handle: opened.handle, at: 0 })
    }

    /// A small file, whole.
    pub(super) async fn text(&self, file: Ino) -> Result<String, FsError> {
        let (mut open, mut text) = (self.open(file).await?, Vec::new());
        while let Some(piece) = open.next().await? {
            text.extend_from_slice(&piece);
        }
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

/// How this program opens a file for writing.
pub(super) fn writing() -> Writing {
    Writing { process: Process(std::process::id()), truncate: true }
}

/// An open file.
pub(super) struct Open<'a> {
    files: &'a Arc<FileSystem>,
    handle: HandleId,
    at: u64,
}

impl Open<'_> {
    /// The next bytes; `None` at the end. With the last ones, image data were compared with their hash.
    pub(super) async fn next(&mut self) -> Result<Option<bytes::Bytes>, FsError> {
        let piece = self.files.read(self.handle, self.at, PIECE).await?;
        self.at += u64::try_from(piece.len()).unwrap_or_default();
        Ok(Some(piece).filter(|piece| !piece.is_empty()))
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.files.release(self.handle);
    }
}

/// The names on the way.
fn components(path: &Path) -> impl DoubleEndedIterator<Item = OsString> {
    let name = |part: Component<'_>| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    };
    path.components().filter_map(name).collect::<Vec<_>>().into_iter()
}

/// What failed on `path`, with the status that tells whose affair it is.
pub(super) fn failure(path: &Path, error: &FsError) -> Failure {
    let code = match error.errno() {
        libc::EIO | libc::ETIMEDOUT | libc::EHOSTUNREACH | libc::ENOSPC | libc::ENOMEM => Code::System,
        _ => Code::Usage,
    };
    let path = if path.as_os_str().is_empty() { Path::new("/") } else { path };
    Failure::new(code, format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_named_by_its_name_its_id_or_a_path_of_the_tree() {
        let id = "0a0b0c0d-0000-4000-8000-000000000001";
        for (text, leads) in [
            ("debian", "by-name/debian"),
            ("a/b", "by-name/a%2Fb"),
            ("a%2Fb", "by-name/a%2Fb"),
            (id, &*format!("by-id/{id}")),
            (&*id.to_uppercase(), &*format!("by-id/{id}")),
            (&*format!("/by-id/{}/status", id.to_uppercase()), &*format!("by-id/{id}/status")),
            ("by-name/debian/status", "by-name/debian/status"),
            ("/query/status=active", "query/status=active"),
            ("", ""),
            ("/", ""),
        ] {
            assert_eq!(path(text), Path::new(leads), "{text}");
        }
    }

    #[test]
    fn a_failure_of_the_service_ends_with_another_status_than_a_wrong_name() {
        let wrong = FsError::NotFound { folder: "by-name".to_owned(), name: "x".to_owned() };
        let away = crate::service::ServiceError::new(crate::service::Kind::Unreachable, "list images");
        assert_eq!(failure(Path::new("x"), &wrong).code, Code::Usage as u8);
        assert_eq!(failure(Path::new("x"), &FsError::Service(away)).code, Code::System as u8);
    }
}

//! Mounting, and what is agreed with the kernel about it.

use std::mem::ManuallyDrop;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

use fuser::{Config, InitFlags, KernelConfig, MountOption, Session, SessionACL};
use tokio::sync::oneshot::{self, error::TryRecvError};

use super::adapter::Adapter;
use super::handed::Handed;
use super::kernel;
use super::unmount::{self, How, UnmountError};
use super::{mountinfo, notify};
use crate::config::mount_settings::{Access, Limits, Ownership};
use crate::fs::FileSystem;

/// Threads that take requests from the kernel. A second one gains 3 to 60 % while pages are filled, 30 % for one direct
/// reader and 60 % for two; a third gains nothing on two processors. What has to wait does not wait on them.
const THREADS: usize = 2;

/// Bytes in one request, of reads too. The kernel grants no more without a sysctl, and more gains nothing; with 128 KiB a
/// reader is half as fast where each request takes 5 ms.
const MAX_REQUEST: u32 = 1 << 20;

/// Requests of read-ahead that may wait at once. The kernel's own 12 starve parallel readers over a network: with them, a
/// window of 16 requests of 5 ms each has a third of its rate. From three quarters of the number on the kernel holds back,
/// and reads only what somebody waits for.
const MAX_BACKGROUND: u16 = 64;

/// Filesystems on top of each other when the kernel reads a local file in our place: ours and the local one, which
/// therefore is none that is itself on top of another (overlayfs). With 2 it could be, but then overlayfs could not use
/// this mount.
const STACK_DEPTH: u32 = 1;

/// The kernel's read-ahead in KiB, where we may set it: one full request, so that a reader always finds the next one
/// asked for. With the 128 KiB that it begins with, requests are as small, and filling pages is a third slower.
///
/// A longer one would bridge the time that the service takes, if nobody else did: at 5 ms a request, 4 MiB have three
/// times the rate. But that is the work of our own reader, which knows the service, whatever its latency is; over a way
/// of 20 ms, 4 MiB and 16 MiB are no faster than 1 MiB. And one page fault in a mapped file fetches as much as this
/// says, wherever it is: 1 MiB, or 3.3 MiB in place of 4.
const READ_AHEAD_KIB: &str = "1024";

/// How and where to mount.
#[derive(Clone, Debug)]
pub struct Options {
    /// What is mounted, as `findmnt` shows it. Without secrets.
    pub source: String,
    /// Where; as [`super::point::prepare`] answers it.
    pub point: PathBuf,
    /// The mount, where another program has made it.
    pub handed: Option<Handed>,
    /// Who may use it.
    pub access: Access,
    /// Whether nothing may be changed through it.
    pub read_only: bool,
    /// Whether programs may be run from it.
    pub exec: bool,
    /// Whether symbolic links in it are followed.
    pub follow: bool,
    /// How much the kernel may ask for.
    pub limits: Limits,
    /// Whose the files appear to be.
    pub ownership: Ownership,
}

/// Why the kernel did not mount.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// No `/dev/fuse`.
    #[error(
        "/dev/fuse does not exist: load the kernel's module (modprobe fuse), or give the container --device /dev/fuse"
    )]
    NoDevice,
    /// This user may not open it.
    #[error("/dev/fuse may not be opened by this user (chmod 666 /dev/fuse, or in a container --device /dev/fuse)")]
    Device,
    /// Only root can mount without the helper.
    #[error("only root can mount without fusermount3, and it cannot be run; it is in the package fuse3")]
    NoHelper,
    /// Others may not be let in.
    #[error("--allow-other and --allow-root need a line user_allow_other in /etc/fuse.conf, unless root mounts")]
    AllowOther,
    /// The system's own words.
    #[error("cannot mount at {0}: {1}")]
    Other(PathBuf, String),
}

/// A mount that is served until it ends. Dropping it neither unmounts nor stops serving.
#[derive(Debug)]
pub struct Mounted {
    point: PathBuf,
    /// The kernel's number for it, `MAJOR:MINOR`.
    device: Option<String>,
    /// `None` once it was heard.
    ended: Option<oneshot::Receiver<()>>,
}

/// Mounts `filesystem` and serves it on threads of its own, with the current tokio runtime for what has to wait.
pub fn start(filesystem: Arc<FileSystem>, options: &Options) -> Result<Mounted, MountError> {
    let (end, ended) = oneshot::channel();
    let files = Arc::downgrade(&filesystem);
    let adapter = Adapter::new(filesystem, options.ownership, options.limits, end);
    let refused = |error: io::Error| explain(&options.point, &error);
    let device = match &options.handed {
        Some(handed) => handed.device().map(Some),
        None => kernel::mount(options),
    };
    let session = match device.map_err(refused)? {
        Some(device) => greeted(adapter, device, options).inspect_err(|_| withdraw(&options.point)).map_err(refused)?,
        None => Session::new(adapter, &options.point, &configuration(options)).map_err(refused)?,
    };
    notify::attach(&files, &session).inspect_err(|_| withdraw(&options.point)).map_err(refused)?;
    // Never dropped, because fuser would unmount whatever is at this place by then; the adapter tells when it is over.
    let _serving = ManuallyDrop::new(session.spawn().inspect_err(|_| withdraw(&options.point)).map_err(refused)?);
    let device = mountinfo::at(&options.point).ok().flatten().map(|mount| mount.device);
    if let Some(device) = &device {
        widen_read_ahead(device);
    }
    Ok(Mounted { point: options.point.clone(), device, ended: Some(ended) })
}

/// The session on a mount that is there already.
fn greeted(adapter: Adapter, device: OwnedFd, options: &Options) -> io::Result<Session<Adapter>> {
    let configuration = configuration(options);
    Session::from_fd(adapter, device, configuration.acl, configuration)
}

/// Takes a mount that will not be served out of the tree again.
fn withdraw(point: &Path) {
    let made = mountinfo::at(point).ok().flatten().is_some_and(|mount| mount.is_ours());
    if made && let Err(error) = unmount::unmount(point, How::Lazy) {
        tracing::error!(%error, "a mount that failed stays in the tree");
    }
}

impl Mounted {
    /// Waits until the mount has ended, whoever ended it.
    pub async fn ended(&mut self) {
        // A sender that is dropped means the same: the threads that served the mount are gone.
        if let Some(ended) = &mut self.ended {
            let _ = ended.await;
            self.ended = None;
        }
    }

    /// The kernel's number for it, `MAJOR:MINOR`, where it is known.
    pub fn device(&self) -> Option<&str> {
        self.device.as_deref()
    }

    /// Takes the mount out of the tree. Files that are open are served until they are closed; [`Self::ended`] tells
    /// when the last one was.
    pub fn unmount(&mut self) -> Result<(), UnmountError> {
        if self.is_ours() { unmount::unmount(&self.point, How::Lazy) } else { Ok(()) }
    }

    /// Whether what is mounted at the point is still this mount and not what somebody else put there since. The kernel
    /// gives a device number again only after the session that had it is over.
    fn is_ours(&mut self) -> bool {
        let over = self.ended.as_mut().is_none_or(|ended| ended.try_recv() != Err(TryRecvError::Empty));
        if over {
            self.ended = None;
        }
        let now = mountinfo::at(&self.point).ok().flatten();
        !over && now.is_some_and(|now| self.device.as_ref() == Some(&now.device))
    }
}

fn configuration(options: &Options) -> Config {
    let mut configuration = Config::default();
    configuration.mount_options = mount_options(options);
    configuration.acl = match options.access {
        Access::Owner => SessionACL::Owner,
        Access::Root => SessionACL::RootAndOwner,
        Access::Everyone => SessionACL::All,
    };
    configuration.n_threads = Some(THREADS);
    configuration
}

/// For the helper.
fn mount_options(options: &Options) -> Vec<MountOption> {
    let mut chosen = vec![
        MountOption::FSName(source_name(&options.source)),
        // fuser's own Subtype reaches fusermount3 only; written out, the kernel hears it too.
        MountOption::CUSTOM("subtype=glancefs".to_owned()),
        if options.read_only { MountOption::RO } else { MountOption::RW },
        MountOption::NoDev,
        MountOption::NoSuid,
        MountOption::DefaultPermissions,
    ];
    if !options.exec {
        chosen.push(MountOption::NoExec);
    }
    if let Some(bytes) = options.limits.max_read {
        chosen.push(MountOption::CUSTOM(format!("max_read={bytes}")));
    }
    if !options.follow {
        tracing::debug!("fusermount3 has no word for nosymfollow: links are followed");
    }
    chosen
}

/// fusermount3 splits its options at commas.
fn source_name(source: &str) -> String {
    source.replace('\\', "\\\\").replace(',', "\\,")
}

/// Whether the kernel can read local files in our place (Linux 6.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Passthrough {
    /// It can, unless it refuses for want of privileges.
    Offered,
    /// It cannot.
    Unknown,
}

/// What is negotiated at the start. A kernel that cannot do something goes without.
pub(super) fn negotiate(kernel: &mut KernelConfig, limits: Limits) -> Passthrough {
    let wanted = [
        InitFlags::FUSE_DO_READDIRPLUS,
        InitFlags::FUSE_PARALLEL_DIROPS,
        // The kernel looks at the time of a folder before it goes by what it was told that the folder lists.
        InitFlags::FUSE_AUTO_INVAL_DATA,
        InitFlags::FUSE_ASYNC_DIO,
        InitFlags::FUSE_ATOMIC_O_TRUNC,
        // Without it a file that is read directly cannot be mapped shared.
        InitFlags::FUSE_DIRECT_IO_ALLOW_MMAP,
    ];
    for flag in wanted {
        if kernel.add_capabilities(flag).is_err() {
            tracing::debug!(?flag, "the kernel does not offer it");
        }
    }
    let passthrough =
        kernel.set_max_stack_depth(STACK_DEPTH).is_ok() && kernel.add_capabilities(InitFlags::FUSE_PASSTHROUGH).is_ok();
    let background = limits.max_background.unwrap_or(MAX_BACKGROUND);
    let granted = [
        kernel.set_max_write(MAX_REQUEST).is_ok(),
        kernel.set_max_background(background).is_ok(),
        kernel.set_congestion_threshold(congestion(background)).is_ok(),
    ];
    tracing::debug!(?granted, passthrough, "agreed with the kernel");
    if passthrough { Passthrough::Offered } else { Passthrough::Unknown }
}

/// Three quarters, as in the kernel's own numbers.
fn congestion(background: u16) -> u16 {
    background.saturating_sub(background / 4)
}

/// Root only; elsewhere the kernel's own value stays, and readers wait more often.
fn widen_read_ahead(device: &str) {
    if let Err(error) = fs::write(format!("/sys/class/bdi/{device}/read_ahead_kb"), READ_AHEAD_KIB) {
        tracing::debug!(%error, "the kernel's read-ahead stays as it is");
    }
}

fn explain(point: &Path, error: &io::Error) -> MountError {
    let words = error.to_string();
    let device = Path::new("/dev/fuse").exists();
    match error.kind() {
        io::ErrorKind::NotFound if device => MountError::NoHelper,
        io::ErrorKind::NotFound => MountError::NoDevice,
        _ if words.contains("user_allow_other") => MountError::AllowOther,
        io::ErrorKind::PermissionDenied => MountError::Device,
        _ => MountError::Other(point.to_owned(), words.trim().trim_start_matches("fusermount3: ").to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comma_in_the_source_does_not_end_its_name() {
        assert_eq!(source_name("a,b\\c"), "a\\,b\\\\c");
    }

    #[test]
    fn what_the_helper_says_is_told_without_its_name() {
        let error = io::Error::other("fusermount3: user has no write access to mountpoint /x\n");
        let sentence = explain(Path::new("/x"), &error).to_string();
        assert_eq!(sentence, "cannot mount at /x: user has no write access to mountpoint /x");
    }

    #[test]
    fn a_refusal_to_let_others_in_names_the_line_that_is_missing() {
        let words = "option allow_other only allowed if 'user_allow_other' is set in /etc/fuse.conf";
        let error = io::Error::new(io::ErrorKind::PermissionDenied, words);
        assert!(matches!(explain(Path::new("/x"), &error), MountError::AllowOther));
    }
}

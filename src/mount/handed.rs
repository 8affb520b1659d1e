//! A mount that another program has made and hands over as an open `/dev/fuse`: the mount point is `/dev/fd/N` then.
//! mount.fuse3 does so with `drop_privileges`, because the program that it starts may not mount any more.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::mountinfo::{self, Mount};
use super::unmount::{self, How, UnmountError};

/// The numbers of `/dev/fuse`, which are the same on every Linux.
const MAJOR: u32 = 10;
const MINOR: u32 = 229;

/// Why a descriptor cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum HandedError {
    /// Nothing is open under this number.
    #[error("the mount point {0} is not open: mount.fuse3 gives such a one with -o drop_privileges")]
    NotOpen(PathBuf),
    /// Something else than the kernel's end of a mount.
    #[error("the mount point {0} is not an open /dev/fuse")]
    NotADevice(PathBuf),
}

/// The kernel's end of a mount that is there already.
#[derive(Clone, Debug)]
pub struct Handed {
    device: Arc<OwnedFd>,
    path: PathBuf,
}

impl Handed {
    /// The descriptor that `path` names; `None` where it is a path like others. To be asked once, because what answers owns
    /// the descriptor from here on.
    pub fn find(path: &Path) -> Result<Option<Self>, HandedError> {
        let Some(number) = number(path) else { return Ok(None) };
        let about = fs::metadata(path).map_err(|_| HandedError::NotOpen(path.to_owned()))?;
        let kind = (about.file_type().is_char_device(), libc::major(about.rdev()), libc::minor(about.rdev()));
        if kind != (true, MAJOR, MINOR) {
            return Err(HandedError::NotADevice(path.to_owned()));
        }
        // SAFETY: it is open, came from outside, and nothing here knows its number but the path that is looked at once.
        let device = unsafe { OwnedFd::from_raw_fd(number) };
        // Programs that are started from here are not to hold the mount.
        // SAFETY: the call sets a flag of a descriptor that is open.
        unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) };
        Ok(Some(Self { device: Arc::new(device), path: path.to_owned() }))
    }

    /// Its number.
    pub fn number(&self) -> RawFd {
        self.device.as_raw_fd()
    }

    /// Where it is mounted, as far as the kernel says so (Linux 6.16); otherwise `/dev/fd/N`.
    pub fn point(&self) -> PathBuf {
        self.mount().map_or_else(|| self.path.clone(), |mount| mount.point)
    }

    /// The device, once more.
    pub(super) fn device(&self) -> io::Result<OwnedFd> {
        self.device.try_clone()
    }

    /// Takes the mount out of the tree, which nobody will serve. Who was started without privileges may not.
    pub fn withdraw(&self) -> Result<(), UnmountError> {
        let Some(mount) = self.mount() else { return Err(UnmountError::NotMounted(self.path.clone())) };
        unmount::unmount(&mount.point, How::Lazy)
    }

    fn mount(&self) -> Option<Mount> {
        let told = fs::read_to_string(format!("/proc/self/fdinfo/{}", self.number())).ok()?;
        let device = device_of(&told)?;
        mountinfo::all().ok()?.into_iter().rev().find(|mount| mount.device == device)
    }
}

/// N of `/dev/fd/N`.
fn number(path: &Path) -> Option<RawFd> {
    let digits = path.to_str()?.strip_prefix("/dev/fd/")?;
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten().filter(|number| *number > libc::STDERR_FILENO)
}

/// The device of the mount, `MAJOR:MINOR`, as what proc(5) tells of a descriptor names it: one number, in which the minor
/// one has 20 bits. The major one of what is on no disk is 0.
fn device_of(told: &str) -> Option<String> {
    let number = told.lines().find_map(|line| line.strip_prefix("fuse_connection:"))?.trim().parse::<u32>().ok()?;
    Some(format!("{}:{}", number >> 20, number & 0xf_ffff))
}

/// Whether a descriptor is a socket. mount.fuse3 with `auto_unmount` leaves one open: fusermount3 unmounts when it is closed.
pub(super) fn is_socket(descriptor: RawFd) -> bool {
    fs::metadata(format!("/proc/self/fd/{descriptor}")).is_ok_and(|about| about.file_type().is_socket())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_descriptor_is_a_number_behind_dev_fd_and_no_standard_stream() {
        assert_eq!(number(Path::new("/dev/fd/3")), Some(3));
        for path in ["/dev/fd/", "/dev/fd/x", "/dev/fd/-3", "/dev/fd/+3", "/dev/fd/3/x", "/mnt/3", "/dev/fd/2", "3"] {
            assert_eq!(number(Path::new(path)), None, "{path}");
        }
    }

    #[test]
    fn a_descriptor_that_is_not_of_a_mount_is_refused_by_name() {
        let file = tempfile::tempfile().unwrap();
        let path = format!("/dev/fd/{}", file.as_raw_fd());
        let sentence = Handed::find(Path::new(&path)).unwrap_err().to_string();
        assert_eq!(sentence, format!("the mount point {path} is not an open /dev/fuse"));
        let sentence = Handed::find(Path::new("/dev/fd/987654")).unwrap_err().to_string();
        assert!(sentence.contains("/dev/fd/987654 is not open"), "{sentence}");
        assert!(Handed::find(Path::new("/mnt")).unwrap().is_none());
    }

    #[test]
    fn the_kernels_number_of_a_mount_is_its_device() {
        assert_eq!(device_of("pos:\t0\nflags:\t0100002\nfuse_connection:\t41\n"), Some("0:41".to_owned()));
        assert_eq!(device_of("pos:\t0\nflags:\t0100002\n"), None);
    }
}

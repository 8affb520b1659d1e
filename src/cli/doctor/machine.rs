//! Checks of this machine.

use std::ffi::CString;
use std::fs::{self, OpenOptions};
use std::io;
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::Finding;
use crate::config::quantity::show_size;
use crate::mount::{mountinfo, point, unmount};
use crate::telemetry;

const FUSE_CONF: &str = "/etc/fuse.conf";

/// Below this much room a log, and everything else on that disk, is about to fail.
const LITTLE_ROOM: u64 = 64 << 20;

/// Checks what every mount needs from this machine.
pub(super) fn check(tell: &mut dyn FnMut(Finding)) {
    tell(device(OpenOptions::new().read(true).write(true).open("/dev/fuse").map(drop)));
    tell(helper(run_helper(), point::is_root()));
    tell(letting_others_in(fs::read_to_string(FUSE_CONF).ok().as_deref(), point::is_root()));
    tell(logs());
    for dead in dead_mounts() {
        tell(dead);
    }
}

fn device(opened: io::Result<()>) -> Finding {
    let subject = "device";
    match opened.map_err(|error| error.kind()) {
        Ok(()) => Finding::good(subject, "/dev/fuse can be opened"),
        Err(io::ErrorKind::NotFound) => Finding::bad(
            subject,
            "/dev/fuse does not exist",
            "load the kernel's module (modprobe fuse); in a container add --device /dev/fuse --cap-add SYS_ADMIN",
        ),
        Err(kind) => Finding::bad(
            subject,
            format!("/dev/fuse cannot be opened: {kind}"),
            "let this user open it (chmod 666 /dev/fuse); in a container add --device /dev/fuse --cap-add SYS_ADMIN",
        ),
    }
}

/// The first line of what the helper says about itself.
fn run_helper() -> io::Result<String> {
    let output = Command::new(unmount::helper()).arg("-V").stdin(Stdio::null()).output()?;
    Ok(String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default().to_owned())
}

fn helper(ran: io::Result<String>, root: bool) -> Finding {
    let subject = "fusermount3";
    let advice = "install the package fuse3 (apt install fuse3, dnf install fuse3)";
    match ran {
        Ok(version) => Finding::good(subject, version),
        Err(error) if root => {
            Finding::note(subject, format!("cannot be run ({error}); root mounts without it, others cannot"), advice)
        }
        Err(error) => Finding::bad(subject, format!("cannot be run: {error}"), advice),
    }
}

fn letting_others_in(conf: Option<&str>, root: bool) -> Finding {
    let subject = "fuse.conf";
    if conf.unwrap_or_default().lines().any(|line| line.trim() == "user_allow_other") {
        Finding::good(subject, "users may let others into their mounts (user_allow_other)")
    } else if root {
        Finding::good(subject, "only root may let others into mounts, and this is root")
    } else {
        let advice = format!("for --allow-other and --allow-root add the line user_allow_other to {FUSE_CONF}");
        Finding::note(subject, "users may not let others into their mounts", advice)
    }
}

/// Where the log of a mount in the background would be, and how much room there is.
fn logs() -> Finding {
    let subject = "log";
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let Some(file) = telemetry::default_file(Path::new("/mnt"), &variable, point::is_root()) else {
        return Finding::note(subject, "there is no home folder to keep a log in", "name one with --log-file");
    };
    let existing = file.ancestors().skip(1).find(|folder| folder.is_dir()).unwrap_or(Path::new("/"));
    let shown = file.parent().unwrap_or(existing).display();
    if !writable(existing) {
        let words = format!("{shown} cannot be written to, and a mount in the background keeps no log");
        return Finding::note(subject, words, "name another file with --log-file");
    }
    match room(existing) {
        Ok(free) if free >= LITTLE_ROOM => Finding::good(subject, format!("{shown}, {} free", round(free))),
        Ok(free) => {
            let words = format!("{shown} has only {} free", round(free));
            Finding::note(subject, words, "make room there, or name another file with --log-file")
        }
        Err(error) => Finding::note(subject, format!("{shown}: {error}"), "name another file with --log-file"),
    }
}

/// Bytes that this user may still write on the filesystem of `folder`.
fn room(folder: &Path) -> io::Result<u64> {
    let path = CString::new(folder.as_os_str().as_bytes())?;
    let mut told = MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: `path` ends in NUL and `told` has room for the answer; both outlive the call.
    if unsafe { libc::statvfs(path.as_ptr(), told.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call succeeded, so it has filled the answer in.
    let told = unsafe { told.assume_init() };
    Ok(told.f_bavail.saturating_mul(told.f_frsize))
}

/// Whether this user may make files in `folder`.
fn writable(folder: &Path) -> bool {
    let Ok(path) = CString::new(folder.as_os_str().as_bytes()) else { return false };
    // SAFETY: `path` ends in NUL and outlives the call.
    unsafe { libc::access(path.as_ptr(), libc::W_OK | libc::X_OK) == 0 }
}

/// In whole mebibytes, which is all that anybody wants to know of free room.
fn round(bytes: u64) -> String {
    show_size(bytes >> 20 << 20)
}

/// Mounts of ours whose program has died.
fn dead_mounts() -> Vec<Finding> {
    let ours = mountinfo::all().unwrap_or_default().into_iter().filter(mountinfo::Mount::is_ours);
    let finding = |mount: mountinfo::Mount| {
        let place = mount.point.display();
        let words = format!("the program behind {place} has died");
        Finding::note("mounts", words, format!("glancefs umount {place}, or mount there again"))
    };
    ours.filter(|mount| point::is_dead(&mount.point)).map(finding).collect()
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn a_missing_device_fails_and_says_how_to_get_it() {
        let found = device(Err(io::ErrorKind::NotFound.into()));
        assert_eq!(found.verdict, Verdict::Bad);
        assert!(found.advice.unwrap().contains("modprobe fuse"));
        assert_eq!(device(Ok(())).verdict, Verdict::Good);
        assert_eq!(device(Err(io::ErrorKind::PermissionDenied.into())).verdict, Verdict::Bad);
    }

    #[test]
    fn a_missing_helper_matters_to_all_but_root() {
        let missing = || Err(io::ErrorKind::NotFound.into());
        assert_eq!(helper(missing(), false).verdict, Verdict::Bad);
        assert_eq!(helper(missing(), true).verdict, Verdict::Note);
        assert_eq!(helper(Ok("fusermount3 version: 3.14.0".into()), false).verdict, Verdict::Good);
    }

    #[test]
    fn a_line_that_is_commented_out_lets_nobody_in() {
        assert_eq!(letting_others_in(Some("#user_allow_other\n"), false).verdict, Verdict::Note);
        assert_eq!(letting_others_in(Some("mount_max = 1\n user_allow_other \n"), false).verdict, Verdict::Good);
        assert_eq!(letting_others_in(None, false).verdict, Verdict::Note);
        assert_eq!(letting_others_in(None, true).verdict, Verdict::Good);
    }

    #[test]
    fn a_folder_that_is_not_there_cannot_be_written_to() {
        let folder = tempfile::tempdir().unwrap();
        assert!(writable(folder.path()) && !writable(Path::new("/nowhere")));
    }

    #[test]
    fn there_is_room_somewhere() {
        assert!(room(Path::new("/proc")).is_ok() && room(Path::new("/nowhere")).is_err());
    }
}

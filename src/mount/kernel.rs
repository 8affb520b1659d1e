//! mount(2) without a helper, for who may call it.
//!
//! fuser could do it too, but opens the mount point on the way. Where systemd mounts on demand (`x-systemd.automount`),
//! that would wait for the very mount that is being made.

use std::ffi::CString;
use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use super::point;
use super::session::Options;
use crate::config::mount_settings::Access;

/// Mounts, and answers the kernel's end; `None` where this user needs the helper.
pub(super) fn mount(options: &Options) -> io::Result<Option<OwnedFd>> {
    if !point::is_root() {
        return Ok(None);
    }
    let device = OwnedFd::from(OpenOptions::new().read(true).write(true).open("/dev/fuse")?);
    let source = CString::new(options.source.as_bytes())?;
    let target = CString::new(options.point.as_os_str().as_bytes())?;
    let data = CString::new(data(device.as_raw_fd(), options.access))?;
    let done = call(&source, &target, flags(options.exec, options.read_only), &data);
    match done.map_err(|error| (error.raw_os_error(), error)) {
        Ok(()) => Ok(Some(device)),
        // Root of a container may not mount by itself, but perhaps with the helper.
        Err((Some(libc::EPERM), _)) => Ok(None),
        Err((_, error)) => Err(error),
    }
}

fn call(source: &CString, target: &CString, flags: libc::c_ulong, data: &CString) -> io::Result<()> {
    // SAFETY: all four are strings that end in NUL and outlive the call.
    match unsafe { libc::mount(source.as_ptr(), target.as_ptr(), c"fuse".as_ptr(), flags, data.as_ptr().cast()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn flags(exec: bool, read_only: bool) -> libc::c_ulong {
    let chosen = [(!exec, libc::MS_NOEXEC), (read_only, libc::MS_RDONLY)];
    let always = libc::MS_NODEV | libc::MS_NOSUID;
    chosen.into_iter().filter(|(asked, _)| *asked).fold(always, |flags, (_, flag)| flags | flag)
}

/// The options that the kernel's FUSE itself reads. `rootmode` is that of a folder, in octal digits.
fn data(device: i32, access: Access) -> String {
    let (user, group) = point::user();
    // `allow_root` is unknown to the kernel: everybody is let in, and the session turns the others away.
    let others = if access == Access::Owner { "" } else { ",allow_other" };
    format!("fd={device},rootmode=40000,user_id={user},group_id={group},default_permissions,subtype=glancefs{others}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_are_let_in_only_when_asked() {
        assert!(!data(3, Access::Owner).contains("allow_other"));
        assert!(data(3, Access::Root).ends_with(",allow_other"));
        assert!(data(3, Access::Everyone).starts_with("fd=3,rootmode=40000,user_id="));
    }

    #[test]
    fn devices_and_set_user_id_bits_are_always_off() {
        for (exec, read_only) in [(true, true), (true, false), (false, true), (false, false)] {
            let (expected, chosen) = (libc::MS_NODEV | libc::MS_NOSUID, flags(exec, read_only));
            assert_eq!(chosen & expected, expected);
            assert_eq!((chosen & libc::MS_NOEXEC == 0, chosen & libc::MS_RDONLY != 0), (exec, read_only));
        }
    }
}

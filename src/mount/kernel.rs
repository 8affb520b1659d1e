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
use crate::config::mount_settings::{Access, Limits};

/// Mounts, and answers the kernel's end; `None` where this user needs the helper.
pub(super) fn mount(options: &Options) -> io::Result<Option<OwnedFd>> {
    if !point::is_root() {
        return Ok(None);
    }
    let device = OwnedFd::from(OpenOptions::new().read(true).write(true).open("/dev/fuse")?);
    let source = CString::new(options.source.as_bytes())?;
    let target = CString::new(options.point.as_os_str().as_bytes())?;
    let data = CString::new(data(device.as_raw_fd(), options.access, options.limits))?;
    let done = call(&source, &target, flags(options), &data);
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

fn flags(options: &Options) -> libc::c_ulong {
    let chosen = [
        (!options.exec, libc::MS_NOEXEC),
        (options.read_only, libc::MS_RDONLY),
        // A kernel that does not know it follows links (before Linux 5.10).
        (!options.follow, libc::MS_NOSYMFOLLOW),
    ];
    let always = libc::MS_NODEV | libc::MS_NOSUID;
    chosen.into_iter().filter(|(asked, _)| *asked).fold(always, |flags, (_, flag)| flags | flag)
}

/// The options that the kernel's FUSE itself reads. `rootmode` is that of a folder, in octal digits.
fn data(device: i32, access: Access, limits: Limits) -> String {
    let (user, group) = point::user();
    // `allow_root` is unknown to the kernel: everybody is let in, and the session turns the others away.
    let others = if access == Access::Owner { "" } else { ",allow_other" };
    let read = limits.max_read.map(|bytes| format!(",max_read={bytes}")).unwrap_or_default();
    let always = "default_permissions,subtype=glancefs";
    format!("fd={device},rootmode=40000,user_id={user},group_id={group},{always}{read}{others}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::mount_settings::Ownership;

    #[test]
    fn others_are_let_in_only_when_asked() {
        let data = |access| data(3, access, Limits::default());
        assert!(!data(Access::Owner).contains("allow_other"));
        assert!(data(Access::Root).ends_with(",allow_other"));
        assert!(data(Access::Everyone).starts_with("fd=3,rootmode=40000,user_id="));
    }

    #[test]
    fn the_kernel_is_told_of_a_limit_when_there_is_one() {
        let limits = Limits { max_read: Some(8192), max_background: None };
        assert!(data(3, Access::Owner, limits).ends_with(",max_read=8192"));
        assert!(!data(3, Access::Owner, Limits::default()).contains("max_read"));
    }

    #[test]
    fn devices_and_set_user_id_bits_are_always_off() {
        let options = |exec, read_only, follow| Options {
            source: String::new(),
            point: "/mnt".into(),
            handed: None,
            access: Access::Owner,
            read_only,
            exec,
            follow,
            limits: Limits::default(),
            ownership: Ownership { uid: 0, gid: 0, file_mask: 0, folder_mask: 0 },
        };
        for number in 0..8 {
            let (exec, read_only, follow) = (number & 1 != 0, number & 2 != 0, number & 4 != 0);
            let (always, chosen) = (libc::MS_NODEV | libc::MS_NOSUID, flags(&options(exec, read_only, follow)));
            assert_eq!(chosen & always, always);
            assert_eq!((chosen & libc::MS_NOEXEC == 0, chosen & libc::MS_RDONLY != 0), (exec, read_only));
            assert_eq!(chosen & libc::MS_NOSYMFOLLOW == 0, follow);
        }
    }
}

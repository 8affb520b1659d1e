//! Extended attributes of files in a mount, as a program beside it reads them.

use std::ffi::{CStr, CString, OsStr};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The last failure on a file: its sentence.
pub const ERROR: &CStr = c"user.glancefs.error";

/// The same with all that is known of it: a JSON object.
pub const FAILURE: &CStr = c"user.glancefs.failure";

/// The same of a folder for a name in it, which is not there; `None` where no attribute can be called so.
#[must_use]
pub fn failure_of(name: &OsStr) -> Option<CString> {
    // The kernel's limit is 255 bytes (XATTR_NAME_MAX of linux/limits.h).
    let attribute = format!("user.glancefs.failure.{}", name.to_string_lossy());
    CString::new(attribute).ok().filter(|attribute| attribute.as_bytes().len() <= 255)
}

/// What keeps the one who asks from changing a file, a sentence on each line.
pub const LIMITS: &CStr = c"user.glancefs.limits";

/// How long an attribute of ours may be, in bytes: the kernel's own limit (`XATTR_SIZE_MAX` of `linux/limits.h`).
const LONGEST: usize = 64 << 10;

/// The value of an attribute; `None` where the file has none of this name.
///
/// # Errors
/// Where the file cannot be looked at.
fn read(path: &Path, name: &CStr) -> io::Result<Option<Vec<u8>>> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut value = vec![0_u8; LONGEST];
    // SAFETY: both strings end in NUL and `value` has as much room as is told; all of them outlive the call.
    let length = unsafe { libc::getxattr(path.as_ptr(), name.as_ptr(), value.as_mut_ptr().cast(), value.len()) };
    match usize::try_from(length) {
        Ok(length) => {
            value.truncate(length);
            Ok(Some(value))
        }
        Err(_) => match io::Error::last_os_error() {
            error if matches!(error.raw_os_error(), Some(libc::ENODATA | libc::EOPNOTSUPP)) => Ok(None),
            error => Err(error),
        },
    }
}

/// The value of an attribute that is a text.
///
/// # Errors
/// Where the file cannot be looked at.
pub fn text(path: &Path, name: &CStr) -> io::Result<Option<String>> {
    Ok(read(path, name)?.and_then(|value| String::from_utf8(value).ok()))
}

//! Users and groups by name, as the system knows them (passwd, LDAP and what else nsswitch.conf has).

use std::ffi::CString;
use std::ptr;

use super::mount_settings::SettingError;

/// Parses `--uid`: a number, or the name of a user.
pub fn user(text: &str) -> Result<u32, SettingError> {
    text.parse().ok().or_else(|| user_named(text)).ok_or_else(|| SettingError::User(text.to_owned()))
}

/// Parses `--gid`: a number, or the name of a group.
pub fn group(text: &str) -> Result<u32, SettingError> {
    text.parse().ok().or_else(|| group_named(text)).ok_or_else(|| SettingError::Group(text.to_owned()))
}

/// Room for the texts of an entry: one line of passwd, or a group with some thousands of members.
const ROOM: usize = 1 << 18;

fn user_named(name: &str) -> Option<u32> {
    let name = CString::new(name).ok()?;
    let mut room = vec![0; ROOM];
    // SAFETY: a structure of numbers and pointers, for which zeros are values.
    let mut entry: libc::passwd = unsafe { std::mem::zeroed() };
    let mut found = ptr::null_mut();
    // SAFETY: a text that ends in NUL, and room whose size is told; all outlive the call and what is read of the entry.
    unsafe { libc::getpwnam_r(name.as_ptr(), &raw mut entry, room.as_mut_ptr(), room.len(), &raw mut found) };
    (!found.is_null()).then_some(entry.pw_uid)
}

fn group_named(name: &str) -> Option<u32> {
    let name = CString::new(name).ok()?;
    let mut room = vec![0; ROOM];
    // SAFETY: a structure of numbers and pointers, for which zeros are values.
    let mut entry: libc::group = unsafe { std::mem::zeroed() };
    let mut found = ptr::null_mut();
    // SAFETY: a text that ends in NUL, and room whose size is told; all outlive the call and what is read of the entry.
    unsafe { libc::getgrnam_r(name.as_ptr(), &raw mut entry, room.as_mut_ptr(), room.len(), &raw mut found) };
    (!found.is_null()).then_some(entry.gr_gid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_and_groups_have_numbers_and_names() {
        assert_eq!((user("0"), user("root"), user("12")), (Ok(0), Ok(0), Ok(12)));
        assert_eq!((group("0"), group("root"), group("34")), (Ok(0), Ok(0), Ok(34)));
        for wrong in ["", "-1", "nobody of that name", "4294967296", "a\0b"] {
            assert_eq!(user(wrong), Err(SettingError::User(wrong.to_owned())));
            assert_eq!(group(wrong), Err(SettingError::Group(wrong.to_owned())));
        }
    }
}

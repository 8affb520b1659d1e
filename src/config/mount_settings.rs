//! How to mount, validated. Every default says why it has its value.

use std::time::Duration;

use super::quantity;

/// How old what the kernel and we know about images may be. Longer hides what others do, shorter asks the service more;
/// 5 s is what people wait for anyway when they look a second time.
pub const TTL: Duration = Duration::from_secs(5);

/// Memory for image data in flight and cached. Ten readers of different images fit with a window of 16 MiB each, and
/// a small virtual machine still has room for its work.
pub const MEMORY: u64 = 256 << 20;

/// The least memory that is accepted: two readers with one block and its successor each.
pub const LEAST_MEMORY: u64 = 32 << 20;

/// Who may use the mount.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// The user who mounts. The kernel's own rule, because a mount can make others wait.
    #[default]
    Owner,
    /// That user and root.
    Root,
    /// Everybody, as far as the mode bits allow.
    Everyone,
}

/// Whose the files appear to be, and with which modes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ownership {
    /// The user. By default the one who mounts.
    pub uid: u32,
    /// The group. By default the one of the user who mounts.
    pub gid: u32,
    /// Mode bits that are taken away from files. None by default: the modes tell what is possible.
    pub file_mask: u16,
    /// Mode bits that are taken away from folders. None by default.
    pub folder_mask: u16,
}

impl Ownership {
    /// The mode to show, out of the mode that the filesystem gives.
    pub fn mode(&self, folder: bool, mode: u16) -> u16 {
        mode & !if folder { self.folder_mask } else { self.file_mask }
    }
}

/// What is wrong with the settings of a mount.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingError {
    /// Too little memory to read with.
    #[error("--memory {} is too little: reading needs {} at least", quantity::show_size(*.0), quantity::show_size(LEAST_MEMORY))]
    Memory(u64),
    /// Not an octal mode mask.
    #[error("'{0}' is not a mask of mode bits in octal digits (such as 022 or 0077)")]
    Mask(String),
}

/// Parses `--memory`: bytes, at least [`LEAST_MEMORY`].
pub fn memory(text: &str) -> anyhow::Result<u64> {
    match quantity::size(text)? {
        enough @ LEAST_MEMORY.. => Ok(enough),
        little => Err(SettingError::Memory(little).into()),
    }
}

/// Parses a mask of mode bits in octal digits.
pub fn mask(text: &str) -> Result<u16, SettingError> {
    let parsed = u16::from_str_radix(text, 8).ok().filter(|mask| *mask <= 0o777);
    parsed.ok_or_else(|| SettingError::Mask(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_little_memory_is_refused_with_the_least_that_works() {
        assert_eq!(memory("256MiB").unwrap(), MEMORY);
        let sentence = memory("1MiB").unwrap_err().to_string();
        assert_eq!(sentence, "--memory 1MiB is too little: reading needs 32MiB at least");
    }

    #[test]
    fn a_mask_is_octal_and_takes_bits_away() {
        assert_eq!(mask("0077"), Ok(0o77));
        assert!(mask("8").is_err() && mask("7777").is_err() && mask("").is_err());
        let ownership = Ownership { uid: 0, gid: 0, file_mask: 0o77, folder_mask: 0o27 };
        assert_eq!((ownership.mode(false, 0o444), ownership.mode(true, 0o555)), (0o400, 0o550));
    }
}

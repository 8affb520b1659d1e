//! One action that somebody tries, with the tools that people use, and how it went.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::BYTES;
use crate::mounted::Mount;
use crate::support::Ran;
use crate::tools::{attribute, tool};

/// An action that somebody tries.
pub(super) struct Try<'a> {
    pub(super) mount: &'a Mount,
    pub(super) id: &'a str,
    /// Where, and the file that it is about.
    pub(super) folder: PathBuf,
    pub(super) file: PathBuf,
    pub(super) source: &'a Path,
    pub(super) url: &'a str,
    pub(super) image: &'a Value,
}

impl Try<'_> {
    pub(super) fn read_data(&self) -> io::Result<()> {
        let has_bytes = self.image["status"] == "active" || self.image["status"] == "deactivated";
        let wanted = if has_bytes { BYTES } else { b"" };
        fs::read(&self.file).map(|bytes| assert_eq!(bytes, wanted))
    }

    pub(super) fn read_document(&self) -> io::Result<()> {
        let document: Value = serde_json::from_slice(&fs::read(&self.file)?)?;
        assert_eq!((&document["id"], &document["status"]), (&self.image["id"], &self.image["status"]));
        Ok(())
    }

    /// Compares the extended attributes with what the service shows to the owner.
    pub(super) fn read_attributes(&self) -> io::Result<()> {
        let names =
            ["id", "name", "status", "owner", "visibility", "size", "checksum", "os_hash_value", "min_ram", "set"];
        let options = ["--absolute-names", "-d", "-m", "^user.glance"].map(AsRef::as_ref);
        let listed = tool("getfattr", options.into_iter().chain([self.file.as_os_str()]));
        told(&listed)?;
        for name in names {
            let wanted = match &self.image[name] {
                Value::Null => None,
                Value::String(text) => Some(text.clone()),
                other => Some(other.to_string()),
            };
            let line = wanted.map(|wanted| format!("user.glance.{name}=\"{wanted}\""));
            let found = listed.out.lines().find(|line| line.starts_with(&format!("user.glance.{name}=")));
            assert_eq!(found, line.as_deref(), "{}", listed.out);
        }
        Ok(())
    }

    /// As `echo text > file` does.
    pub(super) fn write(&self, text: &str) -> io::Result<()> {
        File::create(&self.file)?.write_all(text.as_bytes())
    }

    /// With `touch`, which sets the time of what it made.
    pub(super) fn touch(&self) -> io::Result<()> {
        told(&tool("touch", [&self.file]))
    }

    pub(super) fn remove(&self) -> io::Result<()> {
        fs::remove_file(&self.file)
    }

    pub(super) fn edit(&self, key: &str, value: Value) -> io::Result<()> {
        let mut document: Value = serde_json::from_slice(&fs::read(&self.file)?)?;
        document[key] = value;
        self.write(&document.to_string())
    }

    /// With `cp`, which looks at what close says.
    pub(super) fn write_data(&self) -> io::Result<()> {
        let outcome = told(&tool("cp", [self.source, &self.file]));
        if outcome.is_err() {
            // What was written and not taken is kept for its writer, who has no more use for it.
            let uploads = File::options().write(true).open(self.mount.path(".glancefs/uploads"));
            let _ = uploads.and_then(|mut file| file.write_all(format!("discard {}\n", self.id).as_bytes()));
        }
        outcome
    }

    pub(super) fn import(&self) -> io::Result<()> {
        self.write(&format!("{}\n", self.url))
    }

    pub(super) fn rmdir(&self) -> io::Result<()> {
        fs::remove_dir(&self.folder)
    }

    /// The sentence that tells why it was refused: on the file, or on the folder where one was to be made.
    pub(super) fn sentence(&self) -> String {
        let place = if self.file.symlink_metadata().is_ok() { &self.file } else { self.file.parent().unwrap() };
        attribute(place, "user.glancefs.error").unwrap_or_default()
    }
}

/// What the C locale says for an errno.
const WORDS: [(i32, &str); 5] = [
    (libc::EPERM, "Operation not permitted"),
    (libc::EACCES, "Permission denied"),
    (libc::EBUSY, "Device or resource busy"),
    (libc::ENOENT, "No such file or directory"),
    (libc::EIO, "Input/output error"),
];

/// What a tool says of how it went.
fn told(ran: &Ran) -> io::Result<()> {
    if ran.code == Some(0) {
        return Ok(());
    }
    let known = WORDS.into_iter().find(|(_, words)| ran.err.trim_end().ends_with(words));
    Err(known.map_or_else(|| io::Error::other(ran.err.clone()), |(errno, _)| io::Error::from_raw_os_error(errno)))
}

/// How it went, as the table has it.
pub(super) fn outcome_of(result: &io::Result<()>) -> String {
    let errno = match result {
        Ok(()) => return "ok".to_owned(),
        Err(error) => error.raw_os_error(),
    };
    let known = [
        (libc::EPERM, "EPERM"),
        (libc::EACCES, "EACCES"),
        (libc::EBUSY, "EBUSY"),
        (libc::EINVAL, "EINVAL"),
        (libc::ENOENT, "ENOENT"),
        (libc::EIO, "EIO"),
    ];
    let name = known.into_iter().find(|(number, _)| Some(*number) == errno);
    name.map_or_else(|| format!("{result:?}"), |(_, name)| name.to_owned())
}

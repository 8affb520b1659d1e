//! The record of an upload: `job.json` beside its bytes.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::OnceLock;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::expected::Expected;
use super::state::State;
use crate::image::{Image, ImageId, Text};

/// The form of the record. What has another one is moved aside, not guessed at.
const VERSION: u32 = 1;

/// The name of the file of records in the folder of an upload; the last one counts.
pub(super) const RECORD: &str = "job.json";

/// No file of records is as large as this, in bytes.
const LARGEST: u64 = 1 << 20;

/// Where there is more than this, in bytes, the file begins anew with the last record: each try writes some, and there may
/// be many.
const LONG: u64 = 64 << 10;

/// What is written down about an upload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Job {
    version: u32,
    /// The image's id.
    image: String,
    /// Its name, for people.
    pub(super) name: Option<String>,
    /// The formats that the image names, as far as is known.
    pub(super) container_format: Option<Text>,
    pub(super) disk_format: Option<Text>,
    /// The boot of the machine in which the bytes were written. What a killed process wrote is there as long as the
    /// machine runs, also without waiting for the disk.
    boot: String,
    /// Whether the bytes are on the disk, and are there after a power cut too.
    pub(super) durable: bool,
    /// Whoever wrote has closed, and what is there is sealed unless somebody writes it soon.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) resting: bool,
    /// The image was made for these bytes by a program that shows it to nobody without them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) foretold: bool,
    /// How old the bytes are, where somebody said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) time: Option<Timestamp>,
    /// The hashes that the bytes have to have, where somebody said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) expected: Option<Expected>,
    /// Where the upload is.
    #[serde(flatten)]
    pub(super) state: State,
}

impl Job {
    /// The record of an upload that begins now.
    pub(super) fn new(image: &Image) -> Self {
        Self {
            version: VERSION,
            image: image.id.to_string(),
            name: image.name.clone(),
            container_format: image.container_format.clone(),
            disk_format: image.disk_format.clone(),
            boot: boot().to_owned(),
            durable: false,
            resting: false,
            foretold: false,
            time: None,
            expected: None,
            state: State::Writing,
        }
    }

    /// The record of an upload to an image that is made for it, after this.
    pub(super) fn foretold(image: ImageId, name: &str) -> Self {
        Self {
            version: VERSION,
            image: image.to_string(),
            name: Some(name.to_owned()),
            container_format: None,
            disk_format: None,
            boot: boot().to_owned(),
            durable: false,
            resting: false,
            foretold: true,
            time: None,
            expected: None,
            state: State::Writing,
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Takes over what the service shows of the image.
    pub(super) fn learn(&mut self, image: &Image) {
        self.name.clone_from(&image.name);
        self.container_format.clone_from(&image.container_format);
        self.disk_format.clone_from(&image.disk_format);
    }

    /// Whether the machine went down before the bytes were on its disk.
    pub(super) fn is_lost(&self) -> bool {
        !self.durable && self.boot != boot()
    }

    /// Whether it was begun on this machine, and since that was started.
    pub(super) fn is_of_this_machine(&self) -> bool {
        self.boot == boot()
    }

    /// From now on the bytes are those of this boot.
    pub(super) fn is_of_this_boot(&mut self) {
        boot().clone_into(&mut self.boot);
    }

    /// The record in the folder of `image`.
    pub(super) fn read(folder: &Path, image: ImageId) -> io::Result<Self> {
        let path = folder.join(RECORD);
        if fs::metadata(&path)?.len() > LARGEST {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it is too large for a record"));
        }
        let job: Self = serde_json::from_value(last(&fs::read(path)?)?)?;
        match () {
            () if job.version != VERSION => Err(invalid("it is in a form that this version does not know")),
            () if job.image != image.as_str() => Err(invalid("it is the record of another image")),
            () => Ok(job),
        }
    }

    /// Writes the record into `folder`, behind those that are there. It survives a kill in any case, and where `durable` a
    /// power cut.
    ///
    /// A line is cheaper than a file in place of another one, which takes the disk a new inode each time; and one that was
    /// cut is none.
    pub(super) fn write(&self, folder: &Path, durable: bool) -> io::Result<()> {
        let path = folder.join(RECORD);
        let mut line = serde_json::to_vec(self)?;
        // What may have been cut before is a line of its own.
        line.insert(0, b'\n');
        line.push(b'\n');
        let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(&path)?;
        if file.metadata()?.len() > LONG {
            let new = folder.join("job.json.new");
            file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
            file.write_all(&line)?;
            file.sync_all()?;
            fs::rename(&new, &path)?;
        } else {
            file.write_all(&line)?;
        }
        if durable { file.sync_all().and_then(|()| sync_folder(folder)) } else { Ok(()) }
    }
}

/// The last record of those in `text`, a line each. What a full disk or a power cut has left of a line is none.
fn last(text: &[u8]) -> io::Result<Value> {
    let mut lines = text.rsplit(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok());
    lines.next().ok_or_else(|| invalid("there is no whole record in it"))
}

fn invalid(sentence: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, sentence)
}

/// Makes the names in `folder` durable.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// What tells this boot of the machine from every other one.
fn boot() -> &'static str {
    static BOOT: OnceLock<String> = OnceLock::new();
    BOOT.get_or_init(|| {
        let read = fs::read_to_string("/proc/sys/kernel/random/boot_id");
        // Without it no boot is the same as another, and only what is durable is believed.
        read.map_or_else(|_| format!("{:016x}", fastrand::u64(..)), |id| id.trim().to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::write::testing::queued;

    #[test]
    fn a_record_is_read_as_it_was_written_and_only_for_its_image() {
        let folder = tempfile::tempdir().unwrap();
        let image = queued(Some("disk"));
        let job = Job::new(&image);
        for durable in [false, true] {
            job.write(folder.path(), durable).unwrap();
            assert_eq!(Job::read(folder.path(), image.id).unwrap(), job);
        }
        assert!(Job::read(folder.path(), ImageId::random()).is_err());
    }

    #[test]
    fn the_last_whole_record_counts_whatever_was_cut_behind_it() {
        let folder = tempfile::tempdir().unwrap();
        let image = queued(Some("disk"));
        let first = Job::new(&image);
        let second = Job { durable: true, ..first.clone() };
        let path = folder.path().join(RECORD);
        first.write(folder.path(), false).unwrap();
        let one = fs::read(&path).unwrap().len();
        second.write(folder.path(), false).unwrap();
        let whole = fs::read(&path).unwrap();
        let end = whole.len();
        for cut in 0..=end {
            fs::write(&path, &whole[..cut]).unwrap();
            let read = Job::read(folder.path(), image.id);
            match cut {
                _ if cut < one - 1 => assert!(read.is_err(), "{cut}"),
                // The newline at the end says nothing.
                _ if cut < end - 1 => assert_eq!(read.unwrap(), first, "{cut}"),
                _ => assert_eq!(read.unwrap(), second, "{cut}"),
            }
            second.write(folder.path(), false).unwrap();
            assert_eq!(Job::read(folder.path(), image.id).unwrap(), second, "behind {cut}");
        }
    }

    #[test]
    fn many_records_begin_anew() {
        let folder = tempfile::tempdir().unwrap();
        let image = queued(Some("disk"));
        let job = Job::new(&image);
        for _ in 0..1000 {
            job.write(folder.path(), false).unwrap();
        }
        assert!(fs::metadata(folder.path().join(RECORD)).unwrap().len() < 2 * LONG);
        assert_eq!(Job::read(folder.path(), image.id).unwrap(), job);
        assert!(!folder.path().join("job.json.new").exists());
    }

    #[test]
    fn what_a_newer_version_wrote_is_not_guessed_at() {
        let folder = tempfile::tempdir().unwrap();
        let image = queued(None);
        let newer = Job { version: VERSION + 1, ..Job::new(&image) };
        newer.write(folder.path(), false).unwrap();
        assert!(Job::read(folder.path(), image.id).unwrap_err().to_string().contains("version"));
    }

    #[test]
    fn bytes_of_an_earlier_boot_count_only_where_they_were_durable() {
        let image = queued(None);
        let job = Job::new(&image);
        let earlier = Job { boot: "another".to_owned(), ..job.clone() };
        assert!(!job.is_lost());
        assert!(earlier.is_lost());
        assert!(!Job { durable: true, ..earlier }.is_lost());
    }
}

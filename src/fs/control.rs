//! `.glancefs/`: what the mount tells of itself, and what it can be told to do.
//!
//! The root does not list the folder, so that who copies or searches a mount does not meet it; it is always there to
//! open. A file in it is read as it was when it was opened. What is written to one are commands, each on a line: they are
//! carried out in the write that ends the line, where a shell's `echo` hears what came of it.

use std::time::Duration;

use bytes::Bytes;

use super::attr::{self, Entry, Rights};
use super::error::FsError;
use super::handle::Handle;
use super::inode::Ino;
use super::mode::Mode;
use super::node::{ControlFile, Node};
use super::open::{Asked, Opened};
use super::{FileSystem, Result, document};
use crate::image::ImageId;
use crate::sync::{Mutex, lock};
use crate::write::Line;

/// Why nothing is written to a file that only tells.
pub(super) const ONLY_READ: &str = "this file is only to be read";

/// No command is as long as this, in bytes.
const LONGEST: usize = 200;

/// A file of `.glancefs`, open for writing.
pub(super) struct ControlHandle {
    ino: Ino,
    file: ControlFile,
    /// What it held when it was opened.
    pub(super) text: Bytes,
    /// The line that is being written.
    begun: Mutex<Vec<u8>>,
}

impl ControlHandle {
    /// The lines that `bytes` end, without their newlines; what is behind them is kept.
    fn lines(&self, bytes: &[u8]) -> Result<Vec<String>> {
        let mut begun = lock(&self.begun);
        begun.extend_from_slice(bytes);
        let end = begun.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last.saturating_add(1));
        let rest = begun.split_off(end);
        let ended = std::mem::replace(&mut *begun, rest);
        if begun.len() > LONGEST {
            let line = std::mem::take(&mut *begun);
            return Err(FsError::NoCommand(document::shown(&String::from_utf8_lossy(&line))));
        }
        Ok(String::from_utf8_lossy(&ended).lines().map(str::to_owned).collect())
    }

    /// The line that nobody has ended.
    fn rest(&self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut *lock(&self.begun))).into_owned()
    }
}

/// What can be written to `.glancefs/uploads`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command {
    /// Try it again now.
    Retry(ImageId),
    /// Give it up, and remove its bytes.
    Discard(ImageId),
}

impl Command {
    pub(super) fn of(line: &str) -> Result<Self> {
        let mut words = line.split_ascii_whitespace();
        let command = match (words.next(), words.next().map(str::parse), words.next()) {
            (Some("retry"), Some(Ok(image)), None) => Some(Self::Retry(image)),
            (Some("discard"), Some(Ok(image)), None) => Some(Self::Discard(image)),
            _ => None,
        };
        command.ok_or_else(|| FsError::NoCommand(document::shown(line)))
    }
}

impl FileSystem {
    /// What is shown of the mount's own folders and files, which belong to no image.
    pub(super) fn own_entry(&self, ino: Ino, node: &Node) -> Entry {
        match node {
            Node::ControlFile(file) => {
                let size = u64::try_from(self.told(*file).len()).unwrap_or(u64::MAX);
                let rights = Rights { change: self.rights().change && *file == ControlFile::Uploads, ..self.rights() };
                let attr = attr::of_control_file(ino, node, size, rights, self.began);
                Entry { attr, ttl: Duration::ZERO }
            }
            Node::Link(_, image) => {
                let length = super::results::target(*image).as_os_str().len();
                let size = u64::try_from(length).unwrap_or(u64::MAX);
                let attr = attr::of_scratch(ino, node.kind(), size, self.began, self.rights());
                // It holds for as long as the answer does that it belongs to, which is not known here.
                Entry { attr, ttl: Duration::ZERO }
            }
            folder => {
                let attr = attr::of_folder(ino, folder, self.rights(), self.began);
                Entry { attr, ttl: self.settings.ttl }
            }
        }
    }

    /// What a file of `.glancefs` holds now.
    fn told(&self, file: ControlFile) -> String {
        match file {
            ControlFile::Errors => self.failures.lines(),
            ControlFile::Status => self.status_text(),
            ControlFile::Metrics => self.metrics(),
            ControlFile::Uploads => {
                let reports = self.uploads.as_ref().map(|uploads| uploads.list()).unwrap_or_default();
                reports.iter().map(|report| Line::from(report).to_text()).collect()
            }
        }
    }

    /// Opens a file of `.glancefs`.
    pub(super) fn open_control(&self, ino: Ino, file: ControlFile, asked: Asked) -> Result<Opened> {
        let text = Bytes::from(self.told(file));
        if asked.writing.is_none() {
            return Ok(self.opened_small(text));
        }
        if file != ControlFile::Uploads {
            return Err(FsError::NotPermitted(ONLY_READ));
        }
        self.writable()?;
        let handle = Handle::Control(ControlHandle { ino, file, text, begun: Mutex::default() });
        Ok(Opened { handle: self.handles.insert(handle), mode: Mode::Direct { keep: false } })
    }

    /// Carries out the lines that `bytes` end, wherever in the file they are written.
    pub(super) async fn command(&self, handle: &ControlHandle, bytes: &[u8]) -> Result<()> {
        let outcome = match handle.lines(bytes) {
            Ok(lines) => self.carry_out_all(handle.file, &lines).await,
            Err(error) => Err(error),
        };
        self.noted(handle.ino, &Node::ControlFile(handle.file), outcome)
    }

    /// Notes why space was not reserved in such a file.
    pub(super) fn unreservable(&self, handle: &ControlHandle) -> Result<()> {
        self.noted(handle.ino, &Node::ControlFile(handle.file), Err(FsError::Unreservable))
    }

    /// Carries out the last line, where no newline has ended it.
    pub(super) async fn command_end(&self, handle: &ControlHandle) -> Result<()> {
        let outcome = self.carry_out_all(handle.file, &[handle.rest()]).await;
        self.noted(handle.ino, &Node::ControlFile(handle.file), outcome)
    }

    /// One after another, up to the first that fails.
    async fn carry_out_all(&self, file: ControlFile, lines: &[String]) -> Result<()> {
        for line in lines.iter().filter(|line| !line.trim().is_empty()) {
            match file {
                ControlFile::Uploads => self.carry_out(Command::of(line)?).await?,
                ControlFile::Errors | ControlFile::Status | ControlFile::Metrics => {}
            }
        }
        Ok(())
    }

    async fn carry_out(&self, command: Command) -> Result<()> {
        let uploads = self.uploads.as_ref().ok_or(FsError::NoSpool)?;
        match command {
            Command::Retry(image) => uploads.retry(image).await?,
            Command::Discard(image) => uploads.discard(image).await?,
        }
        Ok(())
    }
}

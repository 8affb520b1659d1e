//! A program that writes an image, and keeps account of what it was told.

use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::os::fd::IntoRawFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::thread;

use crate::killer::Killer;
use crate::plan::{At, Writing};

/// How far a call came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    NotMade,
    /// It was made, and nobody knows what came of it.
    Made,
    /// It returned, and said that it is done.
    Acknowledged,
}

/// What a program did to an image.
#[derive(Clone, Debug)]
pub(crate) struct Story {
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) mkdir: Call,
    pub(crate) open: Call,
    /// It was made as long as it will be.
    pub(crate) truncated: Call,
    /// Writes that returned.
    pub(crate) written: Vec<Range<usize>>,
    /// One that did not.
    pub(crate) pending: Option<Range<usize>>,
    pub(crate) close: Call,
}

impl Story {
    pub(crate) fn new(name: String, bytes: Vec<u8>) -> Self {
        let [mkdir, open, truncated, close] = [Call::NotMade; 4];
        Self { name, bytes, mkdir, open, truncated, written: Vec::new(), pending: None, close }
    }

    /// Makes the image and writes it, until the daemon is killed or all is done. Fails where it is refused otherwise.
    pub(crate) fn play(&mut self, number: usize, writing: &Writing, by_name: &Path, killer: &Killer) {
        if let Err(error) = self.act(number, writing, by_name, killer)
            && !killer.has_fired()
        {
            panic!("{}: {error}, and nothing was killed yet; {:?}", self.name, self.summary());
        }
    }

    fn act(&mut self, number: usize, writing: &Writing, by_name: &Path, killer: &Killer) -> io::Result<()> {
        let folder = by_name.join(&self.name);
        call(&mut self.mkdir, || fs::create_dir(&folder))?;
        killer.writer_is(number, At::Made);
        let open = || File::options().write(true).truncate(true).open(folder.join("data"));
        let file = call(&mut self.open, open)?;
        if writing.backwards {
            call(&mut self.truncated, || file.set_len(writing.size as u64))?;
        }
        let offsets = writing.offsets();
        for (count, offset) in offsets.iter().copied().enumerate() {
            killer.writer_is(number, At::Wrote(count));
            if writing.sync_after == Some(count) {
                file.sync_all()?;
            }
            let range = offset..writing.size.min(offset + writing.piece);
            self.pending = Some(range.clone());
            file.write_all_at(&self.bytes[range.clone()], offset as u64)?;
            self.pending = None;
            self.written.push(range);
            thread::sleep(writing.pause);
        }
        killer.writer_is(number, At::Wrote(offsets.len()));
        if writing.sync_after == Some(offsets.len()) {
            file.sync_all()?;
        }
        killer.writer_is(number, At::Written);
        call(&mut self.close, || close(file))?;
        killer.writer_is(number, At::Closed);
        Ok(())
    }

    /// All but the bytes.
    pub(crate) fn summary(&self) -> String {
        let (made, open, close, size) = (self.mkdir, self.open, self.close, self.bytes.len());
        let count = self.written.len();
        format!("{} of {size} bytes: mkdir {made:?}, open {open:?}, {count} writes, close {close:?}", self.name)
    }

    /// Fails unless these bytes can be what is left of an unfinished file: each write that returned is there, one that did
    /// not may be there in part, and all else is zeros.
    pub(crate) fn assert_left(&self, found: &[u8], whose: &str) {
        let all = self.written.iter().chain(&self.pending);
        let (longest, name) = (all.map(|range| range.end).max().unwrap_or(0), &self.name);
        let most = if self.truncated == Call::NotMade { longest } else { self.bytes.len() };
        let least = self.written.iter().map(|range| range.end).max().unwrap_or(0);
        let least = if self.truncated == Call::Acknowledged { self.bytes.len() } else { least };
        let length = found.len();
        assert!((least..=most).contains(&length), "{whose} of {name} has {length} bytes: not {least} to {most}");
        let mut expected = vec![0; length];
        for range in &self.written {
            expected[range.clone()].copy_from_slice(&self.bytes[range.clone()]);
        }
        for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
            let is_pending = self.pending.as_ref().is_some_and(|range| range.contains(&at));
            let fits = *found == expected || (is_pending && *found == self.bytes[at]);
            assert!(fits, "{whose} of {name}: byte {at} is {found} and not {expected}");
        }
    }
}

fn call<T>(account: &mut Call, work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    *account = Call::Made;
    let done = work()?;
    *account = Call::Acknowledged;
    Ok(done)
}

/// Closes a file, and hears what comes of it.
pub(crate) fn close(file: File) -> io::Result<()> {
    // SAFETY: the descriptor was given up by its owner, so that it is closed here and only here.
    match unsafe { libc::close(file.into_raw_fd()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

//! The folder of uploads: what a killed daemon left in it, and how it changes while one lives.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{CreateFlags, Reader, WatchFlags, add_watch, init};
use serde_json::Value;

use crate::killer::Killer;

/// The folder of one service.
pub(crate) struct Folder(PathBuf);

/// An upload as its record has it.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) state: String,
    pub(crate) data: Vec<u8>,
}

impl Folder {
    /// The one folder below a state folder.
    pub(crate) fn find(state: &Path) -> Self {
        let entries: Vec<_> = fs::read_dir(state.join("uploads")).unwrap().map(|entry| entry.unwrap().path()).collect();
        let [folder] = entries.as_slice() else { panic!("{entries:?}") };
        Self(folder.clone())
    }

    /// The uploads in it, by image. Fails where one cannot be read.
    pub(crate) fn jobs(&self) -> BTreeMap<String, Job> {
        let read = |image: String| {
            let job = self.job(&image).unwrap_or_else(|why| panic!("the upload of {image}: {why}"));
            (image, job)
        };
        self.names("jobs").into_iter().map(read).collect()
    }

    fn job(&self, image: &str) -> io::Result<Job> {
        let folder = self.0.join("jobs").join(image);
        let records = fs::read_to_string(folder.join("job.json"))?;
        let record: Value = records.lines().rev().find_map(|line| serde_json::from_str(line).ok()).unwrap_or_default();
        let state = record["state"].as_str().unwrap_or_default().to_owned();
        Ok(Job { state, data: fs::read(folder.join("data"))? })
    }

    /// Whether a daemon has something to do with it. An upload may go away while it is looked at.
    pub(crate) fn is_under_way(&self) -> bool {
        let is_left = |image: &String| self.job(image).is_ok_and(|job| job.state == "writing");
        !self.names("jobs").iter().all(is_left)
    }

    /// The names in one of its folders.
    pub(crate) fn names(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.0.join(folder)).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    /// Whether no upload is in it or on its way in or out. What is kept for the next one is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.names("jobs").is_empty() && self.names("tmp").iter().all(|name| name.starts_with("spare-"))
    }

    /// Tells the killer of each change, until `over`.
    pub(crate) fn watch(&self, killer: &Killer, over: &AtomicBool) {
        let watch = init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).unwrap();
        let changes = WatchFlags::CREATE | WatchFlags::MOVED_FROM | WatchFlags::MOVED_TO;
        let jobs = add_watch(&watch, self.0.join("jobs"), changes).unwrap();
        add_watch(&watch, self.0.join("tmp"), changes | WatchFlags::DELETE).unwrap();
        let mut buffer = [std::mem::MaybeUninit::uninit(); 4096];
        let (mut count, mut removals) = (0, 0);
        while !over.load(Ordering::Acquire) {
            let wait = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
            let _ = poll(&mut [PollFd::new(&watch, PollFlags::IN)], Some(&wait));
            let mut reader = Reader::new(&watch, &mut buffer);
            while let Ok(event) = reader.next() {
                let is_upload = event.wd() == jobs;
                let is_removal = is_upload && event.events().contains(rustix::fs::inotify::ReadFlags::MOVED_FROM);
                if is_upload
                    && !is_removal
                    && let Some(name) = event.file_name()
                {
                    // It may be gone again.
                    let _ = add_watch(&watch, self.0.join("jobs").join(name.to_str().unwrap()), changes);
                }
                killer.folder_changed(count, is_removal.then_some(removals));
                count += 1;
                removals += usize::from(is_removal);
            }
        }
    }
}

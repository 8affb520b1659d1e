//! What has to hold after a kill, and when all is done.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::process::Command;
use std::thread;
use std::time::Instant;

use serde_json::Value;
use sha2::{Digest, Sha512};

use crate::folder::{Folder, Job};
use crate::round::{Histogram, LOOK, PATIENCE, Round};
use crate::support::Ran;
use crate::wire::Request;
use crate::writer::{Call, Story, close};

impl Round<'_> {
    /// Checks what a killed daemon left in its folder and in the service, and notes in which states the uploads are.
    pub(crate) fn check(&self, folder: &Folder, stories: &[Story], states: &mut Histogram) {
        let (images, jobs, rest) = (self.images(), folder.jobs(), folder.names("tmp"));
        assert_eq!(folder.names("aside"), [""; 0], "something was moved aside");
        for story in stories {
            let image = images.get(&story.name);
            assert!(image.is_some() || story.mkdir != Call::Acknowledged, "no image: {}", story.summary());
            let state = image.map_or("no image", |image| {
                let id = image["id"].as_str().unwrap();
                let state = state_of(image, jobs.get(id), rest.iter().any(|name| name.starts_with(id)));
                self.check_one(story, image, jobs.get(id), state);
                state
            });
            *states.entry(state.to_owned()).or_default() += 1;
        }
        let ids: Vec<_> = images.values().map(|image| image["id"].as_str().unwrap()).collect();
        assert!(jobs.keys().all(|id| ids.contains(&id.as_str())), "an upload of no image of ours");
        self.check_list(&jobs);
    }

    fn check_one(&self, story: &Story, image: &Value, job: Option<&Job>, state: &str) {
        let is_active = image["status"] == "active";
        if is_active {
            assert_ne!(story.close, Call::NotMade, "active before its end: {}", story.summary());
            assert_holds(image, story);
        }
        let has_waited = story.close == Call::Acknowledged && !self.plan.write_back && !story.bytes.is_empty();
        assert!(is_active || !has_waited, "close has returned, and it is {}: {}", image["status"], story.summary());
        let is_kept = is_active || job.is_some() || story.open != Call::Acknowledged;
        assert!(is_kept, "lost: {}", story.summary());
        let Some(job) = job else { return };
        if state == "writing" {
            let is_lost = story.close == Call::Acknowledged && !story.bytes.is_empty();
            assert!(!is_lost, "close has returned, and it is not sealed: {}", story.summary());
            story.assert_left(&job.data, "the spool");
        } else {
            assert_ne!(story.close, Call::NotMade, "{state} before its end: {}", story.summary());
            assert!(job.data == story.bytes, "{state} with other bytes: {}", story.summary());
        }
    }

    /// `glancefs uploads list` shows the uploads as they are in the folder.
    fn check_list(&self, jobs: &BTreeMap<String, Job>) {
        let ran = self.uploads();
        ran.succeeded();
        let lines = ran.out.lines().filter(|line| !line.starts_with(' '));
        let shown: Vec<_> = lines.map(|line| line.split_whitespace().take(2).collect::<Vec<_>>().join(" ")).collect();
        let expected: Vec<_> = jobs.iter().map(|(id, job)| format!("{id} {}", job.state)).collect();
        assert_eq!(shown, expected, "{}", ran.out);
    }

    fn uploads(&self) -> Ran {
        let state = self.state();
        self.place.run(["uploads".as_ref(), "list".as_ref(), "--state-dir".as_ref(), state.as_os_str()])
    }

    /// The images of the service, by name. No name is there twice.
    fn images(&self) -> BTreeMap<String, Value> {
        let request = Request::new(&self.server().url(), "GET", "/v2/images?limit=1000");
        let page = self.runtime.block_on(request.send()).is(200).json();
        let mut images = BTreeMap::new();
        for image in page["images"].as_array().unwrap() {
            let name = image["name"].as_str().unwrap().to_owned();
            let before = images.insert(name, image.clone());
            assert!(before.is_none(), "an image is there twice: {image} and {before:?}");
        }
        images
    }

    /// Lets the next daemon finish what the killed one began, and programs what it kept them from.
    pub(crate) fn finish(&self, folder: &Folder, stories: &[Story]) {
        let (jobs, before) = (folder.jobs(), self.images());
        let is_promised = |story: &Story| {
            let job = before.get(&story.name).and_then(|image| jobs.get(image["id"].as_str().unwrap()));
            story.close == Call::Acknowledged || job.is_some_and(|job| job.state != "writing")
        };
        let (promised, broken_off): (Vec<&Story>, Vec<&Story>) = stories.iter().partition(|story| is_promised(story));
        let daemon = self.mount(self.plan.write_back);
        self.wait_until_active(&promised);
        for story in &broken_off {
            if before.get(&story.name).is_none_or(|image| image["status"] != "active") {
                self.write_again(story);
            }
        }
        let all: Vec<_> = stories.iter().collect();
        self.wait_until_active(&all);
        let began = Instant::now();
        let unmount = || self.place.run(["umount".as_ref(), self.place.mount().as_os_str()]);
        // A program that is started at this moment has our open files until it runs.
        while unmount().code != Some(0) {
            assert!(began.elapsed() < PATIENCE, "{}{}", unmount().err, self.holders());
            thread::sleep(LOOK);
        }
        daemon.ended();
        for name in ["jobs", "tmp", "aside"] {
            assert_eq!(folder.names(name), [""; 0], "{name} is not empty when all is done");
        }
        assert_eq!(self.uploads().out, "");
        let images = self.images();
        for story in stories {
            assert_holds(&images[&story.name], story);
        }
        assert_eq!(images.len(), stories.len(), "images of nobody: {images:?}");
    }

    /// Who has files open in the mount.
    fn holders(&self) -> String {
        let ran = Command::new("fuser").arg("-vm").arg(self.place.mount()).output();
        ran.map_or_else(|why| why.to_string(), |ran| String::from_utf8_lossy(&ran.stderr).into_owned())
    }

    /// A program that was broken off is run again.
    fn write_again(&self, story: &Story) {
        let folder = self.place.mount().join("by-name").join(&story.name);
        let image = self.images().remove(&story.name);
        if let Some(image) = image {
            assert_eq!(image["status"], "queued", "sent before its end: {}", story.summary());
            story.assert_left(&fs::read(folder.join("data")).unwrap(), "data");
        } else {
            fs::create_dir(&folder).unwrap_or_else(|why| panic!("mkdir of {}: {why}", story.name));
        }
        let mut file = File::options().write(true).truncate(true).open(folder.join("data")).unwrap();
        file.write_all(&story.bytes).unwrap();
        close(file).unwrap_or_else(|why| panic!("the second close of {}: {why}", story.name));
    }

    fn wait_until_active(&self, stories: &[&Story]) {
        let began = Instant::now();
        loop {
            let images = self.images();
            let is_active = |story: &&&Story| images[&story.name]["status"] == "active";
            let Some(left) = stories.iter().find(|story| !is_active(story)) else { break };
            assert!(began.elapsed() < PATIENCE, "never active: {}; {}", left.summary(), images[&left.name]);
            thread::sleep(LOOK);
        }
    }
}

/// The state of an upload whose daemon was killed.
fn state_of<'a>(image: &Value, job: Option<&'a Job>, has_rest: bool) -> &'a str {
    match (job, image["status"] == "active", has_rest) {
        (Some(job), ..) => &job.state,
        (None, true, true) => "removing",
        (None, true, false) => "done",
        (None, false, true) => "making",
        (None, false, false) => "no spool",
    }
}

#[track_caller]
fn assert_holds(image: &Value, story: &Story) {
    assert_eq!(image["size"], story.bytes.len(), "{}", story.summary());
    let hash = Sha512::digest(&story.bytes);
    let shown = image["os_hash_value"].as_str().unwrap_or_default();
    let digits = shown.as_bytes().chunks(2).map(|two| u8::from_str_radix(str::from_utf8(two).unwrap(), 16));
    assert!(digits.eq(hash.iter().map(|byte| Ok(*byte))), "active with other bytes, {shown}: {}", story.summary());
}

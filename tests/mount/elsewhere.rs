//! What others make, rename, edit and delete behind the mount's back.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use std::{io, thread};

use serde_json::{Value, json};

use crate::editing::patch;
use crate::mounted::Mount;
use crate::person::Person;
use crate::target::Target;

crate::promises![Both:
    what_others_change_shows_as_they_left_it,
    who_has_gone_into_a_folder_sees_what_others_change,
    who_sits_in_a_folder_sees_images_come_and_go,
];

/// Nothing that is older than the look itself.
const NOW: [&str; 1] = ["--ttl=0s"];

/// Long enough for the kernel to be told of images, and to go by that.
const TTL: Duration = Duration::from_millis(300);
const TOLD: [&str; 1] = ["--ttl=300ms"];

/// How long who has gone into a folder may wait for what others changed: the TTL, the request, and a slow machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// An image as this test left it.
#[derive(Clone, Debug, PartialEq)]
struct Made {
    name: String,
    tags: Vec<String>,
    bytes: String,
}

/// Two folders of images.
struct Views {
    by_name: PathBuf,
    by_id: PathBuf,
}

impl Views {
    /// By their paths, whose way leads through the root of the mount.
    fn of(mount: &Mount) -> Self {
        Self { by_name: mount.path("by-name"), by_id: mount.path("by-id") }
    }

    /// As somebody sees them who has gone there before.
    fn from_within(folders: &[File; 2]) -> Self {
        let [by_name, by_id] = folders.each_ref().map(|open| format!("/proc/self/fd/{}", open.as_raw_fd()).into());
        Self { by_name, by_id }
    }

    /// What they show of images whose names have this mark: by their entries, and the ids that they have.
    fn show(&self, mark: &str) -> io::Result<BTreeMap<String, (String, Made)>> {
        let names = |folder: &Path| -> io::Result<Vec<String>> {
            fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name().into_string().unwrap())).collect()
        };
        let ids = names(&self.by_id)?;
        let mut shown = BTreeMap::new();
        for entry in names(&self.by_name)?.into_iter().filter(|name| name.contains(mark)) {
            let folder = self.by_name.join(&entry);
            let bytes = fs::read_to_string(folder.join("data"))?;
            let document: Value = serde_json::from_slice(&fs::read(folder.join("metadata.json"))?)?;
            let text = |key: &str| document[key].as_str().unwrap_or_default().to_owned();
            let mut tags = names(&folder.join("tags"))?;
            tags.sort();
            if document["tags"] != json!(tags) {
                return Err(io::Error::other(format!(
                    "{entry}: tags/ has {tags:?}, the document {}",
                    document["tags"]
                )));
            }
            if !ids.contains(&text("id")) || !self.by_id.join(text("id")).exists() {
                return Err(io::Error::other(format!("{entry} is not in by-id")));
            }
            shown.insert(entry, (text("id"), Made { name: text("name"), tags, bytes }));
        }
        Ok(shown)
    }

    /// Waits until they show what they are to show.
    fn come_to_show(&self, made: &BTreeMap<String, Made>, mark: &str) {
        let until = Instant::now() + PATIENCE;
        loop {
            let shown = self.show(mark);
            if shown.as_ref().is_ok_and(|shown| *shown == entries(made)) {
                return;
            }
            assert!(Instant::now() < until, "{shown:?} in place of {:?}", entries(made));
            thread::yield_now();
        }
    }
}

/// What the tree is to show of the images: names that one has, and those of several with the beginning of their ids.
fn entries(made: &BTreeMap<String, Made>) -> BTreeMap<String, (String, Made)> {
    let shared = |name: &str| made.values().filter(|image| image.name == name).count() > 1;
    let entry = |(id, image): (&String, &Made)| {
        let alone = !shared(&image.name);
        let entry = if alone { image.name.clone() } else { format!("{}~{}", image.name, id.get(..8).unwrap()) };
        (entry, (id.clone(), image.clone()))
    };
    made.iter().map(entry).collect()
}

fn compare(mount: &Mount, made: &BTreeMap<String, Made>, mark: &str) {
    assert_eq!(Views::of(mount).show(mark).unwrap(), entries(made));
}

/// How many changes are made: a real service, which is asked at each look, takes its time.
fn steps(target: &Target) -> usize {
    let mut steps = 5;
    target.if_embedded(|_| steps = 30);
    steps
}

/// Makes one change, drawn by lot.
fn change(target: &Target, person: &Person, made: &mut BTreeMap<String, Made>, random: &mut fastrand::Rng) {
    let name = target.name(["one", "two", "three"][random.usize(..3)]);
    let chosen = random.choice(made.keys().cloned().collect::<Vec<_>>());
    match (random.u8(..6), chosen) {
        (0..=1, _) | (_, None) => {
            let image = Made { name, tags: Vec::new(), bytes: random.u32(..).to_string() };
            let id = target.filled(person, &json!({"name": image.name}), image.bytes.as_bytes());
            made.insert(id, image);
        }
        (2, Some(id)) => {
            target.delete(person, &id);
            made.remove(&id);
        }
        (3, Some(id)) => {
            patch(target, person, &id, &json!([{"op": "replace", "path": "/name", "value": name}]));
            made.get_mut(&id).unwrap().name = name;
        }
        (_, Some(id)) => {
            let image = made.get_mut(&id).unwrap();
            image.tags = (0..random.usize(..4)).map(|n| format!("tag-{n}")).collect();
            patch(target, person, &id, &json!([{"op": "replace", "path": "/tags", "value": image.tags}]));
        }
    }
}

fn what_others_change_shows_as_they_left_it(target: &Target) {
    for (options, age) in [(NOW, Duration::ZERO), (TOLD, TTL)] {
        let (person, mount) = (target.person("demo"), target.mount_with("demo", &options));
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let (mut random, mut made) = (fastrand::Rng::with_seed(seed), BTreeMap::new());
        let mark = target.name("");
        for _ in 0..steps(target) {
            change(target, &person, &mut made, &mut random);
            // What is older than this is not shown any more.
            thread::sleep(age);
            compare(&mount, &made, &mark);
        }
        for id in made.keys() {
            target.delete(&person, id);
        }
        mount.end();
    }
}

fn who_has_gone_into_a_folder_sees_what_others_change(target: &Target) {
    let (person, mount) = (target.person("demo"), target.mount_with("demo", &TOLD));
    let within = Views::of(&mount);
    let folders = [&within.by_name, &within.by_id].map(|folder| File::open(folder).unwrap());
    let within = Views::from_within(&folders);
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let (mut random, mut made) = (fastrand::Rng::with_seed(seed), BTreeMap::new());
    let mark = target.name("");
    for _ in 0..steps(target) {
        change(target, &person, &mut made, &mut random);
        within.come_to_show(&made, &mark);
    }
    drop(folders);
    mount.end();
}

/// Looks at the folder, again and again, until `over`; answers how often that failed.
fn look(folder: &Path, over: &AtomicBool) -> Vec<std::io::Error> {
    let mut failures = Vec::new();
    while !over.load(Ordering::Relaxed) {
        let listed = fs::read_dir(folder).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        failures.extend(listed.err());
        failures.extend(fs::metadata(folder).err());
    }
    failures
}

fn who_sits_in_a_folder_sees_images_come_and_go(target: &Target) {
    let (person, mount) = (target.person("demo"), target.mount_with("demo", &TOLD));
    let kept = target.filled(&person, &json!({"name": target.name("kept")}), b"kept");
    let (folder, over) = (mount.path("by-name").join(target.name("kept")), AtomicBool::new(false));
    let open = fs::File::open(folder.join("data")).unwrap();
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    thread::scope(|scope| {
        let lookers = [mount.path("by-name"), mount.path("by-id"), folder].map(|folder| {
            let over = &over;
            scope.spawn(move || look(&folder, over))
        });
        let mut random = fastrand::Rng::with_seed(seed);
        let image = Made { name: target.name("kept"), tags: Vec::new(), bytes: "kept".to_owned() };
        let mut made = BTreeMap::new();
        for _ in 0..steps(target) {
            change(target, &person, &mut made, &mut random);
        }
        over.store(true, Ordering::Relaxed);
        for looker in lookers {
            let failures = looker.join().unwrap();
            assert!(failures.is_empty(), "{failures:?}");
        }
        made.insert(kept.clone(), image);
        thread::sleep(TTL);
        compare(&mount, &made, &target.name(""));
    });
    assert_eq!(std::io::read_to_string(open).unwrap(), "kept");
    target.delete(&person, &kept);
    thread::sleep(TTL);
    assert!(fs::metadata(mount.path("by-id").join(&kept)).is_err());
    mount.end();
}

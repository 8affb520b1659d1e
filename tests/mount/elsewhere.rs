//! What others make, rename, edit and delete behind the mount's back.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use std::{io, thread};

use serde_json::{Value, json};

use crate::editing::patch;
use crate::lot::seed;
use crate::mounted::Mount;
use crate::person::Person;
use crate::proxy::{Act, Step};
use crate::target::Target;
use crate::upload_faults::proxied;

crate::promises![Both:
    what_others_change_shows_as_they_left_it,
    who_has_gone_into_a_folder_sees_what_others_change,
    who_sits_in_a_folder_sees_images_come_and_go,
];

pub(crate) mod many {
    use super::what_others_change_among_many_images_shows_as_they_left_it;

    crate::promises![Embedded: what_others_change_among_many_images_shows_as_they_left_it];
}

/// Nothing that is older than the look itself.
const NOW: [&str; 1] = ["--ttl=0s"];

/// Long enough for the kernel to be told of images, and to go by that.
const TTL: Duration = Duration::from_millis(300);
const TOLD: [&str; 1] = ["--ttl=300ms"];

/// How long who has gone into a folder may wait for what others changed: the TTL, the request, and a slow machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// With 1,000 images the mount asks for what changed lately, and for all of them at times. These are beside those of a test.
const MANY: usize = 1001;

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

    /// Opens the data of each image with this mark, which asks the service whether the image is there. In a long listing no
    /// other look tells.
    fn open(&self, mark: &str) {
        for entry in fs::read_dir(&self.by_name).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if !name.contains(mark) {
                continue;
            }
            if let Err(error) = File::open(self.by_name.join(&name).join("data")) {
                assert_eq!(error.kind(), io::ErrorKind::NotFound, "{name}: {error}");
            }
        }
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

/// Images that somebody makes, changes and deletes as a seed says.
struct Others<'a> {
    target: &'a Target,
    person: Person,
    random: fastrand::Rng,
    /// What they left.
    made: BTreeMap<String, Made>,
    /// In the order of their making. The ids are the service's to choose, and other ones each time.
    order: Vec<String>,
}

impl<'a> Others<'a> {
    fn new(target: &'a Target) -> Self {
        let (person, random) = (target.person("demo"), fastrand::Rng::with_seed(seed()));
        Self { target, person, random, made: BTreeMap::new(), order: Vec::new() }
    }

    /// Makes one change.
    fn change(&mut self) {
        let Self { target, person, random, made, order } = self;
        let name = target.name(["one", "two", "three"][random.usize(..3)]);
        let chosen = random.choice(order.iter()).cloned();
        match (random.u8(..6), chosen) {
            (0..=1, _) | (_, None) => {
                println!("they make {name}");
                let image = Made { name, tags: Vec::new(), bytes: random.u32(..).to_string() };
                let id = target.filled(person, &json!({"name": image.name}), image.bytes.as_bytes());
                order.push(id.clone());
                made.insert(id, image);
            }
            (2, Some(id)) => {
                println!("they delete {id}");
                target.delete(person, &id);
                order.retain(|other| *other != id);
                made.remove(&id);
            }
            (3, Some(id)) => {
                println!("they call {id} {name}");
                patch(target, person, &id, &json!([{"op": "replace", "path": "/name", "value": name}]));
                made.get_mut(&id).unwrap().name = name;
            }
            (_, Some(id)) => {
                let image = made.get_mut(&id).unwrap();
                image.tags = (0..random.usize(..4)).map(|n| format!("tag-{n}")).collect();
                println!("they tag {id} with {:?}", image.tags);
                patch(target, person, &id, &json!([{"op": "replace", "path": "/tags", "value": image.tags}]));
            }
        }
    }

    /// Deletes all that is left.
    fn end(self) {
        for id in self.made.keys() {
            self.target.delete(&self.person, id);
        }
    }
}

fn what_others_change_shows_as_they_left_it(target: &Target) {
    for (options, age) in [(NOW, Duration::ZERO), (TOLD, TTL)] {
        let (mut others, mount) = (Others::new(target), target.mount_with("demo", &options));
        let mark = target.name("");
        for _ in 0..steps(target) {
            others.change();
            // What is older than this is not shown any more.
            thread::sleep(age);
            compare(&mount, &others.made, &mark);
        }
        others.end();
        mount.end();
    }
}

fn what_others_change_among_many_images_shows_as_they_left_it(target: &Target) {
    target.fill(MANY);
    let asked = Arc::new(AtomicUsize::new(0));
    let counts = Arc::clone(&asked);
    let (_proxy, clouds) = proxied(target, move |request, step| {
        let is_short = step == Step::Begun && request.path.contains("updated_at=");
        counts.fetch_add(usize::from(is_short), Ordering::Relaxed);
        Act::Pass
    });
    let (mut others, mount) = (Others::new(target), Mount::of(&clouds, "demo", &TOLD));
    let mark = target.name("");
    compare(&mount, &others.made, &mark);
    for step in 0..20 {
        others.change();
        thread::sleep(TTL);
        Views::of(&mount).open(&mark);
        compare(&mount, &others.made, &mark);
        assert!(asked.load(Ordering::Relaxed) > step, "it was asked for what changed");
    }
    others.end();
    mount.end();
}

fn who_has_gone_into_a_folder_sees_what_others_change(target: &Target) {
    let (mut others, mount) = (Others::new(target), target.mount_with("demo", &TOLD));
    let within = Views::of(&mount);
    let folders = [&within.by_name, &within.by_id].map(|folder| File::open(folder).unwrap());
    let within = Views::from_within(&folders);
    let mark = target.name("");
    for _ in 0..steps(target) {
        others.change();
        within.come_to_show(&others.made, &mark);
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
    let (mut others, mount) = (Others::new(target), target.mount_with("demo", &TOLD));
    let kept = target.filled(&others.person, &json!({"name": target.name("kept")}), b"kept");
    let (folder, over) = (mount.path("by-name").join(target.name("kept")), AtomicBool::new(false));
    let open = fs::File::open(folder.join("data")).unwrap();
    thread::scope(|scope| {
        let lookers = [mount.path("by-name"), mount.path("by-id"), folder].map(|folder| {
            let over = &over;
            scope.spawn(move || look(&folder, over))
        });
        for _ in 0..steps(target) {
            others.change();
        }
        over.store(true, Ordering::Relaxed);
        for looker in lookers {
            let failures = looker.join().unwrap();
            assert!(failures.is_empty(), "{failures:?}");
        }
        let image = Made { name: target.name("kept"), tags: Vec::new(), bytes: "kept".to_owned() };
        let made = others.made.iter().map(|(id, image)| (id.clone(), image.clone()));
        let made = made.chain([(kept.clone(), image)]).collect();
        thread::sleep(TTL);
        compare(&mount, &made, &target.name(""));
    });
    assert_eq!(std::io::read_to_string(open).unwrap(), "kept");
    target.delete(&others.person, &kept);
    thread::sleep(TTL);
    assert!(fs::metadata(mount.path("by-id").join(&kept)).is_err());
    mount.end();
}

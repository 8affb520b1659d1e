//! What others make, rename, edit and delete behind the mount's back.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::editing::patch;
use crate::mounted::Mount;
use crate::person::Person;
use crate::target::Target;

crate::promises![Both:
    what_others_change_shows_as_they_left_it,
    who_sits_in_a_folder_sees_images_come_and_go,
];

/// Nothing that is older than the look itself.
const NOW: [&str; 1] = ["--ttl=0s"];

/// An image as this test left it.
#[derive(Clone, Debug)]
struct Made {
    name: String,
    tags: Vec<String>,
    bytes: String,
}

/// What the tree is to show of the images: names that one has, and those of several with the beginning of their ids.
fn entries(made: &BTreeMap<String, Made>) -> BTreeMap<String, String> {
    let shared = |name: &str| made.values().filter(|image| image.name == name).count() > 1;
    let entry = |(id, image): (&String, &Made)| {
        let alone = !shared(&image.name);
        (if alone { image.name.clone() } else { format!("{}~{}", image.name, id.get(..8).unwrap()) }, id.clone())
    };
    made.iter().map(entry).collect()
}

fn compare(mount: &Mount, made: &BTreeMap<String, Made>, mark: &str) {
    let expected = entries(made);
    let names = |view: &str| -> Vec<String> {
        let listed = fs::read_dir(mount.path(view)).unwrap();
        listed.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    };
    let mut found: Vec<_> = names("by-name").into_iter().filter(|name| name.contains(mark)).collect();
    found.sort();
    assert_eq!(found, expected.keys().cloned().collect::<Vec<_>>());
    let ids = names("by-id");
    for (entry, id) in &expected {
        let (folder, image) = (mount.path("by-name").join(entry), &made[id]);
        assert!(ids.contains(id));
        assert_eq!(fs::read_to_string(folder.join("data")).unwrap(), image.bytes);
        let document: Value = serde_json::from_slice(&fs::read(folder.join("metadata.json")).unwrap()).unwrap();
        assert_eq!(
            (&document["id"], &document["name"], &document["tags"]),
            (&json!(id), &json!(image.name), &json!(image.tags))
        );
        let tags = fs::read_dir(folder.join("tags")).unwrap();
        let mut tags: Vec<_> = tags.map(|tag| tag.unwrap().file_name().into_string().unwrap()).collect();
        tags.sort();
        assert_eq!(tags, image.tags);
    }
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
    let (person, mount) = (target.person("demo"), target.mount_with("demo", &NOW));
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let (mut random, mut made) = (fastrand::Rng::with_seed(seed), BTreeMap::new());
    let mark = target.name("");
    for _ in 0..steps(target) {
        change(target, &person, &mut made, &mut random);
        compare(&mount, &made, &mark);
    }
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
    let (person, mount) = (target.person("demo"), target.mount_with("demo", &NOW));
    let kept = target.filled(&person, &json!({"name": target.name("kept")}), b"kept");
    let (folder, over) = (mount.path("by-name").join(target.name("kept")), AtomicBool::new(false));
    let open = fs::File::open(folder.join("data")).unwrap();
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    std::thread::scope(|scope| {
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
        compare(&mount, &made, &target.name(""));
    });
    assert_eq!(std::io::read_to_string(open).unwrap(), "kept");
    target.delete(&person, &kept);
    assert!(fs::metadata(mount.path("by-id").join(&kept)).is_err());
    mount.end();
}

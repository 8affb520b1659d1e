//! One tree, many ways through it: what is changed through one of them shows in all others at once.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use glancefs::image::ImageId;
use serde_json::json;

use crate::target::Target;
use crate::tools::printed;

crate::promises![Both:
    a_file_called_by_a_name_is_never_the_image_that_had_it_before,
    what_is_hidden_comes_back_in_both_folders_of_an_image,
    what_was_begun_and_refused_is_listed_nowhere,
    another_name_of_an_image_shows_wherever_it_was_given,
    what_is_made_elsewhere_shows_in_folders_that_were_only_listed_before,
];

/// So long that nothing is seen because it was asked for again.
const LONG: [&str; 1] = ["--ttl=1h"];

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn what_is_made_elsewhere_shows_in_folders_that_were_only_listed_before(target: &Target) {
    let demo = target.person("demo");
    // Listed while there is nothing of ours, each by a mount that was asked for nothing else.
    let mounts = ["by-name", "by-id", "files"].map(|folder| (folder, target.mount_with("demo", &["--ttl=1s"])));
    for (folder, mount) in &mounts {
        assert!(!names(&mount.path(folder)).iter().any(|name| name.contains(&target.name("elsewhere"))));
    }
    let id = target.filled(&demo, &json!({"name": target.name("elsewhere"), "disk_format": "raw"}), b"bytes");
    let until = Instant::now() + Duration::from_secs(30);
    for (folder, mount) in mounts {
        let shows =
            || names(&mount.path(folder)).iter().any(|name| name.contains(&target.name("elsewhere")) || *name == id);
        while !shows() {
            assert!(Instant::now() < until, "{folder} never shows it");
        }
        mount.end();
    }
}

fn a_file_called_by_a_name_is_never_the_image_that_had_it_before(target: &Target) {
    let demo = target.person("demo");
    for word in ["a", "c"] {
        let attributes = json!({"name": target.name(word), "disk_format": "raw", "container_format": "bare"});
        target.filled(&demo, &attributes, word.as_bytes());
    }
    let mount = target.mount_with("demo", &LONG);
    let (by_name, files) = (|word| mount.path("by-name").join(target.name(word)), mount.path("files"));
    let file = |word| files.join(target.name(word) + ".raw");
    assert_eq!(
        (fs::read(file("a")).unwrap(), names(&files).contains(&(target.name("a") + ".raw"))),
        (b"a".into(), true)
    );
    fs::rename(by_name("a"), by_name("b")).unwrap();
    fs::rename(by_name("c"), by_name("a")).unwrap();
    assert_eq!((fs::read(file("a")).unwrap(), fs::read(file("b")).unwrap()), (b"c".to_vec(), b"a".to_vec()));
    assert!(!file("c").exists());
    mount.end();
}

fn what_is_hidden_comes_back_in_both_folders_of_an_image(target: &Target) {
    let demo = target.person("demo");
    let id = target.filled(&demo, &json!({"name": target.name("hidden")}), b"bytes");
    let mount = target.mount_with("demo", &LONG);
    let folders = [mount.path("by-name").join(target.name("hidden")), mount.path("by-id").join(&id)];
    let [by_name, by_id] = &folders;
    fs::metadata(by_id).unwrap();
    fs::remove_file(by_name.join("data")).unwrap();
    assert!(!names(by_id).contains(&"data".to_owned()));
    let until = Instant::now() + Duration::from_secs(30);
    while !folders.iter().all(|folder| names(folder).contains(&"data".to_owned())) {
        assert!(Instant::now() < until, "it is removed for good: {:?}", folders.each_ref().map(|folder| names(folder)));
    }
    mount.end();
}

fn what_was_begun_and_refused_is_listed_nowhere(target: &Target) {
    let demo = target.person("demo");
    let id = target.filled(&demo, &json!({"name": target.name("begun"), "tags": ["one"]}), b"bytes");
    let mount = target.mount_with("demo", &LONG);
    let folders = [mount.path("by-name").join(target.name("begun")), mount.path("by-id").join(&id)];
    let [by_name, by_id] = folders.map(|folder| folder.join("tags"));
    fs::metadata(&by_id).unwrap();
    let mut begun = fs::File::create(by_name.join("begun")).unwrap();
    assert_eq!(names(&by_id), ["begun", "one"]);
    assert!(begun.write_all(b"a tag has no text\n").is_err());
    drop(begun);
    assert_eq!((names(&by_id), names(&by_name)), (vec!["one".to_owned()], vec!["one".to_owned()]));
    mount.end();
}

fn another_name_of_an_image_shows_wherever_it_was_given(target: &Target) {
    let demo = target.person("demo");
    let id = target.filled(&demo, &json!({"name": target.name("old")}), b"bytes");
    let mount = target.mount_with("demo", &LONG);
    let by_name = |word| mount.path("by-name").join(target.name(word));
    let alias = mount.path("by-name").join(format!("{}~{}", target.name("old"), id.get(..8).unwrap()));
    assert!(by_name("old").exists() && alias.exists());
    let document = by_name("old").join("metadata.json");
    printed("sed", ["-i".into(), format!("s/{}/{}/", target.name("old"), target.name("new")).into(), document]);
    assert!(!by_name("old").exists() && !alias.exists() && by_name("new").exists());
    let found = names(&mount.path("by-name")).into_iter().filter(|name| name.contains(&target.name("")));
    assert_eq!(found.collect::<Vec<_>>(), [target.name("new")]);
    // A second one of the name makes both of them ambiguous.
    let other = mount.path("by-id").join(ImageId::random().as_str());
    fs::create_dir(&other).unwrap();
    fs::write(other.join("metadata.json"), json!({"name": target.name("new")}).to_string()).unwrap();
    assert!(!by_name("new").exists());
    fs::remove_dir(&other).unwrap();
    assert_eq!(fs::read(by_name("new").join("data")).unwrap(), b"bytes");
    mount.end();
}

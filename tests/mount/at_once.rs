//! Properties that many programs set in the same moment.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::target::Target;
use crate::tools::shell;

crate::promises![Both:
    programs_that_set_properties_at_once_lose_none,
    two_mounts_that_set_properties_at_once_show_what_the_service_kept,
];

/// Twenty shells at once, each of which sets one property; fails where one of them does.
const TWENTY: &str = r#"running=; for n in $(seq 20); do (echo "$MARK-$n" > properties/$MARK$n) & running="$running $!"; done
for one in $running; do wait $one; done"#;

fn twenty(folder: &Path, mark: &str) {
    shell(folder, &format!("MARK={mark}; {TWENTY}"));
}

/// The properties that twenty shells are to set, and what the image has of them.
fn kept(image: &Value, mark: &str) -> usize {
    let set = (1..=20).filter_map(|n| image.get(format!("{mark}{n}")).map(|value| (n, value)));
    set.inspect(|(n, value)| assert_eq!(**value, json!(format!("{mark}-{n}")))).count()
}

fn programs_that_set_properties_at_once_lose_none(target: &Target) {
    let (person, mount) = (target.person("demo"), target.mount("demo"));
    let id = target.filled(&person, &json!({"name": target.name("at-once"), "before": "kept"}), b"bytes");
    twenty(&mount.path("by-id").join(&id), "a");
    let image = target.wait(person.show(&id));
    assert_eq!((kept(&image, "a"), &image["before"]), (20, &json!("kept")), "{image}");
    mount.end();
}

/// The service rewrites all properties of an image with each change, and knows no versions: what two of its clients change
/// in the same moment, one of them may undo. No client can see that in the answers. What can be promised is that no mount
/// shows what is not so, that nothing is half done, and that whoever writes it again has it.
fn two_mounts_that_set_properties_at_once_show_what_the_service_kept(target: &Target) {
    let person = target.person("demo");
    let mounts = [("a", target.mount_with("demo", &["--ttl=0s"])), ("b", target.mount_with("demo", &["--ttl=0s"]))];
    let id = target.filled(&person, &json!({"name": target.name("two-at-once"), "before": "kept"}), b"bytes");
    let folders = mounts.each_ref().map(|(mark, mount)| (*mark, mount.path("by-id").join(&id)));
    std::thread::scope(|scope| {
        for (mark, folder) in &folders {
            scope.spawn(move || twenty(folder, mark));
        }
    });
    let image = target.wait(person.show(&id));
    assert_eq!(image["before"], "kept", "what nobody wrote stays");
    for (mark, folder) in &folders {
        let shown: Value = serde_json::from_slice(&fs::read(folder.join("metadata.json")).unwrap()).unwrap();
        let listed = shell(folder, "ls properties").split_whitespace().count();
        let has = kept(&image, "a") + kept(&image, "b");
        assert_eq!((kept(&shown, "a") + kept(&shown, "b"), listed), (has, has + 1), "{mark}");
    }
    for (mark, folder) in &folders {
        twenty(folder, mark);
    }
    let image = target.wait(person.show(&id));
    assert_eq!((kept(&image, "a"), kept(&image, "b"), &image["before"]), (20, 20, &json!("kept")), "{image}");
    for (_, mount) in mounts {
        mount.end();
    }
}

//! Documents that are saved while others change the image too.

use std::path::Path;

use serde_json::{Value, json};

use crate::editing::patch;
use crate::person::Person;
use crate::support::Ran;
use crate::target::Target;
use crate::tools::{attribute, shell, tool_in};

crate::promises![Both:
    a_change_that_another_process_puts_in_place_can_be_taken_back_so,
    what_came_in_the_second_of_a_reading_is_not_removed_by_who_has_not_seen_it,
    a_line_that_is_taken_out_is_removed_or_refused_and_never_kept_in_silence,
    what_two_have_changed_is_refused_by_name,
    a_document_has_the_time_of_a_change_of_ours_that_was_answered_with_nothing,
];

fn sh(folder: &Path, line: &str) -> Ran {
    tool_in(folder, "sh", &["-euc", line])
}

fn shown(target: &Target, person: &Person, id: &str) -> Value {
    target.wait(person.show(id))
}

fn a_change_that_another_process_puts_in_place_can_be_taken_back_so(target: &Target) {
    let (person, mount) = (target.person("demo"), target.mount("demo"));
    let id = target.filled(&person, &json!({"name": target.name("back"), "r": "1"}), b"bytes");
    let script = "
import subprocess
text = open('metadata.json').read()
for r in '21':
    open('t', 'w').write(text.replace('\"r\": \"1\"', '\"r\": \"%s\"' % r))
    subprocess.run(['mv', 't', 'metadata.json'], check=True)
    assert open('properties/r').read() == r + '\\n', r
";
    let folder = mount.path("by-id").join(&id);
    tool_in(&folder, "python3", &["-c", script]).succeeded();
    assert_eq!(shown(target, &person, &id)["r"], "1");
    mount.end();
}

fn what_came_in_the_second_of_a_reading_is_not_removed_by_who_has_not_seen_it(target: &Target) {
    let person = target.person("demo");
    let mount = target.mount_with("demo", &["--ttl=0s"]);
    let id = target.filled(&person, &json!({"name": target.name("second")}), b"bytes");
    let folder = mount.path("by-id").join(&id);
    let out = target.file("saved.json");
    // Until the change comes in the same second as the one before.
    let text = loop {
        shell(&folder, "echo 1 > properties/before; rm -f properties/elsewhere");
        let text = std::fs::read_to_string(folder.join("metadata.json")).unwrap();
        patch(target, &person, &id, &json!([{"op": "add", "path": "/elsewhere", "value": "kept"}]));
        let time = shown(target, &person, &id)["updated_at"].as_str().unwrap().to_owned();
        if text.contains(&time) {
            break text;
        }
    };
    std::fs::write(&out, text.replace("\"min_ram\": 0", "\"min_ram\": 64")).unwrap();
    let again = std::fs::read_to_string(folder.join("metadata.json")).unwrap();
    assert!(again.contains("elsewhere"), "looked at once more, as editors do");
    let refused = std::fs::write(folder.join("metadata.json"), std::fs::read(&out).unwrap()).unwrap_err();
    assert_eq!(refused.raw_os_error(), Some(libc::EINVAL));
    mount.end();
    let mount = target.mount("demo");
    let folder = mount.path("by-id").join(&id);
    let copied = sh(&folder, &format!("cp {} metadata.json", out.display()));
    assert!(copied.code != Some(0) && copied.err.contains("Invalid argument"), "{copied:?}");
    let image = shown(target, &person, &id);
    assert_eq!((&image["elsewhere"], &image["min_ram"]), (&json!("kept"), &json!(0)));
    mount.end();
}

fn a_line_that_is_taken_out_is_removed_or_refused_and_never_kept_in_silence(target: &Target) {
    let (person, mount) = (target.person("demo"), target.mount("demo"));
    let id = target.filled(&person, &json!({"name": target.name("out"), "a": "1", "z": "1"}), b"bytes");
    let folder = mount.path("by-id").join(&id);
    let filter = "grep -v -e '\"a\"' -e updated_at metadata.json";
    let out = target.file("out.json");
    let refused = sh(&folder, &format!("{filter} > {0}; cat {0} > metadata.json", out.display()));
    assert!(refused.code != Some(0) && refused.err.contains("Invalid argument"), "{refused:?}");
    assert!(attribute(&folder.join("metadata.json"), "user.glancefs.error").unwrap().contains("read it again"));
    assert_eq!(shown(target, &person, &id)["a"], "1");
    shell(&folder, "sed -i -e '/\"a\"/d' -e '/updated_at/d' metadata.json");
    assert!(shown(target, &person, &id).get("a").is_none());
    mount.end();
}

fn what_two_have_changed_is_refused_by_name(target: &Target) {
    let (person, mount) = (target.person("demo"), target.mount("demo"));
    let id = target.filled(&person, &json!({"name": target.name("both"), "a": "1", "z": "1"}), b"bytes");
    let folder = mount.path("by-id").join(&id);
    let out = target.file("mine.json");
    shell(&folder, &format!("cp metadata.json {}", out.display()));
    patch(target, &person, &id, &json!([{"op": "replace", "path": "/a", "value": "theirs"}]));
    let refused = sh(&folder, &format!("sed 's/\"a\": \"1\"/\"a\": \"mine\"/' {} > metadata.json", out.display()));
    assert_ne!(refused.code, Some(0), "sed hears of it");
    assert!(attribute(&folder.join("metadata.json"), "user.glancefs.error").unwrap().contains("'a'"));
    shell(&folder, &format!("sed 's/\"z\": \"1\"/\"z\": \"mine\"/' {} > metadata.json", out.display()));
    let image = shown(target, &person, &id);
    assert_eq!((&image["a"], &image["z"]), (&json!("theirs"), &json!("mine")));
    mount.end();
}

fn a_document_has_the_time_of_a_change_of_ours_that_was_answered_with_nothing(target: &Target) {
    let (person, mount) = (target.person("demo"), target.mount_with("demo", &["--ttl=5m"]));
    let id = target.filled(&person, &json!({"name": target.name("times"), "tags": ["old"]}), b"bytes");
    let folder = mount.path("by-id").join(&id);
    let document = || serde_json::from_str::<Value>(&shell(&folder, "cat metadata.json")).unwrap();
    let mut times = vec![document()["updated_at"].clone()];
    // The service tells whole seconds.
    for line in ["touch tags/new", "rm -f tags/old", "echo deactivated > status", "echo active > status"] {
        while shown(target, &person, &id)["updated_at"] == *times.last().unwrap() {
            shell(&folder, &format!("{line}; rm -f tags/on; touch tags/on"));
        }
        let read = document();
        let mut image = shown(target, &person, &id);
        // The service lists tags in no order.
        image["tags"].as_array_mut().unwrap().sort_by_key(Value::to_string);
        for key in ["updated_at", "status", "tags"] {
            assert_eq!(read[key], image[key], "{line}: {key}");
        }
        // One program reads it, and another one writes it.
        let line = "new=$(jq '.tags += [\"more\"]' metadata.json); echo \"$new\" > metadata.json; rm tags/more";
        shell(&folder, line);
        times.push(document()["updated_at"].clone());
    }
    mount.end();
}

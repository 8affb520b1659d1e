//! Backups of images that are put back: by whom, and with which programs.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::mounted::Mount;
use crate::person::Person;
use crate::target::Target;
use crate::tools::{attribute, shell, tool_in};
use crate::uploading::{id_of, made, shown};

crate::promises![Both:
    a_backup_with_a_member_who_has_accepted_is_restored_again_and_again,
    a_backup_of_a_public_image_is_restored_by_who_may_not_make_one_public,
    a_copy_in_another_images_folder_is_called_as_that_folder,
];

/// What people type to put the folder `$B` back into an image's folder, and to do so again. `cp` writes data anew, which
/// nobody may a second time.
const RESTORERS: [(&str, &str); 3] = [
    ("rsync -a $B/ ./", "rsync -a $B/ ./"),
    ("rsync -a --inplace $B/ ./", "rsync -a --inplace $B/ ./"),
    (
        "cp $B/data $B/metadata.json . && cp -r $B/status $B/members $B/tags $B/properties .",
        "cp -r $B/metadata.json $B/status $B/members $B/tags $B/properties .",
    ),
];

/// Copies an image's folder out of the mount.
fn backup(target: &Target, mount: &Mount, id: &str) -> PathBuf {
    let copy = target.file("backup");
    shell(&mount.path("by-id"), &format!("rsync -a {id}/ {}/", copy.display()));
    copy
}

/// A new image's folder, by its id.
fn fresh(target: &Target, mount: &Mount, word: &str) -> PathBuf {
    mount.path("by-id").join(id_of(&made(target, mount, word)))
}

/// Puts a backup back into an image, and answers the image then.
fn restored(target: &Target, folder: &Path, copy: &Path, line: &str) -> Value {
    shell(folder, &format!("B={}; {line}", copy.display()));
    shown(target, folder)
}

/// The members of an image and their statuses.
fn members(target: &Target, person: &Person, id: &str) -> Vec<(Value, Value)> {
    let list = target.wait(person.get(&format!("/v2/images/{id}/members"))).is(200).json();
    let members = list["members"].as_array().unwrap().iter();
    members.map(|member| (member["member_id"].clone(), member["status"].clone())).collect()
}

fn a_backup_with_a_member_who_has_accepted_is_restored_again_and_again(target: &Target) {
    let (person, member, mount) = (target.person("demo"), target.person("alt"), target.mount("demo"));
    let attributes = json!({"name": target.name("backup"), "visibility": "shared", "os_distro": "debian", "tags": ["one"], "min_ram": 32});
    let old = target.filled(&person, &attributes, b"what was kept");
    let project = json!(member.project);
    target.wait(person.post(&format!("/v2/images/{old}/members"), &json!({"member": project}))).is(200);
    let path = format!("/v2/images/{old}/members/{}", member.project);
    let accepting = member.request("PUT", &path).header("Content-Type", "application/json");
    target.wait(accepting.body(br#"{"status": "accepted"}"#).send()).is(200);
    let copy = backup(target, &mount, &old);
    assert_eq!(shell(&copy, "cat members/*"), "accepted\n");
    for (number, (line, again)) in RESTORERS.into_iter().enumerate() {
        let folder = fresh(target, &mount, &format!("restored-{number}"));
        for line in [line, again] {
            let image = restored(target, &folder, &copy, line);
            assert_eq!((&image["status"], &image["size"]), (&json!("active"), &json!(13)), "{line}");
            assert_eq!(
                (&image["os_distro"], &image["min_ram"], &image["tags"]),
                (&json!("debian"), &json!(32), &json!(["one"])),
                "{line}"
            );
            let id = image["id"].as_str().unwrap();
            assert_eq!(members(target, &person, id), [(project.clone(), json!("pending"))], "{line}");
            assert_eq!(shell(&folder, "cat members/*"), "pending\n", "its own to set");
            let limits = attribute(&folder.join("members").join(&member.project), "user.glancefs.limits").unwrap();
            assert!(limits.contains("sets its status here"), "{limits}");
        }
    }
    mount.end();
}

fn a_backup_of_a_public_image_is_restored_by_who_may_not_make_one_public(target: &Target) {
    let (administrator, mount) = (target.person("admin"), target.mount("demo"));
    let attributes = json!({"name": target.name("public"), "visibility": "public", "os_distro": "debian", "tags": ["one"],
        "min_ram": 32});
    let old = target.filled(&administrator, &attributes, b"what all may have");
    let copy = backup(target, &mount, &old);
    let folder = fresh(target, &mount, "restored-public");
    let was = shown(target, &folder)["visibility"].clone();
    for run in ["first", "second"] {
        let image = restored(target, &folder, &copy, "rsync -a $B/ ./");
        assert_eq!((&image["status"], &image["size"]), (&json!("active"), &json!(17)), "{run}");
        assert_eq!(
            (&image["os_distro"], &image["min_ram"], &image["tags"]),
            (&json!("debian"), &json!(32), &json!(["one"]))
        );
        assert_eq!((&image["visibility"], &image["name"]), (&was, &json!(target.name("restored-public"))), "{run}");
    }
    shell(
        &folder,
        "jq 'del(.id) | .min_ram = 64' metadata.json > t && jq '.visibility = \"public\"' t > t2 && mv t2 metadata.json",
    );
    assert_eq!(shown(target, &folder)["min_ram"], 64, "a template is one too");
    for asked in
        ["echo '{\"visibility\": \"public\"}' > metadata.json", "sed -i 's/\"shared\"/\"public\"/' metadata.json"]
    {
        let ran = tool_in(&folder, "sh", &["-c", asked]);
        let sentence = attribute(&folder.join("metadata.json"), "user.glancefs.error").unwrap_or_default();
        assert!(ran.code != Some(0) && sentence.contains("more rights"), "{asked}: {ran:?} {sentence}");
    }
    assert_eq!(shown(target, &folder)["visibility"], was);
    mount.end();
}

fn a_copy_in_another_images_folder_is_called_as_that_folder(target: &Target) {
    let (person, mount) = (target.person("demo"), target.mount("demo"));
    let attributes = json!({"name": target.name("one"), "visibility": "shared", "os_distro": "debian", "tags": ["t"], "min_ram": 32});
    let one = target.filled(&person, &attributes, b"what is copied");
    let names = mount.path("by-name");
    for (n, line) in [
        "cp -a $ONE/data $COPY/ && cp -a $ONE/metadata.json $ONE/status $ONE/properties $ONE/tags $COPY/",
        "rsync -a $ONE/ $COPY/",
        "cp $ONE/data $ONE/metadata.json $COPY/",
    ]
    .iter()
    .enumerate()
    {
        let copy = target.name(&format!("copy-{n}"));
        shell(&names, &format!("mkdir {copy}; {}", line.replace("$ONE", &target.name("one")).replace("$COPY", &copy)));
        let id = id_of(&names.join(&copy));
        target.tidy(&person, &id);
        assert!(names.join(target.name("one")).exists(), "{line}: who had the name has it still");
        let image = target.wait(person.show(&id));
        assert_eq!((&image["name"], &image["status"]), (&json!(copy), &json!("active")), "{line}");
        for key in ["os_distro", "tags", "min_ram", "os_hash_value", "visibility"] {
            assert_eq!(image[key], target.wait(person.show(&one))[key], "{line}: {key}");
        }
    }
    let nameless = glancefs::image::ImageId::random().to_string();
    shell(&mount.path("by-id"), &format!("mkdir {nameless}; cp {one}/metadata.json {nameless}/"));
    target.tidy(&person, &nameless);
    assert_eq!(target.wait(person.show(&nameless))["name"], json!(target.name("one")), "which has no name of its own");
    shell(&mount.path("by-id").join(&nameless), "echo '{\"name\": \"changed\"}' > metadata.json");
    assert_eq!(target.wait(person.show(&nameless))["name"], json!("changed"), "a document that names no image");
    mount.end();
}

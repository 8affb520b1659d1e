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
    a_backup_of_a_queued_image_is_restored_as_one_that_waits_for_its_data,
    a_file_that_is_left_empty_is_an_image_of_no_bytes_a_little_later,
    what_is_only_opened_or_said_to_be_queued_stays_so,
    a_backup_of_an_image_of_no_bytes_is_restored_with_its_checksums,
    a_copy_of_a_copy_is_restored_without_its_data_being_sent_again,
    a_status_that_is_copied_behind_the_data_waits_for_them,
    the_very_same_data_once_more_are_no_failure_and_others_are,
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
pub(crate) fn backup(target: &Target, mount: &Mount, id: &str) -> PathBuf {
    let copy = target.file("backup");
    shell(&mount.path("by-id"), &format!("rsync -a {id}/ {}/", copy.display()));
    copy
}

/// A new image's folder, by its id.
pub(crate) fn fresh(target: &Target, mount: &Mount, word: &str) -> PathBuf {
    mount.path("by-id").join(id_of(&made(target, mount, word)))
}

/// Puts a backup back into an image, and answers the image then.
pub(crate) fn restored(target: &Target, folder: &Path, copy: &Path, line: &str) -> Value {
    // Where it fails, it is told why.
    let errors = "{ status=$?; tail -n 3 ../../.glancefs/errors >&2; exit $status; }";
    shell(folder, &format!("B={}; {{ {line}; }} || {errors}", copy.display()));
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

/// What people type to put the folder `$B` back into an image's folder, to the last file of it.
const WHOLE: [&str; 6] = [
    "rsync -a $B/ ./",
    "rsync -a --inplace $B/ ./",
    "cp -r $B/. ./",
    "cp -a $B/. ./",
    "cp -p $B/* ./ 2> /dev/null || cp -a $B/tags $B/properties ./",
    "tar -C $B -cf - . | tar -xf -",
];

/// Waits until no upload of this image is listed, at rest or under way.
pub(crate) fn quiet(mount: &Mount, id: &str) {
    while std::fs::read_to_string(mount.path(".glancefs/uploads")).unwrap().contains(id) {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

/// What of an image a backup brings back.
fn kept(image: &Value) -> Value {
    let mut lines = image.as_object().unwrap().clone();
    for own in ["id", "name", "created_at", "updated_at", "self", "file"] {
        lines.remove(own);
    }
    Value::Object(lines)
}

fn a_backup_of_a_queued_image_is_restored_as_one_that_waits_for_its_data(target: &Target) {
    let (person, mount) = (target.person("demo"), target.mount("demo"));
    let attributes = json!({"name": target.name("queued"), "disk_format": "raw", "container_format": "bare",
        "os_distro": "debian", "tags": ["one"], "min_ram": 32});
    let old = target.image(&person, &attributes);
    let attributes = json!({"name": target.name("file"), "disk_format": "qcow2", "container_format": "bare"});
    target.image(&person, &attributes);
    let copy = backup(target, &mount, &old);
    let was = kept(&target.wait(person.show(&old)));
    for (number, line) in WHOLE.into_iter().enumerate() {
        let folder = fresh(target, &mount, &format!("queued-{number}"));
        let id = folder.file_name().unwrap().to_str().unwrap();
        for run in ["first", "second"] {
            assert_eq!(kept(&restored(target, &folder, &copy, line)), was, "{line}, the {run} time");
            quiet(&mount, id);
            assert_eq!(kept(&target.wait(person.show(id))), was, "{line}, the {run} time, a little later");
            assert_eq!(shell(&folder, "stat -c %s data; cat data status checksums import"), "0\nqueued\n", "{line}");
        }
        shell(&folder, "echo bytes > data");
        assert_eq!(shell(&folder, "cat status data"), "active\nbytes\n", "{line}");
    }
    // The same by way of their files, where no bytes are none of the format that the file is named after.
    let files = target.file("files");
    shell(&mount.root(), &format!("mkdir {0}; rsync -a files/{1}.qcow2 {0}/", files.display(), target.name("file")));
    let new = target.name("again");
    let from = files.join(target.name("file")).display().to_string();
    for (line, word) in [("rsync -a", "1"), ("rsync -a --inplace", "2"), ("cp -p", "3")] {
        shell(
            &mount.path("files"),
            &format!("mv {from}.qcow2 {from}; {line} {from} {new}{word}.qcow2; mv {from} {from}.qcow2"),
        );
        let id = id_of(&mount.path("by-name").join(format!("{new}{word}")));
        target.tidy(&person, &id);
        quiet(&mount, &id);
        let image = target.wait(person.show(&id));
        let about = (&image["status"], &image["size"], &image["disk_format"], &image["data_mtime"]);
        assert_eq!(about, (&json!("queued"), &Value::Null, &json!("qcow2"), &Value::Null), "{line}");
    }
    mount.end();
}

/// The status and the size of an image, once no upload of it is listed any more.
fn became(target: &Target, mount: &Mount, folder: &Path) -> (Value, Value) {
    quiet(mount, folder.file_name().unwrap().to_str().unwrap());
    let image = shown(target, folder);
    (image["status"].clone(), image["size"].clone())
}

fn a_file_that_is_left_empty_is_an_image_of_no_bytes_a_little_later(target: &Target) {
    let mount = target.mount("demo");
    for (number, line) in [
        ": > data",
        "cp /dev/null data",
        "truncate -s 0 data",
        "dd if=/dev/null of=data conv=fsync 2> dd",
        "touch empty; mv empty data",
        "rm data; : > data",
        "truncate -s 1M data; : > data",
        "truncate -s 1M data; touch empty; mv empty data",
        "python3 -c \"f = open('data', 'wb', 0); f.write(b'some'); f.truncate(0); f.close()\"",
    ]
    .into_iter()
    .enumerate()
    {
        let folder = fresh(target, &mount, &format!("nothing-{number}"));
        shell(&folder, line);
        assert_eq!(shell(&folder, "cat status data"), "queued\n", "{line}: it can still be filled");
        assert_eq!(became(target, &mount, &folder), (json!("active"), json!(0)), "{line}");
    }
    // A file that is copied into files/ is one too; who only wants one to be there has not said what it holds.
    let names = ["copied", "touched"].map(|word| target.name(word));
    let ([copied, touched], empty) = (&names, target.file("empty").display().to_string());
    shell(&mount.path("files"), &format!("touch {touched}.raw; : > {empty}; cp {empty} {copied}.raw"));
    let [copied, touched] = names.map(|name| mount.path("by-name").join(name));
    for folder in [&copied, &touched] {
        target.tidy(&target.person("demo"), &id_of(folder));
    }
    let copied = mount.path("by-id").join(id_of(&copied));
    assert_eq!(became(target, &mount, &copied), (json!("active"), json!(0)));
    assert_eq!(shell(&touched, "cat status"), "queued\n");
    // Programs that make a file first go on to write it.
    let filled = fresh(target, &mount, "filled");
    shell(&filled, ": > data; echo some > data");
    assert_eq!(shell(&filled, "cat status data"), "active\nsome\n");
    for line in [": > data", "touch empty; mv empty data", "cp /dev/null data"] {
        assert_ne!(tool_in(&filled, "sh", &["-c", line]).code, Some(0), "{line}: it has its data");
    }
    let ended = fresh(target, &mount, "ended");
    shell(&ended, ": > data");
    mount.end();
    let id = ended.file_name().unwrap().to_str().unwrap();
    let image = target.wait(target.person("demo").show(id));
    assert_eq!((&image["status"], &image["size"]), (&json!("active"), &json!(0)));
}

fn what_is_only_opened_or_said_to_be_queued_stays_so(target: &Target) {
    let mount = target.mount("demo");
    let [plain, formatted] = ["opened", "formatted"].map(|word| fresh(target, &mount, word));
    shell(&formatted, "echo '{\"disk_format\": \"qcow2\", \"container_format\": \"bare\"}' > metadata.json");
    for (folder, line) in [
        (&plain, "touch data"),
        (&plain, "touch -d 2020-01-01 data"),
        (&plain, "exec 3>> data; exec 3>&-"),
        (&plain, ": > data; echo queued > status"),
        (&plain, ": > data; echo '{\"status\": \"queued\", \"id\": \"x\"}' > metadata.json"),
        // Said first, or while the file is open.
        (&plain, "echo queued > status; : > data"),
        (&plain, "echo queued > status; cp /dev/null data"),
        (&plain, "exec 3> data; echo queued > status; exec 3>&-"),
        (&plain, "exec 3> data; sleep 1 & exec 3>&-; echo queued > status; wait"),
        (&plain, "python3 -c \"f = open('data', 'wb'); open('status', 'w').write('queued\\n'); f.close()\""),
        (&plain, "cp metadata.json ..m && : > data && cp ..m metadata.json"),
        (&plain, "truncate -s 1M data; echo queued > status; touch empty; mv empty data; echo queued > status"),
        (&formatted, ": > data"),
        (&formatted, "touch empty; mv empty data"),
    ] {
        shell(folder, line);
        assert_eq!(became(target, &mount, folder), (json!("queued"), Value::Null), "{line}");
        assert_eq!(shown(target, folder)["data_mtime"], Value::Null, "{line}");
        assert_eq!(shell(folder, "stat -c %s data; cat data"), "0\n", "{line}");
    }
    shell(&plain, "echo some > data");
    assert_eq!(shell(&plain, "cat status data"), "active\nsome\n");
    assert_ne!(tool_in(&plain, "sh", &["-c", "echo queued > status"]).code, Some(0));
    let sentence = attribute(&plain.join("status"), "user.glancefs.error").unwrap();
    assert!(sentence.contains("active") && sentence.contains("make a new one"), "{sentence}");
    mount.end();
}

fn a_backup_of_an_image_of_no_bytes_is_restored_with_its_checksums(target: &Target) {
    let (person, mount) = (target.person("demo"), target.mount("demo"));
    let attributes = json!({"name": target.name("void"), "block_device_mapping": "[]"});
    let old = target.filled(&person, &attributes, b"");
    let copy = backup(target, &mount, &old);
    // Not of the second in which the next image is made: rsync copies nothing that is as long and as old as what is there.
    shell(&copy, "touch -d 2020-01-01 *");
    for (number, line) in
        ["rsync -a $B/ ./", "rsync -a --inplace $B/ ./", "cp $B/checksums $B/data . && cp $B/status ."]
            .into_iter()
            .enumerate()
    {
        let folder = fresh(target, &mount, &format!("void-{number}"));
        let image = restored(target, &folder, &copy, line);
        assert_eq!((&image["status"], &image["size"]), (&json!("active"), &json!(0)), "{line}");
    }
    mount.end();
}

fn a_copy_of_a_copy_is_restored_without_its_data_being_sent_again(target: &Target) {
    let (person, mount) = (target.person("demo"), target.mount("demo"));
    let attributes = json!({"name": target.name("timed"), "visibility": "shared", "os_distro": "debian", "tags": ["one"],
        "data_mtime": "2020-01-02T03:04:05Z"});
    let old = target.filled(&person, &attributes, b"what was kept");
    target
        .wait(person.post(&format!("/v2/images/{old}/members"), &json!({"member": target.person("alt").project})))
        .is(200);
    let copy = target.file("copy");
    // Which has the time of the copy.
    shell(&mount.path("by-id"), &format!("cp -r {old} {}", copy.display()));
    let folder = fresh(target, &mount, "timed-again");
    let id = folder.file_name().unwrap().to_str().unwrap();
    for run in 0..4 {
        let said = shell(&folder, &format!("rsync -ai {}/ ./", copy.display()));
        assert_eq!(said.contains("data\n"), run == 0, "run {run}: {said}");
        let image = target.wait(person.show(id));
        for key in ["os_distro", "tags", "visibility", "os_hash_value", "status"] {
            assert_eq!(image[key], target.wait(person.show(&old))[key], "{key}");
        }
        assert_eq!(members(target, &person, id), members(target, &person, &old), "run {run}");
        let mtime = |path: &Path| std::fs::metadata(path).unwrap().modified().unwrap();
        assert_eq!(mtime(&folder.join("data")), mtime(&copy.join("data")), "run {run}");
    }
    mount.end();
}

fn a_status_that_is_copied_behind_the_data_waits_for_them(target: &Target) {
    let mount = target.mount("demo");
    // Holes rest until they are sent, since programs make files so that they fill later.
    let copy = target.file("holes");
    shell(target.file("").as_path(), "mkdir holes; truncate -s 1M holes/data; echo active > holes/status");
    for (number, line) in
        ["cp -a $B/data $B/status ./", "cp $B/data . && cp $B/status .", "rsync -a $B/ ./"].into_iter().enumerate()
    {
        let folder = fresh(target, &mount, &format!("status-{number}"));
        let image = restored(target, &folder, &copy, line);
        assert_eq!((&image["status"], &image["size"]), (&json!("active"), &json!(1 << 20)), "{line}");
    }
    let folder = fresh(target, &mount, "status-off");
    let image = restored(target, &folder, &copy, "cp $B/data . && echo deactivated > status");
    assert_eq!((&image["status"], &image["size"]), (&json!("deactivated"), &json!(1 << 20)));
    // Who copies a folder comes to its files in their order there.
    shell(&copy, "echo '{\"min_ram\": 1, \"id\": \"x\"}' > metadata.json");
    for (number, line) in [
        "cp -a $B/status $B/data ./",
        "tar -C $B -cf - status data | tar -xf -",
        "tar -C $B -cf - metadata.json status data | tar -xf -",
        "cp $B/metadata.json $B/status $B/data ./",
    ]
    .into_iter()
    .enumerate()
    {
        let folder = fresh(target, &mount, &format!("status-first-{number}"));
        let image = restored(target, &folder, &copy, &format!("{line}; echo active > status"));
        assert_eq!((&image["status"], &image["size"]), (&json!("active"), &json!(1 << 20)), "{line}");
    }
    let folder = fresh(target, &mount, "status-empty");
    let image = restored(target, &folder, &copy, ": > data; echo active > status");
    assert_eq!((&image["status"], &image["size"]), (&json!("active"), &json!(0)), "who says so need not wait");
    // Without a file there is nothing to be active.
    let folder = fresh(target, &mount, "status-none");
    for line in ["echo active > status", "touch data; echo active > status", "exec 3> data; echo active > status"] {
        assert_ne!(tool_in(&folder, "sh", &["-c", line]).code, Some(0), "{line}");
        assert_eq!(shell(&folder, "cat status"), "queued\n", "{line}");
        let sentence = attribute(&folder.join("status"), "user.glancefs.error").unwrap();
        assert!(sentence.contains("it has no data yet") && sentence.contains("file data"), "{sentence}");
    }
    mount.end();
}

fn the_very_same_data_once_more_are_no_failure_and_others_are(target: &Target) {
    let (person, mount) = (target.person("demo"), target.mount("demo"));
    let old = target.filled(&person, &json!({"name": target.name("same"), "p": "1"}), b"what was kept");
    let copy = target.file("same");
    shell(&mount.path("by-id"), &format!("cp -r {old} {0}; touch -d 2020-01-01 {0}/data", copy.display()));
    let folder = fresh(target, &mount, "same-again");
    restored(target, &folder, &copy, "cp -r $B/data $B/[a-ce-z]* ./");
    let uploaded = shown(target, &folder);
    for (line, time) in [
        // Which compares no times, and copies all of it each time.
        ("rsync -r $B/ ./", Value::Null),
        ("rsync -rI $B/ ./", Value::Null),
        // The first time it finds another one.
        ("rsync -a $B/ ./", json!("2020-01-01T00:00:00Z")),
        ("rsync -a $B/ ./", json!("2020-01-01T00:00:00Z")),
        ("rsync -aI $B/ ./", json!("2020-01-01T00:00:00Z")),
        ("cp $B/data t && mv t data", json!("2020-01-01T00:00:00Z")),
        ("cp $B/data ../../files/.t && mv ../../files/.t ../../files/$F.raw", json!("2020-01-01T00:00:00Z")),
    ] {
        let line = line.replace("$F", &target.name("same-again"));
        let image = restored(target, &folder, &copy, &line);
        assert_eq!(image["data_mtime"], time, "{line}");
        for key in ["size", "status", "os_hash_value", "checksum", "name", "p"] {
            assert_eq!(image[key], uploaded[key], "{line}: {key}");
        }
        assert_eq!(shell(&folder, "ls -A").lines().count(), 7, "{line}: {}", shell(&folder, "ls -A"));
    }
    for line in ["echo what was lost > t; mv t data", "echo other > t; mv t data", "touch t; mv t data"] {
        assert_ne!(tool_in(&folder, "sh", &["-c", line]).code, Some(0), "{line}");
    }
    mount.end();
}

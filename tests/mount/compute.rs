//! The images of a cloud as its Compute API shows them: the tree, the data that come from the Image service, questions.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde_json::{Value, json};

use crate::content::noise;
use crate::mounted::Mount;
use crate::target::Target;
use crate::tools::{attribute, printed, shell, tool, tool_in};

crate::promises![Both:
    an_image_is_what_the_compute_api_shows_of_it,
    the_document_is_the_servers_own,
    status_and_progress_are_the_servers_words,
    data_are_read_through_the_image_service_and_compared_with_its_hash,
    deactivated_data_are_refused,
    no_copy_is_made_of_deactivated_data_as_if_they_were_empty,
    data_that_are_not_there_yet_are_refused_and_not_empty,
    an_image_that_no_listing_shows_is_there_by_its_id,
    df_shows_the_quota_of_the_image_service,
    each_filter_of_the_compute_api_is_a_question,
    what_the_compute_api_cannot_be_asked_does_not_exist_and_says_why,
    what_others_change_is_seen,
    numbers_are_those_of_a_mount_of_the_image_service,
];

/// A mount of the cloud `who` through its Compute API.
pub(crate) fn mounted(target: &Target, who: &str, options: &[&str]) -> Mount {
    target.mount_with(who, &[&["--service=compute"], options].concat())
}

/// A private image of demo that holds `hello`, and the folder of it in a mount.
pub(crate) fn private(target: &Target, word: &str, more: &Value) -> (String, String) {
    let name = target.name(word);
    let mut attributes = json!({"name": name, "visibility": "private", "os_distro": "debian"});
    attributes.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    (target.filled(&target.person("demo"), &attributes, b"hello"), name)
}

/// The lines that `ls -U` prints.
fn listed(folder: &Path) -> Vec<String> {
    printed("ls", ["-U".as_ref(), folder.as_os_str()]).lines().map(str::to_owned).collect()
}

fn an_image_is_what_the_compute_api_shows_of_it(target: &Target) {
    let (id, name) = private(target, "disk", &json!({}));
    let server = json!({"instance_uuid": "6b8a0a3e-7c52-4e76-9d9b-0f0f2f8d5f7a", "image_type": "snapshot"});
    let (_, snapshot) = private(target, "snapshot", &server);
    let mount = mounted(target, "demo", &[]);
    assert_eq!(listed(&mount.root()), ["by-id", "by-name", "query"]);
    for folder in [format!("by-id/{id}"), format!("by-name/{name}")] {
        assert_eq!(listed(&mount.path(&folder)), ["data", "metadata.json", "status", "progress", "properties"]);
        let found = shell(&mount.path(folder), r"find . -mindepth 1 -printf '%y %m %P\n' | sort");
        let expected = "d 755 properties\nf 444 data\nf 444 progress\nf 444 status\nf 644 metadata.json\n\
                        f 644 properties/os_distro\n";
        assert_eq!(found, expected);
    }
    assert_eq!(shell(&mount.path(format!("by-name/{snapshot}")), "ls -U | tail -n 1; cat server"), {
        format!("server\n{}\n", server["instance_uuid"].as_str().unwrap())
    });
    let by = |folder: &str, entry: &str| fs::metadata(mount.path(folder).join(entry)).unwrap();
    for entry in ["data", "metadata.json", "status", "progress", "properties/os_distro"] {
        let (one, other) = (by(&format!("by-id/{id}"), entry), by(&format!("by-name/{name}"), entry));
        assert_eq!((one.ino(), one.nlink()), (other.ino(), 2), "{entry}");
    }
    assert_eq!(printed("stat", ["-c%s".as_ref(), mount.data(&id).as_os_str()]), "5\n");
    mount.end();
}

fn the_document_is_the_servers_own(target: &Target) {
    let (id, _) = private(target, "disk", &json!({"min_ram": 64, "auto_disk_config": "true"}));
    let mount = mounted(target, "demo", &[]);
    let folder = mount.path("by-id").join(&id);
    let text = fs::read_to_string(folder.join("metadata.json")).unwrap();
    let shown = target.wait(target.person("demo").ask(&format!("/images/{id}"))).is(200).json()["image"].clone();
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), shown);
    assert_eq!(fs::metadata(folder.join("metadata.json")).unwrap().len(), text.len() as u64);
    let keys: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("  \"")?.split('"').next()).collect();
    assert_eq!((keys[..2].join(" "), *keys.last().unwrap()), ("id name".to_owned(), "metadata"));
    assert_eq!(attribute(&folder, "user.glance.minRam").as_deref(), Some("64"));
    assert_eq!(attribute(&folder, "user.glance.OS-DCF:diskConfig").as_deref(), Some("AUTO"));
    let metadata = attribute(&folder, "user.glance.metadata").unwrap();
    assert_eq!(serde_json::from_str::<Value>(&metadata).unwrap(), shown["metadata"]);
    mount.end();
}

fn status_and_progress_are_the_servers_words(target: &Target) {
    let demo = target.person("demo");
    let queued = target.image(&demo, &json!({"name": target.name("queued"), "visibility": "private"}));
    let (active, _) = private(target, "active", &json!({}));
    let (deactivated, _) = private(target, "deactivated", &json!({}));
    target.wait(demo.act(&deactivated, "deactivate")).is(204);
    let mount = mounted(target, "demo", &[]);
    for (id, words) in [(queued, "SAVING\n25\n"), (active, "ACTIVE\n100\n"), (deactivated, "UNKNOWN\n0\n")] {
        assert_eq!(shell(&mount.path("by-id").join(id), "cat status progress"), words);
    }
    mount.end();
}

fn data_are_read_through_the_image_service_and_compared_with_its_hash(target: &Target) {
    let bytes = noise(7, 3_000_000);
    let (name, file) = (target.name("large"), target.file_with("large", &bytes));
    let id = target.filled(&target.person("demo"), &json!({"name": name, "visibility": "private"}), &bytes);
    let mount = mounted(target, "demo", &[]);
    let data = mount.path("by-name").join(&name).join("data");
    printed("cmp", [&file, &data]);
    assert_eq!(attribute(&data, "user.glancefs.verified").as_deref(), Some("yes"));
    assert!(fs::metadata(&data).unwrap().len() == bytes.len() as u64 && mount.data(&id).exists());
    let part = "dd if=data bs=1000 skip=1234 count=1 status=none | cmp - ../../../part";
    fs::write(mount.root().parent().unwrap().join("part"), &bytes[1_234_000..1_235_000]).unwrap();
    shell(data.parent().unwrap(), part);
    let copy = target.file("copy");
    let again = format!("rsync -a data {0}; rsync -a --stats data {0} | grep 'transferred: 0'", copy.display());
    shell(data.parent().unwrap(), &again);
    printed("cmp", [&file, &copy]);
    mount.end();
}

fn deactivated_data_are_refused(target: &Target) {
    let (id, _) = private(target, "disk", &json!({}));
    let mount = mounted(target, "demo", &["--ttl=0"]);
    assert_eq!(fs::read_to_string(mount.data(&id)).unwrap(), "hello");
    target.wait(target.person("demo").act(&id, "deactivate")).is(204);
    let refused = fs::read(mount.data(&id)).unwrap_err();
    assert_eq!(refused.raw_os_error(), Some(libc::EACCES));
    assert!(attribute(&mount.data(&id), "user.glancefs.error").unwrap().contains("deactivated"));
    mount.end();
}

fn no_copy_is_made_of_deactivated_data_as_if_they_were_empty(target: &Target) {
    let (id, name) = private(target, "disk", &json!({}));
    target.wait(target.person("demo").act(&id, "deactivate")).is(204);
    let mount = mounted(target, "demo", &[]);
    let folder = mount.path("by-name").join(&name);
    assert_eq!(fs::metadata(folder.join("data")).unwrap().len(), 5);
    assert_eq!(shell(&folder, "cat status; jq -r .status metadata.json"), "UNKNOWN\nUNKNOWN\n");
    let place = target.file("backup");
    fs::create_dir(&place).unwrap();
    let place = place.display();
    for line in [
        format!("cp data {place}/cp"),
        format!("rsync -a data {place}/rsync"),
        format!("tar -C .. -cf {place}/tar {name}"),
        format!("cat data > {place}/cat"),
    ] {
        let ran = tool_in(&folder, "sh", &["-euc", &line]);
        assert!(ran.code != Some(0) && ran.err.contains("Permission denied"), "{line}: {ran:?}");
    }
    let left = "tar -tf tar > inside; ! grep '/data$' inside; ls";
    assert_eq!(shell(&target.file("backup"), left), "cat\ninside\ntar\n");
    mount.end();
}

fn data_that_are_not_there_yet_are_refused_and_not_empty(target: &Target) {
    let demo = target.person("demo");
    let id = target.image(&demo, &json!({"name": target.name("staged"), "visibility": "private"}));
    target.wait(demo.stage(&id, b"hello")).is(204);
    let mount = mounted(target, "demo", &[]);
    let refused = fs::read(mount.data(&id)).unwrap_err();
    assert_eq!(refused.raw_os_error(), Some(libc::EBUSY));
    assert!(attribute(&mount.data(&id), "user.glancefs.error").unwrap().contains("uploading"));
    mount.end();
}

fn an_image_that_no_listing_shows_is_there_by_its_id(target: &Target) {
    let admin = target.person("admin");
    let id = target.filled(&admin, &json!({"name": target.name("theirs"), "visibility": "community"}), b"A");
    let mount = mounted(target, "demo", &[]);
    assert!(!listed(&mount.path("by-id")).contains(&id));
    assert_eq!(shell(&mount.path("by-id").join(&id), "cat status data"), "ACTIVE\nA");
    mount.end();
}

fn df_shows_the_quota_of_the_image_service(target: &Target) {
    let (one, other) = (target.mount("demo"), mounted(target, "demo", &[]));
    let size = |mount: &Mount| printed("df", ["-BM".as_ref(), "--output=size".as_ref(), mount.root().as_os_str()]);
    assert_eq!(size(&one), size(&other));
    one.end();
    other.end();
}

fn each_filter_of_the_compute_api_is_a_question(target: &Target) {
    let server = "6b8a0a3e-7c52-4e76-9d9b-0f0f2f8d5f7a";
    let of_server = json!({"instance_uuid": server, "image_type": "snapshot"});
    let [(a, a_name), (_, b), (c, c_name)] = [
        private(target, "a", &json!({"min_ram": 7, "min_disk": 3})),
        private(target, "b", &of_server),
        private(target, "c", &json!({"min_ram": 7})),
    ];
    target.wait(target.person("demo").act(&c, "deactivate")).is(204);
    let mount = mounted(target, "demo", &[]);
    let url = format!("http:%2F%2Fcompute%2Fv2.1%2Fservers%2F{server}");
    let table = [
        (format!("name={a_name}"), vec![&a_name]),
        (format!("name={a_name}&status=ACTIVE"), vec![&a_name]),
        (format!("name={a_name}&status=deactivated"), vec![]),
        (format!("name={c_name}&status=deactivated"), vec![&c_name]),
        (format!("name={a_name}&minRam=7&minDisk=3"), vec![&a_name]),
        (format!("name={a_name}&minRam=6"), vec![]),
        (format!("name={b}&server={server}"), vec![&b]),
        (format!("name={b}&server={url}"), vec![&b]),
        (format!("name={a_name}&server={server}"), vec![]),
        (format!("name={b}&type=snapshot"), vec![&b]),
        (format!("name={b}&type=BASE"), vec![]),
        (format!("name={a_name}&changes-since=2001-01-01T00:00:00Z"), vec![&a_name]),
        (format!("name={a_name}&changes-since=2100-01-01"), vec![]),
        (format!("name=in:{a_name},{b},{c_name}&limit=2"), vec![&c_name, &b]),
        (format!("name=in:{a_name},{b},{c_name}&marker={c}"), vec![&b, &a_name]),
        (format!("name=in:{a_name},{b},{c_name}&marker={a}"), vec![]),
    ];
    for (question, expected) in table {
        let found = listed(&mount.path("query").join(&question));
        assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{question}");
    }
    assert_eq!(shell(&mount.path("query").join(format!("name={a_name}")), "cat */status"), "ACTIVE\n");
    mount.end();
}

fn what_the_compute_api_cannot_be_asked_does_not_exist_and_says_why(target: &Target) {
    let mount = mounted(target, "demo", &[]);
    for (question, sentence) in [
        ("tag=x", "images cannot be asked for by 'tag': the Compute API takes name, status, server"),
        ("sort=name:asc", "images cannot be asked for by 'sort': the Compute API takes"),
        ("status=bogus", "status=bogus: it must be a status, such as ACTIVE"),
        ("changes-since=2026-13-77", "Use ISO 8601 DateTime notation"),
        ("marker=00000000-0000-4000-8000-000000000000", "00000000-0000-4000-8000-000000000000"),
    ] {
        let missing = fs::metadata(mount.path("query").join(question)).unwrap_err();
        assert_eq!(missing.raw_os_error(), Some(libc::ENOENT), "{question}");
        let errors = fs::read_to_string(mount.path(".glancefs/errors")).unwrap();
        let last: Value = serde_json::from_str(errors.lines().last().unwrap()).unwrap();
        assert!(last["sentence"].as_str().unwrap().contains(sentence), "{question}: {last}");
    }
    mount.end();
}

fn what_others_change_is_seen(target: &Target) {
    let (id, name) = private(target, "disk", &json!({}));
    let mount = mounted(target, "demo", &["--ttl=0"]);
    let demo = target.person("demo");
    assert_eq!(shell(&mount.path("by-name").join(&name), "cat properties/os_distro"), "debian\n");
    let item = json!({"meta": {"os_distro": "fedora"}});
    target.wait(demo.nova("PUT", &format!("/images/{id}/metadata/os_distro")).json(&item).send()).is(200);
    assert_eq!(shell(&mount.path("by-name").join(&name), "cat properties/os_distro"), "fedora\n");
    let later = private(target, "later", &json!({})).1;
    assert_eq!(shell(&mount.path("by-name").join(later), "cat status"), "ACTIVE\n");
    target.delete(&demo, &id);
    let gone = tool("cat", [mount.path("by-name").join(&name).join("status")]);
    assert!(gone.err.contains("No such file"), "{gone:?}");
    mount.end();
}

fn numbers_are_those_of_a_mount_of_the_image_service(target: &Target) {
    let (id, name) = private(target, "disk", &json!({}));
    let line = format!(
        r"stat -c '%i %n' by-id/{id} by-name/{name} by-id/{id}/data by-id/{id}/metadata.json by-id/{id}/properties"
    );
    let (one, other) = (target.mount("demo"), mounted(target, "demo", &[]));
    let numbers = shell(&one.root(), &line);
    assert_eq!(shell(&other.root(), &line), numbers);
    let all = format!(r"find by-id/{id} -printf '%i %p\n' | sort");
    let before = shell(&other.root(), &all);
    other.end();
    let again = mounted(target, "demo", &[]);
    assert_eq!(shell(&again.root(), &all), before);
    one.end();
    again.end();
}

//! The tree as `ls`, `find`, `stat` and `du` show it.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;

use serde_json::{Value, json};

use crate::content::noise;
use crate::mounted::Mount;
use crate::target::Target;
use crate::tools::{attribute, printed, shell, tool};

crate::promises![Both:
    an_image_is_a_folder_in_both_views,
    files_are_the_same_inodes_in_both_views,
    inode_numbers_survive_a_remount,
    modes_sizes_and_owners_are_those_of_something_to_read,
    data_is_as_old_as_the_image_and_the_rest_as_its_last_change,
    a_property_data_mtime_is_the_time_of_data,
    small_files_hold_what_the_service_says,
    attributes_are_extended_attributes_too,
    du_counts_an_image_once,
    df_shows_the_quota,
    names_that_do_not_exist_are_not_found,
    questions_that_only_devices_answer_leave_no_line_in_the_log,
];

const CONTENT: &[u8] = b"what an image holds\n";

/// An image of demo with one of everything, its name, and a mount that shows it.
fn mounted(target: &Target) -> (String, String, Mount) {
    let name = target.name("debian");
    let attributes = json!({"name": name, "tags": ["cloud", "a/b"], "os_distro": "debian", "empty": ""});
    let id = target.filled(&target.person("demo"), &attributes, CONTENT);
    (name, id, target.mount("demo"))
}

fn an_image_is_a_folder_in_both_views(target: &Target) {
    let (name, id, mount) = mounted(target);
    assert_eq!(shell(&mount.root(), "ls"), "by-id\nby-name\nfiles\nquery\n");
    for folder in [format!("by-id/{id}"), format!("by-name/{name}")] {
        let folder = mount.path(folder);
        // Unsorted: the order is the one in which they are described.
        assert_eq!(shell(&folder, "ls -U"), "data\nmetadata.json\nstatus\nchecksums\nmembers\ntags\nproperties\n");
        let found = shell(&folder, r"find . -mindepth 1 -printf '%y %P\n' | sort");
        let expected = "d members\nd properties\nd tags\nf checksums\nf data\nf metadata.json\nf properties/empty\n\
                        f properties/os_distro\nf status\nf tags/a%2Fb\nf tags/cloud\n";
        assert_eq!(found, expected);
        let long = shell(&folder, "ls -l data");
        assert!(long.starts_with("-r--r--r-- 2 ") && long.contains(" 20 "), "{long}");
    }
    assert!(shell(&mount.root(), "ls by-id").lines().any(|line| line == id));
    assert!(shell(&mount.root(), "ls by-name").lines().any(|line| line == name));
    mount.end();
}

fn files_are_the_same_inodes_in_both_views(target: &Target) {
    let (name, id, mount) = mounted(target);
    let by_id = |entry: &str| fs::metadata(mount.path(format!("by-id/{id}")).join(entry)).unwrap();
    let by_name = |entry: &str| fs::metadata(mount.path(format!("by-name/{name}")).join(entry)).unwrap();
    for entry in ["data", "metadata.json", "status", "checksums"] {
        assert_eq!((by_id(entry).ino(), by_id(entry).nlink()), (by_name(entry).ino(), 2), "{entry}");
    }
    assert_ne!(by_id("").ino(), by_name("").ino());
    let numbers = shell(&mount.path(format!("by-id/{id}")), r"find . -printf '%i\n'");
    let different: BTreeSet<_> = numbers.lines().collect();
    assert_eq!(different.len(), numbers.lines().count(), "{numbers}");
}

fn inode_numbers_survive_a_remount(target: &Target) {
    let (name, id, mount) = mounted(target);
    let numbers = |mount: &Mount| {
        shell(&mount.root(), &format!(r"find by-id/{id} by-name/{name} -printf '%i %n %m %p\n' | sort"))
    };
    let before = numbers(&mount);
    mount.end();
    assert_eq!(numbers(&target.mount("demo")), before);
}

fn modes_sizes_and_owners_are_those_of_something_to_read(target: &Target) {
    let (_, id, mount) = mounted(target);
    let shown = |entry: &str| printed("stat", ["-c%a %s %u %g %F".as_ref(), mount.path(entry).as_os_str()]);
    assert_eq!(shown(&format!("by-id/{id}/data")), "444 20 0 0 regular file\n".replace("0 0", &own()));
    assert_eq!(shown(&format!("by-id/{id}/status")), "644 7 0 0 regular file\n".replace("0 0", &own()));
    let folders = |mode: &str, folders: &[&str], shown: &dyn Fn(&str) -> String| {
        for folder in folders {
            assert_eq!(shown(folder), format!("{mode} 0 {} directory\n", own()), "{folder}");
        }
    };
    let inside = ["by-id", "by-name", &format!("by-id/{id}"), &format!("by-id/{id}/tags")];
    folders("555", &[""], &shown);
    folders("755", &inside, &shown);
    drop(mount);
    let mount = target.mount_with("demo", &["--read-only"]);
    let shown = |entry: &str| printed("stat", ["-c%a %s %u %g %F".as_ref(), mount.path(entry).as_os_str()]);
    folders("555", &inside, &shown);
    drop(mount);
    let other = target.mount_with("demo", &["--uid=12", "--gid=34", "--fmask=0077", "--dmask=0007"]);
    let shown = |entry: &str| printed("stat", ["-c%a %u %g".as_ref(), other.path(entry).as_os_str()]);
    assert_eq!(shown(""), "550 12 34\n");
}

/// The user and group of this process.
fn own() -> String {
    let own = fs::metadata("/proc/self").unwrap();
    format!("{} {}", own.uid(), own.gid())
}

fn data_is_as_old_as_the_image_and_the_rest_as_its_last_change(target: &Target) {
    let (_, id, mount) = mounted(target);
    let image = target.wait(target.person("demo").show(&id));
    let time = |entry: &str| printed("stat", ["-c%y".as_ref(), mount.path(format!("by-id/{id}/{entry}")).as_os_str()]);
    let shown = |key: &str| image[key].as_str().unwrap().replace('T', " ").replace('Z', ".000000000 +0000\n");
    assert_eq!(time("data"), shown("created_at"));
    for entry in ["", "metadata.json", "status", "checksums", "tags/cloud"] {
        assert_eq!(time(entry), shown("updated_at"), "{entry}");
    }
}

fn a_property_data_mtime_is_the_time_of_data(target: &Target) {
    let id = target.filled(&target.person("demo"), &json!({"data_mtime": "2001-02-03T04:05:06.5Z"}), CONTENT);
    let mount = target.mount("demo");
    assert_eq!(
        printed("stat", ["-c%y".as_ref(), mount.data(&id).as_os_str()]),
        "2001-02-03 04:05:06.500000000 +0000\n"
    );
}

fn small_files_hold_what_the_service_says(target: &Target) {
    let (name, id, mount) = mounted(target);
    let image = target.wait(target.person("demo").show(&id));
    let read = |entry: &str| fs::read_to_string(mount.path(format!("by-name/{name}")).join(entry)).unwrap();
    let document: Value = serde_json::from_str(&read("metadata.json")).unwrap();
    for key in ["id", "name", "size", "checksum", "os_hash_value", "created_at", "os_distro", "visibility", "owner"] {
        assert_eq!(document[key], image[key], "{key}");
    }
    assert_eq!(read("metadata.json"), fs::read_to_string(mount.path(format!("by-id/{id}/metadata.json"))).unwrap());
    assert_eq!(read("status"), "active\n");
    assert_eq!((read("properties/os_distro").as_str(), read("properties/empty").as_str()), ("debian\n", "\n"));
    assert_eq!(read("tags/cloud"), "");
    let lines = format!(
        "SHA512 (data) = {}\nMD5 (data) = {}\n",
        image["os_hash_value"].as_str().unwrap(),
        image["checksum"].as_str().unwrap()
    );
    assert_eq!(read("checksums"), lines);
    for entry in ["metadata.json", "status", "checksums"] {
        let size = fs::metadata(mount.path(format!("by-id/{id}")).join(entry)).unwrap().len();
        assert_eq!(size, read(entry).len() as u64, "{entry}");
    }
}

fn attributes_are_extended_attributes_too(target: &Target) {
    let (name, id, mount) = mounted(target);
    let data = mount.path(format!("by-name/{name}/data"));
    let all = printed("getfattr", ["--absolute-names".as_ref(), "-d".as_ref(), data.as_os_str()]);
    for line in [format!("user.glance.id=\"{id}\""), "user.glance.os_distro=\"debian\"".into()] {
        assert!(all.contains(&line), "{line} is missing in {all}");
    }
    assert_eq!(attribute(&data, "user.glance.size").as_deref(), Some("20"));
    assert_eq!(attribute(&data, "user.glance.nothing"), None);
    let foreign = tool("getfattr", ["-n".as_ref(), "security.selinux".as_ref(), data.as_os_str()]);
    assert!(foreign.err.contains("not supported") || foreign.err.contains("No such attribute"), "{foreign:?}");
}

fn du_counts_an_image_once(target: &Target) {
    let length = 3_000_000;
    let name = target.name("large");
    let id = target.filled(&target.person("demo"), &json!({"name": name}), &noise(1, length));
    let mount = target.mount("demo");
    let line = format!("du --bytes --total by-id/{id} by-name/{name} | tail -n 1 | cut -f 1");
    let counted: usize = shell(&mount.root(), &line).trim().parse().unwrap();
    assert!((length..length + 100_000).contains(&counted), "{counted}");
    let line = format!("du --block-size=1 --total by-id/{id} by-name/{name} | tail -n 1 | cut -f 1");
    let counted: usize = shell(&mount.root(), &line).trim().parse().unwrap();
    assert!((length..length + 200_000).contains(&counted), "{counted}");
}

fn df_shows_the_quota(target: &Target) {
    let demo = target.person("demo");
    let usage = target.wait(demo.get("/v2/info/usage")).is(200).json();
    let mebibytes = usage["usage"]["image_size_total"]["limit"].as_u64().unwrap();
    let mount = target.mount("demo");
    let shown = printed("df", ["-BM".as_ref(), "--output=size".as_ref(), mount.root().as_os_str()]);
    assert_eq!(shown.lines().last().unwrap().trim(), format!("{mebibytes}M"));
}

fn names_that_do_not_exist_are_not_found(target: &Target) {
    let (_, id, mount) = mounted(target);
    let absent = ["nothing", "by-name/nothing", "by-id/nothing", "by-id/00000000-0000-4000-8000-000000000000"]
        .map(str::to_owned);
    for path in absent.into_iter().chain([format!("by-id/{id}/nothing"), format!("by-id/{id}/tags/nothing")]) {
        let error = fs::metadata(mount.path(&path)).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENOENT), "{path}");
    }
    let long = fs::metadata(mount.path("by-name").join("x".repeat(256))).unwrap_err();
    assert_eq!(long.raw_os_error(), Some(libc::ENAMETOOLONG));
    assert_eq!(fs::metadata(mount.path(format!("by-id/{id}/data/x"))).unwrap_err().raw_os_error(), Some(libc::ENOTDIR));
}

fn questions_that_only_devices_answer_leave_no_line_in_the_log(target: &Target) {
    let (_, id, mount) = mounted(target);
    let ask = "import fcntl, os, select, sys\n\
               file = os.open(sys.argv[1], os.O_RDONLY)\n\
               print(os.lseek(file, 3, os.SEEK_DATA), os.lseek(file, 3, os.SEEK_HOLE))\n\
               poll = select.poll(); poll.register(file); print(len(poll.poll(0)))\n\
               try: fcntl.ioctl(file, 0x5401, bytes(64))\n\
               except OSError as error: print(error.errno)\n";
    let answers = printed("python3", ["-c".as_ref(), ask.as_ref(), mount.data(&id).as_os_str()]);
    assert_eq!(answers, format!("3 {}\n1\n{}\n", CONTENT.len(), libc::ENOTTY));
    let log = mount.log();
    assert!(log.lines().all(|line| line.contains(": logged in cloud=") || line.contains(": mounted source=")), "{log}");
    mount.end();
}

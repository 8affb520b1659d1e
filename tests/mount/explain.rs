//! `glancefs explain` for somebody whom the kernel refuses by the modes, so that the mount does not hear of what was tried.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::Promise;
use crate::editing::patch;
use crate::mounted::Mount;
use crate::support::Ran;
use crate::target::Target;
use crate::tools::attribute;

crate::promises![Both:
    another_projects_image_is_named_as_such_to_whom_the_kernel_refuses,
    data_that_are_there_a_protected_image_and_a_read_only_mount_are_explained,
    somebody_elses_mount_is_explained,
    a_failure_is_explained_with_its_own_moment,
    the_newest_refusal_is_told_on_the_name_that_was_tried,
    what_could_not_be_renamed_tells_why_by_both_names,
    a_sentence_names_the_image_and_is_the_same_everywhere,
];

/// Only root can be somebody else.
pub(crate) fn is_possible(promise: &Promise) -> bool {
    promise.module != module_path!() || rustix::process::geteuid().is_root()
}

/// A user who is nobody else in these tests.
const SOMEBODY: u32 = 65_534;

/// Options of a mount that others may look into, and that belongs to [`SOMEBODY`].
const SOMEBODYS: [&str; 5] = ["--allow-other", "--uid", "65534", "--gid", "65534"];

/// Somebody at a mount, with a copy of the program that he can reach.
struct Somebody<'a> {
    program: std::path::PathBuf,
    mount: &'a Mount,
}

impl<'a> Somebody<'a> {
    fn at(target: &Target, mount: &'a Mount) -> Self {
        let program = target.file("glancefs");
        if !program.exists() {
            fs::copy(env!("CARGO_BIN_EXE_glancefs"), &program).unwrap();
        }
        for folder in [program.parent(), mount.root().parent()] {
            fs::set_permissions(folder.unwrap(), Permissions::from_mode(0o755)).unwrap();
        }
        Self { program, mount }
    }

    /// A line of shell in the mount, which is refused with these words.
    #[track_caller]
    fn is_refused(&self, line: &str, words: &str) {
        let line = format!("cd '{}' && {line}", self.mount.root().display());
        let ran = ran(Command::new("sh").args(["-c", &line]));
        assert!(ran.code != Some(0) && ran.err.contains(words), "{ran:?}");
    }

    fn explain(&self, path: &str) -> Ran {
        ran(Command::new(&self.program).arg("explain").arg(self.mount.path(path)))
    }

    #[track_caller]
    fn is_told(&self, path: &str, words: &[&str]) {
        let ran = self.explain(path);
        ran.succeeded();
        for word in words {
            assert!(ran.out.contains(word), "'{word}' is missing in: {}", ran.out);
        }
    }
}

fn ran(command: &mut Command) -> Ran {
    command.current_dir("/").env("LC_ALL", "C").uid(SOMEBODY).gid(SOMEBODY);
    Ran::of(command.output().unwrap())
}

/// The error that the attribute tells; nothing failed that the mount heard of.
fn error(path: &Path) -> Option<String> {
    attribute(path, "user.glancefs.error")
}

fn another_projects_image_is_named_as_such_to_whom_the_kernel_refuses(target: &Target) {
    let (demo, alt) = (target.person("demo"), target.person("alt"));
    let id = target.filled(&demo, &json!({"visibility": "shared", "tags": ["t"], "p": "1"}), b"theirs");
    target.wait(demo.post(&format!("/v2/images/{id}/members"), &json!({"member": alt.project}))).is(200);
    let mount = target.mount_with("alt", &SOMEBODYS);
    let somebody = Somebody::at(target, &mount);
    let belongs = format!("image {id} belongs to project {}, and is only to be read here", demo.project);
    for (line, path) in [
        (format!("echo 2 > by-id/{id}/properties/p"), "properties/p"),
        (format!("echo 2 > by-id/{id}/properties/new"), "properties/new"),
        (format!("rm -f by-id/{id}/tags/t"), "tags/t"),
        (format!("touch by-id/{id}/tags/new"), "tags/new"),
        (format!("echo deactivated > by-id/{id}/status"), "status"),
        (format!("echo {{}} > by-id/{id}/metadata.json"), "metadata.json"),
    ] {
        somebody.is_refused(&line, "Permission denied");
        somebody.is_told(&format!("by-id/{id}/{path}"), &[&belongs, "nothing failed here lately"]);
        assert_eq!(error(&mount.path(format!("by-id/{id}/{path}"))), None, "{path}");
    }
    let once = "for others make a new image, with mkdir in by-name";
    somebody.is_told(&format!("by-id/{id}/data"), &[&belongs, once]);
    // What is his to write is not said to be theirs.
    let own = somebody.explain(&format!("by-id/{id}/members/{}", alt.project));
    own.succeeded();
    assert!(!own.out.contains("belongs to"), "{own:?}");
}

fn data_that_are_there_a_protected_image_and_a_read_only_mount_are_explained(target: &Target) {
    let demo = target.person("demo");
    let id = target.filled(&demo, &json!({"protected": true}), b"once");
    let mount = target.mount_with("demo", &SOMEBODYS);
    let somebody = Somebody::at(target, &mount);
    let data = format!("by-id/{id}/data");
    somebody.is_refused(&format!("echo other > {data}"), "Permission denied");
    assert_eq!(error(&mount.path(&data)), None);
    let protected = format!("image {id} is protected");
    somebody.is_told(&data, &["can be written once and are there", "mkdir in by-name", &protected]);
    somebody.is_told(&format!("by-id/{id}"), &[&protected, "nothing failed here lately"]);
    somebody.is_refused(&format!("rmdir by-id/{id}"), "Operation not permitted");
    let told = somebody.explain(&format!("by-id/{id}"));
    assert!(told.out.contains("\n  EPERM on by-id/") && told.out.matches(&protected).count() == 1, "{told:?}");
    somebody.is_refused("touch here", "Permission denied");
    somebody.is_told("here", &["this folder has the files that it has"]);
    mount.end();

    let mount = target.mount_with("demo", &[&SOMEBODYS[..], &["--read-only"]].concat());
    let somebody = Somebody::at(target, &mount);
    somebody.is_refused(&format!("touch by-id/{id}/tags/new"), "Read-only file system");
    somebody.is_told(&format!("by-id/{id}/tags/new"), &["this mount is read-only"]);
    // So that it can be tidied up.
    patch(target, &demo, &id, &json!([{"op": "replace", "path": "/protected", "value": false}]));
}

fn somebody_elses_mount_is_explained(target: &Target) {
    let id = target.image(&target.person("demo"), &json!({}));
    let mount = target.mount_with("demo", &["--allow-other"]);
    let somebody = Somebody::at(target, &mount);
    for (line, path) in [
        (format!("touch by-id/{id}/tags/new"), format!("by-id/{id}/tags/new")),
        (format!("echo x > by-id/{id}/data"), format!("by-id/{id}/data")),
        ("mkdir by-name/new".to_owned(), "by-name/new".to_owned()),
    ] {
        somebody.is_refused(&line, "Permission denied");
        somebody.is_told(&path, &["all of this mount belongs to user 0", "--uid"]);
    }
    mount.end();

    let mount = target.mount("demo");
    let somebody = Somebody::at(target, &mount);
    for path in [format!("by-id/{id}/data"), "by-name/new".to_owned()] {
        somebody.explain(&path).refused(1, &["only the user who mounted may look into this mount", "--allow-other"]);
    }
}

fn a_failure_is_explained_with_its_own_moment(target: &Target) {
    let id = target.filled(&target.person("demo"), &json!({}), b"some");
    let mount = target.mount_with("demo", &SOMEBODYS);
    let somebody = Somebody::at(target, &mount);
    let status = format!("by-id/{id}/status");
    let mut times = Vec::new();
    for word in ["wrong", "wrong", "a'\u{1b}[31m'"] {
        // The shell tells no errno.
        somebody.is_refused(&format!("echo \"{word}\" > {status}"), "I/O error");
        let told = somebody.explain(&status);
        told.succeeded();
        let lines = fs::read_to_string(mount.path(".glancefs/errors")).unwrap();
        let last: serde_json::Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
        let time = last["time"].as_str().unwrap().to_owned();
        assert!(told.out.contains(&format!("\n  EINVAL on {status} at {time}")), "{told:?}");
        assert!(told.out.contains(last["sentence"].as_str().unwrap()), "{told:?}");
        assert!(!told.out.contains('\u{1b}') && !lines.contains('\u{1b}') && !mount.log().contains('\u{1b}'));
        times.push(time);
    }
    assert!(times[0] < times[1] && times[1] < times[2], "{times:?}");
}

fn the_newest_refusal_is_told_on_the_name_that_was_tried(target: &Target) {
    let id = target.filled(&target.person("demo"), &json!({"name": target.name("tried"), "p": "1"}), b"some");
    let mount = target.mount_with("demo", &SOMEBODYS);
    let somebody = Somebody::at(target, &mount);
    let tried = [
        ("touch $/properties/owner", "Invalid argument", "properties/owner", "'owner' is an attribute"),
        ("printf '\\377\\n' > $/properties/newx", "", "properties/newx", "not text in UTF-8"),
        ("touch $/tags/older%", "Invalid argument", "tags/older%", "is written %25 here"),
        ("mv $/properties/p $/tags/p", "not permitted", "tags/p", "stays where it is: copy it"),
        ("mv $/properties/p $/properties/owner", "", "properties/owner", "'owner' is an attribute"),
        ("echo text > $/tags/t", "", "tags/t", "its file stays empty"),
        ("mkdir $/tags/folder", "not permitted", "tags/folder", "made in by-name and by-id"),
    ];
    for (line, words, path, sentence) in tried {
        for view in [format!("by-id/{id}"), format!("by-name/{}", target.name("tried"))] {
            somebody.is_refused(&line.replace('$', &view), words);
            somebody.is_told(&format!("{view}/{path}"), &[sentence, &format!("on by-id/{id}/{path} at")]);
        }
        for folder in [format!("by-id/{id}"), format!("by-name/{}", target.name("tried"))] {
            let folder = mount.path(folder).join(Path::new(path).parent().unwrap());
            assert!(error(&folder).is_some_and(|error| error.contains(sentence)), "{path} in {}", folder.display());
        }
    }
    for (_, _, path, sentence) in tried {
        somebody.is_told(&format!("by-id/{id}/{path}"), &[sentence]);
    }
    somebody.is_told(&format!("by-id/{id}/tags/never"), &["nothing failed here lately"]);
}

fn what_could_not_be_renamed_tells_why_by_both_names(target: &Target) {
    let name = target.name("renamed");
    let id = target.filled(&target.person("demo"), &json!({"name": name, "p": "1", "tags": ["t"]}), b"some");
    let mount = target.mount_with("reader", &SOMEBODYS);
    let somebody = Somebody::at(target, &mount);
    // An older failure, which is not the one.
    somebody.is_refused(&format!("echo wrong > by-id/{id}/status"), "I/O error");
    for (from, to) in [
        (format!("by-name/{name}"), format!("by-name/{name}2")),
        (format!("by-name/{name}/properties/p"), format!("by-name/{name}/properties/q")),
        (format!("by-id/{id}/tags/t"), format!("by-id/{id}/tags/u")),
        (format!("files/{name}.raw"), format!("files/{name}2.raw")),
    ] {
        somebody.is_refused(&format!("mv {from} {to}"), "Operation not permitted");
        for path in [&from, &to] {
            somebody.is_told(path, &[&format!("could not change image {id}"), "EPERM on"]);
        }
        assert!(error(&mount.path(&from)).is_some_and(|error| error.contains(&id)), "{from}");
    }
    mount.end();
}

fn a_sentence_names_the_image_and_is_the_same_everywhere(target: &Target) {
    let attributes = json!({"name": target.name("sentence"), "disk_format": "qcow2", "container_format": "bare"});
    let id = target.image(&target.person("demo"), &attributes);
    let mount = target.mount_with("demo", &SOMEBODYS);
    let somebody = Somebody::at(target, &mount);
    for (line, path, what) in [
        ("printf '\\377\\n' > properties/p", "properties", "properties/p of image ID: what was written is not text"),
        ("echo text > tags/t", "tags", "tags/t of image ID: a tag is its name alone"),
        ("echo wrong > status", "status", "status of image ID: 'wrong' is no word that can be written there"),
        (
            "echo '{' > metadata.json; echo '}}' > metadata.json",
            "metadata.json",
            "metadata.json of image ID: this is not",
        ),
        ("echo x > checksums", "checksums", "checksums of image ID: 'x' cannot be in checksums"),
        (
            "dd if=/dev/urandom of=data bs=5000 count=1",
            "data",
            "could not upload image ID: disk_format is qcow2, and the bytes are raw",
        ),
    ] {
        let told = ran(Command::new("sh").args(["-c", &format!("cd {}/by-id/{id}; {line}", mount.root().display())]));
        let sentence = error(&mount.path(format!("by-id/{id}/{path}"))).unwrap_or_else(|| panic!("{line}: {told:?}"));
        assert!(sentence.starts_with(&what.replace("ID", &id)), "{line}: {sentence}");
        somebody.is_told(&format!("by-id/{id}/{path}"), &[&sentence]);
        let last = fs::read_to_string(mount.path(".glancefs/errors")).unwrap();
        let last: serde_json::Value = serde_json::from_str(last.lines().last().unwrap()).unwrap();
        assert_eq!(last["sentence"], json!(sentence));
        assert!(mount.log().contains(&sentence), "{line}: {}", mount.log());
    }
    let uploads = fs::read_to_string(mount.path(".glancefs/uploads")).unwrap();
    assert!(uploads.contains("disk_format is qcow2, and the bytes are raw"), "{uploads}");
    mount.end();
}

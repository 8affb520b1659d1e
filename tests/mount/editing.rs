//! Attributes changed with the programs that people change files with.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::person::Person;
use crate::support::Ran;
use crate::target::Target;
use crate::tools::{attribute, printed, shell, tool};

crate::promises![Both:
    every_editor_changes_what_was_edited_and_nothing_else,
    what_a_shell_writes_takes_effect_where_the_shell_looks,
    what_programs_save_one_right_after_the_other_is_all_kept,
    properties_tags_and_members_are_files,
    every_editor_changes_a_property_and_nothing_else,
    names_that_look_like_a_programs_own_are_escaped,
    what_cannot_be_is_refused_with_a_sentence_and_sends_nothing,
    a_backup_is_restored_into_a_new_image,
    data_have_to_fit_the_checksums_that_were_written_before,
    the_same_sentence_is_told_everywhere,
    a_format_can_be_changed_until_there_are_bytes_and_no_rights_help_then,
];

/// How `min_ram` becomes 64 in `metadata.json`. `$HOLD` returns when somebody else has changed the image meanwhile.
///
/// Vim and Emacs make no backups of what is below the folder of temporary files, where these mounts are, unless told so.
/// An editor with "and keeps a backup" in its name leaves one.
const EDITORS: [(&str, &str); 13] = [
    (
        "vim",
        r#"vim -Nu NONE -i NONE -es -c 'set backupskip=' -c 'call system($HOLD)' -c '%s/"min_ram": 0/"min_ram": 64/' -c 'wq!' metadata.json"#,
    ),
    (
        "vim, backupcopy=yes, and keeps a backup",
        r#"vim -Nu NONE -i NONE -es -c 'set backup backupskip= backupcopy=yes' -c 'call system($HOLD)' -c '%s/"min_ram": 0/"min_ram": 64/' -c 'wq!' metadata.json"#,
    ),
    (
        "vim, backupcopy=no, and keeps a backup",
        r#"vim -Nu NONE -i NONE -es -c 'set backup backupskip= backupcopy=no' -c 'call system($HOLD)' -c '%s/"min_ram": 0/"min_ram": 64/' -c 'wq!' metadata.json"#,
    ),
    (
        "emacs, and keeps a backup",
        r#"emacs --batch -Q --eval '(setq backup-enable-predicate (lambda (_) t))' metadata.json --eval '(progn
           (shell-command (getenv "HOLD")) (set-visited-file-modtime) (goto-char (point-min))
           (search-forward "\"min_ram\": 0") (replace-match "\"min_ram\": 64") (save-buffer))'"#,
    ),
    (
        "emacs, backup-by-copying, and keeps a backup",
        r#"emacs --batch -Q --eval '(setq backup-enable-predicate (lambda (_) t) backup-by-copying t)' metadata.json --eval '(progn
           (shell-command (getenv "HOLD")) (set-visited-file-modtime) (goto-char (point-min))
           (search-forward "\"min_ram\": 0") (replace-match "\"min_ram\": 64") (save-buffer))'"#,
    ),
    (
        "emacs without backups",
        r#"emacs --batch -Q --eval '(setq backup-enable-predicate (lambda (_) t) make-backup-files nil)' metadata.json --eval '(progn
           (shell-command (getenv "HOLD")) (set-visited-file-modtime) (goto-char (point-min))
           (search-forward "\"min_ram\": 0") (replace-match "\"min_ram\": 64") (save-buffer))'"#,
    ),
    (
        "nano",
        r#"python3 -c 'import os, pty
pid, fd = pty.fork()
if pid == 0:
    os.execvpe("nano", ["nano", "--ignorercfiles", "metadata.json"], dict(os.environ, TERM="xterm", LINES="24", COLUMNS="80"))
def until(*words):
    seen = b""
    while not any(word in seen for word in words): seen += os.read(fd, 4096)
    return seen
until(b"Exit"); os.system(os.environ["HOLD"])
for keys, word in [(b"\x1c", b"Search"), (b"\"min_ram\": 0\r", b"with"), (b"\"min_ram\": 64\r", b"this"), (b"A", b"Replaced")]:
    os.write(fd, keys); until(word)
os.write(fd, b"\x0f"); until(b"Write"); os.write(fd, b"\r")
if b"Wrote" not in until(b"Wrote", b"ontinue"): os.write(fd, b"Y"); until(b"Wrote")
os.write(fd, b"\x18"); os.waitpid(pid, 0)'"#,
    ),
    ("sed -i", r#"$HOLD; sed -i 's/"min_ram": 0/"min_ram": 64/' metadata.json"#),
    ("jq and mv", "jq '.min_ram = 64' metadata.json > tmp; $HOLD; mv tmp metadata.json"),
    (
        "os.replace",
        r#"python3 -c 'import json, os
d = json.load(open("metadata.json")); os.system(os.environ["HOLD"]); d["min_ram"] = 64
json.dump(d, open("new.tmp", "w")); os.replace("new.tmp", "metadata.json")'"#,
    ),
    (
        "truncated and written, as VS Code does",
        r#"python3 -c 'import json, os
d = json.load(open("metadata.json")); os.system(os.environ["HOLD"]); d["min_ram"] = 64
f = os.open("metadata.json", os.O_WRONLY); os.ftruncate(f, 0); os.write(f, json.dumps(d).encode()); os.fsync(f); os.close(f)'"#,
    ),
    (
        "a shell's >",
        r#"text=$(sed 's/"min_ram": 0/"min_ram": 64/' metadata.json); $HOLD; printf '%s\n' "$text" > metadata.json"#,
    ),
    ("copied out and in", r#"sed 's/"min_ram": 0/"min_ram": 64/' metadata.json > $OUT; $HOLD; cp $OUT metadata.json"#),
];

/// How `$OLD` becomes `$NEW` in the property `os`, and what `ls` shows of the folder then.
pub(crate) const PROPERTY_EDITORS: [(&str, &str, &str); 12] = [
    ("vim", "vim -Nu NONE -i NONE -es -c 'set backupskip=' -c '%s/$OLD/$NEW/' -c wq os", "os\n"),
    (
        "vim, backupcopy=yes",
        "vim -Nu NONE -i NONE -es -c 'set backup backupskip= backupcopy=yes' -c '%s/$OLD/$NEW/' -c wq os",
        "os\nos~\n",
    ),
    (
        "vim, backupcopy=no",
        "vim -Nu NONE -i NONE -es -c 'set backup backupskip= backupcopy=no' -c '%s/$OLD/$NEW/' -c wq os",
        "os\nos~\n",
    ),
    (
        "vim, backupcopy=auto",
        "vim -Nu NONE -i NONE -es -c 'set nobackup writebackup backupskip= backupcopy=auto' -c '%s/$OLD/$NEW/' -c wq os",
        "os\n",
    ),
    (
        "emacs",
        r#"emacs --batch -Q --eval '(setq backup-enable-predicate (lambda (_) t))' os --eval '(progn
           (search-forward "$OLD") (replace-match "$NEW") (save-buffer))'"#,
        "os\nos~\n",
    ),
    (
        "emacs, backup-by-copying",
        r#"emacs --batch -Q --eval '(setq backup-enable-predicate (lambda (_) t) backup-by-copying t)' os --eval '(progn
           (search-forward "$OLD") (replace-match "$NEW") (save-buffer))'"#,
        "os\nos~\n",
    ),
    (
        "nano",
        r#"python3 -c 'import os, pty
pid, fd = pty.fork()
if pid == 0:
    os.execvpe("nano", ["nano", "--ignorercfiles", "os"], dict(os.environ, TERM="xterm", LINES="24", COLUMNS="80"))
def until(word):
    seen = b""
    while word not in seen: seen += os.read(fd, 4096)
for keys, word in [(b"", b"Exit"), (b"\x1c", b"Search"), (b"$OLD\r", b"with"), (b"$NEW\r", b"this"), (b"A", b"Replaced"),
                   (b"\x0f", b"Write"), (b"\r", b"Wrote")]:
    os.write(fd, keys); until(word)
os.write(fd, b"\x18"); os.waitpid(pid, 0)'"#,
        "os\n",
    ),
    ("rsync --backup", "t=$(mktemp -d); echo $NEW > $t/os; rsync -aI --backup $t/os os; rm -r $t", "os\nos~\n"),
    (
        "rsync --backup --inplace",
        "t=$(mktemp -d); echo $NEW > $t/os; rsync -aI --backup --inplace $t/os os; rm -r $t",
        "os\nos~\n",
    ),
    ("sed -i", "sed -i s/$OLD/$NEW/ os", "os\n"),
    ("sed -i~", "sed -i~ s/$OLD/$NEW/ os", "os\nos~\n"),
    ("a backup by cp", "cp os os~; sed s/$OLD/$NEW/ os~ > os", "os\nos~\n"),
];

/// The line that makes `n` to `n + 1`.
pub(crate) fn edit_of(line: &str, n: usize) -> String {
    line.replace("$OLD", &n.to_string()).replace("$NEW", &(n + 1).to_string())
}

/// A program that waits, in the middle of an edit, until somebody else has changed the image.
struct Hold {
    asked: PathBuf,
    go: PathBuf,
    program: PathBuf,
}

impl Hold {
    fn new(target: &Target, n: usize) -> Self {
        let (asked, go) = (target.file(&format!("asked-{n}")), target.file(&format!("go-{n}")));
        printed("mkfifo", [&asked, &go]);
        let text = format!("#!/bin/sh\necho > {}\nread _ < {}\n", asked.display(), go.display());
        let program = target.file_with(&format!("hold-{n}"), text);
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        Self { asked, go, program }
    }

    /// Runs `line` in `folder`, and does `elsewhere` in its middle.
    fn run(&self, folder: &Path, line: &str, out: &Path, elsewhere: impl FnOnce()) -> Ran {
        let mut command = Command::new("timeout");
        command.args(["--kill-after=5", "100", "sh", "-euc", line]).current_dir(folder);
        command.env("HOLD", &self.program).env("OUT", out).env("HOME", out.parent().unwrap()).env("LC_ALL", "C.UTF-8");
        std::thread::scope(|scope| {
            let ran = scope.spawn(|| {
                let ran = Ran::of(command.output().unwrap());
                // Who never came to its middle has nobody waiting for it.
                let end = OpenOptions::new().write(true).custom_flags(libc::O_NONBLOCK).open(&self.asked);
                drop(end.map(|mut end| end.write_all(b"\n")));
                ran
            });
            drop(std::fs::read(&self.asked).unwrap());
            elsewhere();
            let go = OpenOptions::new().read(true).write(true).open(&self.go).unwrap();
            (&go).write_all(b"\n").unwrap();
            ran.join().unwrap()
        })
    }
}

/// Changes an image as another client of the service does.
pub(crate) fn patch(target: &Target, person: &Person, id: &str, operations: &Value) {
    let request = person.request("PATCH", &format!("/v2/images/{id}"));
    let request = request.body(operations.to_string().as_bytes());
    let request = request.header("Content-Type", "application/openstack-images-v2.1-json-patch");
    target.wait(request.send()).is(200);
}

/// An image as the service shows it, without what each change moves.
fn shown(target: &Target, person: &Person, id: &str) -> Value {
    let mut image = target.wait(person.show(id));
    image.as_object_mut().unwrap().remove("updated_at");
    image
}

fn every_editor_changes_what_was_edited_and_nothing_else(target: &Target) {
    let (person, mount) = (target.person("demo"), target.mount("demo"));
    for (n, (editor, line)) in EDITORS.into_iter().enumerate() {
        let attributes = json!({"name": target.name(&format!("edited-{n}")), "os_distro": "debian", "tags": ["one"]});
        let id = target.filled(&person, &attributes, b"bytes");
        let folder = mount.path("by-id").join(&id);
        let mut wanted = shown(target, &person, &id);
        let ran = Hold::new(target, n).run(&folder, line, &target.file("out.json"), || {
            patch(
                target,
                &person,
                &id,
                &json!([
                    {"op": "add", "path": "/elsewhere", "value": "kept"},
                    {"op": "replace", "path": "/min_disk", "value": 3},
                ]),
            );
        });
        assert!(ran.code == Some(0), "{editor}: {ran:?}");
        for (key, value) in [("min_ram", json!(64)), ("min_disk", json!(3)), ("elsewhere", json!("kept"))] {
            wanted[key] = value;
        }
        assert_eq!(shown(target, &person, &id), wanted, "{editor}");
        let parts = "checksums data members metadata.json properties status tags";
        let backup = editor.contains("and keeps a backup");
        let parts = if backup { parts.replace(".json", ".json metadata.json~") } else { parts.to_owned() };
        assert_eq!(shell(&folder, "ls -A").split_whitespace().collect::<Vec<_>>().join(" "), parts, "{editor}");
        if backup {
            let old: Value = serde_json::from_str(&shell(&folder, "cat metadata.json~")).unwrap();
            assert_eq!(
                (&old["id"], &old["min_ram"], &old["os_distro"]),
                (&json!(id), &json!(0), &json!("debian")),
                "{editor}"
            );
        }
    }
    mount.end();
}

fn what_a_shell_writes_takes_effect_where_the_shell_looks(target: &Target) {
    let (person, mount) = (target.person("demo"), target.mount("demo"));
    let id = target.filled(&person, &json!({"name": target.name("shell")}), b"bytes");
    let folder = mount.path("by-id").join(&id);
    let shown = |key: &str| target.wait(person.show(&id))[key].clone();
    shell(&folder, "echo deactivated > status");
    assert_eq!((shown("status"), shell(&folder, "cat status")), (json!("deactivated"), "deactivated\n".to_owned()));
    assert_eq!(tool("cat", [folder.join("data")]).code, Some(1), "nobody reads it now");
    shell(&folder, "printf active > status");
    assert_eq!((shown("status"), shell(&folder, "cat data")), (json!("active"), "bytes".to_owned()));
    shell(&folder, "printf '%s\n' '{' '\"min_disk\":' ' 7' '}' > metadata.json");
    assert_eq!(shown("min_disk"), 7);
    let refused = tool("sh", ["-c".as_ref(), "echo gone > \"$0\"/status".as_ref(), folder.as_os_str()]);
    assert_ne!(refused.code, Some(0), "echo hears of it");
    mount.end();
}

fn what_programs_save_one_right_after_the_other_is_all_kept(target: &Target) {
    let demo = target.person("demo");
    let id = target.image(&demo, &json!({"name": target.name("quickly")}));
    let mount = target.mount("demo");
    let folder = mount.path("by-id").join(&id);
    let out = target.file("document");
    // One reads and another writes, so that nobody but the document says from which version it was made.
    let save = |filter: &str| {
        let out = out.display();
        shell(&folder, &format!("jq '{filter}' metadata.json > {out}; cp {out} metadata.json"));
    };
    for number in 1..=3 {
        save(&format!(".one = \"{number}\" | .two = \"{number}\""));
        save(&format!("del(.one) | .two = \"again {number}\""));
        let image = shown(target, &demo, &id);
        assert_eq!((&image["one"], &image["two"]), (&Value::Null, &json!(format!("again {number}"))));
    }
    mount.end();
}

fn properties_tags_and_members_are_files(target: &Target) {
    let (person, mount) = (target.person("demo"), target.mount("demo"));
    let id = target.filled(&person, &json!({"name": target.name("items"), "visibility": "shared"}), b"bytes");
    let folder = mount.path("by-id").join(&id);
    let other = target.person("alt").project;
    shell(
        &folder,
        "echo debian > properties/os_distro; printf 'two\nlines\n' > properties/text; touch properties/none",
    );
    shell(&folder, "echo 1 > properties/gone; rm properties/gone; mv properties/none properties/empty");
    shell(&folder, "touch tags/plain 'tags/ünicode' tags/a%2Fb tags/gone; rm tags/gone; mv tags/plain tags/moved");
    shell(&folder, &format!("touch members/{other} members/nobody; rm members/nobody"));
    let image = target.wait(person.show(&id));
    assert_eq!(
        (&image["os_distro"], &image["text"], &image["empty"]),
        (&json!("debian"), &json!("two\nlines"), &json!(""))
    );
    assert!(image.get("gone").is_none() && image.get("none").is_none());
    let mut tags: Vec<_> =
        image["tags"].as_array().unwrap().iter().map(|tag| tag.as_str().unwrap().to_owned()).collect();
    tags.sort();
    assert_eq!(tags, ["a/b", "moved", "ünicode"]);
    assert_eq!(
        shell(&folder, "cat properties/* && ls tags | tr '\n' ' ' && cat members/*"),
        "\ndebian\ntwo\nlines\na%2Fb moved ünicode pending\n"
    );
    let members = target.wait(person.get(&format!("/v2/images/{id}/members"))).is(200).json();
    assert_eq!((members["members"].as_array().unwrap().len(), &members["members"][0]["member_id"]), (1, &json!(other)));

    let theirs = target.mount("alt");
    let own = theirs.path("by-id").join(&id).join("members").join(&other);
    shell(own.parent().unwrap(), &format!("echo accepted > {other}"));
    assert_eq!(std::fs::read_to_string(&own).unwrap(), "accepted\n");
    assert!(theirs.path("by-name").join(target.name("items")).exists(), "and is listed from now on");
    theirs.end();
    mount.end();
}

fn every_editor_changes_a_property_and_nothing_else(target: &Target) {
    let (person, mount) = (target.person("demo"), target.mount("demo"));
    // As many as an image may have: one more for a moment would be refused.
    let mut attributes: serde_json::Map<_, _> = (1..128).map(|n| (format!("p{n}"), json!("x"))).collect();
    attributes.extend([("name".to_owned(), json!(target.name("property"))), ("os".to_owned(), json!("0"))]);
    let id = target.filled(&person, &Value::Object(attributes), b"bytes");
    let folder = mount.path("by-id").join(&id).join("properties");
    let mut wanted = shown(target, &person, &id);
    for (n, (editor, line, left)) in PROPERTY_EDITORS.into_iter().enumerate() {
        shell(&folder, &edit_of(line, n));
        wanted["os"] = json!((n + 1).to_string());
        assert_eq!(shown(target, &person, &id), wanted, "{editor}");
        let there = shell(&folder, "ls -A | grep -vx 'p[0-9]*'");
        assert_eq!(there, left, "{editor}");
        if there.contains('~') {
            assert_eq!(shell(&folder, "cat os~; rm os~"), format!("{n}\n"), "{editor}");
            assert_eq!(shown(target, &person, &id), wanted, "{editor}: the backup is nobody's property");
        }
    }
    mount.end();
}

fn names_that_look_like_a_programs_own_are_escaped(target: &Target) {
    let (person, mount) = (target.person("demo"), target.mount("demo"));
    let names = [("%2Edot", ".dot"), ("%34913", "4913"), ("%73edentary", "sedentary"), ("os%7E", "os~")];
    let mut attributes = json!({"name": target.name("look"), "tags": names.map(|(_, name)| name)});
    for (_, name) in names {
        attributes[name] = json!("there");
    }
    let id = target.filled(&person, &attributes, b"bytes");
    let folder = mount.path("by-id").join(&id);
    let listed = names.map(|(entry, _)| format!("{entry}\n")).concat();
    assert_eq!(shell(&folder, "export LC_ALL=C; ls -A tags; ls -A properties"), listed.repeat(2));
    assert_eq!(shell(&folder, "cat properties/*"), "there\n".repeat(4));
    let local = "touch tags/4913 tags/new~ properties/sedABC123; rm tags/4913 tags/new~ properties/sedABC123";
    shell(&folder, local);
    for (entry, _) in names {
        shell(&folder, &format!("echo changed > properties/{entry}; rm tags/{entry}; touch tags/{entry}"));
    }
    shell(&folder, "rm tags/*; touch tags/a%7E; mv tags/a%7E tags/%34913; mv properties/os%7E properties/%73ed12345x");
    let image = target.wait(person.show(&id));
    assert_eq!(image["tags"], json!(["4913"]));
    for name in [".dot", "4913", "sedentary", "sed12345x"] {
        assert_eq!(image[name], json!("changed"), "{name}");
    }
    assert_eq!((image.get("os~"), image.get("sedABC123")), (None, None));
    mount.end();
}

/// What cannot be written to `metadata.json`, and a word of the sentence.
const REFUSED: [(&str, &str); 11] = [
    ("{\n  \"name\": nope\n}", "line 2, column"),
    ("{\"name\": \"x\"", "ends before"),
    ("[1, 2]", "begins with {"),
    ("\u{7f}ELF", "begins with {"),
    ("{\"min_disk\": \"many\"}", "min_disk"),
    ("{\"protected\": \"yes\"}", "protected"),
    ("{\"visibility\": \"secret\"}", "visibility"),
    ("{\"os_distro\": 12}", "in quotes"),
    ("{\"os_distro\": null}", "leaving its line out"),
    ("{\"tags\": \"one\"}", "tags"),
    ("{\"name\": \"a\", \"name\": \"b\"}", "name"),
];

fn what_cannot_be_is_refused_with_a_sentence_and_sends_nothing(target: &Target) {
    let (person, mount) = (target.person("demo"), target.mount("demo"));
    let id = target.filled(&person, &json!({"name": target.name("refused"), "os_distro": "debian"}), b"bytes");
    let document = mount.path("by-id").join(&id).join("metadata.json");
    let (before, text) = (target.wait(person.show(&id)), std::fs::read_to_string(&document).unwrap());
    let refused = |bytes: &[u8], errno: i32, word: &str| {
        let written = File::create(&document).and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        });
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]).into_owned();
        assert_eq!(written.err().and_then(|error| error.raw_os_error()), Some(errno), "{shown}");
        let sentence = attribute(&document, "user.glancefs.error").unwrap();
        assert!(sentence.contains(word), "{shown}: {sentence}");
        assert_eq!(target.wait(person.show(&id)), before, "{shown}");
        assert_eq!(std::fs::read_to_string(&document).unwrap(), text, "the service's document is there again");
    };
    for (wrong, word) in REFUSED {
        refused(wrong.as_bytes(), libc::EINVAL, word);
    }
    refused(b"{\"name\": \"\xff\"}", libc::EINVAL, "UTF-8");
    refused(json!({"name": "n".repeat(256)}).to_string().as_bytes(), libc::EINVAL, "name");
    refused("{\"name\": \"\u{1f600}\"}".as_bytes(), libc::EINVAL, "4 byte");
    refused(text.replace("\"size\": 5", "\"size\": 6").as_bytes(), libc::EINVAL, "size");
    refused(format!("{{\"text\": \"{}\"}}", "x".repeat(10 << 20)).as_bytes(), libc::EFBIG, "8 MiB");
    let many: serde_json::Map<_, _> = (0..129).map(|n| (format!("p{n}"), json!("x"))).collect();
    refused(Value::Object(many).to_string().as_bytes(), libc::EDQUOT, "128");
    std::fs::write(&document, "").unwrap();
    assert_eq!(target.wait(person.show(&id)), before, "an emptied document is not sent");
    mount.end();
}

fn a_backup_is_restored_into_a_new_image(target: &Target) {
    let (person, mount) = (target.person("demo"), target.mount("demo"));
    let member = target.person("alt").project;
    let bytes = crate::content::noise(51, 300_000);
    let attributes = json!({"name": target.name("backup"), "visibility": "shared", "min_ram": 32, "os_distro": "debian",
        "note": "two\nlines", "tags": ["one", "t/wo"], "disk_format": "raw", "container_format": "bare"});
    let old = target.filled(&person, &attributes, &bytes);
    target.wait(person.post(&format!("/v2/images/{old}/members"), &json!({"member": member}))).is(200);
    let backup = target.file("backup");
    shell(&mount.path("by-id"), &format!("rsync -a {old}/ {}/", backup.display()));
    let source = target.wait(person.show(&old));
    let new = mount.path("by-name").join(target.name("backup"));
    shell(&mount.root(), &format!("rmdir {new} && mkdir {new}", new = new.display()));
    let id = crate::uploading::id_of(&new);
    target.tidy(&person, &id);
    shell(&backup, &format!("rsync -a ./ {}/", new.display()));
    let image = target.wait(person.show(&id));
    for key in [
        "visibility",
        "min_ram",
        "os_distro",
        "note",
        "disk_format",
        "container_format",
        "size",
        "os_hash_value",
        "status",
    ] {
        assert_eq!(image[key], source[key], "{key}");
    }
    let tags = |image: &Value| {
        let mut tags: Vec<_> = image["tags"].as_array().unwrap().iter().map(Value::to_string).collect();
        tags.sort();
        tags
    };
    assert_eq!(tags(&image), tags(&source));
    let members = target.wait(person.get(&format!("/v2/images/{id}/members"))).is(200).json();
    assert_eq!(members["members"][0]["member_id"], json!(member));
    let again = shell(&backup, &format!("rsync -a --stats --out-format='%n %l' ./ {}/", new.display()));
    assert!(!again.lines().any(|line| line.starts_with("data ")), "{again}");
    mount.end();
}

fn data_have_to_fit_the_checksums_that_were_written_before(target: &Target) {
    let mount = target.mount("demo");
    let folder = crate::uploading::made(target, &mount, "expected");
    let right = target.file_with("right", b"these bytes");
    shell(&folder, &format!("cksum -a sha512 {} | sed 's/(.*)/(data)/' > checksums", right.display()));
    assert!(shell(&folder, "cat checksums").starts_with("SHA512 (data) = "));
    let wrong =
        tool("sh", ["-c".as_ref(), "echo other > $0/data.tmp && mv $0/data.tmp $0/data".as_ref(), folder.as_os_str()]);
    assert!(wrong.code != Some(0) && wrong.err.contains("Input/output error"), "{wrong:?}");
    let sentence = attribute(&folder.join("data"), "user.glancefs.error").unwrap();
    assert!(sentence.contains("nothing was sent"), "{sentence}");
    assert_eq!(crate::uploading::shown(target, &folder)["status"], "queued");
    shell(&folder, &format!("cp {} data && cksum -c checksums", right.display()));
    assert_eq!(crate::uploading::shown(target, &folder)["status"], "active");
    mount.end();
}

fn the_same_sentence_is_told_everywhere(target: &Target) {
    let (person, mount) = (target.person("reader"), target.mount("reader"));
    let owner = target.person("demo");
    let id = target.filled(&owner, &json!({"name": target.name("told")}), b"bytes");
    let status = mount.path("by-id").join(&id).join("status");
    let error = std::fs::write(&status, "deactivated\n").unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EPERM));
    let sentence = attribute(&status, "user.glancefs.error").unwrap();
    assert!(sentence.starts_with(&format!("could not deactivate image {id}")), "{sentence}");
    let explained = printed(env!("CARGO_BIN_EXE_glancefs"), ["explain".as_ref(), status.as_os_str()]);
    assert!(
        explained.contains(&sentence) && explained.contains(&format!("EPERM on by-id/{id}/status at ")),
        "{explained}"
    );
    let errors = std::fs::read_to_string(mount.path(".glancefs/errors")).unwrap();
    let last: Value = serde_json::from_str(errors.lines().last().unwrap()).unwrap();
    assert_eq!(
        (&last["sentence"], &last["errno"], &last["path"]),
        (&json!(sentence), &json!("EPERM"), &json!(format!("by-id/{id}/status")))
    );
    let request = last["request_id"].as_str().unwrap();
    assert!(request.starts_with("req-") && explained.contains(request) && mount.log().contains(request));
    assert_eq!(target.wait(person.show(&id))["status"], "active");
    mount.end();
}

fn a_format_can_be_changed_until_there_are_bytes_and_no_rights_help_then(target: &Target) {
    let owner = target.person("demo");
    let attributes = json!({"name": target.name("formats"), "disk_format": "raw", "container_format": "bare"});
    let (queued, active) = (target.image(&owner, &attributes), target.filled(&owner, &attributes, b"bytes"));
    let edits = ["s/\"raw\"/\"vmdk\"/", "s/\"bare\"/\"ovf\"/"];
    for (who, errno) in [("reader", libc::EPERM), ("admin", libc::EBUSY), ("demo", libc::EBUSY)] {
        let mount = target.mount(who);
        for edit in edits {
            let document = mount.path("by-id").join(&active).join("metadata.json");
            let edited = printed("sed", [edit.as_ref(), document.as_os_str()]);
            let error = std::fs::write(&document, edited).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(errno), "{who}: {edit}");
            let sentence = attribute(&document, "user.glancefs.error").unwrap();
            let is_busy = errno == libc::EBUSY;
            assert_eq!(sentence.contains("for a queued image: make a new one"), is_busy, "{who}: {sentence}");
            assert_eq!(sentence.contains("more rights"), !is_busy, "{who}: {sentence}");
            if who == "demo" {
                shell(&mount.path("by-id").join(&queued), &format!("sed -i '{edit}' metadata.json"));
            }
        }
        mount.end();
    }
    let formats = |id: &str| {
        let image = shown(target, &owner, id);
        (image["disk_format"].clone(), image["container_format"].clone())
    };
    assert_eq!(formats(&queued), (json!("vmdk"), json!("ovf")));
    assert_eq!(formats(&active), (json!("raw"), json!("bare")));
}

//! Small files written in every way that programs write files: emptied, appended, cut, half and by several at once.

use std::path::Path;

use serde_json::{Value, json};

use crate::editing::patch;
use crate::person::Person;
use crate::support::Ran;
use crate::target::Target;
use crate::tools::{shell, tool, tool_in};
use crate::uploading::made;

crate::promises![Both:
    a_small_file_is_written_where_its_writer_takes_it_to_end,
    what_is_cut_by_its_name_holds_what_is_left,
    behind_a_line_that_was_refused_nothing_is_taken,
    checksums_can_be_appended_and_copied,
    what_is_appended_goes_behind_what_somebody_else_has_written,
    an_empty_property_is_there_or_refused_when_its_maker_closes_it,
    a_tag_or_member_is_made_in_every_way_and_by_no_text_that_is_refused,
    what_somebody_else_removed_is_there_again_once_it_is_touched,
    what_is_removed_or_renamed_while_it_is_open_does_not_come_back,
    a_shell_writes_a_document_line_by_line,
    a_child_of_a_killed_program_completes_nothing,
];

/// What a line of bash does in `folder`.
fn bash(folder: &Path, line: &str) -> Ran {
    tool_in(folder, "bash", &["-c", line])
}

/// Runs lines of Python in `folder`, where `a` is the property of that name.
fn python(folder: &Path, lines: &str) -> Ran {
    let lines = format!("import os\na = 'properties/a'\n{lines}");
    tool_in(folder, "python3", &["-c", &lines])
}

fn property(target: &Target, person: &Person, id: &str) -> Value {
    target.wait(person.show(id))["a"].clone()
}

fn what_is_appended_goes_behind_what_somebody_else_has_written(target: &Target) {
    let (person, mount) = (target.person("demo"), target.mount_with("demo", &["--ttl=5m"]));
    let id = target.filled(&person, &json!({"name": target.name("appended"), "a": "old"}), b"bytes");
    let folder = mount.path("by-id").join(&id);
    shell(&folder, "cat properties/a; ls -l properties");
    patch(target, &person, &id, &json!([{"op": "replace", "path": "/a", "value": "somebody else's"}]));
    shell(&folder, "echo more >> properties/a");
    assert_eq!(property(target, &person, &id), "somebody else's\nmore");
    mount.end();
}

fn a_small_file_is_written_where_its_writer_takes_it_to_end(target: &Target) {
    let (person, mount) = (target.person("demo"), target.mount("demo"));
    let id = target.filled(&person, &json!({"name": target.name("ends")}), b"bytes");
    let folder = mount.path("by-id").join(&id);
    for (lines, wanted) in [
        ("f = open(a, 'a'); f.truncate(0); f.write('x\\n'); f.close()", "x"),
        ("f = open(a, 'w'); assert f.seek(0, 2) == 0; f.write('x\\n'); f.close()", "x"),
        (
            "f = os.open(a, os.O_WRONLY | os.O_APPEND | os.O_TRUNC); assert os.fstat(f).st_size == 0; os.write(f, b'x\\n')",
            "x",
        ),
        ("f = open(a, 'a'); f.write('78'); f.flush(); assert f.tell() == 9; f.write('9\\n'); f.close()", "123456\n789"),
        ("f = open(a, 'r+'); assert f.seek(0, 2) == 7; f.write('7\\n'); f.close()", "123456\n7"),
        ("f = open(a, 'r+'); f.write('9\\n'); f.close()", "9\n3456"),
        (
            "f = open(a, 'w'); f.write('x' * 100); f.flush(); os.system('echo 7 >> ' + a); f.truncate(0); f.seek(0); f.close()",
            "123456\n7",
        ),
        (
            "f = open(a, 'a'); f.write('x'); f.flush(); os.system('stat ' + a + '; ls -l properties'); f.write('y\\n')",
            "123456\nxy",
        ),
        ("os.truncate(a, 0); assert os.stat(a).st_size == 7", "123456"),
    ] {
        shell(&folder, "echo 123456 > properties/a");
        let ran = python(&folder, lines);
        assert!(ran.code == Some(0), "{lines}: {ran:?}");
        assert_eq!(property(target, &person, &id), json!(wanted), "{lines}");
    }
    let document = "import json; t = open('metadata.json').read(); f = open('metadata.json', 'a'); f.truncate(0)
f.write(t.replace('\"min_ram\": 0', '\"min_ram\": 64')); f.close()";
    assert_eq!(python(&folder, document).code, Some(0));
    assert_eq!(target.wait(person.show(&id))["min_ram"], 64);
    let holes = python(&folder, "f = open(a, 'w'); f.seek(7); f.write('x\\n'); f.close()");
    assert!(holes.code != Some(0) && holes.err.contains("Invalid argument"), "{holes:?}");
    assert_eq!(property(target, &person, &id), json!("123456"));
    mount.end();
}

fn what_is_cut_by_its_name_holds_what_is_left(target: &Target) {
    let (person, mount) = (target.person("demo"), target.mount("demo"));
    let id = target.filled(&person, &json!({"name": target.name("cut"), "a": "123456"}), b"bytes");
    let folder = mount.path("by-id").join(&id);
    shell(&folder, "truncate -s 3 properties/a");
    assert_eq!(property(target, &person, &id), json!("123"));
    let cut = python(&folder, "os.truncate(a, 2)");
    assert!(cut.code == Some(0), "{cut:?}");
    assert_eq!(property(target, &person, &id), json!("12"));
    for lines in ["os.truncate(a, 9)", "os.truncate('metadata.json', 9)", "os.truncate('status', 2)"] {
        let refused = python(&folder, lines);
        assert!(refused.err.contains("Invalid argument"), "{lines}: {refused:?}");
    }
    assert_eq!(property(target, &person, &id), json!("12"));
    mount.end();
}

fn behind_a_line_that_was_refused_nothing_is_taken(target: &Target) {
    let (person, mount) = (target.person("demo"), target.mount("demo"));
    let id = target.filled(&person, &json!({"name": target.name("behind")}), b"bytes");
    let folder = mount.path("by-id").join(&id);
    let before = target.wait(person.show(&id));
    for line in [
        "printf 'nope\\ndeactivated\\n' > status",
        "{ echo '# note'; echo '{\"min_ram\": 77}'; } > metadata.json",
        "exec 3> status; echo nope >&3; echo deactivated >&3",
    ] {
        let ran = bash(&folder, line);
        assert!(ran.code != Some(0) && ran.err.contains("Invalid argument"), "{line}: {ran:?}");
        assert_eq!(target.wait(person.show(&id)), before, "{line}");
    }
    mount.end();
}

fn checksums_can_be_appended_and_copied(target: &Target) {
    let mount = target.mount("demo");
    let folder = made(target, &mount, "sums");
    let right = target.file_with("right", b"these bytes");
    let wrong = "MD5 (data) = 00000000000000000000000000000000";
    let sum = format!("cksum -a sha512 {} | sed 's/(.*)/(data)/'", right.display());
    shell(&folder, &format!("echo '{wrong}' > checksums; {sum} >> checksums"));
    let copy = target.file("copy");
    shell(&folder, &format!("rsync -a checksums {}", copy.display()));
    let copied = std::fs::read_to_string(&copy).unwrap();
    assert!(copied.lines().count() == 2 && copied.contains(wrong), "{copied}");
    let refused = tool("cp", [right.as_path(), &folder.join("data")]);
    assert!(refused.code != Some(0) && refused.err.contains("Input/output error"), "{refused:?}");
    shell(&folder, &format!("{sum} > checksums; cp {} data", right.display()));
    mount.end();
}

fn an_empty_property_is_there_or_refused_when_its_maker_closes_it(target: &Target) {
    let id = target.filled(&target.person("demo"), &json!({"name": target.name("empty")}), b"bytes");
    let nothing = target.file_with("nothing", "");
    let ways = [
        ("open", "python3 -c 'open(\"properties/open\", \"w\").close()'".to_owned()),
        ("cp", format!("cp {} properties/cp", nothing.display())),
        ("touch", "touch -d 2001-02-03 properties/touch".to_owned()),
        ("mknod", "python3 -c 'import os; os.mknod(\"properties/mknod\")'".to_owned()),
        ("rsync", format!("rsync -a --inplace {} properties/rsync", nothing.display())),
    ];
    let reader = target.mount("reader");
    let folder = reader.path("by-id").join(&id);
    for (_, line) in &ways {
        let refused = bash(&folder, line);
        assert!(refused.code != Some(0) && refused.err.contains("not permitted"), "{line}: {refused:?}");
    }
    assert_eq!(shell(&folder, "ls properties"), "");
    reader.end();
    let (person, mount) = (target.person("demo"), target.mount("demo"));
    let folder = mount.path("by-id").join(&id);
    for (name, line) in &ways {
        shell(&folder, line);
        assert_eq!(target.wait(person.show(&id))[name], "", "{line}");
    }
    shell(&folder, ": > properties/colon; cat properties/colon");
    mount.end();
}

fn a_tag_or_member_is_made_in_every_way_and_by_no_text_that_is_refused(target: &Target) {
    let (person, mount) = (target.person("demo"), target.mount("demo"));
    let id = target.filled(&person, &json!({"name": target.name("made"), "visibility": "shared"}), b"bytes");
    let folder = mount.path("by-id").join(&id);
    for line in
        ["echo text > tags/no", "printf text > tags/no; : > status", "echo bogus > members/no", "echo > members/no"]
    {
        let refused = bash(&folder, &format!("{line}; echo $?; ls tags members"));
        let is_heard = refused.err.contains("Invalid argument") || line.contains("printf");
        assert!(is_heard && !refused.out.contains("no\n"), "{line}: {refused:?}");
    }
    let nothing = target.file_with("nothing", "");
    let ways = [
        ("touch", "touch $".to_owned()),
        ("open", "python3 -c 'open(\"$\", \"w\").close()'".to_owned()),
        ("mknod", "python3 -c 'import os; os.mknod(\"$\")'".to_owned()),
        ("cp", format!("cp {} $", nothing.display())),
        ("kept", format!("cp -p {} $", nothing.display())),
        ("rsync", format!("rsync -a --inplace {} $", nothing.display())),
        ("colon", ": > $".to_owned()),
    ];
    for (name, line) in &ways {
        shell(&folder, &line.replace('$', &format!("tags/{name}")));
        shell(&folder, &line.replace('$', &format!("members/{name}")));
        let members = target.wait(person.get(&format!("/v2/images/{id}/members"))).is(200).json();
        let is_member = |member: &Value| member["member_id"] == *name && member["status"] == "pending";
        assert!(members["members"].as_array().unwrap().iter().any(is_member), "{line}: {members}");
        assert!(target.wait(person.show(&id))["tags"].as_array().unwrap().contains(&json!(name)), "{line}");
    }
    mount.end();
    let reader = target.mount("reader");
    for folder in ["tags", "members"] {
        let refused =
            bash(&reader.path("by-id").join(&id), &format!("touch {folder}/x; echo x > {folder}/y; ls {folder}"));
        assert_eq!(
            refused.err.matches("not permitted").count() + refused.err.matches("Invalid").count(),
            2,
            "{refused:?}"
        );
        assert!(!refused.out.contains("x\n") && !refused.out.contains("y\n"), "{refused:?}");
    }
    reader.end();
}

fn what_somebody_else_removed_is_there_again_once_it_is_touched(target: &Target) {
    let person = target.person("demo");
    let attributes = json!({"name": target.name("again"), "visibility": "shared", "tags": ["t"], "p": "value"});
    let id = target.filled(&person, &attributes, b"bytes");
    let at = |below: &str| format!("/v2/images/{id}/{below}");
    target.wait(person.post(&at("members"), &json!({"member": "m"}))).is(200);
    let mount = target.mount_with("demo", &["--ttl=5m"]);
    let folder = mount.path("by-id").join(&id);
    for lines in [
        ["touch tags/t", "touch members/m"],
        [": > tags/t", "python3 -c 'open(\"members/m\", \"w\").close()'"],
        ["python3 -c 'import pathlib; pathlib.Path(\"tags/t\").touch()'", "touch members/m"],
    ] {
        assert_eq!(shell(&folder, "ls tags members"), "members:\nm\n\ntags:\nt\n");
        for gone in ["tags/t", "members/m"] {
            target.wait(person.request("DELETE", &at(gone)).send()).is(204);
        }
        shell(&folder, &lines.join("; "));
        assert_eq!(target.wait(person.show(&id))["tags"], json!(["t"]), "{lines:?}");
        let members = target.wait(person.get(&at("members"))).is(200).json();
        assert_eq!(members["members"][0]["member_id"], json!("m"), "{lines:?}");
    }
    patch(target, &person, &id, &json!([{"op": "remove", "path": "/p"}]));
    shell(&folder, "touch properties/p");
    assert_eq!(target.wait(person.show(&id))["p"], json!(""));
    mount.end();
}

fn what_is_removed_or_renamed_while_it_is_open_does_not_come_back(target: &Target) {
    let (person, mount) = (target.person("demo"), target.mount("demo"));
    let id = target.filled(&person, &json!({"name": target.name("gone"), "a": "1"}), b"bytes");
    let folder = mount.path("by-id").join(&id);
    for lines in [
        "f = open(a, 'w'); f.write('2'); f.flush(); os.unlink(a); f.close()",
        "f = open(a, 'w'); os.unlink(a); f.close()",
        "f = open(a, 'w'); os.rename(a, a + 'b'); f.close()",
    ] {
        let ran = python(&folder, &format!("{lines}; assert 'a' not in os.listdir('properties')"));
        assert!(ran.code == Some(0), "{lines}: {ran:?}");
        assert!(target.wait(person.show(&id)).get("a").is_none(), "{lines}");
    }
    assert_eq!(shell(&folder, "ls properties"), "ab\n");
    assert_eq!(target.wait(person.show(&id))["ab"], "");
    let late = python(&folder, "f = open(a, 'w'); os.unlink(a); f.write('2\\n'); f.close()");
    assert!(late.code != Some(0) && late.err.contains("Stale file handle"), "{late:?}");
    mount.end();
}

fn a_shell_writes_a_document_line_by_line(target: &Target) {
    let (person, mount) = (target.person("demo"), target.mount("demo"));
    let id = target.filled(&person, &json!({"name": target.name("lines")}), b"bytes");
    let folder = mount.path("by-id").join(&id);
    let written =
        "exec 3> metadata.json; printf '{\\n' >&3 && printf '\"min_ram\":' >&3 && printf ' 64}\\n' >&3 && exec 3>&-";
    let ran = bash(&folder, &format!("set -e; {written}; exec 3> properties/a; printf 1 >&3; printf 2 >&3; exec 3>&-"));
    assert!(ran.code == Some(0), "{ran:?}");
    let image = target.wait(person.show(&id));
    assert_eq!((&image["min_ram"], &image["a"]), (&json!(64), &json!("12")));
    mount.end();
}

fn a_child_of_a_killed_program_completes_nothing(target: &Target) {
    let (person, mount) = (target.person("demo"), target.mount("demo"));
    let id = target.filled(&person, &json!({"name": target.name("child"), "a": "1"}), b"bytes");
    let folder = mount.path("by-id").join(&id);
    let lines = "
import signal
f = os.open(a, os.O_WRONLY | os.O_TRUNC)
os.write(f, b'begun')
kept, mine = os.pipe()
if os.fork() == 0:
    os.close(mine)
    os.read(kept, 1)
    try: os.write(f, b' and ended\\n')
    except OSError as error: print(error.strerror, flush=True)
    os._exit(0)
os.kill(os.getpid(), signal.SIGKILL)
";
    // The pipe ends the wait of the child only once its parent has closed its files.
    let ran = python(&folder, lines);
    assert!(ran.out.contains("Invalid argument"), "{ran:?}");
    assert_eq!(property(target, &person, &id), json!("1"));
    mount.end();
}

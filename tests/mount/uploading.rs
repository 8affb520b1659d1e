//! Images written as people and programs write files: each read back through the API equals its source.

use std::path::Path;

use glancefs::server::Behaviour;
use serde_json::{Value, json};

use crate::content::{assert_same, noise};
use crate::mounted::Mount;
use crate::support::Ran;
use crate::target::Target;
use crate::tools::{attribute, printed, shell, tool, tool_in};

crate::promises![Both:
    tools_write_an_image_that_is_active_when_they_return,
    writers_one_after_another_in_a_redirection_make_one_image,
    qemu_img_converts_into_an_image,
    a_mapped_file_is_written_like_any_other,
    a_sparse_copy_is_the_same_image,
    data_that_is_there_is_written_by_nobody,
    a_format_that_the_content_contradicts_is_refused_by_close,
    an_upload_that_failed_is_listed_until_it_is_discarded,
    the_time_of_a_copy_is_kept,
    what_close_has_acknowledged_survives_a_kill,
    a_writer_who_was_killed_has_sent_nothing,
    a_program_that_starts_others_while_it_writes_waits_for_nobody,
    files_that_cannot_be_made_are_refused_with_a_sentence,
    folders_are_images,
];

/// Odd, and longer than what one request writes.
const LENGTH: usize = 3 * 1024 * 1024 + 4321;

/// What people type to fill `data` with `$S`, in a new image's folder. Each returns when the image is active.
const WRITERS: [&str; 10] = [
    "cp $S data",
    "cat $S > data",
    "tee data < $S > /dev/null",
    "dd if=$S of=data bs=1M status=none",
    "dd if=$S of=data bs=1M conv=fsync status=none",
    "dd if=$S of=data bs=1M conv=notrunc status=none",
    "dd if=$S of=data bs=4k status=none",
    "head -c 3145728 $S > $T && dd if=$T of=data bs=1M oflag=direct status=none",
    "truncate -s 1G data && cp $S data",
    "rsync --inplace $S data",
];

pub(crate) fn made(target: &Target, mount: &Mount, word: &str) -> std::path::PathBuf {
    let folder = mount.path("by-name").join(target.name(word));
    printed("mkdir", [&folder]);
    target.tidy(&target.person("demo"), &id_of(&folder));
    folder
}

pub(crate) fn id_of(folder: &Path) -> String {
    let document: Value = serde_json::from_slice(&std::fs::read(folder.join("metadata.json")).unwrap()).unwrap();
    document["id"].as_str().unwrap().to_owned()
}

pub(crate) fn shown(target: &Target, folder: &Path) -> Value {
    target.wait(target.person("demo").show(&id_of(folder)))
}

/// What `glancefs uploads` does with the uploads in a folder.
fn uploads(option: &str, arguments: &[&str]) -> Ran {
    tool(env!("CARGO_BIN_EXE_glancefs"), ["uploads", option].iter().chain(arguments).copied())
}

/// The hash that the service shows is that of these bytes.
#[track_caller]
pub(crate) fn assert_holds(target: &Target, folder: &Path, bytes: &[u8], what: &str) {
    let image = shown(target, folder);
    assert_eq!(image["status"], "active", "{what}");
    assert_eq!(image["size"], bytes.len(), "{what}");
    let source = target.file_with("expected", bytes);
    let sum = printed("sha512sum", [source]);
    assert_eq!(image["os_hash_value"].as_str().unwrap(), sum.split(' ').next().unwrap(), "{what}");
}

/// Waits for an image that becomes active behind who wrote it.
pub(crate) fn becomes_active(folder: &Path) {
    shell(folder, "until grep -qx active status; do sleep 0.1; done");
}

fn tools_write_an_image_that_is_active_when_they_return(target: &Target) {
    let (bytes, mount) = (noise(11, LENGTH), target.mount("demo"));
    let (source, part) = (target.file_with("source", &bytes), target.file("part"));
    for (number, writer) in WRITERS.iter().enumerate() {
        let folder = made(target, &mount, &format!("writer-{number}"));
        if writer.starts_with("rsync") && tool("rsync", ["--version"]).code != Some(0) {
            continue;
        }
        let line = format!("S={} T={}; {writer}", source.display(), part.display());
        shell(&folder, &line);
        let expected = if writer.contains("head -c") { &bytes[..3_145_728] } else { &bytes[..] };
        assert_holds(target, &folder, expected, writer);
        assert_same(&std::fs::read(folder.join("data")).unwrap(), expected, writer);
        assert_eq!(shown(target, &folder)["disk_format"], "raw");
    }
    mount.end();
}

fn writers_one_after_another_in_a_redirection_make_one_image(target: &Target) {
    let (bytes, mount) = (noise(12, LENGTH), target.mount("demo"));
    let source = target.file_with("source", &bytes);
    let writers = [
        "{ dd bs=1M count=1 status=none; dd bs=1M status=none; } < $S > data",
        "{ head -c 1M $S; tail -c +1048577 $S; } > data",
        "( (head -c 1M $S); exec tail -c +1048577 $S ) > data",
        // One who says nothing for longer than an upload rests has not come to the end.
        "{ sleep 3; cat $S; } > data",
        "(sleep 3; cat $S) | dd of=data bs=1M iflag=fullblock status=none",
    ];
    for (number, writer) in writers.iter().enumerate() {
        let folder = made(target, &mount, &format!("redirected-{number}"));
        shell(&folder, &format!("S={}; {writer}", source.display()));
        becomes_active(&folder);
        assert_holds(target, &folder, &bytes, writer);
    }
    mount.end();
}

fn qemu_img_converts_into_an_image(target: &Target) {
    let mut bytes = vec![0; 8 << 20];
    bytes[..LENGTH].copy_from_slice(&noise(13, LENGTH));
    let (source, mount) = (target.file_with("source", &bytes), target.mount("demo"));
    let lines = [
        ("qcow2", "qemu-img convert -f raw -O qcow2 $S data"),
        ("raw", "qemu-img convert -f raw -O raw $S data"),
        ("qcow2", "qemu-img create -q -f qcow2 data 8M; qemu-img convert -n -f raw -O qcow2 $S data"),
        ("raw", "truncate -s 8M data; qemu-img convert -n -f raw -O raw $S data"),
    ];
    for (number, (format, line)) in lines.iter().enumerate() {
        let folder = made(target, &mount, &format!("converted-{number}"));
        shell(&folder, &format!("S={}; {line}", source.display()));
        becomes_active(&folder);
        assert_eq!(shown(target, &folder)["disk_format"], *format, "{line}");
        let words = shell(&folder, &format!("qemu-img compare -f raw -F {format} {} data", source.display()));
        assert!(words.contains("identical"), "{line}: {words}");
    }
    mount.end();
}

fn a_mapped_file_is_written_like_any_other(target: &Target) {
    let (bytes, mount) = (noise(14, LENGTH), target.mount("demo"));
    let (source, folder) = (target.file_with("source", &bytes), made(target, &mount, "mapped"));
    let program = format!(
        "import mmap
bytes = open('{}', 'rb').read()
with open('data', 'r+b') as file:
    file.truncate(len(bytes))
    with mmap.mmap(file.fileno(), len(bytes)) as memory:
        memory[:] = bytes
",
        source.display()
    );
    shell(&folder, &format!("python3 -c \"{program}\""));
    becomes_active(&folder);
    assert_holds(target, &folder, &bytes, "mmap");
    mount.end();
}

fn a_sparse_copy_is_the_same_image(target: &Target) {
    let mut bytes = vec![0; 16 << 20];
    bytes[5 << 20..(5 << 20) + 5].copy_from_slice(b"hello");
    let (source, mount) = (target.file_with("source", &bytes), target.mount("demo"));
    for (number, line) in ["cp --sparse=always $S data", "fallocate -l 16M data && cp $S data"].iter().enumerate() {
        let folder = made(target, &mount, &format!("sparse-{number}"));
        shell(&folder, &format!("S={}; {line}", source.display()));
        becomes_active(&folder);
        assert_holds(target, &folder, &bytes, line);
    }
    mount.end();
}

fn data_that_is_there_is_written_by_nobody(target: &Target) {
    let id = target.filled(&target.person("demo"), &json!({}), b"stays");
    let mount = target.mount("demo");
    let data = mount.data(&id);
    for line in ["echo x > data", "truncate -s 0 data", "dd if=/dev/zero of=data bs=1 count=1 conv=notrunc"] {
        let ran = tool_in(data.parent().unwrap(), "sh", &["-c", line]);
        assert!(ran.err.contains("Operation not permitted"), "{line}: {}", ran.err);
    }
    let words = attribute(&data, "user.glancefs.error").unwrap();
    assert!(words.contains("make a new image"), "{words}");
    assert_eq!(std::fs::read(&data).unwrap(), b"stays");
    mount.end();
}

fn a_format_that_the_content_contradicts_is_refused_by_close(target: &Target) {
    let id = target.image(&target.person("demo"), &json!({"disk_format": "qcow2", "container_format": "bare"}));
    let (source, mount) = (target.file_with("source", noise(15, LENGTH)), target.mount("demo"));
    let ran = tool("cp", [source, mount.data(&id)]);
    assert!(ran.err.contains("Invalid argument"), "{}", ran.err);
    let image = target.wait(target.person("demo").show(&id));
    assert_eq!((&image["status"], &image["checksum"]), (&json!("queued"), &Value::Null), "nothing was sent");
    mount.end();
}

fn an_upload_that_failed_is_listed_until_it_is_discarded(target: &Target) {
    let id = target.image(&target.person("demo"), &json!({"disk_format": "qcow2", "container_format": "bare"}));
    let (source, state) = (target.file_with("source", noise(17, LENGTH)), target.file("state"));
    let option = format!("--state-dir={}", state.display());
    let uploads = |arguments: &[&str]| uploads(&option, arguments);
    let mount = target.mount_with("demo", &[&option]);
    assert_eq!(uploads(&[]).out, "");
    tool("cp", [source, mount.data(&id)]);
    let listed = uploads(&["list"]);
    assert!(listed.out.starts_with(&format!("{id}  failed ")), "{listed:?}");
    assert!(listed.out.contains("qcow2"), "the reason: {listed:?}");
    mount.end();

    uploads(&["retry", &id]).succeeded();
    uploads(&["discard", &id]).succeeded();
    assert_eq!(uploads(&["list"]).out, "");
    let unknown = uploads(&["discard", &id]);
    assert_eq!((unknown.code, unknown.err.contains("there is no upload of image")), (Some(1), true), "{unknown:?}");
}

fn the_time_of_a_copy_is_kept(target: &Target) {
    let (source, mount) = (target.file_with("source", noise(18, LENGTH)), target.mount("demo"));
    let folder = made(target, &mount, "dated");
    shell(&folder, &format!("touch -d 2001-02-03T04:05:06.5Z {0}; cp -p {0} data", source.display()));
    assert_eq!(shell(&folder, "stat -c %y data"), "2001-02-03 04:05:06.500000000 +0000\n");
    shell(&folder, "touch -d 2002-01-01T00:00:00Z data; touch data; touch -d 1999-01-01 status");
    let image = shown(target, &folder);
    assert_eq!((&image["data_mtime"], &image["status"]), (&json!("2002-01-01T00:00:00Z"), &json!("active")));
    let again = printed("rsync", ["-a".as_ref(), "-i".as_ref(), folder.join("data").as_os_str(), source.as_os_str()]);
    assert!(again.contains("..t"), "only the time differs: {again}");
    mount.end();
}

fn what_close_has_acknowledged_survives_a_kill(target: &Target) {
    let (bytes, state) = (noise(16, LENGTH), target.file("state"));
    let source = target.file_with("source", &bytes);
    let option = format!("--state-dir={}", state.display());
    let mount = target.mount_with("demo", &["--write-back", &option]);
    let folder = made(target, &mount, "killed");
    // Nothing arrives before the kill, where that can be arranged.
    target.if_embedded(|server| server.set_behaviour(Behaviour { upload_rate: Some(1), ..server.behaviour() }));
    shell(&folder, &format!("cp {} data", source.display()));
    let name = folder.file_name().unwrap().to_owned();
    mount.kill(None);
    target.if_embedded(|server| {
        assert_ne!(uploads(&option, &[]).out, "", "it was all sent before the kill");
        server.set_behaviour(Behaviour { upload_rate: None, ..server.behaviour() });
    });

    let mount = target.mount_with("demo", &[&option]);
    let folder = mount.path("by-name").join(name);
    becomes_active(&folder);
    assert_holds(target, &folder, &bytes, "after the kill");
    mount.end();
}

fn a_writer_who_was_killed_has_sent_nothing(target: &Target) {
    let (bytes, state) = (noise(19, LENGTH), target.file("state"));
    let source = target.file_with("source", &bytes);
    let option = format!("--state-dir={}", state.display());
    let mount = target.mount_with("demo", &[&option]);
    for signal in ["KILL", "INT", "TERM"] {
        let folder = made(target, &mount, &format!("cut-off-by-{signal}"));
        // It writes and signals itself; the kernel closes the file for it.
        let writer = format!("exec > data; head -c 1M {}; kill -{signal} $$", source.display());
        let ran = tool_in(&folder, "sh", &["-c", &writer]);
        assert_ne!(ran.code, Some(0), "{ran:?}");
        assert!(attribute(&folder.join("data"), "user.glancefs.error").unwrap().contains("was killed"), "{signal}");
        assert_eq!(shown(target, &folder)["status"], "queued");
    }
    let again = mount.path("by-name").join(target.name("cut-off-by-INT"));
    shell(&again, &format!("cp {} data", source.display()));
    assert_holds(target, &again, &bytes, "written again");
    mount.end();
    let listed = uploads(&option, &[]).out;
    assert_eq!(listed.matches(" writing ").count(), 2, "{listed}");
}

fn a_program_that_starts_others_while_it_writes_waits_for_nobody(target: &Target) {
    let mount = target.mount("demo");
    let folder = made(target, &mount, "starting");
    // Whatever is not inherited is closed by the kernel while it starts the other program, by the child and by itself.
    let program = "
import os, subprocess
file = open('data', 'wb', buffering=0)
file.write(b'one ')
subprocess.run(['true'], check=True)
os.posix_spawn('/bin/true', ['true'], {})
file.write(b'two')
os.execv('/bin/true', ['true'])
";
    shell(&folder, &format!("python3 -c \"{program}\""));
    becomes_active(&folder);
    assert_holds(target, &folder, b"one two", "a program that started others");
    mount.end();
}

fn files_that_cannot_be_made_are_refused_with_a_sentence(target: &Target) {
    let mount = target.mount("demo");
    let folder = made(target, &mount, "fixed");
    for line in ["ln data new", "mkfifo new", "mkdir new", "touch ../new", "ln -s data ../new", "touch ../../new"] {
        let ran = tool_in(&folder, "sh", &["-c", line]);
        assert!(ran.err.contains("Operation not permitted"), "{line}: {}", ran.err);
        let up = line.matches("..").count();
        let place = folder.ancestors().nth(up).unwrap();
        assert!(attribute(place, "user.glancefs.error").is_some(), "{line}");
    }
    mount.end();
}

fn folders_are_images(target: &Target) {
    let mount = target.mount("demo");
    let (folder, other) = (made(target, &mount, "first"), mount.path("by-name").join(target.name("second")));
    let id = id_of(&folder);
    assert!(tool("mkdir", [&folder]).err.contains("File exists"));
    printed("mv", [&folder, &other]);
    assert_eq!(shown(target, &other)["name"], target.name("second"));
    printed("rm", ["-r".as_ref(), other.as_os_str()]);
    assert!(!mount.path("by-id").join(&id).exists());
    mount.end();
}

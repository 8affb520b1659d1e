//! Images as plain files, and files beside an image's that become its bytes.

use std::path::{Path, PathBuf};

use crate::content::noise;
use crate::mounted::Mount;
use crate::target::Target;
use crate::tools::{attribute, shell, tool};
use crate::uploading::{assert_holds, becomes_active, id_of, made, shown};

crate::promises![Both:
    a_file_copied_into_files_is_an_image,
    files_are_renamed_and_removed_as_images,
    rsync_copies_into_the_mount_and_the_second_time_no_bytes,
    rsync_copies_out_of_files_and_the_second_time_nothing,
    a_file_renamed_onto_data_is_the_images_bytes,
    a_file_that_cannot_be_the_images_bytes_stays,
    nothing_of_a_scratch_file_is_left_when_the_mount_has_ended,
    data_that_was_removed_can_be_copied_again,
];

const LENGTH: usize = 1024 * 1024 + 17;

/// A file with noise and a time of its own.
fn source(target: &Target, seed: u64) -> (Vec<u8>, PathBuf) {
    let bytes = noise(seed, LENGTH);
    let file = target.file_with("source.raw", &bytes);
    shell(file.parent().unwrap(), "touch -d '2020-02-03 04:05:06.789' source.raw");
    (bytes, file)
}

/// The folder of the image called `name`, which is deleted when the test ends.
fn folder(target: &Target, mount: &Mount, name: &str) -> PathBuf {
    let folder = mount.path("by-name").join(name);
    target.tidy(&target.person("demo"), &id_of(&folder));
    folder
}

fn has_rsync() -> bool {
    tool("rsync", ["--version"]).code == Some(0)
}

/// How many bytes of files' content rsync had to send.
fn literal(folder: &Path, line: &str) -> u64 {
    let told = shell(folder, &format!("rsync --stats {line}"));
    let digits = told.lines().find_map(|line| line.strip_prefix("Literal data: ")).unwrap();
    digits.trim_end_matches(" bytes").replace(',', "").parse().unwrap()
}

fn a_file_copied_into_files_is_an_image(target: &Target) {
    let mount = target.mount("demo");
    let (bytes, source) = source(target, 31);
    let files = mount.path("files");
    let (plain, odd) = (target.name("plain"), target.name("odd.img"));
    shell(&files, &format!("cp -p {} {plain}.raw", source.display()));
    shell(&files, &format!("cp {} {odd}", source.display()));
    for (name, file) in [(&plain, format!("{plain}.raw")), (&odd, format!("{odd}.raw"))] {
        assert_holds(target, &folder(target, &mount, name), &bytes, name);
        shell(&files, &format!("ls | grep -qx {file} && cmp {file} {}", source.display()));
    }
    assert_eq!(shell(&files, &format!("stat -c %y {plain}.raw")), "2020-02-03 04:05:06.789000000 +0000\n");
    shell(&files, &format!("cmp {odd} {}", source.display()));
    // A name that is taken is not made ambiguous, and a name that says what the content is not is refused.
    let again = tool("cp", [source.as_os_str(), files.join(format!("{plain}.qcow2")).as_os_str()]);
    assert!(again.err.contains("File exists"), "{}", again.err);
    let wrong = target.name("wrong");
    let refused = tool("cp", [source.as_os_str(), files.join(format!("{wrong}.qcow2")).as_os_str()]);
    assert!(refused.err.contains("Invalid argument"), "{}", refused.err);
    assert_eq!(shown(target, &folder(target, &mount, &wrong))["status"], "queued");
    let blank = target.file("blank.qcow2");
    shell(blank.parent().unwrap(), "qemu-img create -q -f qcow2 blank.qcow2 8M");
    let header = target.name("header");
    let refused = tool("cp", [blank.as_os_str(), files.join(format!("{header}.vdi")).as_os_str()]);
    assert!(refused.err.contains("Invalid argument"), "also of a disk without data: {}", refused.err);
    folder(target, &mount, &header);
    mount.end();
}

fn files_are_renamed_and_removed_as_images(target: &Target) {
    let mount = target.mount("demo");
    let (_, source) = source(target, 32);
    let (files, one, two) = (mount.path("files"), target.name("one"), target.name("two"));
    shell(&files, &format!("cp {} {one}.raw && mv {one}.raw {two}.raw", source.display()));
    let names = || shell(&mount.path("by-name"), "ls");
    assert!(names().contains(&two) && !names().contains(&one));
    let other = tool("mv", [files.join(format!("{two}.raw")), files.join(format!("{two}.qcow2"))]);
    assert!(other.err.contains("Operation not permitted"), "{}", other.err);
    shell(&files, &format!("rm {two}.raw"));
    assert!(!names().contains(&two));
    mount.end();
}

fn rsync_copies_into_the_mount_and_the_second_time_no_bytes(target: &Target) {
    if !has_rsync() {
        return;
    }
    let mount = target.mount("demo");
    let (bytes, source) = source(target, 33);
    let by_name = mount.path("by-name");
    for (word, options) in [("whole", "-a"), ("inplace", "-a --inplace")] {
        let image = made(target, &mount, word);
        let line = format!("{options} {} {}/data", source.display(), image.display());
        assert_eq!(literal(&by_name, &line), LENGTH as u64, "{options}");
        assert_holds(target, &image, &bytes, options);
        assert_eq!(literal(&by_name, &line), 0, "{options}");
        assert_eq!(shell(&image, "stat -c %y data"), "2020-02-03 04:05:06.789000000 +0000\n");
    }
    let (files, name) = (mount.path("files"), target.name("flat"));
    let line = format!("-a {} {name}.raw", source.display());
    assert_eq!((literal(&files, &line), literal(&files, &line)), (LENGTH as u64, 0));
    assert_holds(target, &folder(target, &mount, &name), &bytes, "files");
    mount.end();
}

fn rsync_copies_out_of_files_and_the_second_time_nothing(target: &Target) {
    if !has_rsync() {
        return;
    }
    let mount = target.mount("demo");
    let (bytes, source) = source(target, 34);
    let (files, name) = (mount.path("files"), target.name("kept"));
    shell(&files, &format!("cp {} {name}.raw", source.display()));
    folder(target, &mount, &name);
    let copy = target.file("backup");
    // Other tests may have images of their own in a real service.
    let line = format!("-a --include={name}.raw --exclude=* ./ {}/", copy.display());
    assert_eq!((literal(&files, &line), literal(&files, &line)), (LENGTH as u64, 0));
    assert_eq!(std::fs::read(copy.join(format!("{name}.raw"))).unwrap(), bytes);
    mount.end();
}

fn a_file_renamed_onto_data_is_the_images_bytes(target: &Target) {
    let mount = target.mount("demo");
    let (bytes, source) = source(target, 35);
    let writers = [
        "cp $S data.part && mv data.part data",
        "cp $S .data && python3 -c 'import os; os.replace(\".data\", \"data\")'",
        "dd if=$S of=data~ bs=64k conv=fsync status=none && mv -f data~ ../../by-id/$I/data",
    ];
    for (number, writer) in writers.iter().enumerate() {
        let image = made(target, &mount, &format!("renamed-{number}"));
        shell(&image, &format!("S={} I={}; {writer}", source.display(), id_of(&image)));
        assert_holds(target, &image, &bytes, writer);
        // The name is that of data again, and not of the file that was renamed.
        assert_eq!(shell(&image, "stat -c %a data && ls -A | wc -l"), "444\n7\n", "{writer}");
        shell(&image, &format!("cmp data {}", source.display()));
    }
    mount.end();
}

fn a_file_that_cannot_be_the_images_bytes_stays(target: &Target) {
    let mount = target.mount("demo");
    let (bytes, source) = source(target, 36);
    let image = made(target, &mount, "there");
    shell(&image, &format!("cp {0} data && cp {0} other && echo >> other", source.display()));
    let refused = tool("mv", [image.join("other"), image.join("data")]);
    assert!(refused.err.contains("Operation not permitted"), "{}", refused.err);
    assert!(attribute(&image.join("data"), "user.glancefs.error").unwrap().contains("once"));
    assert_eq!(std::fs::read(image.join("other")).unwrap(), [&bytes[..], b"\n"].concat());
    mount.end();
}

fn nothing_of_a_scratch_file_is_left_when_the_mount_has_ended(target: &Target) {
    let state = target.file("state");
    let option = format!("--state-dir={}", state.display());
    let mount = target.mount_with("demo", &[&option]);
    let image = made(target, &mount, "scratch");
    shell(&image, "echo hello > notes~ && ln -s nobody@nowhere '.#data' && mv notes~ notes && cat notes");
    assert!(!shell(&state, "find . -type f").is_empty(), "it is on the disk");
    mount.end();
    assert_eq!(shell(&state, "find . -type f"), "");
}

fn data_that_was_removed_can_be_copied_again(target: &Target) {
    let mount = target.mount("demo");
    let (bytes, source) = source(target, 37);
    let image = made(target, &mount, "removed");
    shell(&image, &format!("rm data && cp {} data", source.display()));
    becomes_active(&image);
    assert_holds(target, &image, &bytes, "after rm");
    mount.end();
}

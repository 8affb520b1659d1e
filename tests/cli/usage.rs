//! What is wrong before anything was mounted.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::support::{Place, Ran};

#[test]
fn wrong_usage_ends_with_1_and_says_what_is_right() {
    let place = Place::new();
    place.run(["frobnicate"]).refused(1, &["unrecognized subcommand 'frobnicate'", "--help"]);
    place.run(["mount"]).refused(1, &["Usage: glancefs mount [OPTIONS] [SOURCE] MOUNTPOINT"]);
    place.run(["mount", "a", "b", "c"]).refused(1, &["Usage"]);
    place.run(["mount", "--ttl", "soon", "a", "b"]).refused(1, &["'soon' is not a duration"]);
    place.run(["mount", "--memory", "1MiB", "a", "b"]).refused(1, &["reading needs 32MiB at least"]);
    place.run(["mount", "--max-parallel", "0", "a", "b"]).refused(1, &["'0' is not a number of requests from 1 to 64"]);
    place.run(["mount", "a", "b", "-o", "max_parallel=65"]).refused(1, &["'65' is not a number"]);
    place.run(["mount", "a", "b", "-o", "cache_dir=/c,cache_size=1MiB"]).refused(1, &["64MiB is the least"]);
    place.run(["mount", "a", "b", "-o", "frobnicate=1"]).refused(1, &["unknown mount option 'frobnicate'"]);
    place.run(["mount", "a", "b", "-o", "allow_visibility_change"]).refused(1, &["--service compute"]);
    place.run(["mount", "a", "b", "-o", "remount,ro"]).refused(1, &["cannot be remounted"]);
}

#[test]
fn every_command_refuses_what_it_does_not_know_and_names_what_it_cannot_read() {
    let place = Place::new();
    for command in "mount umount demo serve doctor status uploads cache get put ls explain completions man".split(' ') {
        place.run([command, "--frobnicate"]).refused(1, &["--frobnicate", "Usage: glancefs"]);
        assert_eq!(place.run([command, "--help"]).code, Some(0), "{command}");
    }
    std::fs::write(place.path("file"), "").unwrap();
    for (line, code, words) in [
        ("uploads --state-dir file", 2, "file cannot be read"),
        ("uploads retry debian", 1, "'debian' is not an image id"),
        ("uploads discard 0a0b0c0d-0000-4000-8000-000000000001", 1, "there is no upload of image 0a0b0c0d"),
        ("cache --dir file list", 1, "file: there is no cache in it"),
        ("cache", 1, "Usage: glancefs cache"),
        ("explain file", 1, "file is not in a mount of glancefs"),
        ("umount home", 1, "home"),
        ("status file", 1, "nothing is mounted at file"),
        ("status /", 1, "not of glancefs"),
        ("put --source local:images file --state-dir file", 1, "file/uploads"),
        ("get --source local:images x --cache-dir file", 1, "the folder of --cache-dir"),
        ("put --source local:none/images file", 2, "there is no"),
        ("man nothing", 1, "there is no page 'nothing'"),
        ("completions csh", 1, "'csh'"),
    ] {
        place.run(line.split(' ')).refused(code, &[words]);
    }
}

#[test]
fn what_cannot_be_printed_is_a_failure_and_who_closed_the_pipe_needs_no_word() {
    let place = Place::new();
    std::fs::write(place.path("disk"), vec![7; 4096]).unwrap();
    let full = |line: &str| {
        let out = fs::File::options().write(true).open("/dev/full").unwrap();
        Ran::of(place.command().args(line.split(' ')).stdout(out).output().unwrap())
    };
    let lines = ["--help", "--version", "mount --help", "completions bash", "man", "doctor --offline"];
    for line in lines.into_iter().chain([
        "put --source local:images disk",
        "ls --source local:images",
        "ls --source local:images --json",
    ]) {
        full(line).refused(2, &["cannot write to standard output: No space left on device"]);
    }
    let lines = "$0 ls --source local:images | true; $0 --help | true; $0 man | true";
    let program = env!("CARGO_BIN_EXE_glancefs");
    let ran = Ran::of(place.command_as(Path::new("sh")).args(["-c", lines, program]).output().unwrap());
    assert_eq!(ran.err, "");
}

#[test]
fn help_and_version_are_no_failure() {
    let place = Place::new();
    for arguments in [vec!["--help"], vec!["help"], vec!["mount", "--help"], vec!["--version"]] {
        let ran = place.run(&arguments);
        ran.succeeded();
        assert!(ran.out.to_lowercase().contains("glancefs"), "{}", ran.out);
    }
}

#[test]
fn a_mount_point_that_is_missing_or_no_folder_is_named() {
    let place = Place::new();
    let missing = place.path("missing");
    let words = [missing.to_str().unwrap(), "does not exist"];
    place.run([OsStr::new("mount"), OsStr::new("away"), missing.as_os_str()]).refused(32, &words);
    let file = place.path("file");
    fs::write(&file, "").unwrap();
    let words = [file.to_str().unwrap(), "is not a folder"];
    place.run([OsStr::new("mount"), OsStr::new("away"), file.as_os_str()]).refused(32, &words);
    place.assert_nothing_is_left();
}

#[test]
fn a_mount_point_that_is_in_use_is_busy() {
    Place::new().run(["mount", "away", "/proc"]).refused(32, &["/proc is busy", "mounted there already"]);
}

#[test]
fn a_source_that_means_nothing_is_refused_with_what_would() {
    let place = Place::new();
    place.mount_of("nowhere").refused(1, &["nowhere", "away", "clouds.yaml"]);
    place.mount_of("local:").refused(1, &["local:"]);
    place.mount_of("ftp://host").refused(1, &["http"]);
    place.assert_nothing_is_left();
}

#[test]
fn a_service_that_is_away_ends_with_32_and_leaves_nothing() {
    let place = Place::new();
    place.mount_of("http://127.0.0.1:1").refused(32, &["http://127.0.0.1:1", "onnection refused"]);
    place.assert_nothing_is_left();
    assert!(fs::read_dir(place.mount()).unwrap().next().is_none());
}

#[test]
fn a_keystone_that_is_away_is_named_and_the_password_is_not() {
    let place = Place::new();
    let ran = place.mount_of("away");
    ran.refused(32, &["127.0.0.1:1"]);
    assert!(!ran.err.contains("hush"), "{}", ran.err);
    place.assert_nothing_is_left();
}

#[test]
fn a_secret_on_the_command_line_is_refused_and_not_repeated() {
    let place = Place::new();
    let mount = place.mount();
    for arguments in [["--os-password=hush", "--"], ["-o", "os_password=hush"]] {
        let ran = Ran::of(place.command().arg("mount").args(arguments).arg("away").arg(&mount).output().unwrap());
        ran.refused(1, &["--os-password", "OS_PASSWORD"]);
        assert!(!ran.err.contains("hush"), "{}", ran.err);
    }
}

#[test]
fn a_log_file_that_cannot_be_written_is_named() {
    let place = Place::new();
    let log = place.path("no/such/folder/log");
    let mount = place.mount();
    let arguments = [OsStr::new("mount"), OsStr::new("away"), mount.as_os_str(), OsStr::new("--log-file")];
    let ran = place.run(arguments.into_iter().chain([log.as_os_str()]));
    ran.refused(1, &[log.to_str().unwrap()]);
    place.assert_nothing_is_left();
}

#[test]
fn mount_8_may_ask_for_a_mount_that_is_not_made() {
    let place = Place::new();
    let helper = place.path("mount.fuse.glancefs");
    symlink(env!("CARGO_BIN_EXE_glancefs"), &helper).unwrap();
    let fake = |source: &str, point: &Path| {
        let mut command = place.command_as(&helper);
        Ran::of(command.arg(source).arg(point).args(["-sfnv", "-o", "rw,nofail,_netdev"]).output().unwrap())
    };
    fake("away", &place.mount()).succeeded();
    fake("away", &place.path("missing")).refused(32, &["does not exist"]);
    fake("nowhere", &place.mount()).refused(1, &["nowhere"]);
    place.assert_nothing_is_left();
}

#[test]
fn umount_ends_mounts_of_its_own_only() {
    let place = Place::new();
    let mount = place.mount();
    let words = ["nothing is mounted", mount.to_str().unwrap()];
    place.run([OsStr::new("umount"), mount.as_os_str()]).refused(1, &words);
    place.run(["umount", "/proc"]).refused(1, &["not of glancefs"]);
    assert!(Path::new("/proc/self").exists());
}

#[test]
fn doctor_checks_the_machine_and_fails_with_the_cloud() {
    let place = Place::new();
    let offline = place.run(["doctor", "--offline"]);
    assert!(offline.out.contains("device") && offline.out.contains("fusermount3"), "{}", offline.out);
    let away = place.run(["doctor", "http://127.0.0.1:1"]);
    away.refused(1, &["failed"]);
    assert!(away.out.contains("FAIL  service") && away.out.contains("check the address"), "{}", away.out);
    let unknown = place.run(["doctor", "nowhere"]);
    unknown.refused(1, &["1 check failed"]);
    assert!(unknown.out.contains("FAIL  cloud"), "{}", unknown.out);
}

#[test]
fn doctor_checks_the_compute_service_where_that_is_to_show_the_images() {
    let place = Place::new();
    let found = place.run(["doctor", "--service", "compute", &format!("local:{}", place.path("images").display())]);
    assert!(found.out.contains("ok    folder"), "{}", found.out);
    let away = place.run(["doctor", "--service=compute", "http://127.0.0.1:1/v2.1"]);
    away.refused(1, &["failed"]);
    assert!(away.out.contains("FAIL  service"), "{}", away.out);
    place.run(["doctor", "--service", "network"]).refused(1, &["image", "compute"]);
}

#[test]
fn the_service_that_shows_the_images_is_a_mount_option_too() {
    let place = Place::new();
    let point = place.mount();
    let fake = |options: &str| place.run(["mount", "--fake", "-o", options, "away", point.to_str().unwrap()]);
    fake("service=compute,allow_visibility_change").succeeded();
    fake("service=image").succeeded();
    fake("service=network").refused(1, &["network", "compute"]);
    place.assert_nothing_is_left();
}

#[test]
fn an_image_folder_whose_path_leads_nowhere_is_not_made() {
    let place = Place::new();
    let source = format!("local:{}", place.path("typo/images").display());
    let ran = place.mount_of(&source);
    assert_eq!(ran.code, Some(32), "{ran:?}");
    assert!(ran.err.contains("there is no ") && !place.path("typo").exists(), "{ran:?}");
    place.assert_nothing_is_left();
}

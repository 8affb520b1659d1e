//! The units for systemd: what they run is what the program understands.

use std::os::unix::fs::symlink;
use std::path::Path;

use crate::support::{Place, Ran};

const SERVICE: &str = include_str!("../../dist/systemd/glancefs@.service");
const MOUNT: &str = include_str!("../../dist/systemd/srv-glance.mount");
const AUTOMOUNT: &str = include_str!("../../dist/systemd/srv-glance.automount");

/// The one setting of this name.
fn setting<'a>(unit: &'a str, name: &str) -> &'a str {
    let mut found = unit.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    let value = found.next().unwrap_or_default();
    assert!(!value.is_empty(), "no {name}");
    assert_eq!(found.next(), None, "{name} twice");
    value
}

#[test]
fn what_the_service_runs_is_understood_with_the_options_of_its_sample() {
    let place = Place::new();
    let sample = SERVICE.lines().find_map(|line| line.strip_prefix("#   GLANCEFS_OPTIONS=")).unwrap();
    let line = setting(SERVICE, "ExecStart").strip_prefix("/usr/bin/glancefs ").unwrap();
    for options in ["", sample] {
        let point = place.mount();
        let line = line.replace("${GLANCEFS_SOURCE}", "away").replace("$GLANCEFS_OPTIONS", options);
        let line = line.replace("${GLANCEFS_MOUNTPOINT}", point.to_str().unwrap());
        place.run(line.split_whitespace().chain(["--fake"])).succeeded();
    }
    assert_eq!(setting(SERVICE, "Type"), "notify");
    // Any of these would give it a mount namespace, and nobody else would see the mount.
    for hides in
        ["Protect", "Private", "ReadWritePaths", "ReadOnlyPaths", "InaccessiblePaths", "RootDirectory", "MountFlags"]
    {
        assert!(!SERVICE.lines().any(|line| line.starts_with(hides)), "{hides}");
    }
}

#[test]
fn the_options_of_the_sample_of_a_mount_are_understood_by_the_helper() {
    let place = Place::new();
    let kind = setting(MOUNT, "Type");
    let helper = place.path(&format!("mount.{kind}"));
    symlink(env!("CARGO_BIN_EXE_glancefs"), &helper).unwrap();
    let mut command = place.command_as(&helper);
    command.arg("away").arg(place.mount()).args(["-f", "-o", setting(MOUNT, "Options")]);
    Ran::of(command.output().unwrap()).succeeded();
    let (point, wanted) = (setting(MOUNT, "Where"), setting(AUTOMOUNT, "Where"));
    assert_eq!(point, wanted);
    // systemd reads a unit only under the name of its folder.
    assert_eq!(Path::new(point.trim_start_matches('/')).to_str().unwrap().replace('/', "-"), "srv-glance");
}

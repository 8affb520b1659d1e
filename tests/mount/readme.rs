//! `README.md`: what it types at its beginning and in its recipes is run with the real tools, and prints what it says.

use serde_json::json;

use crate::Promise;
use crate::content::noise;
use crate::pages::home::Home;
use crate::pages::page::{Typed, read};
use crate::target::Target;
use crate::tools::printed;

crate::promises![Embedded:
    the_readme_begins_with_what_a_mount_does,
    a_cloud_is_looked_at_and_mounted,
    a_thin_disk_lies_on_an_image_that_is_not_downloaded,
    all_images_are_backed_up_and_put_back,
    many_files_are_uploaded,
    a_line_of_fstab_is_mounted_and_watched,
    what_needs_no_mount_works_without,
    there_are_ten_recipes_and_each_is_run,
];

/// What can be tried in a cloud that others use too.
pub(crate) mod anywhere {
    use super::{
        a_disk_is_converted_on_the_way_in, an_image_is_copied_between_two_clouds, an_image_is_shared_and_accepted,
        metadata_are_edited_with_any_program, old_images_are_found_and_deactivated,
    };

    crate::promises![Both:
        a_disk_is_converted_on_the_way_in,
        an_image_is_copied_between_two_clouds,
        old_images_are_found_and_deactivated,
        metadata_are_edited_with_any_program,
        an_image_is_shared_and_accepted,
    ];
}

const PAGE: &str = include_str!("../../README.md");

/// The recipes, and where each is tried.
const RECIPES: [&str; 10] = [
    "Boot an image without downloading it",
    "Back up all images, and put them back",
    "Convert on the way in",
    "Copy between two clouds",
    "Find old images, and deactivate them",
    "Edit metadata",
    "Share with another project, which accepts",
    "Upload many files",
    "Mount at boot, and watch",
    "Work without a mount",
];

/// What others in the same cloud have too.
const WORDS: [&str; 5] = ["debian-12", "cirros-0.6.2", "rescue", "mine", "retired"];

/// Only root writes to `/etc/fstab`, and tries that in surroundings of his own.
pub(crate) fn is_possible(promise: &Promise) -> bool {
    promise.name != "a_line_of_fstab_is_mounted_and_watched" || rustix::process::geteuid().is_root()
}

/// Somebody's home with some images in the cloud, and disks in the folder.
fn home(target: &Target) -> Home<'_> {
    let home = Home::new(target, "home", &WORDS);
    let raw = target.file_with("raw", noise(71, 1 << 20));
    for (format, name) in [("qcow2", "disk.qcow2"), ("qcow2", "server.qcow2"), ("vmdk", "legacy.vmdk")] {
        let path = home.path(name);
        let convert = ["convert".as_ref(), "-O".as_ref(), format.as_ref(), raw.as_os_str(), path.as_os_str()];
        printed("qemu-img", convert);
    }
    let demo = target.person("demo");
    let image = |word: &str, format: &str, tags: &[&str], bytes: &[u8]| {
        let tags: Vec<_> = tags.iter().map(|tag| target.name(tag)).collect();
        let attributes =
            json!({"name": target.name(word), "disk_format": format, "tags": tags, "visibility": "shared"});
        target.filled(&demo, &attributes, bytes);
    };
    image("debian-12", "qcow2", &[], &std::fs::read(home.path("disk.qcow2")).unwrap());
    image("cirros-0.6.2", "raw", &["retired"], &vec![1; 21 << 10]);
    image("rescue", "raw", &["retired"], &vec![2; 5_081_088]);
    home
}

/// Types the lines below this heading.
fn type_below(target: &Target, heading: &str) {
    type_at(home(target), heading);
}

fn type_at(mut home: Home<'_>, heading: &str) {
    let sections = read(PAGE, Typed::AtHome).unwrap();
    let section = sections.iter().find(|section| section.title == heading).unwrap();
    assert!(!section.blocks.is_empty());
    home.types(section);
    home.end();
}

fn the_readme_begins_with_what_a_mount_does(target: &Target) {
    type_below(target, "glancefs");
}

fn a_cloud_is_looked_at_and_mounted(target: &Target) {
    type_below(target, "Your cloud");
}

fn a_thin_disk_lies_on_an_image_that_is_not_downloaded(target: &Target) {
    type_below(target, RECIPES[0]);
}

fn all_images_are_backed_up_and_put_back(target: &Target) {
    type_below(target, RECIPES[1]);
}

fn a_disk_is_converted_on_the_way_in(target: &Target) {
    type_below(target, RECIPES[2]);
}

fn an_image_is_copied_between_two_clouds(target: &Target) {
    type_below(target, RECIPES[3]);
}

fn old_images_are_found_and_deactivated(target: &Target) {
    type_below(target, RECIPES[4]);
}

fn metadata_are_edited_with_any_program(target: &Target) {
    type_below(target, RECIPES[5]);
}

fn an_image_is_shared_and_accepted(target: &Target) {
    type_below(target, RECIPES[6]);
}

fn many_files_are_uploaded(target: &Target) {
    type_below(target, RECIPES[7]);
}

fn a_line_of_fstab_is_mounted_and_watched(target: &Target) {
    let mut home = home(target);
    // In a tree of mounts of its own, where the program is installed, and /etc has the clouds and takes a line.
    let lines = "mkdir ~/layer ~/sbin && ln -s $(command -v glancefs) ~/sbin/ && mount --bind ~/sbin /usr/local/sbin && \
                 mount -t tmpfs tmpfs ~/layer && mkdir ~/layer/work ~/layer/etc && cp -r ~/.config/openstack ~/layer/etc/ && \
                 mount -t overlay -o lowerdir=/etc,upperdir=$HOME/layer/etc,workdir=$HOME/layer/work none /etc && \
                 : > /etc/fstab && exec \"$@\"";
    home.wrapper = ["unshare", "--mount", "sh", "-c", lines, "sh"].map(str::to_owned).to_vec();
    type_at(home, RECIPES[8]);
}

fn what_needs_no_mount_works_without(target: &Target) {
    type_below(target, RECIPES[9]);
}

fn there_are_ten_recipes_and_each_is_run(_: &Target) {
    let (_, recipes) = PAGE.split_once("\n## Ten recipes\n").unwrap();
    let recipes = recipes.split("\n## ").next().unwrap();
    let titles: Vec<_> = recipes.lines().filter_map(|line| line.strip_prefix("### ")).collect();
    assert_eq!(titles, RECIPES);
}

//! `docs/api-guides.md`: what a person types in place of each call of five guides. Every line of the page is run, and prints what
//! the page says.
//!
//! A block runs in the mount that was last named before it, with those options and no others ([`crate::pages`]).

pub(crate) mod calls;

use std::cell::RefCell;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::mounted::Mount;
use crate::pages::page::{self, Block, Named, Step, Typed};
use crate::pages::printed::is_as_said;
use crate::support::Ran;
use crate::target::Target;
use crate::web::Web;

crate::promises![Both:
    every_line_of_the_guide_of_php_opencloud_prints_what_the_page_says,
    every_line_of_the_guide_of_openstack4j_prints_what_the_page_says,
    every_line_of_the_guide_of_openstacksdk_prints_what_the_page_says,
    every_line_of_the_compute_guide_of_php_opencloud_prints_what_the_page_says,
    every_line_of_the_compute_guide_of_rackspace_prints_what_the_page_says,
];

const PAGE: &str = include_str!("../../docs/api-guides.md");

/// Where the page has the service fetch from, and what stands there.
const URLS: [(&str, &str); 2] =
    [("https://example.org/disk.raw", "/whole"), ("https://example.org/missing.raw", "/missing")];
const BYTES: &[u8] = b"what a person has on a disk";

/// A server that there is not: the service looks at its id alone.
const SERVER: &str = "6b8a0a3e-7c52-4e76-9d9b-";

/// Where the lines of a guide are typed.
struct Desk<'a> {
    target: &'a Target,
    home: &'a Path,
    server: String,
    project: String,
    /// Where the service fetches from, where it does.
    web: Option<Web>,
    /// The id that the image had last, which its next name does not change.
    id: RefCell<String>,
}

impl Desk<'_> {
    /// A piece of the page with the names of this run in it.
    fn meant(&self, piece: &str) -> String {
        let named = piece.replace("mine", &self.target.name("mine"));
        let fetched =
            |text: String, web: &Web| URLS.iter().fold(text, |text, (url, path)| text.replace(url, &web.url(path)));
        self.web.as_ref().map_or(named.clone(), |web| fetched(named, web))
    }

    /// The id of the image that is called so, where there is one.
    fn found(&self) -> Option<String> {
        let found = self.target.wait(self.target.person("demo").list(&format!("name={}", self.target.name("mine"))));
        found.first().map(|image| image["id"].as_str().unwrap().to_owned())
    }

    /// The id of the image, also while it has another name.
    fn id(&self) -> String {
        self.id.replace_with(|last| self.found().unwrap_or_else(|| last.clone()));
        self.id.borrow().clone()
    }

    /// A mount that the page names.
    fn mount(&self, named: &Named<'_>) -> Mount {
        self.target.mount_with(if named.cloud == "theircloud" { "alt" } else { "demo" }, &named.options)
    }

    fn run(&self, mount: &Mount, title: &str, step: &Step<'_>) {
        let (lines, id) = (self.meant(&step.lines.join("\n")), self.id());
        let shell = ["LC_ALL=C", "timeout", "--kill-after=5", "120", "sh", "-euc"];
        let mut command = std::process::Command::new("env");
        command.args(shell).arg(format!("exec 2>&1\n{lines}")).current_dir(mount.root());
        command.env("HOME", self.home).env("PATH", path()).env("ID", &id);
        command.env("PROJECT", &self.project).env("SERVER", &self.server);
        let ran = Ran::of(command.output().unwrap());
        let place = format!("{title}, {}:\n{lines}\n", step.call);
        assert_eq!(ran.code, Some(0), "{place}{}\n{}", ran.out, errors(mount));
        let said = self.meant(&step.prints.join("\n")).replace("$PROJECT", &self.project);
        let said = said.replace("$SERVER", &self.server).replace("$ID", &id);
        let (said, printed): (Vec<_>, Vec<_>) = (said.lines().collect(), ran.out.lines().collect());
        assert!(
            is_as_said(&said, &printed),
            "{place}prints {printed:#?}\nand the page says {said:#?}\n{}",
            errors(mount)
        );
    }

    /// Types a block in the mount that it names.
    fn block(&self, title: &str, block: &Block<'_>) {
        let (mount, beside) = (self.mount(block.mount.as_ref().unwrap()), self.home.join("other"));
        let other = block.other.as_ref().map(|named| self.mount(named));
        if let Some(other) = &other {
            symlink(other.root(), &beside).unwrap();
        }
        block.steps.iter().for_each(|step| self.run(&mount, title, step));
        if let Some(other) = other {
            fs::remove_file(beside).unwrap();
            other.end();
        }
        mount.end();
    }
}

/// Where programs are, this one among them.
pub(crate) fn path() -> std::ffi::OsString {
    let own = Path::new(env!("CARGO_BIN_EXE_glancefs")).parent().map(PathBuf::from);
    let others = std::env::var_os("PATH").unwrap_or_default();
    std::env::join_paths(own.into_iter().chain(std::env::split_paths(&others))).unwrap()
}

/// What the mount tells of failures.
fn errors(mount: &Mount) -> String {
    fs::read_to_string(mount.path(".glancefs/errors")).unwrap_or_default()
}

/// Runs the guide that is called so.
fn run(target: &Target, title: &str) {
    let home = target.file("home");
    fs::create_dir(&home).unwrap();
    fs::write(home.join("disk.raw"), BYTES).unwrap();
    let project = target.person("alt").project;
    let server = format!("{SERVER}{:012x}", fastrand::u64(..1 << 48));
    let guide = page::read(PAGE, Typed::Mounted).unwrap().into_iter().find(|guide| guide.title == title).unwrap();
    let mut lines = guide.blocks.iter().flat_map(|block| &block.steps).flat_map(|step| &step.lines);
    let web = lines.any(|line| line.contains("https://")).then(|| target.web(BYTES));
    let desk = Desk { target, home: &home, server, project, web, id: RefCell::default() };
    if guide.blocks[0].mount.as_ref().unwrap().options.contains(&"compute") {
        snapshot(&desk);
    }
    guide.blocks.iter().for_each(|block| desk.block(title, block));
    assert_eq!(desk.found(), None, "{title}: the image is still there");
}

/// The image that no call of the Compute API makes.
fn snapshot(desk: &Desk<'_>) {
    let attributes = json!({"name": desk.target.name("mine"), "visibility": "private", "image_type": "snapshot",
        "instance_uuid": desk.server});
    desk.target.filled(&desk.target.person("demo"), &attributes, BYTES);
}

fn every_line_of_the_guide_of_php_opencloud_prints_what_the_page_says(target: &Target) {
    run(target, "php-opencloud: Images v2");
}

fn every_line_of_the_guide_of_openstack4j_prints_what_the_page_says(target: &Target) {
    run(target, "OpenStack4j: Glance");
}

fn every_line_of_the_guide_of_openstacksdk_prints_what_the_page_says(target: &Target) {
    run(target, "openstacksdk: Image");
}

fn every_line_of_the_compute_guide_of_php_opencloud_prints_what_the_page_says(target: &Target) {
    run(target, "php-opencloud: Compute v2, images");
}

fn every_line_of_the_compute_guide_of_rackspace_prints_what_the_page_says(target: &Target) {
    run(target, "php-opencloud for Rackspace: Compute, images");
}

//! `docs/api-guides.md`: what a person types in place of each call of five guides. Every line of the page is run, and prints what
//! the page says.
//!
//! A block is a sequence of steps: a call behind `#`, the lines that are typed in its place, and behind `#>` what they print. It
//! runs in the mount that was last named before it, `glancefs mount OPTIONS CLOUD ~/images`, with those options.

use std::fs;
use std::path::Path;

use serde_json::json;

use crate::mounted::Mount;
use crate::support::Ran;
use crate::target::Target;

use crate::web::Web;

crate::promises![Both:
    every_line_of_the_guides_of_the_image_api_is_run_and_prints_what_the_page_says,
    every_line_of_the_guides_of_the_compute_api_is_run_and_prints_what_the_page_says,
];

const PAGE: &str = include_str!("../../docs/api-guides.md");

/// What the page has the service fetch.
const URL: &str = "https://example.org/disk.raw";
const BYTES: &[u8] = b"what a person has on a disk";

/// A server that there is not: the service looks at its id alone.
const SERVER: &str = "6b8a0a3e-7c52-4e76-9d9b-";

/// What is run one after another.
#[derive(Debug)]
struct Guide {
    title: &'static str,
    blocks: Vec<Block>,
}

/// A piece of the page that is typed in one mount.
#[derive(Debug)]
struct Block {
    cloud: &'static str,
    options: Vec<&'static str>,
    steps: Vec<Step>,
}

/// A call, what is typed in its place, and what that prints.
#[derive(Debug, Default)]
struct Step {
    call: &'static str,
    lines: Vec<&'static str>,
    prints: Vec<&'static str>,
}

/// The guides of the page that have lines. Panics where something stands in a block that is nothing of all that.
fn guides() -> Vec<Guide> {
    let mut guides: Vec<Guide> = Vec::new();
    let (mut mount, mut block): (Option<(&str, Vec<&str>)>, Option<Block>) = (None, None);
    for line in PAGE.lines() {
        match &mut block {
            None if line.starts_with("## ") => {
                guides.push(Guide { title: line.trim_start_matches("## "), blocks: Vec::new() });
                mount = None;
            }
            None if line.starts_with("```") => {
                assert_eq!(line, "```sh", "a block that is not run");
                let (cloud, options) = mount.clone().unwrap_or_else(|| panic!("no mount is named before a block"));
                block = Some(Block { cloud, options, steps: Vec::new() });
            }
            None => mount = named(line).or(mount),
            Some(_) if line == "```" => guides.last_mut().unwrap().blocks.extend(block.take()),
            Some(block) => step(block, line),
        }
    }
    assert!(block.is_none(), "a block has no end");
    guides.retain(|guide| !guide.blocks.is_empty());
    guides
}

/// The mount that a line of prose names: the cloud, and the options.
fn named(line: &'static str) -> Option<(&'static str, Vec<&'static str>)> {
    let command = line.split_once("`glancefs mount ")?.1.split_once('`')?.0;
    let mut words: Vec<_> = command.strip_suffix(" ~/images").unwrap().split(' ').collect();
    Some((words.pop().unwrap(), words))
}

/// Takes in a line of a block.
fn step(block: &mut Block, line: &'static str) {
    if let Some(call) = line.strip_prefix("# ") {
        assert!(block.steps.last().is_none_or(|step| !step.lines.is_empty()), "{call}: nothing is typed");
        block.steps.push(Step { call, ..Step::default() });
        return;
    }
    let step = block.steps.last_mut().unwrap_or_else(|| panic!("{line}: for no call"));
    match line.strip_prefix("#> ") {
        Some(printed) => step.prints.push(printed),
        None if step.prints.is_empty() => step.lines.push(line),
        // What prints something else is another step of the same call.
        None => {
            let call = step.call;
            block.steps.push(Step { call, lines: vec![line], ..Step::default() });
        }
    }
}

/// Where the lines of a guide are typed.
struct Desk<'a> {
    target: &'a Target,
    home: &'a Path,
    server: String,
    project: String,
    /// Where the service fetches from, where it does.
    web: Option<Web>,
}

impl Desk<'_> {
    /// A line of the page with the names of this run in it.
    fn meant(&self, line: &str) -> String {
        let line = line.replace("mine", &self.target.name("mine"));
        self.web.as_ref().map_or(line.clone(), |web| line.replace(URL, &web.url("/whole")))
    }

    /// The id of the image, while there is one.
    fn id(&self) -> String {
        let found = self.target.wait(self.target.person("demo").list(&format!("name={}", self.target.name("mine"))));
        found.first().map_or_else(String::new, |image| image["id"].as_str().unwrap().to_owned())
    }

    fn run(&self, mount: &Mount, title: &str, step: &Step) {
        let (lines, id) = (self.meant(&step.lines.join("\n")), self.id());
        let shell = ["LC_ALL=C", "timeout", "--kill-after=5", "120", "sh", "-euc"];
        let mut command = std::process::Command::new("env");
        command.args(shell).arg(&lines).current_dir(mount.root()).env("HOME", self.home);
        command.env("ID", &id).env("PROJECT", &self.project).env("SERVER", &self.server);
        let ran = Ran::of(command.output().unwrap());
        assert_eq!(ran.code, Some(0), "{title}, {}: {lines}\n{ran:?}\n{}", step.call, errors(mount));
        if !step.prints.is_empty() {
            let prints = self.meant(&step.prints.join("\n")).replace("$PROJECT", &self.project);
            assert_eq!(ran.out.trim_end(), prints.replace("$SERVER", &self.server), "{title}, {}: {lines}", step.call);
        }
    }
}

/// What the mount tells of failures.
fn errors(mount: &Mount) -> String {
    fs::read_to_string(mount.path(".glancefs/errors")).unwrap_or_default()
}

/// Runs the guides whose mounts all are of this API.
fn run(target: &Target, is_compute: bool) {
    let home = target.file("home");
    fs::create_dir(&home).unwrap();
    fs::write(home.join("disk.raw"), BYTES).unwrap();
    let project = target.person("alt").project;
    let server = format!("{SERVER}{:012x}", fastrand::u64(..1 << 48));
    let desk = Desk { target, home: &home, server, project, web: (!is_compute).then(|| target.web(BYTES)) };
    let is_meant = |guide: &Guide| guide.blocks[0].options.contains(&"compute") == is_compute;
    let guides: Vec<_> = guides().into_iter().filter(is_meant).collect();
    assert_eq!(guides.len(), if is_compute { 2 } else { 3 });
    for guide in guides {
        if is_compute {
            snapshot(&desk);
        }
        for block in &guide.blocks {
            let who = if block.cloud == "mycloud" { "demo" } else { "alt" };
            let mount = target.mount_with(who, &[&block.options[..], &["--ttl=0"]].concat());
            block.steps.iter().for_each(|step| desk.run(&mount, guide.title, step));
            mount.end();
        }
        assert_eq!(desk.id(), "", "{}: the image is still there", guide.title);
    }
}

/// The image that no call of the Compute API makes.
fn snapshot(desk: &Desk<'_>) {
    let attributes = json!({"name": desk.target.name("mine"), "visibility": "private", "image_type": "snapshot",
        "instance_uuid": desk.server});
    desk.target.filled(&desk.target.person("demo"), &attributes, BYTES);
}

fn every_line_of_the_guides_of_the_image_api_is_run_and_prints_what_the_page_says(target: &Target) {
    run(target, false);
}

fn every_line_of_the_guides_of_the_compute_api_is_run_and_prints_what_the_page_says(target: &Target) {
    run(target, true);
}

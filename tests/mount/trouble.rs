//! `docs/troubleshooting.md`: each symptom of the page is provoked, and shows what the page says.

use glancefs::server::Behaviour;
use serde_json::json;

use crate::Promise;
use crate::pages::home::Home;
use crate::pages::page::{Guide, Typed, read};
use crate::target::Target;

mod cause;

use cause::{CAUSES, Cause, NONE};

crate::promises![Embedded:
    each_symptom_of_a_mount_that_does_not_come_up_is_what_the_page_shows,
    each_symptom_of_a_mount_that_hangs_or_is_gone_is_what_the_page_shows,
    each_failure_of_the_service_or_a_disk_is_what_the_page_shows,
    a_deadline_that_passes_is_what_the_page_shows,
    each_symptom_of_what_is_slow_or_old_is_what_the_page_shows,
    each_errno_of_the_contract_is_on_the_page,
];

pub(crate) mod refusals {
    use super::{each_refusal_is_what_the_page_shows, where_to_look_is_what_the_page_shows};

    crate::promises![Both:
        where_to_look_is_what_the_page_shows,
        each_refusal_is_what_the_page_shows,
    ];
}

const PAGE: &str = include_str!("../../docs/troubleshooting.md");
const SEMANTICS: &str = include_str!("../../docs/semantics.md");

/// What each run has under names of its own.
const WORDS: [&str; 4] = ["debian-12", "mine", "twice", "theirs"];

/// What `debian-12` holds.
const BYTES: &[u8] = b"what a person has on a disk";

/// What shows itself when a deadline has passed.
const DEADLINE: &str = "Connection timed out (ETIMEDOUT)";

/// Most of what is shown is what root sees, and only root mounts small disks.
pub(crate) fn is_possible(promise: &Promise) -> bool {
    let is_due = promise.name != "a_deadline_that_passes_is_what_the_page_shows" || is_long();
    is_due && (!promise.module.starts_with(module_path!()) || rustix::process::geteuid().is_root())
}

/// Whether there are the minutes that a deadline takes.
fn is_long() -> bool {
    std::env::var_os("GLANCEFS_TEST_LONG").is_some()
}

/// The symptoms below this heading, which are all that follow until the next one of its kind.
fn below<'a>(sections: &'a [Guide<'a>], heading: &str) -> Vec<&'a Guide<'a>> {
    let is_group = |guide: &Guide<'_>| PAGE.contains(&format!("\n## {}\n", guide.title));
    let from = sections.iter().position(|guide| guide.title == heading).unwrap();
    let rest = &sections[from + 1..];
    let end = rest.iter().position(is_group).unwrap_or(rest.len());
    sections[from..=from].iter().chain(&rest[..end]).collect()
}

/// Provokes all symptoms below a heading but those that are passed over.
fn provoke(target: &Target, heading: &str, is_due: impl Fn(&str) -> bool) {
    let sections = read(PAGE, Typed::AtHome).unwrap();
    let symptoms = below(&sections, heading);
    let due = symptoms.into_iter().filter(|symptom| !symptom.blocks.is_empty() && is_due(symptom.title));
    for (number, symptom) in due.enumerate() {
        println!("{}", symptom.title);
        let cause = CAUSES.iter().find(|cause| cause.title == symptom.title);
        show(target, symptom, &format!("home-{number}"), cause.unwrap_or(&NONE));
    }
}

/// Types the lines of a section, in surroundings of their own.
fn show(target: &Target, symptom: &Guide<'_>, name: &str, cause: &Cause) {
    let mut home = Home::new(target, name, &WORDS);
    for (name, bytes) in [("debian.raw", BYTES), ("disk.raw", b"another disk")] {
        std::fs::write(home.path(name), bytes).unwrap();
    }
    let attributes = json!({"name": target.name("debian-12"), "visibility": "shared"});
    target.filled(&target.person("demo"), &attributes, BYTES);
    let mut guard = (cause.before)(&mut home);
    home.mount(symptom.blocks[0].mount.as_ref());
    (cause.after)(&mut home, &mut guard);
    home.types(symptom);
    home.unmount();
    guard.end(target);
    target.if_embedded(|server| server.set_behaviour(Behaviour::default()));
    home.end();
    target.tidy_up();
}

fn where_to_look_is_what_the_page_shows(target: &Target) {
    provoke(target, "Troubleshooting", |title| title == "Troubleshooting");
}

fn each_symptom_of_a_mount_that_does_not_come_up_is_what_the_page_shows(target: &Target) {
    provoke(target, "The mount does not come up", |_| true);
}

fn each_symptom_of_a_mount_that_hangs_or_is_gone_is_what_the_page_shows(target: &Target) {
    provoke(target, "The mount hangs, is gone, or does not end", |_| true);
}

fn each_refusal_is_what_the_page_shows(target: &Target) {
    provoke(target, "Something is not found, or refused", |_| true);
}

fn each_failure_of_the_service_or_a_disk_is_what_the_page_shows(target: &Target) {
    provoke(target, "Something fails", |title| title != DEADLINE);
}

fn a_deadline_that_passes_is_what_the_page_shows(target: &Target) {
    provoke(target, "Something fails", |title| title == DEADLINE);
}

fn each_symptom_of_what_is_slow_or_old_is_what_the_page_shows(target: &Target) {
    provoke(target, "Something is slow, old or missing", |_| true);
}

fn each_errno_of_the_contract_is_on_the_page(_: &Target) {
    let sections = read(PAGE, Typed::AtHome).unwrap();
    for cause in CAUSES {
        assert!(sections.iter().any(|guide| guide.title == cause.title), "'{}' is no symptom of the page", cause.title);
    }
    let table = SEMANTICS.rsplit("| cause | errno |").next().unwrap();
    let names: Vec<_> =
        table.lines().filter_map(|line| line.rsplit('`').nth(1)).filter(|name| name.starts_with('E')).collect();
    assert!(names.len() > 15, "{names:?}");
    for name in names {
        assert!(PAGE.contains(&format!("({name})")), "{name} has no symptom");
    }
}

//! Real mounts of the real binary, read with the tools that people use: one body for each promise, run against the
//! embedded service and, where `GLANCEFS_TEST_CLOUDS` names a clouds.yaml, against the real service that it describes.
//!
//! What speaks of bytes runs also against embedded services whose stores do odd things to ranges. Trials are registered
//! when the program starts: without a real service its half is absent from the listing instead of passing unseen.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a promise that does not hold ends with a panic, which the harness reports with what was printed"
)]

mod at_once;
mod bytes;
mod coherent;
mod compute;
mod compute_alone;
mod compute_edits;
mod content;
mod drafts;
mod edit_cost;
mod editing;
mod elsewhere;
mod explain;
mod faults;
mod files;
mod full_disk;
mod guides;
mod images;
mod imports;
mod kept;
mod kernel;
mod login;
mod loops;
mod lot;
mod memory;
mod model;
mod mounted;
mod names;
mod pages;
mod people;
#[expect(dead_code, reason = "shared with the contracts, which ask for more")]
#[path = "../api/person.rs"]
mod person;
#[path = "../cli/process.rs"]
mod process;
#[expect(dead_code, reason = "shared with the kill test, which asks for more")]
mod proxy;
mod queries;
mod queue;
mod readme;
mod restoring;
mod restoring_slowly;
mod secrets;
mod silence;
mod states;
#[expect(dead_code, reason = "shared with the tests of the command, which ask for more")]
#[path = "../cli/support.rs"]
mod support;
mod syncing;
mod target;
mod tools;
mod tree;
mod trouble;
mod unread;
mod upload_faults;
mod uploading;
mod versions;
#[path = "../client/web.rs"]
mod web;
mod wild;
#[expect(dead_code, reason = "shared with the contracts, which ask for more")]
#[path = "../api/wire.rs"]
mod wire;
mod wire_cost;
mod writing;

use std::path::PathBuf;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};
use target::{Service, Target};

/// A promise: its module and name, where it is checked, and the body that checks it.
#[derive(Clone, Copy)]
struct Promise {
    module: &'static str,
    name: &'static str,
    on: Services,
    body: fn(&Target),
}

/// The services that a promise is checked on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Services {
    /// The embedded one, since the body looks into it or makes it misbehave.
    Embedded,
    /// The embedded one and a real one.
    Both,
    /// Both, and embedded ones whose stores refuse, ignore or misunderstand ranges.
    EveryStore,
}

/// Lists the promises of a file; one that is not listed is dead code, which the compiler refuses.
macro_rules! promises {
    ($on:ident: $($name:ident),+ $(,)?) => {
        pub(crate) const PROMISES: &[crate::Promise] = &[$(crate::Promise {
            module: module_path!(),
            name: stringify!($name),
            on: crate::Services::$on,
            body: $name,
        }),+];
    };
}
pub(crate) use promises;

const SUBJECTS: &[&[Promise]] = &[
    tree::PROMISES,
    coherent::PROMISES,
    bytes::PROMISES,
    images::PROMISES,
    kernel::PROMISES,
    wire_cost::PROMISES,
    memory::PROMISES,
    names::PROMISES,
    states::PROMISES,
    faults::PROMISES,
    writing::PROMISES,
    uploading::PROMISES,
    upload_faults::PROMISES,
    upload_faults::refusals::PROMISES,
    full_disk::PROMISES,
    files::PROMISES,
    editing::PROMISES,
    drafts::PROMISES,
    versions::PROMISES,
    edit_cost::PROMISES,
    elsewhere::PROMISES,
    elsewhere::many::PROMISES,
    queries::PROMISES,
    explain::PROMISES,
    imports::PROMISES,
    syncing::PROMISES,
    people::PROMISES,
    people::modes::PROMISES,
    at_once::PROMISES,
    model::PROMISES,
    queue::PROMISES,
    secrets::PROMISES,
    silence::PROMISES,
    restoring::PROMISES,
    restoring_slowly::PROMISES,
    login::PROMISES,
    kept::PROMISES,
    loops::PROMISES,
    wild::PROMISES,
    guides::PROMISES,
    guides::calls::PROMISES,
    pages::page::PROMISES,
    pages::printed::PROMISES,
    pages::shapes::PROMISES,
    readme::PROMISES,
    readme::anywhere::PROMISES,
    trouble::PROMISES,
    trouble::refusals::PROMISES,
    compute::PROMISES,
    compute_edits::PROMISES,
    compute_alone::PROMISES,
    unread::PROMISES,
];

fn main() -> ExitCode {
    let real = std::env::var_os("GLANCEFS_TEST_CLOUDS").map(|file| Service::Real(PathBuf::from(file)));
    let services: Vec<_> = Service::EMBEDDED.into_iter().chain(real).collect();
    let promises = || SUBJECTS.iter().copied().flatten();
    let trials = services.iter().flat_map(|service| {
        let due = |promise: &&Promise| {
            let is_compute = promise.module.contains("::compute") || promise.name.contains("compute");
            let possible = explain::is_possible(promise)
                && (service.has_compute() || !is_compute)
                && loops::is_possible(promise)
                && trouble::is_possible(promise)
                && readme::is_possible(promise)
                && kept::is_possible(promise)
                && full_disk::is_possible(promise);
            service.is_among(promise.on) && images::is_worth_it(promise, service) && possible
        };
        promises().filter(due).map(|promise| trial(service, promise))
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit_code()
}

/// The test `tree::real::an_image_is_a_folder_in_both_views` and its like.
fn trial(service: &Service, promise: &'static Promise) -> Trial {
    let subject = promise.module.rsplit("::").next().unwrap_or_default();
    let service = service.clone();
    Trial::test(format!("{subject}::{}::{}", service.word(), promise.name), move || {
        (promise.body)(&Target::open(&service));
        Ok(())
    })
}

//! What our own client makes of an Image service and its Keystone that are well: one body for each promise, run against
//! the embedded service and, where `GLANCEFS_TEST_CLOUDS` names a clouds.yaml, against the real one that it describes. What
//! it makes of a Compute service is among them where `GLANCEFS_TEST_COMPUTE` names the one that is in the catalogue.
//!
//! Contracts are registered when the program starts. Without a real service its half is absent from the listing instead
//! of passing without having run.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a contract that does not hold ends with a panic, which the harness reports"
)]

mod compute;
mod compute_edit;
mod edit;
mod images;
mod imports;
mod login;
mod members;
#[expect(dead_code, reason = "shared with the contracts of the wire, which ask for more")]
#[path = "../api/person.rs"]
mod person;
mod status;
mod tags;
mod target;
mod web;
#[expect(dead_code, reason = "shared with the contracts of the wire, which ask for more")]
#[path = "../api/wire.rs"]
mod wire;

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};
use target::{Service, Target};

/// A promise: its module and name, where it is checked, and the body that checks it.
struct Contract {
    module: &'static str,
    name: &'static str,
    on: Services,
    body: for<'a> fn(&'a Target) -> Pin<Box<dyn Future<Output = ()> + 'a>>,
}

/// The services that a promise is checked on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Services {
    /// The embedded one and a real one.
    Both,
    /// A real one.
    Real,
}

/// Lists the contracts of a file; one that is not listed is dead code, which the compiler refuses.
macro_rules! contracts {
    ($on:ident: $($name:path),+ $(,)?) => {
        pub(crate) const CONTRACTS: &[crate::Contract] = &[$(crate::Contract {
            module: module_path!(),
            name: stringify!($name),
            on: crate::Services::$on,
            body: |target| Box::pin($name(target)),
        }),+];
    };
}
pub(crate) use contracts;

const SUBJECTS: &[&[Contract]] = &[
    login::CONTRACTS,
    login::real_only::CONTRACTS,
    images::CONTRACTS,
    edit::CONTRACTS,
    tags::CONTRACTS,
    members::CONTRACTS,
    status::CONTRACTS,
    imports::CONTRACTS,
    compute::CONTRACTS,
    compute_edit::CONTRACTS,
];

fn main() -> ExitCode {
    let real = std::env::var_os("GLANCEFS_TEST_CLOUDS").map(|file| Service::Real(PathBuf::from(file)));
    let services: Vec<_> = [Service::Embedded].into_iter().chain(real).collect();
    let contracts = || SUBJECTS.iter().copied().flatten();
    let trials = services.iter().flat_map(|service| {
        let fits = |contract: &&Contract| {
            let is_compute = contract.module.contains("::compute");
            (contract.on == Services::Both || *service != Service::Embedded) && (service.has_compute() || !is_compute)
        };
        contracts().filter(fits).map(|contract| trial(service, contract))
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit_code()
}

/// The test `images::real::a_listing_shows_what_was_made` and its like.
fn trial(service: &Service, contract: &'static Contract) -> Trial {
    let subject = contract.module.split("::").nth(1).unwrap_or_default();
    let name = contract.name.rsplit("::").next().unwrap_or_default();
    let service = service.clone();
    Trial::test(format!("{subject}::{}::{}", service.word(), name.trim()), move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        runtime.block_on(async {
            let target = Target::open(&service).await;
            let outcome = std::panic::AssertUnwindSafe((contract.body)(&target));
            let outcome = futures_util::FutureExt::catch_unwind(outcome).await;
            target.clean().await;
            outcome.map_err(|cause| std::panic::resume_unwind(cause))
        })
    })
}

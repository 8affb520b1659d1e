//! What the Image API and the Identity API answer on the wire: one body for each promise, run against the embedded
//! service and, where `GLANCEFS_TEST_CLOUDS` names a clouds.yaml, against the real service that it describes. What the
//! Compute API answers is among them where `GLANCEFS_TEST_COMPUTE` names the one that is in the catalogue.
//!
//! Contracts are registered when the program starts. Without a real service its half is absent from the listing instead
//! of passing without having run.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a contract that does not hold ends with a panic, which the harness reports"
)]

mod actions;
mod compute_for_real;
mod compute_list;
mod compute_metadata;
mod compute_refusals;
mod compute_show;
mod compute_versions;
mod create;
mod delete;
mod download;
mod errors;
mod imports;
mod info;
mod keystone;
mod list;
mod members;
mod openstack;
mod openstack_for_real;
mod patch;
mod person;
mod roles;
mod show;
mod stage;
mod tags;
mod target;
mod tasks;
mod upload;
mod versions;
mod web;
mod wire;

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};
use target::{Service, Target};

/// A promise: its module and name, and the body that checks it.
struct Contract {
    module: &'static str,
    name: &'static str,
    body: for<'a> fn(&'a Target) -> Pin<Box<dyn Future<Output = ()> + 'a>>,
}

/// Lists the contracts of a file; one that is not listed is dead code, which the compiler refuses.
macro_rules! contracts {
    ($($name:ident),+ $(,)?) => {
        pub(crate) const CONTRACTS: &[crate::Contract] = &[$(crate::Contract {
            module: module_path!(),
            name: stringify!($name),
            body: |target| Box::pin($name(target)),
        }),+];
    };
}
pub(crate) use contracts;

const SUBJECTS: &[&[Contract]] = &[
    versions::CONTRACTS,
    errors::CONTRACTS,
    info::CONTRACTS,
    create::CONTRACTS,
    list::CONTRACTS,
    show::CONTRACTS,
    patch::CONTRACTS,
    tags::CONTRACTS,
    members::CONTRACTS,
    upload::CONTRACTS,
    download::CONTRACTS,
    delete::CONTRACTS,
    actions::CONTRACTS,
    stage::CONTRACTS,
    imports::CONTRACTS,
    tasks::CONTRACTS,
    roles::CONTRACTS,
    openstack::CONTRACTS,
    keystone::CONTRACTS,
    openstack_for_real::CONTRACTS,
    compute_versions::CONTRACTS,
    compute_list::CONTRACTS,
    compute_show::CONTRACTS,
    compute_metadata::CONTRACTS,
    compute_refusals::CONTRACTS,
    compute_for_real::CONTRACTS,
];

fn main() -> ExitCode {
    let mut services = vec![Service::Embedded];
    services.extend(std::env::var_os("GLANCEFS_TEST_CLOUDS").map(|file| Service::Real(PathBuf::from(file))));
    let is_due = |service: &Service, contract: &Contract| {
        openstack_for_real::is_possible(contract) && (service.has_compute() || !contract.module.contains("::compute_"))
    };
    let due = |service| SUBJECTS.concat_iter().filter(move |contract| is_due(service, contract));
    let trials = services.iter().flat_map(|service| due(service).map(|contract| trial(service, contract)));
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit_code()
}

/// All contracts of all subjects.
trait ConcatIter {
    fn concat_iter(&self) -> impl Iterator<Item = &'static Contract>;
}

impl ConcatIter for &[&'static [Contract]] {
    fn concat_iter(&self) -> impl Iterator<Item = &'static Contract> {
        self.iter().copied().flatten()
    }
}

/// The test `create::real::an_empty_object_makes_an_image` and its like.
fn trial(service: &Service, contract: &'static Contract) -> Trial {
    let subject = contract.module.rsplit("::").next().unwrap_or_default();
    let (service, body) = (service.clone(), contract.body);
    Trial::test(format!("{subject}::{}::{}", service.word(), contract.name), move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        runtime.block_on(async {
            let target = Target::open(&service).await;
            let outcome = std::panic::AssertUnwindSafe(body(&target));
            let outcome = futures_util::FutureExt::catch_unwind(outcome).await;
            target.clean().await;
            outcome.map_err(|cause| std::panic::resume_unwind(cause))
        })
    })
}

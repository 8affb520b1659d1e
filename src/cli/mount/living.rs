//! The life of a mount: into the background, to the service, and until the end.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use super::beginning::Beginning;
use super::{Arguments, How, Plan};
use crate::cli::connect::{self, Connection};
use crate::cli::output::{self, Code, Failure};
use crate::config::folders::variable;
use crate::fs::FileSystem;
use crate::mount::daemon::{self, Inherited, Outcome, Readiness, Side};
use crate::mount::guard::Guard;
use crate::mount::handed::Handed;
use crate::mount::life::{self, EndSignals, Kept};
use crate::mount::mountinfo;
use crate::mount::{descriptors, manager, point, session};
use crate::telemetry::{self, Sink};

/// Mounts, and returns when that is done, in the foreground when it is over.
pub(super) fn carry_out(plan: Plan, arguments: &Arguments, inherited: Inherited) -> Result<(), Failure> {
    output::survive_closed_pipe();
    if arguments.foreground {
        let log = arguments.log_file.as_deref().map_or(Ok(Sink::Stderr), named_log)?;
        telemetry::start(log, plan.how.detail);
        return serve(plan, &mut None);
    }
    let log = log(arguments.log_file.as_deref(), &plan.how.kernel.point)?;
    match daemon::fork().map_err(Failure::with(Code::System))? {
        Side::Parent(waiting) => report(waiting.outcome()),
        Side::Child(readiness) => {
            inherited.close(plan.how.kernel.handed.as_ref());
            in_background(plan, log, readiness)
        }
    }
}

/// A mount that another program has made is not left without one that serves it, where that can be helped.
pub(super) fn withdrawn(handed: Option<&Handed>, failure: Failure) -> Failure {
    match handed {
        // The child has nobody to tell it to, and its parent does the same.
        Some(handed) if !failure.sentence.is_empty() && handed.withdraw().is_err() => {
            let stays = format!("what is mounted already stays (umount {})", handed.point().display());
            Failure { sentence: format!("{}; {stays}", failure.sentence), ..failure }
        }
        _ => failure,
    }
}

/// The parent's last word.
fn report(outcome: Outcome) -> Result<(), Failure> {
    match outcome {
        Outcome::Ready => Ok(()),
        Outcome::Failed { code, sentence } => Err(Failure { code, sentence }),
        Outcome::Interrupted => Err(Failure::new(Code::Interrupted, "interrupted")),
        Outcome::Silent => Err(Failure::new(Code::Mount, "the program ended before the mount answered")),
    }
}

/// The child's life. What fails before the mount answers is the parent's to print.
fn in_background(plan: Plan, log: Sink, readiness: Readiness) -> Result<(), Failure> {
    telemetry::start(log, plan.how.detail);
    let mut waiting = Some(readiness);
    let outcome = serve(plan, &mut waiting);
    if let (Err(failure), Some(readiness)) = (&outcome, waiting.take()) {
        readiness.failed(failure.code, &failure.sentence);
        return Err(Failure { code: failure.code, sentence: String::new() });
    }
    outcome
}

/// The log of a mount in the background. A named one must work; the usual one is done without where it cannot be had,
/// because every failure is also told to who caused it.
fn log(named: Option<&Path>, point: &Path) -> Result<Sink, Failure> {
    if let Some(path) = named {
        return named_log(path);
    }
    let usual = telemetry::default_file(point, &variable, point::is_root());
    let opened = usual.and_then(|path| {
        std::fs::create_dir_all(path.parent()?).ok()?;
        telemetry::Log::open(&path).ok()
    });
    Ok(opened.map_or(Sink::Nowhere, Sink::File))
}

fn named_log(path: &Path) -> Result<Sink, Failure> {
    let refused = |error| Failure::new(Code::Usage, format!("the log {} cannot be opened: {error}", path.display()));
    telemetry::Log::open(path).map(Sink::File).map_err(refused)
}

/// Logs in, mounts, says so, and stays until the end.
fn serve(mut plan: Plan, waiting: &mut Option<Readiness>) -> Result<(), Failure> {
    for option in &plan.how.passed_over {
        tracing::debug!(option, "passed over, because the program decides it by itself");
    }
    // What was handed over is fusermount3's to unmount, which mount.fuse3 has told so.
    if plan.how.auto_unmount && plan.how.kernel.handed.is_none() {
        plan.how.guard = Some(Guard::start(&plan.how.kernel.point).map_err(Failure::with(Code::System))?);
    }
    descriptors::take_all();
    let runtime = connect::runtime()?;
    let outcome = runtime.block_on(live(plan, waiting));
    // What still runs then (a download that nobody waits for) is dropped with the process.
    runtime.shutdown_background();
    outcome
}

async fn live(plan: Plan, waiting: &mut Option<Readiness>) -> Result<(), Failure> {
    let Plan { target, how } = plan;
    // In the background nobody closes a terminal; who sends that signal there has moved the log away.
    let signals = if waiting.is_some() { EndSignals::of_daemon(telemetry::reopen) } else { EndSignals::of_mount() };
    let mut signals = signals.map_err(Failure::with(Code::System))?;
    let mut beginning = Beginning::new(target.shown(), waiting.is_some());
    let opening = connect::open(target, how.visibility_may_change);
    let connection = beginning.wait(opening, signals.next()).await?;
    let outcome = mounted(&how, &connection, &mut signals, &mut beginning, waiting).await;
    connection.close().await;
    outcome
}

async fn mounted(
    how: &How,
    connection: &Connection,
    signals: &mut EndSignals,
    beginning: &mut Beginning,
    waiting: &mut Option<Readiness>,
) -> Result<(), Failure> {
    let opening = how.writes.open(connection, &how.kernel.point);
    let uploads = if how.kernel.read_only { None } else { beginning.wait(opening, signals.next()).await? };
    let filesystem =
        FileSystem::new(connection.service(), uploads.clone(), how.filesystem(uploads.as_deref()), SystemTime::now())
            .map_err(Failure::with(Code::Usage))?;
    // Before the mount, so that an address that is taken is told to who mounts. It listens for as long as this lives.
    let _listener = how.listener(&filesystem).await?;
    let mut mounted = session::start(Arc::clone(&filesystem), &how.kernel).map_err(Failure::with(Code::Mount))?;
    let point = how.kernel.point.display();
    let answers =
        async { life::answers(&how.kernel.point).await.map_err(|error| format!("the mount at {point} {error}")) };
    let answers = async { answers.await.map_err(Failure::with(Code::Mount)) };
    if let Err(failure) = beginning.wait(answers, signals.next()).await {
        life::leave(&mut mounted, signals).await;
        return Err(failure);
    }
    let guarded = match (&how.guard, mounted.device()) {
        (Some(guard), Some(device)) => guard.mounted(device),
        _ => Ok(()),
    };
    if let Err(error) = guarded.and_then(|()| announce(waiting.take())) {
        life::leave(&mut mounted, signals).await;
        return Err(Failure::new(Code::System, error));
    }
    tracing::info!(source = %how.kernel.source, point = %how.kernel.point.display(), "mounted");
    manager::ready(&how.kernel.point);
    let watch = manager::watch(&how.kernel.point);
    let end = life::until_end(&mut mounted, signals).await;
    // However it ended: the kernel gives the number of its device to a later mount.
    let is_there = mountinfo::at(&how.kernel.point)
        .ok()
        .flatten()
        .is_some_and(|mount| mounted.device().is_some_and(|device| mount.device == device));
    if let Some(guard) = how.guard.as_ref().filter(|_| !is_there) {
        guard.over();
    }
    drop(watch);
    manager::stopping(how.writes.drain);
    tracing::info!(?end, "the mount has ended");
    if life::keep(&filesystem, end, signals).await == Kept::Part {
        tracing::warn!(
            "the cache on disk was left unfinished: the next mount compares complete images with their hash again"
        );
    }
    if let Some(uploads) = uploads {
        how.writes.finish(&uploads, signals).await;
    }
    Ok(())
}

/// Leaves the terminal and tells the parent. Nobody left to hear it means that the person gave up waiting.
fn announce(waiting: Option<Readiness>) -> std::io::Result<()> {
    match waiting {
        Some(readiness) => daemon::detach().and_then(|()| readiness.ready()),
        None => Ok(()),
    }
}

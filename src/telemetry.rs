//! Where the log goes and how much of it there is.

pub(crate) mod journal;
pub mod listen;
pub mod metrics;
pub mod status;

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tracing::field::Field;
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::{Writer, debug_fn};
use tracing_subscriber::fmt::{FormatFields, Layer};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::folders::{self, Purpose};
use crate::plain::Plain;
use crate::terminal::Terminal;

/// The variable that chooses what is logged, in the words of `RUST_LOG` (`glancefs=debug,info`).
pub const VARIABLE: &str = "GLANCEFS_LOG";

/// Where log lines go.
#[derive(Debug)]
pub enum Sink {
    /// To standard error, for programs in the foreground; where that is systemd's journal, with the values as fields of
    /// their own.
    Stderr,
    /// To a file, for programs in the background.
    File(Log),
    /// Nowhere.
    Nowhere,
}

/// How much is logged when [`VARIABLE`] does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// What went wrong.
    Problems,
    /// What happens to a mount besides: its beginning and its end, uploads, logins, a service that is away and comes back.
    Events,
    /// Each request of the kernel and each call of the service.
    Everything,
}

impl Detail {
    fn directives(self) -> &'static str {
        match self {
            Self::Problems => "warn",
            Self::Events => "warn,glancefs=info",
            Self::Everything => "glancefs=debug,info",
        }
    }
}

/// Starts logging for the rest of this process. Further calls change nothing.
pub fn start(sink: Sink, detail: Detail) {
    let wanted = std::env::var(VARIABLE).ok();
    let chosen = wanted.as_deref().unwrap_or(detail.directives());
    // Both are words of ours where the variable cannot be read.
    let filter: Targets = chosen.parse().or_else(|_| detail.directives().parse()).unwrap_or_default();
    let lines = registry().with(filter);
    // It fails only where a log was started before, which then stays.
    let _ = match sink {
        Sink::Stderr => {
            if let Some(journal) = journal::behind_stderr() {
                let layer = Layer::new().fmt_fields(fields()).with_ansi(false).event_format(journal::Entry);
                lines.with(layer.with_writer(move || journal.clone())).try_init()
            } else {
                // In a file, colours are noise.
                let layer = Layer::new().fmt_fields(fields()).with_ansi(Terminal::of(&io::stderr()).colours);
                lines.with(layer.with_writer(io::stderr)).try_init()
            }
        }
        Sink::File(log) => {
            let layer = Layer::new().fmt_fields(fields()).with_ansi(false);
            lines.with(layer.with_writer(LOG.get_or_init(|| Arc::new(log)).clone())).try_init()
        }
        Sink::Nowhere => return,
    };
}

/// How the values of a line are written: whatever they hold, it stays one line.
fn fields() -> impl for<'a> FormatFields<'a> + Send + Sync + 'static {
    debug_fn(field).delimited(" ")
}

fn field(out: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    let value = Plain(format_args!("{value:?}"));
    match field.name() {
        "message" => write!(out, "{value}"),
        // Where in a library a line comes from, which its target says already.
        name if name.starts_with("log.") => Ok(()),
        name if out.has_ansi_escapes() => write!(out, "\u{1b}[3m{name}\u{1b}[0m={value}"),
        name => write!(out, "{name}={value}"),
    }
}

/// The log of this process, where that is a file.
static LOG: OnceLock<Arc<Log>> = OnceLock::new();

/// Opens the log file anew: under its name there may be none any more, because it was moved away when it had grown large.
pub fn reopen() {
    if let Some(log) = LOG.get() {
        match log.reopen() {
            Ok(()) => tracing::info!("the log was opened anew"),
            Err(error) => tracing::warn!(%error, "the log stays where it is, because it cannot be opened anew"),
        }
    }
}

/// A log file.
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    file: Mutex<File>,
}

impl Log {
    /// Opens it to append to; a new one is for its owner only, because it names images and projects.
    pub fn open(path: &Path) -> io::Result<Self> {
        // The program goes to another working folder.
        let path = std::path::absolute(path)?;
        Ok(Self { file: Mutex::new(open(&path)?), path })
    }

    fn reopen(&self) -> io::Result<()> {
        let new = open(&self.path)?;
        *self.file.lock().unwrap_or_else(PoisonError::into_inner) = new;
        Ok(())
    }
}

impl io::Write for &Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner).flush()
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

/// The log file of a mount at `point` for which none was named, in the usual folder for logs.
pub fn default_file(point: &Path, variable: &dyn Fn(&str) -> Option<PathBuf>, root: bool) -> Option<PathBuf> {
    let folder = folders::usual(Purpose::Log, variable, root)?;
    let name = point.to_string_lossy().trim_matches('/').replace('/', "-");
    Some(folder.join(format!("{}.log", if name.is_empty() { "root" } else { &name })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_mount_has_a_log_of_its_own_in_the_state_folder() {
        let home = |name: &str| (name == "HOME").then(|| PathBuf::from("/h"));
        let chosen = |point: &str| default_file(Path::new(point), &home, false);
        assert_eq!(chosen("/mnt/glance"), Some(PathBuf::from("/h/.local/state/glancefs/mnt-glance.log")));
        assert_eq!(chosen("/"), Some(PathBuf::from("/h/.local/state/glancefs/root.log")));
        assert_eq!(default_file(Path::new("/mnt"), &|_| None, false), None);
    }

    /// Collects what is logged.
    #[derive(Clone, Default)]
    struct Kept(std::sync::Arc<Mutex<Vec<u8>>>);

    impl io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn whatever_a_name_holds_it_is_one_line_of_the_log() {
        let kept = Kept::default();
        let writer = kept.clone();
        let layer = Layer::new().fmt_fields(fields()).with_ansi(false).with_writer(move || writer.clone());
        let name = "x\n2026-01-01T00:00:00Z ERROR forged\r\u{1b}[2J\u{9b}1m\u{85}";
        tracing::subscriber::with_default(registry().with(layer), || {
            let span = tracing::warn_span!("lookup", ?name, shown = %name, ino = 5);
            let _entered = span.enter();
            tracing::warn!(path = name, error = %name, "failed at {name}");
        });
        let log = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        assert_eq!(log.lines().count(), 1, "{log}");
        assert!(log.ends_with('\n') && !log.trim_end_matches('\n').contains(char::is_control), "{log:?}");
        assert!(
            log.contains("ino=5") && log.contains("failed at x\\u000a2026") && log.contains("error=x\\u000a"),
            "{log}"
        );
    }

    #[test]
    fn a_new_log_is_for_its_owner_only() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let file = open(&path).unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
}

//! systemd's journal: each line in words as its message, and each value of it as a field that can be asked for
//! (`journalctl GLANCEFS_IMAGE=…`).
//!
//! An entry is a datagram of lines `FIELD=value`, as <https://systemd.io/JOURNAL_NATIVE_PROTOCOL/> says. Values hold no newline
//! here, so that the form for those that do is not needed.

use std::fmt::{self, Debug};
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::{Format, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::plain::Plain;

/// Where the journal listens.
const SOCKET: &str = "/run/systemd/journal/socket";

/// Characters of a value that are kept. All of an entry has to fit into one datagram, of 208 KiB by default.
const LENGTH: usize = 4096;

/// How long a journal that takes no entry is waited for.
const PATIENCE: Duration = Duration::from_millis(500);

/// Whose entries they are.
const IDENTIFIER: &str = "SYSLOG_IDENTIFIER=glancefs";

/// Whether standard error goes to the journal (systemd.exec(5), `JOURNAL_STREAM`).
pub(crate) fn is_behind_stderr() -> bool {
    let told = std::env::var("JOURNAL_STREAM").ok();
    let stderr = || File::from(io::stderr().as_fd().try_clone_to_owned().ok()?).metadata().ok();
    told.zip(stderr()).is_some_and(|(told, about)| is_stream(&told, about.dev(), about.ino()))
}

/// The journal, where it is what standard error goes to.
pub(super) fn behind_stderr() -> Option<Socket> {
    if is_behind_stderr() { Socket::to(SOCKET.into()).ok() } else { None }
}

/// Whether `told` names this file: the device and the inode, as two numbers with a colon between them.
fn is_stream(told: &str, device: u64, inode: u64) -> bool {
    let numbers = told.split_once(':').and_then(|(device, inode)| Some((device.parse().ok()?, inode.parse().ok()?)));
    numbers == Some((device, inode))
}

/// The way to the journal.
#[derive(Clone, Debug)]
pub(super) struct Socket {
    sender: Arc<UnixDatagram>,
    /// Looked up for each entry, because the journal makes it anew when it is started anew.
    journal: PathBuf,
    /// How many entries it did not take since it stood still. Nobody waits for it meanwhile.
    lost: Arc<AtomicU64>,
}

impl Socket {
    fn to(journal: PathBuf) -> io::Result<Self> {
        let sender = UnixDatagram::unbound()?;
        sender.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { sender: Arc::new(sender), journal, lost: Arc::default() })
    }

    fn sent(&self) -> io::Result<()> {
        match self.lost.swap(0, Ordering::AcqRel) {
            0 => Ok(()),
            lost => self.tell(lost).inspect_err(|_| {
                self.lost.fetch_add(lost, Ordering::AcqRel);
            }),
        }
    }

    /// That it takes entries again, and how many are missing. Only then is it waited for again.
    fn tell(&self, lost: u64) -> io::Result<()> {
        let told = format!("MESSAGE={lost} lines were lost, because the journal took none\nPRIORITY=4\n{IDENTIFIER}\n");
        self.sender.send_to(told.as_bytes(), &self.journal)?;
        self.sender.set_nonblocking(false)
    }

    fn lose(&self) -> io::Result<()> {
        self.lost.fetch_add(1, Ordering::AcqRel);
        self.sender.set_nonblocking(true)
    }
}

impl io::Write for Socket {
    /// An entry. Where the journal is away, there is nobody to be told; where it stands still, nobody waits for it twice.
    fn write(&mut self, entry: &[u8]) -> io::Result<usize> {
        let _ = match self.sender.send_to(entry, &self.journal) {
            Ok(_) => self.sent(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.lose(),
            Err(_) => Ok(()),
        };
        Ok(entry.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An event as an entry of the journal.
#[derive(Debug, Default)]
pub(super) struct Entry;

impl<S, N> FormatEvent<S, N> for Entry
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut words = String::new();
        let format = Format::default().without_time().with_level(false).with_target(false).with_ansi(false);
        format.format_event(context, Writer::new(&mut words), event)?;
        let about = event.metadata();
        writeln!(out, "MESSAGE={}", cut(words.trim_end()))?;
        writeln!(out, "PRIORITY={}", priority(*about.level()))?;
        writeln!(out, "{IDENTIFIER}")?;
        writeln!(out, "TARGET={}", about.target())?;
        let mut fields = Fields { out, outcome: Ok(()) };
        event.record(&mut fields);
        fields.outcome
    }
}

/// The severity as syslog counts it (RFC 5424, 6.2.1).
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        _ => 7,
    }
}

/// Writes each value as a field.
struct Fields<'a> {
    out: Writer<'a>,
    outcome: fmt::Result,
}

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let Some(name) = name(field.name()) else { return };
        let value = Plain(format_args!("{value:?}")).to_string();
        self.outcome = self.outcome.and_then(|()| writeln!(self.out, "{name}={}", cut(&value)));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }
}

/// As much of a value as is kept.
fn cut(value: &str) -> &str {
    value.char_indices().nth(LENGTH).and_then(|(end, _)| value.get(..end)).unwrap_or(value)
}

/// The name of a field: capital letters, digits and `_`. The message is there already, and where in a library a line comes
/// from is told by its target.
fn name(field: &str) -> Option<String> {
    let is_told = field == "message" || field.starts_with("log.");
    let sign = |sign: char| if sign.is_ascii_alphanumeric() { sign.to_ascii_uppercase() } else { '_' };
    (!is_told).then(|| format!("GLANCEFS_{}", field.chars().map(sign).collect::<String>()))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use tracing_subscriber::fmt::Layer;
    use tracing_subscriber::layer::SubscriberExt;
    use tracing_subscriber::registry;

    use super::*;

    #[test]
    fn the_journal_is_known_by_the_device_and_the_inode_of_its_stream() {
        assert!(is_stream("8:1234", 8, 1234));
        for other in ["8:1235", "9:1234", "", ":", "8", "8:1234:5", "x:1234", "-8:1234"] {
            assert!(!is_stream(other, 8, 1234), "{other}");
        }
    }

    /// What the journal gets of what is logged.
    fn entries(log: impl FnOnce()) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let journal = folder.path().join("socket");
        let journals = UnixDatagram::bind(&journal).unwrap();
        let socket = Socket::to(journal).unwrap();
        let layer = Layer::new().fmt_fields(super::super::fields()).with_ansi(false).event_format(Entry);
        let layer = layer.with_writer(move || socket.clone());
        tracing::subscriber::with_default(registry().with(layer), log);
        taken(&journals)
    }

    /// What waits for the journal.
    fn taken(journals: &UnixDatagram) -> Vec<String> {
        journals.set_nonblocking(true).unwrap();
        let next = || {
            let mut bytes = vec![0; 1 << 17];
            let count = journals.recv(&mut bytes).ok()?;
            Some(String::from_utf8_lossy(bytes.get(..count)?).into_owned())
        };
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn a_journal_that_stands_still_is_waited_for_once_and_told_what_it_missed() {
        let folder = tempfile::tempdir().unwrap();
        let journal = folder.path().join("socket");
        let journals = UnixDatagram::bind(&journal).unwrap();
        let mut socket = Socket::to(journal).unwrap();
        // It would be an hour and a half if each of them were waited for.
        for number in 0..10_000 {
            socket.write_all(format!("MESSAGE={number}").as_bytes()).unwrap();
        }
        let before = taken(&journals);
        assert!(!before.is_empty() && before.len() < 10_000, "{}", before.len());
        socket.write_all(b"MESSAGE=again").unwrap();
        let behind = taken(&journals);
        let lost = format!("MESSAGE={} lines were lost, ", 10_000 - before.len());
        assert!(behind.len() == 2 && behind[0] == "MESSAGE=again" && behind[1].starts_with(&lost), "{behind:?}");
        socket.write_all(b"MESSAGE=well").unwrap();
        assert_eq!(taken(&journals), ["MESSAGE=well"]);
    }

    #[test]
    fn an_entry_says_in_words_what_its_fields_say_and_how_bad_it_is() {
        let entries = entries(|| {
            tracing::warn!(path = "by-id/x", error = %"no\nroom", "failed");
            tracing::info!("mounted");
        });
        let [failed, mounted] = &*entries else { panic!("{entries:?}") };
        assert_eq!(
            failed.replace(concat!("TARGET=", module_path!()), "TARGET=…"),
            "MESSAGE=failed path=\"by-id/x\" error=no\\u000aroom\nPRIORITY=4\nSYSLOG_IDENTIFIER=glancefs\nTARGET=…\n\
             GLANCEFS_PATH=by-id/x\nGLANCEFS_ERROR=no\\u000aroom\n"
        );
        assert!(mounted.starts_with("MESSAGE=mounted\nPRIORITY=6\n"), "{mounted}");
    }

    #[test]
    fn a_value_that_is_too_long_for_a_datagram_is_cut() {
        let entries = entries(|| tracing::error!(error = "x".repeat(1 << 20), "failed"));
        assert_eq!(entries.len(), 1);
        assert!(entries[0].len() < 3 * LENGTH, "{}", entries[0].len());
    }
}

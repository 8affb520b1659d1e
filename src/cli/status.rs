//! `glancefs status`: how the mounts of this user do, and what is under way in them.

mod shown;

use std::io;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;

use self::shown::Look;
use super::mounts::{Mounts, STATUS, UPLOADS};
use super::output::{self, Code, Failure};
use super::umount::point_of;
use crate::config::quantity;
use crate::telemetry::status::Status;
use crate::terminal::Terminal;
use crate::write::Line;

/// How long between two looks at a mount whose programs read: the rate is what they were given meanwhile.
const GLIMPSE: Duration = Duration::from_millis(300);

/// Show how mounts do: transfers, cache, requests, errors
#[derive(Debug, Args)]
pub struct Arguments {
    /// The folder of the mount [default: all that let this user in]
    #[arg(value_name = "MOUNTPOINT")]
    point: Option<PathBuf>,
    /// One JSON object a mount
    #[arg(long)]
    json: bool,
    /// Show it again and again, so often [default: every second]
    #[arg(
        short,
        long,
        value_name = "DURATION",
        value_parser = quantity::duration,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "1s"
    )]
    watch: Option<Duration>,
}

/// Shows what is asked for.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let only = arguments.point.as_deref().map(point_of).transpose()?.map(|point| vec![point]);
    let mut search = Search { only, status: Mounts::of(STATUS), uploads: Mounts::of(UPLOADS), is_shut_out: false };
    let Some(pause) = arguments.watch else { return once(&mut search, arguments.json) };
    watch(&mut search, arguments.json, pause.max(GLIMPSE))
}

/// Shows it until a signal comes, or until the mount that was named is gone.
fn watch(search: &mut Search, json: bool, pause: Duration) -> Result<(), Failure> {
    let (mut before, mut said) = (Vec::new(), Vec::new());
    loop {
        let seen = search.look()?;
        if json {
            seen.print_objects()?;
        } else {
            clear()?;
            seen.print(&before)?;
        }
        // One that does not answer now may do so later.
        if search.only.is_some() && seen.looks.is_empty() && search.status.silent().next().is_none() {
            return seen.outcome(search);
        }
        // On a screen that was cleared it has to be said again.
        if seen.problems != said || Terminal::of(&io::stdout()).moves {
            seen.problems.iter().for_each(output::problem);
        }
        Seen { looks: before, problems: said } = seen;
        thread::sleep(pause);
    }
}

fn once(search: &mut Search, json: bool) -> Result<(), Failure> {
    let mut seen = search.look()?;
    if json {
        seen.print_objects()?;
    } else {
        let mut before = Vec::new();
        if seen.looks.iter().any(|look| !look.status.downloads.is_empty()) {
            thread::sleep(GLIMPSE);
            before = std::mem::replace(&mut seen, search.look()?).looks;
        }
        seen.print(&before)?;
    }
    seen.outcome(search)
}

/// Begins the screen again, where there is one that can.
fn clear() -> Result<(), Failure> {
    // To the corner, and nothing behind it (ECMA-48, CUP and ED).
    if Terminal::of(&io::stdout()).moves { output::all(b"\x1b[H\x1b[J") } else { Ok(()) }
}

/// The mounts that are looked at.
struct Search {
    only: Option<Vec<PathBuf>>,
    status: Mounts,
    uploads: Mounts,
    /// There are mounts that do not let this user in.
    is_shut_out: bool,
}

/// What was found.
struct Seen {
    looks: Vec<Look>,
    /// What is to be said of mounts that told nothing.
    problems: Vec<String>,
}

impl Search {
    fn look(&mut self) -> Result<Seen, Failure> {
        let only = self.only.as_deref();
        let told = self.status.ask(only).map_err(Failure::with(Code::System))?;
        let uploads = self.uploads.ask(only).map_err(Failure::with(Code::System))?;
        let at = Instant::now();
        let mut seen = Seen { looks: Vec::new(), problems: Vec::new() };
        for answer in told {
            let lines = uploads.iter().find(|other| other.mount.point == answer.mount.point);
            let lines = lines.and_then(|other| other.told.as_deref().ok()).map(Line::all_in).unwrap_or_default();
            let status = answer.told.and_then(|text| serde_json::from_str::<Status>(&text).map_err(io::Error::from));
            match status {
                Ok(status) => seen.looks.push(Look { mount: answer.mount, at, status, uploads: lines }),
                // What does not let this user in is not theirs to look at.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    if only.is_some() {
                        return Err(Failure::new(Code::Usage, shown::closed(&answer.mount.point)));
                    }
                    self.is_shut_out = true;
                }
                Err(error) => seen.problems.push(shown::problem(&answer.mount.point, &error)),
            }
        }
        seen.problems.extend(self.status.silent().map(shown::silent));
        Ok(seen)
    }
}

impl Seen {
    fn print(&self, before: &[Look]) -> Result<(), Failure> {
        self.looks.iter().try_for_each(|look| {
            let earlier = before.iter().find(|earlier| earlier.mount.point == look.mount.point);
            output::line(look.text(earlier))
        })
    }

    fn print_objects(&self) -> Result<(), Failure> {
        self.looks.iter().try_for_each(|look| output::line(Document::of(look).to_json()))
    }

    /// Tells what did not answer, and fails where something did not and where nothing is there.
    fn outcome(self, search: &Search) -> Result<(), Failure> {
        if self.looks.is_empty() && self.problems.is_empty() {
            let sentence = match search.only.as_deref() {
                Some([point, ..]) => format!("nothing is mounted at {} any more", point.display()),
                _ if search.is_shut_out => "there are mounts of glancefs, and none that lets this user in".to_owned(),
                _ => "there is no mount of glancefs".to_owned(),
            };
            return Err(Failure::new(Code::Usage, sentence));
        }
        self.problems.iter().for_each(output::problem);
        if self.problems.is_empty() { Ok(()) } else { Err(Failure::new(Code::System, "")) }
    }
}

/// The form for programs.
#[derive(Serialize)]
struct Document<'a> {
    mount: &'a std::path::Path,
    source: String,
    status: &'a Status,
    uploads: &'a [Line],
}

impl<'a> Document<'a> {
    fn of(look: &'a Look) -> Self {
        let source = look.mount.source.to_string_lossy().into_owned();
        Self { mount: &look.mount.point, source, status: &look.status, uploads: &look.uploads }
    }

    fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

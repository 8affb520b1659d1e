//! A mount in words for people.

use std::fmt::Write;
use std::io;
use std::path::Path;
use std::time::Instant;

use crate::cli::mounts;
use crate::cli::words::{bar, bytes, seconds};
use crate::mount::mountinfo::Mount;
use crate::plain::Plain;
use crate::telemetry::status::{Cache, Download, Requests, Status};
use crate::write::Line;

/// What a mount told.
#[derive(Clone, Debug)]
pub(super) struct Look {
    pub(super) mount: Mount,
    /// When.
    pub(super) at: Instant,
    pub(super) status: Status,
    pub(super) uploads: Vec<Line>,
}

/// Why a mount told nothing.
pub(super) fn problem(point: &Path, error: &io::Error) -> String {
    match error.raw_os_error() {
        // The latter is for who was asking at that moment.
        Some(libc::ENOTCONN | libc::ECONNABORTED) => mounts::died(point),
        _ if error.kind() == io::ErrorKind::NotFound => {
            format!("the mount at {} is of a version that tells nothing", point.display())
        }
        _ => format!("the mount at {}: {error}", point.display()),
    }
}

/// The same where it does not let this user in.
pub(super) fn closed(point: &Path) -> String {
    format!("the mount at {} lets nobody in but the user who mounted it (see --allow-other)", point.display())
}

/// The same where it did not answer in time.
pub(super) fn silent(point: &Path) -> String {
    format!("the mount at {} does not answer", point.display())
}

impl Look {
    /// The mount as text, with rates since an earlier look.
    pub(super) fn text(&self, earlier: Option<&Self>) -> String {
        let (point, source) = (self.mount.point.display(), self.mount.source.to_string_lossy());
        let age = seconds(self.status.mounted_seconds);
        let mut text = format!("{} on {point}, mounted for {age}", Plain(source));
        for (name, words) in self.facts() {
            // Writing to a text cannot fail.
            let _ = write!(text, "\n  {name:<9} {words}");
        }
        for line in self.requests().chain(self.downloads(earlier)).chain(self.uploads.iter().map(upload)) {
            text.push_str("\n  ");
            text.push_str(&line);
        }
        text
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        let Status { reading, cache, service, errors, .. } = &self.status;
        let mut facts = vec![("images", self.images())];
        facts.extend(service.token_seconds_left.map(|left| ("token", format!("{} left", seconds(left)))));
        let programs = match reading.open_files {
            0 => "no image is open".to_owned(),
            1 => "1 open file".to_owned(),
            more => format!("{more} open files"),
        };
        let (delivered, fetched) = (bytes(reading.delivered_bytes), bytes(reading.fetched_bytes));
        let from_disk = Some(reading.disk_bytes).filter(|kept| *kept > 0);
        let from_disk = from_disk.map_or_else(String::new, |kept| format!(", {} from the cache on disk", bytes(kept)));
        facts.push(("read", format!("{delivered} given to programs, {fetched} fetched{from_disk}; {programs}")));
        let hits = reading.hit_ratio().map_or_else(String::new, |ratio| format!(", {:.0}% found there", ratio * 100.0));
        facts.push(("memory", format!("{}{hits}", bytes(reading.memory_bytes))));
        facts.extend(cache.as_ref().map(|cache| ("cache", kept(cache))));
        if !errors.is_empty() {
            let counted: Vec<_> = errors.iter().map(|(errno, count)| format!("{errno} {count}")).collect();
            facts.push(("errors", counted.join(", ")));
        }
        facts
    }

    fn images(&self) -> String {
        let listing = &self.status.catalogue;
        match (listing.listed_seconds_ago, listing.stale) {
            (None, _) => "not listed yet".to_owned(),
            (Some(_), false) => listing.images.to_string(),
            (Some(age), true) => {
                format!("{}, as they were {} ago: the service cannot be asked", listing.images, seconds(age))
            }
        }
    }

    fn requests(&self) -> impl Iterator<Item = String> {
        let head = format!("{:<9} {:>8} {:>8} {:>9} {:>9}", "requests", "made", "failed", "half in", "95% in");
        let rows = self.status.service.requests.iter().map(requests);
        (!self.status.service.requests.is_empty()).then_some(head).into_iter().chain(rows)
    }

    fn downloads(&self, earlier: Option<&Self>) -> impl Iterator<Item = String> {
        self.status.downloads.iter().map(move |now| {
            let before = earlier.and_then(|earlier| {
                let then = earlier.status.downloads.iter().find(|then| then.image == now.image)?;
                Some((then, self.at.saturating_duration_since(earlier.at)))
            });
            let rate = before.and_then(|(then, passed)| {
                let millis = u64::try_from(passed.as_millis()).ok()?;
                now.reached.saturating_sub(then.reached).saturating_mul(1000).checked_div(millis)
            });
            download(now, rate)
        })
    }
}

fn kept(cache: &Cache) -> String {
    let images = if cache.images == 1 { "1 image".to_owned() } else { format!("{} images", cache.images) };
    format!("{images}, {} of {} in {}", bytes(cache.bytes), bytes(cache.size), Plain(cache.folder.display()))
}

fn requests(asked: &Requests) -> String {
    let at_most = |share| asked.quantile(share).map_or_else(|| "longer".to_owned(), |millis| format!("{millis} ms"));
    let (purpose, half, most) = (Plain(&asked.purpose).to_string(), at_most(0.5), at_most(0.95));
    format!("  {purpose:<9} {:>6} {:>8} {half:>9} {most:>9}", asked.requests, asked.failed)
}

/// From how many bytes on it is told that a store without ranges has to send them before those that are wanted: fewer are
/// what is fetched ahead.
const FAR: u64 = 64 << 20;

fn download(read: &Download, rate: Option<u64>) -> String {
    let name = read.name.as_deref().unwrap_or(&read.image);
    let first = if read.to_pass < FAR { String::new() } else { format!(", {} to pass first", bytes(read.to_pass)) };
    format!("reading {}{first}  {}", transfer(read.reached, read.size, rate).trim_end(), Plain(name))
}

fn upload(line: &Line) -> String {
    let image = line.image.to_string();
    let name = line.name.as_deref().filter(|name| !name.is_empty()).unwrap_or(&image);
    let sent = if line.state == "verifying" { line.size } else { line.sent };
    format!("{:<7} {} {}", line.state, transfer(sent, line.size, line.rate), Plain(name))
}

/// How far it is.
fn transfer(done: u64, all: u64, rate: Option<u64>) -> String {
    let part = (u128::from(done) * 100).checked_div(all.into()).unwrap_or(100);
    let rate = rate.filter(|rate| *rate > 0);
    let left = rate.map_or_else(String::new, |rate| {
        format!(", {} a second, {} left", bytes(rate), seconds(all.saturating_sub(done).div_ceil(rate)))
    });
    format!("[{}] {part:>3}% of {}{left} ", bar(done, all), bytes(all))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::telemetry::status::{Class, Listing, Reading, Service};

    fn look(status: Status) -> Look {
        let (device, kind) = ("0:50".to_owned(), "fuse.glancefs".to_owned());
        let mount = Mount { id: 1, device, point: "/mnt".into(), kind, source: "cloud".into() };
        Look { mount, at: Instant::now(), status, uploads: Vec::new() }
    }

    fn downloading(reached: u64) -> Status {
        let (image, name) = ("id".to_owned(), Some("disk\n".to_owned()));
        let download = Download { image, name, size: 4 << 20, reached, readers: 1, to_pass: 0 };
        Status { downloads: vec![download], ..Status::default() }
    }

    #[test]
    fn a_download_shows_its_bar_and_after_a_second_look_its_rate() {
        let before = look(downloading(1 << 20));
        let after = Look { at: before.at + Duration::from_millis(500), ..look(downloading(2 << 20)) };
        let bar = format!("[{}{}]  50% of 4.0 MiB", "#".repeat(10), "-".repeat(10));
        let text = after.text(Some(&before));
        assert_eq!(text.lines().last(), Some(&*format!("  reading {bar}, 2.0 MiB a second, 1 s left  disk\\u000a")));
        assert!(after.text(None).ends_with(&format!("{bar}  disk\\u000a")));
        assert!(!before.text(Some(&before)).contains("a second"), "no time has passed");
    }

    #[test]
    fn who_waits_for_what_is_far_away_in_a_stream_is_told_how_far() {
        let mut status = downloading(1 << 20);
        assert!(!look(status.clone()).text(None).contains("to pass"));
        status.downloads.iter_mut().for_each(|read| read.to_pass = 3 << 30);
        assert!(look(status).text(None).ends_with("25% of 4.0 MiB, 3.0 GiB to pass first  disk\\u000a"));
    }

    #[test]
    fn what_is_there_is_shown_and_what_is_not_is_left_out() {
        let empty = look(Status::default()).text(None);
        let none = ["token", "cache", "errors", "requests", "reading", "found there"];
        assert!(none.iter().all(|word| !empty.contains(word)) && empty.contains("not listed yet"), "{empty}");
        let class = |at_most_ms, requests| Class { at_most_ms, requests };
        let classes = vec![class(Some(5), 6), class(Some(20), 3), class(None, 1)];
        let list = Requests { purpose: "list".to_owned(), requests: 10, failed: 1, seconds: 1.0, classes };
        let text = look(Status {
            catalogue: Listing { images: 3, stale: true, listed_seconds_ago: Some(7), ..Listing::default() },
            reading: Reading {
                memory_hits: 3,
                memory_misses: 1,
                open_files: 1,
                disk_bytes: 1024,
                ..Reading::default()
            },
            cache: Some(Cache { images: 1, bytes: 1 << 20, size: 1 << 30, folder: "/c".into() }),
            service: Service { token_seconds_left: Some(240), requests: vec![list] },
            errors: [("EIO".to_owned(), 2), ("EPERM".to_owned(), 1)].into(),
            ..Status::default()
        })
        .text(None);
        for words in [
            "cloud on /mnt, mounted for 0 s\n",
            "images    3, as they were 7 s ago: the service cannot be asked\n",
            "token     4 min left\n",
            "0 B fetched, 1.0 KiB from the cache on disk; 1 open file\n",
            "75% found there\n",
            "cache     1 image, 1.0 MiB of 1.0 GiB in /c\n",
            "errors    EIO 2, EPERM 1\n",
            "\n    list          10        1      5 ms    longer",
        ] {
            assert!(text.contains(words), "{words} in\n{text}");
        }
    }

    #[test]
    fn a_mount_that_tells_nothing_says_what_to_do() {
        let said = |errno| problem(Path::new("/mnt"), &io::Error::from_raw_os_error(errno));
        assert!(said(libc::ENOTCONN).contains("glancefs umount /mnt"));
        assert!(said(libc::ENOENT).contains("of a version"));
        assert!(said(libc::EIO).contains("/mnt: "));
    }
}

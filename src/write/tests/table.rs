//! The table of docs/semantics.md, "The states of an upload": a test for each of its cells, called by its row and its
//! column, and one that compares the words of the page with what is tested here.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::super::testing::{Fake, Fault, Point, cut_power, fill, open, open_with};
use super::super::{Cause, Reason, Sealed, Settings, State, Upload, Uploads, WriteError};
use super::crash::killed;
use crate::image::{Image, ImageId};
use crate::service::Kind;
use crate::service::retry::Patience;

const SIZE: usize = (1 << 20) + 7;

/// What the next mount makes of an upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Keeps,
    GoesOn,
    Shows,
    HasNothing,
}

impl Next {
    fn words(self) -> &'static str {
        match self {
            Self::Keeps => "kept, and not sent",
            Self::GoesOn => "goes on",
            Self::Shows => "stays failed",
            Self::HasNothing => "is in the service",
        }
    }
}

/// What close does, or has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Close {
    IsToCome,
    Waits,
    HasFailed,
    HasReturned,
}

impl Close {
    fn words(self) -> &'static str {
        match self {
            Self::IsToCome => "is to come",
            Self::Waits => "waits",
            Self::HasFailed => "has failed with the reason",
            Self::HasReturned => "has returned",
        }
    }
}

/// What the next one gets who opens the image for writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Opening {
    IsBusy,
    TakesBack,
    IsRefused,
}

impl Opening {
    fn words(self) -> &'static str {
        match self {
            Self::IsBusy => "`EBUSY`; what a killed writer left, he goes on with",
            Self::TakesBack => "takes it back, with its bytes",
            Self::IsRefused => "`EPERM`",
        }
    }
}

/// What a reader gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reader {
    Spool,
    Either,
    Image,
}

impl Reader {
    fn words(self) -> &'static str {
        match self {
            Self::Spool => "the spool",
            Self::Either => "the spool or the image: the same bytes",
            Self::Image => "the image",
        }
    }
}

/// A row: what is promised of a state.
struct Row {
    word: &'static str,
    /// The status of the image in the service.
    status: &'static str,
    killed: Next,
    /// After a power cut, where close had not promised to survive one; with `--write-back` it is as after a kill.
    cut: Next,
    close: Close,
    opening: Opening,
    reader: Reader,
}

const ROWS: [Row; 7] = [WRITING, SEALED, SENDING, VERIFYING, WAITING, FAILED, DONE];

const WRITING: Row = Row {
    word: "writing",
    status: "queued",
    killed: Next::Keeps,
    cut: Next::Keeps,
    close: Close::IsToCome,
    opening: Opening::IsBusy,
    reader: Reader::Spool,
};

const SEALED: Row =
    Row { word: "sealed", killed: Next::GoesOn, close: Close::Waits, opening: Opening::TakesBack, ..WRITING };

const SENDING: Row = Row { word: "sending", status: "saving", ..SEALED };

const VERIFYING: Row =
    Row { word: "verifying", status: "active", opening: Opening::IsRefused, reader: Reader::Either, ..SEALED };

const WAITING: Row = Row { word: "waiting", ..SEALED };

const FAILED: Row = Row { word: "failed", killed: Next::Shows, cut: Next::Shows, close: Close::HasFailed, ..SEALED };

const DONE: Row = Row {
    word: "done",
    status: "active",
    killed: Next::HasNothing,
    cut: Next::HasNothing,
    close: Close::HasReturned,
    opening: Opening::IsRefused,
    reader: Reader::Image,
};

/// A folder and a service, for one mount after the other.
struct Scene {
    folder: tempfile::TempDir,
    service: Arc<Fake>,
    image: ImageId,
}

impl Scene {
    fn new() -> Self {
        let (folder, service) = (tempfile::tempdir().unwrap(), Fake::new());
        let image = service.add_raw().id;
        Self { folder, service, image }
    }

    fn settings(&self) -> Settings {
        // Who waits does so for longer than a test takes.
        let pause = Duration::from_hours(1);
        let patience = Patience { tries: 9, first_pause: pause, longest_pause: pause };
        Settings { patience, ..Settings::new(self.folder.path()) }
    }

    fn shown(&self) -> Image {
        self.service.image(self.image).unwrap()
    }

    /// Writes, closes, and waits until the upload is in the state of the row and stays there.
    async fn reach(&self, row: &Row, settings: Settings) -> (Arc<Uploads>, Arc<Upload>) {
        match row.word {
            "sealed" | "verifying" => self.service.hold(Point::Show),
            "sending" => self.service.hold(Point::Middle),
            "waiting" => self.service.fail([Fault::Refused(Kind::Unavailable)]),
            "failed" => self.service.fail([Fault::Refused(Kind::OverQuota)]),
            _ => {}
        }
        let uploads = open_with(settings, &self.service).await;
        let writer = uploads.begin(&self.shown()).await.unwrap();
        writer.write_at(0, bytes()).await.unwrap();
        let upload = Arc::clone(writer.upload());
        if row.word == "sealed" {
            // It looks at the image first, and nobody answers.
            upload.is_certain.store(false, std::sync::atomic::Ordering::Release);
        }
        if row.word != "writing" {
            writer.seal().await.unwrap();
            drop(writer);
            upload.reaches(row.word).await;
        }
        if matches!(row.word, "sealed" | "sending" | "verifying") {
            self.service.arrival().await;
        }
        (uploads, upload)
    }

    /// What the mount after that one makes of the upload.
    async fn next(&self) -> Next {
        self.service.release();
        let taken = self.service.taken();
        let had_some = !Uploads::peek(self.folder.path()).unwrap().is_empty();
        let uploads = open(self.folder.path(), &self.service).await;
        let Some(upload) = uploads.of(self.image) else {
            assert!(self.service.bytes(self.image) == bytes());
            // What was almost done may be over by now.
            return if had_some { Next::GoesOn } else { Next::HasNothing };
        };
        if upload.state().is_under_way() {
            upload.settled().await.unwrap();
            assert!(self.service.bytes(self.image) == bytes());
            assert_eq!((self.service.taken(), uploads.list().len()), (1, 0));
            return Next::GoesOn;
        }
        assert!(upload.report().needs_somebody(), "and it is told");
        assert!(upload.read_at(0, SIZE + 1).await.unwrap() == bytes(), "every byte is there");
        assert_eq!(self.service.taken(), taken);
        if upload.state() == State::Writing { Next::Keeps } else { Next::Shows }
    }

    /// The record as another boot of the machine finds it.
    fn cut_power(&self) {
        cut_power(self.folder.path(), self.image);
    }
}

fn bytes() -> Bytes {
    fill(1, SIZE)
}

fn after_a_kill(row: &Row) {
    let scene = Scene::new();
    killed(async { drop(scene.reach(row, scene.settings()).await) });
    assert_eq!(killed(scene.next()), row.killed);
}

fn after_a_power_cut(row: &Row) {
    for write_back in [false, true] {
        let scene = Scene::new();
        let settings = Settings { write_back, ..scene.settings() };
        killed(async { drop(scene.reach(row, settings).await) });
        scene.cut_power();
        assert_eq!(killed(scene.next()), if write_back { row.killed } else { row.cut }, "write-back {write_back}");
    }
}

fn the_status(row: &Row) {
    let scene = Scene::new();
    killed(async {
        let (uploads, _) = scene.reach(row, scene.settings()).await;
        assert_eq!(scene.shown().status.as_str(), row.status);
        let listed: Vec<_> = uploads.list().iter().map(|report| report.state.word()).collect();
        let expected: &[&str] = if row.word == "done" { &[] } else { &[row.word] };
        assert_eq!(listed, expected, "what glancefs uploads shows");
    });
}

fn what_close_does(row: &Row) {
    let scene = Scene::new();
    killed(async {
        let (_uploads, upload) = scene.reach(row, scene.settings()).await;
        let settled = tokio::time::timeout(Duration::from_millis(5), upload.settled()).await;
        let close = match settled {
            Err(_) if upload.state() == State::Writing => Close::IsToCome,
            Err(_) => Close::Waits,
            Ok(Ok(_)) => Close::HasReturned,
            Ok(Err(WriteError::Failed(Cause { reason, .. }))) => {
                assert_eq!(reason, Reason::Quota);
                Close::HasFailed
            }
            Ok(Err(other)) => panic!("{other}"),
        };
        assert_eq!(close, row.close);
    });
}

fn a_second_opening(row: &Row) {
    let scene = Scene::new();
    killed(async {
        let uploads = open_with(scene.settings(), &scene.service).await;
        let writer = uploads.begin(&scene.shown()).await.unwrap();
        assert!(matches!(uploads.begin(&scene.shown()).await, Err(WriteError::Busy(_))));
        drop((writer, uploads));
        let (uploads, upload) = scene.reach(row, scene.settings()).await;
        // Who asks whether the bytes arrived is answered, once he has begun to; those that are on their way do not arrive
        // meanwhile.
        let answers = async {
            if !["sending", "verifying"].contains(&row.word) {
                scene.service.release();
            }
        };
        let shown = scene.shown();
        let (begun, ()) = tokio::join!(biased; uploads.begin(&shown), answers);
        let opening = match begun {
            Ok(writer) => {
                assert_eq!(writer.state(), State::Writing);
                assert!(upload.read_at(0, SIZE + 1).await.unwrap() == bytes());
                if row.word == "writing" { Opening::IsBusy } else { Opening::TakesBack }
            }
            Err(WriteError::Immutable(_)) => Opening::IsRefused,
            Err(other) => panic!("{other}"),
        };
        assert_eq!(opening, row.opening);
    });
}

fn a_reader_sees(row: &Row) {
    let scene = Scene::new();
    killed(async {
        let (uploads, _) = scene.reach(row, scene.settings()).await;
        let spool = match uploads.of(scene.image) {
            Some(upload) => Some(upload.read_at(0, SIZE + 1).await.unwrap()),
            None => None,
        };
        let image = Some(scene.service.bytes(scene.image)).filter(|_| scene.shown().status.has_data());
        assert!([&spool, &image].into_iter().flatten().all(|seen| *seen == bytes()));
        let reader = match (spool.is_some(), image.is_some()) {
            (true, false) => Reader::Spool,
            (true, true) => Reader::Either,
            (false, true) => Reader::Image,
            (false, false) => panic!("nothing"),
        };
        assert_eq!(reader, row.reader);
    });
}

/// A module for each row, with a test for each cell.
macro_rules! cells {
    ($($row:ident: $promise:ident),+ $(,)?) => {
        $(mod $row {
            #[test]
            fn after_a_kill() {
                super::after_a_kill(&super::$promise);
            }

            #[test]
            fn after_a_power_cut() {
                super::after_a_power_cut(&super::$promise);
            }

            #[test]
            fn the_status() {
                super::the_status(&super::$promise);
            }

            #[test]
            fn what_close_does() {
                super::what_close_does(&super::$promise);
            }

            #[test]
            fn a_second_opening() {
                super::a_second_opening(&super::$promise);
            }

            #[test]
            fn a_reader_sees() {
                super::a_reader_sees(&super::$promise);
            }
        })+
    };
}

cells! {
    writing: WRITING,
    sealed: SEALED,
    sending: SENDING,
    verifying: VERIFYING,
    waiting: WAITING,
    failed: FAILED,
    done: DONE,
}

/// The cells of the table on the page, without its head.
fn on_the_page() -> Vec<Vec<String>> {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/semantics.md")).unwrap();
    let (_, section) = page.split_once("### The states of an upload").unwrap();
    let table = section.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    let cells = |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
    table.skip(2).map(cells).collect()
}

#[test]
fn the_page_says_what_is_tested_here() {
    let tested = ROWS.map(|row| {
        let cut = if row.cut == row.killed {
            row.cut.words().to_owned()
        } else {
            format!("{}; {} with `--write-back`", row.cut.words(), row.killed.words())
        };
        let (word, status) = (format!("`{}`", row.word), format!("`{}`", row.status));
        let rest = [row.close.words(), row.opening.words(), row.reader.words()].map(str::to_owned);
        [vec![word, status, row.killed.words().to_owned(), cut], rest.to_vec()].concat()
    });
    assert_eq!(on_the_page(), tested);
}

#[test]
fn the_table_has_a_row_for_every_state_and_calls_it_by_its_word() {
    let (sealed, attempt) = (Sealed { size: 1, hashes: None }, 1);
    let cause = Cause { reason: Reason::Quota, sentence: String::new() };
    let until = jiff::Timestamp::UNIX_EPOCH;
    let states = [
        State::Writing,
        State::Sealed(sealed.clone()),
        State::Sending { sealed: sealed.clone(), attempt },
        State::Verifying { sealed: sealed.clone(), attempt },
        State::Waiting { sealed: sealed.clone(), attempt, until, cause: cause.clone(), saving: None },
        State::Failed { sealed, attempt, cause },
        State::Done,
    ];
    let words = states.map(|state| match &state {
        // A new state has to be listed above.
        State::Writing
        | State::Sealed(_)
        | State::Sending { .. }
        | State::Verifying { .. }
        | State::Waiting { .. }
        | State::Failed { .. }
        | State::Done => format!("`{}`", state.word()),
    });
    let rows: Vec<_> = on_the_page().into_iter().map(|cells| cells[0].clone()).collect();
    assert_eq!(rows, words);
}

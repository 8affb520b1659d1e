//! A daemon that is killed at any moment, and the one that comes after it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::super::settings::BEHIND;
use super::super::testing::{Fake, Fault, Point, cut_power, fill, open, open_with};
use super::super::{Settings, State, Uploads, WriteError};
use crate::image::{Image, ImageId, Status};
use crate::service::Kind;
use crate::service::retry::Patience;

const SIZE: usize = (1 << 20) + 7;

/// Does `work` in a daemon of its own, and kills that.
pub(super) fn killed<T>(work: impl Future<Output = T>) -> T {
    let daemon = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let done = daemon.block_on(work);
    // What it has under way at this moment ends in the middle; what it does on the disk is done to its end.
    drop(daemon);
    done
}

/// What a daemon does before it is killed: writes `bytes` and closes, without waiting for the outcome.
async fn write(uploads: &Uploads, image: &Image, seed: u64) {
    let writer = uploads.begin(image).await.unwrap();
    writer.write_at(0, fill(seed, SIZE)).await.unwrap();
    writer.seal().await.unwrap();
}

/// The next daemon finds one upload in this state, ends it, and leaves nothing behind.
fn goes_on(folder: &Path, service: &Arc<Fake>, image: &Image, seed: u64, word: &str) {
    let found = Uploads::peek(folder).unwrap();
    assert_eq!(found.iter().map(|report| report.state.word()).collect::<Vec<_>>(), [word]);
    service.release();
    killed(async {
        let uploads = open(folder, service).await;
        if let Some(upload) = uploads.of(image.id) {
            tokio::time::timeout(Duration::from_mins(1), upload.settled()).await.unwrap().unwrap();
        }
        assert!(uploads.all().is_empty());
    });
    assert!(service.bytes(image.id) == fill(seed, SIZE));
    assert_eq!(service.taken(), 1);
    assert!(Uploads::peek(folder).unwrap().is_empty());
    for rest in ["jobs", "tmp", "aside"] {
        assert_eq!(std::fs::read_dir(folder.join(rest)).unwrap().count(), 0, "{rest}");
    }
}

/// Kills a daemon when it comes to `point`, and lets the next one end it; both send so often in all.
fn killed_at(point: Point, word: &str, faults: &[Fault], sent: usize) {
    let (folder, service) = (tempfile::tempdir().unwrap(), Fake::new());
    let image = service.add();
    service.hold(point);
    service.fail(faults.iter().cloned());
    killed(async {
        let uploads = open(folder.path(), &service).await;
        write(&uploads, &image, 1).await;
        service.arrival().await;
    });
    goes_on(folder.path(), &service, &image, 1, word);
    assert_eq!(service.log().iter().filter(|call| **call == "upload").count(), sent);
}

#[test]
fn killed_while_it_was_written_nothing_is_sent_and_every_byte_is_kept() {
    let (folder, service) = (tempfile::tempdir().unwrap(), Fake::new());
    let image = service.add();
    killed(async {
        let uploads = open(folder.path(), &service).await;
        let writer = uploads.begin(&image).await.unwrap();
        writer.write_at(100, fill(1, SIZE)).await.unwrap();
        writer.sync().await.unwrap();
        writer.write_at(0, fill(2, 100)).await.unwrap();
    });
    killed(async {
        let uploads = open(folder.path(), &service).await;
        let report = uploads.list().remove(0);
        assert_eq!((&report.state, report.size, report.has_writer), (&State::Writing, SIZE as u64 + 100, false));
        assert!(report.needs_somebody());
        let writer = uploads.begin(&image).await.unwrap();
        assert!(writer.read_at(100, SIZE).await.unwrap() == fill(1, SIZE));
        assert!(writer.read_at(0, 100).await.unwrap() == fill(2, 100));
        assert!(service.log().is_empty());
        writer.seal().await.unwrap();
        writer.settled().await.unwrap();
    });
    assert_eq!(service.bytes(image.id).len(), SIZE + 100);
}

#[test]
fn killed_while_a_file_without_data_rests_behind_its_close_it_is_sent_by_the_next() {
    let (folder, service) = (tempfile::tempdir().unwrap(), Fake::new());
    let images = [0, SIZE as u64].map(|size| (service.add(), size));
    killed(async {
        let uploads = open(folder.path(), &service).await;
        for (image, size) in &images {
            let writer = uploads.begin(image).await.unwrap();
            writer.truncate(*size).await.unwrap();
            writer.close().await.unwrap();
        }
    });
    let soon = Settings { quiet: Duration::from_millis(1), ..Settings::new(folder.path()) };
    killed(async {
        let uploads = open_with(soon, &service).await;
        for (image, _) in &images {
            if let Some(upload) = uploads.of(image.id) {
                upload.settled().await.unwrap();
            }
        }
    });
    for (image, size) in images {
        assert_eq!(service.image(image.id).unwrap().size, Some(size));
    }
}

#[test]
fn killed_while_a_file_that_rested_is_written_again_it_is_not_sent_by_the_next() {
    let (folder, service) = (tempfile::tempdir().unwrap(), Fake::new());
    let image = service.add();
    killed(async {
        let uploads = open(folder.path(), &service).await;
        uploads.begin(&image).await.unwrap().close().await.unwrap();
        let writer = uploads.begin(&image).await.unwrap();
        writer.write_at(0, fill(1, SIZE)).await.unwrap();
    });
    let soon = Settings { quiet: Duration::ZERO, ..Settings::new(folder.path()) };
    killed(async {
        let uploads = open_with(soon, &service).await;
        assert!(!uploads.of(image.id).unwrap().is_resting());
        assert_eq!(uploads.list().remove(0).state, State::Writing);
    });
}

#[test]
fn killed_after_it_was_sealed_it_is_sent_by_the_next() {
    killed_at(Point::Update, "sealed", &[], 1);
}

#[test]
fn killed_before_the_first_byte_was_sent_it_is_sent_by_the_next() {
    killed_at(Point::Upload, "sending", &[], 2);
}

#[test]
fn killed_in_the_middle_of_sending_it_is_sent_again() {
    killed_at(Point::Middle, "sending", &[], 2);
}

#[test]
fn killed_before_the_answer_came_it_is_verified_and_not_sent_again() {
    killed_at(Point::Answer, "sending", &[], 1);
}

#[test]
fn killed_while_it_was_verified_it_is_verified_by_the_next() {
    killed_at(Point::Show, "verifying", &[], 1);
}

#[test]
fn killed_while_it_asked_after_a_lost_answer_it_asks_again() {
    killed_at(Point::Show, "sending", &[Fault::AnswerLost(Kind::Unavailable)], 1);
}

#[test]
fn killed_while_it_waited_for_its_turn_it_goes_on_at_once() {
    let (folder, service) = (tempfile::tempdir().unwrap(), Fake::new());
    let image = service.add();
    service.fail([Fault::Refused(Kind::Unreachable)]);
    killed(async {
        let hour = Duration::from_hours(1);
        let patience = Patience { first_pause: hour, longest_pause: hour, ..BEHIND };
        let uploads = open_with(Settings { patience, ..Settings::new(folder.path()) }, &service).await;
        write(&uploads, &image, 1).await;
        let upload = uploads.of(image.id).unwrap();
        while upload.state().word() != "waiting" {
            tokio::task::yield_now().await;
        }
    });
    goes_on(folder.path(), &service, &image, 1, "waiting");
}

#[test]
fn killed_after_it_failed_it_stays_listed_with_its_cause_until_somebody_decides() {
    let (folder, service) = (tempfile::tempdir().unwrap(), Fake::new());
    let image = service.add();
    service.fail([Fault::Refused(Kind::OverQuota)]);
    killed(async {
        let uploads = open(folder.path(), &service).await;
        write(&uploads, &image, 1).await;
        let upload = uploads.of(image.id).unwrap();
        assert!(matches!(upload.settled().await, Err(WriteError::Failed(_))));
    });
    assert!(matches!(Uploads::discard_in(folder.path(), ImageId::random()), Err(WriteError::Unknown(..))));
    killed(async {
        let uploads = open(folder.path(), &service).await;
        assert!(matches!(Uploads::retry_in(folder.path(), image.id), Err(WriteError::Busy(_))));
        let report = uploads.list().remove(0);
        assert_eq!(report.state.word(), "failed");
        assert!(report.cause().unwrap().sentence.contains("quota"), "{report:?}");
        let upload = uploads.of(image.id).unwrap();
        uploads.retry(image.id).await.unwrap();
        upload.settled().await.unwrap();
    });
    assert!(service.bytes(image.id) == fill(1, SIZE));
}

#[test]
fn what_failed_can_be_retried_or_discarded_while_nothing_is_mounted() {
    let (folder, service) = (tempfile::tempdir().unwrap(), Fake::new());
    let images = [service.add(), service.add()];
    service.fail([Fault::Refused(Kind::OverQuota), Fault::Refused(Kind::OverQuota)]);
    killed(async {
        let uploads = open(folder.path(), &service).await;
        for image in &images {
            write(&uploads, image, 1).await;
            uploads.of(image.id).unwrap().settled().await.unwrap_err();
        }
    });
    Uploads::discard_in(folder.path(), images[0].id).unwrap();
    Uploads::retry_in(folder.path(), images[1].id).unwrap();
    goes_on(folder.path(), &service, &images[1], 1, "sealed");
}

#[test]
fn an_image_that_was_deleted_meanwhile_is_told_and_its_bytes_are_kept() {
    let (folder, service) = (tempfile::tempdir().unwrap(), Fake::new());
    let image = service.add();
    service.hold(Point::Middle);
    killed(async {
        let uploads = open(folder.path(), &service).await;
        write(&uploads, &image, 1).await;
        service.arrival().await;
    });
    service.remove(image.id);
    service.release();
    killed(async {
        let uploads = open(folder.path(), &service).await;
        let upload = uploads.of(image.id).unwrap();
        let Err(WriteError::Failed(cause)) = upload.settled().await else { panic!() };
        assert_eq!(cause.reason, super::super::Reason::Gone);
        assert!(upload.read_at(0, SIZE).await.unwrap() == fill(1, SIZE));
        uploads.discard(image.id).await.unwrap();
    });
    assert!(Uploads::peek(folder.path()).unwrap().is_empty());
}

#[test]
fn bytes_that_a_power_cut_may_have_cost_are_not_sent() {
    for write_back in [false, true] {
        let (folder, service) = (tempfile::tempdir().unwrap(), Fake::new());
        let image = service.add();
        service.hold(Point::Update);
        killed(async {
            let uploads = open_with(Settings { write_back, ..Settings::new(folder.path()) }, &service).await;
            write(&uploads, &image, 1).await;
            service.arrival().await;
        });
        service.release();
        cut_power(folder.path(), image.id);
        killed(async {
            let uploads = open(folder.path(), &service).await;
            let upload = uploads.of(image.id).unwrap();
            if write_back {
                upload.settled().await.unwrap();
            } else {
                assert_eq!(upload.state(), State::Writing);
            }
        });
        assert_eq!(service.taken(), u32::from(write_back));
    }
}

#[test]
fn killed_again_and_again_at_any_moment_it_ends_active_once_and_equal() {
    let first = fastrand::u64(..1 << 32);
    let rounds = if std::env::var_os("GLANCEFS_TEST_LONG").is_some() { 300 } else { 12 };
    println!("seeds from {first} on");
    for seed in first..first + rounds {
        let mut random = fastrand::Rng::with_seed(seed);
        let (folder, service) = (tempfile::tempdir().unwrap(), Fake::new());
        let images: Vec<_> = (0..3).map(|_| service.add()).collect();
        let mut closed = [false; 3];
        for _ in 0..6 {
            let patience = Duration::from_micros(random.u64(..30_000));
            killed(async {
                let uploads = open_with(Settings::new(folder.path()).behind(), &service).await;
                let work = async {
                    for (number, image) in images.iter().enumerate() {
                        if closed[number] {
                            continue;
                        }
                        let shown = service.image(image.id).unwrap();
                        assert_eq!(shown.status, Status::Queued, "seed {seed}: nobody closed it");
                        write(&uploads, &shown, number as u64).await;
                        // The kill may come between the record and this, so that it may also be closed twice.
                        closed[number] = true;
                    }
                    std::future::pending::<()>().await;
                };
                let _ = tokio::time::timeout(patience, work).await;
            });
            for (number, image) in images.iter().enumerate() {
                let sent = service.image(image.id).unwrap().status == Status::Active;
                let kept = Uploads::peek(folder.path()).unwrap();
                let kept = kept.iter().find(|report| report.image == image.id);
                let sealed = kept.is_some_and(|report| report.state != State::Writing);
                // Sealed by a daemon that was killed before it could say so.
                closed[number] |= sent || sealed;
                assert!(!closed[number] || sent || sealed, "seed {seed}: image {number} was closed, and is lost");
            }
        }
        killed(async {
            let uploads = open(folder.path(), &service).await;
            for (number, image) in images.iter().enumerate().filter(|(number, _)| !closed[*number]) {
                write(&uploads, image, number as u64).await;
            }
            uploads.drain(Duration::from_mins(1)).await;
        });
        for (number, image) in images.iter().enumerate() {
            assert!(service.bytes(image.id) == fill(number as u64, SIZE), "seed {seed}, image {number}");
        }
        assert_eq!(service.taken(), 3, "seed {seed}");
        assert!(Uploads::peek(folder.path()).unwrap().is_empty(), "seed {seed}");
    }
}

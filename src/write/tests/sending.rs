//! Sending to a service that fails in all the ways of a real one.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::super::settings::CLOSE;
use super::super::testing::{Fake, Fault, Point, fill, open, open_with};
use super::super::{Reason, Settings, State, Uploads, WriteError};
use crate::image::{Image, Status};
use crate::service::Kind;

/// More than one frame, and no multiple of anything.
const SIZE: usize = (1 << 20) + 7;

/// Writes `bytes` in order, closes, and waits for the outcome.
async fn write(uploads: &Uploads, image: &Image, bytes: &Bytes) -> Result<Arc<Image>, WriteError> {
    let writer = uploads.begin(image).await?;
    for (number, piece) in bytes.chunks(100_000).enumerate() {
        writer.write_at(number as u64 * 100_000, Bytes::copy_from_slice(piece)).await?;
    }
    writer.seal().await?;
    writer.settled().await
}

#[tokio::test]
async fn an_upload_ends_active_with_the_same_bytes_and_makes_no_call_too_many() {
    let (folder, service) = (tempfile::tempdir().unwrap(), Fake::new());
    let uploads = open(folder.path(), &service).await;
    let (image, bytes) = (service.add(), fill(1, SIZE));
    let active = write(&uploads, &image, &bytes).await.unwrap();
    assert_eq!((&active.status, active.size), (&Status::Active, Some(SIZE as u64)));
    assert_eq!((active.container_format.as_deref(), active.disk_format.as_deref()), (Some("bare"), Some("raw")));
    assert!(service.bytes(image.id) == bytes);
    assert_eq!(service.log(), ["update", "upload", "show"]);
    assert!(uploads.all().is_empty());
    assert!(Uploads::peek(folder.path()).unwrap().is_empty());
    let formatted = service.add_raw();
    write(&uploads, &formatted, &bytes).await.unwrap();
    assert_eq!(service.log()[3..], ["upload", "show"]);
}

#[tokio::test]
async fn an_image_of_no_bytes_is_active_too() {
    let (folder, service) = (tempfile::tempdir().unwrap(), Fake::new());
    let uploads = open(folder.path(), &service).await;
    let image = service.add();
    assert_eq!(write(&uploads, &image, &Bytes::new()).await.unwrap().size, Some(0));
}

#[tokio::test]
async fn bytes_in_any_order_with_holes_and_rewritten_ones_are_sent_as_they_are_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let service = Fake::new();
    let uploads = open(folder.path(), &service).await;
    let seed = fastrand::u64(..1 << 32);
    println!("seeds from {seed} on");
    for seed in seed..seed + 12 {
        let mut random = fastrand::Rng::with_seed(seed);
        let image = service.add();
        let writer = uploads.begin(&image).await.unwrap();
        let mut model: Vec<u8> = Vec::new();
        // Large pieces in order first, so that hashes are computed behind the writer already.
        let ordered = random.usize(..8);
        for step in 0..ordered + random.usize(..12) {
            let (offset, length) = if step < ordered {
                (model.len(), 1 << 20)
            } else {
                (random.usize(..9 << 20), random.usize(..1 << 20))
            };
            if step >= ordered && random.u32(..8) == 0 {
                writer.truncate(offset as u64).await.unwrap();
                model.resize(offset, 0);
            } else {
                let bytes = fill(random.u64(..), length);
                model.resize(model.len().max(offset + length), 0);
                model[offset..offset + length].copy_from_slice(&bytes);
                writer.write_at(offset as u64, bytes).await.unwrap();
            }
        }
        writer.seal().await.unwrap();
        let settled = writer.settled().await;
        assert!(settled.is_ok(), "seed {seed}: {settled:?}");
        assert!(service.bytes(image.id) == model, "seed {seed}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_passes_is_tried_again_and_an_answer_that_was_lost_is_not_sent_twice() {
    use Fault::{AnswerLost, AnswerLostSlowly, Cut, CutSlowly, Refused};
    for faults in [
        vec![Refused(Kind::Unavailable), Refused(Kind::Unreachable), Refused(Kind::TimedOut)],
        vec![Cut(1, Kind::Unavailable), Cut(300_000, Kind::TimedOut), Cut(1 << 20, Kind::Unavailable)],
        vec![CutSlowly(1, 3), CutSlowly(500_000, 1)],
        vec![Refused(Kind::Login), Refused(Kind::Unauthorized), Refused(Kind::Malformed)],
        vec![AnswerLost(Kind::Unavailable)],
        vec![AnswerLost(Kind::TimedOut)],
        vec![AnswerLostSlowly(5)],
    ] {
        let (folder, service) = (tempfile::tempdir().unwrap(), Fake::new());
        let uploads = open(folder.path(), &service).await;
        let (image, bytes) = (service.add(), fill(2, SIZE));
        service.fail(faults.clone());
        let settled = write(&uploads, &image, &bytes).await;
        assert!(settled.is_ok(), "{faults:?}: {settled:?}");
        assert!(service.bytes(image.id) == bytes, "{faults:?}");
        assert_eq!(service.taken(), 1, "{faults:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_for_good_fails_at_once_and_keeps_its_bytes() {
    for (fault, reason) in [
        (Fault::Refused(Kind::OverQuota), Reason::Quota),
        (Fault::Cut(1 << 20, Kind::TooLarge), Reason::TooLarge),
        (Fault::Refused(Kind::StoreFull), Reason::StoreFull),
        (Fault::Refused(Kind::Forbidden), Reason::Forbidden),
        (Fault::Refused(Kind::Invalid), Reason::Invalid),
        (Fault::Deleted, Reason::Gone),
        (Fault::TokenExpired, Reason::Gone),
        (Fault::Poisoned, Reason::Poisoned),
        (Fault::Flipped, Reason::Mismatch),
    ] {
        let (folder, service) = (tempfile::tempdir().unwrap(), Fake::new());
        let uploads = open(folder.path(), &service).await;
        let (image, bytes) = (service.add(), fill(3, SIZE));
        service.fail([fault.clone()]);
        let Err(WriteError::Failed(cause)) = write(&uploads, &image, &bytes).await else { panic!("{fault:?}") };
        assert_eq!(cause.reason, reason, "{fault:?}: {cause}");
        let report = uploads.list().remove(0);
        assert!(report.needs_somebody() && report.cause() == Some(&cause), "{report:?}");
        assert_eq!(service.log().iter().filter(|call| **call == "upload").count(), 1, "{fault:?}");
        assert!(uploads.of(image.id).unwrap().read_at(0, SIZE).await.unwrap() == bytes, "{fault:?}");
        assert_eq!(Uploads::peek(folder.path()).unwrap()[0].state.word(), "failed");
    }
}

#[tokio::test]
async fn what_failed_can_be_retried_once_there_is_room() {
    let (folder, service) = (tempfile::tempdir().unwrap(), Fake::new());
    let uploads = open(folder.path(), &service).await;
    let (image, bytes) = (service.add(), fill(4, SIZE));
    service.fail([Fault::Refused(Kind::OverQuota)]);
    write(&uploads, &image, &bytes).await.unwrap_err();
    let upload = uploads.of(image.id).unwrap();
    uploads.retry(image.id).await.unwrap();
    upload.settled().await.unwrap();
    assert!(service.bytes(image.id) == bytes);
    assert!(matches!(uploads.retry(image.id).await, Err(WriteError::Unknown(..))));
}

#[tokio::test(start_paused = true)]
async fn who_waits_in_close_is_told_after_so_many_tries_and_the_queue_behind_goes_on() {
    let (folder, service) = (tempfile::tempdir().unwrap(), Fake::new());
    let uploads = open(folder.path(), &service).await;
    let (image, bytes) = (service.add(), fill(5, SIZE));
    service.fail((0..CLOSE.tries).map(|_| Fault::Refused(Kind::Unavailable)));
    let Err(WriteError::Failed(cause)) = write(&uploads, &image, &bytes).await else { panic!() };
    assert_eq!(cause.reason, Reason::Unavailable);
    for is_behind in [false, true] {
        let (folder, image) = (tempfile::tempdir().unwrap(), service.add());
        let settings = Settings { write_back: is_behind, ..Settings::new(folder.path()) };
        let uploads = open_with(settings, &service).await;
        service.fail((0..100).map(|_| Fault::Refused(Kind::Unreachable)));
        let writer = uploads.begin(&image).await.unwrap();
        writer.write_at(0, bytes.clone()).await.unwrap();
        writer.seal().await.unwrap();
        drop(writer);
        assert_eq!(uploads.drain(Duration::from_hours(48)).await, []);
        assert!(service.bytes(image.id) == bytes, "nobody waits for it");
    }
}

#[tokio::test(start_paused = true)]
async fn saving_for_ever_is_noticed() {
    let (folder, service) = (tempfile::tempdir().unwrap(), Fake::new());
    let uploads = open(folder.path(), &service).await;
    let (image, bytes) = (service.add(), fill(6, SIZE));
    service.fail([Fault::Stuck]);
    let began = tokio::time::Instant::now();
    let Err(WriteError::Failed(cause)) = write(&uploads, &image, &bytes).await else { panic!() };
    assert_eq!(cause.reason, Reason::Stuck);
    let waited = began.elapsed();
    assert!(waited > Duration::from_mins(15) && waited < Duration::from_mins(16), "{waited:?}");
    assert!(service.log().len() < 120, "{} looks", service.log().len());
}

#[tokio::test(start_paused = true)]
async fn a_look_that_fails_is_repeated_and_nothing_is_sent_meanwhile() {
    let (folder, service) = (tempfile::tempdir().unwrap(), Fake::new());
    let uploads = open(folder.path(), &service).await;
    let (image, bytes) = (service.add(), fill(7, SIZE));
    service.fail([Fault::AnswerLost(Kind::Unavailable)]);
    *service.blind.lock().unwrap() = 4;
    write(&uploads, &image, &bytes).await.unwrap();
    assert_eq!(service.log(), ["update", "upload", "show", "show", "show", "show", "show"]);
}

#[tokio::test]
async fn an_image_that_somebody_imports_or_killed_is_no_longer_sent_to() {
    for status in [Status::Importing, Status::Uploading, Status::Killed] {
        let (folder, service) = (tempfile::tempdir().unwrap(), Fake::new());
        let uploads = open(folder.path(), &service).await;
        let image = service.add_raw();
        let writer = uploads.begin(&image).await.unwrap();
        writer.write_at(0, Bytes::from_static(b"late")).await.unwrap();
        service.change(image.id, |image| image.status = status.clone());
        writer.seal().await.unwrap();
        let Err(WriteError::Failed(cause)) = writer.settled().await else { panic!("{status}") };
        assert_eq!(cause.reason, Reason::Conflict);
        assert!(cause.sentence.contains(status.as_str()), "{cause}");
    }
}

#[tokio::test]
async fn only_so_many_are_sent_at_once_and_all_of_them_in_the_end() {
    let (folder, service) = (tempfile::tempdir().unwrap(), Fake::new());
    let settings = Settings { workers: 2, ..Settings::new(folder.path()) };
    let uploads = open_with(settings, &service).await;
    service.hold(Point::Middle);
    let mut settled = Vec::new();
    for seed in 0..9 {
        let (image, bytes) = (service.add_raw(), fill(seed, SIZE));
        let writer = uploads.begin(&image).await.unwrap();
        writer.write_at(0, bytes).await.unwrap();
        writer.seal().await.unwrap();
        let upload = Arc::clone(writer.upload());
        settled.push(tokio::spawn(async move { upload.settled().await }));
    }
    service.arrival().await;
    service.arrival().await;
    service.release();
    for settled in settled {
        settled.await.unwrap().unwrap();
    }
    assert_eq!(service.most(), 2);
    assert!(uploads.all().is_empty());
}

#[tokio::test]
async fn an_upload_on_its_way_is_taken_back_and_its_bytes_are_those_of_the_last_close() {
    let (folder, service) = (tempfile::tempdir().unwrap(), Fake::new());
    let uploads = open(folder.path(), &service).await;
    let (image, bytes) = (service.add(), fill(8, SIZE));
    service.hold(Point::Middle);
    let writer = uploads.begin(&image).await.unwrap();
    writer.write_at(0, fill(9, SIZE)).await.unwrap();
    writer.seal().await.unwrap();
    drop(writer);
    service.arrival().await;
    let first = uploads.of(image.id).unwrap();
    let waiting = tokio::spawn(async move { first.settled().await });
    tokio::task::yield_now().await;
    let shown = Image { status: Status::Saving, ..image.clone() };
    let writer = uploads.begin(&shown).await.unwrap();
    assert!(matches!(waiting.await.unwrap(), Err(WriteError::Reopened(_))));
    service.release();
    writer.write_at(0, bytes.clone()).await.unwrap();
    writer.seal().await.unwrap();
    writer.settled().await.unwrap();
    assert!(service.bytes(image.id) == bytes);
    assert_eq!(service.taken(), 1);
}

#[tokio::test]
async fn an_upload_that_the_service_has_taken_already_is_not_taken_back() {
    let (folder, service) = (tempfile::tempdir().unwrap(), Fake::new());
    let uploads = open(folder.path(), &service).await;
    let (image, bytes) = (service.add(), fill(10, SIZE));
    service.hold(Point::Answer);
    let writer = uploads.begin(&image).await.unwrap();
    writer.write_at(0, bytes.clone()).await.unwrap();
    writer.seal().await.unwrap();
    drop(writer);
    service.arrival().await;
    let refused = uploads.begin(&image).await.unwrap_err();
    assert!(matches!(refused, WriteError::Immutable(_)), "{refused}");
    // It goes on from there.
    let upload = uploads.of(image.id);
    service.release();
    if let Some(upload) = upload {
        upload.settled().await.unwrap();
    }
    assert!(service.bytes(image.id) == bytes);
    assert_eq!((service.taken(), uploads.all().len()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn draining_waits_for_the_queue_and_tells_what_is_left() {
    let (folder, service) = (tempfile::tempdir().unwrap(), Fake::new());
    let uploads = open(folder.path(), &service).await;
    let images = [(); 3].map(|()| service.add_raw());
    for (image, seal) in images.iter().zip([true, true, false]) {
        let writer = uploads.begin(image).await.unwrap();
        writer.write_at(0, fill(11, SIZE)).await.unwrap();
        if seal {
            writer.seal().await.unwrap();
        } else {
            writer.seal_when_quiet();
        }
    }
    assert!(uploads.drain(Duration::from_mins(1)).await.is_empty());
    assert!(matches!(uploads.begin(&service.add()).await, Err(WriteError::Closed)));
    let uploads = open(folder.path(), &service).await;
    let image = service.add_raw();
    service.hold(Point::Middle);
    let writer = uploads.begin(&image).await.unwrap();
    writer.write_at(0, fill(12, SIZE)).await.unwrap();
    writer.seal().await.unwrap();
    let left = uploads.drain(Duration::from_mins(1)).await;
    assert_eq!((left.len(), left[0].image, left[0].state.word()), (1, image.id, "sending"));
    drop((writer, uploads));
    service.release();
    let uploads = open(folder.path(), &service).await;
    uploads.of(image.id).unwrap().settled().await.unwrap();
    assert!(service.bytes(image.id) == fill(12, SIZE));
}

#[tokio::test]
async fn what_is_discarded_on_its_way_is_sent_no_further() {
    let (folder, service) = (tempfile::tempdir().unwrap(), Fake::new());
    let uploads = open(folder.path(), &service).await;
    let image = service.add_raw();
    service.hold(Point::Middle);
    let writer = uploads.begin(&image).await.unwrap();
    writer.write_at(0, fill(13, SIZE)).await.unwrap();
    writer.seal().await.unwrap();
    drop(writer);
    service.arrival().await;
    uploads.discard(image.id).await.unwrap();
    assert_eq!(service.image(image.id).unwrap().status, Status::Queued);
    assert!(uploads.all().is_empty());
}

#[tokio::test(start_paused = true)]
async fn whatever_comes_in_whatever_order_ends_active_and_equal() {
    let first = fastrand::u64(..1 << 32);
    let rounds = if std::env::var_os("GLANCEFS_TEST_LONG").is_some() { 400 } else { 25 };
    println!("seeds from {first} on");
    for seed in first..first + rounds {
        let mut random = fastrand::Rng::with_seed(seed);
        let (folder, service) = (tempfile::tempdir().unwrap(), Fake::new());
        let uploads = open_with(Settings::new(folder.path()).behind(), &service).await;
        let (image, bytes) = (service.add(), fill(seed, random.usize(..2 << 20)));
        for _ in 0..random.usize(..8) {
            let at = random.u64(..2 << 20);
            let kind = random.choice([Kind::Unavailable, Kind::TimedOut, Kind::Malformed, Kind::Unauthorized]).unwrap();
            let looks = random.u32(..6);
            service.fail([match random.u32(..4) {
                0 => Fault::Refused(kind),
                1 => Fault::Cut(at, kind),
                2 => Fault::CutSlowly(at, looks),
                _ => Fault::AnswerLostSlowly(looks),
            }]);
        }
        *service.blind.lock().unwrap() = random.u32(..4);
        let settled = write(&uploads, &image, &bytes).await;
        assert!(settled.is_ok(), "seed {seed}: {settled:?}");
        assert!(service.bytes(image.id) == bytes && service.taken() == 1, "seed {seed}");
        assert!(uploads.all().is_empty() && Uploads::peek(folder.path()).unwrap().is_empty(), "seed {seed}");
    }
}

#[tokio::test]
async fn progress_is_told_while_bytes_are_sent() {
    let (folder, service) = (tempfile::tempdir().unwrap(), Fake::new());
    let uploads = open(folder.path(), &service).await;
    let image = service.add_raw();
    service.hold(Point::Middle);
    let writer = uploads.begin(&image).await.unwrap();
    assert!(writer.report().has_writer && !writer.report().needs_somebody());
    writer.write_at(0, fill(14, SIZE)).await.unwrap();
    writer.seal().await.unwrap();
    service.arrival().await;
    let report = writer.report();
    assert!(matches!(report.state, State::Sending { attempt: 1, .. }), "{report:?}");
    assert!(report.sent > 0 && report.sent < report.size, "{report:?}");
    service.release();
    writer.settled().await.unwrap();
}

#[tokio::test]
async fn a_disk_that_takes_no_record_keeps_nobody_from_sending_what_is_on_it() {
    let (folder, service) = (tempfile::tempdir().unwrap(), Fake::new());
    let uploads = open(folder.path(), &service).await;
    let (image, bytes) = (service.add(), fill(15, SIZE));
    service.hold(Point::Update);
    let writer = uploads.begin(&image).await.unwrap();
    writer.write_at(0, bytes.clone()).await.unwrap();
    writer.seal().await.unwrap();
    service.arrival().await;
    let record = folder.path().join("jobs").join(image.id.as_str()).join("job.json");
    std::fs::remove_file(&record).unwrap();
    std::fs::create_dir(record).unwrap();
    service.release();
    writer.settled().await.unwrap();
    assert!(service.bytes(image.id) == bytes);
    assert!(Uploads::peek(folder.path()).unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn one_who_goes_away_while_he_takes_an_upload_back_leaves_it_in_the_queue() {
    let (folder, service) = (tempfile::tempdir().unwrap(), Fake::new());
    let uploads = open(folder.path(), &service).await;
    let (image, bytes) = (service.add(), fill(8, SIZE));
    let writer = uploads.begin(&image).await.unwrap();
    writer.write_at(0, bytes.clone()).await.unwrap();
    service.hold(Point::Middle);
    writer.seal().await.unwrap();
    service.arrival().await;
    drop(writer);
    service.hold(Point::Show);
    // He asks the service, and is killed before it answers.
    let gone = tokio::time::timeout(Duration::from_secs(1), uploads.begin(&image)).await;
    gone.map(drop).unwrap_err();
    service.release();
    uploads.of(image.id).unwrap().settled().await.unwrap();
    assert!(service.bytes(image.id) == bytes);
}

//! Sending to an image that was to be imported before.

use super::super::settings::CLOSE;
use super::super::testing::{Fake, Fault, fill, open};
use super::super::{Reason, WriteError};
use crate::image::{Task, TaskStatus};
use crate::service::Kind;

/// Why an upload fails to which the service answers errors alone, after an import that ended so.
async fn told_after(status: TaskStatus, kind: Kind) -> String {
    let (folder, service) = (tempfile::tempdir().unwrap(), Fake::new());
    let uploads = open(folder.path(), &service).await;
    let import = Task {
        id: "t".to_owned(),
        kind: "api_image_import".to_owned(),
        status,
        message: String::new(),
        method: Some("web-download".to_owned()),
        uri: None,
        created_at: None,
        request_id: None,
    };
    service.tasks.lock().unwrap().push(import);
    service.fail((0..CLOSE.tries).map(|_| Fault::Refused(kind.clone())));
    let writer = uploads.begin(&service.add_raw()).await.unwrap();
    writer.write_at(0, fill(1, 1000)).await.unwrap();
    writer.seal().await.unwrap();
    let Err(WriteError::Failed(cause)) = writer.settled().await else { panic!("it does not fail") };
    assert!(matches!(cause.reason, Reason::Unavailable | Reason::TimedOut), "{cause}");
    cause.sentence
}

#[tokio::test(start_paused = true)]
async fn a_service_that_only_fails_after_a_failed_import_is_told_with_what_may_help() {
    let told = told_after(TaskStatus::Failure, Kind::Unavailable).await;
    assert!(told.contains("an import into this image has failed") && told.contains("make a new one"), "{told}");
}

#[tokio::test(start_paused = true)]
async fn no_import_is_blamed_that_did_not_fail_or_for_other_failures() {
    for (status, kind) in [(TaskStatus::Success, Kind::Unavailable), (TaskStatus::Failure, Kind::TimedOut)] {
        let told = told_after(status, kind).await;
        assert!(!told.contains("import"), "{told}");
    }
}

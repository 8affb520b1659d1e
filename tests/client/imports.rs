//! Images whose bytes the service fetches, through the trait `ImageService`.

use glancefs::image::{ImageId, Status, Task, TaskStatus, Text};
use glancefs::service::glance::Glance;
use glancefs::service::{Change, ImageService, Kind, NewImage};
use md5::{Digest, Md5};

use crate::edit::{empty, hex, new, noise, until, upload};
use crate::target::Target;

crate::contracts!(Both:
    an_import_fills_the_image_and_its_task_tells,
    an_import_that_fails_leaves_an_image_that_can_be_imported_again,
    an_address_that_the_service_does_not_fetch_from_is_invalid,
    an_import_without_formats_is_invalid,
    an_import_needs_a_queued_image,
    what_is_changed_during_an_import_is_kept,
    only_its_own_project_imports,
    an_image_without_imports_has_no_tasks,
);

const BYTES: &[u8] = &[7; 200_000];

/// Asks until the last task of the image has ended, for as long as a busy machine may need.
async fn ended(glance: &Glance, id: ImageId) -> Vec<Task> {
    for _ in 0..600 {
        let tasks = glance.tasks(id).await.unwrap();
        if tasks.last().is_some_and(|task| matches!(task.status, TaskStatus::Success | TaskStatus::Failure)) {
            return tasks;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("the import into {id} does not end");
}

async fn an_import_fills_the_image_and_its_task_tells(target: &Target) {
    let (glance, web) = (target.glance("demo").await, target.web(BYTES).await);
    let id = empty(target, &glance, "raw").await;
    let secret = web.url("/whole?signature=secret").replace("http://", "http://user:password@");
    glance.import(id, &secret).await.unwrap();
    let image = until(&glance, id, Status::Active).await;
    assert_eq!(image.size, Some(200_000));
    assert_eq!(image.checksums.md5, Some(hex(Md5::digest(BYTES)).into()));
    let tasks = ended(&glance, id).await;
    assert_eq!(tasks.len(), 1);
    assert_eq!((tasks[0].status.as_str(), tasks[0].kind.as_str()), ("success", "api_image_import"));
    assert_eq!(tasks[0].method.as_deref(), Some("web-download"));
    assert_eq!(tasks[0].uri, Some(web.url("/whole")), "without its secrets");
    assert!(tasks[0].created_at.is_some() && tasks[0].request_id.is_some(), "{tasks:?}");
}

async fn an_import_that_fails_leaves_an_image_that_can_be_imported_again(target: &Target) {
    let (glance, web) = (target.glance("demo").await, target.web(BYTES).await);
    let id = empty(target, &glance, "raw").await;
    glance.import(id, &web.url("/missing")).await.unwrap();
    let tasks = ended(&glance, id).await;
    assert_eq!(tasks[0].status, TaskStatus::Failure);
    assert!(!tasks[0].message.is_empty());
    assert_eq!(until(&glance, id, Status::Queued).await.size, None);
    glance.import(id, &web.url("/whole")).await.unwrap();
    until(&glance, id, Status::Active).await;
    let tasks = ended(&glance, id).await;
    let told: Vec<_> = tasks.iter().map(|task| (task.status.as_str(), task.uri.clone())).collect();
    assert_eq!(told, [("failure", Some(web.url("/missing"))), ("success", Some(web.url("/whole")))], "the newest last");
}

async fn an_address_that_the_service_does_not_fetch_from_is_invalid(target: &Target) {
    let glance = target.glance("demo").await;
    let id = empty(target, &glance, "raw").await;
    for url in ["ftp://user:password@images.example/a?sig=secret", "file:///etc/passwd", "no address", ""] {
        let error = glance.import(id, url).await.unwrap_err();
        assert_eq!(error.kind, Kind::Invalid, "{error}");
        let told = format!("{error} {error:?}");
        assert!(told.contains("does not pass filtering"), "{told}");
        assert!(!told.contains("password@") && !told.contains("secret"), "{told}");
    }
    assert_eq!(glance.show(id).await.unwrap().status, Status::Queued);
    assert_eq!(glance.tasks(id).await.unwrap(), []);
}

async fn an_import_without_formats_is_invalid(target: &Target) {
    let (glance, web) = (target.glance("demo").await, target.web(BYTES).await);
    let id = new(target, &glance, NewImage::new(ImageId::random())).await.id;
    let error = glance.import(id, &web.url("/whole")).await.unwrap_err();
    assert_eq!(error.kind, Kind::Invalid, "{error}");
    assert!(error.to_string().contains("format"), "{error}");
    let formats = [Change::set("disk_format", "raw"), Change::set("container_format", "bare")];
    glance.update(id, &formats).await.unwrap();
    glance.import(id, &web.url("/whole")).await.unwrap();
    until(&glance, id, Status::Active).await;
}

async fn an_import_needs_a_queued_image(target: &Target) {
    let (glance, web) = (target.glance("demo").await, target.web(BYTES).await);
    let id = empty(target, &glance, "raw").await;
    glance.import(id, &web.url("/held")).await.unwrap();
    let error = glance.import(id, &web.url("/held")).await.unwrap_err();
    assert_eq!(error.kind, Kind::Conflict, "an import is under way: {error}");
    web.release();
    until(&glance, id, Status::Active).await;
    let error = glance.import(id, &web.url("/whole")).await.unwrap_err();
    assert_eq!(error.kind, Kind::Conflict, "it has its bytes: {error}");
    let error = glance.import(ImageId::random(), &web.url("/whole")).await.unwrap_err();
    assert_eq!(error.kind, Kind::NotFound, "{error}");
}

async fn what_is_changed_during_an_import_is_kept(target: &Target) {
    let (glance, web) = (target.glance("demo").await, target.web(BYTES).await);
    let id = empty(target, &glance, "raw").await;
    glance.import(id, &web.url("/held")).await.unwrap();
    until(&glance, id, Status::Importing).await;
    glance.add_tag(id, "a").await.unwrap();
    glance.update(id, &[Change::set("p", "v")]).await.unwrap();
    web.release();
    let image = until(&glance, id, Status::Active).await;
    assert_eq!((image.tags.as_slice(), image.properties.len()), (&["a".into()][..], 1));
    assert_eq!(image.properties.get("p").map(Text::as_str), Some("v"));
}

async fn only_its_own_project_imports(target: &Target) {
    let (glance, alt) = (target.glance("demo").await, target.glance("alt").await);
    let id = empty(target, &glance, "raw").await;
    let web = target.web(BYTES).await;
    assert_eq!(alt.import(id, &web.url("/whole")).await.unwrap_err().kind, Kind::NotFound);
    glance.add_member(id, alt.project().unwrap()).await.unwrap();
    for other in [alt, target.glance("reader").await] {
        let error = other.import(id, &web.url("/whole")).await.unwrap_err();
        assert_eq!(error.kind, Kind::Forbidden, "{error}");
    }
    assert_eq!(glance.show(id).await.unwrap().status, Status::Queued);
}

async fn an_image_without_imports_has_no_tasks(target: &Target) {
    let glance = target.glance("demo").await;
    let id = empty(target, &glance, "raw").await;
    upload(&glance, id, &noise(10)).await.unwrap();
    assert_eq!(glance.tasks(id).await.unwrap(), []);
    assert_eq!(glance.tasks(ImageId::random()).await.unwrap(), []);
}

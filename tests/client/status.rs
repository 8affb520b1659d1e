//! Deactivating and reactivating images through the trait `ImageService`, and what the service says of their attributes.

use glancefs::image::{ImageId, Status};
use glancefs::service::{Action, ImageService, Kind, NewImage};

use crate::edit::{empty, new, noise, upload};
use crate::target::Target;

crate::contracts!(Both:
    an_image_is_deactivated_and_reactivated_and_again,
    an_image_without_bytes_is_in_the_wrong_status,
    only_its_own_project_deactivates_an_image,
    the_schema_knows_what_nobody_writes,
);

async fn an_image_is_deactivated_and_reactivated_and_again(target: &Target) {
    let glance = target.glance("demo").await;
    let id = empty(target, &glance, "raw").await;
    upload(&glance, id, &noise(10)).await.unwrap();
    for (action, status) in [(Action::Deactivate, Status::Deactivated), (Action::Reactivate, Status::Active)] {
        for _ in 0..2 {
            glance.act(id, action).await.unwrap();
            assert_eq!(glance.show(id).await.unwrap().status, status);
        }
    }
}

async fn an_image_without_bytes_is_in_the_wrong_status(target: &Target) {
    let glance = target.glance("demo").await;
    let id = new(target, &glance, NewImage::new(ImageId::random())).await.id;
    for action in [Action::Deactivate, Action::Reactivate] {
        let error = glance.act(id, action).await.unwrap_err();
        assert_eq!(error.kind, Kind::Conflict, "{error}");
        assert!(error.to_string().contains("in status 'queued'"), "{error}");
    }
    assert_eq!(glance.act(ImageId::random(), Action::Deactivate).await.unwrap_err().kind, Kind::NotFound);
}

async fn only_its_own_project_deactivates_an_image(target: &Target) {
    let (owner, alt) = (target.glance("demo").await, target.glance("alt").await);
    let id = empty(target, &owner, "raw").await;
    upload(&owner, id, &noise(10)).await.unwrap();
    assert_eq!(alt.act(id, Action::Deactivate).await.unwrap_err().kind, Kind::NotFound, "a stranger");
    owner.add_member(id, alt.project().unwrap()).await.unwrap();
    for glance in [alt, target.glance("reader").await] {
        let error = glance.act(id, Action::Deactivate).await.unwrap_err();
        assert_eq!(error.kind, Kind::Forbidden, "{error}");
    }
    assert_eq!(owner.show(id).await.unwrap().status, Status::Active);
    let queued = new(target, &owner, NewImage::new(ImageId::random())).await.id;
    let error = target.glance("reader").await.act(queued, Action::Deactivate).await.unwrap_err();
    assert_eq!(error.kind, Kind::Forbidden, "another status would not help: {error}");
}

async fn the_schema_knows_what_nobody_writes(target: &Target) {
    let schema = target.glance("demo").await.schema().await.unwrap();
    for key in ["size", "status", "checksum", "created_at"] {
        assert!(schema.is_attribute(key) && schema.is_read_only(key), "{key}");
    }
    for key in ["name", "visibility", "min_disk", "tags"] {
        assert!(schema.is_attribute(key) && !schema.is_read_only(key), "{key}");
    }
    assert!(!schema.is_attribute("an_additional_property"));
}

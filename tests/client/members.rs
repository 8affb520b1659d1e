//! Members through the trait `ImageService`, as the owner, a reader of the same project, and another project.

use glancefs::image::{ImageId, MemberStatus, Visibility};
use glancefs::service::glance::Glance;
use glancefs::service::{Change, ImageService, Kind, NewImage};
use serde_json::json;

use crate::edit::new;
use crate::target::Target;

crate::contracts!(Both:
    a_new_member_has_said_nothing_yet,
    a_member_that_is_added_again_keeps_its_status,
    a_member_is_removed_once,
    the_member_itself_sets_its_status_and_nobody_else,
    a_status_that_the_service_does_not_know_is_invalid,
    members_of_an_image_that_is_not_shared_are_forbidden_with_a_reason,
    members_over_the_limit_are_over_quota,
    only_its_own_project_shares_an_image,
    a_project_that_no_path_names_is_invalid,
);

async fn image(target: &Target, glance: &Glance, visibility: Visibility) -> ImageId {
    new(target, glance, NewImage { visibility: Some(visibility), ..NewImage::new(ImageId::random()) }).await.id
}

async fn a_new_member_has_said_nothing_yet(target: &Target) {
    let (owner, member) = (target.glance("demo").await, target.glance("alt").await);
    let id = image(target, &owner, Visibility::Shared).await;
    assert_eq!(member.show(id).await.unwrap_err().kind, Kind::NotFound);
    let added = owner.add_member(id, member.project().unwrap()).await.unwrap();
    assert_eq!((Some(added.project.as_str()), &added.status), (member.project(), &MemberStatus::Pending));
    assert_eq!(owner.members(id).await.unwrap(), [added]);
    assert_eq!(member.show(id).await.unwrap().id, id);
}

async fn a_member_that_is_added_again_keeps_its_status(target: &Target) {
    let (owner, member) = (target.glance("demo").await, target.glance("alt").await);
    let (id, project) = (image(target, &owner, Visibility::Shared).await, member.project().unwrap());
    owner.add_member(id, project).await.unwrap();
    let set = member.set_member(id, project, &MemberStatus::Rejected).await.unwrap();
    assert_eq!(set.status, MemberStatus::Rejected);
    assert_eq!(owner.add_member(id, project).await.unwrap().status, MemberStatus::Rejected);
    assert_eq!(owner.members(id).await.unwrap().len(), 1);
}

async fn a_member_is_removed_once(target: &Target) {
    let glance = target.glance("demo").await;
    let id = image(target, &glance, Visibility::Shared).await;
    for project in ["9be7a0de66cb40eeb5069bf99ec854ae", "a b", "a?b#c"] {
        glance.add_member(id, project).await.unwrap();
        glance.remove_member(id, project).await.unwrap();
        assert_eq!(glance.members(id).await.unwrap(), [], "{project}");
        let error = glance.remove_member(id, project).await.unwrap_err();
        assert_eq!(error.kind, Kind::NotFound, "{error}");
    }
}

async fn the_member_itself_sets_its_status_and_nobody_else(target: &Target) {
    let (owner, member) = (target.glance("demo").await, target.glance("alt").await);
    let (id, project) = (image(target, &owner, Visibility::Shared).await, member.project().unwrap());
    let error = member.set_member(id, project, &MemberStatus::Accepted).await.unwrap_err();
    assert_eq!(error.kind, Kind::NotFound, "it was not offered the image: {error}");
    owner.add_member(id, project).await.unwrap();
    for status in [MemberStatus::Accepted, MemberStatus::Rejected, MemberStatus::Pending, MemberStatus::Accepted] {
        assert_eq!(member.set_member(id, project, &status).await.unwrap().status, status);
        assert_eq!(owner.members(id).await.unwrap()[0].status, status);
    }
    for other in [&owner, &target.glance("reader").await] {
        let error = other.set_member(id, project, &MemberStatus::Rejected).await.unwrap_err();
        assert_eq!(error.kind, Kind::Forbidden, "{error}");
        assert!(error.to_string().contains("only the member project itself sets its status"), "{error}");
    }
    assert_eq!(owner.members(id).await.unwrap()[0].status, MemberStatus::Accepted);
}

async fn a_status_that_the_service_does_not_know_is_invalid(target: &Target) {
    let (owner, member) = (target.glance("demo").await, target.glance("alt").await);
    let (id, project) = (image(target, &owner, Visibility::Shared).await, member.project().unwrap());
    owner.add_member(id, project).await.unwrap();
    let error = member.set_member(id, project, &"maybe".into()).await.unwrap_err();
    assert_eq!(error.kind, Kind::Invalid, "{error}");
    assert!(error.to_string().contains("accepted"), "it says what there is: {error}");
}

async fn members_of_an_image_that_is_not_shared_are_forbidden_with_a_reason(target: &Target) {
    let owner = target.glance("demo").await;
    for visibility in [Visibility::Private, Visibility::Community] {
        let id = image(target, &owner, visibility.clone()).await;
        let errors = [
            owner.add_member(id, "p").await.unwrap_err(),
            owner.remove_member(id, "p").await.unwrap_err(),
            owner.set_member(id, "p", &MemberStatus::Accepted).await.unwrap_err(),
        ];
        for error in errors {
            assert_eq!(error.kind, Kind::Forbidden, "{error}");
            let reason = format!("its visibility is '{}'", visibility.as_str());
            assert!(error.to_string().contains(&reason) && error.to_string().contains("'shared'"), "{error}");
        }
        owner.update(id, &[Change::set("visibility", "shared")]).await.unwrap();
        owner.add_member(id, "p").await.unwrap();
    }
}

async fn members_over_the_limit_are_over_quota(target: &Target) {
    let glance = target.glance("demo").await;
    let id = image(target, &glance, Visibility::Shared).await;
    for n in 0..128 {
        glance.add_member(id, &n.to_string()).await.unwrap();
    }
    let error = glance.add_member(id, "a").await.unwrap_err();
    assert_eq!(error.kind, Kind::OverQuota, "{error}");
    assert!(error.to_string().contains("128"), "{error}");
}

async fn only_its_own_project_shares_an_image(target: &Target) {
    let (owner, alt) = (target.glance("demo").await, target.glance("alt").await);
    let (id, project) = (image(target, &owner, Visibility::Shared).await, alt.project().unwrap());
    assert_eq!(alt.add_member(id, project).await.unwrap_err().kind, Kind::NotFound, "a stranger");
    owner.add_member(id, project).await.unwrap();
    for glance in [&alt, &target.glance("reader").await] {
        assert_eq!(glance.add_member(id, "p").await.unwrap_err().kind, Kind::Forbidden);
        let error = glance.remove_member(id, project).await.unwrap_err();
        assert_eq!(error.kind, Kind::Forbidden, "{error}");
    }
    let community = image(target, &owner, Visibility::Community).await;
    let error = alt.add_member(community, "p").await.unwrap_err();
    assert!(error.kind == Kind::Forbidden && !error.to_string().contains("visibility"), "not its own: {error}");
}

async fn a_project_that_no_path_names_is_invalid(target: &Target) {
    let (person, glance) = (target.person("demo").await, target.glance("demo").await);
    let id = image(target, &glance, Visibility::Shared).await;
    for project in ["a/b", "\u{e9}", "..", ""] {
        assert_eq!(glance.add_member(id, project).await.unwrap_err().kind, Kind::Invalid, "{project}");
    }
    // Others may have added one.
    person.post(&format!("/v2/images/{id}/members"), &json!({"member": "a/b"})).await.is(200);
    assert_eq!(glance.members(id).await.unwrap()[0].project, "a/b");
    assert_eq!(glance.remove_member(id, "a/b").await.unwrap_err().kind, Kind::Invalid);
}

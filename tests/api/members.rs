//! /v2/images/{id}/members.

use serde_json::{Value, json};

use crate::person::Person;
use crate::target::Target;
use crate::wire::Answer;

crate::contracts![
    a_new_member_is_pending,
    a_member_is_added_once,
    any_word_is_a_member_and_a_number_too,
    what_is_no_member_is_refused,
    there_are_at_most_128_members,
    the_member_itself_says_what_it_thinks,
    a_status_is_one_of_three_words,
    what_a_member_sees_and_may,
    an_accepted_image_is_listed_and_others_are_not,
    members_are_only_where_an_image_is_shared,
    members_are_back_when_the_image_is_shared_again,
    a_removed_member_has_no_access,
    a_member_is_no_change_of_the_image,
    who_may_share,
    a_member_s_path_has_its_methods,
];

/// An image of demo that is shared, perhaps with alt.
struct Shared {
    demo: Person,
    alt: Person,
    id: String,
}

impl Shared {
    async fn with_nobody(target: &Target) -> Self {
        let demo = target.person("demo").await;
        let id = target.filled(&demo, b"x").await;
        Self { demo, alt: target.person("alt").await, id }
    }

    async fn with_alt(target: &Target) -> Self {
        let shared = Self::with_nobody(target).await;
        shared.add(&shared.demo, &json!({"member": shared.alt.project})).await.is(200);
        shared
    }

    fn path(&self, member: &str) -> String {
        format!("/v2/images/{}/members/{member}", self.id)
    }

    async fn add(&self, person: &Person, body: &Value) -> Answer {
        person.post(&format!("/v2/images/{}/members", self.id), body).await
    }

    async fn list(&self, person: &Person) -> Answer {
        person.get(&format!("/v2/images/{}/members", self.id)).await
    }

    async fn set(&self, person: &Person, member: &str, body: &Value) -> Answer {
        person.request("PUT", &self.path(member)).json(body).send().await
    }

    async fn accept(&self, person: &Person) -> Answer {
        self.set(person, &self.alt.project, &json!({"status": "accepted"})).await
    }

    async fn remove(&self, person: &Person, member: &str) -> Answer {
        person.request("DELETE", &self.path(member)).send().await
    }

    async fn show(&self, visibility: &str) {
        let change = json!([{"op": "replace", "path": "/visibility", "value": visibility}]);
        let kind = "application/openstack-images-v2.1-json-patch";
        let path = format!("/v2/images/{}", self.id);
        self.demo.request("PATCH", &path).json(&change).header("Content-Type", kind).send().await.is(200);
    }
}

fn words(answer: &Answer) -> Vec<String> {
    let body = answer.json();
    let members = body["members"].as_array().unwrap();
    members.iter().map(|member| member["member_id"].as_str().unwrap().to_owned()).collect()
}

async fn a_new_member_is_pending(target: &Target) {
    let shared = Shared::with_nobody(target).await;
    let member = shared.add(&shared.demo, &json!({"member": shared.alt.project})).await.is(200).json();
    let expected = json!({
        "member_id": shared.alt.project, "image_id": shared.id, "status": "pending",
        "created_at": member["created_at"], "updated_at": member["updated_at"], "schema": "/v2/schemas/member"
    });
    assert_eq!(member, expected);
    assert_eq!(shared.demo.get(&shared.path(&shared.alt.project)).await.is(200).json(), expected);
    let list = shared.list(&shared.demo).await.is(200).json();
    assert_eq!(list, json!({"members": [expected], "schema": "/v2/schemas/members"}));
}

async fn a_member_is_added_once(target: &Target) {
    let shared = Shared::with_alt(target).await;
    let words = format!("Member {} is duplicated for image {}", shared.alt.project, shared.id);
    shared.add(&shared.demo, &json!({"member": shared.alt.project})).await.is(409).says(&words);
}

async fn any_word_is_a_member_and_a_number_too(target: &Target) {
    let shared = Shared::with_nobody(target).await;
    let long = "m".repeat(256);
    for member in [json!(shared.demo.project), json!(long), json!("a/b"), json!("\u{e9}"), json!(5)] {
        assert_eq!(shared.add(&shared.demo, &json!({"member": member})).await.is(200).json()["member_id"], member);
    }
    let listed = words(&shared.list(&shared.demo).await.is(200));
    assert_eq!(listed, [shared.demo.project.as_str(), &long, "a/b", "\u{e9}", "5"]);
    shared.remove(&shared.demo, "5").await.is(204);
}

async fn what_is_no_member_is_refused(target: &Target) {
    let shared = Shared::with_nobody(target).await;
    for (body, status, words) in [
        (json!({}), 400, "Member to be added not specified"),
        (json!({"member": ""}), 400, "Member can't be empty"),
        (json!({"member": null}), 400, "Member can't be empty"),
        (json!({"member": []}), 400, "Member can't be empty"),
        (json!(["member"]), 400, "Expected a member in the form: {\"member\": \"image_id\"}"),
        (json!({"member": ["a"]}), 500, "The server has either erred"),
        (json!({"member": "\u{1F600}"}), 400, "Member can't contain 4 byte unicode characters."),
    ] {
        shared.add(&shared.demo, &body).await.is(status).says(words);
    }
    assert!(words(&shared.list(&shared.demo).await).is_empty());
}

async fn there_are_at_most_128_members(target: &Target) {
    let shared = Shared::with_nobody(target).await;
    for number in 0..128 {
        shared.add(&shared.demo, &json!({"member": format!("m{number}")})).await.is(200);
    }
    let words = format!(
        "Image member limit exceeded for image {}: The limit has been exceeded on the number of allowed image members \
         for this image. Attempted: 129, Maximum: 128:",
        shared.id
    );
    shared.add(&shared.demo, &json!({"member": "one more"})).await.is(413).says(&words);
}

async fn the_member_itself_says_what_it_thinks(target: &Target) {
    let shared = Shared::with_alt(target).await;
    let project = shared.alt.project.clone();
    for status in ["accepted", "rejected", "pending"] {
        let member = shared.set(&shared.alt, &project, &json!({"status": status})).await.is(200).json();
        assert_eq!((&member["status"], &member["member_id"]), (&json!(status), &json!(project)));
    }
    shared.accept(&target.person("admin").await).await.is(200);
    for who in ["demo", "demo2", "reader"] {
        let refused = shared.accept(&target.person(who).await).await.is(403);
        refused.says("You are not authorized to complete modify_member action.");
    }
    let stranger = target.person("small").await;
    shared.accept(&stranger).await.is(404).says(&format!("Image {} not found.", shared.id));
}

async fn a_status_is_one_of_three_words(target: &Target) {
    let shared = Shared::with_alt(target).await;
    let project = shared.alt.project.clone();
    let words = "Incorrect request: Status must be \"pending\", \"accepted\" or \"rejected\".";
    for (body, words) in [
        (json!({}), "Status not specified"),
        (json!({"status": null}), words),
        (json!({"status": "bogus"}), words),
        (json!(["status"]), "Expected a status in the form: {\"status\": \"status\"}"),
    ] {
        shared.set(&shared.alt, &project, &body).await.is(400).says(words);
    }
    let words = format!("nobody not found in the member list of the image {}.", shared.id);
    for person in [&shared.demo, &shared.alt] {
        shared.set(person, "nobody", &json!({"status": "accepted"})).await.is(404).says(&words);
    }
}

async fn what_a_member_sees_and_may(target: &Target) {
    let shared = Shared::with_alt(target).await;
    let (alt, id) = (&shared.alt, &shared.id);
    shared.add(&shared.demo, &json!({"member": "other"})).await.is(200);
    assert_eq!(words(&shared.list(alt).await.is(200)), [alt.project.as_str()]);
    alt.get(&shared.path("other")).await.is(404);
    alt.show(id).await;
    alt.get_file(id).send().await.is(200);
    for (method, path, action) in [
        ("DELETE", shared.path(&alt.project), "delete_member"),
        ("DELETE", format!("/v2/images/{id}"), "delete_image"),
        ("PUT", format!("/v2/images/{id}/tags/t"), "modify_image"),
        ("POST", format!("/v2/images/{id}/actions/deactivate"), "deactivate"),
    ] {
        let words = format!("You are not authorized to complete {action} action.");
        alt.request(method, &path).send().await.is(403).says(&words);
    }
    let words = "You are not authorized to complete add_member action.";
    shared.add(alt, &json!({"member": "another"})).await.is(403).says(words);
    shared.remove(alt, "other").await.is(404);
}

async fn an_accepted_image_is_listed_and_others_are_not(target: &Target) {
    let shared = Shared::with_alt(target).await;
    let query = format!("id={}", shared.id);
    for (status, listed) in [("pending", 0), ("accepted", 1), ("rejected", 0)] {
        shared.set(&shared.alt, &shared.alt.project, &json!({"status": status})).await.is(200);
        assert_eq!(shared.alt.list(&query).await.len(), listed, "{status}");
        assert_eq!(shared.alt.list(&format!("{query}&member_status={status}")).await.len(), 1, "{status}");
    }
}

async fn members_are_only_where_an_image_is_shared(target: &Target) {
    let shared = Shared::with_alt(target).await;
    let (alt, id) = (shared.alt.project.clone(), shared.id.clone());
    for visibility in ["private", "community"] {
        shared.show(visibility).await;
        for who in ["demo", "admin", "reader"] {
            let person = target.person(who).await;
            let words = format!("Not allowed to list members for image {id}: Only shared images have members.");
            shared.list(&person).await.is(403).says(&words);
            person.get(&shared.path(&alt)).await.is(404).says("Only shared images have members.");
            let add = shared.add(&person, &json!({"member": "new"})).await;
            add.is(403).says(&format!("Not allowed to create members for image {id}."));
            shared.accept(&person).await.is(403).says(&format!("Not allowed to update members for image {id}."));
            let remove = shared.remove(&person, &alt).await;
            remove.is(403).says(&format!("Not allowed to delete members for image {id}."));
        }
    }
    shared.show("private").await;
    shared.list(&shared.alt).await.is(404);
    shared.accept(&shared.alt).await.is(404);
}

async fn members_are_back_when_the_image_is_shared_again(target: &Target) {
    let shared = Shared::with_alt(target).await;
    shared.accept(&shared.alt).await.is(200);
    shared.show("private").await;
    shared.alt.get(&format!("/v2/images/{}", shared.id)).await.is(404);
    shared.show("shared").await;
    shared.alt.show(&shared.id).await;
    let member = shared.demo.get(&shared.path(&shared.alt.project)).await.is(200).json();
    assert_eq!(member["status"], "accepted");
}

async fn a_removed_member_has_no_access(target: &Target) {
    let shared = Shared::with_alt(target).await;
    shared.accept(&shared.alt).await.is(200);
    let project = shared.alt.project.clone();
    assert_eq!(shared.remove(&shared.demo, &project).await.is(204).body, b"");
    shared.alt.get(&format!("/v2/images/{}", shared.id)).await.is(404);
    let words = format!("{project} not found in the member list of the image {}.", shared.id);
    shared.remove(&shared.demo, &project).await.is(404).says(&words);
    let again = shared.add(&shared.demo, &json!({"member": project})).await.is(200).json();
    assert_eq!(again["status"], "pending");
}

async fn a_member_is_no_change_of_the_image(target: &Target) {
    let shared = Shared::with_nobody(target).await;
    let before = shared.demo.show(&shared.id).await;
    // Shown in whole seconds.
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    shared.add(&shared.demo, &json!({"member": shared.alt.project})).await.is(200);
    shared.accept(&shared.alt).await.is(200);
    shared.remove(&shared.demo, &shared.alt.project).await.is(204);
    assert_eq!(shared.demo.show(&shared.id).await, before);
}

async fn who_may_share(target: &Target) {
    let shared = Shared::with_nobody(target).await;
    for (who, added, removed) in [("demo", 200, 204), ("demo2", 200, 204), ("admin", 200, 204), ("reader", 403, 403)] {
        let person = target.person(who).await;
        shared.add(&person, &json!({"member": "somebody"})).await.is(added);
        if added == 403 {
            shared.add(&shared.demo, &json!({"member": "somebody"})).await.is(200);
        }
        shared.remove(&person, "somebody").await.is(removed);
    }
    let words = format!("Image {} not found.", shared.id);
    shared.add(&shared.alt, &json!({"member": "somebody"})).await.is(404).says(&words);
    shared.remove(&shared.alt, "somebody").await.is(404).says(&words);
}

async fn a_member_s_path_has_its_methods(target: &Target) {
    let shared = Shared::with_alt(target).await;
    let (one, all) = (shared.path(&shared.alt.project), format!("/v2/images/{}/members", shared.id));
    for (method, path) in [("POST", &one), ("PUT", &all), ("DELETE", &all)] {
        shared.demo.request(method, path).send().await.is(405);
    }
    shared.demo.request("DELETE", &one).body(*b"{}").send().await.is(400);
    shared.demo.get(&shared.path("a%2Fb")).await.is(404).says("The resource could not be found.");
}

//! PUT and DELETE /v2/images/{id}/tags/{tag}.

use serde_json::{Value, json};

use crate::person::Person;
use crate::target::Target;
use crate::wire::Answer;

crate::contracts![
    a_tag_is_added_and_removed,
    a_tag_that_is_there_can_be_added_again,
    a_tag_that_is_not_there_cannot_be_removed,
    a_tag_call_takes_no_body,
    a_tag_has_at_most_255_letters,
    there_are_at_most_128_tags,
    a_slash_or_dots_make_no_tag,
    a_tag_beyond_ascii_is_stored_byte_by_byte,
    a_path_that_is_no_utf8_is_not_answered,
    tags_can_be_written_whatever_the_status,
    a_tag_call_counts_as_a_change,
    who_may_tag,
];

async fn tag(person: &Person, method: &'static str, id: &str, tag: &str) -> Answer {
    person.request(method, &format!("/v2/images/{id}/tags/{tag}")).send().await
}

async fn tagged(target: &Target, tags: Value) -> (Person, String) {
    let demo = target.person("demo").await;
    let image = target.image(&demo, json!({"tags": tags})).await;
    let id = image["id"].as_str().unwrap().to_owned();
    (demo, id)
}

async fn tags(person: &Person, id: &str) -> Vec<String> {
    let image = person.show(id).await;
    let mut tags: Vec<String> =
        image["tags"].as_array().unwrap().iter().map(|tag| tag.as_str().unwrap().to_owned()).collect();
    tags.sort();
    tags
}

async fn a_tag_is_added_and_removed(target: &Target) {
    let (demo, id) = tagged(target, json!(["a"])).await;
    assert_eq!(tag(&demo, "PUT", &id, "b").await.is(204).body, b"");
    assert_eq!(tags(&demo, &id).await, ["a", "b"]);
    assert_eq!(tag(&demo, "DELETE", &id, "a").await.is(204).body, b"");
    assert_eq!(tags(&demo, &id).await, ["b"]);
}

async fn a_tag_that_is_there_can_be_added_again(target: &Target) {
    let (demo, id) = tagged(target, json!(["a"])).await;
    tag(&demo, "PUT", &id, "a").await.is(204);
    assert_eq!(tags(&demo, &id).await, ["a"]);
}

async fn a_tag_that_is_not_there_cannot_be_removed(target: &Target) {
    let (demo, id) = tagged(target, json!(["a"])).await;
    tag(&demo, "DELETE", &id, "b").await.is(404).says("The resource could not be found.");
    let absent = "00000000-aaaa-4bbb-8ccc-000000000000";
    for method in ["PUT", "DELETE"] {
        tag(&demo, method, absent, "a").await.is(404).says(&format!("Image {absent} not found."));
    }
}

async fn a_tag_call_takes_no_body(target: &Target) {
    let (demo, id) = tagged(target, json!(["a"])).await;
    for method in ["PUT", "DELETE"] {
        let request = demo.request(method, &format!("/v2/images/{id}/tags/a")).body(*b"{}");
        request.send().await.is(400).says("A body is not expected with this request.");
    }
    let allowed = tag(&demo, "GET", &id, "a").await.is(405);
    let mut methods: Vec<_> = allowed.header("allow").unwrap().split(',').map(str::trim).collect();
    methods.sort_unstable();
    assert_eq!(methods, ["DELETE", "PUT"]);
    assert_eq!(tags(&demo, &id).await, ["a"]);
}

async fn a_tag_has_at_most_255_letters(target: &Target) {
    let (demo, id) = tagged(target, json!([])).await;
    let (longest, longer) = ("a".repeat(255), "a".repeat(256));
    tag(&demo, "PUT", &id, &longest).await.is(204);
    tag(&demo, "PUT", &id, &longer).await.is(400).says("is too long");
    tag(&demo, "DELETE", &id, &longer).await.is(404);
    assert_eq!(tags(&demo, &id).await, [longest]);
}

async fn there_are_at_most_128_tags(target: &Target) {
    let many: Vec<String> = (0..128).map(|number| format!("t{number}")).collect();
    let (demo, id) = tagged(target, json!(many)).await;
    let words = format!(
        "Image tag limit exceeded for image {id}: The limit has been exceeded on the number of allowed image tags. \
         Attempted: 129, Maximum: 128:"
    );
    tag(&demo, "PUT", &id, "new").await.is(413).says(&words);
    tag(&demo, "PUT", &id, "t7").await.is(204);
    assert_eq!(tags(&demo, &id).await.len(), 128);
}

async fn a_slash_or_dots_make_no_tag(target: &Target) {
    let (demo, id) = tagged(target, json!(["a/b"])).await;
    for word in ["a%2Fb", "a/b", ".", "..", ""] {
        tag(&demo, "PUT", &id, word).await.is(404);
        tag(&demo, "DELETE", &id, word).await.is(404);
    }
    for method in ["GET", "PUT"] {
        demo.request(method, &format!("/v2/images/{id}/tags")).send().await.is(404);
    }
    for word in ["%25", "+", "%20", "%00"] {
        tag(&demo, "PUT", &id, word).await.is(204);
    }
    assert_eq!(tags(&demo, &id).await, ["\0", " ", "%", "+", "a/b"]);
}

async fn a_tag_beyond_ascii_is_stored_byte_by_byte(target: &Target) {
    let (demo, id) = tagged(target, json!([])).await;
    tag(&demo, "PUT", &id, "%C3%A9").await.is(204);
    assert_eq!(tags(&demo, &id).await, ["\u{c3}\u{a9}"]);
    tag(&demo, "DELETE", &id, "%C3%A9").await.is(204);
    assert!(tags(&demo, &id).await.is_empty());
}

async fn a_path_that_is_no_utf8_is_not_answered(target: &Target) {
    let (demo, id) = tagged(target, json!([])).await;
    for path in [format!("/v2/images/{id}/tags/%FF"), "/v2/images/%FF".to_owned()] {
        assert!(demo.request("PUT", &path).try_send().await.is_none(), "{path}");
    }
}

async fn tags_can_be_written_whatever_the_status(target: &Target) {
    let demo = target.person("demo").await;
    let id = target.filled(&demo, b"x").await;
    tag(&demo, "PUT", &id, "active").await.is(204);
    demo.act(&id, "deactivate").await.is(204);
    tag(&demo, "PUT", &id, "deactivated").await.is(204);
    tag(&demo, "DELETE", &id, "active").await.is(204);
    assert_eq!(tags(&demo, &id).await, ["deactivated"]);
}

async fn a_tag_call_counts_as_a_change(target: &Target) {
    let (demo, id) = tagged(target, json!(["a"])).await;
    for (method, word) in [("PUT", "a"), ("PUT", "b"), ("DELETE", "b")] {
        let before = demo.show(&id).await["updated_at"].clone();
        // Shown in whole seconds.
        tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
        tag(&demo, method, &id, word).await.is(204);
        assert_ne!(demo.show(&id).await["updated_at"], before, "{method} {word}");
    }
}

async fn who_may_tag(target: &Target) {
    for (visibility, who, status) in [
        ("private", "demo", 204),
        ("private", "demo2", 204),
        ("private", "reader", 403),
        ("private", "alt", 404),
        ("private", "admin", 204),
        ("community", "alt", 403),
        ("shared", "alt", 404),
    ] {
        let demo = target.person("demo").await;
        let image = target.image(&demo, json!({"visibility": visibility})).await;
        let id = image["id"].as_str().unwrap();
        tag(&demo, "PUT", id, "there").await.is(204);
        let person = target.person(who).await;
        for (method, word) in [("PUT", "new"), ("DELETE", "there")] {
            let answer = tag(&person, method, id, word).await.is(status);
            match status {
                403 => drop(answer.says("You are not authorized to complete modify_image action.")),
                404 => drop(answer.says(&format!("Image {id} not found."))),
                _ => {}
            }
        }
    }
}

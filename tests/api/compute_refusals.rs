//! What the Compute API refuses to do to metadata, and in which words.

use serde_json::{Value, json};

use crate::person::Person;
use crate::target::Target;
use crate::wire::Answer;

crate::contracts![
    a_body_has_one_key_with_an_object,
    values_are_strings,
    keys_are_of_certain_letters,
    keys_and_values_have_at_most_255_letters,
    one_item_is_given_under_its_own_name,
    what_is_wrong_inside_is_told_first,
    a_body_that_is_no_json_is_refused,
    bodies_of_other_media_types_are_refused,
    at_most_128_items,
    letters_that_the_image_service_refuses_fail,
    others_may_look_and_not_write,
    the_unseen_and_the_unknown_are_not_found,
    a_query_makes_metadata_fail,
];

async fn image(target: &Target, person: &Person) -> (String, String) {
    let image = target.image(person, json!({"a": "1"})).await;
    let id = image["id"].as_str().unwrap().to_owned();
    let path = format!("/images/{id}/metadata");
    (id, path)
}

async fn send(person: &Person, method: &'static str, path: &str, body: &Value) -> Answer {
    person.nova(method, path).json(body).send().await
}

/// Expects 400 with these words.
async fn refused(person: &Person, method: &'static str, path: &str, body: Value, words: &str) {
    send(person, method, path, &body).await.is(400).faults("badRequest", words);
}

async fn a_body_has_one_key_with_an_object(target: &Target) {
    let demo = target.person("demo").await;
    let (_, path) = image(target, &demo).await;
    for method in ["POST", "PUT"] {
        for (body, words) in [
            (json!({}), "'metadata' is a required property"),
            (json!({"meta": {}}), "'metadata' is a required property"),
            (json!({"metadata": {}, "x": 1}), "Additional properties are not allowed ('x' was unexpected)"),
            (
                json!({"metadata": {}, "x": 1, "y": 2}),
                "Additional properties are not allowed ('x', 'y' were unexpected)",
            ),
            (json!({"metadata": null}), "field/attribute metadata. Value: None. None is not of type 'object'"),
            (json!({"metadata": "a"}), "field/attribute metadata. Value: a. 'a' is not of type 'object'"),
            (json!([]), "[] is not of type 'object'"),
            (json!(1), "1 is not of type 'object'"),
            (json!(null), "None is not of type 'object'"),
        ] {
            refused(&demo, method, &path, body, words).await;
        }
        demo.nova(method, &path).send().await.is(400).faults("badRequest", "None is not of type 'object'");
    }
}

async fn values_are_strings(target: &Target) {
    let demo = target.person("demo").await;
    let (_, path) = image(target, &demo).await;
    for (value, shown) in [
        (json!(1), "1"),
        (json!(1.5), "1.5"),
        (json!(true), "True"),
        (json!(null), "None"),
        (json!(["x"]), "['x']"),
        (json!({"x": "y'z"}), "{'x': \"y'z\"}"),
    ] {
        let words = format!("Invalid input for field/attribute a. Value: {shown}. {shown} is not of type 'string'");
        for method in ["POST", "PUT"] {
            refused(&demo, method, &path, json!({"metadata": {"a": value}}), &words).await;
        }
        refused(&demo, "PUT", &format!("{path}/a"), json!({"meta": {"a": value}}), &words).await;
    }
}

async fn keys_are_of_certain_letters(target: &Target) {
    let demo = target.person("demo").await;
    let (_, path) = image(target, &demo).await;
    for key in ["", "a/b", "k~s", "k+s", "k,s", "k@", "k=", "\u{e9}"] {
        let words = format!("'{key}' does not match any of the regexes: '^[a-zA-Z0-9-_:. ]{{1,255}}$'");
        for method in ["POST", "PUT"] {
            refused(&demo, method, &path, json!({"metadata": {key: "v"}}), &words).await;
        }
    }
    refused(&demo, "POST", &path, json!({"metadata": {"a/b": "", "c~": ""}}), "'a/b', 'c~' do not match any").await;
}

async fn keys_and_values_have_at_most_255_letters(target: &Target) {
    let demo = target.person("demo").await;
    let (_, path) = image(target, &demo).await;
    let long = "\u{e9}".repeat(255);
    send(&demo, "POST", &path, &json!({"metadata": {"a": long}})).await.is(200);
    let (longer, key) = ("v".repeat(256), "k".repeat(256));
    for method in ["POST", "PUT"] {
        refused(&demo, method, &path, json!({"metadata": {"a": longer}}), &format!("'{longer}' is too long")).await;
        refused(&demo, method, &path, json!({"metadata": {&key: "v"}}), "does not match any of the regexes").await;
    }
    refused(&demo, "PUT", &format!("{path}/a"), json!({"meta": {"a": longer}}), "is too long").await;
    refused(&demo, "PUT", &format!("{path}/{key}"), json!({"meta": {&key: "v"}}), "does not match").await;
}

async fn one_item_is_given_under_its_own_name(target: &Target) {
    let demo = target.person("demo").await;
    let (_, path) = image(target, &demo).await;
    let item = format!("{path}/a");
    refused(&demo, "PUT", &item, json!({"meta": {"b": "1"}}), "Request body and URI mismatch").await;
    refused(&demo, "PUT", &item, json!({"meta": {"a": "1", "b": "2"}}), "{'a': '1', 'b': '2'} has too many properties")
        .await;
    refused(&demo, "PUT", &item, json!({"meta": {}}), "{} should be non-empty").await;
    refused(&demo, "PUT", &item, json!({"metadata": {"a": "1"}}), "'meta' is a required property").await;
}

async fn what_is_wrong_inside_is_told_first(target: &Target) {
    let demo = target.person("demo").await;
    let (_, path) = image(target, &demo).await;
    refused(&demo, "POST", &path, json!({"metadata": {"a": 1}, "x": 1}), "1 is not of type 'string'").await;
    refused(&demo, "POST", &path, json!({"metadata": {"a/": "1", "b": 1}}), "1 is not of type 'string'").await;
    refused(&demo, "POST", &path, json!({"metadata": {"a/": "1"}, "x": 1}), "does not match any").await;
}

async fn a_body_that_is_no_json_is_refused(target: &Target) {
    let demo = target.person("demo").await;
    let (_, path) = image(target, &demo).await;
    for body in ["x", "{", "{'metadata': {}}"] {
        let request = demo.nova("POST", &path).header("Content-Type", "application/json").body(body);
        request.send().await.is(400).faults("badRequest", "Malformed request body");
    }
}

async fn bodies_of_other_media_types_are_refused(target: &Target) {
    let demo = target.person("demo").await;
    let (_, path) = image(target, &demo).await;
    let post = |kind: &str| {
        let request = demo.nova("POST", &path).body("{\"metadata\": {}}");
        if kind.is_empty() { request } else { request.header("Content-Type", kind) }
    };
    for kind in ["", "text/plain", "application/json; charset=utf-8", "application/vnd.openstack.compute+json"] {
        post(kind).send().await.is(200);
    }
    for kind in ["application/xml", "text/html", "application/octet-stream", "application/json-patch+json"] {
        post(kind).send().await.is(415).faults("badMediaType", "Unsupported Content-Type");
    }
}

async fn at_most_128_items(target: &Target) {
    let demo = target.person("demo").await;
    let (_, path) = image(target, &demo).await;
    let many = |count: usize| -> Value {
        let items = (0..count).map(|number| (format!("k{number}"), json!(format!("v{number}"))));
        json!({"metadata": items.collect::<serde_json::Map<_, _>>()})
    };
    let words = "Image metadata limit exceeded";
    send(&demo, "PUT", &path, &many(129)).await.is(403).faults("forbidden", words);
    send(&demo, "POST", &path, &many(128)).await.is(403).faults("forbidden", words);
    send(&demo, "PUT", &path, &many(128)).await.is(200);
    let item = json!({"meta": {"new": "1"}});
    send(&demo, "PUT", &format!("{path}/new"), &item).await.is(403).faults("forbidden", words);
    send(&demo, "PUT", &format!("{path}/k0"), &json!({"meta": {"k0": "1"}})).await.is(200);
    let shown = demo.ask(&path).await.is(200).json();
    assert_eq!(shown["metadata"].as_object().unwrap().len(), 128);
}

async fn letters_that_the_image_service_refuses_fail(target: &Target) {
    let demo = target.person("demo").await;
    let (_, path) = image(target, &demo).await;
    let answer = send(&demo, "POST", &path, &json!({"metadata": {"a": "\u{1f600}"}})).await.is(500);
    answer.faults("computeFault", "nova.exception.ImageBadRequest");
    send(&demo, "POST", &path, &json!({"metadata": {"a": "\u{0}\u{e9}"}})).await.is(200);
}

async fn others_may_look_and_not_write(target: &Target) {
    let (demo, alt) = (target.person("demo").await, target.person("alt").await);
    let (id, path) = image(target, &demo).await;
    demo.post(&format!("/v2/images/{id}/members"), &json!({"member": alt.project})).await.is(200);
    let words = format!("Not authorized for image {id}.");
    for other in [&target.person("reader").await, &alt] {
        other.ask(&path).await.is(200);
        let forbidden = [
            send(other, "POST", &path, &json!({"metadata": {"c": "3"}})).await,
            send(other, "PUT", &path, &json!({"metadata": {}})).await,
            send(other, "PUT", &format!("{path}/a"), &json!({"meta": {"a": "x"}})).await,
            other.nova("DELETE", &format!("{path}/a")).send().await,
        ];
        for answer in forbidden {
            answer.is(403).faults("forbidden", &words);
        }
        let answer = other.nova("DELETE", &format!("{path}/nope")).send().await.is(404);
        answer.faults("itemNotFound", "Invalid metadata key");
    }
    let shown = demo.show(&id).await;
    assert_eq!((&shown["a"], &shown["visibility"]), (&json!("1"), &json!("shared")));
}

async fn the_unseen_and_the_unknown_are_not_found(target: &Target) {
    let (demo, alt) = (target.person("demo").await, target.person("alt").await);
    let (_, unseen) = image(target, &demo).await;
    for path in [unseen, format!("/images/{}/metadata", uuid::Uuid::new_v4()), "/images/x/metadata".to_owned()] {
        let answers = [
            alt.ask(&path).await,
            alt.ask(&format!("{path}/a")).await,
            send(&alt, "POST", &path, &json!({"metadata": {}})).await,
            send(&alt, "PUT", &path, &json!({"metadata": {}})).await,
            send(&alt, "PUT", &format!("{path}/a"), &json!({"meta": {"a": "1"}})).await,
            alt.nova("DELETE", &format!("{path}/a")).send().await,
        ];
        for answer in answers {
            answer.is(404).faults("itemNotFound", "Image not found.");
        }
        // The body is looked at first.
        refused(&alt, "PUT", &format!("{path}/a"), json!({"meta": {"b": "1"}}), "Request body and URI mismatch").await;
        refused(&alt, "POST", &path, json!({}), "'metadata' is a required property").await;
    }
}

async fn a_query_makes_metadata_fail(target: &Target) {
    let demo = target.person("demo").await;
    let (_, path) = image(target, &demo).await;
    for path in [format!("{path}?x=y"), format!("{path}/a?x=y")] {
        demo.ask(&path).await.is(500).faults("computeFault", "<class 'KeyError'>");
    }
    demo.ask(&format!("{path}?")).await.is(200);
}

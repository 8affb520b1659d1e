//! The six operations on an image's metadata in the Compute API, and what they do to the image beside it.

use serde_json::{Value, json};

use crate::person::Person;
use crate::target::Target;
use crate::wire::Answer;

crate::contracts![
    all_items_are_shown,
    one_item_is_shown,
    one_item_is_set,
    items_are_merged,
    items_are_replaced,
    one_item_is_removed,
    keys_have_some_signs_beside_letters,
    a_replacement_that_moves_a_value_to_another_key_fails,
    blanks_around_a_key_are_lost,
    keys_of_the_image_service_are_kept_unless_replaced,
    an_image_that_is_not_public_becomes_private,
    the_rest_of_an_image_stays,
    a_merge_that_changes_nothing_leaves_the_time,
    attributes_are_taken_and_stored_nowhere,
    some_attributes_are_forbidden_and_some_fail,
    an_id_that_names_no_image_is_not_sent,
    other_words_are_properties_like_any,
];

/// A new private image with these properties, and the path of its metadata.
async fn with(target: &Target, person: &Person, mut properties: Value) -> (String, String) {
    properties["visibility"] = "private".into();
    let image = target.image(person, properties).await;
    let id = image["id"].as_str().unwrap().to_owned();
    let path = format!("/images/{id}/metadata");
    (id, path)
}

async fn items(person: &Person, path: &str) -> Value {
    person.ask(path).await.is(200).json()["metadata"].clone()
}

async fn send(person: &Person, method: &'static str, path: &str, body: &Value) -> Answer {
    person.nova(method, path).json(body).send().await
}

/// PUT of one item.
async fn set(person: &Person, path: &str, key: &str, value: &str) -> Answer {
    let escaped = key.replace(' ', "%20");
    send(person, "PUT", &format!("{path}/{escaped}"), &json!({"meta": {key: value}})).await
}

async fn all_items_are_shown(target: &Target) {
    let demo = target.person("demo").await;
    let (_, path) = with(target, &demo, json!({"a": "1", "b/c": ""})).await;
    assert_eq!(demo.ask(&path).await.is(200).json(), json!({"metadata": {"a": "1", "b/c": ""}}));
    assert_eq!(target.person("reader").await.ask(&path).await.is(200).json()["metadata"]["a"], "1");
}

async fn one_item_is_shown(target: &Target) {
    let demo = target.person("demo").await;
    let (_, path) = with(target, &demo, json!({"a b": "1"})).await;
    assert_eq!(demo.ask(&format!("{path}/a%20b")).await.is(200).json(), json!({"meta": {"a b": "1"}}));
    for key in ["a", "A%20b", "%C3%A9"] {
        let answer = demo.ask(&format!("{path}/{key}")).await.is(404);
        answer.faults("itemNotFound", "The resource could not be found.");
    }
}

async fn one_item_is_set(target: &Target) {
    let demo = target.person("demo").await;
    let (id, path) = with(target, &demo, json!({"a": "1", "b": "2"})).await;
    for (key, value) in [("a", "x"), ("new", "y"), ("b", "")] {
        assert_eq!(set(&demo, &path, key, value).await.is(200).json(), json!({"meta": {key: value}}));
    }
    let expected = json!({"a": "x", "b": "", "new": "y"});
    assert_eq!(items(&demo, &path).await, expected);
    let image = demo.show(&id).await;
    assert_eq!(json!({"a": image["a"], "b": image["b"], "new": image["new"]}), expected);
}

async fn items_are_merged(target: &Target) {
    let demo = target.person("demo").await;
    let (_, path) = with(target, &demo, json!({"a": "1", "b": "2"})).await;
    let merged = send(&demo, "POST", &path, &json!({"metadata": {"a": "x", "c": "3"}})).await.is(200).json();
    assert_eq!(merged, json!({"metadata": {"a": "x", "b": "2", "c": "3"}}));
    assert_eq!(send(&demo, "POST", &path, &json!({"metadata": {}})).await.is(200).json(), merged);
    assert_eq!(items(&demo, &path).await, merged["metadata"]);
}

async fn items_are_replaced(target: &Target) {
    let demo = target.person("demo").await;
    let (_, path) = with(target, &demo, json!({"a": "1", "b": "2"})).await;
    for metadata in [json!({"a": "2", "c": "3"}), json!({"a": "3", "c": "2"}), json!({}), json!({"d": "4"})] {
        let body = json!({"metadata": metadata});
        assert_eq!(send(&demo, "PUT", &path, &body).await.is(200).json(), body);
        assert_eq!(items(&demo, &path).await, metadata);
    }
}

async fn one_item_is_removed(target: &Target) {
    let demo = target.person("demo").await;
    let (_, path) = with(target, &demo, json!({"a": "1", "b": "1"})).await;
    let item = format!("{path}/a");
    assert!(demo.nova("DELETE", &item).send().await.is(204).body.is_empty());
    demo.nova("DELETE", &item).send().await.is(404).faults("itemNotFound", "Invalid metadata key");
    assert_eq!(items(&demo, &path).await, json!({"b": "1"}));
}

async fn keys_have_some_signs_beside_letters(target: &Target) {
    let demo = target.person("demo").await;
    let (_, path) = with(target, &demo, json!({})).await;
    let longest = "k".repeat(255);
    let keys = ["k s", "k.s", "k:s", "k-s", "K_9", "-", &longest];
    for key in keys {
        set(&demo, &path, key, "v").await.is(200);
        demo.ask(&format!("{path}/{}", key.replace(' ', "%20"))).await.is(200);
    }
    let expected: Value =
        keys.iter().map(|key| ((*key).to_owned(), json!("v"))).collect::<serde_json::Map<_, _>>().into();
    assert_eq!(items(&demo, &path).await, expected);
    for key in keys {
        demo.nova("DELETE", &format!("{path}/{}", key.replace(' ', "%20"))).send().await.is(204);
    }
}

async fn a_replacement_that_moves_a_value_to_another_key_fails(target: &Target) {
    let demo = target.person("demo").await;
    let (_, path) = with(target, &demo, json!({"a": "1", "b": "1", "c": "2"})).await;
    for metadata in [json!({"d": "1"}), json!({"b": "1", "c": "2", "d": "1"})] {
        let answer = send(&demo, "PUT", &path, &json!({"metadata": metadata})).await.is(500);
        answer.faults("computeFault", "nova.exception.ImageBadRequest");
    }
    assert_eq!(items(&demo, &path).await, json!({"a": "1", "b": "1", "c": "2"}));
    // Values that change places, and a value that two keys share when one of them goes, are no such case.
    for metadata in [json!({"a": "2", "b": "1", "c": "1"}), json!({"b": "1", "c": "2"}), json!({"d": "3"})] {
        send(&demo, "PUT", &path, &json!({"metadata": metadata})).await.is(200);
        assert_eq!(items(&demo, &path).await, metadata);
    }
}

async fn blanks_around_a_key_are_lost(target: &Target) {
    let demo = target.person("demo").await;
    let (_, path) = with(target, &demo, json!({})).await;
    assert_eq!(set(&demo, &path, " k ", "v").await.is(200).json(), json!({"meta": {" k ": "v"}}));
    assert_eq!(items(&demo, &path).await, json!({"k": "v"}));
    set(&demo, &path, " ", "w").await.is(200);
    assert_eq!(items(&demo, &path).await, json!({"k": "v", "": "w"}));
    let (_, path) = with(target, &demo, json!({" k": "v"})).await;
    let answer = demo.nova("DELETE", &format!("{path}/%20k")).send().await.is(500);
    answer.faults("computeFault", "glanceclient.exc.HTTPConflict");
}

async fn keys_of_the_image_service_are_kept_unless_replaced(target: &Target) {
    let demo = target.person("demo").await;
    let (_, path) = with(target, &demo, json!({"a/b c~d": "1", "": "2", "\u{e9}": "3"})).await;
    let merged = send(&demo, "POST", &path, &json!({"metadata": {"z": "4"}})).await.is(200).json();
    assert_eq!(merged, json!({"metadata": {"a/b c~d": "1", "": "2", "\u{e9}": "3", "z": "4"}}));
    // A path is read byte by byte.
    demo.nova("DELETE", &format!("{path}/%C3%A9")).send().await.is(404).faults("itemNotFound", "Invalid metadata key");
    send(&demo, "PUT", &path, &json!({"metadata": {"z": "4"}})).await.is(200);
    assert_eq!(items(&demo, &path).await, json!({"z": "4"}));
}

async fn an_image_that_is_not_public_becomes_private(target: &Target) {
    let (demo, alt) = (target.person("demo").await, target.person("alt").await);
    let writes: [(&'static str, &str, Value); 4] = [
        ("POST", "", json!({"metadata": {}})),
        ("PUT", "", json!({"metadata": {"a": "1"}})),
        ("PUT", "/a", json!({"meta": {"a": "1"}})),
        ("DELETE", "/a", Value::Null),
    ];
    for (method, item, body) in writes {
        for (visibility, after) in [("shared", "private"), ("community", "private"), ("public", "public")] {
            let owner = if visibility == "public" { target.person("admin").await } else { demo.clone() };
            let image = target.image(&owner, json!({"a": "1", "visibility": visibility})).await;
            let id = image["id"].as_str().unwrap();
            if visibility == "shared" {
                owner.post(&format!("/v2/images/{id}/members"), &json!({"member": alt.project})).await.is(200);
                alt.show(id).await;
            }
            let request = owner.nova(method, &format!("/images/{id}/metadata{item}"));
            let request = if body.is_null() { request } else { request.json(&body) };
            assert!(matches!(request.send().await.status, 200 | 204), "{method} {visibility}");
            assert_eq!(owner.show(id).await["visibility"], after, "{method} {visibility}");
            alt.get(&format!("/v2/images/{id}")).await.is(if after == "public" { 200 } else { 404 });
        }
    }
}

async fn the_rest_of_an_image_stays(target: &Target) {
    let demo = target.person("demo").await;
    let attributes = json!({
        "name": "n", "tags": ["t"], "os_hidden": true, "protected": true, "min_disk": 2, "visibility": "private",
        "disk_format": "raw", "container_format": "bare", "a": "1",
    });
    let image = target.image(&demo, attributes).await;
    let id = image["id"].as_str().unwrap();
    demo.upload(id, b"hello").await.is(204);
    let mut before = demo.show(id).await;
    let path = format!("/images/{id}/metadata");
    send(&demo, "PUT", &path, &json!({"metadata": {"b": "2"}})).await.is(200);
    let after = demo.show(id).await;
    before.as_object_mut().unwrap().remove("a");
    before["b"] = "2".into();
    before["updated_at"] = after["updated_at"].clone();
    assert_eq!(after, before);
    demo.range(id, "bytes=0-4").await.is(206);
}

async fn a_merge_that_changes_nothing_leaves_the_time(target: &Target) {
    let demo = target.person("demo").await;
    let (id, path) = with(target, &demo, json!({"a": "1"})).await;
    let since = |image: &Value| image["updated_at"].as_str().unwrap().to_owned();
    let (before, body) = (since(&demo.show(&id).await), json!({"metadata": {"a": "1"}}));
    // Times are shown in whole seconds.
    while jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string() == before {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    send(&demo, "POST", &path, &body).await.is(200);
    assert_eq!(since(&demo.show(&id).await), before);
    send(&demo, "POST", &path, &json!({"metadata": {"a": "2"}})).await.is(200);
    assert_ne!(since(&demo.show(&id).await), before);
}

async fn attributes_are_taken_and_stored_nowhere(target: &Target) {
    let demo = target.person("demo").await;
    let (id, path) = with(target, &demo, json!({"p": "0"})).await;
    let before = demo.show(&id).await;
    for key in [
        "name",
        "visibility",
        "checksum",
        "id",
        "owner",
        "min_disk",
        "min_ram",
        "disk_format",
        "container_format",
        "os_hash_algo",
        "os_hash_value",
        "os_hidden",
        "image_id",
        "remove_props",
    ] {
        assert_eq!(set(&demo, &path, key, "v").await.is(200).json(), json!({"meta": {key: "v"}}));
    }
    let merged = send(&demo, "POST", &path, &json!({"metadata": {"name": "v", "owner": "v"}})).await.is(200).json();
    assert_eq!(merged, json!({"metadata": {"p": "0"}}));
    assert_eq!(demo.show(&id).await, before);
}

async fn some_attributes_are_forbidden_and_some_fail(target: &Target) {
    let demo = target.person("demo").await;
    let (id, path) = with(target, &demo, json!({"p": "0"})).await;
    let before = demo.show(&id).await;
    for key in ["status", "size", "virtual_size", "protected", "tags", "self", "locations"] {
        set(&demo, &path, key, "v").await.is(500).faults("computeFault", "<class 'TypeError'>");
    }
    set(&demo, &path, "stores", "v").await.is(500).faults("computeFault", "glanceclient.exc.HTTPConflict");
    for key in ["created_at", "updated_at", "deleted", "deleted_at", "file", "schema", "direct_url", "os_glance_x"] {
        set(&demo, &path, key, "v").await.is(403).faults("forbidden", &format!("Not authorized for image {id}."));
    }
    assert_eq!(demo.show(&id).await, before);
}

async fn an_id_that_names_no_image_is_not_sent(target: &Target) {
    let demo = target.person("demo").await;
    let kernel = uuid::Uuid::new_v4().to_string();
    let (_, path) = with(target, &demo, json!({"kernel_id": kernel})).await;
    for (key, value) in [("kernel_id", "none"), ("kernel_id", " None "), ("ramdisk_id", "")] {
        set(&demo, &path, key, value).await.is(200);
    }
    assert_eq!(items(&demo, &path).await, json!({"kernel_id": kernel}));
}

async fn other_words_are_properties_like_any(target: &Target) {
    let demo = target.person("demo").await;
    let (_, path) = with(target, &demo, json!({})).await;
    let words = ["is_public", "properties", "metadata", "data", "links", "property-x", "instance_uuid", "os_version"];
    for key in words {
        set(&demo, &path, key, key).await.is(200);
    }
    let expected: Value =
        words.iter().map(|key| ((*key).to_owned(), json!(key))).collect::<serde_json::Map<_, _>>().into();
    assert_eq!(items(&demo, &path).await, expected);
}

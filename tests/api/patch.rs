//! PATCH /v2/images/{id}.

use serde_json::{Value, json};

use crate::person::Person;
use crate::target::Target;
use crate::wire::Answer;

crate::contracts![
    attributes_and_properties_are_written,
    adding_writes_over_what_is_there,
    replacing_or_removing_what_is_not_there_is_a_conflict,
    attributes_cannot_be_removed,
    all_changes_are_made_or_none,
    an_empty_list_changes_nothing,
    a_change_that_changes_nothing_counts_as_one,
    only_its_own_media_types_are_taken,
    the_older_dialect_is_understood,
    a_pointer_is_one_word_with_escapes,
    an_operation_has_its_parts,
    what_only_the_service_writes_is_refused,
    values_keep_to_the_schema,
    an_owner_is_changed_by_an_administrator_only,
    a_member_may_not_publish_an_image,
    formats_are_fixed_once_there_are_bytes,
    an_image_can_be_changed_while_it_is_saving,
    protection_hinders_deletion_only,
    tags_are_replaced_as_a_whole,
    there_are_at_most_128_properties,
    a_reader_and_a_stranger_may_not_change_an_image,
];

const MEDIA_TYPE: &str = "application/openstack-images-v2.1-json-patch";

async fn patch(person: &Person, id: &str, changes: &Value) -> Answer {
    let request = person.request("PATCH", &format!("/v2/images/{id}")).json(changes);
    request.header("Content-Type", MEDIA_TYPE).send().await
}

async fn image(target: &Target, attributes: Value) -> (Person, String) {
    let demo = target.person("demo").await;
    let image = target.image(&demo, attributes).await;
    let id = image["id"].as_str().unwrap().to_owned();
    (demo, id)
}

async fn attributes_and_properties_are_written(target: &Target) {
    let (demo, id) = image(target, json!({"name": "a", "p": "1", "q": "1"})).await;
    let before = demo.show(&id).await;
    let changes = json!([
        {"op": "replace", "path": "/name", "value": "b"},
        {"op": "replace", "path": "/min_disk", "value": 3},
        {"op": "replace", "path": "/os_hidden", "value": true},
        {"op": "replace", "path": "/disk_format", "value": "qcow2"},
        {"op": "replace", "path": "/visibility", "value": "private"},
        {"op": "replace", "path": "/p", "value": "2"},
        {"op": "remove", "path": "/q"},
        {"op": "add", "path": "/r", "value": "3"},
    ]);
    let image = patch(&demo, &id, &changes).await.is(200).json();
    let mut expected = before;
    for (key, value) in [("name", json!("b")), ("min_disk", json!(3)), ("os_hidden", json!(true))] {
        expected[key] = value;
    }
    for (key, value) in [("disk_format", "qcow2"), ("visibility", "private"), ("p", "2"), ("r", "3")] {
        expected[key] = json!(value);
    }
    expected.as_object_mut().unwrap().remove("q");
    expected["updated_at"] = image["updated_at"].clone();
    assert_eq!(image, expected);
    assert_eq!(demo.show(&id).await, expected);
}

async fn adding_writes_over_what_is_there(target: &Target) {
    let (demo, id) = image(target, json!({"name": "a", "p": "1", "tags": ["t"]})).await;
    let add = |path: &str, value: Value| json!([{"op": "add", "path": path, "value": value}]);
    assert_eq!(patch(&demo, &id, &add("/p", json!("2"))).await.is(200).json()["p"], "2");
    assert_eq!(patch(&demo, &id, &add("/name", json!("b"))).await.is(200).json()["name"], "b");
    assert_eq!(patch(&demo, &id, &add("/name", Value::Null)).await.is(200).json()["name"], Value::Null);
    assert_eq!(patch(&demo, &id, &add("/disk_format", json!("iso"))).await.is(200).json()["disk_format"], "iso");
    assert_eq!(patch(&demo, &id, &add("/tags", json!(["u"]))).await.is(200).json()["tags"], json!(["u"]));
}

async fn replacing_or_removing_what_is_not_there_is_a_conflict(target: &Target) {
    let (demo, id) = image(target, json!({})).await;
    for change in [json!({"op": "replace", "path": "/p", "value": "v"}), json!({"op": "remove", "path": "/p"})] {
        patch(&demo, &id, &json!([change])).await.is(409).says("Property p does not exist.");
    }
}

async fn attributes_cannot_be_removed(target: &Target) {
    let (demo, id) = image(target, json!({"name": "a"})).await;
    for name in ["name", "tags", "protected"] {
        let change = json!([{"op": "remove", "path": format!("/{name}")}]);
        patch(&demo, &id, &change).await.is(403).says(&format!("Property {name} may not be removed."));
    }
}

async fn all_changes_are_made_or_none(target: &Target) {
    let (demo, id) = image(target, json!({"name": "a"})).await;
    let before = demo.show(&id).await;
    let changes = json!([
        {"op": "replace", "path": "/name", "value": "b"},
        {"op": "add", "path": "/p", "value": "v"},
        {"op": "remove", "path": "/q"},
    ]);
    patch(&demo, &id, &changes).await.is(409);
    assert_eq!(demo.show(&id).await, before);
}

async fn an_empty_list_changes_nothing(target: &Target) {
    let (demo, id) = image(target, json!({"name": "a"})).await;
    let before = demo.show(&id).await;
    assert_eq!(patch(&demo, &id, &json!([])).await.is(200).json(), before);
}

async fn a_change_that_changes_nothing_counts_as_one(target: &Target) {
    let (demo, id) = image(target, json!({"name": "a"})).await;
    let before = demo.show(&id).await["updated_at"].clone();
    // Shown in whole seconds.
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    let same = json!([{"op": "replace", "path": "/name", "value": "a"}]);
    assert_ne!(patch(&demo, &id, &same).await.is(200).json()["updated_at"], before);
}

async fn only_its_own_media_types_are_taken(target: &Target) {
    let (demo, id) = image(target, json!({})).await;
    let change = json!([{"op": "add", "path": "/p", "value": "v"}]);
    let request = || demo.request("PATCH", &format!("/v2/images/{id}")).json(&change);
    for kind in ["application/json", "application/json-patch+json", "text/plain"] {
        request().header("Content-Type", kind).send().await.is(415);
    }
    let answer = request().without("Content-Type").send().await.is(415);
    assert!(answer.header("accept-patch").unwrap().contains(MEDIA_TYPE));
    request().header("Content-Type", &format!("{MEDIA_TYPE}; charset=utf-8")).send().await.is(200);
}

async fn the_older_dialect_is_understood(target: &Target) {
    let (demo, id) = image(target, json!({"name": "a", "p": "1"})).await;
    let send = async |changes: Value| {
        let request = demo.request("PATCH", &format!("/v2/images/{id}")).json(&changes);
        request.header("Content-Type", "application/openstack-images-v2.0-json-patch").send().await
    };
    let changes = json!([{"replace": "/name", "value": "b"}, {"add": "/q", "value": "2"}, {"remove": "/p"}]);
    let image = send(changes).await.is(200).json();
    assert_eq!((&image["name"], &image["q"], image.get("p")), (&json!("b"), &json!("2"), None));
    send(json!([{"add": "/q", "value": "3"}])).await.is(409).says("Property q already present.");
    send(json!([{"value": "3"}])).await.is(400);
    send(json!([{"add": "/r", "remove": "/q", "value": "3"}])).await.is(400);
}

async fn a_pointer_is_one_word_with_escapes(target: &Target) {
    let (demo, id) = image(target, json!({})).await;
    let add = |path: &str| json!([{"op": "add", "path": path, "value": "v"}]);
    for path in ["p", "/a/b", "/tags/-", "//", "/a//b", "/a~2", "/a~"] {
        assert_eq!(patch(&demo, &id, &add(path)).await.status, 400, "{path}");
    }
    for (path, key) in [("/a~1b~0c", "a/b~c"), ("/ä", "ä"), ("/", "")] {
        assert_eq!(patch(&demo, &id, &add(path)).await.is(200).json()[key], "v", "{path}");
    }
}

async fn an_operation_has_its_parts(target: &Target) {
    let (demo, id) = image(target, json!({})).await;
    for changes in [
        json!({"op": "add", "path": "/p", "value": "v"}),
        json!([{}]),
        json!([5]),
        json!([{"path": "/p", "value": "v"}]),
        json!([{"op": "add", "value": "v"}]),
        json!([{"op": "add", "path": "/p"}]),
        json!([{"op": "replace", "path": "/name"}]),
        json!([{"op": "move", "path": "/p", "from": "/q"}]),
        json!([{"op": "test", "path": "/p", "value": "v"}]),
    ] {
        assert_eq!(patch(&demo, &id, &changes).await.status, 400, "{changes}");
    }
    let request = || demo.request("PATCH", &format!("/v2/images/{id}")).header("Content-Type", MEDIA_TYPE);
    request().body(*b"[{").send().await.is(400).says("Malformed JSON in request body.");
    request().send().await.is(400).says("Body expected in request.");
}

async fn what_only_the_service_writes_is_refused(target: &Target) {
    let (demo, id) = image(target, json!({})).await;
    for name in ["id", "status", "checksum", "size", "created_at", "self", "os_hash_value", "direct_url"] {
        let change = json!([{"op": "replace", "path": format!("/{name}"), "value": "x"}]);
        patch(&demo, &id, &change).await.is(403).says(&format!("Attribute '{name}' is read-only."));
    }
    for name in ["deleted", "location", "os_glance_x"] {
        let change = json!([{"op": "add", "path": format!("/{name}"), "value": "x"}]);
        patch(&demo, &id, &change).await.is(403).says(&format!("Attribute '{name}' is reserved."));
    }
    let locations = json!([{"op": "replace", "path": "/locations", "value": [{"url": "file:///x", "metadata": {}}]}]);
    patch(&demo, &id, &locations).await.is(403);
    patch(&demo, &id, &json!([{"op": "replace", "path": "/stores", "value": "slow"}])).await.is(409);
}

async fn values_keep_to_the_schema(target: &Target) {
    let (demo, id) = image(target, json!({})).await;
    for (key, value) in [
        ("name", json!(5)),
        ("name", json!("n".repeat(256))),
        ("protected", json!("true")),
        ("min_disk", json!("1")),
        ("disk_format", json!("floppy")),
        ("visibility", json!("secret")),
        ("tags", json!("t")),
        ("p", json!(5)),
        ("p", Value::Null),
    ] {
        let change = json!([{"op": "add", "path": format!("/{key}"), "value": value}]);
        patch(&demo, &id, &change).await.is(400).says("does not match schema 'image'");
    }
}

async fn an_owner_is_changed_by_an_administrator_only(target: &Target) {
    let (demo, id) = image(target, json!({"visibility": "private"})).await;
    let alt = target.person("alt").await;
    let change = json!([{"op": "replace", "path": "/owner", "value": alt.project}]);
    patch(&demo, &id, &change).await.is(403).says("Owner can't be updated by non admin.");
    let admin = target.person("admin").await;
    assert_eq!(patch(&admin, &id, &change).await.is(200).json()["owner"], alt.project);
    demo.get(&format!("/v2/images/{id}")).await.is(404);
    alt.delete(&id).await.is(204);
}

async fn a_member_may_not_publish_an_image(target: &Target) {
    let (demo, id) = image(target, json!({})).await;
    let change = json!([{"op": "replace", "path": "/visibility", "value": "public"}]);
    patch(&demo, &id, &change).await.is(403);
    assert_eq!(demo.show(&id).await["visibility"], "shared");
}

async fn formats_are_fixed_once_there_are_bytes(target: &Target) {
    let demo = target.person("demo").await;
    let id = target.filled(&demo, b"data").await;
    for name in ["disk_format", "container_format"] {
        let change = json!([{"op": "replace", "path": format!("/{name}"), "value": "ami"}]);
        let words = format!("Attribute {name} can be only replaced for a queued image.");
        patch(&demo, &id, &change).await.is(403).says(&words);
    }
    let rest = json!([{"op": "replace", "path": "/name", "value": "b"}]);
    assert_eq!(patch(&demo, &id, &rest).await.is(200).json()["name"], "b");
}

async fn an_image_can_be_changed_while_it_is_saving(target: &Target) {
    let (demo, id) = image(target, json!({"disk_format": "raw", "container_format": "bare"})).await;
    let upload = demo.put_file(&id).header("Content-Length", "10");
    let mut stream = upload.begin().await;
    tokio::io::AsyncWriteExt::write_all(&mut stream, b"hello").await.unwrap();
    while demo.show(&id).await["status"] != "saving" {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let change = json!([{"op": "add", "path": "/p", "value": "v"}]);
    let image = patch(&demo, &id, &change).await.is(200).json();
    assert_eq!((&image["status"], &image["p"]), (&json!("saving"), &json!("v")));
    tokio::io::AsyncWriteExt::write_all(&mut stream, b"world").await.unwrap();
    upload.end(stream).await.unwrap().is(204);
    let image = demo.show(&id).await;
    assert_eq!((&image["status"], &image["size"]), (&json!("active"), &json!(10)));
}

async fn protection_hinders_deletion_only(target: &Target) {
    let (demo, id) = image(target, json!({"protected": true})).await;
    let rename = json!([{"op": "replace", "path": "/name", "value": "b"}]);
    patch(&demo, &id, &rename).await.is(200);
    demo.delete(&id).await.is(403);
    patch(&demo, &id, &json!([{"op": "replace", "path": "/protected", "value": false}])).await.is(200);
    demo.delete(&id).await.is(204);
}

async fn tags_are_replaced_as_a_whole(target: &Target) {
    let (demo, id) = image(target, json!({"tags": ["a", "b"]})).await;
    let change = json!([{"op": "replace", "path": "/tags", "value": ["b", "é", "c", "b"]}]);
    let mut tags: Vec<String> =
        serde_json::from_value(patch(&demo, &id, &change).await.is(200).json()["tags"].clone()).unwrap();
    tags.sort_unstable();
    assert_eq!(tags, ["b", "c", "é"]);
}

async fn there_are_at_most_128_properties(target: &Target) {
    let properties: Value = (0..128).map(|n| (format!("p{n}"), json!("x"))).collect();
    let (demo, id) = image(target, properties).await;
    patch(&demo, &id, &json!([{"op": "add", "path": "/one_more", "value": "x"}])).await.is(413).says("Maximum: 128");
    patch(&demo, &id, &json!([{"op": "replace", "path": "/p1", "value": "y"}])).await.is(200);
}

async fn a_reader_and_a_stranger_may_not_change_an_image(target: &Target) {
    let (_, id) = image(target, json!({"visibility": "private"})).await;
    let change = json!([{"op": "replace", "path": "/name", "value": "b"}]);
    let reader = patch(&target.person("reader").await, &id, &change).await.is(403);
    reader.says("You are not authorized to complete modify_image action.");
    patch(&target.person("alt").await, &id, &change).await.is(404);
    let (_, open) = image(target, json!({"visibility": "community"})).await;
    patch(&target.person("alt").await, &open, &change).await.is(403);
}

//! GET and DELETE of one image in the Compute API: details, status words, links, who may.

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use crate::person::Person;
use crate::target::Target;

crate::contracts![
    details_are_the_same_in_a_listing_and_alone,
    every_detail_is_shown,
    a_snapshot_names_its_server,
    the_disk_configuration_is_shown_where_the_image_has_one,
    a_queued_image_is_saving_at_a_quarter,
    an_image_whose_data_comes_is_saving_at_a_half,
    an_active_image_has_its_size,
    what_has_no_word_is_unknown,
    what_an_import_notes_is_metadata_that_stays,
    some_properties_are_read_as_json,
    a_property_that_should_be_json_breaks_the_listing,
    an_unknown_image_is_not_found,
    the_images_of_others_are_shown_as_far_as_they_are_seen,
    deletion_is_for_good,
    deletion_is_forbidden_to_others_and_while_protected,
];

/// The details of an image.
async fn details(person: &Person, id: &str) -> Value {
    person.ask(&format!("/images/{id}")).await.is(200).json()["image"].clone()
}

async fn details_are_the_same_in_a_listing_and_alone(target: &Target) {
    let demo = target.person("demo").await;
    let mark = uuid::Uuid::new_v4().to_string();
    let attributes = json!({"instance_uuid": mark, "auto_disk_config": "yes", "a": "1", "min_disk": 2});
    let image = target.image(&demo, attributes).await;
    let listed = demo.ask(&format!("/images/detail?server={mark}")).await.is(200).json();
    assert_eq!(listed, json!({"images": [details(&demo, image["id"].as_str().unwrap()).await]}));
}

async fn every_detail_is_shown(target: &Target) {
    let demo = target.person("demo").await;
    let attributes = json!({"name": "n", "min_disk": 3, "min_ram": 5, "a": "1", "b c~d/e": "", "tags": ["t"]});
    let image = target.image(&demo, attributes).await;
    let id = image["id"].as_str().unwrap();
    let compute = demo.compute.as_deref().unwrap();
    let expected = json!({
        "id": id,
        "name": "n",
        "minDisk": 3,
        "minRam": 5,
        "metadata": {"a": "1", "b c~d/e": ""},
        "created": image["created_at"],
        "updated": image["updated_at"],
        "status": "SAVING",
        "progress": 25,
        "OS-EXT-IMG-SIZE:size": 0,
        "links": [
            {"rel": "self", "href": format!("{compute}/images/{id}")},
            {"rel": "bookmark", "href": format!("{}/images/{id}", compute.trim_end_matches("/v2.1"))},
            {"rel": "alternate", "type": "application/vnd.openstack.image", "href": format!("{}/images/{id}", demo.glance)},
        ],
    });
    assert_eq!(details(&demo, id).await, expected);
    demo.ask(&format!("/images/{id}?foo=1")).await.is(200);
}

async fn a_snapshot_names_its_server(target: &Target) {
    let demo = target.person("demo").await;
    let server = uuid::Uuid::new_v4().to_string();
    let image = target.image(&demo, json!({"instance_uuid": server})).await;
    let compute = demo.compute.as_deref().unwrap();
    let links = json!([
        {"rel": "self", "href": format!("{compute}/servers/{server}")},
        {"rel": "bookmark", "href": format!("{}/servers/{server}", compute.trim_end_matches("/v2.1"))},
    ]);
    let shown = details(&demo, image["id"].as_str().unwrap()).await;
    assert_eq!(shown["server"], json!({"id": server, "links": links}));
    assert_eq!(shown["metadata"], json!({"instance_uuid": server}));
}

async fn the_disk_configuration_is_shown_where_the_image_has_one(target: &Target) {
    let demo = target.person("demo").await;
    for (word, shown) in [("True", "AUTO"), ("yes", "AUTO"), ("1", "AUTO"), ("False", "MANUAL"), ("junk", "MANUAL")] {
        let image = target.image(&demo, json!({"auto_disk_config": word})).await;
        assert_eq!(details(&demo, image["id"].as_str().unwrap()).await["OS-DCF:diskConfig"], shown, "{word}");
    }
}

async fn a_queued_image_is_saving_at_a_quarter(target: &Target) {
    let demo = target.person("demo").await;
    let shown = details(&demo, &target.empty(&demo).await).await;
    assert_eq!((&shown["status"], &shown["progress"], &shown["name"]), (&json!("SAVING"), &json!(25), &Value::Null));
}

async fn an_image_whose_data_comes_is_saving_at_a_half(target: &Target) {
    let demo = target.person("demo").await;
    let id = target.empty(&demo).await;
    let upload = demo.put_file(&id).header("Content-Length", "10");
    let mut stream = upload.begin().await;
    stream.write_all(b"hello").await.unwrap();
    demo.until(&id, "saving").await;
    let shown = details(&demo, &id).await;
    assert_eq!((&shown["status"], &shown["progress"]), (&json!("SAVING"), &json!(50)));
    stream.write_all(b"world").await.unwrap();
    upload.end(stream).await.unwrap().is(204);
    assert_eq!(details(&demo, &id).await["status"], "ACTIVE");
}

async fn an_active_image_has_its_size(target: &Target) {
    let demo = target.person("demo").await;
    let shown = details(&demo, &target.filled(&demo, b"hello").await).await;
    let facts = (&shown["status"], &shown["progress"], &shown["OS-EXT-IMG-SIZE:size"]);
    assert_eq!(facts, (&json!("ACTIVE"), &json!(100), &json!(5)));
}

/// The id of an image that an import has left in `importing`.
async fn badly_imported(target: &Target, person: &Person) -> String {
    let image = target.image(person, json!({"disk_format": "qcow2", "container_format": "bare"})).await;
    let id = image["id"].as_str().unwrap().to_owned();
    person.stage(&id, b"hello").await.is(204);
    person.import(&id, &json!({"method": {"name": "glance-direct"}})).await.is(202);
    assert_eq!(person.settled(&id).await["status"], "importing");
    id
}

async fn what_has_no_word_is_unknown(target: &Target) {
    let demo = target.person("demo").await;
    let deactivated = target.filled(&demo, b"hello").await;
    demo.act(&deactivated, "deactivate").await.is(204);
    let uploading = target.empty(&demo).await;
    demo.stage(&uploading, b"hello").await.is(204);
    let importing = badly_imported(target, &demo).await;
    for id in [deactivated, uploading, importing] {
        let shown = details(&demo, &id).await;
        assert_eq!((&shown["status"], &shown["progress"]), (&json!("UNKNOWN"), &json!(0)));
    }
}

async fn what_an_import_notes_is_metadata_that_stays(target: &Target) {
    let demo = target.person("demo").await;
    let id = badly_imported(target, &demo).await;
    let path = format!("/images/{id}/metadata");
    let noted = demo.ask(&path).await.is(200).json()["metadata"].clone();
    assert!(noted.get("os_glance_failed_import").is_some(), "{noted}");
    let item = demo.nova("PUT", &format!("{path}/a")).json(&json!({"meta": {"a": "b"}}));
    item.send().await.is(200);
    let replaced = demo.nova("PUT", &path).json(&json!({"metadata": {"a": "c"}})).send().await.is(403);
    replaced.faults("forbidden", &format!("Not authorized for image {id}."));
}

async fn some_properties_are_read_as_json(target: &Target) {
    let demo = target.person("demo").await;
    let attributes = json!({"mappings": "[1, {\"a\": null}]", "block_device_mapping": "[]", "other": "[]"});
    let image = target.image(&demo, attributes).await;
    let id = image["id"].as_str().unwrap();
    let parsed = json!({"mappings": [1, {"a": null}], "block_device_mapping": [], "other": "[]"});
    assert_eq!(details(&demo, id).await["metadata"], parsed);
    assert_eq!(
        demo.ask(&format!("/images/{id}/metadata/mappings")).await.json(),
        json!({"meta": {"mappings": parsed["mappings"]}})
    );
}

/// By somebody whose images no other contract lists meanwhile.
async fn a_property_that_should_be_json_breaks_the_listing(target: &Target) {
    let small = target.limited().await;
    let image = target.image(&small, json!({"mappings": "junk"})).await;
    let id = image["id"].as_str().unwrap();
    for path in ["/images", "/images/detail", &format!("/images/{id}"), &format!("/images/{id}/metadata")] {
        small.ask(path).await.is(500).faults("computeFault", "json.decoder.JSONDecodeError");
    }
    small.delete(id).await.is(204);
    small.ask("/images/detail").await.is(200);
}

async fn an_unknown_image_is_not_found(target: &Target) {
    let demo = target.person("demo").await;
    let (id, gone) = (target.empty(&demo).await, target.empty(&demo).await);
    demo.delete(&gone).await.is(204);
    for unknown in
        [&gone, &id.to_uppercase().replace('-', ""), "x", "x%20y", "%C3%A9", &uuid::Uuid::new_v4().to_string()]
    {
        let path = format!("/images/{unknown}");
        demo.ask(&path).await.is(404).faults("itemNotFound", "Image not found.");
        demo.nova("DELETE", &path).send().await.is(404).faults("itemNotFound", "Image not found.");
        demo.ask(&format!("{path}/metadata")).await.is(404).faults("itemNotFound", "Image not found.");
    }
}

async fn the_images_of_others_are_shown_as_far_as_they_are_seen(target: &Target) {
    let (demo, alt) = (target.person("demo").await, target.person("alt").await);
    for (visibility, status) in [("private", 404), ("shared", 404), ("community", 200)] {
        let image = target.image(&demo, json!({"visibility": visibility})).await;
        let path = format!("/images/{}", image["id"].as_str().unwrap());
        alt.ask(&path).await.is(status);
        alt.ask(&format!("{path}/metadata")).await.is(status);
        target.person("reader").await.ask(&path).await.is(200);
    }
    let hidden = target.image(&demo, json!({"os_hidden": true})).await;
    demo.ask(&format!("/images/{}", hidden["id"].as_str().unwrap())).await.is(200);
}

async fn deletion_is_for_good(target: &Target) {
    let demo = target.person("demo").await;
    let path = format!("/images/{}", target.filled(&demo, b"x").await);
    let answer = demo.nova("DELETE", &path).send().await.is(204);
    assert!(answer.body.is_empty());
    demo.nova("DELETE", &path).send().await.is(404).faults("itemNotFound", "Image not found.");
    demo.ask(&path).await.is(404);
    demo.get(&format!("/v2{path}")).await.is(404);
}

async fn deletion_is_forbidden_to_others_and_while_protected(target: &Target) {
    let (demo, alt) = (target.person("demo").await, target.person("alt").await);
    let (own, community) = (target.empty(&demo).await, target.image(&demo, json!({"visibility": "community"})).await);
    let protected = target.image(&demo, json!({"protected": true})).await;
    let delete = async |who: &Person, id: &str| who.nova("DELETE", &format!("/images/{id}")).send().await;
    let words = "You are not allowed to delete the image.";
    delete(&alt, &own).await.is(404);
    delete(&alt, community["id"].as_str().unwrap()).await.is(403).faults("forbidden", words);
    delete(&target.person("reader").await, &own).await.is(403).faults("forbidden", words);
    delete(&demo, protected["id"].as_str().unwrap()).await.is(403).faults("forbidden", words);
    delete(&target.person("demo2").await, &own).await.is(204);
    delete(&target.person("admin").await, community["id"].as_str().unwrap()).await.is(204);
}

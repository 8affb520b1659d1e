//! POST /v2/images.

use serde_json::{Value, json};

use crate::target::Target;

crate::contracts![
    an_empty_object_makes_an_image,
    a_new_image_tells_where_it_is_and_how_to_fill_it,
    times_are_whole_seconds_in_utc,
    an_id_of_ones_own_is_kept_as_written,
    an_id_is_taken_for_ever,
    an_id_that_is_no_uuid_is_refused,
    any_name_up_to_255_characters_is_taken,
    a_name_that_is_too_long_or_beyond_the_basic_plane_is_refused,
    names_are_not_unique,
    values_of_the_wrong_type_are_refused,
    words_that_are_not_in_the_schema_are_refused,
    minima_are_numbers_of_31_bits,
    additional_properties_stand_beside_the_attributes,
    at_most_128_properties_and_128_tags,
    tags_are_a_set,
    formats_are_not_compared_with_each_other,
    what_only_the_service_may_say_is_refused,
    hashes_are_ignored,
    a_member_may_not_publish_and_an_administrator_may,
    an_image_belongs_to_the_project_of_its_maker,
    a_reader_may_not_create,
    the_count_of_images_is_limited,
    the_content_type_does_not_matter,
];

async fn refused(target: &Target, attributes: Value, status: u16, words: &str) {
    let demo = target.person("demo").await;
    let what = attributes.to_string();
    let answer = demo.post("/v2/images", &attributes).await;
    assert_eq!(answer.status, status, "{what:.200}: {}", answer.text());
    answer.says(words);
}

async fn an_empty_object_makes_an_image(target: &Target) {
    let demo = target.person("demo").await;
    let image = target.image(&demo, json!({})).await;
    let id = image["id"].as_str().unwrap();
    let expected = json!({
        "id": id, "name": null, "status": "queued", "visibility": "shared", "owner": demo.project,
        "size": null, "virtual_size": null, "checksum": null, "os_hash_algo": null, "os_hash_value": null,
        "disk_format": null, "container_format": null, "protected": false, "os_hidden": false,
        "min_disk": 0, "min_ram": 0, "tags": [],
        "created_at": image["created_at"], "updated_at": image["created_at"],
        "self": format!("/v2/images/{id}"), "file": format!("/v2/images/{id}/file"), "schema": "/v2/schemas/image",
    });
    assert_eq!(image, expected);
}

async fn a_new_image_tells_where_it_is_and_how_to_fill_it(target: &Target) {
    let demo = target.person("demo").await;
    let answer = demo.post("/v2/images", &json!({})).await.is(201);
    let id = answer.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(answer.header("location"), Some(format!("{}/v2/images/{id}", demo.glance).as_str()));
    let methods = demo.get("/v2/info/import").await.is(200).json()["import-methods"]["value"].clone();
    let methods: Vec<_> = methods.as_array().unwrap().iter().map(|method| method.as_str().unwrap()).collect();
    let told = Some(methods.join(",")).filter(|told| !told.is_empty());
    assert_eq!(answer.header("openstack-image-import-methods"), told.as_deref());
    // Behind the stores come the service's own places, once an import has been run.
    let stores = demo.stores().await.join(",");
    assert!(answer.header("openstack-image-store-ids").unwrap().starts_with(&stores), "{stores}");
    demo.delete(&id).await.is(204);
}

async fn times_are_whole_seconds_in_utc(target: &Target) {
    let demo = target.person("demo").await;
    let image = target.image(&demo, json!({})).await;
    let created = image["created_at"].as_str().unwrap();
    assert_eq!(created.len(), "2026-01-01T00:00:00Z".len(), "{created}");
    let at: jiff::Timestamp = created.parse().unwrap();
    assert!((at - jiff::Timestamp::now()).total(jiff::Unit::Second).unwrap().abs() < 120.0, "{created}");
}

async fn an_id_of_ones_own_is_kept_as_written(target: &Target) {
    let demo = target.person("demo").await;
    let id = uuid::Uuid::new_v4().to_string();
    assert_eq!(target.image(&demo, json!({"id": id})).await["id"], id);
    let upper = uuid::Uuid::new_v4().to_string().to_uppercase();
    assert_eq!(target.image(&demo, json!({"id": upper})).await["id"], upper);
}

async fn an_id_is_taken_for_ever(target: &Target) {
    let demo = target.person("demo").await;
    let id = target.image(&demo, json!({})).await["id"].as_str().unwrap().to_owned();
    let words = format!("Image ID {id} already exists!");
    demo.post("/v2/images", &json!({"id": id})).await.is(409).says(&words);
    target.person("alt").await.post("/v2/images", &json!({"id": id})).await.is(409).says(&words);
    demo.delete(&id).await.is(204);
    demo.post("/v2/images", &json!({"id": id})).await.is(409).says(&words);
}

async fn an_id_that_is_no_uuid_is_refused(target: &Target) {
    for id in [json!("x"), json!(""), json!("00000000-aaaa-4bbb-8ccc-00000000000"), json!(null), json!(7)] {
        refused(target, json!({"id": id}), 400, "does not match schema 'image'").await;
    }
}

async fn any_name_up_to_255_characters_is_taken(target: &Target) {
    let demo = target.person("demo").await;
    let long = "n".repeat(255);
    for name in [
        json!(null),
        json!(""),
        json!(long),
        json!("a/b"),
        json!("."),
        json!(".."),
        json!("a\n\u{0}\u{1b}b"),
        json!("Grüße 漢字"),
    ] {
        assert_eq!(target.image(&demo, json!({"name": name})).await["name"], name);
    }
}

async fn a_name_that_is_too_long_or_beyond_the_basic_plane_is_refused(target: &Target) {
    refused(target, json!({"name": "n".repeat(256)}), 400, "does not match schema 'image'").await;
    refused(target, json!({"name": "a😀"}), 400, "4 byte unicode characters").await;
}

async fn names_are_not_unique(target: &Target) {
    let demo = target.person("demo").await;
    let one = target.image(&demo, json!({"name": "twin"})).await;
    let two = target.image(&demo, json!({"name": "twin"})).await;
    assert_ne!(one["id"], two["id"]);
}

async fn values_of_the_wrong_type_are_refused(target: &Target) {
    for wrong in [
        json!({"name": 7}),
        json!({"protected": "true"}),
        json!({"os_hidden": 1}),
        json!({"min_disk": "1"}),
        json!({"min_ram": 1.5}),
        json!({"tags": "a"}),
        json!({"tags": [7]}),
        json!({"tags": ["t".repeat(256)]}),
        json!({"p": null}),
        json!({"p": 5}),
        json!({"p": ["a"]}),
    ] {
        refused(target, wrong, 400, "Provided object does not match schema 'image'").await;
    }
}

async fn words_that_are_not_in_the_schema_are_refused(target: &Target) {
    for wrong in [json!({"disk_format": "floppy"}), json!({"container_format": "box"}), json!({"visibility": "secret"})]
    {
        refused(target, wrong, 400, "Failed validating").await;
    }
}

async fn minima_are_numbers_of_31_bits(target: &Target) {
    let demo = target.person("demo").await;
    for attribute in ["min_disk", "min_ram"] {
        for wrong in [-1, 2_147_483_648_i64] {
            assert_eq!(demo.post("/v2/images", &json!({attribute: wrong})).await.status, 400, "{attribute} {wrong}");
        }
        assert_eq!(target.image(&demo, json!({attribute: 2_147_483_647})).await[attribute], 2_147_483_647);
    }
}

async fn additional_properties_stand_beside_the_attributes(target: &Target) {
    let demo = target.person("demo").await;
    let long = "v".repeat(70_000);
    let image = target.image(&demo, json!({"p": "", "a/b c~d": "x", "": "y", "long": long, "ü": "漢"})).await;
    assert_eq!((&image["p"], &image["a/b c~d"], &image[""]), (&json!(""), &json!("x"), &json!("y")));
    assert_eq!((&image["long"], &image["ü"]), (&json!(long), &json!("漢")));
    assert_eq!(demo.show(image["id"].as_str().unwrap()).await, image);
    assert_eq!(demo.post("/v2/images", &json!({"k".repeat(256): "x"})).await.status, 400);
}

async fn at_most_128_properties_and_128_tags(target: &Target) {
    let demo = target.person("demo").await;
    let properties = |count: usize| -> Value { (0..count).map(|n| (format!("p{n}"), json!("x"))).collect() };
    let tags = |count: usize| json!({"tags": (0..count).map(|n| format!("t{n}")).collect::<Vec<_>>()});
    target.image(&demo, properties(128)).await;
    demo.post("/v2/images", &properties(129)).await.is(413).says("Attempted: 129, Maximum: 128");
    target.image(&demo, tags(128)).await;
    demo.post("/v2/images", &tags(129)).await.is(413).says("Attempted: 129, Maximum: 128");
}

async fn tags_are_a_set(target: &Target) {
    let demo = target.person("demo").await;
    let image = target.image(&demo, json!({"tags": ["b", "a", "b", "", "a/b"]})).await;
    let mut tags: Vec<_> = image["tags"].as_array().unwrap().iter().map(|tag| tag.as_str().unwrap()).collect();
    tags.sort_unstable();
    assert_eq!(tags, ["", "a", "a/b", "b"]);
}

async fn formats_are_not_compared_with_each_other(target: &Target) {
    let demo = target.person("demo").await;
    for (disk, container) in [("aki", "bare"), ("ami", "aki"), ("qcow2", "docker")] {
        target.image(&demo, json!({"disk_format": disk, "container_format": container})).await;
    }
}

async fn what_only_the_service_may_say_is_refused(target: &Target) {
    for attribute in ["status", "checksum", "created_at", "updated_at", "self", "file", "schema", "direct_url"] {
        let words = format!("Attribute '{attribute}' is read-only.");
        refused(target, json!({attribute: "active"}), 403, &words).await;
    }
    for attribute in ["size", "virtual_size"] {
        refused(target, json!({attribute: 1}), 403, &format!("Attribute '{attribute}' is read-only.")).await;
    }
    for attribute in ["deleted", "deleted_at", "location", "os_glance_x"] {
        refused(target, json!({attribute: "x"}), 403, &format!("Attribute '{attribute}' is reserved.")).await;
    }
}

async fn hashes_are_ignored(target: &Target) {
    let demo = target.person("demo").await;
    let image = target.image(&demo, json!({"os_hash_algo": "sha512", "os_hash_value": "00"})).await;
    assert_eq!((&image["os_hash_algo"], &image["os_hash_value"]), (&Value::Null, &Value::Null));
}

async fn a_member_may_not_publish_and_an_administrator_may(target: &Target) {
    let demo = target.person("demo").await;
    refused(target, json!({"visibility": "public"}), 403, "You are not authorized").await;
    for visibility in ["private", "shared", "community"] {
        assert_eq!(target.image(&demo, json!({"visibility": visibility})).await["visibility"], visibility);
    }
    let admin = target.person("admin").await;
    assert_eq!(target.image(&admin, json!({"visibility": "public"})).await["visibility"], "public");
}

async fn an_image_belongs_to_the_project_of_its_maker(target: &Target) {
    let (demo, alt, admin) = (target.person("demo").await, target.person("alt").await, target.person("admin").await);
    demo.post("/v2/images", &json!({"owner": alt.project})).await.is(403);
    assert_eq!(target.image(&demo, json!({"owner": demo.project})).await["owner"], demo.project);
    assert_eq!(target.image(&admin, json!({"owner": alt.project})).await["owner"], alt.project);
}

async fn a_reader_may_not_create(target: &Target) {
    let reader = target.person("reader").await;
    reader.post("/v2/images", &json!({})).await.is(403).says("You are not authorized to complete add_image action.");
}

async fn the_count_of_images_is_limited(target: &Target) {
    let small = target.limited().await;
    for _ in 0..3 {
        target.image(&small, json!({})).await;
    }
    small.post("/v2/images", &json!({})).await.is(413).says("image_count_total is over limit of 3");
}

async fn the_content_type_does_not_matter(target: &Target) {
    let demo = target.person("demo").await;
    for kind in ["text/plain", "application/octet-stream"] {
        let post = demo.request("POST", "/v2/images").json(&json!({})).header("Content-Type", kind);
        let image = post.send().await.is(201).json();
        demo.delete(image["id"].as_str().unwrap()).await.is(204);
    }
}

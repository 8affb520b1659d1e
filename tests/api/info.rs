//! Schemas, import methods, stores, usage.

use serde_json::json;

use crate::target::Target;

crate::contracts![
    the_schemas_need_a_token,
    the_image_schema_names_every_attribute_and_its_words,
    the_image_schema_says_what_is_read_only,
    the_images_schema_is_a_page_of_images,
    the_import_methods_are_listed,
    the_stores_are_listed_and_one_is_the_default,
    the_details_of_stores_are_the_administrators,
    usage_counts_images_and_their_mebibytes,
];

async fn the_schemas_need_a_token(target: &Target) {
    let demo = target.person("demo").await;
    for schema in ["image", "images", "member", "members"] {
        let path = format!("/v2/schemas/{schema}");
        assert_eq!(demo.get(&path).await.is(200).json()["name"], schema);
        demo.request("GET", &path).without("X-Auth-Token").send().await.is(401);
    }
}

async fn the_image_schema_names_every_attribute_and_its_words(target: &Target) {
    let schema = target.person("demo").await.get("/v2/schemas/image").await.is(200).json();
    assert_eq!(schema["additionalProperties"], json!({"type": "string"}));
    let words = |attribute: &str| -> Vec<String> {
        let listed = schema["properties"][attribute]["enum"].as_array().unwrap();
        let mut words: Vec<_> = listed.iter().map(|word| word.as_str().unwrap_or("null").to_owned()).collect();
        words.sort();
        words
    };
    assert_eq!(words("disk_format").join(" "), "aki ami ari iso null ploop qcow2 raw vdi vhd vhdx vmdk");
    assert_eq!(words("container_format").join(" "), "aki ami ari bare compressed docker null ova ovf");
    assert_eq!(words("visibility").join(" "), "community private public shared");
    assert_eq!(
        words("status").join(" "),
        "active deactivated deleted importing killed pending_delete queued saving uploading"
    );
}

async fn the_image_schema_says_what_is_read_only(target: &Target) {
    let schema = target.person("demo").await.get("/v2/schemas/image").await.is(200).json();
    let properties = schema["properties"].as_object().unwrap();
    let mut fixed: Vec<_> =
        properties.iter().filter(|(_, entry)| entry["readOnly"] == true).map(|(name, _)| name.as_str()).collect();
    fixed.sort_unstable();
    let expected = "checksum created_at direct_url file os_hash_algo os_hash_value schema self size status stores \
                    updated_at virtual_size";
    assert_eq!(fixed.join(" "), expected);
}

async fn the_images_schema_is_a_page_of_images(target: &Target) {
    let schema = target.person("demo").await.get("/v2/schemas/images").await.is(200).json();
    assert_eq!(schema["properties"]["images"]["type"], "array");
    assert_eq!(schema["properties"]["images"]["items"]["name"], "image");
}

async fn the_import_methods_are_listed(target: &Target) {
    let methods = target.person("demo").await.get("/v2/info/import").await.is(200).json()["import-methods"].clone();
    assert_eq!(methods["type"], "array");
    for method in methods["value"].as_array().unwrap() {
        assert!(["glance-direct", "web-download", "copy-image"].contains(&method.as_str().unwrap()), "{method}");
    }
}

async fn the_stores_are_listed_and_one_is_the_default(target: &Target) {
    let stores = target.person("demo").await.get("/v2/info/stores").await.is(200).json()["stores"].clone();
    let stores = stores.as_array().unwrap();
    let defaults: Vec<_> = stores.iter().filter(|store| store.get("default").is_some()).collect();
    assert_eq!((defaults.len(), &defaults[0]["id"]), (1, &json!("fast")));
    assert_eq!(defaults[0]["default"], "true", "a word, not a boolean");
    assert!(stores.iter().all(|store| store["description"].is_string()));
}

async fn the_details_of_stores_are_the_administrators(target: &Target) {
    target.person("demo").await.get("/v2/info/stores/detail").await.is(403);
    let stores = target.person("admin").await.get("/v2/info/stores/detail").await.is(200).json();
    assert_eq!(stores["stores"][0]["type"], "file");
}

async fn usage_counts_images_and_their_mebibytes(target: &Target) {
    let small = target.limited().await;
    let usage = small.get("/v2/info/usage").await.is(200).json()["usage"].clone();
    for (resource, limit) in
        [("image_size_total", 5), ("image_stage_total", 5), ("image_count_total", 3), ("image_count_uploading", 1)]
    {
        assert_eq!(usage[resource]["limit"], limit, "{resource}");
        assert!(usage[resource]["usage"].is_u64(), "{resource}");
    }
}

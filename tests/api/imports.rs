//! POST /v2/images/{id}/import, and what comes of it behind the answer.

use serde_json::{Value, json};

use crate::person::Person;
use crate::target::Target;

crate::contracts![
    staged_bytes_become_the_image_s,
    an_import_names_its_stores,
    a_body_names_a_method,
    stores_are_named_once_and_exist,
    an_image_must_be_ready_for_its_import,
    a_staged_image_that_is_not_what_it_says_stays_importing,
    a_tolerant_import_that_fails_leaves_the_image_queued,
    a_download_becomes_the_image,
    redirects_are_followed_where_they_may,
    a_download_that_fails_leaves_the_image_queued,
    a_download_can_be_tried_again,
    a_download_that_is_not_what_the_image_says_spoils_it,
    an_address_that_is_no_web_server_s_is_refused,
    a_download_is_seen_while_it_lasts,
    an_image_can_be_deleted_while_it_is_imported,
    a_copy_is_the_administrator_s,
    what_an_import_leaves_cannot_be_written,
    who_may_import,
];

const FAILED: &str = "os_glance_failed_import";
const TO_FILL: &str = "os_glance_importing_to_stores";
const TASK: &str = "os_glance_import_task";

fn direct() -> Value {
    json!({"method": {"name": "glance-direct"}})
}

fn web(url: &str) -> Value {
    json!({"method": {"name": "web-download", "uri": url}})
}

async fn staged(target: &Target, demo: &Person, data: &[u8]) -> String {
    let id = target.empty(demo).await;
    demo.stage(&id, data).await.is(204);
    id
}

async fn of_format(target: &Target, demo: &Person, format: &str) -> String {
    let image = target.image(demo, json!({"disk_format": format, "container_format": "bare"})).await;
    image["id"].as_str().unwrap().to_owned()
}

fn marks(image: &Value) -> (&Value, &Value) {
    (&image[TO_FILL], &image[FAILED])
}

fn none_left(image: &Value) {
    assert_eq!(marks(image), (&json!(""), &json!("")), "{image}");
    assert!(image.get(TASK).is_none(), "{image}");
}

async fn staged_bytes_become_the_image_s(target: &Target) {
    let demo = target.person("demo").await;
    let id = staged(target, &demo, b"hello").await;
    assert_eq!(demo.import(&id, &direct()).await.is(202).body, b"");
    let image = demo.settled(&id).await;
    assert_eq!((&image["status"], &image["size"], &image["virtual_size"]), (&json!("active"), &json!(5), &json!(5)));
    assert_eq!(image["checksum"], "5d41402abc4b2a76b9719d911017c592");
    assert_eq!((&image["os_hash_algo"], &image["stores"]), (&json!("sha512"), &json!("fast")));
    none_left(&image);
    assert_eq!(demo.get_file(&id).send().await.is(200).body, b"hello");
}

async fn an_import_names_its_stores(target: &Target) {
    let demo = target.person("demo").await;
    for (more, stores) in [
        (json!({"stores": ["slow"]}), "slow"),
        (json!({"stores": ["slow", "fast"]}), "slow,fast"),
        (json!({"all_stores": true}), "fast,slow"),
        (json!({"all_stores": false, "all_stores_must_succeed": false}), "fast"),
    ] {
        let id = staged(target, &demo, b"hello").await;
        let mut body = direct();
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        demo.import(&id, &body).await.is(202);
        assert_eq!(demo.settled(&id).await["stores"], stores);
    }
    let id = staged(target, &demo, b"hello").await;
    let request = demo.request("POST", &format!("/v2/images/{id}/import")).json(&direct());
    request.header("X-Image-Meta-Store", "slow").send().await.is(202);
    assert_eq!(demo.settled(&id).await["stores"], "slow");
}

async fn a_body_names_a_method(target: &Target) {
    let demo = target.person("demo").await;
    let id = staged(target, &demo, b"hello").await;
    for (body, status, words) in [
        (json!({}), 400, "Import request requires a 'method' field."),
        (json!({"method": {}}), 400, "Import request requires a 'name' field."),
        (json!({"method": {"name": "bogus"}}), 400, "Unknown import method name 'bogus'."),
        (json!({"method": {"name": "glance-direct"}, "all_stores": "x"}), 400, "'all_stores' must be boolean"),
        (json!({"method": "x"}), 500, "The server has either erred"),
        (json!([]), 500, "The server has either erred"),
    ] {
        demo.import(&id, &body).await.is(status).says(words);
    }
    demo.get(&format!("/v2/images/{id}/import")).await.is(405);
    assert_eq!(demo.show(&id).await["status"], "uploading");
}

async fn stores_are_named_once_and_exist(target: &Target) {
    let demo = target.person("demo").await;
    let id = staged(target, &demo, b"hello").await;
    let with = |more: Value| {
        let mut body = direct();
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let unknown = demo.import(&id, &with(json!({"stores": ["nowhere"]}))).await.is(409);
    unknown.says("Store for identifier nowhere not found");
    let twice = demo.import(&id, &with(json!({"stores": ["fast"], "all_stores": true}))).await.is(400);
    twice.says("All_stores parameter can't be used with x-image-meta-store header or stores parameter");
    let request = demo.request("POST", &format!("/v2/images/{id}/import")).json(&with(json!({"stores": ["fast"]})));
    request.header("X-Image-Meta-Store", "slow").send().await.is(400);
    assert_eq!(demo.show(&id).await["status"], "uploading");
}

async fn an_image_must_be_ready_for_its_import(target: &Target) {
    let demo = target.person("demo").await;
    let queued = target.empty(&demo).await;
    let words = "Image needs to be staged before 'glance-direct' method can be used";
    demo.import(&queued, &direct()).await.is(409).says(words);
    let active = target.filled(&demo, b"x").await;
    let words = "Image with status active cannot be target for import";
    demo.import(&active, &direct()).await.is(409).says(words);
    let unset = target.image(&demo, json!({})).await;
    let body = web(&Target::nowhere());
    let refused = demo.import(unset["id"].as_str().unwrap(), &body).await.is(409);
    refused.says("'container_format' needs to be set before import");
    demo.import("00000000-aaaa-4bbb-8ccc-000000000000", &body).await.is(404).says("No image found with ID");
}

async fn a_staged_image_that_is_not_what_it_says_stays_importing(target: &Target) {
    let demo = target.person("demo").await;
    let id = of_format(target, &demo, "qcow2").await;
    demo.stage(&id, b"hello").await.is(204);
    demo.import(&id, &direct()).await.is(202);
    let image = demo.settled(&id).await;
    assert_eq!((&image["status"], &image["size"]), (&json!("importing"), &json!(5)));
    assert_eq!(marks(&image), (&json!(""), &json!("fast")));
    demo.stage(&id, b"x").await.is(409).says("Image status transition from importing to uploading is not allowed");
    demo.upload(&id, b"x").await.is(409).says("Image status transition from importing to saving is not allowed");
    demo.import(&id, &direct()).await.is(409);
    demo.get_file(&id).send().await.is(204);
    demo.delete(&id).await.is(204);
}

async fn a_tolerant_import_that_fails_leaves_the_image_queued(target: &Target) {
    let demo = target.person("demo").await;
    let id = of_format(target, &demo, "qcow2").await;
    demo.stage(&id, b"hello").await.is(204);
    let body = json!({"method": {"name": "glance-direct"}, "all_stores_must_succeed": false});
    demo.import(&id, &body).await.is(202);
    let image = demo.settled(&id).await;
    assert_eq!((&image["status"], &image["size"]), (&json!("queued"), &Value::Null));
    assert_eq!(marks(&image), (&json!(""), &json!("fast")));
    demo.stage(&id, b"again").await.is(204);
}

async fn a_download_becomes_the_image(target: &Target) {
    let demo = target.person("demo").await;
    let server = target.web().await;
    for (path, size) in [("/image", 5), ("/unsized", 5), ("/empty", 0)] {
        let id = target.empty(&demo).await;
        demo.import(&id, &web(&server.url(path))).await.is(202);
        let image = demo.settled(&id).await;
        assert_eq!((&image["status"], &image["size"]), (&json!("active"), &json!(size)), "{path}");
        none_left(&image);
        let expected = b"hello".get(..size).unwrap();
        assert_eq!(demo.get_file(&id).send().await.is(200).body, expected, "{path}");
    }
}

async fn redirects_are_followed_where_they_may(target: &Target) {
    let demo = target.person("demo").await;
    let server = target.web().await;
    for (path, status) in [("/moved", "active"), ("/beside", "active"), ("/astray", "queued"), ("/circle", "queued")] {
        let id = target.empty(&demo).await;
        demo.import(&id, &web(&server.url(path))).await.is(202);
        assert_eq!(demo.settled(&id).await["status"], status, "{path}");
    }
}

async fn a_download_that_fails_leaves_the_image_queued(target: &Target) {
    let demo = target.person("demo").await;
    let server = target.web().await;
    for (url, everywhere, failed) in [
        (server.url("/none"), false, "fast"),
        (server.url("/short"), false, "fast"),
        (Target::nowhere(), false, "fast"),
        (server.url("/none"), true, "fast,slow"),
    ] {
        let id = target.empty(&demo).await;
        let mut body = web(&url);
        body["all_stores"] = json!(everywhere);
        demo.import(&id, &body).await.is(202);
        let image = demo.settled(&id).await;
        assert_eq!(
            (&image["status"], &image["size"], &image["checksum"]),
            (&json!("queued"), &Value::Null, &Value::Null)
        );
        assert_eq!(marks(&image), (&json!(""), &json!(failed)), "{url}");
        assert!(image.get("stores").is_none() && image.get(TASK).is_none(), "{image}");
    }
}

async fn a_download_can_be_tried_again(target: &Target) {
    let demo = target.person("demo").await;
    let server = target.web().await;
    let id = target.empty(&demo).await;
    demo.import(&id, &web(&server.url("/none"))).await.is(202);
    demo.settled(&id).await;
    demo.import(&id, &web(&server.url("/image"))).await.is(202);
    let image = demo.settled(&id).await;
    assert_eq!(image["status"], "active");
    none_left(&image);
    let id = target.empty(&demo).await;
    demo.import(&id, &web(&server.url("/none"))).await.is(202);
    demo.settled(&id).await;
    demo.upload(&id, b"by hand").await.is(204);
    let image = demo.show(&id).await;
    assert_eq!((&image["status"], &image[FAILED]), (&json!("active"), &json!("fast")));
}

async fn a_download_that_is_not_what_the_image_says_spoils_it(target: &Target) {
    let demo = target.person("demo").await;
    let server = target.web().await;
    let id = of_format(target, &demo, "qcow2").await;
    for _ in 0..2 {
        demo.import(&id, &web(&server.url("/image"))).await.is(202);
        let image = demo.settled(&id).await;
        assert_eq!((&image["status"], &image["checksum"]), (&json!("queued"), &Value::Null));
        assert_eq!(marks(&image), (&json!(""), &json!("fast")));
    }
    let mut qcow2 = b"QFI\xfb\0\0\0\x03".to_vec();
    qcow2.resize(200, 0);
    demo.upload(&id, &qcow2).await.is(500);
    demo.delete(&id).await.is(204);
}

async fn an_address_that_is_no_web_server_s_is_refused(target: &Target) {
    let demo = target.person("demo").await;
    let id = target.empty(&demo).await;
    for url in [
        "http://127.0.0.1:5/x",
        "http://127.0.0.2/",
        "http://169.254.169.254/latest/meta-data",
        "http://[::1]/",
        "http://0.0.0.0/",
        "http://10.0.0.1:22/",
        "http://no-such-host.invalid/x",
        "ftp://x/y",
        "file:///etc/passwd",
        "http://127.0.0.1:99999/",
        "x",
        "",
    ] {
        let words = format!("URI for web-download does not pass filtering: {url}");
        demo.import(&id, &web(url)).await.is(400).says(words.trim_end());
    }
    for body in [json!({"method": {"name": "web-download"}}), json!({"method": {"name": "web-download", "uri": null}})]
    {
        demo.import(&id, &body).await.is(400).says("URI for web-download does not pass filtering: None");
    }
    let image = demo.show(&id).await;
    assert!(image["status"] == "queued" && image.get(FAILED).is_none(), "{image}");
}

async fn a_download_is_seen_while_it_lasts(target: &Target) {
    let demo = target.person("demo").await;
    let server = target.web().await;
    let id = target.empty(&demo).await;
    demo.import(&id, &web(&server.url("/held"))).await.is(202);
    let image = demo.until(&id, "importing").await;
    assert_eq!((&image["size"], &image["checksum"]), (&Value::Null, &Value::Null));
    assert_eq!(marks(&image), (&json!("fast"), &json!("")));
    let tasks = demo.tasks(&id).await;
    assert_eq!((&tasks[0]["id"], &tasks[0]["status"]), (&image[TASK], &json!("processing")));
    let words = "Image needs to be in 'queued' state to use 'web-download' method";
    demo.import(&id, &web(&server.url("/image"))).await.is(409).says(words);
    demo.upload(&id, b"x").await.is(409).says("Image status transition from importing to saving is not allowed");
    demo.get_file(&id).send().await.is(204);
    server.release();
    let image = demo.settled(&id).await;
    assert_eq!((&image["status"], &image["size"]), (&json!("active"), &json!(10)));
    none_left(&image);
}

async fn an_image_can_be_deleted_while_it_is_imported(target: &Target) {
    let demo = target.person("demo").await;
    let server = target.web().await;
    let id = target.empty(&demo).await;
    demo.import(&id, &web(&server.url("/held"))).await.is(202);
    demo.until(&id, "importing").await;
    demo.delete(&id).await.is(204);
    server.release();
    demo.get(&format!("/v2/images/{id}/tasks")).await.is(404);
}

async fn a_copy_is_the_administrator_s(target: &Target) {
    let (demo, admin) = (target.person("demo").await, target.person("admin").await);
    let copy = |stores: Value| json!({"method": {"name": "copy-image"}, "stores": stores});
    let queued = target.empty(&demo).await;
    let words = "Only images with status active can be targeted for copying";
    demo.import(&queued, &copy(json!(["slow"]))).await.is(409).says(words);
    let id = target.filled(&demo, b"x").await;
    let words = "You are not authorized to complete copy_image action.";
    demo.import(&id, &copy(json!(["slow"]))).await.is(403).says(words);
    let words = "Image is already present at store 'fast'";
    admin.import(&id, &copy(json!(["fast"]))).await.is(400).says(words);
    admin.import(&id, &copy(json!(["slow"]))).await.is(202);
    let image = admin.settled(&id).await;
    assert_eq!((&image["stores"], &image["status"]), (&json!("fast,slow"), &json!("active")));
    let everywhere = json!({"method": {"name": "copy-image"}, "all_stores": true});
    admin.import(&id, &everywhere).await.is(202);
}

async fn what_an_import_leaves_cannot_be_written(target: &Target) {
    let demo = target.person("demo").await;
    let id = staged(target, &demo, b"hello").await;
    demo.import(&id, &direct()).await.is(202);
    demo.settled(&id).await;
    for change in [
        json!({"op": "remove", "path": "/os_glance_failed_import"}),
        json!({"op": "add", "path": "/os_glance_x", "value": "v"}),
    ] {
        let kind = "application/openstack-images-v2.1-json-patch";
        let request = demo.request("PATCH", &format!("/v2/images/{id}")).json(&json!([change]));
        request.header("Content-Type", kind).send().await.is(403).says("is reserved.");
    }
}

async fn who_may_import(target: &Target) {
    let demo = target.person("demo").await;
    let id = staged(target, &demo, b"hello").await;
    let words = "You are not authorized to complete modify_image action.";
    target.person("reader").await.import(&id, &direct()).await.is(403).says(words);
    target.person("alt").await.import(&id, &direct()).await.is(404).says(&format!("No image found with ID {id}"));
    target.person("demo2").await.import(&id, &direct()).await.is(202);
    assert_eq!(demo.settled(&id).await["status"], "active");
}

//! PUT /v2/images/{id}/stage.

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use crate::target::Target;

crate::contracts![
    staged_bytes_wait_and_are_not_the_image_s,
    formats_may_be_unset_when_bytes_are_staged,
    bytes_are_staged_once,
    the_media_type_of_what_is_staged_must_be_octets,
    an_announced_size_of_what_is_staged_must_be_right,
    a_sender_that_breaks_off_leaves_nothing_staged,
    a_staged_image_can_be_deleted,
    staging_counts_against_the_limits,
    a_staged_image_takes_no_upload_and_no_action,
    who_may_stage,
    a_reader_s_refused_upload_forgets_what_is_staged,
];

const FORMATS: [(&str, &str); 2] = [("disk_format", "raw"), ("container_format", "bare")];

async fn staged_bytes_wait_and_are_not_the_image_s(target: &Target) {
    let demo = target.person("demo").await;
    let id = target.empty(&demo).await;
    let before = demo.show(&id).await;
    assert_eq!(demo.stage(&id, b"hello").await.is(204).body, b"");
    let image = demo.show(&id).await;
    let mut expected = before;
    expected["status"] = json!("uploading");
    expected["size"] = json!(5);
    expected["updated_at"] = image["updated_at"].clone();
    assert_eq!(image, expected);
    demo.get_file(&id).send().await.is(204);
    demo.range(&id, "bytes=0-1").await.is(204);
}

async fn formats_may_be_unset_when_bytes_are_staged(target: &Target) {
    let demo = target.person("demo").await;
    let image = target.image(&demo, json!({})).await;
    let id = image["id"].as_str().unwrap();
    demo.stage(id, b"hello").await.is(204);
    demo.import(id, &json!({"method": {"name": "glance-direct"}}))
        .await
        .is(409)
        .says("'container_format' needs to be set before import");
    for (name, format) in FORMATS {
        let change = json!([{"op": "replace", "path": format!("/{name}"), "value": format}]);
        let kind = "application/openstack-images-v2.1-json-patch";
        let request = demo.request("PATCH", &format!("/v2/images/{id}")).json(&change).header("Content-Type", kind);
        request.send().await.is(403).says(&format!("Attribute {name} can be only replaced for a queued image."));
    }
}

async fn bytes_are_staged_once(target: &Target) {
    let demo = target.person("demo").await;
    let id = target.empty(&demo).await;
    demo.stage(&id, b"").await.is(204);
    assert_eq!(demo.show(&id).await["size"], 0);
    let words = "Image status transition from uploading to uploading is not allowed";
    demo.stage(&id, b"hello").await.is(409).says(words);
    let id = target.filled(&demo, b"x").await;
    demo.stage(&id, b"hello").await.is(409).says("Image status transition from active to uploading is not allowed");
}

async fn the_media_type_of_what_is_staged_must_be_octets(target: &Target) {
    let demo = target.person("demo").await;
    let id = target.empty(&demo).await;
    let request = demo.request("PUT", &format!("/v2/images/{id}/stage")).header("Content-Type", "text/plain");
    request.body(*b"x").send().await.is(415).says("Invalid content type text/plain");
    demo.get(&format!("/v2/images/{id}/stage")).await.is(405);
    assert_eq!(demo.show(&id).await["status"], "queued");
}

async fn an_announced_size_of_what_is_staged_must_be_right(target: &Target) {
    let demo = target.person("demo").await;
    let id = target.empty(&demo).await;
    let staging = |size: &str| demo.put_stage(&id).header("x-openstack-image-size", size).body(*b"hello");
    staging("6").send().await.is(400).says("Size mismatch: expected 6 bytes, got 5 bytes");
    staging("x").send().await.is(400).says("Invalid or missing image size in request headers.");
    assert_eq!(demo.show(&id).await["status"], "queued");
    staging("5").send().await.is(204);
}

async fn a_sender_that_breaks_off_leaves_nothing_staged(target: &Target) {
    let demo = target.person("demo").await;
    let id = target.empty(&demo).await;
    let mut stream = demo.put_stage(&id).header("Content-Length", "1000000").begin().await;
    stream.write_all(&vec![7; 300_000]).await.unwrap();
    demo.until(&id, "uploading").await;
    drop(stream);
    assert_eq!(demo.until(&id, "queued").await["size"], Value::Null);
    demo.stage(&id, b"again").await.is(204);
}

async fn a_staged_image_can_be_deleted(target: &Target) {
    let demo = target.person("demo").await;
    let id = target.empty(&demo).await;
    demo.stage(&id, b"hello").await.is(204);
    demo.delete(&id).await.is(204);
    demo.stage(&id, b"hello").await.is(404).says(&format!("No image found with ID {id}"));
}

async fn staging_counts_against_the_limits(target: &Target) {
    let small = target.limited().await;
    let (first, second) = (target.empty(&small).await, target.empty(&small).await);
    let six = (6 << 20).to_string();
    let announced = small.put_stage(&first).header("x-openstack-image-size", &six);
    announced.header("Content-Length", &six).send().await.is(413).says("image_stage_total");
    assert_eq!(small.show(&first).await["status"], "queued");
    small.stage(&first, &vec![0; 1 << 20]).await.is(204);
    let usage = small.get("/v2/info/usage").await.is(200).json()["usage"].clone();
    assert_eq!(usage["image_stage_total"], json!({"usage": 1, "limit": 5}));
    assert_eq!(usage["image_size_total"]["usage"], 0);
    assert_eq!(usage["image_count_uploading"], json!({"usage": 1, "limit": 1}));
    let words = "image_count_uploading is over limit of 1 due to current usage 2 and delta 0";
    small.stage(&second, b"x").await.is(413).says(words);
    small.upload(&second, b"x").await.is(413).says(words);
    assert_eq!(small.show(&second).await["status"], "queued");
}

async fn a_staged_image_takes_no_upload_and_no_action(target: &Target) {
    let demo = target.person("demo").await;
    let id = target.empty(&demo).await;
    demo.stage(&id, b"hello").await.is(204);
    demo.upload(&id, b"x").await.is(409).says("Image status transition from uploading to saving is not allowed");
    demo.act(&id, "deactivate").await.is(403).says("Not allowed to deactivate image in status 'uploading'");
    let web = json!({"method": {"name": "web-download", "uri": Target::nowhere()}});
    demo.import(&id, &web).await.is(409).says("Image needs to be in 'queued' state to use 'web-download' method");
}

async fn who_may_stage(target: &Target) {
    let id = target.empty(&target.person("demo").await).await;
    let words = "You are not authorized to complete modify_image action.";
    target.person("reader").await.stage(&id, b"x").await.is(403).says(words);
    target.person("alt").await.stage(&id, b"x").await.is(404).says(&format!("No image found with ID {id}"));
    target.person("demo2").await.stage(&id, b"x").await.is(204);
}

async fn a_reader_s_refused_upload_forgets_what_is_staged(target: &Target) {
    let demo = target.person("demo").await;
    let (reader, alt) = (target.person("reader").await, target.person("alt").await);
    let id = target.empty(&demo).await;
    demo.post(&format!("/v2/images/{id}/members"), &json!({"member": alt.project})).await.is(200);
    demo.stage(&id, b"hello").await.is(204);
    alt.upload(&id, b"x").await.is(403);
    reader.stage(&id, b"x").await.is(403);
    assert_eq!(demo.show(&id).await["status"], "uploading");
    reader.upload(&id, b"x").await.is(403).says("You are not authorized to complete upload_image action.");
    let image = demo.show(&id).await;
    assert_eq!((&image["status"], &image["size"]), (&json!("queued"), &Value::Null));
}

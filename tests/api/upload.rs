//! PUT /v2/images/{id}/file.

use md5::{Digest, Md5};
use serde_json::{Value, json};
use sha2::Sha512;
use tokio::io::AsyncWriteExt;

use crate::target::Target;

crate::contracts![
    an_upload_makes_the_image_active_with_its_hashes,
    an_upload_in_chunks_is_the_same,
    an_upload_of_nothing_is_an_empty_image,
    an_upload_happens_once,
    the_media_type_must_be_octets,
    formats_must_be_set_before,
    a_content_range_is_ignored,
    an_announced_size_must_be_right,
    an_announced_size_that_is_no_number_is_refused,
    a_sender_that_breaks_off_leaves_the_image_queued,
    while_saving_nothing_is_known_of_the_bytes,
    a_deletion_ends_an_upload,
    bytes_unlike_their_format_are_refused,
    a_format_that_was_refused_spoils_the_image,
    raw_takes_any_bytes,
    an_upload_over_the_quota_is_refused_unread,
    a_store_can_be_chosen,
    an_unknown_store_is_refused,
    a_colleague_may_upload_and_a_reader_may_not,
    an_image_that_is_not_there_takes_no_bytes,
];

/// A new image without bytes, ready for them.
async fn empty(target: &Target, who: &str) -> (crate::person::Person, String) {
    let person = target.person(who).await;
    let image = target.image(&person, json!({"disk_format": "raw", "container_format": "bare"})).await;
    let id = image["id"].as_str().unwrap().to_owned();
    (person, id)
}

fn hex(bytes: impl AsRef<[u8]>) -> String {
    let digit = |nibble: u8| char::from_digit(nibble.into(), 16).unwrap();
    bytes.as_ref().iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// Bytes that do not repeat within a block.
fn noise(length: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(7);
    std::iter::repeat_with(|| random.u8(..)).take(length).collect()
}

async fn an_upload_makes_the_image_active_with_its_hashes(target: &Target) {
    let (demo, id) = empty(target, "demo").await;
    let before = demo.show(&id).await;
    let data = noise(700_001);
    assert_eq!(demo.upload(&id, &data).await.is(204).body, b"");
    let image = demo.show(&id).await;
    let mut expected = before.clone();
    expected["status"] = json!("active");
    expected["size"] = json!(data.len());
    expected["virtual_size"] = json!(data.len());
    expected["checksum"] = json!(hex(Md5::digest(&data)));
    expected["os_hash_algo"] = json!("sha512");
    expected["os_hash_value"] = json!(hex(Sha512::digest(&data)));
    expected["stores"] = json!("fast");
    expected["updated_at"] = image["updated_at"].clone();
    assert_eq!(image, expected);
    assert_eq!(demo.get_file(&id).send().await.is(200).body, data);
}

async fn an_upload_in_chunks_is_the_same(target: &Target) {
    let (demo, id) = empty(target, "demo").await;
    let data = noise(700_001);
    demo.put_file(&id).chunked(&data).send().await.is(204);
    assert_eq!(demo.show(&id).await["checksum"], hex(Md5::digest(&data)));
    assert_eq!(demo.get_file(&id).send().await.is(200).body, data);
}

async fn an_upload_of_nothing_is_an_empty_image(target: &Target) {
    let (demo, id) = empty(target, "demo").await;
    demo.upload(&id, b"").await.is(204);
    let image = demo.show(&id).await;
    assert_eq!((&image["status"], &image["size"]), (&json!("active"), &json!(0)));
    assert_eq!(image["checksum"], "d41d8cd98f00b204e9800998ecf8427e");
}

async fn an_upload_happens_once(target: &Target) {
    let demo = target.person("demo").await;
    let id = target.filled(&demo, b"first").await;
    demo.upload(&id, b"second").await.is(409).says("Image status transition from active to saving is not allowed");
    assert_eq!(demo.get_file(&id).send().await.is(200).body, b"first");
    demo.act(&id, "deactivate").await.is(204);
    demo.upload(&id, b"third").await.is(409).says("from deactivated to saving is not allowed");
}

async fn the_media_type_must_be_octets(target: &Target) {
    let (demo, id) = empty(target, "demo").await;
    for kind in ["text/plain", "application/json"] {
        demo.put_file(&id).header("Content-Type", kind).body(*b"x").send().await.is(415);
    }
    demo.put_file(&id).without("Content-Type").body(*b"x").send().await.is(415);
    assert_eq!(demo.show(&id).await["status"], "queued");
    let parameters = "application/octet-stream; charset=binary";
    demo.put_file(&id).header("Content-Type", parameters).body(*b"x").send().await.is(204);
}

async fn formats_must_be_set_before(target: &Target) {
    let demo = target.person("demo").await;
    for attributes in [json!({}), json!({"disk_format": "raw"}), json!({"container_format": "bare"})] {
        let image = target.image(&demo, attributes).await;
        let id = image["id"].as_str().unwrap();
        demo.upload(id, b"x").await.is(400).says("must be set prior to saving data.");
        assert_eq!(demo.show(id).await["status"], "queued");
    }
}

async fn a_content_range_is_ignored(target: &Target) {
    let (demo, id) = empty(target, "demo").await;
    demo.put_file(&id).header("Content-Range", "bytes 5-9/10").body(*b"56789").send().await.is(204);
    assert_eq!(demo.show(&id).await["size"], 5);
}

async fn an_announced_size_must_be_right(target: &Target) {
    let (demo, id) = empty(target, "demo").await;
    let put = |size: &str| demo.put_file(&id).header("x-openstack-image-size", size).body(*b"12345");
    put("6").send().await.is(400).says("expected 6 bytes, got 5 bytes");
    assert_eq!(demo.show(&id).await["status"], "queued");
    put("4").send().await.is(400).says("Size exceeds");
    assert_eq!(demo.show(&id).await["status"], "queued");
    put("5").send().await.is(204);
    let (demo, id) = empty(target, "demo").await;
    demo.put_file(&id).header("x-openstack-image-size", "0").body(*b"12345").send().await.is(204);
}

async fn an_announced_size_that_is_no_number_is_refused(target: &Target) {
    let (demo, id) = empty(target, "demo").await;
    demo.put_file(&id).header("x-openstack-image-size", "five").body(*b"12345").send().await.is(400);
    assert_eq!(demo.show(&id).await["status"], "queued");
}

async fn a_sender_that_breaks_off_leaves_the_image_queued(target: &Target) {
    let (demo, id) = empty(target, "demo").await;
    let mut stream = demo.put_file(&id).header("Content-Length", "1000000").begin().await;
    stream.write_all(&noise(300_000)).await.unwrap();
    demo.until(&id, "saving").await;
    drop(stream);
    let image = demo.until(&id, "queued").await;
    assert_eq!((&image["size"], &image["checksum"], image.get("stores")), (&Value::Null, &Value::Null, None));
    demo.upload(&id, b"again").await.is(204);
    assert_eq!(demo.get_file(&id).send().await.is(200).body, b"again");
}

async fn while_saving_nothing_is_known_of_the_bytes(target: &Target) {
    let (demo, id) = empty(target, "demo").await;
    let mut stream = demo.put_file(&id).header("Content-Length", "600000").begin().await;
    stream.write_all(&noise(300_000)).await.unwrap();
    let image = demo.until(&id, "saving").await;
    assert_eq!((&image["size"], &image["checksum"]), (&Value::Null, &Value::Null));
    demo.get_file(&id).send().await.is(204);
    demo.upload(&id, b"x").await.is(409).says("from saving to saving is not allowed");
    stream.write_all(&noise(300_000)).await.unwrap();
    assert_eq!(demo.until(&id, "active").await["size"], 600_000);
}

async fn a_deletion_ends_an_upload(target: &Target) {
    let (demo, id) = empty(target, "demo").await;
    let upload = demo.put_file(&id).header("Content-Length", "600000");
    let mut stream = upload.begin().await;
    stream.write_all(&noise(300_000)).await.unwrap();
    demo.until(&id, "saving").await;
    demo.delete(&id).await.is(204);
    stream.write_all(&noise(300_000)).await.unwrap();
    upload.end(stream).await.unwrap().is(410);
    demo.get(&format!("/v2/images/{id}")).await.is(404);
}

async fn bytes_unlike_their_format_are_refused(target: &Target) {
    let demo = target.person("demo").await;
    for format in ["qcow2", "iso", "vmdk", "vhd", "vhdx", "vdi"] {
        let image = target.image(&demo, json!({"disk_format": format, "container_format": "bare"})).await;
        let words = format!("Image disk_format {format} does not match stream data raw");
        demo.upload(image["id"].as_str().unwrap(), &noise(70_000)).await.is(415).says(&words);
    }
}

async fn a_format_that_was_refused_spoils_the_image(target: &Target) {
    let demo = target.person("demo").await;
    let image = target.image(&demo, json!({"disk_format": "qcow2", "container_format": "bare"})).await;
    let id = image["id"].as_str().unwrap();
    demo.upload(id, &noise(70_000)).await.is(415);
    let image = demo.show(id).await;
    assert_eq!((&image["status"], &image["size"], &image["stores"]), (&json!("queued"), &Value::Null, &json!("fast")));
    assert!(image["checksum"].is_string(), "{image}");
    demo.upload(id, &noise(70_000)).await.is(500);
}

async fn raw_takes_any_bytes(target: &Target) {
    let (demo, id) = empty(target, "demo").await;
    let mut qcow2 = b"QFI\xfb\x00\x00\x00\x03".to_vec();
    qcow2.resize(70_000, 0);
    demo.upload(&id, &qcow2).await.is(204);
}

async fn an_upload_over_the_quota_is_refused_unread(target: &Target) {
    let small = target.limited().await;
    let image = target.image(&small, json!({"disk_format": "raw", "container_format": "bare"})).await;
    let id = image["id"].as_str().unwrap();
    let six = (6 << 20).to_string();
    small.put_file(id).header("Content-Length", &six).send().await.is(413).says("image_size_total");
    let announced = small.put_file(id).header("x-openstack-image-size", &six).header("Transfer-Encoding", "chunked");
    announced.send().await.is(413);
    assert_eq!(small.show(id).await["status"], "queued");
    small.upload(id, &noise(1 << 20)).await.is(204);
}

async fn a_store_can_be_chosen(target: &Target) {
    let (demo, id) = empty(target, "demo").await;
    let store = demo.stores().await.pop().unwrap();
    demo.put_file(&id).header("X-Image-Meta-Store", &store).body(*b"x").send().await.is(204);
    assert_eq!(demo.show(&id).await["stores"], store);
    assert_eq!(demo.get_file(&id).send().await.is(200).body, b"x");
}

async fn an_unknown_store_is_refused(target: &Target) {
    let (demo, id) = empty(target, "demo").await;
    demo.put_file(&id).header("X-Image-Meta-Store", "nowhere").body(*b"x").send().await.is(400);
    assert_eq!(demo.show(&id).await["status"], "queued");
}

async fn a_colleague_may_upload_and_a_reader_may_not(target: &Target) {
    let (_, id) = empty(target, "demo").await;
    let reader = target.person("reader").await.upload(&id, b"x").await.is(403);
    reader.says("You are not authorized to complete upload_image action.");
    target.person("demo2").await.upload(&id, b"x").await.is(204);
}

async fn an_image_that_is_not_there_takes_no_bytes(target: &Target) {
    target.person("demo").await.upload("00000000-aaaa-4bbb-8ccc-000000000000", b"x").await.is(404);
}

//! GET /v2/images/{id}/file, whole and in parts.

use serde_json::json;

use crate::target::Target;

/// What most contracts download.
const DATA: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyz";

crate::contracts![
    the_whole_image_comes_with_its_length_and_hash,
    a_part_is_what_was_asked_for,
    a_range_beyond_the_end_is_cut,
    a_range_without_an_end_goes_to_the_end,
    a_range_of_the_last_bytes,
    the_last_bytes_of_more_than_there_are_is_all,
    a_range_that_begins_beyond_the_end_is_refused,
    several_ranges_are_refused,
    a_range_that_is_none_is_refused,
    a_range_of_nothing_drops_the_connection,
    the_hash_beside_a_part_is_the_whole_images,
    conditions_are_ignored,
    a_content_range_in_the_request_works_like_a_range,
    an_image_without_bytes_has_no_content,
    a_range_of_an_image_without_bytes_drops_the_connection,
    a_range_of_an_empty_image_cannot_be_satisfied,
    a_reader_may_not_download,
    a_colleague_may_download,
    a_community_image_may_be_downloaded,
    a_preferred_store_is_known_or_refused,
    a_deleted_image_cannot_be_downloaded,
];

async fn the_whole_image_comes_with_its_length_and_hash(target: &Target) {
    let demo = target.person("demo").await;
    let id = target.filled(&demo, DATA).await;
    let answer = demo.get_file(&id).send().await.is(200);
    assert_eq!(answer.body, DATA);
    assert_eq!(answer.header("content-type"), Some("application/octet-stream"));
    assert_eq!(answer.header("content-length"), Some("36"));
    assert_eq!(answer.header("content-md5"), demo.show(&id).await["checksum"].as_str());
    for absent in ["etag", "last-modified", "accept-ranges", "content-range"] {
        assert_eq!(answer.header(absent), None, "{absent}");
    }
}

/// Asks for `range` and gets these bytes of the image under this `Content-Range`.
async fn part(target: &Target, range: &str, expected: std::ops::Range<usize>) {
    let demo = target.person("demo").await;
    let id = target.filled(&demo, DATA).await;
    let answer = demo.range(&id, range).await.is(206);
    assert_eq!(answer.body, &DATA[expected.clone()], "{range}");
    assert_eq!(answer.header("content-length"), Some(expected.len().to_string().as_str()), "{range}");
    let told = format!("bytes {}-{}/36", expected.start, expected.end - 1);
    assert_eq!(answer.header("content-range"), Some(told.as_str()), "{range}");
}

async fn a_part_is_what_was_asked_for(target: &Target) {
    part(target, "bytes=10-19", 10..20).await;
    part(target, "bytes=0-0", 0..1).await;
    part(target, "bytes=35-35", 35..36).await;
}

async fn a_range_beyond_the_end_is_cut(target: &Target) {
    part(target, "bytes=30-99", 30..36).await;
}

async fn a_range_without_an_end_goes_to_the_end(target: &Target) {
    part(target, "bytes=0-", 0..36).await;
    part(target, "bytes=7-", 7..36).await;
}

async fn a_range_of_the_last_bytes(target: &Target) {
    part(target, "bytes=-5", 31..36).await;
}

async fn the_last_bytes_of_more_than_there_are_is_all(target: &Target) {
    part(target, "bytes=-99", 0..36).await;
    part(target, "bytes=-0", 0..36).await;
}

async fn a_range_that_begins_beyond_the_end_is_refused(target: &Target) {
    let demo = target.person("demo").await;
    let id = target.filled(&demo, DATA).await;
    for range in ["bytes=36-", "bytes=36-40", "bytes=1000-2000"] {
        let answer = demo.range(&id, range).await.is(416);
        assert_eq!(answer.header("content-range"), None);
        answer.says("in the inclusive range [0, 35]");
    }
}

async fn several_ranges_are_refused(target: &Target) {
    let demo = target.person("demo").await;
    let id = target.filled(&demo, DATA).await;
    demo.range(&id, "bytes=0-1,4-5").await.is(400);
}

async fn a_range_that_is_none_is_refused(target: &Target) {
    let demo = target.person("demo").await;
    let id = target.filled(&demo, DATA).await;
    for range in ["bytes=5-2", "lines=1-2", "junk", "bytes=a-b"] {
        assert_eq!(demo.range(&id, range).await.status, 416, "{range}");
    }
}

async fn a_range_of_nothing_drops_the_connection(target: &Target) {
    let demo = target.person("demo").await;
    let id = target.filled(&demo, DATA).await;
    let answer = demo.get_file(&id).header("Range", "bytes=-").try_send().await;
    assert!(answer.is_none(), "{answer:?}");
}

async fn the_hash_beside_a_part_is_the_whole_images(target: &Target) {
    let demo = target.person("demo").await;
    let id = target.filled(&demo, DATA).await;
    let answer = demo.range(&id, "bytes=0-3").await.is(206);
    assert_eq!(answer.header("content-md5"), demo.show(&id).await["checksum"].as_str());
}

async fn conditions_are_ignored(target: &Target) {
    let demo = target.person("demo").await;
    let id = target.filled(&demo, DATA).await;
    for (name, value) in [
        ("If-None-Match", "*"),
        ("If-Modified-Since", "Fri, 01 Jan 2100 00:00:00 GMT"),
        ("If-Match", "\"other\""),
        ("Accept-Encoding", "gzip"),
    ] {
        assert_eq!(demo.get_file(&id).header(name, value).send().await.is(200).body, DATA, "{name}");
    }
    let part = demo.get_file(&id).header("If-Range", "\"other\"").header("Range", "bytes=0-3");
    assert_eq!(part.send().await.is(206).body, b"0123");
}

async fn a_content_range_in_the_request_works_like_a_range(target: &Target) {
    let demo = target.person("demo").await;
    let id = target.filled(&demo, DATA).await;
    for range in ["bytes 10-19/36", "bytes 10-19/*"] {
        let answer = demo.get_file(&id).header("Content-Range", range).send().await.is(206);
        assert_eq!(answer.body, &DATA[10..20], "{range}");
    }
    demo.get_file(&id).header("Content-Range", "bytes 10-36/36").send().await.is(416);
}

async fn an_image_without_bytes_has_no_content(target: &Target) {
    let demo = target.person("demo").await;
    let image = target.image(&demo, json!({})).await;
    let answer = demo.get_file(image["id"].as_str().unwrap()).send().await.is(204);
    assert_eq!(answer.body, b"");
}

async fn a_range_of_an_image_without_bytes_drops_the_connection(target: &Target) {
    let demo = target.person("demo").await;
    let image = target.image(&demo, json!({})).await;
    let range = demo.get_file(image["id"].as_str().unwrap()).header("Range", "bytes=0-1");
    let answer = range.try_send().await;
    assert!(answer.is_none(), "{answer:?}");
}

async fn a_range_of_an_empty_image_cannot_be_satisfied(target: &Target) {
    let demo = target.person("demo").await;
    let id = target.filled(&demo, b"").await;
    let whole = demo.get_file(&id).send().await.is(200);
    assert_eq!((whole.header("content-length"), whole.body.len()), (Some("0"), 0));
    demo.range(&id, "bytes=0-0").await.is(416).says("[0, -1]");
    demo.range(&id, "bytes=0-").await.is(416).says("[0, -1]");
}

async fn a_reader_may_not_download(target: &Target) {
    let demo = target.person("demo").await;
    let id = target.filled(&demo, DATA).await;
    let reader = target.person("reader").await;
    reader.get_file(&id).send().await.is(403).says("You are not authorized to complete download_image action.");
    reader.range(&id, "bytes=0-3").await.is(403);
}

async fn a_colleague_may_download(target: &Target) {
    let demo = target.person("demo").await;
    let id = target.filled(&demo, DATA).await;
    assert_eq!(target.person("demo2").await.get_file(&id).send().await.is(200).body, DATA);
}

async fn a_community_image_may_be_downloaded(target: &Target) {
    let demo = target.person("demo").await;
    let shared = json!({"visibility": "community", "disk_format": "raw", "container_format": "bare"});
    let image = target.image(&demo, shared).await;
    let id = image["id"].as_str().unwrap();
    demo.upload(id, DATA).await.is(204);
    assert_eq!(target.person("alt").await.range(id, "bytes=0-3").await.is(206).body, b"0123");
}

async fn a_preferred_store_is_known_or_refused(target: &Target) {
    let demo = target.person("demo").await;
    let id = target.filled(&demo, DATA).await;
    let mut known = demo.stores().await;
    known.push(known.join(","));
    for stores in known {
        demo.get(&format!("/v2/images/{id}/file?prefer={stores}")).await.is(200);
    }
    demo.get(&format!("/v2/images/{id}/file?prefer=nowhere")).await.is(400);
}

async fn a_deleted_image_cannot_be_downloaded(target: &Target) {
    let demo = target.person("demo").await;
    let id = target.filled(&demo, DATA).await;
    demo.delete(&id).await.is(204);
    demo.get_file(&id).send().await.is(404);
    demo.range(&id, "bytes=0-3").await.is(404);
}

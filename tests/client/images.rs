//! Images through the trait `ImageService`.

use futures_util::TryStreamExt;
use glancefs::image::{ImageId, Status, Text, Visibility};
use glancefs::service::glance::Glance;
use glancefs::service::{Direction, ImageService, Kind, ListQuery, Source};
use serde_json::json;

use crate::target::Target;

crate::contracts!(Both:
    the_version_of_the_api_is_found,
    a_listing_shows_what_was_made_page_by_page,
    filters_and_sorting_are_the_services,
    an_image_is_shown_with_all_that_it_was_made_with,
    what_does_not_exist_is_not_found,
    a_marker_that_was_deleted_is_told,
    a_range_brings_its_bytes_and_no_others,
    a_whole_download_brings_all_bytes,
    a_range_behind_the_end_means_another_image,
    an_image_without_bytes_has_none_to_read,
    a_deactivated_image_is_forbidden,
    another_projects_image_is_not_found,
    members_are_listed_while_an_image_is_shared,
    the_quota_is_told,
);

const BYTES: &[u8] = b"the quick brown fox jumps over the lazy dog";

fn source(image: ImageId) -> Source {
    Source { image, size: u64::try_from(BYTES.len()).unwrap(), store: None }
}

async fn range(glance: &Glance, source: &Source, range: std::ops::Range<u64>) -> Result<Vec<u8>, Kind> {
    let stream = glance.read_range(source, range).await.map_err(|error| error.kind)?;
    let chunks: Vec<bytes::Bytes> = stream.try_collect().await.map_err(|error| error.kind)?;
    Ok(chunks.concat())
}

async fn filled(target: &Target, more: serde_json::Value) -> (crate::person::Person, ImageId) {
    let person = target.person("demo").await;
    let mut attributes = json!({"disk_format": "raw", "container_format": "bare"});
    attributes.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let id = target.image(&person, &attributes).await;
    person.upload(id.as_str(), BYTES).await.is(204);
    (person, id)
}

/// A tag that nobody else has, to list by.
fn mark() -> String {
    format!("mark-{}", ImageId::random())
}

async fn the_version_of_the_api_is_found(target: &Target) {
    let glance = target.glance("demo").await;
    assert!(glance.version().unwrap().starts_with("v2."));
    assert!(glance.address().ends_with("/v2"));
}

async fn a_listing_shows_what_was_made_page_by_page(target: &Target) {
    let (person, mark) = (target.person("demo").await, mark());
    let mut made = Vec::new();
    for _ in 0..3 {
        made.push(target.image(&person, &json!({"tags": [mark]})).await);
    }
    let glance = target.glance("demo").await;
    let query = ListQuery { filters: vec![("tag".to_owned(), mark)], ..ListQuery::default() };
    let page = glance.list(&query, None).await.unwrap().read().unwrap();
    assert_eq!(page.next, None);
    let listed: Vec<_> = page.images.iter().map(|image| image.id).collect();
    assert_eq!(listed.len(), 3);
    assert!(made.iter().all(|id| listed.contains(id)));
    let rest = glance.list(&query, Some(&listed[0].into())).await.unwrap().read();
    assert_eq!(rest.unwrap().images.iter().map(|image| image.id).collect::<Vec<_>>(), listed[1..]);
}

async fn filters_and_sorting_are_the_services(target: &Target) {
    let (person, mark) = (target.person("demo").await, mark());
    for name in ["b", "a", "c"] {
        target.image(&person, &json!({"name": name, "tags": [mark], "os_distro": name})).await;
    }
    let glance = target.glance("demo").await;
    let names = async |filters: &[(&str, &str)], direction| {
        let mut all = vec![("tag".to_owned(), mark.clone())];
        all.extend(filters.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        let query = ListQuery { filters: all, sort: vec![("name".to_owned(), direction)], enough: None };
        let page = glance.list(&query, None).await.unwrap();
        page.read().unwrap().images.iter().filter_map(|image| image.name.clone()).collect::<Vec<_>>().concat()
    };
    assert_eq!(names(&[], Direction::Ascending).await, "abc");
    assert_eq!(names(&[], Direction::Descending).await, "cba");
    assert_eq!(names(&[("name", "in:a,c")], Direction::Ascending).await, "ac");
    assert_eq!(names(&[("os_distro", "b")], Direction::Ascending).await, "b");
    assert_eq!(names(&[("status", "active")], Direction::Ascending).await, "");
}

async fn an_image_is_shown_with_all_that_it_was_made_with(target: &Target) {
    let more = json!({"name": "a/b", "tags": ["z", "a"], "os_distro": "debian", "min_disk": 3, "protected": false});
    let (_, id) = filled(target, more).await;
    let image = target.glance("demo").await.show(id).await.unwrap();
    assert_eq!((image.name.as_deref(), &image.status, image.min_disk), (Some("a/b"), &Status::Active, 3));
    assert_eq!(image.size, Some(43));
    assert_eq!(image.tags, ["a", "z"]);
    assert_eq!(image.properties.get("os_distro").map(Text::as_str), Some("debian"));
    assert_eq!(image.checksums.md5, Some("77add1d5f41223d5582fca736a5cb335".into()));
    assert_eq!(image.checksums.algorithm.as_deref(), Some("sha512"));
    assert_eq!(image.stores.len(), 1);
    assert_eq!(image.visibility, Visibility::Shared);
    assert!(image.created_at <= image.updated_at && image.owner.is_some());
}

async fn what_does_not_exist_is_not_found(target: &Target) {
    let error = target.glance("demo").await.show(ImageId::random()).await.unwrap_err();
    assert_eq!(error.kind, Kind::NotFound);
    assert!(error.words.unwrap().starts_with("No image found with ID"));
    assert!(error.request_id.unwrap().starts_with("req-"));
}

async fn a_marker_that_was_deleted_is_told(target: &Target) {
    let error =
        target.glance("demo").await.list(&ListQuery::default(), Some(&ImageId::random().into())).await.unwrap_err();
    assert_eq!(error.kind, Kind::MarkerGone);
}

async fn a_range_brings_its_bytes_and_no_others(target: &Target) {
    let (_, id) = filled(target, json!({})).await;
    let glance = target.glance("demo").await;
    for (start, end) in [(0, 1), (0, 43), (4, 9), (42, 43)] {
        let wanted = &BYTES[usize::try_from(start).unwrap()..usize::try_from(end).unwrap()];
        assert_eq!(range(&glance, &source(id), start..end).await.unwrap(), wanted);
    }
}

async fn a_whole_download_brings_all_bytes(target: &Target) {
    let (_, id) = filled(target, json!({})).await;
    let stream = target.glance("demo").await.read_all(&source(id)).await.unwrap();
    let chunks: Vec<bytes::Bytes> = stream.try_collect().await.unwrap();
    assert_eq!(chunks.concat(), BYTES);
}

async fn a_range_behind_the_end_means_another_image(target: &Target) {
    let (_, id) = filled(target, json!({})).await;
    let longer = Source { size: 1000, ..source(id) };
    let glance = target.glance("demo").await;
    assert_eq!(range(&glance, &longer, 900..910).await, Err(Kind::Gone));
    assert_eq!(range(&glance, &longer, 0..10).await, Err(Kind::Gone), "the whole has another length");
}

async fn an_image_without_bytes_has_none_to_read(target: &Target) {
    let person = target.person("demo").await;
    let id = target.image(&person, &json!({})).await;
    let error = target.glance("demo").await.read_all(&source(id)).await.err().unwrap();
    assert_eq!(error.kind, Kind::NoData);
}

async fn a_deactivated_image_is_forbidden(target: &Target) {
    let (person, id) = filled(target, json!({})).await;
    person.request("POST", &format!("/v2/images/{id}/actions/deactivate")).send().await.is(204);
    let glance = target.glance("demo").await;
    assert_eq!(glance.show(id).await.unwrap().status, Status::Deactivated);
    assert_eq!(range(&glance, &source(id), 0..4).await, Err(Kind::Forbidden));
}

async fn another_projects_image_is_not_found(target: &Target) {
    let (_, id) = filled(target, json!({"visibility": "private"})).await;
    let stranger = target.glance("alt").await;
    assert_eq!(stranger.show(id).await.unwrap_err().kind, Kind::NotFound);
    assert_eq!(range(&stranger, &source(id), 0..4).await, Err(Kind::NotFound));
}

async fn members_are_listed_while_an_image_is_shared(target: &Target) {
    let (_, shared) = filled(target, json!({})).await;
    let (_, private) = filled(target, json!({"visibility": "private"})).await;
    let glance = target.glance("demo").await;
    assert_eq!(glance.members(shared).await.unwrap(), []);
    assert_eq!(glance.members(private).await.unwrap_err().kind, Kind::Forbidden);
}

async fn the_quota_is_told(target: &Target) {
    let usage = target.glance("demo").await.usage().await.unwrap();
    assert!(usage.is_none_or(|usage| usage.limit.is_none_or(|limit| usage.used <= limit)));
}

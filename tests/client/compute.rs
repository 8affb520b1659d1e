//! The images of a Compute service through the trait `ImageService`. Each contract marks its images with the id of a server
//! of its own, because a real service is shared with others.

use bytes::Bytes;
use futures_util::TryStreamExt;
use glancefs::image::{Image, ImageId, MemberStatus, Status};
use glancefs::service::compute::Compute;
use glancefs::service::{
    Action, Api, Change, ImageService, Kind, ListQuery, NewImage, Offers, Outgoing, ServiceError, Source,
};
use serde_json::{Value, json};

use crate::person::Person;
use crate::target::Target;

crate::contracts!(Both:
    what_is_offered_is_known_before_it_is_tried,
    a_catalogue_without_a_compute_service_is_told,
    a_listing_shows_what_was_made_page_by_page,
    a_full_last_page_leads_to_an_empty_one,
    each_filter_is_the_services_own,
    pairs_of_filters_select_what_both_do,
    a_filter_that_the_service_refuses_is_invalid,
    a_marker_that_was_deleted_is_told,
    a_marker_that_is_another_projects_is_told,
    an_image_is_shown_with_all_that_the_document_has,
    each_status_word_is_shown_as_the_service_says_it,
    what_does_not_exist_is_not_found,
    the_images_of_others_are_shown_as_far_as_they_are_seen,
    an_image_is_deleted_once,
    an_image_that_may_not_be_deleted_stays_with_a_sentence,
    data_come_from_the_image_service_of_the_cloud,
    an_image_without_data_has_none_to_read,
    without_an_image_service_there_are_no_data,
    what_the_compute_service_cannot_do_is_not_offered,
);

/// The id of a server that has no images but those of one contract.
pub(crate) fn mark() -> String {
    ImageId::random().to_string()
}

fn formats(mut more: Value) -> Value {
    let formats = json!({"disk_format": "raw", "container_format": "bare"});
    more.as_object_mut().unwrap().extend(formats.as_object().unwrap().clone());
    more
}

async fn marked(target: &Target, person: &Person, mark: &str, mut attributes: Value) -> ImageId {
    attributes["instance_uuid"] = mark.into();
    target.image(person, &attributes).await
}

fn query(filters: &[(&str, &str)]) -> ListQuery {
    let filters = filters.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    ListQuery { filters, ..ListQuery::default() }
}

async fn ids(compute: &Compute, filters: &[(&str, &str)]) -> Vec<ImageId> {
    let page = compute.list(&query(filters), None).await.unwrap().read().unwrap();
    assert!(page.odd.is_empty(), "{:?}", page.odd);
    page.images.iter().map(|image| image.id).collect()
}

async fn what_is_offered_is_known_before_it_is_tried(target: &Target) {
    let compute = target.compute("demo").await;
    assert_eq!((compute.offers(), compute.offers().api), (Offers::compute(true, true), Api::Compute));
    assert_eq!(target.compute_alone("demo", false).await.offers(), Offers::compute(false, false));
    assert_eq!(target.compute_alone("demo", true).await.offers(), Offers::compute(false, true));
    assert_eq!(compute.project(), target.glance("demo").await.project());
    assert!(!compute.is_administrator() && compute.address().contains("/v2.1"));
}

async fn a_catalogue_without_a_compute_service_is_told(target: &Target) {
    let mut cloud = target.cloud("demo");
    cloud.compute.service_type.push_str("_of_others");
    let error = Compute::connect(cloud, false).await.err().unwrap();
    assert_eq!(error.kind, Kind::Configuration);
    assert!(error.to_string().contains("find the Compute service") && error.to_string().contains("image"), "{error}");
}

async fn a_listing_shows_what_was_made_page_by_page(target: &Target) {
    let (person, mark) = (target.person("demo").await, mark());
    let mut made = Vec::new();
    for _ in 0..5 {
        made.insert(0, marked(target, &person, &mark, json!({})).await);
    }
    let compute = target.compute("demo").await;
    assert_eq!(ids(&compute, &[("server", &mark)]).await, made);
    let short = ListQuery { enough: Some(2), ..query(&[("server", &mark)]) };
    let (mut listed, mut pages, mut marker) = (Vec::new(), 0, None);
    loop {
        let page = compute.list(&short, marker.as_ref()).await.unwrap();
        let likely = page.likely_next.clone();
        let contents = page.read().unwrap();
        assert_eq!(likely, contents.next, "its last bytes tell what is in it");
        listed.extend(contents.images.iter().map(|image| image.id));
        pages += 1;
        marker = contents.next;
        if marker.is_none() {
            break;
        }
    }
    assert_eq!((listed, pages), (made, 3));
}

async fn a_full_last_page_leads_to_an_empty_one(target: &Target) {
    let (person, mark) = (target.person("demo").await, mark());
    let id = marked(target, &person, &mark, json!({})).await;
    let compute = target.compute("demo").await;
    let short = ListQuery { enough: Some(1), ..query(&[("server", &mark)]) };
    let full = compute.list(&short, None).await.unwrap().read().unwrap();
    assert_eq!((full.images.len(), &full.next), (1, &Some(id.into())));
    let rest = compute.list(&short, full.next.as_ref()).await.unwrap().read().unwrap();
    assert_eq!((rest.images.len(), rest.next), (0, None));
}

/// One image that every one of these filters selects, and another that none does.
async fn two(target: &Target, person: &Person) -> (String, ImageId, ImageId) {
    let mark = mark();
    let attributes = json!({"name": format!("one {mark}"), "image_type": mark, "min_disk": 3, "min_ram": 5});
    let one = marked(target, person, &mark, attributes).await;
    let other = target.image(person, &formats(json!({"name": "two"}))).await;
    person.upload(other.as_str(), b"x").await.is(204);
    (mark, one, other)
}

async fn each_filter_is_the_services_own(target: &Target) {
    let person = target.person("demo").await;
    let (mark, one, other) = two(target, &person).await;
    let compute = target.compute("demo").await;
    let (name, server) = (format!("one {mark}"), format!("http://h/v2.1/servers/{mark}"));
    for (key, value) in [
        ("server", mark.as_str()),
        ("server", &server),
        ("name", &name),
        ("status", "QUEUED"),
        ("type", &mark),
        ("property-image_type", &mark),
        ("minDisk", "3"),
        ("minRam", "5"),
    ] {
        let listed = ids(&compute, &[(key, value)]).await;
        assert!(listed.contains(&one) && !listed.contains(&other), "{key}={value}");
    }
    let updated = person.show(one.as_str()).await["updated_at"].as_str().unwrap().to_owned();
    let since = format!("gte:{updated}");
    for (key, value) in [("changes-since", updated.as_str()), ("updated_at", &since)] {
        let listed = ids(&compute, &[(key, value)]).await;
        assert!(listed.contains(&one), "{key}={value}");
        assert_eq!(ids(&compute, &[(key, &value.replace("20", "21")), ("server", &mark)]).await, [], "{key}");
    }
}

async fn pairs_of_filters_select_what_both_do(target: &Target) {
    let person = target.person("demo").await;
    let (mark, one, _) = two(target, &person).await;
    let compute = target.compute("demo").await;
    let name = format!("one {mark}");
    let filters = [
        ("server", mark.as_str(), true),
        ("name", &name, true),
        ("status", "queued", true),
        ("type", &mark, true),
        ("updated_at", "gte:2020-01-01T00:00:00Z", true),
        ("minDisk", "3", true),
        ("name", "two", false),
        ("status", "ACTIVE", false),
        ("status", "SAVING", false),
        ("updated_at", "gte:2099-01-01T00:00:00Z", false),
        ("minRam", "0", false),
    ];
    for (at, (key, value, selects)) in filters.iter().enumerate() {
        for (other, and, also) in filters.iter().skip(at + 1).filter(|(other, ..)| other != key) {
            let listed = ids(&compute, &[(key, value), (other, and)]).await;
            assert_eq!(listed.contains(&one), *selects && *also, "{key}={value}&{other}={and}");
        }
    }
}

async fn a_filter_that_the_service_refuses_is_invalid(target: &Target) {
    let compute = target.compute("demo").await;
    let error = compute.list(&query(&[("changes-since", "junk")]), None).await.unwrap_err();
    assert_eq!(error.kind, Kind::Invalid);
    assert!(error.to_string().contains("query filter format"), "{error}");
}

async fn a_marker_that_was_deleted_is_told(target: &Target) {
    let (compute, person) = (target.compute("demo").await, target.person("demo").await);
    let gone = target.image(&person, &json!({})).await;
    person.delete(gone.as_str()).await.is(204);
    for marker in [gone, ImageId::random()] {
        let error = compute.list(&ListQuery::default(), Some(&marker.into())).await.unwrap_err();
        assert_eq!(error.kind, Kind::MarkerGone, "{error}");
    }
}

async fn a_marker_that_is_another_projects_is_told(target: &Target) {
    let theirs = target.image(&target.person("alt").await, &json!({})).await;
    let error = target.compute("demo").await.list(&ListQuery::default(), Some(&theirs.into())).await.unwrap_err();
    assert_eq!(error.kind, Kind::MarkerGone, "{error}");
}

async fn an_image_is_shown_with_all_that_the_document_has(target: &Target) {
    let (person, mark) = (target.person("demo").await, mark());
    let attributes =
        json!({"name": "a/b", "min_disk": 3, "min_ram": 5, "a": "1", "b c~d/e": "", "auto_disk_config": "yes"});
    let id = marked(target, &person, &mark, attributes).await;
    let compute = target.compute("demo").await;
    let image = compute.show(id).await.unwrap();
    assert_eq!((image.name.as_deref(), image.min_disk, image.min_ram), (Some("a/b"), 3, 5));
    assert_eq!((image.size, &image.status), (None, &Status::Saving));
    let document = person.ask(&format!("/images/{id}")).await.is(200).json()["image"].clone();
    let mut shown: serde_json::Map<String, Value> =
        image.other.iter().map(|(key, value)| (key.to_string(), value.clone())).collect();
    let metadata: Value = image.properties.iter().map(|(key, value)| (key.to_string(), json!(value))).collect();
    shown.extend([("id".into(), json!(id.as_str())), ("name".into(), json!("a/b")), ("metadata".into(), metadata)]);
    assert_eq!(Value::Object(shown), document);
    let listed = compute.list(&query(&[("server", &mark)]), None).await.unwrap().read().unwrap();
    assert_eq!(*listed.images[0], image);
}

async fn each_status_word_is_shown_as_the_service_says_it(target: &Target) {
    let (person, compute) = (target.person("demo").await, target.compute("demo").await);
    let queued = target.image(&person, &json!({})).await;
    let (active, deactivated) = (filled(target, &person).await, filled(target, &person).await);
    person.act(deactivated.as_str(), "deactivate").await.is(204);
    for (id, status, word, progress, size) in [
        (queued, Status::Saving, "SAVING", 25, None),
        (active, Status::Active, "ACTIVE", 100, Some(5)),
        (deactivated, Status::Deactivated, "UNKNOWN", 0, Some(5)),
    ] {
        let image = compute.show(id).await.unwrap();
        assert_eq!((&image.status, image.size), (&status, size), "{word}");
        assert_eq!(image.other.get("status"), Some(&json!(word)));
        assert_eq!(image.other.get("progress"), Some(&json!(progress)));
    }
}

async fn filled(target: &Target, person: &Person) -> ImageId {
    let id = target.image(person, &formats(json!({}))).await;
    person.upload(id.as_str(), b"hello").await.is(204);
    id
}

async fn what_does_not_exist_is_not_found(target: &Target) {
    let compute = target.compute("demo").await;
    let error = compute.show(ImageId::random()).await.unwrap_err();
    assert_eq!(error.kind, Kind::NotFound);
    assert!(error.to_string().contains("Image not found") && error.request_id.is_some(), "{error}");
    assert_eq!(compute.delete(ImageId::random()).await.unwrap_err().kind, Kind::NotFound);
}

async fn the_images_of_others_are_shown_as_far_as_they_are_seen(target: &Target) {
    let (demo, alt) = (target.person("demo").await, target.compute("alt").await);
    for (visibility, is_seen) in [("private", false), ("shared", false), ("community", true)] {
        let mark = mark();
        let id = marked(target, &demo, &mark, json!({"visibility": visibility})).await;
        let shown = alt.show(id).await;
        assert_eq!(shown.as_ref().map_err(|error| error.kind.clone()).err(), (!is_seen).then_some(Kind::NotFound));
        assert_eq!(ids(&alt, &[("server", &mark)]).await, [], "what is not theirs is in no listing");
        let error = alt.delete(id).await.unwrap_err();
        assert_eq!(error.kind, if is_seen { Kind::Forbidden } else { Kind::NotFound }, "{visibility}");
    }
}

async fn an_image_is_deleted_once(target: &Target) {
    let (person, compute) = (target.person("demo").await, target.compute("demo").await);
    let id = target.image(&person, &json!({})).await;
    compute.delete(id).await.unwrap();
    assert_eq!(compute.delete(id).await.unwrap_err().kind, Kind::NotFound);
    assert_eq!(compute.show(id).await.unwrap_err().kind, Kind::NotFound);
    person.get(&format!("/v2/images/{id}")).await.is(404);
}

async fn an_image_that_may_not_be_deleted_stays_with_a_sentence(target: &Target) {
    let person = target.person("demo").await;
    let own = target.image(&person, &json!({})).await;
    let protected = target.image(&person, &json!({"protected": true})).await;
    for (cloud, id) in [("demo", protected), ("reader", own)] {
        let error = target.compute(cloud).await.delete(id).await.unwrap_err();
        assert_eq!(error.kind, Kind::Forbidden);
        let words = "You are not allowed to delete the image: it is protected, it is another project's, or";
        assert!(error.to_string().contains(words), "{error}");
        person.show(id.as_str()).await;
    }
    let unprotected = json!([{"op": "replace", "path": "/protected", "value": false}]);
    let request = person.request("PATCH", &format!("/v2/images/{protected}")).json(&unprotected);
    request.header("Content-Type", "application/openstack-images-v2.1-json-patch").send().await.is(200);
}

async fn all(stream: Result<glancefs::service::ByteStream, ServiceError>) -> Vec<u8> {
    let chunks: Vec<Bytes> = stream.unwrap().try_collect().await.unwrap();
    chunks.concat()
}

async fn data_come_from_the_image_service_of_the_cloud(target: &Target) {
    let (person, compute) = (target.person("demo").await, target.compute("demo").await);
    let id = filled(target, &person).await;
    let listed = compute.show(id).await.unwrap();
    let told = compute.with_data(listed.clone()).await.unwrap();
    let theirs = target.glance("demo").await.show(id).await.unwrap();
    assert_eq!((&told.checksums, &told.stores, told.size), (&theirs.checksums, &theirs.stores, Some(5)));
    assert_eq!((told.disk_format.as_deref(), &told.status), (Some("raw"), &Status::Active));
    assert!(listed.checksums.md5.is_none() && told.checksums.md5.is_some());
    assert_eq!((&told.other, &told.updated_at), (&listed.other, &listed.updated_at), "the rest is as it was shown");
    let source = Source { image: id, size: 5, store: None };
    assert_eq!(all(compute.read_range(&source, 1..4).await).await, b"ell");
    assert_eq!(all(compute.read_all(&source).await).await, b"hello");
    person.act(id.as_str(), "deactivate").await.is(204);
    assert_eq!(compute.with_data(listed).await.unwrap().status, Status::Deactivated);
    assert_eq!(compute.read_all(&source).await.err().unwrap().kind, Kind::Forbidden);
    let usage = compute.usage().await.unwrap();
    assert_eq!(
        usage.map(|usage| usage.limit),
        target.glance("demo").await.usage().await.unwrap().map(|usage| usage.limit)
    );
}

async fn an_image_without_data_has_none_to_read(target: &Target) {
    let (person, compute) = (target.person("demo").await, target.compute("demo").await);
    let id = target.image(&person, &json!({})).await;
    let told = compute.with_data(compute.show(id).await.unwrap()).await.unwrap();
    assert_eq!((told.status, told.size), (Status::Queued, None), "the Compute service says that it is being saved");
    let source = Source { image: id, size: 5, store: None };
    assert_eq!(compute.read_all(&source).await.err().unwrap().kind, Kind::NoData);
}

async fn without_an_image_service_there_are_no_data(target: &Target) {
    let (person, compute) = (target.person("demo").await, target.compute_alone("demo", false).await);
    let id = filled(target, &person).await;
    let image = compute.show(id).await.unwrap();
    assert_eq!(image.size, Some(5));
    let source = Source { image: id, size: 5, store: None };
    for error in [
        compute.with_data(image).await.unwrap_err(),
        compute.read_all(&source).await.err().unwrap(),
        compute.read_range(&source, 0..1).await.err().unwrap(),
    ] {
        assert_eq!(error.kind, Kind::NotOffered);
        assert!(error.to_string().contains("the Compute service gives no data"), "{error}");
    }
    assert_eq!(compute.usage().await.unwrap(), None);
    let error = compute.image_service().await.err().unwrap();
    assert!(error.to_string().contains("no service of type"), "{error}");
}

async fn what_the_compute_service_cannot_do_is_not_offered(target: &Target) {
    let (person, compute) = (target.person("demo").await, target.compute("demo").await);
    let id = target.image(&person, &json!({})).await;
    let nothing = Outgoing { image: id, size: 0, body: Box::pin(futures_util::stream::empty()) };
    let outcomes: Vec<Result<(), ServiceError>> = vec![
        compute.create(&NewImage::new(ImageId::random())).await.map(drop::<Image>),
        compute.upload(nothing).await,
        compute.act(id, Action::Deactivate).await,
        compute.add_tag(id, "t").await,
        compute.remove_tag(id, "t").await,
        compute.members(id).await.map(drop),
        compute.add_member(id, "p").await.map(drop),
        compute.remove_member(id, "p").await,
        compute.set_member(id, "p", &MemberStatus::Accepted).await.map(drop),
        compute.import(id, "http://h/x").await,
    ];
    for outcome in outcomes {
        assert_eq!(outcome.unwrap_err().kind, Kind::NotOffered);
    }
    assert!(compute.tasks(id).await.unwrap().is_empty());
    let error = compute.update(id, &[Change::set("name", "n")]).await.unwrap_err();
    assert_eq!(error.kind, Kind::Invalid);
    let unchanged = person.show(id.as_str()).await;
    assert_eq!(unchanged["name"], Value::Null);
}

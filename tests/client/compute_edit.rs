//! Changing the properties of images through a Compute service, and what becomes of their visibility.

use glancefs::image::{Image, ImageId, Visibility};
use glancefs::service::compute::Compute;
use glancefs::service::{Change, ImageService, Kind, ServiceError};
use serde_json::{Map, Value, json};

use crate::person::Person;
use crate::target::Target;

crate::contracts!(Both:
    one_property_is_set_and_removed,
    properties_that_are_only_set_are_merged,
    properties_are_set_and_removed_at_once,
    a_value_may_change_its_name,
    a_value_may_change_its_name_where_there_is_no_room_for_both,
    properties_of_a_protected_image_change_as_the_image_service_has_it,
    what_is_so_already_is_no_change_of_a_shared_image,
    another_projects_image_is_told_as_that,
    what_the_compute_api_does_not_take_stays,
    what_no_address_names_is_removed_with_a_document,
    a_property_that_is_not_there_is_as_good_as_removed,
    names_and_values_are_as_long_as_the_service_takes_them,
    names_may_be_dots_and_have_blanks_inside,
    changes_that_come_at_once_are_all_kept,
    what_the_service_would_lose_is_refused_before_it_is_asked,
    more_properties_than_there_may_be_are_refused,
    the_rest_of_an_image_stays,
    others_change_nothing,
    a_shared_image_is_refused_and_stays_shared,
    a_shared_image_becomes_private_where_that_is_allowed,
    without_an_image_service_properties_change_only_where_that_is_allowed,
);

/// A new private image with these properties.
async fn with(target: &Target, mut properties: Value) -> (Person, ImageId) {
    let person = target.person("demo").await;
    properties["visibility"] = "private".into();
    let id = target.image(&person, &properties).await;
    (person, id)
}

fn shown(image: &Image) -> Value {
    image.properties.iter().map(|(key, value)| (key.to_string(), json!(value))).collect()
}

/// The properties as the Compute API has them, which our own answer has to be equal to.
async fn items(person: &Person, id: ImageId, told: &Image) -> Value {
    let items = person.ask(&format!("/images/{id}/metadata")).await.is(200).json()["metadata"].clone();
    assert_eq!(shown(told), items);
    items
}

async fn one_property_is_set_and_removed(target: &Target) {
    let (person, id) = with(target, json!({"a": "1"})).await;
    let compute = target.compute("demo").await;
    let image = compute.update(id, &[Change::set("b", "2")]).await.unwrap();
    assert_eq!(items(&person, id, &image).await, json!({"a": "1", "b": "2"}));
    assert_eq!(compute.show(id).await.unwrap(), image);
    let image = compute.update(id, &[Change::set("a", "")]).await.unwrap();
    assert_eq!(items(&person, id, &image).await, json!({"a": "", "b": "2"}));
    let image = compute.update(id, &[Change::remove("a")]).await.unwrap();
    assert_eq!(items(&person, id, &image).await, json!({"b": "2"}));
}

async fn properties_that_are_only_set_are_merged(target: &Target) {
    let (person, id) = with(target, json!({"a": "1", "x/y": "stays"})).await;
    let changes = [Change::set("a", "x"), Change::set("b", "2"), Change::set("b", "3")];
    let image = target.compute("demo").await.update(id, &changes).await.unwrap();
    assert_eq!(items(&person, id, &image).await, json!({"a": "x", "b": "3", "x/y": "stays"}));
}

async fn properties_are_set_and_removed_at_once(target: &Target) {
    let (person, id) = with(target, json!({"a": "1", "b": "2", "c": "3"})).await;
    let compute = target.compute("demo").await;
    let changes = [Change::remove("a"), Change::set("b", "x"), Change::set("d", "4")];
    let image = compute.update(id, &changes).await.unwrap();
    assert_eq!(items(&person, id, &image).await, json!({"b": "x", "c": "3", "d": "4"}));
    let all: Vec<_> = ["b", "c", "d"].map(Change::remove).into();
    let image = compute.update(id, &all).await.unwrap();
    assert_eq!(items(&person, id, &image).await, json!({}));
}

async fn a_value_may_change_its_name(target: &Target) {
    let (person, id) = with(target, json!({"a": "1", "b": "1", "c": "2"})).await;
    let changes = [Change::remove("a"), Change::remove("b"), Change::set("d", "1"), Change::set("c", "1")];
    let image = target.compute("demo").await.update(id, &changes).await.unwrap();
    assert_eq!(items(&person, id, &image).await, json!({"c": "1", "d": "1"}));
}

async fn a_value_may_change_its_name_where_there_is_no_room_for_both(target: &Target) {
    let mut expected: Map<String, Value> = (0..128).map(|number| (format!("k{number}"), json!("v"))).collect();
    let (person, id) = with(target, expected.clone().into()).await;
    let compute = target.compute("demo").await;
    let image = compute.update(id, &[Change::remove("k0"), Change::set("x", "v")]).await.unwrap();
    expected.remove("k0");
    expected.insert("x".to_owned(), "v".into());
    assert_eq!(items(&person, id, &image).await, Value::Object(expected));
}

/// Glance protects an image from being deleted, and from nothing else; through Nova it is the same.
async fn properties_of_a_protected_image_change_as_the_image_service_has_it(target: &Target) {
    let (person, id) = with(target, json!({"a": "1", "b": "2", "c": "3", "protected": true})).await;
    let glance = target.glance("demo").await;
    glance.update(id, &[Change::remove("a")]).await.unwrap();
    let compute = target.compute("demo").await;
    let image = compute.update(id, &[Change::remove("b")]).await.unwrap();
    assert_eq!(items(&person, id, &image).await, json!({"c": "3"}));
    let image = compute.update(id, &[Change::remove("c"), Change::set("d", "4"), Change::set("e", "5")]).await.unwrap();
    assert_eq!(items(&person, id, &image).await, json!({"d": "4", "e": "5"}));
    let after = person.show(id.as_str()).await;
    assert_eq!((&after["protected"], &after["visibility"]), (&json!(true), &json!("private")));
    assert_eq!(compute.delete(id).await.unwrap_err().kind, Kind::Forbidden);
    glance.update(id, &[Change::set("protected", false)]).await.unwrap();
}

async fn what_is_so_already_is_no_change_of_a_shared_image(target: &Target) {
    let person = target.person("demo").await;
    let id = target.image(&person, &json!({"a": "1", "visibility": "shared"})).await;
    let compute = target.compute("demo").await;
    for changes in [vec![Change::set("a", "1")], vec![Change::remove("b")], vec![]] {
        let image = compute.update(id, &changes).await.unwrap();
        assert_eq!(items(&person, id, &image).await, json!({"a": "1"}));
    }
    let error = compute.update(id, &[Change::set("a", "1"), Change::set("b", "2")]).await.unwrap_err();
    assert_eq!(error.kind, Kind::Forbidden);
    assert_eq!(person.show(id.as_str()).await["visibility"], "shared");
}

async fn another_projects_image_is_told_as_that(target: &Target) {
    let demo = target.person("demo").await;
    let owner = target.glance("demo").await.project().unwrap().to_owned();
    let (alt, allowed) = (target.compute("alt").await, target.compute_allowed("alt").await);
    let id = target.image(&demo, &json!({"a": "1", "visibility": "community"})).await;
    let error = alt.update(id, &[Change::set("a", "2")]).await.unwrap_err();
    let sentence = error.to_string();
    assert_eq!(error.kind, Kind::Forbidden);
    assert!(sentence.contains(&format!("belongs to project {owner}")) && !sentence.contains("--"), "{sentence}");
    let told = alt.show(id).await.unwrap();
    assert_eq!((told.owner.as_deref(), told.visibility), (Some(owner.as_str()), Visibility::Community));
    let sentence = allowed.update(id, &[Change::set("a", "2")]).await.unwrap_err().to_string();
    assert!(sentence.contains("it is another project's, or this login may only look"), "{sentence}");
    let image = allowed.with_rights(allowed.show(id).await.unwrap()).await.unwrap();
    assert_eq!(image.owner.as_deref(), Some(owner.as_str()));
    let sentence = allowed.update(id, &[Change::set("a", "2")]).await.unwrap_err().to_string();
    assert!(sentence.contains(&format!("belongs to project {owner}")), "{sentence}");
}

async fn what_the_compute_api_does_not_take_stays(target: &Target) {
    let long = "v".repeat(300);
    let (person, id) = with(target, json!({"a/b": "1", "\u{e9}": "2", "long": long, "c": "3", "d": "4"})).await;
    let changes = [Change::remove("c"), Change::remove("d"), Change::set("e", "5")];
    let image = target.compute("demo").await.update(id, &changes).await.unwrap();
    let expected = json!({"a/b": "1", "\u{e9}": "2", "long": long, "e": "5"});
    assert_eq!(items(&person, id, &image).await, expected);
}

async fn what_no_address_names_is_removed_with_a_document(target: &Target) {
    let (person, id) = with(target, json!({"a/b": "1", "c": "2"})).await;
    let compute = target.compute("demo").await;
    let image = compute.update(id, &[Change::remove("a/b")]).await.unwrap();
    assert_eq!(items(&person, id, &image).await, json!({"c": "2"}));
    let (_, id) = with(target, json!({"a/b": "1", "\u{e9}": "2"})).await;
    let error = compute.update(id, &[Change::remove("a/b")]).await.unwrap_err();
    assert_eq!(error.kind, Kind::Invalid, "the other one would go too: {error}");
    assert_eq!(shown(&compute.show(id).await.unwrap()), json!({"a/b": "1", "\u{e9}": "2"}));
}

async fn a_property_that_is_not_there_is_as_good_as_removed(target: &Target) {
    let (person, id) = with(target, json!({"a": "1"})).await;
    let compute = target.compute("demo").await;
    for changes in [
        vec![Change::remove("z")],
        vec![Change::remove("z"), Change::remove("y")],
        vec![Change::remove("z"), Change::set("a", "1")],
        vec![],
    ] {
        let image = compute.update(id, &changes).await.unwrap();
        assert_eq!(items(&person, id, &image).await, json!({"a": "1"}), "{changes:?}");
    }
    let error = compute.update(ImageId::random(), &[Change::remove("z")]).await.unwrap_err();
    assert_eq!(error.kind, Kind::NotFound, "{error}");
}

async fn names_and_values_are_as_long_as_the_service_takes_them(target: &Target) {
    let (person, id) = with(target, json!({})).await;
    let compute = target.compute("demo").await;
    let (key, value) = ("k".repeat(255), "\u{e9}".repeat(255));
    let image = compute.update(id, &[Change::set(&key, value.clone())]).await.unwrap();
    assert_eq!(items(&person, id, &image).await, json!({&key: value}));
    for change in [Change::set(format!("{key}k"), "v"), Change::set("k", format!("{value}\u{e9}"))] {
        let error = compute.update(id, &[change]).await.unwrap_err();
        assert!(error.kind == Kind::Invalid && error.request_id.is_none(), "{error}");
        assert!(error.to_string().contains("255"), "{error}");
    }
}

async fn names_may_be_dots_and_have_blanks_inside(target: &Target) {
    let (person, id) = with(target, json!({})).await;
    let compute = target.compute("demo").await;
    let mut expected = Map::new();
    for key in ["k s", "k.s", "k:s", "-", ".", "..", "a.json"] {
        let image = compute.update(id, &[Change::set(key, "v")]).await.unwrap();
        expected.insert(key.to_owned(), "v".into());
        assert_eq!(items(&person, id, &image).await, Value::Object(expected.clone()), "{key}");
    }
    for key in ["k s", ".", ".."] {
        let image = compute.update(id, &[Change::remove(key)]).await.unwrap();
        expected.remove(key);
        assert_eq!(items(&person, id, &image).await, Value::Object(expected.clone()), "{key}");
    }
}

async fn changes_that_come_at_once_are_all_kept(target: &Target) {
    let (person, id) = with(target, json!({"old": "1"})).await;
    let compute = target.compute("demo").await;
    let changes: Vec<_> =
        (0..8).map(|n| [Change::set(format!("p{n}"), "v")]).chain([[Change::remove("old")]]).collect();
    let outcomes = futures_util::future::join_all(changes.iter().map(|change| compute.update(id, change))).await;
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    let image = compute.show(id).await.unwrap();
    assert_eq!(items(&person, id, &image).await.as_object().unwrap().len(), 8);
}

async fn what_the_service_would_lose_is_refused_before_it_is_asked(target: &Target) {
    let (person, id) = with(target, json!({"p": "0", "kernel_id": ImageId::random().as_str()})).await;
    let before = person.show(id.as_str()).await;
    let compute = target.compute("demo").await;
    let names =
        ["name", "status", "size", "visibility", "min_disk", "tags", "self", "created_at", "os_glance_x", "stores"];
    let refused = names.map(|name| Change::set(name, "v")).into_iter().chain([
        Change::remove("name"),
        Change::set("mappings", "[]"),
        Change::set("block_device_mapping", "[]"),
        Change::set("a/b", "v"),
        Change::set(" k", "v"),
        Change::set("p", "\u{1f600}"),
        Change::set("p", 5),
        Change::set("kernel_id", "none"),
    ]);
    for change in refused {
        let outcome = compute.update(id, &[Change::set("q", "v"), change.clone()]).await;
        let error = outcome.unwrap_err();
        assert!(error.kind == Kind::Invalid && error.request_id.is_none(), "{change:?}: {error}");
    }
    assert_eq!(person.show(id.as_str()).await, before);
}

async fn more_properties_than_there_may_be_are_refused(target: &Target) {
    let many: Map<String, Value> = (0..128).map(|number| (format!("k{number}"), json!(number.to_string()))).collect();
    let (person, id) = with(target, many.into()).await;
    let compute = target.compute("demo").await;
    let one = [Change::set("x", "v")];
    let several = [Change::set("x", "v"), Change::set("y", "v")];
    let more_than_before = [Change::remove("k0"), Change::set("x", "v"), Change::set("y", "w")];
    for changes in [one.as_slice(), &several, &more_than_before] {
        let error = compute.update(id, changes).await.unwrap_err();
        assert_eq!(error.kind, Kind::OverQuota, "{error}");
    }
    let image = compute.update(id, &[Change::remove("k0"), Change::set("x", "v")]).await.unwrap();
    assert_eq!(items(&person, id, &image).await.as_object().unwrap().len(), 128);
}

async fn the_rest_of_an_image_stays(target: &Target) {
    let attributes = json!({"name": "n", "tags": ["t"], "os_hidden": true, "min_disk": 2, "p": "1", "q": "2"});
    let (person, id) = with(target, attributes).await;
    let mut before = person.show(id.as_str()).await;
    let changes = [Change::remove("p"), Change::set("r", "3")];
    target.compute("demo").await.update(id, &changes).await.unwrap();
    let after = person.show(id.as_str()).await;
    before.as_object_mut().unwrap().remove("p");
    before["r"] = "3".into();
    before["updated_at"] = after["updated_at"].clone();
    assert_eq!(after, before);
}

async fn others_change_nothing(target: &Target) {
    let (person, id) = with(target, json!({"a": "1"})).await;
    let community = target.image(&person, &json!({"a": "1", "visibility": "community"})).await;
    let (reader, alt) = (target.compute("reader").await, target.compute_allowed("alt").await);
    let cases: [(&Compute, ImageId, Kind); 3] =
        [(&reader, id, Kind::Forbidden), (&alt, id, Kind::NotFound), (&alt, community, Kind::Forbidden)];
    for (compute, id, kind) in cases {
        for changes in [
            vec![Change::set("a", "2")],
            vec![Change::remove("a")],
            vec![Change::set("a", "2"), Change::set("b", "2")],
            vec![Change::remove("a"), Change::set("b", "2")],
        ] {
            let error = compute.update(id, &changes).await.unwrap_err();
            assert_eq!(error.kind, kind, "{changes:?}: {error}");
        }
        assert_eq!(person.show(id.as_str()).await["a"], "1");
    }
    assert_eq!(person.show(community.as_str()).await["visibility"], "community");
}

async fn a_shared_image_is_refused_and_stays_shared(target: &Target) {
    let person = target.person("demo").await;
    let compute = target.compute("demo").await;
    for visibility in ["shared", "community"] {
        let id = target.image(&person, &json!({"a": "1", "visibility": visibility})).await;
        for changes in [vec![Change::set("a", "2")], vec![Change::remove("a")]] {
            let error = compute.update(id, &changes).await.unwrap_err();
            assert_eq!(error.kind, Kind::Forbidden);
            let sentence = error.to_string();
            assert!(sentence.starts_with(&format!("could not change image {id}: it is {visibility}, ")), "{sentence}");
            assert!(
                sentence.contains("--service image") && sentence.ends_with("--allow-visibility-change"),
                "{sentence}"
            );
        }
        let after = person.show(id.as_str()).await;
        assert_eq!((&after["a"], &after["visibility"]), (&json!("1"), &json!(visibility)));
    }
}

async fn a_shared_image_becomes_private_where_that_is_allowed(target: &Target) {
    let person = target.person("demo").await;
    let compute = target.compute_allowed("demo").await;
    for visibility in ["shared", "community", "private"] {
        let id = target.image(&person, &json!({"a": "1", "visibility": visibility})).await;
        compute.update(id, &[Change::set("a", "2")]).await.unwrap();
        let after = person.show(id.as_str()).await;
        assert_eq!((&after["a"], &after["visibility"]), (&json!("2"), &json!("private")), "{visibility}");
    }
}

async fn without_an_image_service_properties_change_only_where_that_is_allowed(target: &Target) {
    let (person, id) = with(target, json!({"a": "1"})).await;
    let refused: Result<Image, ServiceError> =
        target.compute_alone("demo", false).await.update(id, &[Change::set("a", "2")]).await;
    let error = refused.unwrap_err();
    assert_eq!(error.kind, Kind::Forbidden);
    assert!(error.to_string().contains("--allow-visibility-change"), "{error}");
    assert_eq!(person.show(id.as_str()).await["a"], "1");
    let image = target.compute_alone("demo", true).await.update(id, &[Change::set("a", "2")]).await.unwrap();
    assert_eq!(items(&person, id, &image).await, json!({"a": "2"}));
}

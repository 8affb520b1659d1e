//! GET /v2/images: pages, order, filters. Each contract marks its images with a tag of its own, because a real service
//! is shared with others.

use serde_json::{Value, json};

use crate::person::Person;
use crate::target::Target;

crate::contracts![
    a_page_has_its_images_and_the_way_to_the_next,
    the_next_page_of_a_full_last_one_is_empty,
    a_limit_is_a_number_and_zero_is_one,
    a_marker_that_is_no_image_is_refused,
    a_marker_need_not_match_the_filter,
    the_default_order_is_newest_first,
    sorting_takes_keys_and_directions,
    sorting_refuses_what_it_does_not_know,
    the_two_forms_of_sorting_do_not_mix,
    own_images_are_listed_and_those_of_others_are_not,
    community_images_are_listed_when_asked_for,
    public_images_are_listed_for_everybody,
    visibility_filters_by_its_words,
    member_status_filters_by_its_words,
    hidden_images_are_listed_alone,
    protected_is_true_or_false_in_lower_case,
    a_name_is_exact_and_the_last_one_counts,
    an_empty_name_is_a_name,
    several_tags_must_all_be_there,
    one_of_several_words_is_written_in,
    names_with_commas_are_quoted,
    times_have_no_list,
    sizes_have_bounds_that_count,
    exact_attributes_filter,
    times_compare_with_operators,
    a_time_as_shown_is_before_the_time_as_kept,
    a_time_that_is_none_is_refused,
    a_property_filters_exactly,
    an_unknown_status_lists_nothing,
    a_changed_since_is_not_known,
    the_links_keep_the_last_of_repeated_keys,
];

/// What marks the images of one contract.
fn mark() -> String {
    format!("mark-{}", uuid::Uuid::new_v4().simple())
}

/// Images of `person` with these names, made in this order, all with the tag `mark`.
async fn named(target: &Target, person: &Person, mark: &str, names: &[&str]) -> Vec<Value> {
    let mut images = Vec::new();
    for name in names {
        images.push(target.image(person, json!({"name": name, "tags": [mark]})).await);
    }
    images
}

fn id(image: &Value) -> &str {
    image["id"].as_str().unwrap()
}

async fn a_page_has_its_images_and_the_way_to_the_next(target: &Target) {
    let (demo, mark) = (target.person("demo").await, mark());
    named(target, &demo, &mark, &["a", "b", "c"]).await;
    let path = format!("/v2/images?tag={mark}&sort=name:asc&limit=2");
    let page = demo.get(&path).await.is(200).json();
    assert_eq!(page["schema"], "/v2/schemas/images");
    let first = page["first"].as_str().unwrap();
    assert!(first.starts_with("/v2/images?") && !first.contains("marker"), "{first}");
    assert_eq!(page["images"].as_array().unwrap().len(), 2);
    let next = page["next"].as_str().unwrap();
    assert!(next.contains(&format!("marker={}", id(&page["images"][1]))), "{next}");
    let rest = demo.get(next).await.is(200).json();
    assert_eq!(rest["images"][0]["name"], "c");
    assert_eq!((rest["images"].as_array().unwrap().len(), rest.get("next")), (1, None));
    assert_eq!(demo.get(first).await.is(200).json()["images"], page["images"]);
}

async fn the_next_page_of_a_full_last_one_is_empty(target: &Target) {
    let (demo, mark) = (target.person("demo").await, mark());
    named(target, &demo, &mark, &["a", "b"]).await;
    let page = demo.get(&format!("/v2/images?tag={mark}&limit=2")).await.is(200).json();
    let last = demo.get(page["next"].as_str().unwrap()).await.is(200).json();
    assert_eq!((&last["images"], last.get("next")), (&json!([]), None));
}

async fn a_limit_is_a_number_and_zero_is_one(target: &Target) {
    let demo = target.person("demo").await;
    assert_eq!(demo.list("limit=0").await, Vec::<Value>::new());
    demo.get("/v2/images?limit=-1").await.is(400).says("limit param must be positive");
    demo.get("/v2/images?limit=x").await.is(400).says("limit param must be an integer");
    demo.get("/v2/images?limit=100000").await.is(200);
}

async fn a_marker_that_is_no_image_is_refused(target: &Target) {
    let demo = target.person("demo").await;
    let image = target.image(&demo, json!({})).await;
    demo.delete(id(&image)).await.is(204);
    for marker in [id(&image), "x"] {
        demo.get(&format!("/v2/images?marker={marker}"))
            .await
            .is(400)
            .says(&format!("No image found with ID {marker}"));
    }
}

async fn a_marker_need_not_match_the_filter(target: &Target) {
    let (demo, mark) = (target.person("demo").await, mark());
    let images = named(target, &demo, &mark, &["a", "b"]).await;
    let query = format!("tag={mark}&name=b&sort=name:asc&marker={}", id(&images[0]));
    assert_eq!(demo.names(&query).await, ["b"]);
}

async fn the_default_order_is_newest_first(target: &Target) {
    let (demo, mark) = (target.person("demo").await, mark());
    named(target, &demo, &mark, &["first", "second", "third"]).await;
    assert_eq!(demo.names(&format!("tag={mark}")).await, ["third", "second", "first"]);
}

async fn sorting_takes_keys_and_directions(target: &Target) {
    let (demo, mark) = (target.person("demo").await, mark());
    named(target, &demo, &mark, &["b", "a", "c", "b"]).await;
    for (order, expected) in [
        ("sort=name:asc", "a b b c"),
        ("sort=name", "c b b a"),
        ("sort=name:asc,created_at:desc", "a b b c"),
        ("sort_key=name&sort_dir=asc", "a b b c"),
        ("sort_key=status&sort_dir=asc&sort_key=name&sort_dir=desc", "c b b a"),
        ("sort_key=status&sort_key=name&sort_dir=asc", "a b b c"),
        ("sort_key=created_at&sort_dir=asc", "b a c b"),
    ] {
        assert_eq!(demo.names(&format!("tag={mark}&{order}")).await.join(" "), expected, "{order}");
    }
    for key in ["status", "container_format", "disk_format", "size", "id", "created_at", "updated_at"] {
        assert_eq!(demo.list(&format!("tag={mark}&sort={key}:asc")).await.len(), 4, "{key}");
    }
}

async fn sorting_refuses_what_it_does_not_know(target: &Target) {
    let demo = target.person("demo").await;
    for order in
        ["sort=owner", "sort_key=min_disk", "sort=name:up", "sort_dir=up", "sort_key=name&sort_dir=asc&sort_dir=asc"]
    {
        assert_eq!(demo.get(&format!("/v2/images?{order}")).await.status, 400, "{order}");
    }
}

async fn the_two_forms_of_sorting_do_not_mix(target: &Target) {
    target.person("demo").await.get("/v2/images?sort=name&sort_key=name").await.is(400);
}

async fn own_images_are_listed_and_those_of_others_are_not(target: &Target) {
    let (demo, mark) = (target.person("demo").await, mark());
    for visibility in ["private", "shared", "community"] {
        target.image(&demo, json!({"name": visibility, "visibility": visibility, "tags": [mark]})).await;
    }
    let query = format!("tag={mark}&sort=name:asc");
    for (name, expected) in [
        ("demo", "community private shared"),
        ("demo2", "community private shared"),
        ("alt", ""),
        ("admin", "private shared"),
    ] {
        assert_eq!(target.person(name).await.names(&query).await.join(" "), expected, "{name}");
    }
}

async fn community_images_are_listed_when_asked_for(target: &Target) {
    let (demo, alt, mark) = (target.person("demo").await, target.person("alt").await, mark());
    target.image(&demo, json!({"name": "c", "visibility": "community", "tags": [mark]})).await;
    for visibility in ["community", "all"] {
        assert_eq!(alt.names(&format!("tag={mark}&visibility={visibility}")).await, ["c"], "{visibility}");
    }
}

async fn public_images_are_listed_for_everybody(target: &Target) {
    let (admin, mark) = (target.person("admin").await, mark());
    target.image(&admin, json!({"name": "p", "visibility": "public", "tags": [mark]})).await;
    for name in ["demo", "alt", "reader"] {
        assert_eq!(target.person(name).await.names(&format!("tag={mark}")).await, ["p"], "{name}");
    }
}

async fn visibility_filters_by_its_words(target: &Target) {
    let (demo, mark) = (target.person("demo").await, mark());
    for visibility in ["private", "shared", "community"] {
        target.image(&demo, json!({"name": visibility, "visibility": visibility, "tags": [mark]})).await;
    }
    for (word, expected) in [
        ("private", "private"),
        ("shared", "shared"),
        ("community", "community"),
        ("public", ""),
        ("all", "community private shared"),
    ] {
        let names = demo.names(&format!("tag={mark}&sort=name:asc&visibility={word}")).await;
        assert_eq!(names.join(" "), expected, "{word}");
    }
    demo.get("/v2/images?visibility=bogus").await.is(400).says("Invalid visibility value: bogus");
}

async fn member_status_filters_by_its_words(target: &Target) {
    let (demo, mark) = (target.person("demo").await, mark());
    named(target, &demo, &mark, &["own"]).await;
    for word in ["pending", "accepted", "rejected", "all"] {
        assert_eq!(demo.names(&format!("tag={mark}&member_status={word}")).await, ["own"], "{word}");
    }
    demo.get("/v2/images?member_status=bogus").await.is(400).says("Invalid status: bogus");
}

async fn hidden_images_are_listed_alone(target: &Target) {
    let (demo, mark) = (target.person("demo").await, mark());
    named(target, &demo, &mark, &["seen"]).await;
    target.image(&demo, json!({"name": "hidden", "os_hidden": true, "tags": [mark]})).await;
    for (value, expected) in
        [("", "seen"), ("&os_hidden=false", "seen"), ("&os_hidden=TRUE", "hidden"), ("&os_hidden=true", "hidden")]
    {
        assert_eq!(demo.names(&format!("tag={mark}{value}")).await, [expected], "{value}");
    }
    demo.get("/v2/images?os_hidden=1").await.is(400);
}

async fn protected_is_true_or_false_in_lower_case(target: &Target) {
    let (demo, mark) = (target.person("demo").await, mark());
    named(target, &demo, &mark, &["open"]).await;
    assert_eq!(demo.names(&format!("tag={mark}&protected=false")).await, ["open"]);
    assert_eq!(demo.names(&format!("tag={mark}&protected=true")).await, [""; 0]);
    demo.get("/v2/images?protected=True").await.is(400);
}

async fn a_name_is_exact_and_the_last_one_counts(target: &Target) {
    let (demo, mark) = (target.person("demo").await, mark());
    named(target, &demo, &mark, &["a", "A", "ab"]).await;
    assert_eq!(demo.names(&format!("tag={mark}&name=a")).await, ["a"]);
    assert_eq!(demo.names(&format!("tag={mark}&name=a&name=ab")).await, ["ab"]);
}

async fn an_empty_name_is_a_name(target: &Target) {
    let (demo, mark) = (target.person("demo").await, mark());
    named(target, &demo, &mark, &["", "a"]).await;
    target.image(&demo, json!({"tags": [mark]})).await;
    assert_eq!(demo.names(&format!("tag={mark}&name=")).await, [""]);
}

async fn several_tags_must_all_be_there(target: &Target) {
    let (demo, mark) = (target.person("demo").await, mark());
    target.image(&demo, json!({"name": "both", "tags": [mark, "x", "y"]})).await;
    target.image(&demo, json!({"name": "one", "tags": [mark, "x"]})).await;
    assert_eq!(demo.names(&format!("tag={mark}&tag=x&tag=y")).await, ["both"]);
    assert_eq!(demo.names(&format!("tag={mark}&tag=in:x,y")).await, [""; 0]);
}

async fn one_of_several_words_is_written_in(target: &Target) {
    let (demo, mark) = (target.person("demo").await, mark());
    let images = named(target, &demo, &mark, &["a", "b", "c"]).await;
    let ids = format!("id=in:{},{}", id(&images[0]), id(&images[2]));
    for (filter, expected) in
        [("name=in:a,c", "a c"), (ids.as_str(), "a c"), ("status=in:queued,active", "a b c"), ("status=in:active", "")]
    {
        let names = demo.names(&format!("tag={mark}&sort=name:asc&{filter}")).await;
        assert_eq!(names.join(" "), expected, "{filter}");
    }
    target.image(&demo, json!({"name": "q", "disk_format": "qcow2", "container_format": "bare", "tags": [mark]})).await;
    for filter in
        ["disk_format=in:qcow2,raw", "container_format=in:bare,ovf", "disk_format=qcow2", "container_format=bare"]
    {
        assert_eq!(demo.names(&format!("tag={mark}&{filter}")).await, ["q"], "{filter}");
    }
}

async fn names_with_commas_are_quoted(target: &Target) {
    let (demo, mark) = (target.person("demo").await, mark());
    named(target, &demo, &mark, &["a,b", "c"]).await;
    assert_eq!(demo.names(&format!("tag={mark}&sort=name:asc&name=in:%22a,b%22,c")).await, ["a,b", "c"]);
    demo.get("/v2/images?name=in:%22L1").await.is(400);
}

async fn times_have_no_list(target: &Target) {
    let demo = target.person("demo").await;
    demo.get("/v2/images?created_at=in:2026-01-01T00:00:00Z").await.is(400);
}

async fn sizes_have_bounds_that_count(target: &Target) {
    let (demo, mark) = (target.person("demo").await, mark());
    let raw = json!({"name": "ten", "tags": [mark], "disk_format": "raw", "container_format": "bare"});
    let image = target.image(&demo, raw).await;
    demo.upload(id(&image), b"0123456789").await.is(204);
    for (filter, found) in [
        ("size_min=10", 1),
        ("size_min=11", 0),
        ("size_max=10", 1),
        ("size_max=9", 0),
        ("size_min=10&size_max=10", 1),
        ("size=10", 1),
        ("size=11", 0),
    ] {
        assert_eq!(demo.list(&format!("tag={mark}&{filter}")).await.len(), found, "{filter}");
    }
    demo.get("/v2/images?size_min=x").await.is(400);
}

async fn exact_attributes_filter(target: &Target) {
    let (demo, alt, mark) = (target.person("demo").await, target.person("alt").await, mark());
    let raw = json!({"tags": [mark], "disk_format": "raw", "container_format": "bare", "min_disk": 3, "min_ram": 4});
    let image = target.image(&demo, raw).await;
    demo.upload(id(&image), b"0123456789").await.is(204);
    let image = demo.show(id(&image)).await;
    for (attribute, value) in [
        ("id", image["id"].as_str().unwrap()),
        ("checksum", image["checksum"].as_str().unwrap()),
        ("os_hash_value", image["os_hash_value"].as_str().unwrap()),
        ("owner", demo.project.as_str()),
        ("min_disk", "3"),
        ("min_ram", "4"),
        ("status", "active"),
    ] {
        assert_eq!(demo.list(&format!("tag={mark}&{attribute}={value}")).await.len(), 1, "{attribute}");
    }
    for wrong in ["min_disk=2", "min_ram=5", "checksum=00", "os_hash_value=00", "status=queued"] {
        assert_eq!(demo.list(&format!("tag={mark}&{wrong}")).await.len(), 0, "{wrong}");
    }
    assert_eq!(alt.list(&format!("tag={mark}&owner={}", demo.project)).await.len(), 0);
}

async fn times_compare_with_operators(target: &Target) {
    let (demo, mark) = (target.person("demo").await, mark());
    named(target, &demo, &mark, &["a"]).await;
    let forms = ["2001-02-03T04:05:06Z", "2001-02-03T04:05:06%2B00:00", "2001-02-03T04:05:06.123456Z", "2001-02-03"];
    for key in ["created_at", "updated_at"] {
        for past in forms {
            for (operator, found) in
                [("gt:", 1), ("gte:", 1), ("lt:", 0), ("lte:", 0), ("eq:", 0), ("neq:", 1), ("", 0)]
            {
                let query = format!("tag={mark}&{key}={operator}{past}");
                assert_eq!(demo.list(&query).await.len(), found, "{query}");
            }
        }
    }
}

async fn a_time_as_shown_is_before_the_time_as_kept(target: &Target) {
    let (demo, mark) = (target.person("demo").await, mark());
    let image = named(target, &demo, &mark, &["a"]).await.remove(0);
    let shown = image["updated_at"].as_str().unwrap();
    // Times are kept to the microsecond and shown without; one in a million happens to be whole.
    for (operator, found) in [("gte:", 1), ("gt:", 1), ("lt:", 0), ("eq:", 0)] {
        assert_eq!(demo.list(&format!("tag={mark}&updated_at={operator}{shown}")).await.len(), found, "{operator}");
    }
}

async fn a_time_that_is_none_is_refused(target: &Target) {
    let demo = target.person("demo").await;
    for query in ["created_at=junk", "updated_at=gt:junk", "created_at=near:2026-01-01", "updated_at=in:2026-01-01"] {
        assert_eq!(demo.get(&format!("/v2/images?{query}")).await.status, 400, "{query}");
    }
}

async fn a_property_filters_exactly(target: &Target) {
    let (demo, mark) = (target.person("demo").await, mark());
    target.image(&demo, json!({"name": "a", "tags": [mark], "colour": "red", "shape": "round"})).await;
    for (filter, found) in [
        ("colour=red", 1),
        ("colour=Red", 0),
        ("colour=red&shape=round", 1),
        ("colour=red&shape=flat", 0),
        ("nothing=x", 0),
        ("property-colour=red", 0),
        ("colour=in:red,blue", 0),
    ] {
        assert_eq!(demo.list(&format!("tag={mark}&{filter}")).await.len(), found, "{filter}");
    }
}

async fn an_unknown_status_lists_nothing(target: &Target) {
    let demo = target.person("demo").await;
    for status in ["bogus", "deleted"] {
        assert_eq!(demo.list(&format!("status={status}")).await.len(), 0, "{status}");
    }
}

async fn a_changed_since_is_not_known(target: &Target) {
    target.person("demo").await.get("/v2/images?changes-since=2026-01-01").await.is(400);
}

async fn the_links_keep_the_last_of_repeated_keys(target: &Target) {
    let (demo, mark) = (target.person("demo").await, mark());
    named(target, &demo, &mark, &["a"]).await;
    let page = demo.get(&format!("/v2/images?tag={mark}&tag={mark}&name=z&name=a&limit=1")).await.is(200).json();
    for link in ["first", "next"] {
        let link = page[link].as_str().unwrap();
        assert_eq!((link.matches("tag=").count(), link.matches("name=").count()), (1, 1), "{link}");
        assert!(link.contains("name=a"), "{link}");
    }
}

//! GET /images of the Compute API: filters alone and in pairs, pages. Each contract marks its images with the id of a
//! server of its own, because a real service is shared with others.

use serde_json::{Map, Value, json};

use crate::person::Person;
use crate::target::Target;

crate::contracts![
    a_listing_shows_ids_names_and_links,
    a_listing_shows_what_one_sees_in_the_image_service,
    newest_first_is_the_order,
    each_filter_alone_selects,
    each_pair_of_filters_selects_what_both_do,
    a_filter_that_matches_nothing_lists_nothing,
    a_status_is_that_of_the_image_service_in_any_case,
    a_server_is_an_id_or_any_address_of_it,
    a_time_of_change_is_written_as_in_iso_8601,
    of_repeated_filters_the_last_counts,
    what_is_no_filter_is_ignored,
    a_property_is_named_without_the_letters_of_the_prefix,
    a_limit_is_a_number_from_one_on,
    a_marker_must_be_an_image_that_one_sees,
    pages_follow_each_other,
    a_full_last_page_leads_to_an_empty_one,
    the_next_page_keeps_the_known_parameters,
    a_query_is_utf_8,
];

/// The id of a server that has no images but those of one contract.
fn mark() -> String {
    uuid::Uuid::new_v4().to_string()
}

/// An image of `person` with the mark; its id.
async fn marked(target: &Target, person: &Person, mark: &str, attributes: Value) -> String {
    let Value::Object(mut attributes) = attributes else { panic!("{attributes}") };
    attributes.insert("instance_uuid".to_owned(), mark.into());
    let image = target.image(person, attributes.into()).await;
    image["id"].as_str().unwrap().to_owned()
}

/// The ids that a listing shows, in its order.
async fn ids(person: &Person, query: &str) -> Vec<String> {
    let body = person.ask(&format!("/images?{query}")).await.is(200).json();
    let images = body["images"].as_array().unwrap();
    images.iter().map(|image| image["id"].as_str().unwrap().to_owned()).collect()
}

/// The query of the page that a page leads to.
fn next(page: &Value) -> Option<String> {
    let links = page.get("images_links")?;
    assert_eq!((links.as_array().unwrap().len(), &links[0]["rel"]), (1, &json!("next")));
    Some(links[0]["href"].as_str().unwrap().split_once('?').unwrap().1.to_owned())
}

async fn a_listing_shows_ids_names_and_links(target: &Target) {
    let (demo, mark) = (target.person("demo").await, mark());
    let id = marked(target, &demo, &mark, json!({"name": "a b"})).await;
    let body = demo.ask(&format!("/images?server={mark}")).await.is(200).json();
    let compute = demo.compute.as_deref().unwrap();
    let links = json!([
        {"rel": "self", "href": format!("{compute}/images/{id}")},
        {"rel": "bookmark", "href": format!("{}/images/{id}", compute.trim_end_matches("/v2.1"))},
        {"rel": "alternate", "type": "application/vnd.openstack.image", "href": format!("{}/images/{id}", demo.glance)},
    ]);
    assert_eq!(body, json!({"images": [{"id": id, "name": "a b", "links": links}]}));
}

async fn a_listing_shows_what_one_sees_in_the_image_service(target: &Target) {
    let (demo, reader, alt) = (target.person("demo").await, target.person("reader").await, target.person("alt").await);
    let (admin, mark) = (target.person("admin").await, mark());
    let mut made = Map::new();
    for visibility in ["private", "shared", "community"] {
        made.insert(visibility.into(), marked(target, &demo, &mark, json!({"visibility": visibility})).await.into());
    }
    made.insert("public".into(), marked(target, &admin, &mark, json!({"visibility": "public"})).await.into());
    made.insert("hidden".into(), marked(target, &demo, &mark, json!({"os_hidden": true})).await.into());
    let seen = async |person: &Person| {
        let listed = ids(person, &format!("server={mark}")).await;
        let name = |id: &String| made.iter().find(|(_, made)| *made == id).map(|(name, _)| name.clone());
        listed.iter().filter_map(name).collect::<std::collections::BTreeSet<_>>().into_iter().collect::<Vec<_>>()
    };
    assert_eq!(seen(&demo).await, ["community", "private", "public", "shared"]);
    assert_eq!(seen(&reader).await, ["community", "private", "public", "shared"]);
    assert_eq!(seen(&alt).await, ["public"]);
    let members = format!("/v2/images/{}/members", made["shared"].as_str().unwrap());
    demo.post(&members, &json!({"member": alt.project})).await.is(200);
    assert_eq!(seen(&alt).await, ["public"]);
    let accepted = json!({"status": "accepted"});
    alt.request("PUT", &format!("{members}/{}", alt.project)).json(&accepted).send().await.is(200);
    assert_eq!(seen(&alt).await, ["public", "shared"]);
}

async fn newest_first_is_the_order(target: &Target) {
    let (demo, mark) = (target.person("demo").await, mark());
    let mut made = Vec::new();
    for name in ["b", "c", "a"] {
        made.insert(0, marked(target, &demo, &mark, json!({"name": name})).await);
    }
    assert_eq!(ids(&demo, &format!("server={mark}")).await, made);
    assert_eq!(ids(&demo, &format!("server={mark}&sort_key=name&sort=name:asc")).await, made);
}

/// One image that every filter of [`FILTERS`] selects, and one that none does.
async fn two(target: &Target, demo: &Person) -> (String, String, String) {
    let mark = mark();
    let snapshot = format!("kind-{mark}");
    let attributes = json!({"name": format!("one {mark}"), "image_type": snapshot, "min_disk": 3, "min_ram": 5});
    let one = marked(target, demo, &mark, attributes).await;
    let formats = json!({"name": format!("two {mark}"), "disk_format": "raw", "container_format": "bare"});
    let other = target.image(demo, formats).await["id"].as_str().unwrap().to_owned();
    demo.upload(&other, b"x").await.is(204);
    (mark, one, other)
}

/// Filters with a value that only the first image has, `@` standing for the mark of the contract.
const FILTERS: [&str; 8] = [
    "server=@",
    "name=one%20@",
    "status=QUEUED",
    "type=kind-@",
    "minDisk=3",
    "minRam=5",
    "property-image_type=kind-@",
    "name=in:%22one%20@%22,x",
];

async fn each_filter_alone_selects(target: &Target) {
    let demo = target.person("demo").await;
    let (mark, one, other) = two(target, &demo).await;
    for filter in FILTERS {
        for listing in ["images", "images/detail"] {
            let query = format!("/{listing}?{}", filter.replace('@', &mark));
            let body = demo.ask(&query).await.is(200).json();
            let has = |id: &str| body["images"].as_array().unwrap().iter().any(|image| image["id"] == id);
            assert!(has(&one) && !has(&other), "{query}: {body}");
        }
    }
    for since in ["2020", "2020-01-01", "2020-01-01T00:00:00Z"] {
        let listed = ids(&demo, &format!("changes-since={since}")).await;
        assert!(listed.contains(&one) && listed.contains(&other), "{since}");
    }
    assert_eq!(ids(&demo, "limit=1").await.len(), 1);
    let behind = ids(&demo, &format!("marker={other}")).await;
    assert!(behind.contains(&one) && !behind.contains(&other));
}

async fn each_pair_of_filters_selects_what_both_do(target: &Target) {
    let demo = target.person("demo").await;
    let (mark, one, other) = two(target, &demo).await;
    let pairs = [
        ("server=@", true),
        ("name=one%20@", true),
        ("status=queued", true),
        ("type=kind-@", true),
        ("changes-since=2020-01-01", true),
        ("minDisk=3", true),
        ("minRam=5", true),
        ("limit=1000", true),
        (&format!("marker={other}"), true),
        ("name=two%20@", false),
        ("status=active", false),
        ("type=kind", false),
        ("changes-since=2099-01-01", false),
        ("minDisk=2", false),
        ("minRam=0", false),
        ("server=x", false),
        (&format!("marker={one}"), false),
    ];
    for (at, (first, selects)) in pairs.iter().enumerate() {
        for (second, also) in pairs.iter().skip(at + 1) {
            let key = |filter: &str| filter.split('=').next().unwrap().to_owned();
            if key(first) == key(second) {
                continue;
            }
            let query = format!("{first}&{second}").replace('@', &mark);
            let listed = ids(&demo, &query).await;
            assert_eq!(listed.contains(&one), *selects && *also, "{query}");
        }
    }
}

async fn a_filter_that_matches_nothing_lists_nothing(target: &Target) {
    let (demo, mark) = (target.person("demo").await, mark());
    marked(target, &demo, &mark, json!({"name": "n", "image_type": "snapshot"})).await;
    for filter in [
        "name=N",
        "name=",
        "status=bogus",
        "status=",
        "type=SNAPSHOT",
        "minDisk=x",
        "minDisk=",
        "minRam=-1",
        "changes-since=2099-01-01T00:00:00Z",
        "property-x=y",
        "property-name=x",
    ] {
        assert!(ids(&demo, &format!("server={mark}&{filter}")).await.is_empty(), "{filter}");
    }
    assert!(ids(&demo, "server=").await.is_empty());
}

async fn a_status_is_that_of_the_image_service_in_any_case(target: &Target) {
    let (demo, mark) = (target.person("demo").await, mark());
    let formats = json!({"disk_format": "raw", "container_format": "bare"});
    let queued = marked(target, &demo, &mark, formats.clone()).await;
    let active = marked(target, &demo, &mark, formats.clone()).await;
    demo.upload(&active, b"x").await.is(204);
    let deactivated = marked(target, &demo, &mark, formats).await;
    demo.upload(&deactivated, b"x").await.is(204);
    demo.act(&deactivated, "deactivate").await.is(204);
    for (status, expected) in [
        ("ACTIVE", vec![&active]),
        ("active", vec![&active]),
        ("Queued", vec![&queued]),
        ("DEACTIVATED", vec![&deactivated]),
        ("in:ACTIVE,queued", vec![&active, &queued]),
        // The words that images are shown with find nothing, but for ACTIVE.
        ("SAVING", vec![]),
        ("UNKNOWN", vec![]),
        ("ERROR", vec![]),
        ("DELETED", vec![]),
    ] {
        let listed = ids(&demo, &format!("server={mark}&status={status}")).await;
        assert_eq!(listed.iter().collect::<Vec<_>>(), expected, "{status}");
    }
}

async fn a_server_is_an_id_or_any_address_of_it(target: &Target) {
    let (demo, mark) = (target.person("demo").await, mark());
    let id = marked(target, &demo, &mark, json!({})).await;
    for server in [mark.clone(), format!("http://cloud/v2.1/servers/{mark}"), format!("x/{mark}")] {
        assert_eq!(ids(&demo, &format!("server={server}")).await, [id.as_str()], "{server}");
    }
    assert!(ids(&demo, &format!("server={mark}/")).await.is_empty());
}

async fn a_time_of_change_is_written_as_in_iso_8601(target: &Target) {
    let (demo, mark) = (target.person("demo").await, mark());
    let id = marked(target, &demo, &mark, json!({})).await;
    let updated = demo.show(&id).await["updated_at"].as_str().unwrap().to_owned();
    for since in [updated.as_str(), "2020", "2020-01-01T00:00:00%2B01:00"] {
        assert_eq!(ids(&demo, &format!("server={mark}&changes-since={since}")).await, [id.as_str()], "{since}");
    }
    for since in ["junk", "", "1577836800"] {
        let answer = demo.ask(&format!("/images?changes-since={since}")).await.is(400);
        answer.faults("badRequest", "HTTP 400 Bad Request: Bad &quot;updated_at&quot; query filter format.");
    }
}

async fn of_repeated_filters_the_last_counts(target: &Target) {
    let (demo, mark) = (target.person("demo").await, mark());
    let one = marked(target, &demo, &mark, json!({"name": "one", "image_type": "x"})).await;
    let two = marked(target, &demo, &mark, json!({"name": "two", "image_type": "y"})).await;
    assert_eq!(ids(&demo, &format!("server={mark}&name=two&name=one")).await, [one.as_str()]);
    assert_eq!(ids(&demo, &format!("server={mark}&limit=2&limit=1")).await, [two.as_str()]);
    assert_eq!(ids(&demo, &format!("server={mark}&type=x&property-image_type=y")).await, [two]);
    assert_eq!(ids(&demo, &format!("server={mark}&property-image_type=y&type=x")).await, [one]);
}

async fn what_is_no_filter_is_ignored(target: &Target) {
    let (demo, mark) = (target.person("demo").await, mark());
    let id = marked(target, &demo, &mark, json!({})).await;
    for more in ["x=y", "visibility=bogus", "min_disk=7", "owner=x", "tag=x", "offset=1", "page_size=1", "a", "bogus="]
    {
        assert_eq!(ids(&demo, &format!("server={mark}&{more}")).await, [id.as_str()], "{more}");
    }
}

async fn a_property_is_named_without_the_letters_of_the_prefix(target: &Target) {
    let (demo, mark) = (target.person("demo").await, mark());
    let id = marked(target, &demo, &mark, json!({"x": "1", "os_distro": "debian", "s_distro": "else"})).await;
    assert_eq!(ids(&demo, &format!("server={mark}&property-x=1")).await, [id.as_str()]);
    assert!(ids(&demo, &format!("server={mark}&property-os_distro=debian")).await.is_empty());
    assert_eq!(ids(&demo, &format!("server={mark}&property-os_distro=else")).await, [id]);
}

async fn a_limit_is_a_number_from_one_on(target: &Target) {
    let demo = target.person("demo").await;
    for (limit, words) in [
        ("0", "Value: 0. 0 is less than the minimum of 1"),
        ("-1", "Value: -1. '-1' does not match '^[0-9]*$'"),
        ("x", "Value: x. 'x' does not match '^[0-9]*$'"),
        ("1.0", "Value: 1.0. '1.0' does not match '^[0-9]*$'"),
        ("", "Value: . '' should be non-empty"),
    ] {
        for listing in ["images", "images/detail"] {
            let answer = demo.ask(&format!("/{listing}?limit={limit}")).await.is(400);
            answer.faults("badRequest", &format!("Invalid input for query parameters limit. {words}"));
        }
    }
    demo.ask("/images?limit=1&limit=x").await.is(400);
    demo.ask("/images?offset=x").await.is(400).faults("badRequest", "query parameters offset");
    demo.ask("/images?limit=5000").await.is(200);
}

async fn a_marker_must_be_an_image_that_one_sees(target: &Target) {
    let (demo, alt) = (target.person("demo").await, target.person("alt").await);
    let gone = target.empty(&demo).await;
    demo.delete(&gone).await.is(204);
    for marker in ["x", &gone] {
        let answer = demo.ask(&format!("/images?marker={marker}")).await.is(400);
        answer.faults("badRequest", &format!("HTTP 400 Bad Request: No image found with ID {marker}"));
    }
    let theirs = target.empty(&alt).await;
    let answer = demo.ask(&format!("/images?marker={theirs}")).await.is(403);
    answer.faults("forbidden", &format!("HTTP 403 Forbidden: Forbidding request, image {theirs} not visible"));
    demo.ask("/images?marker=&limit=1").await.is(200);
}

async fn pages_follow_each_other(target: &Target) {
    let (demo, mark) = (target.person("demo").await, mark());
    let mut made = Vec::new();
    for _ in 0..5 {
        made.insert(0, marked(target, &demo, &mark, json!({})).await);
    }
    for listing in ["images", "images/detail"] {
        let (mut query, mut seen) = (Some(format!("limit=2&server={mark}")), Vec::new());
        let mut pages = 0;
        while let Some(text) = query {
            let page = demo.ask(&format!("/{listing}?{text}")).await.is(200).json();
            let shown = page["images"].as_array().unwrap();
            seen.extend(shown.iter().map(|image| image["id"].as_str().unwrap().to_owned()));
            if let Some(links) = page.get("images_links") {
                let path = format!("{}/{listing}?", demo.compute.as_deref().unwrap());
                assert!(links[0]["href"].as_str().unwrap().starts_with(&path), "{links}");
            }
            query = next(&page);
            pages += 1;
        }
        assert_eq!((seen, pages), (made.clone(), 3), "{listing}");
    }
}

async fn a_full_last_page_leads_to_an_empty_one(target: &Target) {
    let (demo, mark) = (target.person("demo").await, mark());
    marked(target, &demo, &mark, json!({})).await;
    let page = demo.ask(&format!("/images?limit=1&server={mark}")).await.is(200).json();
    let rest = demo.ask(&format!("/images?{}", next(&page).unwrap())).await.is(200).json();
    assert_eq!(rest, json!({"images": []}));
    let page = demo.ask(&format!("/images?server={mark}")).await.is(200).json();
    assert_eq!((page["images"].as_array().unwrap().len(), next(&page)), (1, None));
}

async fn the_next_page_keeps_the_known_parameters(target: &Target) {
    let (demo, mark) = (target.person("demo").await, mark());
    let id = marked(target, &demo, &mark, json!({"name": "a b", "x": "y"})).await;
    let query = format!("server={mark}&status=QUEUED&name=zz&name=a+b&limit=1&foo=bar&property-x=y&changes-since=2020");
    let page = demo.ask(&format!("/images?{query}")).await.is(200).json();
    // In order; of a repeated one the last in this order, whichever it was that counted.
    let expected = format!("changes-since=2020&limit=1&name=zz&property-x=y&server={mark}&status=QUEUED&marker={id}");
    assert_eq!(next(&page).unwrap(), expected);
}

async fn a_query_is_utf_8(target: &Target) {
    let demo = target.person("demo").await;
    for query in ["name=%ff", "%ff=1", "limit=%ff"] {
        let answer = demo.ask(&format!("/images?{query}")).await.is(400);
        answer.faults("badRequest", "Query string is not UTF-8 encoded");
    }
    let (name, mark) = ("\u{e9} \u{4e2d}", mark());
    let id = marked(target, &demo, &mark, json!({"name": name})).await;
    assert_eq!(ids(&demo, &format!("server={mark}&name=%C3%A9+%E4%B8%AD")).await, [id]);
}

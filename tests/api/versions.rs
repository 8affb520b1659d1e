//! Versions, and paths outside the API.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::target::Target;
use crate::wire::Request;

crate::contracts![
    the_root_offers_the_versions_as_a_choice,
    the_versions_page_is_an_ordinary_answer,
    every_version_of_the_api_is_listed_and_one_is_current,
    an_unknown_major_version_answers_with_the_versions,
    each_minor_version_in_the_path_works,
    the_bare_version_redirects_to_itself_with_a_slash,
    the_versions_need_a_token_below_v2,
    the_health_check_needs_no_token,
    a_path_that_is_nothing_is_not_found,
    a_slash_at_the_end_is_not_found,
    a_doubled_slash_does_not_matter,
];

fn anonymous(origin: &str, path: &str) -> Request {
    Request::new(origin, "GET", path)
}

fn ids(document: &Value) -> BTreeSet<String> {
    let versions = document["versions"].as_array().unwrap();
    versions.iter().map(|version| version["id"].as_str().unwrap().to_owned()).collect()
}

async fn the_root_offers_the_versions_as_a_choice(target: &Target) {
    let glance = target.person("demo").await.glance;
    let root = anonymous(&glance, "/").send().await.is(300);
    assert_eq!(root.header("x-openstack-request-id"), None);
    assert!(root.header("content-type").unwrap().starts_with("application/json"));
    assert!(ids(&root.json()).contains("v2.17"));
}

async fn the_versions_page_is_an_ordinary_answer(target: &Target) {
    let glance = target.person("demo").await.glance;
    let root = anonymous(&glance, "/").send().await.is(300).json();
    assert_eq!(anonymous(&glance, "/versions").send().await.is(200).json(), root);
}

async fn every_version_of_the_api_is_listed_and_one_is_current(target: &Target) {
    let glance = target.person("demo").await.glance;
    let document = anonymous(&glance, "/versions").send().await.is(200).json();
    let expected = (0..=13).chain([15, 17]).map(|minor| format!("v2.{minor}")).collect();
    assert_eq!(ids(&document), expected);
    for version in document["versions"].as_array().unwrap() {
        let status = if version["id"] == "v2.17" { "CURRENT" } else { "SUPPORTED" };
        assert_eq!(version["status"], status, "{version}");
        assert_eq!(version["links"][0]["rel"], "self");
        assert_eq!(version["links"][0]["href"], format!("{glance}/v2/"));
    }
}

async fn an_unknown_major_version_answers_with_the_versions(target: &Target) {
    let demo = target.person("demo").await;
    for path in ["/v1/images", "/v3/images"] {
        assert!(ids(&demo.get(path).await.is(300).json()).contains("v2.0"), "{path}");
    }
}

async fn each_minor_version_in_the_path_works(target: &Target) {
    let demo = target.person("demo").await;
    for minor in 0..=9 {
        demo.get(&format!("/v2.{minor}/images?limit=1")).await.is(200);
    }
}

async fn the_bare_version_redirects_to_itself_with_a_slash(target: &Target) {
    let demo = target.person("demo").await;
    let answer = demo.get("/v2").await.is(302);
    assert_eq!(answer.header("location"), Some(format!("{}/v2/", demo.glance).as_str()));
    demo.get("/v2/").await.is(404);
}

async fn the_versions_need_a_token_below_v2(target: &Target) {
    let glance = target.person("demo").await.glance;
    anonymous(&glance, "/v2").send().await.is(401);
    anonymous(&glance, "/v2/").send().await.is(401);
}

async fn the_health_check_needs_no_token(target: &Target) {
    let glance = target.person("demo").await.glance;
    assert_eq!(anonymous(&glance, "/healthcheck").send().await.is(200).text(), "OK");
}

async fn a_path_that_is_nothing_is_not_found(target: &Target) {
    target.person("demo").await.get("/v2/nope").await.is(404);
}

async fn a_slash_at_the_end_is_not_found(target: &Target) {
    let demo = target.person("demo").await;
    let id = target.filled(&demo, b"x").await;
    demo.get("/v2/images/").await.is(404);
    demo.get(&format!("/v2/images/{id}/")).await.is(404);
}

async fn a_doubled_slash_does_not_matter(target: &Target) {
    target.person("demo").await.get("/v2//images?limit=1").await.is(200);
}

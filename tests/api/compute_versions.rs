//! The Compute API's versions: their descriptions, microversions, and what lies beside them.

use serde_json::{Value, json};

use crate::person::Person;
use crate::target::Target;
use crate::wire::{Answer, Request};

crate::contracts![
    the_versions_are_told_without_a_login,
    a_version_is_described_without_a_login,
    a_path_without_a_version_is_a_choice,
    images_need_a_login,
    without_a_microversion_the_first_answers,
    images_end_with_microversion_2_35,
    metadata_ends_with_microversion_2_38,
    a_microversion_that_is_none_is_refused,
    the_old_version_knows_no_microversions,
    an_answer_tells_its_microversion,
    a_path_may_name_the_own_project_and_no_other,
    what_is_not_routed_is_refused_in_plain_form,
];

/// Where the API begins, with a slash at the end: `/` for a service of its own, `/compute/` beside others.
fn root(person: &Person) -> String {
    person.compute_place().1.trim_end_matches("v2.1").to_owned()
}

/// A request that nobody vouches for; the path begins before the version.
async fn anonymous(person: &Person, path: &str) -> Answer {
    let (origin, _) = person.compute_place();
    Request::new(origin, "GET", &format!("{}{path}", root(person))).header("Accept", "application/json").send().await
}

async fn the_versions_are_told_without_a_login(target: &Target) {
    let demo = target.person("demo").await;
    let versions = anonymous(&demo, "").await.is(200).json()["versions"].clone();
    let shown: Vec<(&Value, &Value)> =
        versions.as_array().unwrap().iter().map(|version| (&version["id"], &version["status"])).collect();
    assert_eq!(shown, [(&json!("v2.0"), &json!("DEPRECATED")), (&json!("v2.1"), &json!("CURRENT"))]);
    assert_eq!(versions[1]["min_version"], "2.1");
    let href = versions[1]["links"][0]["href"].as_str().unwrap();
    assert_eq!(href.trim_end_matches('/'), demo.compute.unwrap());
}

async fn a_version_is_described_without_a_login(target: &Target) {
    let demo = target.person("demo").await;
    for path in ["v2.1", "v2.1/"] {
        let answer = anonymous(&demo, path).await.is(200);
        let version = &answer.json()["version"];
        assert_eq!((&version["id"], &version["status"]), (&json!("v2.1"), &json!("CURRENT")), "{path}");
        assert_eq!(answer.header("openstack-api-version"), Some("compute 2.1"), "{path}");
    }
    assert_eq!(anonymous(&demo, "v2/").await.is(200).json()["version"]["id"], "v2.0");
}

async fn a_path_without_a_version_is_a_choice(target: &Target) {
    let demo = target.person("demo").await;
    let choices = anonymous(&demo, "v3/images").await.is(300).json()["choices"].clone();
    let href = choices[1]["links"][0]["href"].as_str().unwrap();
    assert_eq!(href, format!("{}/v3/images", demo.compute.unwrap()));
}

async fn images_need_a_login(target: &Target) {
    let demo = target.person("demo").await;
    for path in ["v2.1/images", "v2.1/images/x/metadata", "v2.1/nope", "v2.1/images/"] {
        let answer = anonymous(&demo, path).await.is(401);
        assert_eq!(answer.json()["error"]["code"], 401, "{path}");
        assert!(answer.header("www-authenticate").unwrap().starts_with("Keystone uri="), "{path}");
    }
    demo.nova("GET", "/images").header("X-Auth-Token", "junk").send().await.is(401);
}

async fn without_a_microversion_the_first_answers(target: &Target) {
    let demo = target.person("demo").await;
    for header in ["", "compute", "2.35", "image 2.35"] {
        let answer = demo.nova("GET", "/images?limit=1").header("OpenStack-API-Version", header).send().await.is(200);
        assert_eq!(answer.header("x-openstack-nova-api-version"), Some("2.1"), "{header}");
    }
}

async fn images_end_with_microversion_2_35(target: &Target) {
    let demo = target.person("demo").await;
    let id = target.empty(&demo).await;
    let at = |version: &str, method: &'static str, path: &str| {
        demo.nova(method, path).header("OpenStack-API-Version", &format!("compute {version}"))
    };
    let one = format!("/images/{id}");
    for path in ["/images", "/images/detail", &one] {
        at("2.35", "GET", path).send().await.is(200);
        for version in ["2.36", "latest"] {
            at(version, "GET", path).send().await.is(404).faults("itemNotFound", "The resource could not be found.");
        }
    }
    at("2.36", "DELETE", &one).send().await.is(404).faults("itemNotFound", "The resource could not be found.");
    demo.show(&id).await;
    at("2.35", "DELETE", &one).send().await.is(204);
}

async fn metadata_ends_with_microversion_2_38(target: &Target) {
    let demo = target.person("demo").await;
    let image = target.image(&demo, json!({"a": "1"})).await;
    let path = format!("/images/{}/metadata", image["id"].as_str().unwrap());
    let item = format!("{path}/a");
    let (items, meta) = (json!({"metadata": {"a": "2"}}), json!({"meta": {"a": "2"}}));
    let requests = || {
        [
            demo.nova("GET", &path),
            demo.nova("POST", &path).json(&items),
            demo.nova("PUT", &path).json(&items),
            demo.nova("GET", &item),
            demo.nova("PUT", &item).json(&meta),
            demo.nova("DELETE", &item),
        ]
    };
    for request in requests() {
        let answer = request.header("OpenStack-API-Version", "compute 2.39").send().await.is(404);
        answer.faults("itemNotFound", "The resource could not be found.");
    }
    for request in requests() {
        let answer = request.header("OpenStack-API-Version", "compute 2.38").send().await;
        assert!(matches!(answer.status, 200 | 204), "{}", answer.text());
    }
}

async fn a_microversion_that_is_none_is_refused(target: &Target) {
    let demo = target.person("demo").await;
    let ask = |word: &'static str| {
        let request = demo.nova("GET", "/images?limit=1");
        async move { request.header("OpenStack-API-Version", &format!("compute {word}")).send().await }
    };
    for word in ["9.9", "2.0", "1.1"] {
        ask(word).await.is(406).faults("computeFault", &format!("Version {word} is not supported by the API."));
    }
    for word in ["x", "2", "2.01", "2.5 x"] {
        ask(word).await.is(400).faults("badRequest", &format!("API Version String {word} is of invalid format."));
    }
    let old = |word: &'static str| {
        let request = demo.nova("GET", "/images?limit=1").header("X-OpenStack-Nova-API-Version", word);
        async move { request.send().await }
    };
    for word in ["", "x"] {
        old(word).await.is(400).faults("badRequest", &format!("API Version String {word} is of invalid format."));
    }
}

async fn the_old_version_knows_no_microversions(target: &Target) {
    let demo = target.person("demo").await;
    let (origin, path) = (demo.compute_place().0, format!("{}v2/images?limit=1", root(&demo)));
    let request = Request::new(origin, "GET", &path).header("X-Auth-Token", &demo.token);
    let answer = request.header("OpenStack-API-Version", "compute 2.90").send().await.is(200);
    assert!(answer.json()["images"].is_array() && answer.header("openstack-api-version").is_none());
}

async fn an_answer_tells_its_microversion(target: &Target) {
    let demo = target.person("demo").await;
    for (name, word) in [("OpenStack-API-Version", "compute 2.5"), ("X-OpenStack-Nova-API-Version", "2.5")] {
        let answer = demo.nova("GET", "/images/none").header(name, word).send().await.is(404);
        assert_eq!(answer.header("openstack-api-version"), Some("compute 2.5"));
        assert_eq!(answer.header("x-openstack-nova-api-version"), Some("2.5"));
        assert!(answer.header("vary").is_some() && answer.header("x-openstack-request-id").is_some());
    }
}

async fn a_path_may_name_the_own_project_and_no_other(target: &Target) {
    let demo = target.person("demo").await;
    let id = target.empty(&demo).await;
    let one = demo.ask(&format!("/{}/images/{id}", demo.project)).await.is(200).json();
    let href = one["image"]["links"][0]["href"].as_str().unwrap();
    assert_eq!(href, format!("{}/{}/images/{id}", demo.compute.as_deref().unwrap(), demo.project));
    let other = target.person("alt").await.project;
    let answer = demo.ask(&format!("/{other}/images")).await.is(400);
    answer.faults("badRequest", &format!("Malformed request URL: URL's project_id '{other}' doesn't match"));
}

async fn what_is_not_routed_is_refused_in_plain_form(target: &Target) {
    let demo = target.person("demo").await;
    for (method, path) in [
        ("POST", "/images"),
        ("DELETE", "/images"),
        ("PUT", "/images/x"),
        ("PATCH", "/images/x"),
        ("DELETE", "/images/x/metadata"),
        ("POST", "/images/x/metadata/k"),
        ("GET", "/images/"),
        ("GET", "/images/x/nope"),
        ("GET", "/images/x/metadata/"),
        ("GET", "/images/x/metadata/a%2Fb"),
        ("GET", "/nope"),
    ] {
        demo.nova(method, path).send().await.is(404).says("The resource could not be found.");
    }
    let answer = demo.nova("HEAD", "/images").send().await.is(404);
    assert!(answer.body.is_empty());
    let text = demo.nova("GET", "/nope").without("Accept").send().await.is(404).text();
    assert_eq!(text, "404 Not Found\n\nThe resource could not be found.\n\n   ");
}

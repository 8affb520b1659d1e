//! Tokens that are refused, methods that are, bodies that are, and the form in which an error is told.

use serde_json::json;

use crate::target::Target;
use crate::wire::Request;

/// Nobody's image.
const ABSENT: &str = "/v2/images/00000000-aaaa-4bbb-8ccc-000000000000";

crate::contracts![
    an_error_is_json_only_where_json_alone_is_accepted,
    an_error_is_html_for_whoever_takes_anything,
    an_error_is_plain_text_without_an_accept_header,
    answers_carry_a_request_id,
    every_connection_is_closed_after_its_answer,
    no_token_and_a_wrong_one_are_the_same_to_the_service,
    a_head_request_is_not_allowed,
    a_method_that_is_not_allowed_names_those_that_are,
    options_are_answered_with_nothing,
    an_id_is_an_exact_string,
    a_body_that_is_not_json_is_refused,
    a_list_where_an_object_belongs_is_an_internal_error,
    a_download_says_that_there_is_no_such_image,
];

async fn an_error_is_json_only_where_json_alone_is_accepted(target: &Target) {
    let answer = target.person("demo").await.get(ABSENT).await.is(404);
    assert!(answer.header("content-type").unwrap().starts_with("application/json"));
    let body = answer.json();
    assert_eq!((&body["code"], &body["title"]), (&json!("404 Not Found"), &json!("Not Found")));
    assert!(body["message"].as_str().unwrap().contains("<br /><br />"), "{body}");
    answer.says("No image found with ID 00000000-aaaa-4bbb-8ccc-000000000000");
}

async fn an_error_is_html_for_whoever_takes_anything(target: &Target) {
    let demo = target.person("demo").await;
    for accept in ["*/*", "text/html", "application/json, text/html"] {
        let answer = demo.request("GET", ABSENT).header("Accept", accept).send().await.is(404);
        assert!(answer.header("content-type").unwrap().starts_with("text/html"), "{accept}");
        let text = answer.text();
        assert!(text.starts_with("<html>") && text.contains("<h1>404 Not Found</h1>"), "{accept}: {text}");
        assert!(text.contains("No image found with ID"), "{accept}: {text}");
    }
}

async fn an_error_is_plain_text_without_an_accept_header(target: &Target) {
    let demo = target.person("demo").await;
    for request in
        [demo.request("GET", ABSENT).without("Accept"), demo.request("GET", ABSENT).header("Accept", "text/plain")]
    {
        let answer = request.send().await.is(404);
        assert!(answer.header("content-type").unwrap().starts_with("text/plain"));
        assert!(answer.text().starts_with("404 Not Found\n\nNo image found with ID"), "{}", answer.text());
    }
}

async fn answers_carry_a_request_id(target: &Target) {
    let demo = target.person("demo").await;
    for path in ["/v2/images?limit=1", ABSENT, "/v2/images?limit=x"] {
        let answer = demo.get(path).await;
        assert!(answer.header("x-openstack-request-id").unwrap_or_default().starts_with("req-"), "{path}");
    }
}

async fn every_connection_is_closed_after_its_answer(target: &Target) {
    let demo = target.person("demo").await;
    for path in ["/v2/images?limit=1", ABSENT] {
        assert_eq!(demo.get(path).await.header("connection"), Some("close"), "{path}");
    }
}

async fn no_token_and_a_wrong_one_are_the_same_to_the_service(target: &Target) {
    let demo = target.person("demo").await;
    let junk = demo.request("GET", "/v2/images").header("X-Auth-Token", "junk").send().await.is(401);
    let none = demo.request("GET", "/v2/images").without("X-Auth-Token").send().await.is(401);
    let challenge = format!("Keystone uri=\"{}/v3\"", target.keystone);
    for answer in [&junk, &none] {
        assert_eq!(answer.header("www-authenticate"), Some(challenge.as_str()));
        assert_eq!(answer.header("x-openstack-request-id"), None);
        assert!(answer.text().contains("could not verify that you are authorized"), "{}", answer.text());
    }
    assert_eq!(junk.text(), none.text());
}

async fn a_head_request_is_not_allowed(target: &Target) {
    let demo = target.person("demo").await;
    let id = target.filled(&demo, b"x").await;
    for path in ["/v2/images".to_owned(), format!("/v2/images/{id}"), format!("/v2/images/{id}/file")] {
        demo.request("HEAD", &path).send().await.is(405);
    }
}

async fn a_method_that_is_not_allowed_names_those_that_are(target: &Target) {
    let demo = target.person("demo").await;
    let id = target.filled(&demo, b"x").await;
    for (method, path, expected) in [
        ("PUT", "/v2/images".to_owned(), "GET,POST"),
        ("POST", format!("/v2/images/{id}"), "DELETE,GET,PATCH"),
        ("DELETE", format!("/v2/images/{id}/file"), "GET,PUT"),
        ("GET", format!("/v2/images/{id}/actions/deactivate"), "POST"),
    ] {
        let answer = demo.request(method, &path).send().await.is(405);
        let mut allowed: Vec<_> = answer.header("allow").unwrap().split(',').map(str::trim).collect();
        allowed.sort_unstable();
        assert_eq!(allowed.join(","), expected, "{method} {path}");
    }
}

async fn options_are_answered_with_nothing(target: &Target) {
    let demo = target.person("demo").await;
    assert_eq!(demo.request("OPTIONS", "/v2/images").send().await.is(200).body, b"");
}

async fn an_id_is_an_exact_string(target: &Target) {
    let demo = target.person("demo").await;
    let id = target.filled(&demo, b"x").await;
    demo.get("/v2/images/not-a-uuid").await.is(404).says("No image found with ID not-a-uuid");
    let upper = target.image(&demo, json!({"id": uuid::Uuid::new_v4().to_string().to_uppercase()})).await;
    let upper = upper["id"].as_str().unwrap();
    demo.get(&format!("/v2/images/{upper}")).await.is(200);
    demo.get(&format!("/v2/images/{}", upper.to_lowercase())).await.is(404);
    demo.get(&format!("/v2/images/{id}")).await.is(200);
}

async fn a_body_that_is_not_json_is_refused(target: &Target) {
    let demo = target.person("demo").await;
    let post = |body: &str| demo.request("POST", "/v2/images").header("Content-Type", "application/json").body(body);
    post("{").send().await.is(400).says("Malformed JSON in request body.");
    post("").send().await.is(400).says("Body expected in request.");
    post("7").send().await.is(400).says("Unexpected body type. Expected list/dict.");
}

async fn a_list_where_an_object_belongs_is_an_internal_error(target: &Target) {
    target.person("demo").await.post("/v2/images", &json!([])).await.is(500);
}

async fn a_download_says_that_there_is_no_such_image(target: &Target) {
    let demo = target.person("demo").await;
    let answer = demo.get(&format!("{ABSENT}/file")).await.is(404);
    assert!(answer.text().contains("00000000-aaaa-4bbb-8ccc-000000000000"), "{}", answer.text());
    Request::new(&demo.glance, "GET", ABSENT).send().await.is(401);
}

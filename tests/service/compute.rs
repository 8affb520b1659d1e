//! What our client of the Compute API makes of a service that breaks, loses its answers, or answers wrongly.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use glancefs::config::{Cloud, OpenStackOptions, Surroundings};
use glancefs::service::compute::Compute;
use glancefs::service::retry::Patience;
use glancefs::service::{Change, ImageService, Kind, ListQuery, Marker, Offers, ServiceError};
use serde_json::{Map, Value, json};

use crate::edits::count;
use crate::peer::{Answer, Peer, Request};
use crate::{ID, IMPATIENT, TOKEN, id};

/// One try, and no other.
const ONCE: Patience = Patience { tries: 1, ..IMPATIENT };

const IMAGE: &str = "/v2.1/images/0a0b0c0d-0000-4000-8000-000000000001";
const METADATA: &str = "/v2.1/images/0a0b0c0d-0000-4000-8000-000000000001/metadata";

fn listing() -> Answer {
    Answer::json(200, &json!({"images": []}))
}

fn shown(metadata: &Value) -> Answer {
    Answer::json(200, &json!({"image": {"id": ID, "name": "n", "status": "ACTIVE", "metadata": metadata}}))
}

fn fault(status: u16, kind: &str, words: &str) -> Answer {
    Answer::json(status, &json!({kind: {"code": status, "message": words}}))
}

/// A Compute service at `/v2.1` that is well, but for what `odd` answers.
pub(crate) async fn peer(odd: impl Fn(&Request, usize) -> Option<Answer> + Send + Sync + 'static) -> Peer {
    Peer::start(move |request, before| {
        let well = || match request.path() {
            "/v2.1/images" | "/v2.1/images/detail" => listing(),
            IMAGE => shown(&json!({})),
            _ => fault(404, "itemNotFound", "Image not found."),
        };
        odd(request, before).unwrap_or_else(well)
    })
    .await
}

/// A Compute service that keeps the metadata of one image, and answers of itself what `odd` does not; that is told
/// whether the metadata were changed for this request, and what they are then.
async fn keeper(metadata: Value, odd: impl Fn(&Request, usize) -> Option<Answer> + Send + Sync + 'static) -> Peer {
    let Value::Object(metadata) = metadata else { unreachable!() };
    let kept = Mutex::new(metadata);
    peer(move |request, before| {
        let mut kept = kept.lock().unwrap();
        let done = done(&mut kept, request);
        odd(request, before).or(done).or_else(|| (request.path() == IMAGE).then(|| shown(&Value::Object(kept.clone()))))
    })
    .await
}

/// Does what a request to the metadata asks for.
fn done(kept: &mut Map<String, Value>, request: &Request) -> Option<Answer> {
    let item = request.path().strip_prefix(METADATA)?;
    match (request.method(), item.strip_prefix('/')) {
        ("PUT", Some(_)) => kept.extend(request.json()["meta"].as_object().unwrap().clone()),
        ("DELETE", Some(key)) => {
            let gone = kept.remove(key).is_some();
            return Some(if gone { Answer::Full(204, String::new(), Vec::new()) } else { no_key() });
        }
        ("POST", None) => kept.extend(request.json()["metadata"].as_object().unwrap().clone()),
        ("PUT", None) => kept.clone_from(request.json()["metadata"].as_object().unwrap()),
        _ => return None,
    }
    Some(Answer::json(200, &json!({})))
}

fn no_key() -> Answer {
    fault(404, "itemNotFound", "Invalid metadata key")
}

fn resolved(options: &OpenStackOptions) -> Cloud {
    let around = Surroundings {
        variables: std::collections::BTreeMap::new(),
        current_dir: "/nonexistent".into(),
        read: Box::new(|_| Err(std::io::ErrorKind::NotFound.into())),
    };
    Cloud::resolve(&around, options, None, None).unwrap()
}

/// A cloud that wants no login, of which one address is known.
fn one_address(endpoint: &str) -> Cloud {
    let mut options = OpenStackOptions::default();
    options.os_auth_type = Some("none".to_owned());
    options.os_endpoint = Some(endpoint.to_owned());
    resolved(&options)
}

/// A cloud whose token a command prints, and whose Compute service is at this address.
fn cloud(endpoint: &str, images: Option<&str>) -> Cloud {
    let mut options = OpenStackOptions::default();
    options.os_token_command = Some(format!("echo {TOKEN}"));
    options.os_compute_endpoint_override = Some(endpoint.to_owned());
    options.os_image_endpoint_override = images.map(str::to_owned);
    resolved(&options)
}

async fn connect(endpoint: &str) -> Result<Compute, ServiceError> {
    Compute::connect_with(cloud(endpoint, None), true, IMPATIENT).await
}

pub(crate) async fn connected(peer: &Peer) -> Compute {
    connect(&format!("{}/v2.1", peer.url)).await.unwrap()
}

/// A Compute service with an Image service beside it, whose images are not to become private.
pub(crate) async fn beside(endpoint: &str, images: &str) -> Compute {
    Compute::connect_with(cloud(endpoint, Some(images)), false, IMPATIENT).await.unwrap()
}

async fn keys(compute: &Compute, changes: &[Change]) -> Result<Vec<String>, ServiceError> {
    let image = compute.update(id(), changes).await?;
    Ok(image.properties.keys().map(ToString::to_string).collect())
}

/// The requests for anything but the listing that shows at the beginning that all is well.
fn asked(peer: &Peer) -> Vec<(String, String)> {
    let requests = peer.requests().into_iter().skip(1);
    requests.map(|request| (request.method().to_owned(), request.target.clone())).collect()
}

#[tokio::test]
async fn an_address_of_the_catalogue_is_used_as_it_is() {
    let peer =
        Peer::start(|request, _| if request.path().ends_with("/images") { listing() } else { shown(&json!({})) }).await;
    for (place, path) in [
        ("/v2.1", "/v2.1"),
        ("/v2.1/", "/v2.1"),
        ("/v2.1/0123456789abcdef", "/v2.1/0123456789abcdef"),
        ("/compute/v2.1/", "/compute/v2.1"),
        ("/v2/", "/v2"),
    ] {
        let compute = connect(&format!("{}{place}", peer.url)).await.unwrap();
        assert_eq!(compute.address(), format!("{}{place}", peer.url));
        compute.show(id()).await.unwrap();
        let last = peer.requests().last().unwrap().clone();
        assert_eq!(last.target, format!("{path}/images/{ID}"));
        assert_eq!(last.header("x-auth-token"), Some(TOKEN));
        assert!(last.header("openstack-api-version").or(last.header("x-openstack-nova-api-version")).is_none());
    }
}

#[tokio::test]
async fn what_is_no_compute_service_is_refused_with_a_sentence() {
    let nothing = Peer::start(|_, _| Answer::Full(404, String::new(), b"404 Not Found".to_vec())).await;
    let error = connect(&nothing.url).await.err().unwrap();
    assert_eq!(error.kind, Kind::NotOffered);
    assert!(error.to_string().contains("no Compute service that shows images"), "{error}");
    let choices = Peer::start(|_, _| Answer::json(300, &json!({"choices": []}))).await;
    let error = connect(&choices.url).await.err().unwrap();
    assert_eq!(error.kind, Kind::NotOffered);
    let advice = format!("--os-compute-endpoint-override {}/v2.1", choices.url);
    assert!(error.to_string().ends_with(&advice), "{error}");
}

#[tokio::test]
async fn an_image_that_the_service_fails_over_is_told_at_the_beginning() {
    let words = "Unexpected API Error. Please contact the administrator\n<class 'json.decoder.JSONDecodeError'>";
    let broken = Peer::start(move |_, _| fault(500, "computeFault", words)).await;
    let error = connect(&format!("{}/v2.1", broken.url)).await.err().unwrap();
    assert_eq!(error.kind, Kind::Unavailable);
    assert!(error.to_string().contains("block_device_mapping"), "{error}");
}

#[tokio::test]
async fn what_was_removed_to_make_room_is_put_back_when_the_rest_fails() {
    let full: Map<String, Value> = (0..128).map(|number| (format!("k{number}"), json!(number.to_string()))).collect();
    let merges = AtomicUsize::new(0);
    let peer = keeper(full.into(), move |request, _| {
        let is_first = request.method() == "POST" && merges.fetch_add(1, Ordering::SeqCst) == 0;
        is_first.then(|| fault(403, "forbidden", "no"))
    })
    .await;
    let changes = [Change::remove("k0"), Change::set("x", "0")];
    let error = connected(&peer).await.update(id(), &changes).await.unwrap_err();
    assert_eq!(error.kind, Kind::Forbidden);
    let last = peer.requests().into_iter().rev().find(|request| request.method() == "POST").unwrap();
    assert_eq!(last.json(), json!({"metadata": {"k0": "0"}}));
}

#[tokio::test]
async fn a_compute_service_without_an_image_service_is_what_it_is() {
    let peer = peer(|_, _| None).await;
    for images in [None, Some(format!("{}/elsewhere", peer.url))] {
        let cloud = cloud(&format!("{}/v2.1", peer.url), images.as_deref());
        let compute = Compute::connect_with(cloud, false, IMPATIENT).await.unwrap();
        assert_eq!(compute.offers(), Offers::compute(false, false));
        let error = compute.image_service().await.err().unwrap();
        assert!(matches!(error.kind, Kind::Configuration | Kind::NotOffered), "{error}");
        assert!(compute.show(id()).await.is_ok());
    }
}

#[tokio::test]
async fn an_image_service_that_nobody_reaches_is_there_and_fails() {
    let peer = peer(|_, _| None).await;
    let cloud = cloud(&format!("{}/v2.1", peer.url), Some("http://127.0.0.1:1"));
    let compute = Compute::connect_with(cloud, false, IMPATIENT).await.unwrap();
    assert_eq!(compute.offers(), Offers::compute(true, true));
    let image = compute.show(id()).await.unwrap();
    let unread = compute.with_data(image).await.unwrap_err();
    let unchanged = compute.update(id(), &[Change::set("a", "1")]).await.unwrap_err();
    for error in [unread, unchanged] {
        assert_eq!(error.kind, Kind::Unreachable);
        assert!(error.to_string().contains("there is no connection to http://127.0.0.1:1"), "{error}");
    }
}

#[tokio::test]
async fn an_image_service_that_comes_back_is_found_by_the_next_who_needs_it() {
    let images = Peer::start(|request, before| match request.path() {
        "/versions" if before < 2 => fault(503, "computeFault", "down"),
        "/versions" => Answer::json(200, &json!({"versions": [{"id": "v2.9", "status": "CURRENT"}]})),
        "/v2/images" => listing(),
        _ => Answer::json(200, &json!({"id": ID, "status": "active", "size": 5, "visibility": "private"})),
    })
    .await;
    let peer = peer(|_, _| None).await;
    let cloud = cloud(&format!("{}/v2.1", peer.url), Some(&images.url));
    let compute = Compute::connect_with(cloud, false, ONCE).await.unwrap();
    assert_eq!((compute.offers(), images.requests().len()), (Offers::compute(true, true), 1), "it waits for nobody");
    let image = compute.show(id()).await.unwrap();
    assert_eq!(compute.with_data(image.clone()).await.unwrap_err().kind, Kind::Unavailable);
    assert_eq!(compute.with_data(image).await.unwrap().size, Some(5));
    assert!(compute.image_service().await.is_ok());
}

#[tokio::test]
async fn many_who_wait_for_an_image_service_that_is_down_ask_it_once() {
    let images = Peer::start(|_, _| fault(503, "computeFault", "down")).await;
    let peer = peer(|_, _| None).await;
    let cloud = cloud(&format!("{}/v2.1", peer.url), Some(&images.url));
    let compute = Compute::connect_with(cloud, false, ONCE).await.unwrap();
    let image = compute.show(id()).await.unwrap();
    let all = futures_util::future::join_all((0..9).map(|_| compute.with_data(image.clone()))).await;
    assert!(all.iter().all(|one| one.as_ref().is_err_and(|error| error.kind == Kind::Unavailable)), "{all:?}");
    assert_eq!(images.requests().len(), 2);
}

#[tokio::test]
async fn a_login_that_knows_one_address_looks_for_no_image_service_there() {
    let peer = peer(|_, _| None).await;
    let place = format!("{}/v2.1", peer.url);
    let compute = Compute::connect_with(one_address(&place), false, IMPATIENT).await.unwrap();
    assert_eq!((compute.offers(), asked(&peer)), (Offers::compute(false, false), vec![]));
    let url = Cloud::of_compute_url(place.parse().unwrap(), glancefs::config::Tls::default());
    let compute = Compute::connect_with(url, false, IMPATIENT).await.unwrap();
    assert_eq!((compute.offers(), asked(&peer).len()), (Offers::compute(false, false), 1));
    assert!(peer.requests().iter().all(|request| request.header("x-auth-token").is_none()));
}

#[tokio::test]
async fn the_next_page_is_asked_for_here_wherever_the_link_leads() {
    let other = ID.replace("01", "02");
    let marker = other.clone();
    let peer = peer(move |request, _| {
        let link =
            json!([{"rel": "next", "href": format!("http://192.0.2.1/v2.1/images/detail?limit=9&marker={marker}")}]);
        let first = json!({"images": [{"id": ID, "status": "ACTIVE"}, {"id": "odd"}], "images_links": link});
        (request.target.contains("limit") && !request.target.contains("marker")).then(|| Answer::json(200, &first))
    })
    .await;
    let compute = connected(&peer).await;
    let query = ListQuery { filters: vec![("name".to_owned(), "a b&c".to_owned())], ..ListQuery::default() };
    let page = compute.list(&query, None).await.unwrap();
    assert_eq!(page.likely_next, Some(Marker(other.clone())));
    let contents = page.read().unwrap();
    assert_eq!((contents.images.len(), contents.odd.len(), &contents.next), (1, 1, &Some(Marker(other.clone()))));
    compute.list(&query, contents.next.as_ref()).await.unwrap();
    let asked: Vec<_> = asked(&peer).into_iter().map(|(_, target)| target).collect();
    let first = "/v2.1/images/detail?limit=1000&name=a+b%26c";
    assert_eq!(asked, [first.to_owned(), format!("{first}&marker={other}")]);
}

#[tokio::test]
async fn a_page_that_is_none_is_an_error_and_one_that_was_cut_is_asked_for_again() {
    let cut = || Answer::Short(200, String::new(), b"{\"images\": [".to_vec(), 500);
    let peer = peer(move |request, before| match (request.path(), before) {
        ("/v2.1/images/detail", 0) => Some(cut()),
        ("/v2.1/images/detail", 1) => Some(fault(503, "computeFault", "wait")),
        ("/v2.1/images/detail", 2) => Some(Answer::Nothing),
        ("/v2.1/images/detail", 4) => Some(Answer::json(200, &json!({"servers": []}))),
        _ => None,
    })
    .await;
    let compute = connected(&peer).await;
    let query = ListQuery::default();
    assert!(compute.list(&query, None).await.unwrap().read().unwrap().images.is_empty());
    assert_eq!(compute.list(&query, None).await.unwrap().read().unwrap_err().kind, Kind::Malformed);
}

#[tokio::test]
async fn a_404_of_what_stands_in_front_of_the_service_takes_no_image_away() {
    let peer = peer(|request, _| {
        let is_asked = request.path() == IMAGE || request.path() == "/v2.1/images/detail";
        is_asked.then(|| Answer::Full(404, String::new(), b"default backend - 404".to_vec()))
    })
    .await;
    let compute = connected(&peer).await;
    assert_eq!(compute.list(&ListQuery::default(), None).await.unwrap_err().kind, Kind::Malformed);
    assert_eq!(compute.show(id()).await.unwrap_err().kind, Kind::Malformed);
}

#[tokio::test]
async fn a_marker_that_is_refused_is_gone_and_a_request_that_is_refused_is_invalid() {
    let peer = peer(|request, _| {
        let refused = |words: String| Some(fault(400, "badRequest", &words));
        match request.target.split_once("marker=") {
            Some((_, marker)) => refused(format!("HTTP 400 Bad Request: No image found with ID {marker}")),
            None if request.target.contains("name=") => refused("Query string is not UTF-8 encoded".to_owned()),
            None => None,
        }
    })
    .await;
    let compute = connected(&peer).await;
    let gone = compute.list(&ListQuery::default(), Some(&id().into())).await.unwrap_err();
    assert_eq!(gone.kind, Kind::MarkerGone);
    let query = ListQuery { filters: vec![("name".to_owned(), "x".to_owned())], ..ListQuery::default() };
    assert_eq!(compute.list(&query, None).await.unwrap_err().kind, Kind::Invalid);
}

#[tokio::test]
async fn an_image_that_is_none_or_another_one_is_malformed() {
    let answers =
        [json!({"image": {"id": "7"}}), json!({"image": {"id": ID.replace("01", "02")}}), json!({}), json!([])];
    for answer in answers {
        let peer = peer(move |request, _| (request.path() == IMAGE).then(|| Answer::json(200, &answer))).await;
        let error = connected(&peer).await.show(id()).await.unwrap_err();
        assert_eq!(error.kind, Kind::Malformed, "{error}");
    }
}

#[tokio::test]
async fn each_change_is_one_request_of_its_kind_between_two_looks() {
    let all = (METADATA.to_owned(), IMAGE.to_owned());
    let set = |key: &str| Change::set(key, "new");
    for (changes, expected) in [
        (vec![set("a")], vec![("PUT", format!("{METADATA}/a"))]),
        (vec![Change::remove("a")], vec![("DELETE", format!("{METADATA}/a"))]),
        (vec![set("a"), set("c")], vec![("POST", all.0.clone())]),
        (vec![Change::remove("a"), set("c")], vec![("PUT", all.0.clone())]),
        (
            vec![Change::remove("a"), Change::set("c", "1")],
            vec![("POST", all.0.clone()), ("DELETE", format!("{METADATA}/a"))],
        ),
    ] {
        let look = || [("GET", all.1.clone())].into_iter();
        let expected = look().chain(expected).chain(look());
        let peer = keeper(json!({"a": "1", "b": "2"}), |_, _| None).await;
        keys(&connected(&peer).await, &changes).await.unwrap();
        let expected: Vec<_> = expected.map(|(method, path)| (method.to_owned(), path)).collect();
        assert_eq!(asked(&peer), expected, "{changes:?}");
    }
}

#[tokio::test]
async fn a_change_whose_answer_was_lost_is_made_once_and_is_a_success() {
    for (changes, left) in [
        (vec![Change::set("b", "2")], vec!["a", "b"]),
        (vec![Change::remove("a")], vec![]),
        (vec![Change::set("b", "2"), Change::set("c", "3")], vec!["a", "b", "c"]),
        (vec![Change::remove("a"), Change::set("b", "2")], vec!["b"]),
    ] {
        let lost = AtomicUsize::new(0);
        let peer = keeper(json!({"a": "1"}), move |request, _| {
            (request.method() != "GET" && lost.fetch_add(1, Ordering::SeqCst) == 0).then_some(Answer::Nothing)
        })
        .await;
        assert_eq!(keys(&connected(&peer).await, &changes).await.unwrap(), left, "{changes:?}");
    }
}

#[tokio::test]
async fn a_change_that_is_found_made_is_a_success_whatever_was_answered() {
    let answers = [
        fault(500, "computeFault", "Unexpected API Error."),
        fault(504, "computeFault", "late"),
        Answer::Nothing,
        Answer::Short(200, String::new(), b"{".to_vec(), 10),
    ];
    for answer in answers {
        let peer =
            keeper(json!({"a": "1"}), move |request, _| (request.method() != "GET").then(|| answer.clone())).await;
        assert_eq!(keys(&connected(&peer).await, &[Change::set("b", "2")]).await.unwrap(), ["a", "b"]);
    }
}

#[tokio::test]
async fn a_change_that_is_not_made_fails_with_the_services_words() {
    let peer =
        peer(|request, _| (request.method() != "GET").then(|| fault(500, "computeFault", "Unexpected API Error.")))
            .await;
    let error = connected(&peer).await.update(id(), &[Change::set("b", "2")]).await.unwrap_err();
    assert_eq!(error.kind, Kind::Unavailable);
    assert!(error.to_string().contains("Unexpected API Error"), "{error}");
    assert_eq!(count(&peer, "PUT"), 4);
}

#[tokio::test]
async fn a_change_that_is_taken_and_not_made_is_told_as_such() {
    let peer = peer(|request, _| (request.method() == "PUT").then(|| Answer::json(200, &json!({})))).await;
    let error = connected(&peer).await.update(id(), &[Change::set("b", "2")]).await.unwrap_err();
    assert_eq!(error.kind, Kind::Conflict);
    assert!(error.to_string().contains("shows 'b' as before"), "{error}");
}

#[tokio::test]
async fn an_image_that_is_gone_is_not_found_whatever_is_changed() {
    let peer =
        peer(|request, _| request.path().starts_with(IMAGE).then(|| fault(404, "itemNotFound", "Image not found.")))
            .await;
    let compute = connected(&peer).await;
    for changes in
        [vec![Change::set("a", "1")], vec![Change::remove("a")], vec![Change::remove("a"), Change::set("b", "1")]]
    {
        assert_eq!(compute.update(id(), &changes).await.unwrap_err().kind, Kind::NotFound, "{changes:?}");
    }
}

#[tokio::test]
async fn a_deletion_whose_answer_was_lost_is_a_success_and_one_of_nothing_is_not() {
    let peer = peer(|request, before| match (request.method(), before) {
        ("DELETE", 0) => Some(Answer::Nothing),
        ("DELETE", _) => Some(fault(404, "itemNotFound", "Image not found.")),
        _ => None,
    })
    .await;
    let compute = connected(&peer).await;
    compute.delete(id()).await.unwrap();
    assert_eq!(compute.delete(id()).await.unwrap_err().kind, Kind::NotFound);
}

#[tokio::test]
async fn what_is_refused_by_us_reaches_nobody() {
    let peer = peer(|_, _| None).await;
    let compute = connected(&peer).await;
    let many: Vec<_> = [Change::set("fine", "v"), Change::set("status", "v")].into();
    assert_eq!(compute.update(id(), &many).await.unwrap_err().kind, Kind::Invalid);
    assert_eq!(asked(&peer), []);
}

/// A Compute service and an Image service that shows one image with this visibility.
async fn both(visibility: &'static str) -> Peer {
    keeper(json!({"a": "1"}), move |request, _| match request.path() {
        "/versions" => Some(Answer::json(200, &json!({"versions": [{"id": "v2.17", "status": "CURRENT"}]}))),
        "/v2/images" => Some(listing()),
        path if path == format!("/v2/images/{ID}") => {
            Some(Answer::json(200, &json!({"id": ID, "status": "active", "visibility": visibility})))
        }
        _ => None,
    })
    .await
}

#[tokio::test]
async fn only_an_image_that_stays_as_visible_as_it_is_can_be_changed() {
    for (visibility, is_changed) in
        [("public", true), ("private", true), ("shared", false), ("community", false), ("new", false)]
    {
        let peer = both(visibility).await;
        let cloud = cloud(&format!("{}/v2.1", peer.url), Some(&peer.url));
        let compute = Compute::connect_with(cloud, false, IMPATIENT).await.unwrap();
        assert_eq!(compute.offers(), Offers::compute(true, true));
        let outcome = compute.update(id(), &[Change::set("a", "2")]).await;
        assert_eq!(outcome.map(drop).map_err(|error| error.kind).err(), (!is_changed).then_some(Kind::Forbidden));
        assert_eq!(count(&peer, "PUT"), usize::from(is_changed), "{visibility}");
    }
}

#[tokio::test]
async fn changes_of_an_image_follow_one_another() {
    let peer = keeper(json!({}), |_, _| None).await;
    let compute = connected(&peer).await;
    let change =
        async |key: &'static str| compute.update(id(), &[Change::remove("none"), Change::set(key, "v")]).await.unwrap();
    tokio::join!(change("a"), change("b"), change("c"));
    let asked: Vec<_> = asked(&peer).into_iter().map(|(method, _)| method).collect();
    assert_eq!(asked, ["GET", "PUT", "GET"].repeat(3), "none looks while another one writes");
    assert_eq!(compute.show(id()).await.unwrap().properties.len(), 3);
}

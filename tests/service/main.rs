//! What our client of the Image API makes of a service that breaks, refuses, answers wrongly, or wants the token
//! carried elsewhere. The other side is played from a script.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a promise that does not hold ends with a panic, which the harness reports"
)]

mod compute;
mod edits;
mod imports;
mod members;
mod peer;
mod tags;
mod unread;
mod uploads;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use futures_util::TryStreamExt;
use glancefs::config::{Cloud, OpenStackOptions, Surroundings};
use glancefs::image::ImageId;
use glancefs::service::glance::Glance;
use glancefs::service::retry::Patience;
use glancefs::service::{ImageService, Kind, ListQuery, ServiceError, Source};
use peer::{Answer, Peer, Request};
use serde_json::{Value, json};

const ID: &str = "0a0b0c0d-0000-4000-8000-000000000001";
const TOKEN: &str = "the-token-that-must-stay-here";
const IMPATIENT: Patience =
    Patience { tries: 4, first_pause: Duration::from_millis(1), longest_pause: Duration::from_millis(5) };

fn id() -> ImageId {
    ID.parse().unwrap()
}

fn source(size: u64) -> Source {
    Source { image: id(), size, store: None }
}

fn versions() -> Answer {
    Answer::json(
        200,
        &json!({"versions": [{"id": "v2.9", "status": "SUPPORTED"}, {"id": "v2.17", "status": "CURRENT"}]}),
    )
}

fn listing(ids: &[&str], next: Option<&str>) -> Answer {
    let images: Vec<Value> = ids.iter().map(|id| json!({"id": id, "status": "active"})).collect();
    let mut body = json!({ "images": images });
    if let Some(next) = next {
        body["next"] = json!(next);
    }
    Answer::json(200, &body)
}

/// A service that is well, but for what `odd` answers.
async fn peer(odd: impl Fn(&Request, usize) -> Option<Answer> + Send + Sync + 'static) -> Peer {
    Peer::start(move |request, before| {
        let well = || match request.path() {
            "/versions" => versions(),
            "/v2/images" => listing(&[], None),
            _ => Answer::json(404, &json!({"message": "No such path<br /><br />"})),
        };
        odd(request, before).unwrap_or_else(well)
    })
    .await
}

/// A cloud whose token a command prints, so that it can be renewed.
fn cloud(endpoint: &str) -> Cloud {
    let around = Surroundings {
        variables: BTreeMap::new(),
        current_dir: PathBuf::from("/nonexistent"),
        read: Box::new(|_| Err(std::io::ErrorKind::NotFound.into())),
    };
    let mut options = OpenStackOptions::default();
    options.os_token_command = Some(format!("echo {TOKEN}"));
    options.os_image_endpoint_override = Some(endpoint.to_owned());
    Cloud::resolve(&around, &options, None, None).unwrap()
}

async fn connect(peer: &Peer) -> Result<Glance, ServiceError> {
    Glance::connect_with(cloud(&peer.url), IMPATIENT).await
}

async fn connected(peer: &Peer) -> Glance {
    connect(peer).await.unwrap()
}

async fn read(glance: &Glance, size: u64, range: std::ops::Range<u64>) -> Result<Vec<u8>, ServiceError> {
    let chunks: Vec<bytes::Bytes> = glance.read_range(&source(size), range).await?.try_collect().await?;
    Ok(chunks.concat())
}

async fn read_all(glance: &Glance, size: u64) -> Result<Vec<u8>, ServiceError> {
    let chunks: Vec<bytes::Bytes> = glance.read_all(&source(size)).await?.try_collect().await?;
    Ok(chunks.concat())
}

#[tokio::test]
async fn a_404_of_what_stands_in_front_of_the_service_takes_no_image_away() {
    let peer = peer(|request, before| {
        let is_first = request.path() == "/versions" || before == 0 && request.path() == "/v2/images";
        (!is_first).then(|| Answer::Full(404, String::new(), b"<h1>default backend - 404</h1>".to_vec()))
    })
    .await;
    let glance = connected(&peer).await;
    let listed = glance.list(&ListQuery::default(), None).await.unwrap_err();
    for error in [listed, glance.show(id()).await.unwrap_err()] {
        assert_eq!(error.kind, Kind::Malformed);
        assert!(error.to_string().ends_with("is not the service, and says: default backend - 404"), "{error}");
    }
}

fn is_data(request: &Request) -> bool {
    request.path().ends_with("/file")
}

/// The first and the last byte that a request asks for.
fn asked(request: &Request) -> (usize, usize) {
    let range = request.header("range").unwrap().strip_prefix("bytes=").unwrap();
    let (first, last) = range.split_once('-').unwrap();
    (first.parse().unwrap(), last.parse().unwrap())
}

const BYTES: &[u8] = b"0123456789";

fn part(first: usize, last: usize) -> (String, Vec<u8>) {
    (format!("Content-Range: bytes {first}-{last}/{}\r\n", BYTES.len()), BYTES[first..=last].to_vec())
}

/// What a sentence says behind the service's words, by the kind of failure.
fn remedy(kind: &Kind) -> &'static str {
    match kind {
        Kind::Forbidden => "; somebody with more rights has to do it",
        Kind::OverQuota => "; remove what is not needed, or ask for a larger quota",
        _ => "",
    }
}

#[tokio::test]
async fn the_version_is_found_and_the_addresses_that_it_lists_are_not_used() {
    let peer = peer(|_, _| None).await;
    for endpoint in
        [peer.url.clone(), format!("{}/", peer.url), format!("{}/v2", peer.url), format!("{}/v2.9/", peer.url)]
    {
        let glance = Glance::connect_with(cloud(&endpoint), IMPATIENT).await.unwrap();
        assert_eq!(glance.version(), Some("v2.17"));
        assert_eq!(glance.address(), format!("{}/v2", peer.url));
    }
}

#[tokio::test]
async fn a_service_that_lists_no_versions_is_taken_at_v2() {
    let peer = peer(|request, _| (request.path() == "/versions").then(|| Answer::json(404, &json!({})))).await;
    assert_eq!(connected(&peer).await.version(), None);
}

#[tokio::test]
async fn what_is_no_image_service_is_refused_with_a_sentence() {
    let nothing = Peer::start(|_, _| Answer::Full(404, String::new(), b"<h1>Not Found</h1>".to_vec())).await;
    let error = connect(&nothing).await.err().unwrap();
    assert_eq!(error.kind, Kind::NotOffered);
    assert!(error.to_string().contains("there is no Image service"), "{error}");
    let old = peer(|request, _| {
        (request.path() == "/versions")
            .then(|| Answer::json(200, &json!({"versions": [{"id": "v1.1", "status": "CURRENT"}]})))
    })
    .await;
    assert_eq!(connect(&old).await.err().unwrap().kind, Kind::NotOffered);
}

#[tokio::test]
async fn a_connection_closed_before_a_status_line_is_tried_again() {
    let peer = peer(|request, before| (request.path() == "/v2/images" && before < 3).then_some(Answer::Nothing)).await;
    assert!(connect(&peer).await.is_ok());
}

#[tokio::test]
async fn a_service_that_goes_on_failing_is_unavailable_with_its_own_words() {
    let peer = peer(|request, before| {
        let page = "<html><head><title>x</title></head><body><h1>502 Bad Gateway</h1>nginx &amp; co</body></html>";
        let headers = "x-openstack-request-id: req-7\r\n".to_owned();
        (request.path() == "/v2/images" && before > 0).then(|| Answer::Full(502, headers, page.into()))
    })
    .await;
    let glance = connected(&peer).await;
    let error = glance.list(&ListQuery::default(), None).await.unwrap_err();
    assert_eq!(error.kind, Kind::Unavailable);
    assert_eq!(
        error.to_string(),
        "could not list images: 502 Bad Gateway nginx & co (req-7); try again later, or tell its operator"
    );
    let tries = peer.requests().iter().filter(|request| request.path() == "/v2/images").count();
    assert_eq!(tries, 1 + 4);
}

#[tokio::test]
async fn a_401_is_replayed_once_with_a_new_token_and_then_waited_out() {
    let peer = peer(|request, before| {
        (request.path() == "/v2/images" && (1..4).contains(&before))
            .then(|| Answer::json(401, &json!({"error": {"message": "no"}})))
    })
    .await;
    let glance = connected(&peer).await;
    assert!(glance.list(&ListQuery::default(), None).await.is_ok());
}

#[tokio::test]
async fn a_token_that_is_never_taken_is_told_as_such() {
    let peer =
        peer(|request, before| (request.path() == "/v2/images" && before > 0).then(|| Answer::json(401, &json!({}))))
            .await;
    let glance = connected(&peer).await;
    let error = glance.list(&ListQuery::default(), None).await.unwrap_err();
    assert_eq!(error.kind, Kind::Unauthorized);
    assert!(!format!("{error} {error:?}").contains(TOKEN));
}

#[tokio::test]
async fn a_redirect_does_not_take_the_token_to_another_origin() {
    let elsewhere = Peer::start(|_, _| listing(&[ID], None)).await;
    let location = format!("Location: {}/v2/images\r\n", elsewhere.url);
    let peer = peer(move |request, before| {
        (request.path() == "/v2/images" && before > 0).then(|| Answer::Full(302, location.clone(), Vec::new()))
    })
    .await;
    let glance = connected(&peer).await;
    assert!(glance.list(&ListQuery::default(), None).await.is_err());
    assert!(elsewhere.requests().iter().all(|request| request.header("x-auth-token").is_none()));
}

#[tokio::test]
async fn a_page_is_no_longer_than_what_is_enough() {
    let peer = peer(|_, _| None).await;
    let glance = connected(&peer).await;
    for (enough, limit) in [(None, 1000), (Some(2), 2), (Some(5000), 1000), (Some(0), 1)] {
        glance.list(&ListQuery { enough, ..ListQuery::default() }, None).await.unwrap();
        assert_eq!(peer.requests().pop().unwrap().target, format!("/v2/images?limit={limit}"));
    }
}

#[tokio::test]
async fn a_next_link_is_a_sign_and_not_an_address() {
    let elsewhere = Peer::start(|_, _| listing(&[], None)).await;
    let next = format!("{}/v2/images?marker=x", elsewhere.url);
    let peer = peer(move |request, before| match (request.path(), before) {
        ("/v2/images", 1) => Some(listing(&[ID], Some(&next))),
        _ => None,
    })
    .await;
    let glance = connected(&peer).await;
    let query =
        ListQuery { filters: vec![("tag".into(), "a".into()), ("tag".into(), "b".into())], ..ListQuery::default() };
    let page = glance.list(&query, None).await.unwrap();
    let next = page.read().unwrap().next;
    assert_eq!(next, Some(id().into()));
    assert_eq!(glance.list(&query, next.as_ref()).await.unwrap().read().unwrap().next, None);
    assert_eq!(elsewhere.requests().len(), 0);
    let last = peer.requests().pop().unwrap();
    assert_eq!(last.target, format!("/v2/images?limit=1000&tag=a&tag=b&marker={ID}"));
}

#[tokio::test]
async fn a_marker_that_was_deleted_is_told_apart_from_other_refusals() {
    let peer = peer(|request, before| {
        let words = json!({"message": format!("No image found with ID {ID}<br />"), "code": "400 Bad Request"});
        (request.path() == "/v2/images" && before > 0).then(|| Answer::json(400, &words))
    })
    .await;
    let glance = connected(&peer).await;
    assert_eq!(glance.list(&ListQuery::default(), Some(&id().into())).await.unwrap_err().kind, Kind::MarkerGone);
    assert_eq!(glance.list(&ListQuery::default(), None).await.unwrap_err().kind, Kind::Invalid);
}

#[tokio::test]
async fn a_marker_that_may_not_be_seen_any_more_is_gone_too() {
    let peer = peer(|request, before| {
        (request.path() == "/v2/images" && before > 0).then(|| Answer::json(403, &json!({"message": "Forbidden"})))
    })
    .await;
    let glance = connected(&peer).await;
    assert_eq!(glance.list(&ListQuery::default(), Some(&id().into())).await.unwrap_err().kind, Kind::MarkerGone);
    assert_eq!(glance.list(&ListQuery::default(), None).await.unwrap_err().kind, Kind::Forbidden);
}

#[tokio::test]
async fn an_answer_that_is_none_is_malformed() {
    let peer = peer(|request, before| match (request.path(), before) {
        ("/v2/images", 1) => Some(Answer::Full(200, String::new(), b"<html>login page</html>".to_vec())),
        (path, _) if path.ends_with(ID) => {
            Some(Answer::json(200, &json!({"id": "0a0b0c0d-0000-4000-8000-00000000000f"})))
        }
        _ => None,
    })
    .await;
    let glance = connected(&peer).await;
    let page = glance.list(&ListQuery::default(), None).await.unwrap();
    assert_eq!(page.read().unwrap_err().kind, Kind::Malformed);
    assert_eq!(glance.show(id()).await.unwrap_err().kind, Kind::Malformed, "another image than the one asked for");
}

#[tokio::test]
async fn a_document_that_ends_in_the_middle_as_if_it_were_whole_is_asked_for_once_more() {
    for (cuts, succeeds) in [(1, true), (2, false)] {
        let peer = peer(move |request, before| {
            (request.path().ends_with("/members") && before < cuts)
                .then(|| Answer::Full(200, String::new(), b"{\"members\": [".to_vec()))
        })
        .await;
        let members = connected(&peer).await.members(id()).await;
        let kind = members.err().map(|error| error.kind);
        assert!(succeeds == (kind != Some(Kind::Malformed)), "{cuts}: {kind:?}");
    }
}

#[tokio::test]
async fn a_document_that_is_cut_is_asked_for_again() {
    let peer = peer(|request, before| {
        (request.path() == "/v2/images" && before == 1)
            .then(|| Answer::Short(200, String::new(), b"{\"ima".to_vec(), 50))
    })
    .await;
    assert!(connected(&peer).await.list(&ListQuery::default(), None).await.is_ok());
}

#[tokio::test]
async fn a_range_that_is_cut_is_resumed_where_it_stopped() {
    let peer = peer(|request, _| {
        is_data(request).then(|| {
            let (first, last) = asked(request);
            let (headers, body) = part(first, last);
            // Two bytes of each answer arrive.
            Answer::Short(206, headers, body[..body.len().min(2)].to_vec(), body.len())
        })
    })
    .await;
    let glance = connected(&peer).await;
    assert_eq!(read(&glance, 10, 2..9).await.unwrap(), &BYTES[2..9]);
    let ranges: Vec<_> = peer.requests().iter().filter(|request| is_data(request)).map(asked).collect();
    assert_eq!(ranges, [(2, 8), (4, 8), (6, 8), (8, 8)]);
}

#[tokio::test]
async fn a_download_that_stalls_goes_on_where_it_stopped() {
    for is_whole in [false, true] {
        let peer = peer(move |request, before| {
            is_data(request).then(|| {
                let (first, last) = if is_whole { (0, 9) } else { asked(request) };
                let ((headers, body), status) = (part(first, last), if is_whole { 200 } else { 206 });
                match before {
                    0 => Answer::Silent(status, headers, body[..4].to_vec(), body.len()),
                    _ => Answer::Full(status, headers, body),
                }
            })
        })
        .await;
        let (glance, source) = (connected(&peer).await, source(10));
        let stream = if is_whole { glance.read_all(&source).await } else { glance.read_range(&source, 0..10).await };
        let mut stream = stream.unwrap();
        assert_eq!(stream.try_next().await.unwrap().unwrap(), BYTES[..4]);
        let silence = async {
            tokio::time::pause();
            tokio::time::advance(Duration::from_mins(1)).await;
            tokio::time::resume();
        };
        let (rest, ()) = tokio::join!(stream.try_collect::<Vec<bytes::Bytes>>(), silence);
        assert_eq!(rest.unwrap().concat(), BYTES[4..]);
        let asked_for: Vec<_> = peer.requests().into_iter().filter(is_data).collect();
        let ranges = asked_for.iter().map(|request| request.header("range"));
        let wanted = if is_whole { [None, None] } else { [Some("bytes=0-9"), Some("bytes=4-9")] };
        assert!(ranges.eq(wanted), "whole: {is_whole}");
    }
}

#[tokio::test]
async fn what_was_refused_or_cut_is_asked_for_on_another_connection() {
    let refused = json!({"message": "Out of memory"}).to_string().into_bytes();
    let cut = Answer::Short(206, part(0, 9).0, BYTES[..2].to_vec(), 10);
    for trouble in [Answer::Kept(503, String::new(), refused.clone()), Answer::Kept(429, String::new(), refused), cut] {
        let told = trouble.clone();
        // Whoever stands behind the connections that are kept fails for good.
        let peer = peer(move |request, before| {
            let (headers, body) = is_data(request).then(|| asked(request)).map(|(first, last)| part(first, last))?;
            Some(if before >= 2 && request.connection < 4 { told.clone() } else { Answer::Kept(206, headers, body) })
        })
        .await;
        let glance = connected(&peer).await;
        let (one, other) = tokio::join!(read(&glance, 10, 0..10), read(&glance, 10, 0..10));
        assert_eq!((one.unwrap(), other.unwrap()), (BYTES.to_vec(), BYTES.to_vec()));
        assert_eq!(read(&glance, 10, 0..10).await.unwrap(), BYTES, "{trouble:?}");
        let connections: Vec<_> = peer.requests().iter().filter(|it| is_data(it)).map(|it| it.connection).collect();
        assert!(matches!(connections[..], [2, 3, 2..=3, 4] | [3, 2, 2..=3, 4]), "{trouble:?}: {connections:?}");
    }
}

#[tokio::test]
async fn the_store_that_is_chosen_is_asked_for_the_bytes() {
    let peer = peer(|request, _| {
        let (headers, body) = part(0, 3);
        is_data(request).then_some(Answer::Full(206, headers, body))
    })
    .await;
    let glance = connected(&peer).await;
    for store in [None, Some("fast & near".into())] {
        let stream = glance.read_range(&Source { store, ..source(10) }, 0..4).await.unwrap();
        let chunks: Vec<bytes::Bytes> = stream.try_collect().await.unwrap();
        assert_eq!(chunks.concat(), BYTES[..4]);
    }
    let asked_for: Vec<_> = peer.requests().into_iter().filter(is_data).collect();
    let queries = asked_for.iter().map(|request| request.target.split_once('?').map(|(_, query)| query));
    assert!(queries.eq([None, Some("prefer=fast+%26+near")]));
}

#[tokio::test]
async fn a_whole_image_that_is_cut_starts_over_and_skips_what_came() {
    let peer = peer(|request, before| {
        is_data(request).then(|| Answer::Short(200, String::new(), BYTES[..(3 * (before + 1)).min(10)].to_vec(), 10))
    })
    .await;
    let glance = connected(&peer).await;
    assert_eq!(read_all(&glance, 10).await.unwrap(), BYTES);
    assert!(peer.requests().iter().all(|request| request.header("range").is_none()));
}

#[tokio::test]
async fn a_whole_image_that_starts_over_says_that_bytes_arrive_while_it_skips_what_came() {
    let size = 4 << 20;
    let peer = peer(move |request, before| {
        let sent = if before == 0 { 3 << 20 } else { size };
        is_data(request).then(|| Answer::Short(200, String::new(), vec![7; sent], size))
    })
    .await;
    let stream = connected(&peer).await.read_all(&source(size as u64)).await.unwrap();
    let chunks: Vec<bytes::Bytes> = stream.try_collect().await.unwrap();
    assert!(chunks.concat() == vec![7; size]);
    assert!(chunks.iter().any(bytes::Bytes::is_empty));
}

#[tokio::test]
async fn a_download_without_progress_ends_with_an_error() {
    let peer = peer(|request, _| is_data(request).then(|| Answer::Short(206, part(0, 9).0, Vec::new(), 10))).await;
    let error = read(&connected(&peer).await, 10, 0..10).await.unwrap_err();
    assert_eq!(error.kind, Kind::Unavailable);
    assert!(error.to_string().contains(ID), "{error}");
}

#[tokio::test]
async fn a_store_that_cannot_seek_is_told_from_somebody_who_refuses_or_swallows_a_range() {
    let refused =
        json!({"message": "Getting images randomly from this store is not supported. Offset: 0, length: 4<br />"});
    let answers = [
        (Kind::Unseekable, Answer::json(400, &refused)),
        (Kind::Unranged, Answer::Full(400, String::new(), Vec::new())),
        (Kind::Unranged, Answer::Full(200, String::new(), BYTES.to_vec())),
        (Kind::Unranged, Answer::Full(206, "Content-Range: bytes 0-9/10\r\n".to_owned(), BYTES.to_vec())),
        (Kind::Unranged, Answer::Full(206, String::new(), BYTES.to_vec())),
        (Kind::Unranged, Answer::Full(206, "Content-Range: bytes 0-3/10\r\n".to_owned(), BYTES.to_vec())),
    ];
    for (kind, answer) in answers {
        let told = answer.clone();
        let peer = peer(move |request, _| is_data(request).then(|| told.clone())).await;
        let error = read(&connected(&peer).await, 10, 0..4).await.unwrap_err();
        assert_eq!(error.kind, kind, "{answer:?}");
    }
}

#[tokio::test]
async fn an_image_that_has_another_length_now_is_gone() {
    let beyond = json!({"message": "Start position MUST be in the inclusive range [0, 4]"});
    let table =
        [(206, "Content-Range: bytes 0-3/5\r\n", BYTES[..4].to_vec()), (416, "", beyond.to_string().into_bytes())];
    for (status, headers, body) in table {
        let peer =
            peer(move |request, _| is_data(request).then(|| Answer::Full(status, headers.to_owned(), body.clone())))
                .await;
        assert_eq!(read(&connected(&peer).await, 10, 0..4).await.unwrap_err().kind, Kind::Gone, "{status}");
    }
    let peer = peer(|request, _| is_data(request).then(|| Answer::Full(200, String::new(), b"12345".to_vec()))).await;
    assert_eq!(read_all(&connected(&peer).await, 10).await.unwrap_err().kind, Kind::Gone);
}

#[tokio::test]
async fn an_image_without_bytes_is_told_as_such() {
    let peer = peer(|request, _| is_data(request).then(|| Answer::Full(204, String::new(), Vec::new()))).await;
    assert_eq!(read(&connected(&peer).await, 10, 0..4).await.unwrap_err().kind, Kind::NoData);
    assert_eq!(read_all(&connected(&peer).await, 10).await.unwrap_err().kind, Kind::NoData);
}

#[tokio::test]
async fn refusals_keep_their_meaning_and_are_not_repeated() {
    let table = [
        (403, Kind::Forbidden),
        (404, Kind::NotFound),
        (405, Kind::NotOffered),
        (409, Kind::Conflict),
        (410, Kind::Gone),
    ];
    for (status, kind) in table {
        let peer = peer(move |request, _| {
            let own = "x-openstack-request-id: req-1\r\n".to_owned();
            request.path().ends_with(ID).then(|| Answer::Full(status, own, br#"{"message": "so"}"#.to_vec()))
        })
        .await;
        let error = connected(&peer).await.show(id()).await.unwrap_err();
        assert_eq!((error.kind, error.words.as_deref()), (kind, Some("so")));
        assert_eq!(peer.requests().iter().filter(|request| request.path().ends_with(ID)).count(), 1);
    }
}

#[tokio::test]
async fn nothing_at_an_address_is_unreachable() {
    let gone = peer(|_, _| None).await.url.clone();
    let error = Glance::connect_with(cloud(&gone), IMPATIENT).await.err().unwrap();
    assert_eq!(error.kind, Kind::Unreachable);
    assert!(error.to_string().contains("127.0.0.1"), "{error}");
}

#[tokio::test]
async fn the_quota_is_none_where_the_service_counts_nothing() {
    let peer = peer(|request, before| match (request.path(), before) {
        ("/v2/info/usage", 0) => {
            Some(Answer::json(200, &json!({"usage": {"image_size_total": {"usage": 1, "limit": 5}}})))
        }
        ("/v2/info/usage", 1) => Some(Answer::json(200, &json!({"usage": {}}))),
        _ => None,
    })
    .await;
    let glance = connected(&peer).await;
    assert_eq!(glance.usage().await.unwrap().unwrap().limit, Some(5 << 20));
    assert_eq!(glance.usage().await.unwrap(), None);
    assert_eq!(glance.usage().await.unwrap(), None, "404: an older service");
}

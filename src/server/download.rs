//! `GET /v2/images/{id}/file`.

use super::behaviour::{Behaviour, Ranges};
use super::errors::{ApiError, Refusal};
use super::range::{Part, asked_part};
use super::record::{Record, STORES, Status};
use super::routes::no_content;
use super::service::{Caller, Service, disk_failed, on_disk};
use super::traffic::Counters;
use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, Request, Response, StatusCode, header};
use futures_util::{Stream, StreamExt, stream};
use percent_encoding::percent_decode_str;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Large enough that handing chunks over costs little, small enough that a slow reader holds little.
const CHUNK: u64 = 512 << 10;
/// Chunks read ahead of the connection, so that the disk and the socket work at once.
const AHEAD: usize = 2;

/// Sends an image's data, or a part of it.
pub(crate) async fn download(
    service: Arc<Service>,
    caller: Caller,
    id: &str,
    request: Request<Body>,
) -> Result<Response<Body>, Refusal> {
    known_stores(request.uri().query().unwrap_or(""))?;
    let record = service.visible(&caller, id)?;
    may_download(&caller, &record)?;
    let behaviour = service.behaviour();
    let asked = asked_part(request.headers(), record.size())?;
    count(&service.counters, asked.is_some());
    let Some(data) = &record.data else {
        return Ok(no_content());
    };
    let whole = Part { start: 0, length: data.size };
    let (status, part) = match (asked, behaviour.ranges) {
        (None, _) | (Some(_), Ranges::Ignored) => (StatusCode::OK, whole),
        (Some(part), Ranges::Refused) => return Err(refused(part).into()),
        (Some(_), Ranges::Whole206) => (StatusCode::PARTIAL_CONTENT, whole),
        (Some(part), Ranges::Honoured) => (StatusCode::PARTIAL_CONTENT, part),
    };
    let path = service.store.disk().data(id);
    let file = match on_disk(move || File::open(path)).await? {
        Ok(file) => file,
        // Deleted between the look and the opening.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(ApiError::no_image(id).into()),
        Err(error) => return Err(disk_failed(&error)),
    };
    let body = Body::from_stream(chunks(file, part, &behaviour, Arc::clone(&service.counters)));
    let mut response = Response::new(body);
    *response.status_mut() = status;
    describe(&mut response, &record, part, data.size);
    Ok(response)
}

fn describe(response: &mut Response<Body>, record: &Record, part: Part, size: u64) {
    let partial = response.status() == StatusCode::PARTIAL_CONTENT;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    // Glance writes "Content-Length: None" for refused data; here its length is left out instead.
    if !record.is_poisoned() {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(part.length));
    }
    if let Some(md5) = record.checksum().and_then(|md5| HeaderValue::from_str(md5).ok()) {
        headers.insert("content-md5", md5);
    }
    let last = i128::from(part.start) + i128::from(part.length) - 1;
    if partial && let Ok(range) = HeaderValue::from_str(&format!("bytes {}-{last}/{size}", part.start)) {
        headers.insert(header::CONTENT_RANGE, range);
    }
}

/// `?prefer=` names stores in the order of liking; 400 for one that does not exist.
fn known_stores(query: &str) -> Result<(), Refusal> {
    for wanted in query.split('&').filter_map(|pair| pair.strip_prefix("prefer=")) {
        let wanted = percent_decode_str(wanted).decode_utf8_lossy();
        if let Some(unknown) = wanted.split(',').find(|name| !name.is_empty() && !STORES.contains(name)) {
            return Err(ApiError::bad_request(format!("Store '{unknown}' is not configured.")).into());
        }
    }
    Ok(())
}

fn may_download(caller: &Caller, record: &Record) -> Result<(), Refusal> {
    if !caller.admin && !caller.member {
        return Err(ApiError::policy("download_image").into());
    }
    if record.status == Status::Deactivated && !caller.admin {
        let why = "The requested image has been deactivated. Image data download is forbidden.";
        return Err(ApiError::forbidden(why).into());
    }
    Ok(())
}

/// What a store that cannot seek says.
fn refused(part: Part) -> ApiError {
    ApiError::bad_request(format!(
        "Getting images randomly from this store is not supported. Offset: {}, length: {}",
        part.start, part.length
    ))
}

fn count(counters: &Counters, ranged: bool) {
    let counter = if ranged { &counters.ranged } else { &counters.whole };
    counter.fetch_add(1, Ordering::Relaxed);
}

/// The part as a stream of chunks, read off the threads that serve connections.
fn chunks(
    file: File,
    part: Part,
    behaviour: &Behaviour,
    counters: Arc<Counters>,
) -> impl Stream<Item = io::Result<Bytes>> + use<> {
    let (rate, corrupt) = (behaviour.rate, behaviour.corrupt);
    // A slow line sends small chunks, so that its rate is even.
    let step = rate.map_or(CHUNK, |rate| (rate / 20).clamp(1 << 10, CHUNK));
    let end = part.start + part.length;
    let file = Arc::new(file);
    let pieces = std::iter::successors(Some(part.start), move |at| at.checked_add(step))
        .take_while(move |at| *at < end)
        .map(move |at| read_piece(Arc::clone(&file), at, step.min(end - at), corrupt && at == part.start));
    let ahead = if rate.is_some() { 1 } else { AHEAD };
    stream::iter(pieces).buffered(ahead).then(move |piece| {
        let counters = Arc::clone(&counters);
        async move {
            let piece = piece?;
            if let Some(rate) = rate {
                tokio::time::sleep(
                    Duration::from_secs(piece.len() as u64) / u32::try_from(rate.max(1)).unwrap_or(u32::MAX),
                )
                .await;
            }
            counters.bytes.fetch_add(piece.len() as u64, Ordering::Relaxed);
            Ok(piece)
        }
    })
}

async fn read_piece(file: Arc<File>, at: u64, length: u64, corrupt: bool) -> io::Result<Bytes> {
    let read = tokio::task::spawn_blocking(move || {
        let mut piece = vec![0; usize::try_from(length).map_err(io::Error::other)?];
        file.read_exact_at(&mut piece, at)?;
        if let Some(byte) = piece.first_mut().filter(|_| corrupt) {
            *byte ^= 1;
        }
        Ok(Bytes::from(piece))
    });
    read.await.map_err(io::Error::other)?
}

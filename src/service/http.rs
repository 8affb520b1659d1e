//! One request to the service, until it is answered for good: token, deadlines, retries, one replay after a 401.
//! Only the bytes of an image are sent once ([`Http::put`]), by who has them.
//!
//! | what happens | what is done |
//! |---|---|
//! | no connection, closed before a status line, silence, 429, 500, 502, 503, 504 | again after a pause, up to [`Patience::CALL`] |
//! | 401 | once more with a new token; then like a failure that may pass, since a worker's token cache, or a Keystone that is down, looks the same |
//! | an answer cut in the middle | again |
//! | any other refusal | told at once, with the service's words |
//! | a certificate that is not trusted | told at once |

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue, RANGE, RETRY_AFTER};
use reqwest::{Body, Client, Method, Response, StatusCode, Url};
use tokio::time::{Instant, timeout};

use super::auth::{Login, Token};
use super::error::{Kind, ServiceError};
use super::meter::{Asked, Meter};
use super::retry::{Patience, Tries, retry_after};
use super::{Result, failure, words};

/// How long the answer's head may take. Glance asks Keystone and its database before it answers; a minute is what its
/// own servers wait for a client.
pub(super) const HEAD_DEADLINE: Duration = Duration::from_mins(1);

/// How long a body may stand still.
pub(super) const IDLE_DEADLINE: Duration = Duration::from_mins(1);

/// All tries of a call together, when the answers do not come at all: a person waits for them.
const CALL_DEADLINE: Duration = Duration::from_mins(2);

/// The largest document that is read. A page of 1,000 images with long properties has a few MiB.
const LARGEST_DOCUMENT: usize = 256 << 20;

/// The most of an error's body that is looked at.
const LARGEST_COMPLAINT: usize = 64 << 10;

const TOKEN_HEADER: &str = "x-auth-token";
const REQUEST_ID_HEADER: &str = "x-openstack-request-id";
/// The size of an upload, which newer releases compare with what comes.
const IMAGE_SIZE_HEADER: &str = "x-openstack-image-size";

/// One request, as it is repeated.
#[derive(Clone, Debug)]
pub(super) struct Call {
    /// What is tried, to be read behind "could not".
    pub(super) action: String,
    pub(super) url: Url,
    /// The bytes to ask for, as a `Range` header has them.
    pub(super) range: Option<String>,
    pub(super) method: Method,
    /// A document to send, with its media type.
    pub(super) document: Option<(&'static str, Bytes)>,
}

impl Call {
    pub(super) fn get(action: impl Into<String>, url: Url) -> Self {
        Self::new(Method::GET, action, url)
    }

    pub(super) fn delete(action: impl Into<String>, url: Url) -> Self {
        Self::new(Method::DELETE, action, url)
    }

    pub(super) fn post(action: impl Into<String>, url: Url, document: &serde_json::Value) -> Self {
        Self::new(Method::POST, action, url).with("application/json", document)
    }

    /// A POST without a document, which is how Glance's actions are asked for: it refuses any body.
    pub(super) fn order(action: impl Into<String>, url: Url) -> Self {
        Self::new(Method::POST, action, url)
    }

    /// A PUT; where there is a document, of that.
    pub(super) fn put(action: impl Into<String>, url: Url, document: Option<&serde_json::Value>) -> Self {
        let bare = Self::new(Method::PUT, action, url);
        match document {
            Some(document) => bare.with("application/json", document),
            None => bare,
        }
    }

    pub(super) fn patch(
        action: impl Into<String>,
        url: Url,
        media_type: &'static str,
        document: &serde_json::Value,
    ) -> Self {
        Self::new(Method::PATCH, action, url).with(media_type, document)
    }

    fn new(method: Method, action: impl Into<String>, url: Url) -> Self {
        Self { action: action.into(), url, range: None, method, document: None }
    }

    fn with(mut self, media_type: &'static str, document: &serde_json::Value) -> Self {
        self.document = Some((media_type, document.to_string().into()));
        self
    }
}

/// How a call ended.
pub(super) struct Answered {
    /// The body of a successful answer, or the failure for good.
    pub(super) outcome: Result<Bytes>,
    /// Whether a try before the last one may have reached the service and taken effect there, although its answer was
    /// none or a failure.
    pub(super) unsure: bool,
}

/// Sends requests with a token.
pub(super) struct Http {
    client: Client,
    /// Who sends a request again that failed.
    again: Client,
    login: Login,
    patience: Patience,
    meter: Meter,
}

/// A try that failed.
pub(super) struct Failure {
    pub(super) error: ServiceError,
    /// The status of the answer; `None` where none came.
    pub(super) status: Option<StatusCode>,
    /// Whether the words in the error are the service's own.
    pub(super) told: bool,
    /// Whether an answer may have been lost with the connection.
    pub(super) reset: bool,
    next: Next,
}

/// What to do after a failed try.
enum Next {
    Stop,
    /// Try again, after this long if the service said so.
    Again(Option<Duration>),
    /// The token was refused.
    NewToken,
}

impl Http {
    pub(super) fn new(client: Client, login: Login, patience: Patience) -> Self {
        let again = client.clone();
        Self { client, again, login, patience, meter: Meter::default() }
    }

    /// The same with another client for requests that are sent again.
    pub(super) fn with_again(self, again: Client) -> Self {
        Self { again, ..self }
    }

    /// How often a download may be cut without any progress.
    pub(super) fn tries(&self) -> Tries {
        Tries::new(self.patience)
    }

    /// What was asked so far.
    pub(super) fn asked(&self) -> impl Iterator<Item = Asked> {
        self.meter.asked()
    }

    /// The login whose tokens it sends.
    pub(super) fn login(&self) -> &Login {
        &self.login
    }

    /// The whole body of a successful answer.
    pub(super) async fn document(&self, call: &Call) -> Result<Bytes> {
        self.change(call).await.outcome
    }

    /// The same for a call that changes something, of which one must know whether it was made twice.
    pub(super) async fn change(&self, call: &Call) -> Answered {
        let mut attempts = match Attempts::begin(self).await {
            Ok(attempts) => attempts,
            Err(error) => return Answered { outcome: Err(error), unsure: false },
        };
        loop {
            let unsure = attempts.unsure;
            match self.whole(call, &attempts).await {
                Ok(body) => return Answered { outcome: Ok(body), unsure },
                Err(failure) => {
                    if let Err(error) = attempts.after(failure).await {
                        return Answered { outcome: Err(error), unsure };
                    }
                }
            }
        }
    }

    /// Sends `length` bytes to `url`, once and without a deadline, and waits for the answer to them.
    pub(super) async fn put(
        &self,
        action: &str,
        url: &Url,
        token: &Token,
        length: u64,
        bytes: Body,
    ) -> std::result::Result<(), Failure> {
        let mut headers = headers(token);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        headers.insert(IMAGE_SIZE_HEADER, HeaderValue::from(length));
        let began = Instant::now();
        let sent = self.client.put(url.clone()).headers(headers).body(bytes).send().await;
        let succeeded = sent.as_ref().is_ok_and(|response| response.status().is_success());
        self.asked_for(&Method::PUT, url, began.elapsed(), sent.as_ref().ok());
        match sent {
            Err(error) => Err(broken(action, &place(url), &error)),
            Ok(_) if succeeded => Ok(()),
            Ok(response) => Err(refused(action, response).await),
        }
    }

    /// Counts a request, and tells of it. Its query stays untold: what stands in one is for others to say.
    fn asked_for(&self, method: &Method, url: &Url, time: Duration, answer: Option<&Response>) {
        let status = answer.map(Response::status);
        self.meter.count(method, url, time, status.is_some_and(|status| status.is_success()));
        let (status, request) = (status.map_or(0, |status| status.as_u16()), answer.and_then(request_id));
        let request = request.as_deref().unwrap_or("-");
        if matches!(*method, Method::GET | Method::HEAD) {
            tracing::debug!(%method, path = url.path(), status, ?time, %request, "asked the service");
        } else {
            tracing::info!(%method, path = url.path(), status, ?time, %request, "asked the service for a change");
        }
    }

    /// A successful answer with its body yet to come; `is_again` where the one before was cut.
    pub(super) async fn response(&self, call: &Call, is_again: bool) -> Result<Response> {
        let mut attempts = Attempts { is_again, ..Attempts::begin(self).await? };
        loop {
            match self.once(call, &attempts).await {
                Ok(response) => return Ok(response),
                Err(failure) => attempts.after(failure).await?,
            }
        }
    }

    async fn whole(&self, call: &Call, attempts: &Attempts<'_>) -> std::result::Result<Bytes, Failure> {
        let response = self.once(call, attempts).await?;
        let request_id = request_id(&response);
        body(response, LARGEST_DOCUMENT).await.map_err(|error| {
            let error = ServiceError { action: call.action.clone(), request_id, ..error };
            Failure::without_answer(error)
        })
    }

    async fn once(&self, call: &Call, attempts: &Attempts<'_>) -> std::result::Result<Response, Failure> {
        let mut headers = headers(&attempts.token);
        if let Some(range) = call.range.as_deref().and_then(|range| HeaderValue::from_str(range).ok()) {
            headers.insert(RANGE, range);
        }
        let client = if attempts.is_again { &self.again } else { &self.client };
        let mut request = client.request(call.method.clone(), call.url.clone());
        if let Some((media_type, document)) = &call.document {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
            request = request.body(document.clone());
        } else if matches!(call.method, Method::POST | Method::PUT) {
            // There are proxies that answer 411 where it is not said that there is nothing.
            headers.insert(CONTENT_LENGTH, HeaderValue::from(0));
        }
        let began = Instant::now();
        let answer = timeout(HEAD_DEADLINE, request.headers(headers).send()).await;
        let succeeded = matches!(&answer, Ok(Ok(response)) if response.status().is_success());
        self.asked_for(
            &call.method,
            &call.url,
            began.elapsed(),
            answer.as_ref().ok().and_then(|sent| sent.as_ref().ok()),
        );
        match answer {
            Err(_) => Err(Failure::without_answer(ServiceError::new(Kind::TimedOut, &call.action))),
            Ok(Err(error)) => Err(broken(&call.action, &place(&call.url), &error)),
            Ok(Ok(response)) if succeeded => Ok(response),
            Ok(Ok(response)) => Err(refused(&call.action, response).await),
        }
    }
}

/// The tries of one call, and the token for the next one.
struct Attempts<'a> {
    http: &'a Http,
    token: Token,
    tries: Tries,
    began: Instant,
    replayed: bool,
    unsure: bool,
    /// One has failed.
    is_again: bool,
}

impl<'a> Attempts<'a> {
    async fn begin(http: &'a Http) -> Result<Self> {
        let token = http.login.token().await?;
        let (tries, began) = (http.tries(), Instant::now());
        Ok(Self { http, token, tries, began, replayed: false, unsure: false, is_again: false })
    }

    /// Gets ready for the next try, or answers the failure for good.
    async fn after(&mut self, Failure { error, next, .. }: Failure) -> Result<()> {
        let asked = match next {
            Next::Stop => return Err(error),
            Next::Again(asked) => {
                // Who was not reached did nothing.
                self.unsure |= error.kind != Kind::Unreachable;
                asked
            }
            Next::NewToken if !self.replayed => {
                self.replayed = true;
                self.token = self.http.login.renew(&self.token).await?;
                return Ok(());
            }
            Next::NewToken => None,
        };
        let pause = self.tries.failed(asked, fastrand::f64()).filter(|_| self.began.elapsed() < CALL_DEADLINE);
        let Some(pause) = pause else { return Err(error) };
        self.is_again = true;
        tracing::debug!(%error, ?pause, "trying again");
        tokio::time::sleep(pause).await;
        self.token = self.http.login.token().await?;
        Ok(())
    }
}

impl Failure {
    fn without_answer(error: ServiceError) -> Self {
        let next = if failure::is_passing(&error.kind) { Next::Again(None) } else { Next::Stop };
        Self { error, status: None, told: false, reset: false, next }
    }
}

/// What every request carries.
fn headers(token: &Token) -> HeaderMap {
    let mut headers = HeaderMap::new();
    // Alone, or Glance answers errors as HTML.
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    if let Some(value) = token.header_value() {
        headers.insert(TOKEN_HEADER, value);
    }
    headers
}

/// A connection that failed.
fn broken(action: &str, place: &str, error: &reqwest::Error) -> Failure {
    let reset = failure::is_reset(error);
    Failure { reset, ..Failure::without_answer(failure::of_request(error, action, place)) }
}

/// An answer that is no success.
async fn refused(action: &str, response: Response) -> Failure {
    let status = response.status();
    let request_id = request_id(&response);
    let asked = response.headers().get(RETRY_AFTER).and_then(|value| retry_after(value.to_str().ok()?));
    let words = body(response, LARGEST_COMPLAINT).await.ok().and_then(|body| words::explanation(&body));
    let told = words.is_some();
    let words = words.or_else(|| Some(format!("the service answered {status}")));
    let (kind, next) = meaning(status, asked);
    let error = ServiceError { kind, action: action.to_owned(), words, request_id, retry_after: asked, advised: false };
    Failure { error, status: Some(status), told, reset: false, next }
}

/// What a status of a failed call means.
fn meaning(status: StatusCode, asked: Option<Duration>) -> (Kind, Next) {
    match status.as_u16() {
        401 => (Kind::Unauthorized, Next::NewToken),
        403 => (Kind::Forbidden, Next::Stop),
        404 => (Kind::NotFound, Next::Stop),
        // Of several versions of an API that are at this address none was named (300), or it has no such call.
        300 | 405 | 501 => (Kind::NotOffered, Next::Stop),
        409 => (Kind::Conflict, Next::Stop),
        410 => (Kind::Gone, Next::Stop),
        413 => (Kind::OverQuota, Next::Stop),
        408 | 429 | 500 | 502 | 503 | 504 => (Kind::Unavailable, Next::Again(asked)),
        400..500 => (Kind::Invalid, Next::Stop),
        500..600 => (Kind::Unavailable, Next::Stop),
        // A redirect that was not followed leads to another origin, or in circles.
        _ => (Kind::Malformed, Next::Stop),
    }
}

/// Where a request goes, to be read in a sentence.
fn place(url: &Url) -> String {
    url.origin().ascii_serialization()
}

pub(super) fn request_id(response: &Response) -> Option<String> {
    response.headers().get(REQUEST_ID_HEADER)?.to_str().ok().map(ToOwned::to_owned)
}

/// What is set aside for a body before it comes, in bytes: a page of images has somewhat less.
const RESERVED: usize = 2 << 20;

/// A body, whole; an error if it is cut, stands still or is larger than `largest`.
async fn body(mut response: Response, largest: usize) -> Result<Bytes> {
    // As it says, but no more than is cheap: what says so may be wrong.
    let length = response.content_length().and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
    let mut bytes = BytesMut::with_capacity(length.min(largest).min(RESERVED));
    while let Some(chunk) = next_chunk(&mut response).await? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > largest {
            return Err(ServiceError::new(Kind::Malformed, "read the answer").with_words("it is too large"));
        }
    }
    Ok(bytes.freeze())
}

/// The next bytes of a body, `None` at its end.
pub(super) async fn next_chunk(response: &mut Response) -> Result<Option<Bytes>> {
    match timeout(IDLE_DEADLINE, response.chunk()).await {
        Err(_) => Err(ServiceError::new(Kind::TimedOut, "read the answer")),
        Ok(Err(error)) => Err(failure::of_request(&error, "read the answer", &place(response.url()))),
        Ok(Ok(chunk)) => Ok(chunk),
    }
}

//! An image's bytes on their way to the service: one try, watched for its progress.
//!
//! A service that refuses an upload early answers and closes without reading what is on its way to it. On the side that
//! sends this is a race: the connection may break before the answer was read. What was lost so is found out by a second
//! request that announces the same bytes and sends none ([`second_look`]).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use reqwest::{Body, StatusCode, Url};
use tokio::time::{Instant, sleep_until, timeout};

use crate::service::auth::Token;
use crate::service::http::{Failure, Http};
use crate::service::{ByteStream, Kind, Outgoing, Result, ServiceError};

/// The most that is handed to the connection at once. uWSGI takes no chunk of 1 MiB, and what is handed over is not
/// counted as progress until it has left.
const FRAME: usize = 256 << 10;

/// How long the service may take no byte. A store may stop reading while it hands a part on to where it keeps it.
const STANDSTILL: Duration = Duration::from_mins(2);

/// How long the answer may take behind the last byte, whatever the size: Glance writes its database, and a store may
/// have to put the parts together first.
const ANSWER: Duration = Duration::from_mins(5);

/// A proxy may take all bytes and only then send them on, so the wait for the answer grows with the size. Glance hashes
/// about 60 MiB/s; this is a quarter of it.
const STORED_A_SECOND: u64 = 16 << 20;

/// The rate that an upload is expected to have at least when a token is chosen for it, of a line of 100 Mbit/s or so. On
/// a slower one the token has to be a trust of Glance's own, which it asks for where it can.
const SENT_A_SECOND: u64 = 8 << 20;

/// What a token needs beyond the time for the bytes, since clocks differ and answers take their time.
const MARGIN: Duration = Duration::from_mins(1);

/// How long a second look waits for a refusal. Glance asks Keystone for the quota first, which takes up to 0.6 s.
const SECOND_LOOK: Duration = Duration::from_secs(2);

/// Who has sent so much was not refused at the beginning. It is more than what the buffers of a connection hold by
/// default, 4 MiB here and 6 MiB there.
const BEGINNING: u64 = 12 << 20;

/// Sends the bytes of an image to `url`.
pub(super) async fn send(http: &Http, action: &str, url: &Url, outgoing: Outgoing) -> Result<()> {
    let size = outgoing.size;
    let token = http.login().token_lasting(MARGIN + Duration::from_secs(size / SENT_A_SECOND)).await?;
    let this = Try { http, action, url, token, size };
    let progress = Arc::new(Progress::begin());
    let frames = Frames { source: outgoing.body, rest: Bytes::new(), left: size, progress: Arc::clone(&progress) };
    let body = if size == 0 { Body::from(Bytes::new()) } else { Body::wrap_stream(frames.into_stream()) };
    let outcome = tokio::select! {
        outcome = this.put(body) => outcome,
        phase = progress.standstill(size) => return Err(stalled(action, phase)),
    };
    match (outcome, progress.take_own_failure()) {
        (Ok(()), _) => Ok(()),
        (Err(_), Some(own)) => Err(own),
        (Err(failure), None) => Err(this.explained(failure, progress.handed(size)).await),
    }
}

/// One upload.
struct Try<'a> {
    http: &'a Http,
    action: &'a str,
    url: &'a Url,
    token: Token,
    size: u64,
}

impl Try<'_> {
    async fn put(&self, bytes: Body) -> std::result::Result<(), Failure> {
        self.http.put(self.action, self.url, &self.token, self.size, bytes).await
    }

    /// What a failure means, after a second look where the answer was lost. So many bytes were handed over before it.
    async fn explained(&self, failure: Failure, handed: u64) -> ServiceError {
        let error = failure.error;
        match failure.status {
            Some(StatusCode::UNAUTHORIZED) => self.unauthorized(error).await,
            // What is not refused at once was refused for its size.
            Some(StatusCode::PAYLOAD_TOO_LARGE) if !failure.told => {
                let told = self.second_look().await;
                told.unwrap_or(ServiceError { kind: Kind::TooLarge, words: None, ..error })
            }
            None if failure.reset && handed < BEGINNING => self.second_look().await.unwrap_or(error),
            status => classified(status, error),
        }
    }

    /// Announces the same bytes and sends none, to read a refusal that comes before them. A service that waits for the
    /// bytes instead sees a sender that breaks off, and forgets it.
    async fn second_look(&self) -> Option<ServiceError> {
        let nothing = Body::wrap_stream(futures_util::stream::pending::<Result<Bytes>>());
        let answer = timeout(SECOND_LOOK, self.put(nothing)).await.ok()?;
        let failure = answer.err().filter(|failure| failure.told)?;
        let error = classified(failure.status, failure.error);
        // A conflict may be with the first try itself, and what may pass is no reason.
        let is_reason = matches!(
            error.kind,
            Kind::OverQuota | Kind::TooLarge | Kind::StoreFull | Kind::Forbidden | Kind::Invalid | Kind::NotFound
        );
        is_reason.then_some(error)
    }

    /// The bytes are gone, so there is no replay; but the next try shall find a new token.
    async fn unauthorized(&self, error: ServiceError) -> ServiceError {
        match self.http.login().renew(&self.token).await {
            Ok(_) => ServiceError { kind: Kind::Unavailable, ..error },
            Err(no_token) => no_token,
        }
    }
}

/// The kinds of refusal that only an upload meets.
fn classified(status: Option<StatusCode>, mut error: ServiceError) -> ServiceError {
    error.kind = match status {
        Some(StatusCode::UNSUPPORTED_MEDIA_TYPE) => Kind::FormatMismatch,
        Some(StatusCode::PAYLOAD_TOO_LARGE) => too_large(error.words.as_deref().unwrap_or_default()),
        _ => return error,
    };
    error
}

/// Glance answers 413 to five different troubles. Only its words tell them apart.
fn too_large(words: &str) -> Kind {
    let words = words.to_ascii_lowercase();
    let has = |part: &str| words.contains(part);
    if has("image_count_uploading") {
        // Too many uploads at once: one of them ends sooner or later.
        Kind::Unavailable
    } else if has("media is full") {
        Kind::StoreFull
    } else if has("quota") || has("over limit") || has("over a limit") {
        Kind::OverQuota
    } else {
        // Glance's own words for its cap, and those of proxies for theirs.
        Kind::TooLarge
    }
}

fn stalled(action: &str, phase: Phase) -> ServiceError {
    let words = match phase {
        Phase::Answering => "the service has all bytes, and does not answer",
        Phase::Fetching | Phase::Sending => "the service takes no more bytes",
    };
    ServiceError::new(Kind::TimedOut, action).with_words(words)
}

/// What an upload waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// For bytes of ours.
    Fetching,
    /// For the service to take those that it was handed.
    Sending,
    /// For the answer: the service was handed all.
    Answering,
}

/// How far an upload is; who sends writes it, who watches reads it.
struct Progress(Mutex<State>);

struct State {
    phase: Phase,
    since: Instant,
    /// How many bytes are still to be handed over.
    left: u64,
    own_failure: Option<ServiceError>,
}

impl Progress {
    fn begin() -> Self {
        let state = State { phase: Phase::Sending, since: Instant::now(), left: u64::MAX, own_failure: None };
        Self(Mutex::new(state))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, phase: Phase, left: u64) {
        let mut state = self.lock();
        (state.phase, state.since, state.left) = (phase, Instant::now(), left);
    }

    /// How many bytes of so many were handed over.
    fn handed(&self, size: u64) -> u64 {
        size.saturating_sub(self.lock().left)
    }

    /// Waits until nothing has moved for longer than it may.
    async fn standstill(&self, size: u64) -> Phase {
        loop {
            let (phase, since) = {
                let state = self.lock();
                (state.phase, state.since)
            };
            let deadline = match phase {
                Phase::Answering => since + ANSWER + Duration::from_secs(size / STORED_A_SECOND),
                Phase::Sending => since + STANDSTILL,
                // Our own bytes have no deadline here; what follows them is looked at again.
                Phase::Fetching => Instant::now() + STANDSTILL,
            };
            if Instant::now() >= deadline {
                return phase;
            }
            sleep_until(deadline).await;
        }
    }

    /// The failure of our own bytes, if that is what ended the upload.
    fn take_own_failure(&self) -> Option<ServiceError> {
        self.lock().own_failure.take()
    }
}

/// The bytes as they are handed to the connection: exactly as many as announced, in frames.
struct Frames {
    source: ByteStream,
    rest: Bytes,
    left: u64,
    progress: Arc<Progress>,
}

impl Frames {
    fn into_stream(self) -> impl Stream<Item = Result<Bytes>> + Send {
        futures_util::stream::unfold(self, |mut frames| async move {
            let frame = frames.next().await.transpose()?;
            if let Err(error) = &frame {
                frames.left = 0;
                frames.progress.lock().own_failure = Some(error.clone());
            }
            Some((frame, frames))
        })
    }

    async fn next(&mut self) -> Result<Option<Bytes>> {
        if self.left == 0 {
            return Ok(None);
        }
        self.progress.enter(Phase::Fetching, self.left);
        while self.rest.is_empty() {
            self.rest = self.source.next().await.unwrap_or_else(|| Err(too_short(self.left)))?;
        }
        let wanted = usize::try_from(self.left).unwrap_or(usize::MAX).min(FRAME).min(self.rest.len());
        let frame = self.rest.split_to(wanted);
        self.left -= u64::try_from(wanted).unwrap_or(self.left);
        self.progress.enter(if self.left == 0 { Phase::Answering } else { Phase::Sending }, self.left);
        Ok(Some(frame))
    }
}

fn too_short(left: u64) -> ServiceError {
    ServiceError::new(Kind::Invalid, "upload the data").with_words(format!("{left} bytes of them are missing"))
}

#[cfg(test)]
mod tests {
    use futures_util::{TryStreamExt, stream};

    use super::*;

    fn frames(parts: Vec<Result<Bytes>>, size: u64) -> (Arc<Progress>, impl Stream<Item = Result<Bytes>> + Send) {
        let progress = Arc::new(Progress::begin());
        let source = stream::iter(parts).boxed();
        let frames = Frames { source, rest: Bytes::new(), left: size, progress: Arc::clone(&progress) };
        (progress, frames.into_stream())
    }

    #[tokio::test]
    async fn bytes_are_handed_over_in_frames_and_as_many_as_announced() {
        let part = Bytes::from(vec![7; FRAME + 5]);
        let size = 2 * (FRAME as u64 + 5) - 1;
        let (progress, frames) = frames(vec![Ok(part.clone()), Ok(Bytes::new()), Ok(part)], size);
        let sizes: Vec<usize> = frames.map_ok(|frame| frame.len()).try_collect().await.unwrap();
        assert_eq!(sizes, [FRAME, 5, FRAME, 4]);
        assert_eq!((progress.handed(size), progress.lock().phase), (size, Phase::Answering));
    }

    #[tokio::test]
    async fn bytes_that_are_missing_or_cannot_be_read_end_the_upload() {
        let (progress, short) = frames(vec![Ok(Bytes::from_static(b"abc"))], 5);
        assert!(short.try_collect::<Vec<_>>().await.unwrap_err().to_string().contains("2 bytes"));
        assert_eq!(progress.take_own_failure().unwrap().kind, Kind::Invalid);
        let unreadable = ServiceError::new(Kind::Configuration, "read the spool");
        let (progress, broken) = frames(vec![Err(unreadable)], 5);
        assert!(broken.try_collect::<Vec<_>>().await.is_err());
        assert_eq!(progress.take_own_failure().unwrap().action, "read the spool");
    }

    #[tokio::test(start_paused = true)]
    async fn a_service_that_takes_no_bytes_is_noticed_and_an_answer_has_longer() {
        let began = Instant::now();
        let progress = Progress::begin();
        assert_eq!(progress.standstill(0).await, Phase::Sending);
        assert_eq!(began.elapsed().as_secs(), STANDSTILL.as_secs());
        let began = Instant::now();
        progress.enter(Phase::Answering, 0);
        assert_eq!(progress.standstill(160 << 20).await, Phase::Answering);
        assert_eq!(began.elapsed().as_secs(), ANSWER.as_secs() + 10);
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_of_our_own_may_come_as_late_as_they_like() {
        let progress = Progress::begin();
        progress.enter(Phase::Fetching, 5);
        assert!(timeout(STANDSTILL * 10, progress.standstill(5)).await.is_err());
        let began = Instant::now();
        progress.enter(Phase::Sending, 5);
        assert_eq!(progress.standstill(5).await, Phase::Sending);
        assert!(began.elapsed() >= STANDSTILL);
    }

    #[test]
    fn the_troubles_that_are_answered_with_413_are_told_apart() {
        let table = [
            ("Project p is over a limit for [Resource image_size_total is over limit of 5 …]", Kind::OverQuota),
            (
                "The request returned a 413 Request Entity Too Large. This generally means that rate limiting or a quota threshold was breached.",
                Kind::OverQuota,
            ),
            ("Project p is over a limit for [Resource image_count_uploading is over limit of 1 …]", Kind::Unavailable),
            ("Image exceeds the storage quota: The size of the data exceeds the limit", Kind::OverQuota),
            ("Image storage media is full: There is not enough disk space", Kind::StoreFull),
            ("The incoming image is too large: maximum size of 5 bytes exceeded", Kind::TooLarge),
            ("413 Request Entity Too Large nginx", Kind::TooLarge),
        ];
        for (words, kind) in table {
            assert_eq!(too_large(words), kind, "{words}");
        }
    }
}

//! Login: a token for whoever asks, renewed ahead of its end, and the addresses of the services.
//!
//! One login serves all who wait for it. It runs as a task of its own, so that a caller who goes away does not end it for
//! the others, and no lock is held while it runs.

mod catalog;
mod command;
mod keystone;
mod request;
mod token;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use jiff::{SignedDuration, Timestamp};
use url::Url;

use super::error::{Kind, ServiceError};
use super::tls::{Purpose, client};
use crate::config::{AuthMethod, Backend, Cloud, TokenCommand};
use catalog::{Catalog, Wanted};
use keystone::Keystone;
use token::{Age, Parts};
pub use token::{Holder, Token};

/// After a refused login the next one waits so long: a crowd that asks again at once would hammer Keystone, and some
/// clouds lock an account after a few wrong passwords.
const AFTER_REFUSAL: Duration = Duration::from_secs(5);
/// After a login that failed for want of an answer: the tries before it took their time already.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// The time, as a function that tests replace.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// The login to one cloud. Copies share it.
#[derive(Clone)]
pub struct Login(Arc<Inner>);

struct Inner {
    cloud: Cloud,
    keystone: Option<Keystone>,
    clock: Clock,
    serial: AtomicU64,
    // Not a tokio mutex: it is held for a look and a change only, never across an await.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    session: Option<Arc<Session>>,
    flight: Option<Flight>,
    refusal: Option<(Timestamp, ServiceError)>,
}

/// What one login brought.
struct Session {
    token: Token,
    catalog: Catalog,
}

type Outcome = Result<Arc<Session>, ServiceError>;
type Flight = Shared<BoxFuture<'static, Outcome>>;

impl Login {
    /// The login that the cloud's settings describe. Nothing is asked yet.
    pub fn new(cloud: Cloud) -> Result<Self, ServiceError> {
        Self::with_clock(cloud, Arc::new(Timestamp::now))
    }

    /// The same with a clock of the caller's.
    pub fn with_clock(cloud: Cloud, clock: Clock) -> Result<Self, ServiceError> {
        let client = client(&cloud.tls, Purpose::Api)?;
        let keystone = cloud.auth_url.clone().map(|url| Keystone::new(client, url));
        let (serial, state) = (AtomicU64::new(2), Mutex::default());
        Ok(Self(Arc::new(Inner { cloud, keystone, clock, serial, state })))
    }

    /// The cloud that it logs in to.
    pub fn cloud(&self) -> &Cloud {
        &self.0.cloud
    }

    /// A token that can be used now. One that comes to its end is renewed behind the caller's back.
    pub async fn token(&self) -> Result<Token, ServiceError> {
        self.0.session().await.map(|session| session.token.clone())
    }

    /// What is left of the life of the token that is used at present, where there is one and its end is known.
    pub fn token_left(&self) -> Option<Duration> {
        let session = self.0.lock().session.clone()?;
        session.token.left((self.0.clock)())
    }

    /// A token other than the one that the service refused: the present one if it is another already, else a new one.
    pub async fn renew(&self, refused: &Token) -> Result<Token, ServiceError> {
        if !self.0.can_renew() {
            let words = "the service refuses the token, and there is no login that could bring another";
            return Err(ServiceError::new(Kind::Unauthorized, self.0.action()).with_words(words));
        }
        if let Some(session) = self.0.forget(refused) {
            return Ok(session.token.clone());
        }
        self.0.fly().await.map(|session| session.token.clone())
    }

    /// A token that lives at least so long, or the longest-lived one there is.
    pub async fn token_lasting(&self, need: Duration) -> Result<Token, ServiceError> {
        let now = (self.0.clock)();
        let lasts = |token: &Token| token.left(now).is_none_or(|left| left >= need);
        let token = self.token().await?;
        if lasts(&token) || !self.0.can_renew() {
            return Ok(token);
        }
        let renewed = self.0.fly().await?.token.clone();
        if !lasts(&renewed) {
            let left = renewed.left(now).unwrap_or_default().as_secs();
            tracing::warn!(
                left,
                need = need.as_secs(),
                "a new token lives shorter than what is ahead needs, in seconds"
            );
        }
        Ok(renewed)
    }

    /// The address of the Image service: the configured one, or the catalog's for the chosen region and interface.
    pub async fn image_endpoint(&self) -> Result<Url, ServiceError> {
        let inner = &self.0;
        if let Some(url) = &inner.cloud.image_endpoint {
            return Ok(url.clone());
        }
        inner.session().await?.catalog.endpoint(&inner.cloud, &Wanted::image(&inner.cloud))
    }

    /// The address of the Compute service, likewise.
    pub async fn compute_endpoint(&self) -> Result<Url, ServiceError> {
        let inner = &self.0;
        if let Some(url) = &inner.cloud.compute.endpoint {
            return Ok(url.clone());
        }
        inner.session().await?.catalog.endpoint(&inner.cloud, &Wanted::compute(&inner.cloud))
    }
}

impl std::fmt::Debug for Login {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Login").field("cloud", &self.0.cloud).finish_non_exhaustive()
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        // What a panicking holder leaves behind is whole: every change is a single assignment.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn can_renew(&self) -> bool {
        !matches!(self.cloud.auth, AuthMethod::None | AuthMethod::AdminToken(_))
    }

    /// Whether an address is wanted that only a catalog tells. The Image service beside a Compute service is asked for where
    /// there is a Keystone to ask.
    fn needs_catalog(&self) -> bool {
        let cloud = &self.cloud;
        match cloud.backend {
            Backend::Image => cloud.image_endpoint.is_none(),
            Backend::Compute => {
                cloud.compute.endpoint.is_none() || (cloud.image_endpoint.is_none() && cloud.auth_url.is_some())
            }
        }
    }

    async fn session(self: &Arc<Self>) -> Outcome {
        let session = self.lock().session.clone();
        match session.map(|session| (session.token.age((self.clock)()), session)) {
            Some((Age::Fresh, session)) => Ok(session),
            Some((Age::Aging, session)) => {
                drop(self.fly());
                Ok(session)
            }
            Some((Age::Over, _)) | None => self.fly().await,
        }
    }

    /// Gives the present session up if its token is the refused one, else answers it.
    fn forget(&self, refused: &Token) -> Option<Arc<Session>> {
        let mut state = self.lock();
        if state.session.as_ref().is_some_and(|session| session.token.is_same(refused)) {
            state.session = None;
        }
        state.session.clone()
    }

    /// The login that is on its way, or a new one; or the refusal of one that failed a moment ago.
    fn fly(self: &Arc<Self>) -> Flight {
        let mut state = self.lock();
        if let Some(flight) = &state.flight {
            return flight.clone();
        }
        if let Some((until, error)) = &state.refusal
            && (self.clock)() < *until
        {
            return std::future::ready(Err(error.clone())).boxed().shared();
        }
        let inner = Arc::clone(self);
        let task = tokio::spawn(async move {
            let outcome = inner.log_in().await.map(Arc::new);
            inner.land(&outcome);
            outcome
        });
        let lost = || ServiceError::new(Kind::Unavailable, "log in").with_words("the login was interrupted");
        let flight = task.map(move |joined| joined.unwrap_or_else(|_| Err(lost()))).boxed().shared();
        state.flight = Some(flight.clone());
        flight
    }

    fn land(&self, outcome: &Outcome) {
        let now = (self.clock)();
        let mut state = self.lock();
        state.flight = None;
        match outcome {
            Ok(session) => {
                state.session = Some(Arc::clone(session));
                state.refusal = None;
            }
            Err(error) => {
                tracing::warn!(%error, "the login failed");
                let pause = if error.kind == Kind::Login { AFTER_REFUSAL } else { AFTER_FAILURE };
                state.refusal = Some((later(now, pause), error.clone()));
            }
        }
    }

    async fn log_in(&self) -> Result<Session, ServiceError> {
        match &self.cloud.auth {
            AuthMethod::None => Ok(Session { token: Token::none(), catalog: Catalog::default() }),
            AuthMethod::AdminToken(value) => {
                Ok(Session { token: Token::given(value.clone()), catalog: Catalog::default() })
            }
            AuthMethod::Command(command) => self.run_command(command).await,
            method => {
                let body = request::body(method, &self.cloud.scope);
                self.ask_keystone(&body, advice(method)).await
            }
        }
    }

    async fn ask_keystone(&self, body: &serde_json::Value, advice: &str) -> Result<Session, ServiceError> {
        let action = self.action();
        let now = (self.clock)();
        let issued = self.keystone(&action)?.log_in(body, &action, advice).await?;
        let expires_at = issued.life.map(|life| later(now, life));
        let ahead = issued.since.map(|then| now.duration_since(then));
        let token = self.token(issued.value, expires_at, issued.life, ahead, issued.holder);
        tracing::debug!(?token, "got a token");
        tracing::info!(cloud = %self.cloud.name, until = expires_at.map(tracing::field::display), "logged in");
        Ok(Session { token, catalog: issued.catalog })
    }

    async fn run_command(&self, command: &TokenCommand) -> Result<Session, ServiceError> {
        let action = self.action();
        let printed = command::run(command, &action).await?;
        let now = (self.clock)();
        let life = printed.expires_at.and_then(|end| Duration::try_from(end.duration_since(now)).ok());
        let token = self.token(printed.value, printed.expires_at, life, None, printed.holder);
        let catalog = match token.header_value() {
            Some(header) if self.needs_catalog() => self.keystone(&action)?.catalog(&header, &action).await?,
            _ => Catalog::default(),
        };
        Ok(Session { token, catalog })
    }

    fn token(
        &self,
        value: secrecy::SecretString,
        expires_at: Option<Timestamp>,
        life: Option<Duration>,
        ahead: Option<SignedDuration>,
        holder: Holder,
    ) -> Token {
        let serial = self.serial.fetch_add(1, Ordering::Relaxed);
        Token::new(Parts { serial, value: Some(value), expires_at, life, ahead, holder })
    }

    fn keystone(&self, action: &str) -> Result<&Keystone, ServiceError> {
        let missing = || ServiceError::new(Kind::Configuration, action).with_words("the cloud has no auth_url");
        self.keystone.as_ref().ok_or_else(missing)
    }

    /// Who logs in where for what, to be read behind "could not".
    fn action(&self) -> String {
        let cloud = &self.cloud;
        let who = cloud.auth.user().map(|user| format!(" as {user}")).unwrap_or_default();
        let what = match &cloud.scope {
            crate::config::Scope::Unscoped => String::new(),
            scope => format!(" for {scope}"),
        };
        let place = self.keystone.as_ref().map(|keystone| format!(" at {}", keystone.place())).unwrap_or_default();
        format!("log in to cloud {}{who}{what}{place}", cloud.name)
    }
}

/// What to look at when Keystone refuses the method.
fn advice(method: &AuthMethod) -> &'static str {
    match method {
        AuthMethod::Password { .. } => "look at user, password, their domain and the project",
        AuthMethod::Token(_) => {
            "the token may have expired or been revoked: get a new one; a mount that is to last needs an application credential"
        }
        AuthMethod::ApplicationCredential { .. } => "look at the application credential: it may be deleted or expired",
        AuthMethod::Totp { .. } => {
            "a one-time password serves once: a mount that is to last needs an application credential"
        }
        AuthMethod::Multifactor(_) => "look at each of the factors; a one-time password serves once",
        AuthMethod::None | AuthMethod::AdminToken(_) | AuthMethod::Command(_) => "look at the token",
    }
}

fn later(now: Timestamp, by: Duration) -> Timestamp {
    SignedDuration::try_from(by).ok().and_then(|by| now.checked_add(by).ok()).unwrap_or(Timestamp::MAX)
}

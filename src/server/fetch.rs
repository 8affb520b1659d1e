//! The client of `web-download`: one GET, with the redirects that it leads to.
//!
//! It is made of the parts that the service is made of, and not of the program's own client: what both got wrong in the
//! same way would show in no test.

use super::web_access::{NoAccess, WebAccess, host};
use axum::body::{Body, BodyDataStream, Bytes};
use axum::http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use futures_util::StreamExt;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls_platform_verifier::BuilderVerifierExt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use url::Url;

/// As many as Python's library follows, which does the same for Glance.
const MOST_REDIRECTS: usize = 10;
/// A host that is there answers within milliseconds; two lost packets cost 3 s.
const CONNECT: Duration = Duration::from_secs(10);

/// Why nothing, or not everything, was fetched.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    #[error(transparent)]
    Access(#[from] NoAccess),
    #[error("no connection to {place}: {source}")]
    Connect { place: String, source: io::Error },
    #[error("no talk of HTTP")]
    Http(#[from] hyper::Error),
    #[error("the answer broke off")]
    Body(#[from] axum::Error),
    #[error("{0} answers {1}")]
    Status(String, StatusCode),
    #[error("a redirect leads nowhere")]
    Redirect,
    #[error("nothing came for {} s", .0.as_secs())]
    Silent(Duration),
    #[error("the writer takes no more")]
    Unwanted,
}

/// A body on its way.
pub(crate) struct Download {
    headers: HeaderMap,
    body: BodyDataStream,
    patience: Duration,
}

impl Download {
    /// How long the body will be, where the server tells.
    pub(crate) fn length(&self) -> Option<u64> {
        self.headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok().filter(|length| *length > 0)
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Asks for a URL, with redirects followed as far as they may be fetched from. `patience` bounds every silence.
pub(crate) async fn get(mut url: Url, access: &WebAccess, patience: Duration) -> Result<Download, FetchError> {
    for _ in 0..=MOST_REDIRECTS {
        let answer = tokio::time::timeout(patience, ask(&url, access));
        let answer = answer.await.map_err(|_| FetchError::Silent(patience))??;
        if answer.status().is_redirection() {
            let to = answer.headers().get(header::LOCATION).and_then(|to| to.to_str().ok());
            url = to.and_then(|to| url.join(to).ok()).ok_or(FetchError::Redirect)?;
            continue;
        }
        if !answer.status().is_success() {
            return Err(FetchError::Status(host(&url), answer.status()));
        }
        let (parts, body) = answer.into_parts();
        return Ok(Download { headers: parts.headers, body: Body::new(body).into_data_stream(), patience });
    }
    Err(FetchError::Redirect)
}

/// Hands a body's bytes to their writer, then `None`, as long as they are wanted.
pub(crate) async fn hand_over(
    mut download: Download,
    chunks: &mpsc::Sender<Option<Bytes>>,
    is_wanted: impl Fn() -> bool,
) -> Result<(), FetchError> {
    loop {
        let chunk = tokio::time::timeout(download.patience, download.body.next()).await;
        let chunk = chunk.map_err(|_| FetchError::Silent(download.patience))?.transpose()?;
        let is_end = chunk.is_none();
        if !is_wanted() || chunks.send(chunk).await.is_err() {
            return Err(FetchError::Unwanted);
        }
        if is_end {
            return Ok(());
        }
    }
}

async fn ask(url: &Url, access: &WebAccess) -> Result<Response<Incoming>, FetchError> {
    let stream = connect(url, access.addresses(url).await?).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // It ends with the body, or when the body is dropped.
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "the connection of a download ended early");
        }
    });
    Ok(sender.send_request(request(url)).await?)
}

fn request(url: &Url) -> Request<Body> {
    let mut request = Request::new(Body::empty());
    let place = &url[url::Position::BeforePath..url::Position::AfterQuery];
    if let Ok(place) = place.parse() {
        *request.uri_mut() = place;
    }
    let host = &url[url::Position::BeforeHost..url::Position::AfterPort];
    let headers = request.headers_mut();
    if let Ok(host) = HeaderValue::from_str(host) {
        headers.insert(header::HOST, host);
    }
    // Compressed on the way, it would be another image.
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers.insert(header::USER_AGENT, HeaderValue::from_static(concat!("glancefs/", env!("CARGO_PKG_VERSION"))));
    request
}

async fn connect(url: &Url, addresses: Vec<SocketAddr>) -> Result<Box<dyn Stream>, FetchError> {
    let failed = |source| FetchError::Connect { place: host(url), source };
    let stream = reach(&addresses).await.map_err(failed)?;
    if url.scheme() == "http" {
        return Ok(Box::new(stream));
    }
    let secured = secure(url.host_str().unwrap_or_default(), stream).await.map_err(failed)?;
    Ok(Box::new(secured))
}

/// The first of the addresses that answers.
async fn reach(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in addresses {
        match tokio::time::timeout(CONNECT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = error,
            Err(_) => last = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(last)
}

/// TLS with the certificates that this machine trusts.
async fn secure(host: &str, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(BuilderVerifierExt::with_platform_verifier)
        .map_err(io::Error::other)?
        .with_no_client_auth();
    // An address of version 6 stands in brackets.
    let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned()).map_err(io::Error::other)?;
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

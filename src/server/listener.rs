//! Connections, served so that one can be closed without an answer, and all of them when the service stops.

use super::routes::answer;
use super::service::Service;
use axum::Router;
use axum::body::Body;
use axum::http::Response;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// A wait after a failed accept, which mostly means that file descriptors have run out.
const AFTER_A_FAILURE: Duration = Duration::from_millis(50);

/// Serves the Image API until told to stop.
pub(crate) async fn serve_images(listener: TcpListener, service: Arc<Service>, stop: watch::Receiver<bool>) {
    // An error of the handler closes the connection without an answer, which is what it is for.
    let handler = service_fn(move |request: Request<Incoming>| answer(Arc::clone(&service), request.map(Body::new)));
    serve(listener, handler, stop).await;
}

/// Serves Keystone until told to stop.
pub(crate) async fn serve_keystone(listener: TcpListener, router: Router, stop: watch::Receiver<bool>) {
    serve(listener, TowerToHyperService::new(router), stop).await;
}

/// Serves connections until told to stop; what is under way then is cut.
async fn serve<S>(listener: TcpListener, handler: S, mut stop: watch::Receiver<bool>)
where
    S: hyper::service::Service<Request<Incoming>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = stop.changed() => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, handler.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(AFTER_A_FAILURE).await;
                }
            },
        }
    }
    // The port is refused from here on, also while the connections end.
    drop(listener);
    connections.shutdown().await;
}

async fn connection<S>(stream: TcpStream, handler: S)
where
    S: hyper::service::Service<Request<Incoming>, Response = Response<Body>>,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
{
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "small answers may wait");
    }
    let mut server = http1::Builder::new();
    // Glance and Keystone send no Date.
    server.auto_date_header(false);
    if let Err(error) = server.serve_connection(TokioIo::new(stream), handler).await {
        tracing::trace!(%error, "a connection ended early");
    }
}

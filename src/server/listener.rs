//! Connections to the Image API, served one by one so that one can be closed without an answer.

use super::routes::answer;
use super::service::Service;
use axum::body::Body;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// A wait after a failed accept, which mostly means that file descriptors have run out.
const AFTER_A_FAILURE: Duration = Duration::from_millis(50);

/// Serves connections until told to stop; what is under way then is cut.
pub(crate) async fn serve(listener: TcpListener, service: Arc<Service>, mut stop: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = stop.changed() => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, Arc::clone(&service)));
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(AFTER_A_FAILURE).await;
                }
            },
        }
    }
    connections.shutdown().await;
}

async fn connection(stream: TcpStream, service: Arc<Service>) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "small answers may wait");
    }
    let handler = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        answer(Arc::clone(&service), request.map(Body::new))
    });
    // An error of the handler closes the connection without an answer, which is what it is for.
    if let Err(error) =
        http1::Builder::new().auto_date_header(false).serve_connection(TokioIo::new(stream), handler).await
    {
        tracing::trace!(%error, "a connection ended early");
    }
}

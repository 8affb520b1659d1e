//! A listener that answers monitoring.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::metrics::MEDIA_TYPE;

/// Answers `GET /metrics` for as long as it lives. It tells no names and no secrets; who may connect is for the address and
/// the network to say.
#[derive(Debug)]
pub struct Listener {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Listener {
    /// Listens at `address`, where port 0 stands for any that is free, and answers with what `numbers` says then.
    ///
    /// # Errors
    /// Where nothing can listen there.
    pub async fn start(address: SocketAddr, numbers: impl Fn() -> String + Send + Sync + 'static) -> io::Result<Self> {
        let socket = TcpListener::bind(address).await?;
        let address = socket.local_addr()?;
        let numbers = Arc::new(numbers);
        let answer = async move || {
            // It may look at a disk.
            let told = tokio::task::spawn_blocking(move || numbers()).await.unwrap_or_default();
            ([(CONTENT_TYPE, MEDIA_TYPE)], told)
        };
        let router = Router::new().route("/metrics", get(answer));
        let task = tokio::spawn(async move {
            if let Err(error) = axum::serve(socket, router).await {
                tracing::warn!(%error, "monitoring is not answered any more");
            }
        });
        tracing::info!(%address, "monitoring is answered");
        Ok(Self { address, task })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

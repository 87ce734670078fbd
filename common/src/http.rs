//! IO. What each service serves over HTTP: `/healthz`, `/readyz`, `/metrics`, and pages of its own.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::{error, info};

use crate::chain::Chain;
use crate::metrics::Metrics;

#[derive(Debug, Error)]
pub enum HttpError {
    #[error("the listen address {address} is taken by another program")]
    Taken { address: SocketAddr },
    #[error("failed to listen on {address}")]
    Listen {
        address: SocketAddr,
        #[source]
        source: io::Error,
    },
}

/// Whether a service does its work, and if not, why not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    Ready,
    NotReady { reason: String },
}

impl Readiness {
    pub fn not_ready(reason: impl Into<String>) -> Self {
        Self::NotReady { reason: reason.into() }
    }
}

/// A running server. It stops when this is dropped, so that health and metrics can be asked for
/// until the very end of a drain.
#[derive(Debug)]
pub struct HttpServer {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl HttpServer {
    /// Listens on `address` (port 0 lets the system choose). `pages` are served beside the common
    /// ones.
    ///
    /// # Errors
    /// If the address is taken or cannot be listened on.
    pub async fn start(
        address: SocketAddr,
        metrics: Arc<Metrics>,
        readiness: watch::Receiver<Readiness>,
        pages: Router,
    ) -> Result<Self, HttpError> {
        let listener = listen(address).await?;
        let address =
            listener.local_addr().map_err(|source| HttpError::Listen { address, source })?;
        let router = common_pages(metrics, readiness).merge(pages);
        let task = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                error!(error = %Chain(&error), "the HTTP server ended");
            }
        });
        info!(%address, "served health and metrics");
        Ok(Self { address, task })
    }

    /// The address that is really listened on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener, HttpError> {
    TcpListener::bind(address).await.map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => HttpError::Taken { address },
        _ => HttpError::Listen { address, source },
    })
}

fn common_pages(metrics: Arc<Metrics>, readiness: watch::Receiver<Readiness>) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready_page).with_state(readiness))
        .route("/metrics", get(metrics_page).with_state(metrics))
}

async fn ready_page(State(readiness): State<watch::Receiver<Readiness>>) -> impl IntoResponse {
    match &*readiness.borrow() {
        Readiness::Ready => (StatusCode::OK, "ready\n".to_owned()),
        Readiness::NotReady { reason } => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
    }
}

async fn metrics_page(State(metrics): State<Arc<Metrics>>) -> impl IntoResponse {
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(CONTENT_TYPE, content_type)], metrics.encode())
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;

    const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

    async fn fetch(address: SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    async fn start() -> (HttpServer, watch::Sender<Readiness>) {
        let (sender, readiness) = watch::channel(Readiness::not_ready("no broker answered"));
        let own = Router::new().route("/status", get(|| async { "status" }));
        let metrics = Arc::new(Metrics::new("monitor"));
        (HttpServer::start(ANY_PORT, metrics, readiness, own).await.unwrap(), sender)
    }

    #[tokio::test]
    async fn health_needs_nothing_and_readiness_says_why_not() {
        let (server, readiness) = start().await;
        assert!(fetch(server.address(), "/healthz").await.starts_with("HTTP/1.1 200"));
        let answer = fetch(server.address(), "/readyz").await;
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
        assert!(answer.ends_with("no broker answered\n"), "{answer}");
        readiness.send_replace(Readiness::Ready);
        assert!(fetch(server.address(), "/readyz").await.starts_with("HTTP/1.1 200"));
    }

    #[tokio::test]
    async fn metrics_and_own_pages_are_served() {
        let (server, _readiness) = start().await;
        assert!(fetch(server.address(), "/metrics").await.ends_with("# EOF\n"));
        assert!(fetch(server.address(), "/status").await.ends_with("status"));
    }

    #[tokio::test]
    async fn a_taken_address_is_named() {
        let (server, readiness) = start().await;
        let metrics = Arc::new(Metrics::new("monitor"));
        let again =
            HttpServer::start(server.address(), metrics, readiness.subscribe(), Router::new());
        let error = again.await.unwrap_err().to_string();
        let address = server.address();
        assert_eq!(error, format!("the listen address {address} is taken by another program"));
    }
}

//! IO. The double, started: two listeners on the loopback address over one world, by the machine's clock.

use std::future::IntoFuture as _;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Instant;

use axum::Router;
use jiff::{SignedDuration, Timestamp};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::shared_world::Shared;
use crate::socket::{CuttableListener, Wire};
use crate::world::Settings;
use crate::{grpc, rest};

/// Ports of 0 are free ones.
#[derive(Clone, Debug, Default)]
pub struct Options {
    pub rest_port: u16,
    pub grpc_port: u16,
    pub settings: Settings,
}

#[derive(Debug, thiserror::Error)]
#[error("port {port} of 127.0.0.1 cannot be listened on; give another one, or 0 for a free one")]
pub struct StartError {
    port: u16,
    #[source]
    source: io::Error,
}

/// A running double. Dropping it ends it with all that it stored.
#[derive(Debug)]
pub struct Double {
    pub rest: SocketAddr,
    pub grpc: SocketAddr,
    /// Faults can be added and rows looked at here, too.
    pub shared: Shared,
    servers: [JoinHandle<io::Result<()>>; 2],
}

impl Double {
    pub async fn start(options: Options) -> Result<Self, StartError> {
        let (rest, rest_address) = listen(options.rest_port).await?;
        let (grpc, grpc_address) = listen(options.grpc_port).await?;
        let shared = Shared::new(options.settings, clock());
        let servers = [
            serve(rest, rest::routes::router(shared.clone())),
            serve(grpc, grpc::service::router(shared.clone())),
        ];
        Ok(Self { rest: rest_address, grpc: grpc_address, shared, servers })
    }

    /// What a client's base URL is.
    pub fn rest_url(&self) -> String {
        format!("http://{}/bigquery/v2", self.rest)
    }

    pub fn grpc_url(&self) -> String {
        format!("http://{}", self.grpc)
    }

    /// Until a listener fails.
    pub async fn serve(mut self) -> io::Result<()> {
        let [rest, grpc] = &mut self.servers;
        let ended = tokio::select! { ended = rest => ended, ended = grpc => ended };
        ended.unwrap_or_else(|panicked| Err(io::Error::other(panicked)))
    }
}

impl Drop for Double {
    fn drop(&mut self) {
        for server in &self.servers {
            server.abort();
        }
    }
}

/// Calendar time that never goes back.
#[expect(clippy::disallowed_methods, reason = "this is the place that reads the clock")]
fn clock() -> impl Fn() -> Timestamp + Send + Sync {
    let (began, calendar) = (Instant::now(), Timestamp::now());
    move || {
        let passed = SignedDuration::try_from(began.elapsed()).unwrap_or(SignedDuration::MAX);
        calendar.saturating_add(passed).unwrap_or(Timestamp::MAX)
    }
}

async fn listen(port: u16) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |source| StartError { port, source };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

fn serve(listener: TcpListener, router: Router) -> JoinHandle<io::Result<()>> {
    let service = router.into_make_service_with_connect_info::<Wire>();
    tokio::spawn(axum::serve(CuttableListener(listener), service).into_future())
}

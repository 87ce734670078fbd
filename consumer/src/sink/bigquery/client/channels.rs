//! IO. The HTTP/2 connections below all calls of gRPC: another one for every so many open appends.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tonic::transport::{Channel, ClientTlsConfig, Endpoint};

use super::call_error::CallError;
use super::options::BigQueryOptions;

/// A connection takes about 100 calls at once, further ones wait without a word; an append stays open
/// for hours. What is left is for the other calls.
const LEASES_MAX: usize = 50;

/// Between two pings: a connection that a router has forgotten is noticed.
const PING_INTERVAL: Duration = Duration::from_secs(60);
const PING_LIMIT: Duration = Duration::from_secs(20);

#[derive(Debug)]
pub struct Channels {
    endpoint: Endpoint,
    /// The first one stays.
    open: Mutex<Vec<Leased>>,
}

/// One connection, which is made when it is first used and again when it was lost.
#[derive(Debug)]
struct Leased {
    channel: Channel,
    /// Held by each lease.
    leases: Arc<()>,
}

/// A place on a connection, given back when it is dropped.
#[derive(Debug)]
pub struct Lease {
    pub channel: Channel,
    _held: Arc<()>,
}

impl Channels {
    /// # Errors
    /// If the address is none, or no certificates are found on this machine.
    pub fn new(options: &BigQueryOptions) -> Result<Self, CallError> {
        let url = options.grpc_url();
        let wrong = |error: &dyn std::error::Error| {
            let causes = common::chain::Chain(error).to_string();
            CallError::settings(format!("{url} cannot be used for gRPC: {causes}"))
        };
        let endpoint = Endpoint::from_shared(url.clone()).map_err(|error| wrong(&error))?;
        let endpoint = endpoint
            .user_agent(concat!("stowage/", env!("CARGO_PKG_VERSION")))
            .map_err(|error| wrong(&error))?
            .connect_timeout(options.patience.connect)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_LIMIT)
            .keep_alive_while_idle(true);
        let endpoint = match url.starts_with("https:") {
            true => endpoint
                .tls_config(ClientTlsConfig::new().with_enabled_roots())
                .map_err(|error| wrong(&error))?,
            false => endpoint,
        };
        let open = Mutex::new(vec![Leased::new(&endpoint)]);
        Ok(Self { endpoint, open })
    }

    /// For a call that is over soon.
    pub fn any(&self) -> Channel {
        self.open()[0].channel.clone()
    }

    /// For an append. Connections that nobody holds any more are closed, but for the first.
    pub fn lease(&self) -> Lease {
        let mut open = self.open();
        let mut is_first = true;
        open.retain(|leased| std::mem::take(&mut is_first) || leased.count() > 0);
        let free = open.iter().position(|leased| leased.count() < LEASES_MAX);
        let at = free.unwrap_or_else(|| {
            open.push(Leased::new(&self.endpoint));
            open.len() - 1
        });
        Lease { channel: open[at].channel.clone(), _held: Arc::clone(&open[at].leases) }
    }

    pub fn count(&self) -> usize {
        self.open().len()
    }

    fn open(&self) -> MutexGuard<'_, Vec<Leased>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Leased {
    fn new(endpoint: &Endpoint) -> Self {
        Self { channel: endpoint.connect_lazy(), leases: Arc::default() }
    }

    fn count(&self) -> usize {
        Arc::strong_count(&self.leases) - 1
    }
}

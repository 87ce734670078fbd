//! IO. Keeps reading and renewing the Lease, and tells the main loop whether it is held.

use std::sync::Arc;
use std::time::Duration;

use common::chain::Chain;
use common::clock::Clock;
use common::shutdown::Shutdown;
use futures::TryStreamExt as _;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::api::{PostParams, WatchParams};
use kube::{Api, Client};
use thiserror::Error;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

use super::lease::{Bid, DURATION, LeaseRecord, LeaseView};
use super::names::MANAGER;
use crate::conductor::input::Input;

/// A call has to end well before the Lease does.
const CALL_LIMIT: Duration = Duration::from_secs(4);
/// A watch that ended is begun anew after so long. Until then it is looked at now and then.
const WATCH_AGAIN: Duration = Duration::from_secs(2);

/// Why the Lease could not be read or written.
#[derive(Debug, Error)]
enum LeaseError {
    #[error("the API server did not answer within {} s", CALL_LIMIT.as_secs())]
    TimedOut,
    #[error("the API server refused")]
    Api {
        #[source]
        source: kube::Error,
    },
}

pub struct Election {
    leases: Api<Lease>,
    name: String,
    view: LeaseView,
    inputs: mpsc::Sender<Input>,
}

impl Election {
    pub fn new(
        client: &Client,
        name: String,
        view: LeaseView,
        inputs: mpsc::Sender<Input>,
    ) -> Self {
        Self { leases: Api::default_namespaced(client.clone()), name, view, inputs }
    }

    /// Runs until `stop`; then gives the Lease back, so that nobody has to wait for it.
    pub async fn run(mut self, stop: Shutdown) {
        let changed = Arc::new(Notify::new());
        let mut watch = JoinSet::new();
        watch.spawn(follow(self.leases.clone(), self.name.clone(), Arc::clone(&changed)));
        let mut next_look = Clock.now();
        let mut was_held = false;
        loop {
            let rest = next_look.saturating_since(Clock.now());
            tokio::select! {
                () = stop.requested() => break,
                () = changed.notified() => if !self.view.is_waiting() { continue },
                () = sleep(rest) => {}
            }
            if let Err(error) = self.turn().await {
                warn!(error = %Chain(&error), "the Lease was not renewed");
            }
            let now = Clock.now();
            next_look = self.view.next_look(now);
            let is_held = self.view.is_held(now);
            if is_held != was_held {
                info!(is_held, lease = self.name, "the Lease changed hands");
                was_held = is_held;
            }
            if self.inputs.send(Input::Lease(is_held)).await.is_err() {
                break;
            }
        }
        if was_held && let Err(error) = self.give_back().await {
            warn!(error = %Chain(&error), "the Lease was not given back");
        }
    }

    async fn turn(&mut self) -> Result<(), LeaseError> {
        let found = limited(self.leases.get_opt(&self.name)).await?;
        let record = found.as_ref().map(record);
        let Some(bid) = self.view.read(record, Clock.now()) else { return Ok(()) };
        let sent = Clock.now();
        let options = PostParams { field_manager: Some(MANAGER.into()), ..PostParams::default() };
        match (bid, found) {
            (Bid::Create, _) | (_, None) => {
                limited(self.leases.create(&options, &self.lease(None, true))).await?;
            }
            (Bid::Renew, Some(found)) => {
                let lease = self.lease(Some(found), false);
                limited(self.leases.replace(&self.name, &options, &lease)).await?;
            }
            (Bid::Take, Some(found)) => {
                let lease = self.lease(Some(found), true);
                limited(self.leases.replace(&self.name, &options, &lease)).await?;
            }
        }
        self.view.wrote(sent);
        Ok(())
    }

    /// The Lease as ours. It carries the version that was read: of two who write, one is refused.
    fn lease(&self, found: Option<Lease>, is_new: bool) -> Lease {
        let mut lease = found.unwrap_or_else(|| Lease {
            metadata: ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() },
            spec: None,
        });
        let spec = lease.spec.get_or_insert_default();
        let now = Timestamp::from_millisecond(Clock.timestamp().0).unwrap_or_default();
        spec.holder_identity = Some(self.view.own().to_owned());
        spec.lease_duration_seconds = i32::try_from(DURATION.as_secs()).ok();
        spec.renew_time = Some(MicroTime(now));
        if is_new {
            spec.acquire_time = Some(MicroTime(now));
            spec.lease_transitions = Some(spec.lease_transitions.unwrap_or(0) + 1);
        }
        lease
    }

    async fn give_back(&self) -> Result<(), LeaseError> {
        let found = limited(self.leases.get_opt(&self.name)).await?;
        let is_ours = |lease: &Lease| record(lease).holder.as_deref() == Some(self.view.own());
        let Some(mut lease) = found.filter(is_ours) else { return Ok(()) };
        lease.spec.get_or_insert_default().holder_identity = None;
        limited(self.leases.replace(&self.name, &PostParams::default(), &lease)).await?;
        Ok(())
    }
}

/// Tells whenever the Lease has changed: who waits for it counts from then on.
async fn follow(leases: Api<Lease>, name: String, changed: Arc<Notify>) {
    let options = WatchParams::default().fields(&format!("metadata.name={name}"));
    loop {
        let watched = async {
            let mut events = Box::pin(leases.watch(&options, "0").await?);
            while events.try_next().await?.is_some() {
                changed.notify_one();
            }
            Ok::<(), kube::Error>(())
        };
        if let Err(error) = watched.await {
            debug!(error = %Chain(&error), "the watch of the Lease was interrupted");
        }
        sleep(WATCH_AGAIN).await;
    }
}

fn record(lease: &Lease) -> LeaseRecord {
    let LeaseSpec { holder_identity, lease_duration_seconds, lease_transitions, .. } =
        lease.spec.clone().unwrap_or_default();
    let seconds = lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
    LeaseRecord {
        holder: holder_identity.filter(|holder| !holder.is_empty()),
        duration: seconds.map_or(DURATION, Duration::from_secs),
        resource_version: lease.metadata.resource_version.clone().unwrap_or_default(),
        transitions: lease_transitions.unwrap_or(0),
    }
}

async fn limited<T>(call: impl Future<Output = kube::Result<T>>) -> Result<T, LeaseError> {
    match timeout(CALL_LIMIT, call).await {
        Ok(answer) => answer.map_err(|source| LeaseError::Api { source }),
        Err(_) => Err(LeaseError::TimedOut),
    }
}

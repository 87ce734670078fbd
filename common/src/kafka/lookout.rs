//! IO. Sees to it that no client of a process stays without brokers.
//!
//! A broker that is starting, or was paused for longer than its session, may describe a cluster
//! without brokers. librdkafka then drops all that it knew and may never look for another (its issue
//! 5301): the client stays silent for ever. Here the brokers of the configuration are named to such a
//! client again, which then goes on with all that it had queued.

use std::ffi::CString;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::client::Client;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, StreamConsumer};
use rdkafka::producer::{BaseProducer, Producer, ProducerContext};
use tracing::debug;

use crate::kafka::producer::AcknowledgedProducer;
use crate::native::kafka::add_brokers;

/// Between two looks at clients of which one may have lost its brokers.
const TROUBLED_INTERVAL: Duration = Duration::from_secs(1);
/// Between two looks at clients that nobody complained of.
const CALM_INTERVAL: Duration = Duration::from_secs(60);
/// How long a client may take to hear of a broker.
const PATIENCE: Duration = Duration::from_secs(1);
/// Looks at which all clients knew a broker before they are believed: one that answers may still be
/// about to describe the cluster without any.
const GOOD_LOOKS: u32 = 5;
/// Asking for the metadata of a topic tells the brokers, too. Its absence, or the lack of a right to
/// it, does no harm, and no client of ours creates topics by asking.
const PROBE_TOPIC: &str = "__consumer_offsets";

/// A client that is looked after.
pub trait Looked: Send + Sync {
    /// Whether a broker tells this client of brokers.
    fn knows_a_broker(&self) -> bool;
    fn name_brokers(&self, servers: &CString);
}

impl<C: ConsumerContext + 'static> Looked for BaseConsumer<C> {
    fn knows_a_broker(&self) -> bool {
        knows_a_broker(self.client())
    }

    fn name_brokers(&self, servers: &CString) {
        add_brokers(self.client(), servers);
    }
}

impl<C: ConsumerContext + 'static> Looked for StreamConsumer<C> {
    fn knows_a_broker(&self) -> bool {
        knows_a_broker(self.client())
    }

    fn name_brokers(&self, servers: &CString) {
        add_brokers(self.client(), servers);
    }
}

impl<C: ProducerContext + 'static> Looked for BaseProducer<C> {
    fn knows_a_broker(&self) -> bool {
        knows_a_broker(self.client())
    }

    fn name_brokers(&self, servers: &CString) {
        add_brokers(self.client(), servers);
    }
}

impl Looked for AcknowledgedProducer {
    fn knows_a_broker(&self) -> bool {
        self.client().knows_a_broker()
    }

    fn name_brokers(&self, servers: &CString) {
        self.client().name_brokers(servers);
    }
}

fn knows_a_broker<C: ClientContext>(client: &Client<C>) -> bool {
    let found = client.fetch_metadata(Some(PROBE_TOPIC), PATIENCE);
    found.is_ok_and(|metadata| !metadata.brokers().is_empty())
}

/// Looks after the clients of a process for as long as one of them lives.
#[derive(Debug, Default)]
pub(crate) struct Lookout {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    clients: Vec<Weak<dyn Looked>>,
    watch: Watch,
    is_running: bool,
    is_over: bool,
}

/// When to look at clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Watch {
    good_looks_left: u32,
}

impl Watch {
    /// A client complained.
    fn alarm(&mut self) {
        self.good_looks_left = GOOD_LOOKS;
    }

    fn looked(&mut self, all_know: bool) {
        self.good_looks_left =
            if all_know { self.good_looks_left.saturating_sub(1) } else { GOOD_LOOKS };
    }

    fn interval(self) -> Duration {
        if self.good_looks_left == 0 { CALM_INTERVAL } else { TROUBLED_INTERVAL }
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("clients", &self.clients.len()).finish_non_exhaustive()
    }
}

impl Lookout {
    /// From now on `client` is looked after, for as long as somebody else holds it.
    pub(crate) fn add(&self, client: Weak<dyn Looked>, servers: &str) {
        let mut state = self.shared.lock();
        state.clients.retain(|client| client.strong_count() > 0);
        state.clients.push(client);
        if !std::mem::replace(&mut state.is_running, true) {
            let shared = Arc::clone(&self.shared);
            let servers = CString::new(servers).unwrap_or_default();
            thread::spawn(move || shared.run(&servers));
        }
    }

    /// A client lost all of its brokers, at least for now.
    pub(crate) fn alarm(&self) {
        self.shared.lock().watch.alarm();
        self.shared.changed.notify_all();
    }
}

impl Drop for Lookout {
    fn drop(&mut self) {
        self.shared.lock().is_over = true;
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, servers: &CString) {
        while let Some(clients) = self.next_look() {
            let all_know = look_at(&clients, servers);
            self.lock().watch.looked(all_know);
        }
    }

    /// The clients to look at, when it is time. Nothing if the lookout is over.
    fn next_look(&self) -> Option<Vec<Arc<dyn Looked>>> {
        let mut state = self.lock();
        loop {
            let interval = state.watch.interval();
            let is_waiting =
                |state: &mut State| !state.is_over && state.watch.interval() >= interval;
            let waited = self.changed.wait_timeout_while(state, interval, is_waiting);
            let (now, waited) = waited.unwrap_or_else(PoisonError::into_inner);
            state = now;
            if state.is_over {
                return None;
            }
            // Woken by an alarm it waits anew, for the shorter time.
            if waited.timed_out() {
                return Some(state.clients.iter().filter_map(Weak::upgrade).collect());
            }
        }
    }
}

/// Names brokers to each client that knows none, and returns whether all knew one.
fn look_at(clients: &[Arc<dyn Looked>], servers: &CString) -> bool {
    let look = |client: &Arc<dyn Looked>| {
        let knows = client.knows_a_broker();
        if !knows {
            client.name_brokers(servers);
        }
        knows
    };
    let unknowing = thread::scope(|scope| {
        let looks: Vec<_> =
            clients.iter().map(|client| scope.spawn(move || look(client))).collect();
        looks.into_iter().filter_map(|look| look.join().ok()).filter(|knows| !knows).count()
    });
    debug!(clients = clients.len(), unknowing, "asked Kafka clients whether they know a broker");
    unknowing == 0
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn after_an_alarm_clients_are_looked_at_often_until_they_were_well_for_a_while() {
        let mut watch = Watch::default();
        assert_eq!(watch.interval(), CALM_INTERVAL);
        watch.looked(true);
        assert_eq!(watch.interval(), CALM_INTERVAL);
        watch.looked(false);
        assert_eq!(watch.interval(), TROUBLED_INTERVAL);
        watch.alarm();
        for _ in 1..GOOD_LOOKS {
            watch.looked(true);
            assert_eq!(watch.interval(), TROUBLED_INTERVAL);
        }
        watch.looked(true);
        assert_eq!(watch.interval(), CALM_INTERVAL);
    }

    struct Forgetful {
        knows: AtomicBool,
        named: mpsc::Sender<CString>,
    }

    impl Looked for Forgetful {
        fn knows_a_broker(&self) -> bool {
            self.knows.load(Ordering::SeqCst)
        }

        fn name_brokers(&self, servers: &CString) {
            self.knows.store(true, Ordering::SeqCst);
            self.named.send(servers.clone()).unwrap();
        }
    }

    #[test]
    fn brokers_are_named_to_a_client_that_forgot_them() {
        let (named, heard) = mpsc::channel();
        let forgetful = Arc::new(Forgetful { knows: AtomicBool::new(false), named });
        let client: Arc<dyn Looked> = forgetful;
        let lookout = Lookout::default();
        lookout.add(Arc::downgrade(&client), "a:1,b:2");
        lookout.alarm();
        let servers = heard.recv_timeout(Duration::from_secs(30)).unwrap();
        assert_eq!(servers.to_str(), Ok("a:1,b:2"));
        drop(client);
        drop(lookout);
        let over = heard.recv_timeout(Duration::from_secs(30));
        assert_eq!(over, Err(mpsc::RecvTimeoutError::Disconnected));
    }
}

//! IO. The world as all connections share it, with the clock that it goes by.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use tokio::sync::watch;

use crate::fault::{Action, Call, Fault};
use crate::world::{Settings, World};

#[derive(Clone)]
pub struct Shared(Arc<Inner>);

struct Inner {
    world: Mutex<World>,
    now: Box<dyn Fn() -> Timestamp + Send + Sync>,
    /// Wakes connections that wait for requests, so that they look at new faults.
    faults_changed: watch::Sender<()>,
    settings: Settings,
}

impl Shared {
    pub fn new(settings: Settings, now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        let world = Mutex::new(World::new(seed(now()), settings.clone()));
        let faults_changed = watch::Sender::new(());
        Self(Arc::new(Inner { world, now: Box::new(now), faults_changed, settings }))
    }

    pub fn now(&self) -> Timestamp {
        (self.0.now)()
    }

    /// Never held over an await.
    pub fn world(&self) -> MutexGuard<'_, World> {
        // One call that panicked has not half-changed what is stored: rows are checked first.
        self.0.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn take_fault(&self, call: &Call) -> Option<Action> {
        let now = self.now();
        self.world().faults.take(call, now)
    }

    pub fn add_faults(&self, faults: Vec<Fault>) {
        self.world().faults.add(faults);
        self.0.faults_changed.send_replace(());
    }

    /// Lifts all faults that are left.
    pub fn clear_faults(&self) {
        self.world().faults.clear();
        self.0.faults_changed.send_replace(());
    }

    pub fn faults_changed(&self) -> watch::Receiver<()> {
        self.0.faults_changed.subscribe()
    }

    /// As it was at the start; streams get other names.
    pub fn reset(&self) {
        let seed = seed(self.now());
        *self.world() = World::new(seed, self.0.settings.clone());
        self.0.faults_changed.send_replace(());
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

fn seed(now: Timestamp) -> u64 {
    now.as_microsecond().unsigned_abs()
}

//! IO. Shares the byte budget among lanes, and wakes those for whom something changed.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use crate::budget::{Budget, LaneNumber, Stance, Usage};

/// The budget of the process. Clones are the same budget.
#[derive(Clone, Debug)]
pub struct SharedBudget {
    inner: Arc<Mutex<Inner>>,
    changes: watch::Sender<()>,
}

#[derive(Debug)]
struct Inner {
    budget: Budget,
    last_lane: LaneNumber,
}

/// What one lane holds of the budget; given back when this is dropped.
#[derive(Debug)]
pub struct Share {
    budget: SharedBudget,
    lane: LaneNumber,
    changes: watch::Receiver<()>,
    noted: Usage,
}

impl SharedBudget {
    /// `decoders` lanes decode at once.
    pub fn new(bytes_max: usize, decoders: usize) -> Self {
        let inner = Inner { budget: Budget::new(bytes_max, decoders), last_lane: 0 };
        Self { inner: Arc::new(Mutex::new(inner)), changes: watch::Sender::new(()) }
    }

    /// A share for one more lane, empty at first.
    pub fn share(&self) -> Share {
        let lane = self.with(|inner| {
            inner.last_lane += 1;
            inner.last_lane
        });
        let changes = self.changes.subscribe();
        Share { budget: self.clone(), lane, changes, noted: Usage::default() }
    }

    /// Bytes held by all lanes.
    pub fn used(&self) -> usize {
        self.with(|inner| inner.budget.used())
    }

    fn with<T>(&self, work: impl FnOnce(&mut Inner) -> T) -> T {
        work(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn tell(&self, is_change: bool) {
        if is_change {
            self.changes.send_replace(());
        }
    }
}

/// Smaller changes are not worth telling anybody.
const GRAIN_BYTES: usize = 64 << 10;

impl Share {
    /// Notes what the lane holds now, and returns what it may do.
    pub fn note(&mut self, usage: Usage) -> Stance {
        let is_small = self.noted.open.abs_diff(usage.open) < GRAIN_BYTES
            && self.noted.gathered.abs_diff(usage.gathered) < GRAIN_BYTES
            && (self.noted.decoding, self.noted.in_flight) == (usage.decoding, usage.in_flight)
            && (usage.open + usage.gathered > 0 || self.noted.open + self.noted.gathered == 0);
        let lane = self.lane;
        if !is_small {
            self.noted = usage;
            let is_change = self.budget.with(|inner| inner.budget.set(lane, usage));
            self.budget.tell(is_change);
        }
        self.budget.with(|inner| inner.budget.stance(lane))
    }

    /// Waits until the lane's stance may have changed.
    pub async fn changed(&mut self) {
        // The sender lives as long as the budget, of which this is a part.
        let _ = self.changes.changed().await;
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let lane = self.lane;
        let is_change = self.budget.with(|inner| inner.budget.remove(lane));
        self.budget.tell(is_change);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt as _;

    fn open(bytes: usize) -> Usage {
        Usage { open: bytes, ..Usage::default() }
    }

    #[tokio::test]
    async fn a_lane_that_waits_is_woken_when_another_gives_back_its_share() {
        let budget = SharedBudget::new(1_000_000, 1);
        let (mut large, mut small) = (budget.share(), budget.share());
        assert_eq!(small.note(open(1)), Stance::Gather);
        assert_eq!(large.note(open(2_000_000)), Stance::CloseEarly);
        small.changed().await;
        assert_eq!(small.note(open(1)), Stance::Wait);
        assert!(small.changed().now_or_never().is_none());
        drop(large);
        small.changed().await;
        assert_eq!(small.note(open(1)), Stance::Gather);
        assert_eq!(budget.used(), 0);
    }
}

//! IO. Gives a partition back: its last commit, and the word that tells the next owner where to go on.

use std::time::Duration;

use common::position::Position;
use tokio::time::timeout;
use tracing::{info, warn};

use super::Lane;
use super::read::Last;
use crate::ownership::{Event, Stopped};

/// A commit that takes longer does not hold a release back: the position is in the release.
const COMMIT_PATIENCE: Duration = Duration::from_secs(5);

impl Lane {
    pub(super) async fn release(self, last: Last, reason: Option<String>) {
        let partition = self.opening.lane.partition.clone();
        let polled_at_ms = last.polled_at_ms;
        let (position, clean) = last.close();
        let committer = &self.context.committer;
        let settled = tokio::select! {
            biased;
            () = self.lease.lapsed() => {
                committer.forget(&partition);
                return;
            }
            settled = timeout(COMMIT_PATIENCE, committer.settled(&partition)) => settled,
        };
        committer.forget(&partition);
        if settled.is_err() {
            warn!(%partition, offset = position.offset, "released without its last commit");
        }
        info!(%partition, offset = position.offset, clean, reason, "released");
        self.tell_stopped(Some(position), clean, polled_at_ms, reason);
    }

    pub(super) fn tell_stopped_unopened(&self) {
        self.context.committer.forget(&self.opening.lane.partition);
        self.tell_stopped(None, true, None, None);
    }

    /// A lane that was open was told to stop while it was opened again.
    pub(super) fn tell_stopped_reopening(&self) {
        self.context.committer.forget(&self.opening.lane.partition);
        let hand_over = self.opening.hand_over.as_ref();
        let position = hand_over.and_then(|given| given.position);
        self.tell_stopped(position, hand_over.is_some_and(|given| given.clean), None, None);
    }

    /// A lane that was open could not be opened again.
    pub(super) fn tell_failed(&self, reason: String) {
        self.context.committer.forget(&self.opening.lane.partition);
        let position = self.opening.hand_over.as_ref().and_then(|given| given.position);
        self.tell_stopped(position, false, None, Some(reason));
    }

    fn tell_stopped(
        &self,
        position: Option<Position>,
        clean: bool,
        polled_at_ms: Option<i64>,
        reason: Option<String>,
    ) {
        let tokens = self.tokens.clone();
        let stopped = Stopped { position, clean, tokens, polled_at_ms, reason };
        self.tell(Event::Stopped { lane: self.opening.lane.clone(), stopped });
    }
}

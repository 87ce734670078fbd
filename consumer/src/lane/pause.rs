//! IO. A partition that is not read on because too many of its records cannot become rows: it waits, and says so.

use std::time::Duration;

use common::backoff::{Backoff, BackoffPolicy};
use common::messages::event::NoticeClass;
use tokio::time::sleep;
use tracing::warn;

use super::{Lane, Order};
use crate::events::Finding;
use crate::refusal::Refusal;

/// Until it is tried again: what was wrong may be a registry that was down for a moment, or a format
/// that somebody mends tomorrow.
pub(super) const PAUSES: BackoffPolicy =
    BackoffPolicy { initial: Duration::from_secs(10), max: Duration::from_secs(300), factor: 2 };

/// How a pause ends.
pub(super) enum Pause {
    Over,
    Stopped,
    Abandoned,
    Failed(String),
}

impl Lane {
    /// Waits, for longer each time that a trial fails.
    pub(super) async fn pause(&mut self, refusal: &Refusal, pauses: &mut Backoff) -> Pause {
        let partition = self.opening.lane.partition.clone();
        let reason = refusal.to_string();
        if !refusal.is_again {
            pauses.reset();
            self.notice(Finding::new(NoticeClass::Blocked, reason.as_str()));
        }
        let delay = pauses.next_delay();
        if refusal.is_again {
            warn!(%partition, seconds = delay.as_secs(), "stays paused: {reason}");
        }
        self.with_tally(|tally| {
            tally.position = tally.stored;
            tally.high_watermark = None;
            tally.paused = Some(reason);
        });
        let (mut orders, lease) = (self.orders.clone(), self.lease.clone());
        tokio::select! {
            biased;
            () = lease.lapsed() => Pause::Abandoned,
            order = orders.wait_for(|order| *order != Order::Go) => match order.as_deref() {
                Ok(Order::Stop) => Pause::Stopped,
                Ok(Order::Fail(reason)) => {
                    let finding = Finding::new(NoticeClass::TopicReplaced, reason.as_str());
                    self.notice(finding);
                    Pause::Failed(reason.clone())
                }
                Ok(Order::Abandon | Order::Go) | Err(_) => Pause::Abandoned,
            },
            () = sleep(delay) => Pause::Over,
        }
    }
}

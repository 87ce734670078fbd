//! IO. Lets a writer wait until a heartbeat that was sent just now is known to have arrived within the lease.

use common::moment::Moment;
use tokio::sync::watch;

/// What the heartbeats of this incarnation have come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lease {
    /// Number of the last heartbeat that was handed to the producer, counted from 1.
    pub sent: u64,
    /// Number of the last one that was acknowledged before the lease's end.
    pub acknowledged: u64,
    /// When it ends unless it is renewed before; `None` before the first heartbeat.
    pub until: Option<Moment>,
    /// Final: the incarnation owns nothing any more.
    pub lapsed: bool,
}

/// The lease as writers see it; the heart publishes it through the sender of [`lease_channel`].
#[derive(Clone, Debug)]
pub struct LeaseWatch(watch::Receiver<Lease>);

/// The lease ended, or nobody keeps it any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the lease of this incarnation has lapsed")]
pub struct LeaseLost;

/// A sender for whoever beats the heart, and a handle to clone for every writer.
pub fn lease_channel() -> (watch::Sender<Lease>, LeaseWatch) {
    let (sender, receiver) = watch::channel(Lease::default());
    (sender, LeaseWatch(receiver))
}

impl LeaseWatch {
    /// True once the incarnation may neither read nor write.
    pub fn is_lapsed(&self) -> bool {
        self.0.borrow().lapsed
    }

    /// Whether it is certain at `now` that the leader has given nothing away: by the times, since who was frozen
    /// notices a lapse late.
    pub fn holds(&self, now: Moment) -> bool {
        let lease = self.0.borrow();
        !lease.lapsed && lease.until.is_some_and(|until| now < until)
    }

    /// Waits until a heartbeat that was sent after this call is acknowledged within the lease.
    ///
    /// Then the leader has not given the partition away up to the moment of the call.
    /// Safe to drop half-way.
    pub async fn confirm(&self) -> Result<(), LeaseLost> {
        let mut lease = self.0.clone();
        let sent_before = lease.borrow().sent;
        let settled =
            lease.wait_for(|lease| lease.lapsed || lease.acknowledged > sent_before).await;
        match settled {
            Ok(lease) if !lease.lapsed => Ok(()),
            _ => Err(LeaseLost),
        }
    }

    /// Waits until the lease has lapsed.
    pub async fn lapsed(&self) {
        let mut lease = self.0.clone();
        // An error means that nobody beats the heart any more, which ends the lease as well.
        let _ = lease.wait_for(|lease| lease.lapsed).await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use futures::FutureExt as _;

    #[tokio::test]
    async fn only_a_heartbeat_sent_after_the_call_confirms() {
        let (sender, watch) = lease_channel();
        sender.send_replace(Lease { sent: 3, acknowledged: 2, ..Lease::default() });
        let mut confirmed = Box::pin(watch.confirm());
        assert!(confirmed.as_mut().now_or_never().is_none());
        sender.send_modify(|lease| lease.acknowledged = 3);
        assert!(confirmed.as_mut().now_or_never().is_none(), "3 was under way before the call");
        sender.send_modify(|lease| (lease.sent, lease.acknowledged) = (4, 4));
        assert_eq!(confirmed.await, Ok(()));
    }

    #[test]
    fn a_lapse_that_nobody_noticed_is_one() {
        let at = |seconds| Moment::since_boot(Duration::from_secs(seconds));
        let (sender, watch) = lease_channel();
        assert!(!watch.holds(at(0)), "no heartbeat was sent");
        sender.send_modify(|lease| lease.until = Some(at(9)));
        assert!(watch.holds(at(8)) && !watch.holds(at(9)));
        sender.send_modify(|lease| lease.lapsed = true);
        assert!(!watch.holds(at(8)));
    }

    #[tokio::test]
    async fn a_lapse_or_a_stopped_heart_is_a_lost_lease() {
        let (sender, watch) = lease_channel();
        sender.send_modify(|lease| lease.lapsed = true);
        assert_eq!(watch.confirm().await, Err(LeaseLost));
        watch.lapsed().await;
        let (sender, watch) = lease_channel();
        drop(sender);
        assert_eq!(watch.confirm().await, Err(LeaseLost));
    }
}

//! Pure. Consumers whose partition of the controller topic could not be written and read when the
//! reign began.
//!
//! What earlier leaders gave them is not known, nor can they be told that another leads. So while one
//! of their incarnations lives, only those partitions are given out that somebody else confirmed to
//! hold in this reign; and they get nothing. Everything else goes on.

use std::collections::BTreeSet;
use std::time::Duration;

use common::identity::{ConsumerId, Incarnation};

use crate::rebalance::Event;
use crate::roster::Roster;

use super::action::Action;
use super::input::Now;
use super::reign::{MARGIN_MS, Reign, TTL_MS};

#[derive(Debug, Default)]
pub(super) struct Unreachable {
    consumers: BTreeSet<ConsumerId>,
    /// Those of their incarnations that may have been given something by an earlier leader.
    incarnations: BTreeSet<Incarnation>,
}

impl Unreachable {
    pub(super) fn new(consumers: BTreeSet<ConsumerId>) -> Self {
        Self { consumers, incarnations: BTreeSet::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.consumers.is_empty()
    }

    pub(super) fn consumers(&self) -> &BTreeSet<ConsumerId> {
        &self.consumers
    }

    pub(super) fn contains(&self, consumer: ConsumerId) -> bool {
        self.consumers.contains(&consumer)
    }

    /// To be called until everybody who lived when the reign began has been heard, or has lapsed.
    pub(super) fn note_who_lives(&mut self, roster: &Roster) {
        let lives = roster.lives().iter();
        let theirs = lives.filter(|(_, life)| self.consumers.contains(&life.heartbeat.consumer));
        self.incarnations.extend(theirs.map(|(incarnation, _)| *incarnation));
    }

    /// Whether one of them may still hold what nobody else is known to hold.
    pub(super) fn may_hold(&self, roster: &Roster) -> bool {
        self.incarnations.iter().any(|incarnation| roster.lives().contains_key(incarnation))
    }
}

impl Reign {
    /// A partition whose last owner is not known is given out only when it is certain that nobody
    /// reads it: all who live are known to the fleet, or whoever else lived has lapsed. Who could not
    /// be reached when the reign began may hold it for as long as it lives.
    pub(super) fn trace(&mut self, now: Now) -> Vec<Action> {
        if self.is_traced {
            return vec![];
        }
        let mut lives = self.roster.lives().values();
        let all_known = lives.all(|life| self.workloads.knows(&life.heartbeat));
        let patience = Duration::from_millis(TTL_MS + MARGIN_MS);
        let waited = now.moment.saturating_since(self.began) > patience;
        if !waited {
            self.unreachable.note_who_lives(&self.roster);
        }
        let is_certain = if self.unreachable.is_empty() {
            waited || self.workloads.is_surveyed() && all_known
        } else {
            waited && !self.unreachable.may_hold(&self.roster)
        };
        if !is_certain {
            return vec![];
        }
        self.is_traced = true;
        self.rebalance(Event::Traced, now)
    }
}

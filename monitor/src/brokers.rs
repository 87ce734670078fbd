//! Pure. Which brokers are asked: one that did not answer rests for a while, so that it does not slow the others.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use common::moment::Moment;

use crate::catalog::BrokerId;

/// After a first failure so long, doubled with each further one up to the longest.
const REST_FIRST: Duration = Duration::from_secs(2);
const REST_LONGEST: Duration = Duration::from_secs(16);

/// One that refused may be allowed later: by people, who are not that fast.
const REST_AFTER_REFUSAL: Duration = Duration::from_secs(60);

/// How the brokers fared so far.
#[derive(Clone, Debug, Default)]
pub struct Brokers {
    known: BTreeMap<BrokerId, Standing>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Standing {
    failures: u32,
    is_refused: bool,
    rests_until: Moment,
}

/// What is new about a broker, for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    None,
    Failed,
    Refused,
    Recovered,
}

impl Brokers {
    /// Forgets the brokers that are not among these.
    pub fn retain(&mut self, brokers: &BTreeSet<BrokerId>) {
        self.known.retain(|broker, _| brokers.contains(broker));
    }

    pub fn is_resting(&self, broker: BrokerId, now: Moment) -> bool {
        self.known.get(&broker).is_some_and(|standing| standing.rests_until > now)
    }

    /// Whether it told that we may not ask for sizes.
    pub fn is_refused(&self, broker: BrokerId) -> bool {
        self.known.get(&broker).is_some_and(|standing| standing.is_refused)
    }

    pub fn answered(&mut self, broker: BrokerId) -> Change {
        match self.known.remove(&broker) {
            Some(_) => Change::Recovered,
            None => Change::None,
        }
    }

    pub fn failed(&mut self, broker: BrokerId, now: Moment) -> Change {
        let standing = self.known.entry(broker).or_default();
        let rest = REST_FIRST.saturating_mul(1 << standing.failures.min(10)).min(REST_LONGEST);
        standing.failures += 1;
        standing.rests_until = now + rest;
        if standing.failures == 1 { Change::Failed } else { Change::None }
    }

    pub fn refused(&mut self, broker: BrokerId, now: Moment) -> Change {
        let standing = self.known.entry(broker).or_default();
        let is_new = !standing.is_refused;
        *standing =
            Standing { failures: 0, is_refused: true, rests_until: now + REST_AFTER_REFUSAL };
        if is_new { Change::Refused } else { Change::None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BROKER: BrokerId = BrokerId(1);

    fn at(seconds: u64) -> Moment {
        Moment::since_boot(Duration::from_secs(seconds))
    }

    #[test]
    fn one_that_failed_rests_longer_each_time_but_not_for_ever() {
        let mut brokers = Brokers::default();
        assert_eq!(brokers.failed(BROKER, at(0)), Change::Failed);
        assert!(brokers.is_resting(BROKER, at(1)) && !brokers.is_resting(BROKER, at(2)));
        assert_eq!(brokers.failed(BROKER, at(2)), Change::None);
        assert!(brokers.is_resting(BROKER, at(5)) && !brokers.is_resting(BROKER, at(6)));
        for _ in 0..50 {
            brokers.failed(BROKER, at(100));
        }
        assert!(!brokers.is_resting(BROKER, at(116)));
        assert!(!brokers.is_resting(BrokerId(2), at(100)), "the others do not");
    }

    #[test]
    fn one_that_answers_again_is_as_new() {
        let mut brokers = Brokers::default();
        assert_eq!(brokers.answered(BROKER), Change::None);
        brokers.failed(BROKER, at(0));
        assert_eq!(brokers.answered(BROKER), Change::Recovered);
        assert_eq!(brokers.failed(BROKER, at(10)), Change::Failed);
        assert!(!brokers.is_resting(BROKER, at(12)));
    }

    #[test]
    fn one_that_refuses_is_known_for_it_until_it_answers_or_is_gone() {
        let mut brokers = Brokers::default();
        assert_eq!(brokers.refused(BROKER, at(0)), Change::Refused);
        assert_eq!(brokers.refused(BROKER, at(60)), Change::None);
        assert!(brokers.is_refused(BROKER) && brokers.is_resting(BROKER, at(119)));
        brokers.failed(BROKER, at(120));
        assert!(brokers.is_refused(BROKER), "a failure says nothing about rights");
        assert_eq!(brokers.answered(BROKER), Change::Recovered);
        assert!(!brokers.is_refused(BROKER));
        brokers.refused(BROKER, at(130));
        brokers.retain(&BTreeSet::from([BrokerId(2)]));
        assert!(!brokers.is_refused(BROKER));
    }
}

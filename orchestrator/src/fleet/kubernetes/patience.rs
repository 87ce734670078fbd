//! Pure. How long a failed call rests before it is tried again: longer each time, and never in step.

use std::collections::BTreeMap;
use std::time::Duration;

use common::backoff::BackoffPolicy;
use common::moment::Moment;
use rand::Rng;

use super::request::Target;

const PAUSES: BackoffPolicy =
    BackoffPolicy { initial: Duration::from_millis(500), max: Duration::from_secs(30), factor: 2 };

/// Which calls are on their way, and which rest.
#[derive(Clone, Debug, Default)]
pub(super) struct Patience {
    calls: BTreeMap<Target, Call>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Call {
    is_on_its_way: bool,
    /// In a row.
    failures: u32,
    not_before: Moment,
}

impl Patience {
    pub(super) fn may_call(&self, target: Target, now: Moment) -> bool {
        let call = self.calls.get(&target);
        call.is_none_or(|call| !call.is_on_its_way && now >= call.not_before)
    }

    /// Whether a call may be made; then it counts as on its way.
    pub(super) fn begin(&mut self, target: Target, now: Moment) -> bool {
        let may_call = self.may_call(target, now);
        if may_call {
            self.calls.entry(target).or_default().is_on_its_way = true;
        }
        may_call
    }

    pub(super) fn done(&mut self, target: Target) {
        self.calls.remove(&target);
    }

    /// What was seen is old: what is there now is on its way.
    pub(super) fn conflict(&mut self, target: Target, now: Moment, rng: &mut impl Rng) {
        let call = self.calls.entry(target).or_default();
        (call.is_on_its_way, call.not_before) = (false, now + PAUSES.delay(1, rng));
    }

    pub(super) fn failed(&mut self, target: Target, now: Moment, rng: &mut impl Rng) {
        let call = self.calls.entry(target).or_default();
        call.failures += 1;
        let pause = PAUSES.delay(call.failures, rng);
        (call.is_on_its_way, call.not_before) = (false, now + pause);
    }
}

#[cfg(test)]
mod tests {
    use common::identity::ConsumerId;
    use rand::SeedableRng as _;
    use rand::rngs::ChaCha8Rng;

    use super::super::request::Kind;
    use super::*;

    #[test]
    fn pauses_grow_to_half_a_minute_and_end_with_a_success() {
        let target = Target { consumer: ConsumerId(1), kind: Kind::Pod };
        let (mut patience, mut rng) = (Patience::default(), ChaCha8Rng::seed_from_u64(1));
        let mut now = Moment::since_boot(Duration::from_secs(100));
        let mut last = Duration::ZERO;
        for _ in 0..12 {
            assert!(patience.begin(target, now));
            assert!(!patience.may_call(target, now + PAUSES.max), "it is on its way");
            patience.failed(target, now, &mut rng);
            let step = Duration::from_millis(50);
            let mut pause = Duration::ZERO;
            while !patience.may_call(target, now + pause) {
                pause += step;
            }
            assert!(pause * 4 > last && pause <= PAUSES.max, "{pause:?} after {last:?}");
            (now, last) = (now + pause, pause);
        }
        assert!(last >= PAUSES.max / 2);
        patience.done(target);
        patience.failed(target, now, &mut rng);
        assert!(patience.may_call(target, now + PAUSES.initial));
    }
}

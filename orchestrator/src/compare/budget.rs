//! Pure. Where the worst latency comes from when the load jumps, phase by phase.

/// How long each part of a reaction to a jump takes, in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reaction {
    /// Until the measured rate shows the jump.
    pub measure_seconds: f64,
    /// From there to a plan.
    pub decide_seconds: f64,
    /// Until a new consumer is ready; 0 with warm spares.
    pub start_seconds: f64,
    /// How long a partition that moves is not read.
    pub hand_over_seconds: f64,
}

/// The phases of the time that the record which waits longest spends between produced and stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PhaseName {
    Rotation,
    Measure,
    Decide,
    Start,
    HandOver,
    CatchUp,
}

/// One phase: how long it lasts, and how much of that the worst record waits, in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Phase {
    pub name: PhaseName,
    pub lasts_seconds: f64,
    pub adds_seconds: f64,
}

/// The worst latency and what it consists of.
#[derive(Clone, Debug, PartialEq)]
pub struct Budget {
    pub phases: Vec<Phase>,
    /// The sum of what the phases add.
    pub worst_seconds: f64,
    /// What the fullest consumer is behind when the reaction is over.
    pub backlog_bytes: f64,
}

/// A consumer at the moment when all rates jump.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Overload {
    /// Bytes per second that a consumer sustains.
    pub(super) capacity: f64,
    /// The load of the fullest consumer after the jump ÷ its capacity.
    pub(super) utilization: f64,
    /// The share of its arrivals that the worst-off partition is served.
    pub(super) served_share: f64,
    /// How full consumers are packed afterwards, as a share of their capacity.
    pub(super) plan_share: f64,
    /// The load of the largest partition after the jump ÷ the capacity.
    pub(super) largest_share: f64,
}

impl Reaction {
    /// From the jump until the partition that is to move is released.
    pub fn seconds_until_release(&self) -> f64 {
        self.measure_seconds + self.decide_seconds + self.start_seconds
    }

    fn total_seconds(&self) -> f64 {
        self.seconds_until_release() + self.hand_over_seconds
    }
}

impl Budget {
    /// With φ the share that the worst-off partition is served, T the seconds until it is released
    /// and H those of its hand-over: of the bytes that arrive in T, φ T seconds' worth is served by
    /// T, and the next one at T + H. It has arrived at φ T and waits T (1 − φ) + H, longer than any
    /// other, since from then on it is served at least as fast as it is written. To this comes the
    /// rotation. So each phase before the release adds 1 − φ of itself, the others all.
    ///
    /// The backlog is the excess × the whole reaction: (u − 1) C (T + H), u the utilization. Its
    /// load u C then has u ÷ p consumers, which are p full; their headroom, u (1 − p) C ÷ p, works
    /// it off. Or the largest partition, of which a share m of a consumer is written, has a
    /// consumer of its own, which works off m (T (1 − φ) + H) C with the 1 − m that it leaves. The
    /// longer of the two is how long catching up lasts. It adds nothing: waiting falls meanwhile.
    pub(super) fn new(rotation_seconds: f64, reaction: &Reaction, overload: &Overload) -> Self {
        let Overload { capacity, utilization, served_share, plan_share, largest_share } = *overload;
        let waits = 1.0 - served_share;
        let backlog_bytes = (utilization - 1.0).max(0.0) * capacity * reaction.total_seconds();
        let headroom = utilization * capacity * (1.0 - plan_share) / plan_share;
        let together = if backlog_bytes > 0.0 { backlog_bytes / headroom } else { 0.0 };
        let longest_wait = reaction.seconds_until_release() * waits + reaction.hand_over_seconds;
        let left = (1.0 - largest_share).max(0.0);
        let alone = if longest_wait > 0.0 { largest_share * longest_wait / left } else { 0.0 };
        let catch_up = together.max(alone);
        let phase = |name, lasts_seconds, share| Phase {
            name,
            lasts_seconds,
            adds_seconds: if share > 0.0 { lasts_seconds * share } else { 0.0 },
        };
        let phases = vec![
            phase(PhaseName::Rotation, rotation_seconds, 1.0),
            phase(PhaseName::Measure, reaction.measure_seconds, waits),
            phase(PhaseName::Decide, reaction.decide_seconds, waits),
            phase(PhaseName::Start, reaction.start_seconds, waits),
            phase(PhaseName::HandOver, reaction.hand_over_seconds, 1.0),
            phase(PhaseName::CatchUp, catch_up, 0.0),
        ];
        let worst_seconds = phases.iter().map(|phase| phase.adds_seconds).sum();
        Self { phases, worst_seconds, backlog_bytes }
    }

    /// How long the backlog lasts once the reaction is over; infinite without headroom.
    pub fn catch_up_seconds(&self) -> f64 {
        let catch_up = self.phases.iter().find(|phase| phase.name == PhaseName::CatchUp);
        catch_up.map_or(0.0, |phase| phase.lasts_seconds)
    }
}

impl PhaseName {
    pub fn label(self) -> &'static str {
        match self {
            Self::Rotation => "rotation",
            Self::Measure => "measure",
            Self::Decide => "decide",
            Self::Start => "start",
            Self::HandOver => "hand over",
            Self::CatchUp => "catch up",
        }
    }

    /// What happens meanwhile.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Rotation => "a record that was read waits until the sink stores",
            Self::Measure => "the measured rate does not show the jump yet",
            Self::Decide => "the plan is made",
            Self::Start => "the new consumer starts; its partitions stay where they are",
            Self::HandOver => "the partition that moves is not read",
            Self::CatchUp => "the backlog is worked off; waiting falls",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fluid::{Fluid, FluidOptions, Rebalance};
    use super::*;

    const REACTION: Reaction = Reaction {
        measure_seconds: 4.0,
        decide_seconds: 1.0,
        start_seconds: 5.0,
        hand_over_seconds: 0.5,
    };

    fn assert_near(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-5, "{found} is not {expected}");
    }

    /// 135 of 100, 55 of 90 served: each of the 10 s before the release adds 35 ÷ 90, the hand-over
    /// 0.5 s. Backlog 35 × 10.5, worked off at 45 (1.8 consumers at 75 %) in 8.2 s; but the largest
    /// one's 350 + 45 at 10, which a consumer of its own leaves, in 39.5 s.
    #[test]
    fn the_phases_add_up_as_computed_by_hand() {
        let overload = Overload {
            capacity: 100.0,
            utilization: 1.35,
            served_share: 55.0 / 90.0,
            plan_share: 0.75,
            largest_share: 0.9,
        };
        let budget = Budget::new(5.0, &REACTION, &overload);
        let adds: Vec<f64> = budget.phases.iter().map(|phase| phase.adds_seconds).collect();
        let share = 35.0 / 90.0;
        let expected = [5.0, 4.0 * share, share, 5.0 * share, 0.5, 0.0];
        adds.into_iter().zip(expected).for_each(|(found, expected)| assert_near(found, expected));
        assert_near(budget.worst_seconds, 5.5 + 10.0 * share);
        assert_near(budget.backlog_bytes, 367.5);
        assert_near(budget.catch_up_seconds(), 39.5);
        let small = Overload { largest_share: 0.1, ..overload };
        let catch_up = Budget::new(5.0, &REACTION, &small).catch_up_seconds();
        assert_near(catch_up, 367.5 / 45.0);
    }

    /// The same consumer in the latency model: the formula is its longest wait.
    #[test]
    fn the_worst_latency_is_that_of_the_fluid() {
        let options = FluidOptions {
            move_gap_seconds: REACTION.hand_over_seconds,
            start_seconds: REACTION.start_seconds,
            rebalance: Rebalance::Cooperative,
            rotation_seconds: 5.0,
        };
        let mut fluid = Fluid::new(4, options);
        fluid.advance(3.0, 100, &[60, 10, 10, 10], &[1; 4]);
        fluid.advance(5.0, 100, &[90, 15, 15, 15], &[1; 4]);
        fluid.advance(5.5 + 39.4, 100, &[90, 15, 15, 15], &[2, 1, 1, 1]);
        assert_near(fluid.backlog(), 1.0);
        fluid.advance(0.1, 100, &[90, 15, 15, 15], &[2, 1, 1, 1]);
        assert_near(fluid.backlog(), 0.0);
        assert_near(fluid.latency().percentiles(5.0).max, 5.5 + 350.0 / 90.0);
    }

    #[test]
    fn without_overload_only_rotation_and_hand_over_count() {
        let calm = Overload {
            capacity: 100.0,
            utilization: 0.9,
            served_share: 1.0,
            plan_share: 1.0,
            largest_share: 0.5,
        };
        let budget = Budget::new(5.0, &REACTION, &calm);
        assert_eq!((budget.worst_seconds, budget.catch_up_seconds()), (5.5, 0.5));
    }

    #[test]
    fn without_headroom_a_backlog_stays() {
        let full = Overload {
            capacity: 100.0,
            utilization: 1.5,
            served_share: 0.5,
            plan_share: 1.0,
            largest_share: 0.1,
        };
        assert!(Budget::new(5.0, &REACTION, &full).catch_up_seconds().is_infinite());
    }
}

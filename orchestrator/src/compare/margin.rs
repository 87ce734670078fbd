//! Pure. What breaks first: how far each thing that a size depends on is from its limit.

use super::budget::{Budget, Overload, Reaction};
use super::population::Population;
use super::size::SizeInput;

/// What can break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// At the peak, the largest partition asks for more than a whole consumer.
    LargestPartition,
    /// At the peak, more consumers are needed than there are partitions.
    Partitions,
    /// At the peak, more consumers are needed than there may be.
    Consumers,
    /// The jump is too large for the headroom, or there is none to work a backlog off with.
    Headroom,
    /// The reaction takes so long that records wait too long.
    Reaction,
}

/// How often over a limit is met: below 1 it is broken already.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Margin {
    pub limit: Limit,
    /// What is allowed ÷ what there is; infinite if it never breaks.
    pub factor: f64,
}

impl Margin {
    /// Rounding alone breaks nothing.
    pub fn is_broken(&self) -> bool {
        self.factor < 1.0 - 1e-6
    }
}

/// One set of partitions and percentages.
#[derive(Clone, Copy)]
pub(super) struct Layout<'a> {
    pub(super) input: &'a SizeInput,
    pub(super) population: &'a Population,
    pub(super) plan_percent: u32,
    pub(super) trigger_percent: u32,
}

impl Layout<'_> {
    fn capacity(&self) -> f64 {
        self.input.capacity as f64
    }

    /// Bytes per second that a consumer is packed to.
    pub(super) fn plan_capacity(&self) -> f64 {
        self.capacity() * f64::from(self.plan_percent) / 100.0
    }

    /// The worst latency if rates rise to `jump` times what they are, the reaction taking as long
    /// as given.
    pub(super) fn budget(&self, jump: f64) -> Budget {
        let trigger = self.capacity() * f64::from(self.trigger_percent) / 100.0;
        let fullest = trigger.max(self.population.largest()).min(self.population.total());
        let overload = Overload {
            capacity: self.capacity(),
            utilization: jump * fullest / self.capacity(),
            served_share: self.population.least_served_share(self.capacity(), trigger, jump),
            plan_share: f64::from(self.plan_percent) / 100.0,
            largest_share: jump * self.population.largest() / self.capacity(),
        };
        Budget::new(self.input.rotation_seconds, &self.input.reaction, &overload)
    }

    /// Whether the worst latency keeps the limit, and there is headroom if there is a backlog.
    pub(super) fn keeps_latency(&self, budget: &Budget) -> bool {
        budget.worst_seconds <= self.input.latency_max_seconds
            && (self.plan_percent < 100 || budget.backlog_bytes <= 0.0)
    }

    /// All margins, the narrowest first.
    pub(super) fn margins(&self) -> Vec<Margin> {
        let jump = self.input.peak_factor;
        let consumers_filled = jump * self.population.total() / self.plan_capacity();
        let partitions = self.population.partitions() as f64;
        let mut margins = vec![
            Margin {
                limit: Limit::LargestPartition,
                factor: self.capacity() / (jump * self.population.largest()),
            },
            Margin { limit: Limit::Partitions, factor: partitions / consumers_filled },
            Margin { limit: Limit::Headroom, factor: self.headroom_factor() },
            Margin { limit: Limit::Reaction, factor: self.reaction_factor() },
        ];
        if let Some(max) = self.input.consumers_max {
            let needed = self.population.consumers(jump, self.plan_capacity());
            let factor = f64::from(max) / needed as f64;
            margins.push(Margin { limit: Limit::Consumers, factor });
        }
        margins.sort_by(|one, other| one.factor.total_cmp(&other.factor));
        margins
    }

    /// The highest jump that keeps the limit ÷ the jump that is expected, up to a hundredfold.
    fn headroom_factor(&self) -> f64 {
        let jump = self.input.peak_factor;
        let keeps = |factor: f64| self.keeps_latency(&self.budget(jump * factor));
        if keeps(100.0) {
            return f64::INFINITY;
        }
        let (mut low, mut high) = if keeps(1.0) { (1.0, 100.0) } else { (0.0, 1.0) };
        for _ in 0..50 {
            let middle = f64::midpoint(low, high);
            if keeps(middle) {
                low = middle;
            } else {
                high = middle;
            }
        }
        low
    }

    /// The longest reaction that keeps the limit ÷ the one that is expected, all of its parts
    /// stretched alike. Of its worst latency all but the rotation is in proportion to it.
    fn reaction_factor(&self) -> f64 {
        let budget = self.budget(self.input.peak_factor);
        let rotation = self.input.rotation_seconds;
        let waits = budget.worst_seconds - rotation;
        if waits <= 0.0 {
            return f64::INFINITY;
        }
        let factor = (self.input.latency_max_seconds - rotation) / waits;
        // Rounding must not break what is kept.
        if budget.worst_seconds <= self.input.latency_max_seconds {
            factor.max(1.0)
        } else {
            factor
        }
    }
}

impl Limit {
    /// What happens at the limit, and what helps.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::LargestPartition => {
                "largest partition too large for a consumer: more partitions, a better key"
            }
            Self::Partitions => "fewer partitions than consumers needed: more partitions",
            Self::Consumers => "more consumers needed than allowed: a higher maximum",
            Self::Headroom => "headroom too small: lower plan and trigger capacity",
            Self::Reaction => {
                "reaction too slow: measure more often, warm spares, a faster hand-over"
            }
        }
    }

    /// What the factor of its margin multiplies.
    pub fn subject(self) -> &'static str {
        match self {
            Self::LargestPartition | Self::Partitions | Self::Consumers => "load",
            Self::Headroom => "jump",
            Self::Reaction => "reaction",
        }
    }
}

impl Reaction {
    /// The parts, each with its name.
    pub(super) fn parts(&self) -> [(&'static str, f64); 4] {
        [
            ("measure", self.measure_seconds),
            ("decide", self.decide_seconds),
            ("start", self.start_seconds),
            ("hand over", self.hand_over_seconds),
        ]
    }
}

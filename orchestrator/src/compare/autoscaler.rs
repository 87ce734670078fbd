//! Pure. A model of a lag-based autoscaler: KEDA's Kafka scaler, and the autoscaler that it feeds.

use std::collections::VecDeque;

use super::assignor::cooperative_sticky;
use super::contestant::Contestant;
use super::trace::Step;

/// How the autoscaler is set up. What its makers call it, and their defaults where nothing else is
/// said: those of KEDA 2.15 and of Kubernetes' HorizontalPodAutoscaler (`autoscaling/v2`).
#[derive(Clone, Debug)]
pub struct AutoscalerOptions {
    /// `lagThreshold`, in bytes instead of records: the lag that one consumer is to have.
    pub lag_threshold_bytes: u64,
    /// How many consumers there are at first.
    pub consumers_initial: u32,
    /// `minReplicaCount`. KEDA's default of 0 matters only to topics that nobody writes to.
    pub consumers_min: u32,
    /// `maxReplicaCount`; KEDA's default of 100 would only hold it back. Never more than there are
    /// partitions (`allowIdleConsumers: false`).
    pub consumers_max: u32,
    /// `--horizontal-pod-autoscaler-sync-period`, in seconds.
    pub sync_seconds: f64,
    /// How old the lag may be that the autoscaler is given: 0 asks the brokers at each sync, as
    /// KEDA does by default; its `pollingInterval` (30) with `useCachedMetrics: true`.
    pub polling_seconds: f64,
    /// `behavior.scaleDown.stabilizationWindowSeconds`.
    pub stabilization_seconds: f64,
    /// `--horizontal-pod-autoscaler-tolerance`, in per cent.
    pub tolerance_percent: u32,
}

impl AutoscalerOptions {
    /// The defaults, with the lag that each consumer is to have.
    pub fn with_lag_threshold(bytes: u64) -> Self {
        Self {
            lag_threshold_bytes: bytes,
            consumers_initial: 1,
            consumers_min: 1,
            consumers_max: u32::MAX,
            sync_seconds: 15.0,
            polling_seconds: 0.0,
            stabilization_seconds: 300.0,
            tolerance_percent: 10,
        }
    }
}

/// Consumers by lag, partitions by Kafka's cooperative-sticky assignor.
///
/// Decides where steps begin; of a step that is longer than the sync period, with one lag for all
/// syncs in it. Pods that leave are the youngest: the highest numbers.
pub struct Autoscaler {
    name: String,
    options: AutoscalerOptions,
    owners: Vec<Option<u32>>,
    consumers: u32,
    now: f64,
    next_sync: f64,
    lag_total: u64,
    polled_at: Option<f64>,
    /// When each number of consumers was recommended, within the stabilization window.
    recommended: VecDeque<(f64, u32)>,
}

impl Autoscaler {
    pub fn new(name: impl Into<String>, options: AutoscalerOptions) -> Self {
        let consumers = options.consumers_initial.max(options.consumers_min).max(1);
        Self {
            name: name.into(),
            owners: Vec::new(),
            consumers,
            now: 0.0,
            next_sync: options.sync_seconds,
            lag_total: 0,
            polled_at: None,
            recommended: VecDeque::from([(0.0, consumers)]),
            options,
        }
    }

    /// One sync of the horizontal pod autoscaler.
    fn sync(&mut self, partitions: usize) {
        let desired = self.clamp(self.desired(), partitions);
        self.recommended.push_back((self.next_sync, desired));
        let oldest = self.next_sync - self.options.stabilization_seconds;
        while self.recommended.front().is_some_and(|(at, _)| *at < oldest) {
            self.recommended.pop_front();
        }
        let highest = self.recommended.iter().map(|(_, consumers)| *consumers).max();
        let next = match highest {
            _ if desired > self.consumers => desired.min(scale_up_limit(self.consumers)),
            Some(highest) if highest < self.consumers => highest,
            Some(_) | None => self.consumers,
        };
        self.consumers = self.clamp(next, partitions);
    }

    /// ⌈lag ÷ threshold⌉, unless the lag per consumer is within the tolerance of the threshold:
    /// the rule for an external metric with a target of type `AverageValue`.
    fn desired(&self) -> u32 {
        let threshold = u128::from(self.options.lag_threshold_bytes.max(1));
        let lag = u128::from(self.lag_total);
        let expected = threshold * u128::from(self.consumers);
        let tolerated = expected * u128::from(self.options.tolerance_percent) / 100;
        if lag.abs_diff(expected) <= tolerated {
            return self.consumers;
        }
        u32::try_from(lag.div_ceil(threshold)).unwrap_or(u32::MAX)
    }

    fn clamp(&self, consumers: u32, partitions: usize) -> u32 {
        let partitions = u32::try_from(partitions).unwrap_or(u32::MAX);
        let max = self.options.consumers_max.min(partitions);
        consumers.min(max).max(self.options.consumers_min).max(1)
    }
}

/// At most twice as many, or four more, in 15 seconds: the default policies of scaling up.
fn scale_up_limit(consumers: u32) -> u32 {
    consumers.saturating_mul(2).max(consumers.saturating_add(4))
}

impl Contestant for Autoscaler {
    fn name(&self) -> &str {
        &self.name
    }

    fn assign(&mut self, step: &Step) -> Vec<u32> {
        self.owners.resize(step.rates.len(), None);
        self.consumers = self.clamp(self.consumers, step.rates.len());
        let owners = cooperative_sticky(&self.owners, self.consumers);
        self.owners = owners.iter().copied().map(Some).collect();
        owners
    }

    fn running(&self) -> Option<u32> {
        Some(self.consumers)
    }

    fn observe(&mut self, lag_bytes: &[u64], seconds: f64) {
        self.now += seconds;
        let due = |polled_at| self.now - polled_at >= self.options.polling_seconds;
        if self.polled_at.is_none_or(due) {
            self.polled_at = Some(self.now);
            self.lag_total = lag_bytes.iter().fold(0, |sum, lag| sum.saturating_add(*lag));
        }
        while self.next_sync <= self.now {
            self.sync(lag_bytes.len());
            self.next_sync += self.options.sync_seconds.max(1.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARTITIONS: usize = 50;

    /// An autoscaler at 1000 bytes a consumer that saw each of these lags for 15 seconds; how many
    /// consumers it wanted after each.
    fn course(options: AutoscalerOptions, lags: &[u64]) -> Vec<u32> {
        let mut autoscaler = Autoscaler::new("lag", options);
        let mut see = |lag: &u64| {
            let mut lags = vec![0; PARTITIONS];
            lags[0] = *lag;
            autoscaler.observe(&lags, 15.0);
            autoscaler.consumers
        };
        lags.iter().map(&mut see).collect()
    }

    fn options(consumers_initial: u32) -> AutoscalerOptions {
        AutoscalerOptions { consumers_initial, ..AutoscalerOptions::with_lag_threshold(1000) }
    }

    /// ⌈4200 ÷ 1000⌉ = 5; 5400 is within a tenth of 5 × 1000, 5600 is not.
    #[test]
    fn it_wants_the_lag_over_the_threshold_rounded_up_but_for_the_tolerance() {
        assert_eq!(course(options(2), &[4200, 5400, 5600]), [5, 5, 6]);
    }

    #[test]
    fn it_at_most_doubles_or_adds_four_and_stops_at_the_partitions() {
        assert_eq!(course(options(1), &[u64::MAX; 6]), [5, 10, 20, 40, 50, 50]);
        let two = AutoscalerOptions { consumers_max: 2, ..options(1) };
        assert_eq!(course(two, &[u64::MAX; 2]), [2, 2]);
    }

    /// The highest number of the last 300 s holds: 8 was wanted last at 30 s, 3 since.
    #[test]
    fn it_shrinks_only_when_the_window_has_passed() {
        let mut lags = vec![8000, 8000];
        lags.extend([2500; 22]);
        let course = course(options(8), &lags);
        // Still wanted at 30 s: in the window up to 330 s, the 22nd sync.
        assert_eq!(course[..22], [8; 22]);
        assert_eq!(course[22..], [3; 2]);
    }

    #[test]
    fn a_cached_lag_is_seen_late() {
        let cached = AutoscalerOptions { polling_seconds: 30.0, ..options(1) };
        assert_eq!(course(cached, &[500, 3000, 3000, 3000]), [1, 1, 3, 3]);
    }

    #[test]
    fn consumers_leave_from_the_highest_number_down() {
        let mut autoscaler = Autoscaler::new("lag", options(3));
        let step = Step { seconds: 15.0, capacity: 1, rates: vec![0; 6] };
        assert_eq!(autoscaler.assign(&step), [1, 2, 3, 1, 2, 3]);
        autoscaler.consumers = 2;
        assert_eq!(autoscaler.assign(&step), [1, 2, 1, 1, 2, 2]);
    }
}

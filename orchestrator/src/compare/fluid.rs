//! Pure. The latency model: partitions as queues of bytes, served by the consumers that hold them.
//!
//! No time steps: between two events (a step of the trace, a consumer that is ready, a move that
//! ends, a queue that runs empty) all rates are constant, so waiting times are exact but for
//! rounding. What it assumes is written down in `docs/comparing.md`.

use std::collections::{BTreeMap, BTreeSet};

use super::latency::Latency;
use super::queue::{Queue, Rates};
use super::share::max_min;

/// Which partitions stop when one is handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rebalance {
    /// Only those that move.
    Cooperative,
    /// All of the group.
    Eager,
}

/// How consumers behave. All times in seconds, none negative.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FluidOptions {
    /// How long a partition is not served when it is handed over.
    pub move_gap_seconds: f64,
    /// From a consumer's creation until it serves; meanwhile what it is to get stays where it is.
    /// Consumers of the first step are there already.
    pub start_seconds: f64,
    pub rebalance: Rebalance,
    /// How often the sink stores: adds a uniform wait between nothing and this.
    pub rotation_seconds: f64,
}

impl FluidOptions {
    /// Consumers that start at once, as processes do.
    pub const PROCESSES: Self = Self {
        move_gap_seconds: 0.5,
        start_seconds: 0.0,
        rebalance: Rebalance::Cooperative,
        rotation_seconds: 5.0,
    };

    /// Consumers that take 15 s to start, as pods do.
    pub const PODS: Self = Self { start_seconds: 15.0, ..Self::PROCESSES };
}

/// All queues and consumers at one instant.
pub struct Fluid {
    options: FluidOptions,
    now: f64,
    /// Of each consumer, in bytes per second.
    capacity: f64,
    partitions: Vec<Partition>,
    /// When each consumer serves from. Those that hold or are to hold something, and only those.
    ready_at: BTreeMap<u32, f64>,
    latency: Latency,
    consumer_seconds: f64,
    /// When a queue ran empty last.
    drained_at: f64,
}

#[derive(Clone, Default)]
struct Partition {
    queue: Queue,
    /// Bytes per second.
    rate: f64,
    /// Bytes per second that were served lately: what is read but not committed yet.
    served_rate: f64,
    holder: Option<u32>,
    planned: Option<u32>,
    resumes_at: f64,
}

impl Partition {
    /// Who serves it during what follows `now`.
    fn server(&self, now: f64) -> Option<u32> {
        self.holder.filter(|_| self.resumes_at <= now)
    }
}

impl Fluid {
    pub fn new(partitions: usize, options: FluidOptions) -> Self {
        Self {
            options,
            now: 0.0,
            capacity: 0.0,
            partitions: vec![Partition::default(); partitions],
            ready_at: BTreeMap::new(),
            latency: Latency::default(),
            consumer_seconds: 0.0,
            drained_at: 0.0,
        }
    }

    /// Lets `seconds` pass with these rates (bytes per second), this capacity of each consumer
    /// (bytes per second) and this planned consumer of each partition.
    pub fn advance(&mut self, seconds: f64, capacity: u64, rates: &[u64], planned: &[u32]) {
        self.capacity = capacity as f64;
        for (partition, (rate, planned)) in
            self.partitions.iter_mut().zip(rates.iter().zip(planned))
        {
            partition.rate = *rate as f64;
            partition.planned = Some(*planned);
        }
        self.create_consumers();
        let served: Vec<f64> = self.served_each().collect();
        self.run_until(self.now + seconds);
        for (partition, before) in self.partitions.iter_mut().zip(served) {
            partition.served_rate = (partition.queue.served - before) / seconds;
        }
    }

    /// Lets time pass without arrivals until no backlog is left. Seconds until then, or `None` if
    /// it would never happen.
    pub fn drain(&mut self) -> Option<f64> {
        let from = self.now;
        self.drained_at = from;
        for partition in &mut self.partitions {
            partition.rate = 0.0;
        }
        while self.backlog() > 0.0 {
            let until = self.hand_over_and_next_event(f64::INFINITY);
            if until.is_infinite() && !self.is_all_served() {
                return None;
            }
            self.serve(until);
            self.now = if until.is_finite() { until } else { self.drained_at };
        }
        Some((self.drained_at - from).max(0.0))
    }

    /// What the brokers show as lag of each partition, in bytes: the backlog, and what was read
    /// within half a rotation, the mean age of what is not committed yet.
    pub fn lag(&self) -> impl Iterator<Item = f64> {
        let uncommitted_seconds = self.options.rotation_seconds / 2.0;
        self.partitions.iter().map(move |partition| {
            partition.queue.backlog() + partition.served_rate * uncommitted_seconds
        })
    }

    /// Bytes that have arrived and are not served.
    pub fn backlog(&self) -> f64 {
        self.partitions.iter().map(|partition| partition.queue.backlog()).sum()
    }

    /// Bytes that ever arrived.
    pub fn arrived(&self) -> f64 {
        self.partitions.iter().map(|partition| partition.queue.arrived).sum()
    }

    /// Bytes that were ever served.
    pub fn served(&self) -> f64 {
        self.served_each().sum()
    }

    /// Waiting times of the bytes that were served.
    pub fn latency(&self) -> &Latency {
        &self.latency
    }

    /// Seconds that consumers existed, summed over them: from their creation, and until the last
    /// partition has left them.
    pub fn consumer_seconds(&self) -> f64 {
        self.consumer_seconds
    }

    fn served_each(&self) -> impl Iterator<Item = f64> {
        self.partitions.iter().map(|partition| partition.queue.served)
    }

    fn is_all_served(&self) -> bool {
        self.capacity > 0.0
            && self.partitions.iter().all(|partition| partition.server(self.now).is_some())
    }

    fn create_consumers(&mut self) {
        let is_first = self.ready_at.is_empty() && self.now == 0.0;
        let start = if is_first { 0.0 } else { self.options.start_seconds };
        for planned in self.partitions.iter().filter_map(|partition| partition.planned) {
            self.ready_at.entry(planned).or_insert(self.now + start);
        }
    }

    fn run_until(&mut self, end: f64) {
        while self.now < end {
            let until = self.hand_over_and_next_event(end);
            self.consumer_seconds += self.ready_at.len() as f64 * (until - self.now);
            self.serve(until);
            self.now = until;
        }
    }

    /// Carries out the moves that are possible now. Returns when something happens next that is
    /// not a queue running empty; `end` at the latest.
    fn hand_over_and_next_event(&mut self, end: f64) -> f64 {
        let now = self.now;
        let resumes_at = now + self.options.move_gap_seconds;
        let mut has_moved = false;
        for partition in &mut self.partitions {
            let is_ready = |planned| self.ready_at.get(&planned).is_some_and(|at| *at <= now);
            if partition.holder == partition.planned || !partition.planned.is_some_and(is_ready) {
                continue;
            }
            if partition.holder.is_some() {
                has_moved = true;
                partition.resumes_at = resumes_at;
            }
            partition.holder = partition.planned;
        }
        if has_moved && self.options.rebalance == Rebalance::Eager {
            self.partitions.iter_mut().for_each(|partition| partition.resumes_at = resumes_at);
        }
        let partitions = self.partitions.iter();
        let used: BTreeSet<u32> = partitions
            .flat_map(|partition| [partition.holder, partition.planned])
            .flatten()
            .collect();
        self.ready_at.retain(|consumer, _| used.contains(consumer));
        let resumptions = self.partitions.iter().map(|partition| partition.resumes_at);
        let events = self.ready_at.values().copied().chain(resumptions);
        events.filter(|at| *at > now).fold(end, f64::min)
    }

    /// Serves from now until `until`, each consumer on its own.
    fn serve(&mut self, until: f64) {
        let mut held = BTreeMap::<Option<u32>, Vec<usize>>::new();
        for (place, partition) in self.partitions.iter().enumerate() {
            held.entry(partition.server(self.now)).or_default().push(place);
        }
        for (consumer, places) in held {
            let capacity = if consumer.is_some() { self.capacity } else { 0.0 };
            self.serve_held(capacity, &places, until);
        }
    }

    /// Serves the partitions of one consumer, from one queue's running empty to the next.
    fn serve_held(&mut self, capacity: f64, places: &[usize], until: f64) {
        let mut now = self.now;
        while now < until {
            let rates = self.rates(capacity, places);
            let next = places
                .iter()
                .zip(&rates)
                .map(|(place, rates)| now + self.partitions[*place].seconds_to_empty(*rates));
            let next = next.fold(until, f64::min);
            if next.is_infinite() {
                return;
            }
            for (place, rates) in places.iter().zip(rates) {
                let partition = &mut self.partitions[*place];
                let runs_empty = now + partition.seconds_to_empty(rates) <= next;
                partition.queue.run(now, next - now, rates, &mut self.latency);
                if runs_empty {
                    partition.queue.settle();
                    self.drained_at = self.drained_at.max(next);
                }
            }
            now = next;
        }
    }

    /// Arrivals and the max-min fair service of each of these. Whoever has a backlog takes what it
    /// gets, others only what arrives.
    fn rates(&self, capacity: f64, places: &[usize]) -> Vec<Rates> {
        let demand = |place: &usize| {
            let partition = &self.partitions[*place];
            if partition.queue.is_empty() { partition.rate } else { f64::INFINITY }
        };
        let demands: Vec<f64> = places.iter().map(demand).collect();
        let shares = max_min(capacity, &demands);
        let arriving = places.iter().map(|place| self.partitions[*place].rate);
        arriving.zip(shares).map(|(arriving, served)| Rates { arriving, served }).collect()
    }
}

impl Partition {
    /// Infinite if the queue is empty or does not shrink.
    fn seconds_to_empty(&self, rates: Rates) -> f64 {
        if self.queue.is_empty() || rates.served <= rates.arriving {
            return f64::INFINITY;
        }
        self.queue.backlog().max(0.0) / (rates.served - rates.arriving)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Waiting only, and moves that cost nothing.
    const BARE: FluidOptions = FluidOptions {
        move_gap_seconds: 0.0,
        start_seconds: 0.0,
        rebalance: Rebalance::Cooperative,
        rotation_seconds: 0.0,
    };

    fn assert_near(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-5, "{found} is not {expected}");
    }

    fn longest_wait(fluid: &Fluid) -> f64 {
        fluid.latency().percentiles(0.0).max
    }

    #[test]
    fn whoever_is_served_in_full_waits_for_the_rotation_only() {
        let mut fluid = Fluid::new(3, FluidOptions::PROCESSES);
        for _ in 0..10 {
            fluid.advance(1.0, 100, &[40, 60, 100], &[1, 1, 2]);
        }
        assert_eq!(fluid.drain(), Some(0.0));
        let percentiles = fluid.latency().percentiles(5.0);
        assert_near(percentiles.p50, 2.5);
        assert_near(percentiles.max, 5.0);
    }

    /// 15 B/s at 10 B/s for 10 s: 50 B of backlog, and the last byte waits 5 s. With 5 B/s
    /// afterwards it is gone in 10 s. Waiting rises to 5 s over 150 B and falls to 0 over 50 B.
    #[test]
    fn overload_delays_as_computed_by_hand() {
        let mut fluid = Fluid::new(1, BARE);
        fluid.advance(10.0, 10, &[15], &[1]);
        assert_near(fluid.backlog(), 50.0);
        fluid.advance(10.0, 10, &[5], &[1]);
        assert_near(fluid.backlog(), 0.0);
        let percentiles = fluid.latency().percentiles(0.0);
        assert_near(percentiles.p50, 2.5);
        assert_near(percentiles.p99, 4.95);
        assert_near(percentiles.max, 5.0);
    }

    /// 10 B/s are shared by 2 B/s, which never waits, and 16 B/s, which is served at 8.
    #[test]
    fn small_partitions_do_not_wait_behind_large_ones() {
        let mut fluid = Fluid::new(2, BARE);
        fluid.advance(10.0, 10, &[2, 16], &[1, 1]);
        let served: Vec<f64> = fluid.served_each().collect();
        assert_eq!(served, [20.0, 80.0]);
        // 80 B of backlog: 8 s at the whole capacity.
        assert_near(fluid.drain().unwrap(), 8.0);
        assert_near(longest_wait(&fluid), 8.0);
    }

    /// 10 B/s stop for 0.5 s and catch up with 20 B/s; the other one is not stopped.
    #[test]
    fn a_move_stops_the_partition_that_moves() {
        let gap = FluidOptions { move_gap_seconds: 0.5, ..BARE };
        let mut fluid = Fluid::new(2, gap);
        fluid.advance(1.0, 20, &[10, 10], &[1, 1]);
        fluid.advance(0.5, 20, &[10, 10], &[1, 2]);
        assert_near(fluid.backlog(), 5.0);
        fluid.advance(0.5, 20, &[10, 10], &[1, 2]);
        assert_near(fluid.backlog(), 0.0);
        assert_near(longest_wait(&fluid), 0.5);
    }

    #[test]
    fn an_eager_rebalance_stops_everybody() {
        let eager = FluidOptions { move_gap_seconds: 0.5, rebalance: Rebalance::Eager, ..BARE };
        let mut fluid = Fluid::new(2, eager);
        fluid.advance(1.0, 20, &[10, 10], &[1, 1]);
        fluid.advance(0.5, 20, &[10, 10], &[1, 2]);
        assert_near(fluid.backlog(), 10.0);
    }

    /// 30 B/s at 20 B/s for 15 s leave 150 B, shared by two of equal rates; then each has 20 B/s.
    #[test]
    fn a_new_consumer_serves_when_it_has_started() {
        let starting = FluidOptions { start_seconds: 15.0, ..BARE };
        let mut fluid = Fluid::new(2, starting);
        fluid.advance(1.0, 20, &[10, 10], &[1, 1]);
        fluid.advance(15.0, 20, &[15, 15], &[1, 2]);
        assert_near(fluid.backlog(), 150.0);
        fluid.advance(15.0, 20, &[15, 15], &[1, 2]);
        assert_near(fluid.backlog(), 0.0);
        // Alone for 1 s, together for 30 s: the one that starts counts.
        assert_near(fluid.consumer_seconds(), 61.0);
    }

    #[test]
    fn a_consumer_counts_until_its_last_partition_has_left() {
        let starting = FluidOptions { start_seconds: 2.0, ..BARE };
        let mut fluid = Fluid::new(1, starting);
        fluid.advance(1.0, 20, &[10], &[1]);
        fluid.advance(5.0, 20, &[10], &[2]);
        assert_near(fluid.consumer_seconds(), 1.0 + 2.0 * 2.0 + 3.0);
    }

    /// 8 B/s read but not committed for 2.5 s on average, and what is not read.
    #[test]
    fn lag_is_what_is_not_committed() {
        let mut fluid = Fluid::new(1, FluidOptions { rotation_seconds: 5.0, ..BARE });
        fluid.advance(10.0, 8, &[9], &[1]);
        assert_near(fluid.lag().sum(), 8.0 * 2.5 + 10.0);
    }

    #[test]
    fn what_is_never_served_is_never_drained() {
        let mut fluid = Fluid::new(1, BARE);
        fluid.advance(1.0, 0, &[1], &[1]);
        assert_eq!(fluid.drain(), None);
    }

    fn any_options() -> impl Strategy<Value = FluidOptions> {
        (0.0..3.0_f64, prop_oneof![Just(0.0), 0.1..20.0_f64], any::<bool>()).prop_map(
            |(move_gap_seconds, start_seconds, eager)| FluidOptions {
                move_gap_seconds,
                start_seconds,
                rebalance: if eager { Rebalance::Eager } else { Rebalance::Cooperative },
                rotation_seconds: 0.0,
            },
        )
    }

    proptest! {
        /// What has arrived was served or waits, none before it arrived, and in the end nothing is
        /// left.
        #[test]
        fn bytes_are_conserved(
            options in any_options(),
            steps in prop::collection::vec(
                (0.1..30.0_f64, 1_u64..200, prop::collection::vec((0_u64..150, 1_u32..5), 6)),
                1..12,
            ),
        ) {
            let mut fluid = Fluid::new(6, options);
            let mut arrived = 0.0;
            for (seconds, capacity, partitions) in steps {
                let (rates, planned): (Vec<u64>, Vec<u32>) = partitions.into_iter().unzip();
                fluid.advance(seconds, capacity, &rates, &planned);
                arrived += seconds * rates.iter().sum::<u64>() as f64;
                prop_assert!((fluid.arrived() - arrived).abs() < 1e-6);
                prop_assert!((fluid.served() + fluid.backlog() - arrived).abs() < 1e-6);
                prop_assert!(fluid.lag().all(|lag| lag >= 0.0));
            }
            prop_assert!(fluid.drain().is_some_and(|seconds| seconds >= 0.0));
            prop_assert!((fluid.served() - arrived).abs() < 1e-6);
            prop_assert!((fluid.latency().bytes() - arrived).abs() < 1e-6);
        }

        /// No consumer serves more than its capacity, and none idles while something waits.
        #[test]
        fn a_busy_consumer_serves_exactly_its_capacity(
            rates in prop::collection::vec(30_u64..60, 4),
            seconds in 1.0..20.0_f64,
        ) {
            let mut fluid = Fluid::new(4, BARE);
            fluid.advance(seconds, 100, &rates, &[1; 4]);
            prop_assert!((fluid.served() - 100.0 * seconds).abs() < 1e-6);
        }
    }
}

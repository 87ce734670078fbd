//! Pure. What takes part in a comparison: something that assigns partitions, step by step.

use super::trace::Step;

/// Assigns partitions to consumers, once a step, and remembers what it has to.
pub trait Contestant {
    /// What to call it in tables. Those whose name begins with `stowage` are joined by a line in
    /// the plot.
    fn name(&self) -> &str;

    /// The consumer of each partition, in the order of the trace's names. A number stands for the
    /// same consumer in consecutive steps; one that no partition names any more is gone.
    fn assign(&mut self, step: &Step) -> Vec<u32>;

    /// How many consumers run, idle ones included. `None` if only those that hold a partition do.
    fn running(&self) -> Option<u32> {
        None
    }

    /// Told before each `assign` but the first: the lag of each partition in bytes, as the brokers
    /// show it (what has not been read and what has been read but not yet committed), and the
    /// seconds that have passed since it was told before.
    fn observe(&mut self, _lag_bytes: &[u64], _seconds: f64) {}
}

//! Pure. The records of one partition that wait to be read, as a fluid: bytes in, bytes out.

use std::collections::VecDeque;

use super::latency::Latency;

/// First in, first out. Bytes arrive and leave at rates that are constant within each run.
#[derive(Clone, Debug, Default)]
pub(super) struct Queue {
    waiting: VecDeque<Arrival>,
    /// The sum of what is waiting.
    backlog: f64,
    /// Bytes that were ever served.
    pub(super) served: f64,
    /// Bytes that ever arrived.
    pub(super) arrived: f64,
}

/// Bytes that arrived evenly from one instant on.
#[derive(Clone, Copy, Debug)]
struct Arrival {
    from: f64,
    rate: f64,
    bytes: f64,
}

impl Queue {
    /// Bytes that have arrived and are not served.
    pub(super) fn backlog(&self) -> f64 {
        self.backlog
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Lets `seconds` pass from `now` on, while bytes arrive and are served at these rates (bytes
    /// per second), and writes down how long those waited that were served. The service rate must
    /// be such that the queue does not run empty before the end, unless it is that of the arrivals.
    pub(super) fn run(&mut self, now: f64, seconds: f64, rates: Rates, latency: &mut Latency) {
        let arriving = rates.arriving * seconds;
        self.arrived += arriving;
        if self.waiting.is_empty() && rates.served >= rates.arriving {
            self.served += arriving;
            if arriving > 0.0 {
                latency.add(arriving, 0.0, 0.0);
            }
            return;
        }
        if arriving > 0.0 {
            self.push(now, rates.arriving, arriving);
        }
        self.serve(now, seconds, rates.served, latency);
    }

    /// Serves all that is left, which rounding alone has left.
    pub(super) fn settle(&mut self) {
        self.served += self.backlog;
        self.backlog = 0.0;
        self.waiting.clear();
    }

    fn push(&mut self, from: f64, rate: f64, bytes: f64) {
        self.backlog += bytes;
        if let Some(last) = self.waiting.back_mut()
            && last.rate == rate
            && (last.from + last.bytes / last.rate - from).abs() < 1e-9
        {
            last.bytes += bytes;
            return;
        }
        self.waiting.push_back(Arrival { from, rate, bytes });
    }

    fn serve(&mut self, now: f64, seconds: f64, rate: f64, latency: &mut Latency) {
        let mut left = rate * seconds;
        let mut at = now;
        while left > 0.0
            && let Some(first) = self.waiting.front_mut()
        {
            let bytes = left.min(first.bytes);
            let until = at + bytes / rate;
            let arrived_until = first.from + bytes / first.rate;
            latency.add(bytes, at - first.from, until - arrived_until);
            self.served += bytes;
            self.backlog -= bytes;
            left -= bytes;
            at = until;
            if bytes >= first.bytes {
                self.waiting.pop_front();
            } else {
                first.bytes -= bytes;
                first.from = arrived_until;
            }
        }
        if self.waiting.is_empty() {
            self.backlog = 0.0;
        }
    }
}

/// Of one partition, in bytes per second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rates {
    pub(super) arriving: f64,
    pub(super) served: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 10 B/s arrive, half is served for 2 s (the last byte served waits 1 s), then 20 B/s serve
    /// the backlog of 10 B in 1 s.
    #[test]
    fn waiting_grows_with_the_backlog_and_falls_with_it() {
        let (mut queue, mut latency) = (Queue::default(), Latency::default());
        queue.run(0.0, 2.0, Rates { arriving: 10.0, served: 5.0 }, &mut latency);
        assert_eq!(queue.backlog(), 10.0);
        assert!((latency.percentiles(0.0).max - 1.0).abs() < 1e-9);
        queue.run(2.0, 1.0, Rates { arriving: 10.0, served: 20.0 }, &mut latency);
        assert_eq!((queue.backlog(), queue.served, queue.arrived), (0.0, 30.0, 30.0));
        // Served evenly: 10 B that waited 0 to 1 s, then 20 B that waited 1 to 0 s.
        let percentiles = latency.percentiles(0.0);
        assert!((percentiles.p50 - 0.5).abs() < 1e-5 && (percentiles.max - 1.0).abs() < 1e-9);
    }

    #[test]
    fn nothing_waits_while_service_keeps_up() {
        let (mut queue, mut latency) = (Queue::default(), Latency::default());
        queue.run(0.0, 5.0, Rates { arriving: 3.0, served: 3.0 }, &mut latency);
        assert!(queue.is_empty());
        assert_eq!((latency.bytes(), latency.percentiles(0.0).max), (15.0, 0.0));
    }
}

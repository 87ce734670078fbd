//! Pure. What a partition received in the last seconds: a bounded ring of samples and the rates over it.

use std::collections::VecDeque;
use std::time::Duration;

use common::moment::Moment;

/// Samples lie at least so many to a window apart, but for the newest: enough for one a second in
/// 30 seconds.
const SLOTS: u64 = 36;

/// One more lies at each edge of the window, and one before it.
const SAMPLES_MAX: usize = 39;

/// How much a partition had received, and where its log ended, at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Milliseconds since boot.
    at: u64,
    /// Bytes since the partition is measured; never falls.
    written: u64,
    high_watermark: u64,
}

impl Sample {
    pub fn new(at: Moment, written: u64, high_watermark: u64) -> Self {
        Self { at: milliseconds(at.as_duration()), written, high_watermark }
    }
}

/// The samples of one span, one more at or before its beginning.
#[derive(Clone, Debug)]
pub struct Window {
    span_ms: u64,
    samples: VecDeque<Sample>,
}

impl Window {
    pub fn new(span: Duration) -> Self {
        Self { span_ms: milliseconds(span).max(1), samples: VecDeque::new() }
    }

    /// Takes the next sample. Two at the same moment, or one from before, count as the later one
    /// that came.
    pub fn push(&mut self, sample: Sample) {
        if self.samples.is_empty() {
            self.samples.reserve_exact(SAMPLES_MAX);
        }
        while self.samples.back().is_some_and(|last| last.at >= sample.at) {
            self.samples.pop_back();
        }
        // Only the newest may lie closer to the one before it: then it makes room for the next.
        let slot = self.span_ms.div_ceil(SLOTS);
        if let Some([before, newest]) = self.newest_two()
            && newest.at - before.at < slot
        {
            self.samples.pop_back();
        }
        let edge = sample.at.saturating_sub(self.span_ms);
        while self.samples.get(1).is_some_and(|second| second.at <= edge) {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
    }

    /// Bytes per second over the last `span` of the window, or over what there is of it. Nothing
    /// before there are two samples.
    pub fn rate(&self, span: Duration) -> Option<f64> {
        let (first, last) = self.ends()?;
        let from = last.at.saturating_sub(milliseconds(span)).max(first.at);
        let elapsed = last.at - from;
        let written = last.written as f64 - self.written_at(from)?;
        (elapsed > 0).then(|| written.max(0.0) * 1_000.0 / elapsed as f64)
    }

    /// Whether the samples reach back over the whole window.
    pub fn is_full(&self) -> bool {
        self.ends().is_some_and(|(first, last)| last.at - first.at >= self.span_ms)
    }

    /// How long before the last sample `offset` was the high watermark.
    ///
    /// Between two samples the high watermark is taken to rise evenly. For an offset from before the
    /// window the window's mean is taken to have held before it; if nothing was written in the
    /// window, the answer is the window's length: it was at least so long ago. Nothing before there
    /// are two samples, unless the offset is the high watermark now.
    pub fn age(&self, offset: u64) -> Option<Duration> {
        let newest = self.samples.back()?;
        if offset >= newest.high_watermark {
            return Some(Duration::ZERO);
        }
        let (first, last) = self.ends()?;
        let mut later = newest;
        for sample in self.samples.iter().rev().skip(1) {
            if sample.high_watermark <= offset {
                let passed = share(offset - sample.high_watermark, later, sample);
                return Some(seconds((last.at - sample.at) as f64 - passed));
            }
            later = sample;
        }
        let elapsed = (last.at - first.at) as f64;
        let records = last.high_watermark.saturating_sub(first.high_watermark) as f64;
        let missing = (first.high_watermark - offset) as f64;
        let before = if records > 0.0 { missing * elapsed / records } else { 0.0 };
        Some(seconds(elapsed + before))
    }

    fn newest_two(&self) -> Option<[Sample; 2]> {
        let newest = self.samples.len().checked_sub(1)?;
        Some([self.samples[newest.checked_sub(1)?], self.samples[newest]])
    }

    fn ends(&self) -> Option<(&Sample, &Sample)> {
        let ends = (self.samples.front()?, self.samples.back()?);
        (self.samples.len() >= 2).then_some(ends)
    }

    /// What had been written at a moment within the samples, taken to grow evenly between two.
    fn written_at(&self, at: u64) -> Option<f64> {
        let later = self.samples.partition_point(|sample| sample.at <= at);
        let before = self.samples.get(later.checked_sub(1)?)?;
        let Some(after) = self.samples.get(later) else { return Some(before.written as f64) };
        let part = (at - before.at) as f64 / (after.at - before.at) as f64;
        Some(before.written as f64 + part * (after.written - before.written) as f64)
    }
}

/// The milliseconds in which the high watermark rose by `records` from `sample` on.
fn share(records: u64, later: &Sample, sample: &Sample) -> f64 {
    let rise = later.high_watermark - sample.high_watermark;
    (later.at - sample.at) as f64 * records as f64 / rise as f64
}

fn seconds(milliseconds: f64) -> Duration {
    Duration::try_from_secs_f64(milliseconds / 1_000.0).unwrap_or_default()
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SPAN: Duration = Duration::from_secs(30);
    const BURST: Duration = Duration::from_secs(3);

    fn sample(milliseconds: u64, written: u64, high_watermark: u64) -> Sample {
        let at = Moment::since_boot(Duration::from_millis(milliseconds));
        Sample::new(at, written, high_watermark)
    }

    /// 1,000 bytes and 10 records a second for `seconds`, from second 0 on.
    fn steady(seconds: u64) -> Window {
        let mut window = Window::new(SPAN);
        for second in 0..=seconds {
            window.push(sample(second * 1_000, second * 1_000, second * 10));
        }
        window
    }

    #[test]
    fn a_step_reaches_the_window_rate_in_a_window_and_the_burst_rate_in_a_burst() {
        let mut window = steady(60);
        for second in 1..=30 {
            window.push(sample(60_000 + second * 1_000, 60_000 + second * 5_000, 600));
            let share = second as f64 / 30.0;
            let rate = window.rate(SPAN).unwrap();
            assert!((rate - (1_000.0 + 4_000.0 * share)).abs() < 1.0, "{rate} after {second} s");
            let expected =
                if second >= 3 { 5_000.0 } else { 1_000.0 + 4_000.0 * second as f64 / 3.0 };
            let burst = window.rate(BURST).unwrap();
            assert!((burst - expected).abs() < 1.0, "{burst} after {second} s");
        }
    }

    #[test]
    fn before_two_samples_there_is_no_rate_and_before_a_window_it_is_not_full() {
        let mut window = Window::new(SPAN);
        assert_eq!(window.rate(SPAN), None);
        window.push(sample(0, 5, 0));
        assert_eq!(window.rate(SPAN), None);
        window.push(sample(1_000, 1_005, 0));
        assert_eq!(window.rate(SPAN), Some(1_000.0));
        assert!(!window.is_full());
        assert!(!steady(29).is_full());
        assert!(steady(30).is_full());
    }

    #[test]
    fn after_a_gap_what_came_in_it_is_spread_over_it() {
        let mut window = steady(30);
        window.push(sample(90_000, 90_000, 900));
        assert_eq!(window.rate(SPAN), Some(1_000.0));
        assert_eq!(window.rate(BURST), Some(1_000.0));
    }

    #[test]
    fn however_often_samples_come_they_reach_back_over_the_window() {
        let mut window = Window::new(SPAN);
        for tenth in 0..=600 {
            window.push(sample(tenth * 100, tenth * tenth, 0));
            assert!(window.samples.len() <= SAMPLES_MAX, "memory is bounded");
        }
        assert!(window.is_full());
        // Over the last 30 s of 60, and interpolated between samples that are almost a second apart.
        let rate = window.rate(SPAN).unwrap();
        assert!((rate - (600.0 * 600.0 - 300.0 * 300.0) / 30.0).abs() < 5.0, "{rate}");
    }

    #[test]
    fn the_age_of_an_offset_counts_from_when_it_was_the_end_last() {
        let mut window = Window::new(SPAN);
        for (second, high_watermark) in [(0, 100), (5, 300), (10, 300), (20, 400)] {
            window.push(sample(second * 1_000, 0, high_watermark));
        }
        assert_eq!(window.age(300), Some(Duration::from_secs(10)));
    }

    #[test]
    fn the_age_of_an_offset_is_the_time_since_it_was_the_end() {
        let window = steady(60);
        assert_eq!(window.age(600), Some(Duration::ZERO));
        assert_eq!(window.age(700), Some(Duration::ZERO), "beyond the end nothing is old");
        assert_eq!(window.age(595), Some(Duration::from_millis(500)));
        assert_eq!(window.age(400), Some(Duration::from_secs(20)));
        assert_eq!(window.age(100), Some(Duration::from_secs(50)), "before the window by its mean");
    }

    #[test]
    fn while_nothing_is_written_an_offset_grows_older() {
        let mut window = steady(30);
        for second in 31..=40 {
            window.push(sample(second * 1_000, 30_000, 300));
        }
        assert_eq!(window.age(299), Some(Duration::from_millis(10_100)));
        for second in 41..=100 {
            window.push(sample(second * 1_000, 30_000, 300));
        }
        assert_eq!(window.age(299), Some(SPAN), "at least the window");
    }

    proptest! {
        /// However irregular the samples, a constant stream measures its rate within 1 %, and the
        /// memory stays bounded.
        #[test]
        fn a_constant_stream_measures_its_rate(
            intervals in prop::collection::vec(1u64..20_000, 2..200),
            rate in 1_000u64..100_000_000,
        ) {
            let mut window = Window::new(SPAN);
            let mut now = 0;
            for interval in intervals {
                now += interval;
                window.push(sample(now, rate * now / 1_000, now / 10));
                for span in [SPAN, BURST] {
                    let Some(measured) = window.rate(span) else { continue };
                    // Written bytes are whole: of a few milliseconds the last byte is a lot.
                    let slack = 0.01 * rate as f64 + 1_000.0;
                    prop_assert!((measured - rate as f64).abs() < slack, "{measured} for {rate}");
                }
                prop_assert!(window.samples.len() <= SAMPLES_MAX);
                prop_assert!(window.samples.capacity() <= 2 * SAMPLES_MAX);
            }
        }

        /// Whatever came, rates and ages are numbers and not negative.
        #[test]
        fn nothing_is_negative_or_no_number(
            samples in prop::collection::vec((any::<u32>(), 0u64..1 << 60, any::<u64>()), 0..60),
            offset in any::<u64>(),
        ) {
            let mut window = Window::new(SPAN);
            let mut written = 0;
            for (at, bytes, high_watermark) in samples {
                written = bytes.max(written);
                window.push(sample(u64::from(at) % 100_000, written, high_watermark));
                for span in [SPAN, BURST, Duration::ZERO] {
                    let rate = window.rate(span);
                    prop_assert!(rate.is_none_or(|rate| rate.is_finite() && rate >= 0.0), "{rate:?}");
                }
                let _age = window.age(offset);
            }
        }
    }
}

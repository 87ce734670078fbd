//! Pure. The metrics of a service: declared in one place, served as text, listed in the documents.

use std::fmt::Write as _;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Metric, Registry};

/// What a service's page of metrics says about one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricDoc {
    /// As it is served: `stowage_<service>_<noun>_<unit>[_total]`.
    pub name: String,
    /// Prometheus' word for it, such as `counter`.
    pub kind: &'static str,
    pub help: String,
}

/// All metrics of one service, whether they have a series yet or not.
#[derive(Debug)]
pub struct Metrics {
    prefix: String,
    registry: Registry,
    docs: Vec<MetricDoc>,
}

impl Metrics {
    /// Metrics called `stowage_<service>_…`.
    pub fn new(service: &str) -> Self {
        let prefix = format!("stowage_{service}");
        Self { registry: Registry::with_prefix(&prefix), prefix, docs: Vec::new() }
    }

    /// Declares a metric: `name` without prefix and, on a counter, without `_total`; `help` one
    /// sentence without a full stop. Gives `metric` back to be counted with.
    ///
    /// # Panics
    /// If the name was declared before: two metrics of one name are a mistake of the program.
    pub fn declare<M: Metric + Clone>(&mut self, name: &str, help: &str, metric: M) -> M {
        let (kind, suffix) = kind(metric.metric_type());
        let full_name = format!("{}_{name}{suffix}", self.prefix);
        assert!(
            self.docs.iter().all(|doc| doc.name != full_name),
            "the metric {full_name} was declared twice"
        );
        self.docs.push(MetricDoc { name: full_name, kind, help: help.into() });
        self.registry.register(name, help, metric.clone());
        metric
    }

    /// The present values in OpenMetrics' text format.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("writing to a string never fails");
        text
    }

    /// What was declared, in the order of declaration.
    pub fn docs(&self) -> &[MetricDoc] {
        &self.docs
    }

    /// The table of what was declared, in Markdown.
    pub fn to_markdown(&self) -> String {
        let mut page = String::from("| metric | kind | meaning |\n|---|---|---|\n");
        for MetricDoc { name, kind, help } in &self.docs {
            writeln!(page, "| `{name}` | {kind} | {help} |")
                .expect("writing to a string never fails");
        }
        page
    }
}

fn kind(metric_type: MetricType) -> (&'static str, &'static str) {
    match metric_type {
        MetricType::Counter => ("counter", "_total"),
        MetricType::Gauge => ("gauge", ""),
        MetricType::Histogram => ("histogram", ""),
        MetricType::Info => ("info", "_info"),
        MetricType::Unknown => ("unknown", ""),
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::counter::Counter;
    use prometheus_client::metrics::family::Family;
    use prometheus_client::metrics::gauge::Gauge;

    use super::*;

    #[test]
    fn what_is_documented_is_what_is_served() {
        let mut metrics = Metrics::new("monitor");
        let turns: Counter = metrics.declare("turns", "Turns of the loop", Counter::default());
        let lag = Family::<[(&str, &str); 1], Gauge>::default();
        let lag = metrics.declare("lag_records", "Lag, by topic", lag);
        turns.inc();
        lag.get_or_create(&[("topic", "orders")]).set(7);
        let text = metrics.encode();
        assert!(text.contains("stowage_monitor_turns_total 1\n"), "{text}");
        assert!(text.contains("stowage_monitor_lag_records{topic=\"orders\"} 7\n"), "{text}");
        assert_eq!(
            metrics.to_markdown(),
            "| metric | kind | meaning |\n|---|---|---|\n\
             | `stowage_monitor_turns_total` | counter | Turns of the loop |\n\
             | `stowage_monitor_lag_records` | gauge | Lag, by topic |\n"
        );
    }

    #[test]
    fn a_family_without_series_is_documented() {
        let mut metrics = Metrics::new("consumer");
        metrics.declare("owned", "Owned", Family::<[(&str, &str); 1], Gauge>::default());
        assert_eq!(metrics.docs()[0].name, "stowage_consumer_owned");
    }

    #[test]
    #[should_panic(expected = "declared twice")]
    fn a_name_is_declared_once() {
        let mut metrics = Metrics::new("monitor");
        metrics.declare("turns", "Turns", Counter::<u64>::default());
        metrics.declare("turns", "Turns", Counter::<u64>::default());
    }
}

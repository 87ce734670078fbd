//! The printed parts of the documents are in step with the flags and metrics of the consumer.

use common::docs::flags;
use common::docs_page::assert_in_step;
use common::metrics::Metrics;
use consumer::args::program;
use consumer::metrics::ConsumerMetrics;

#[test]
fn the_page_of_flags_is_in_step() {
    assert_in_step("configuration.md", "consumer", &flags(program()));
}

#[test]
fn the_page_of_metrics_is_in_step() {
    let mut metrics = Metrics::new("consumer");
    drop(ConsumerMetrics::declare(&mut metrics));
    assert_in_step("metrics.md", "consumer", &metrics.to_markdown());
}

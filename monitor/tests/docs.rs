//! The printed parts of the documents say what the code does.

use clap::CommandFactory;
use common::docs::flags;
use common::docs_page::assert_in_step;
use common::metrics::Metrics;
use monitor::args::Program;
use monitor::metrics::MonitorMetrics;

#[test]
fn the_page_of_flags_is_in_step() {
    assert_in_step("configuration.md", "monitor", &flags(Program::command()));
}

#[test]
fn the_page_of_metrics_is_in_step() {
    let mut metrics = Metrics::new("monitor");
    MonitorMetrics::declare(&mut metrics);
    assert_in_step("metrics.md", "monitor", &metrics.to_markdown());
}

//! The pages that are printed from the code are in step with it.

use common::docs::flags;
use common::docs_page::assert_in_step;
use common::metrics::Metrics;
use orchestrator::args::program;
use orchestrator::metrics::OrchestratorMetrics;

#[test]
fn the_configuration_page_lists_every_flag() {
    assert_in_step("configuration.md", "orchestrator", &flags(program()));
}

#[test]
fn the_metrics_page_lists_every_metric() {
    let mut metrics = Metrics::new("orchestrator");
    OrchestratorMetrics::declare(&mut metrics);
    assert_in_step("metrics.md", "orchestrator", &metrics.to_markdown());
}

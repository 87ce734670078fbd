//! IO. Fuzz target: what an orchestrator keeps: decisions, proposals, lessons.
#![no_main]

use common::messages::Extra;
use libfuzzer_sys::fuzz_target;
use orchestrator::capacity::Histories;
use orchestrator::decision::JournalLine;
use orchestrator::ledger::kept;
use orchestrator::operations::Operations;
use orchestrator::plan::plan;
use orchestrator::plan::snapshot::CONSUMERS_MAX;
use orchestrator::proposal::Proposal;

fuzz_target!(|text: &str| {
    if let Ok(line) = serde_json::from_str::<JournalLine>(text)
        && line.snapshot.partitions.len() < 100
        && line.snapshot.consumers.len() < 100
        && line.snapshot.limits.consumers_max <= CONSUMERS_MAX
    {
        let _ = plan(&line.snapshot);
    }
    let extra = Extra::from([("x".to_owned(), text.to_owned())]);
    let _ = kept::<Operations>(&extra, "x");
    let _ = kept::<Histories>(&extra, "x");
    let _ = kept::<Proposal>(&extra, "x");
});

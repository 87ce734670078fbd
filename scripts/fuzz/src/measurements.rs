//! IO. Fuzz target: what stands on the monitor topic.
#![no_main]

use std::time::Duration;

use common::messages::measurement::Measurement;
use common::rate::BytesPerSecond;
use libfuzzer_sys::fuzz_target;
use orchestrator::demand::{DemandPolicy, Demands, RATE_MAX};

const POLICY: DemandPolicy =
    DemandPolicy { catch_up: Duration::from_secs(60), plan_capacity: BytesPerSecond(1_000) };

fuzz_target!(|data: &[u8]| {
    let Ok(measurement) = serde_json::from_slice::<Measurement>(data) else { return };
    let mut demands = Demands::default();
    demands.take(&measurement, &POLICY);
    demands.take(&measurement, &POLICY);
    for measured in &measurement.partitions {
        let demand = demands.demand(&measured.topic_partition());
        assert!(demand.steady <= demand.peak && demand.peak <= RATE_MAX);
    }
});

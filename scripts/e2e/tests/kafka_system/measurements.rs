//! Measurements that cannot be true, and monitors that disagree: nobody moves for them, and people learn of it.

use common::clock::Clock;
use common::messages::measurement::{Measurement, MeasurementState, PartitionMeasurement};
use common::rate::BytesPerSecond;
use serde_json::json;

use crate::crew::{CAPACITY, Crew};
use crate::flow::Flow;
use crate::stage::Stage;

const PARTITIONS: u32 = 6;
/// Longer than a fleet takes here to shrink by what it believes, and a monitor to be followed.
const LIES_MS: u64 = 12_000;

/// Another monitor says now that nothing is written, now that everything is; and some of what stands
/// in its topic is nonsense. The fleet neither shrinks nor grows.
#[test]
fn lies_and_nonsense_change_nothing_and_are_counted() {
    let Some(stage) = Stage::set("system-measurements") else { return };
    let crew = Crew::start(stage, PARTITIONS);
    let flow = Flow::start(&crew.stage, &crew.topic, PARTITIONS, CAPACITY * 2);
    crew.wait_for_serving("several are needed", |count| count > 1);
    let began = crew.status().at;
    let (mut sequence, nonsense) = (0, nonsense());
    let (fewest, most) = crew.wait_for_range(|crew, status| {
        sequence += 1;
        let rate = if sequence % 2 == 0 { 0 } else { u64::MAX };
        let lie = serde_json::to_vec(&lie(crew, sequence, rate)).unwrap();
        let said: Vec<&[u8]> =
            [&lie[..]].into_iter().chain(nonsense.iter().map(String::as_bytes)).collect();
        crew.publish(&said);
        status.at.saturating_ms_since(began) > LIES_MS
    });
    assert!(fewest > 1 && most <= fewest + 2, "{fewest} to {most} consumers");
    let counted = |series: &str| {
        let metrics = crew.system.metrics().unwrap();
        let line = metrics.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok());
        line.unwrap_or(0_u64)
    };
    let malformed =
        counted(r#"stowage_orchestrator_malformed_records_total{class="measurements"}"#);
    let wanted = sequence * u64::try_from(nonsense.len()).unwrap();
    assert!(malformed > 0 && malformed <= wanted, "{malformed} of {wanted}");
    assert_eq!(counted("stowage_orchestrator_anomalies_total"), 1, "the other monitor, said once");
    flow.stop();
    crew.end_soundly();
}

/// What another monitor says of all partitions, and of one that does not exist.
fn lie(crew: &Crew, sequence: u64, rate: u64) -> Measurement {
    let of = |partition| PartitionMeasurement {
        topic: crew.topic.clone(),
        partition,
        rate: BytesPerSecond(rate),
        filtered: BytesPerSecond(rate),
        burst: BytesPerSecond(rate),
        size: rate,
        log_start: 0,
        high_watermark: rate,
        committed: Some(0),
        lag: Some(rate),
        lag_seconds: None,
        bytes_per_record: 1.0,
        state: MeasurementState::Steady,
    };
    Measurement {
        // From the future.
        measured_at: Clock.timestamp().0 + 86_400_000,
        monitor: "elsewhere:1-0".into(),
        sequence,
        chunk: 0,
        chunks: 1,
        interval_ms: 1_000,
        window_ms: 30_000,
        partitions: (0..=PARTITIONS).map(of).collect(),
    }
}

/// Negative, no number, too large for one, cut off.
fn nonsense() -> [String; 4] {
    let with = |rate: serde_json::Value| {
        json!({
            "measured_at": 0, "monitor": "m", "sequence": 1, "chunk": 0, "chunks": 1,
            "interval_ms": 1_000, "window_ms": 30_000,
            "partitions": [{ "topic": "orders", "partition": 0, "rate": rate }],
        })
        .to_string()
    };
    let cut = with(json!(1)).replace("]}", "");
    [with(json!(-1)), with(json!("NaN")), with(json!(1e300)), cut]
}

//! Pure. What the double of BigQuery is told to do for each kind of fault, until it is lifted.

use serde_json::{Value, json};

use super::fault::Kind;

/// The calls of consumers over gRPC, and over REST. Those of the verification are left alone.
const GRPC: [&str; 3] = ["AppendRows", "CreateWriteStream", "FinalizeWriteStream"];
const REST: [&str; 4] = ["jobs.query", "tables.get", "tables.insert", "tables.patch"];
/// A fraction of what is produced at the peak.
const THROTTLED_ROWS_PER_SECOND: u64 = 300;
const LATE_MS: u64 = 2_000;

/// A list as `scripts/bigquery` describes it; `None` for what is not done to BigQuery.
pub fn list(kind: Kind) -> Option<Value> {
    let all = |rpcs: &[&str], action: &Value| -> Vec<Value> {
        let fault = |rpc: &&str| json!({"rpc": rpc, "times": 0, "action": action});
        rpcs.iter().map(fault).collect()
    };
    let both = |grpc: Value, rest: Value| [all(&GRPC, &grpc), all(&REST, &rest)].concat();
    let append =
        |times: u64, action: Value| json!({"rpc": GRPC[0], "times": times, "action": action});
    let faults = match kind {
        Kind::SinkLoses => both(json!("lose"), json!("lose")),
        Kind::SinkHangs => both(json!("hang"), json!("hang")),
        Kind::SinkResets => both(json!("reset"), json!("reset_before")),
        Kind::SinkRefuses => {
            let page = json!({"http": {"status": 503, "body": "html"}});
            both(json!({"refuse": {"code": "UNAVAILABLE"}}), page)
        }
        Kind::SinkThrottles => {
            let rate = json!({"rows_per_second": THROTTLED_ROWS_PER_SECOND});
            vec![append(0, json!({"throttle": rate}))]
        }
        Kind::SinkForgets => vec![append(1, json!("forget_stream"))],
        Kind::SinkLags => {
            let late = append(0, json!({"late_end": {"ms": LATE_MS}}));
            vec![append(4, json!("reset")), late]
        }
        _ => return None,
    };
    Some(faults.into())
}

#[cfg(test)]
mod tests {
    use bigquery_double::fault::Fault;

    use super::*;
    use crate::chaos::fault::SinkKind;

    #[test]
    fn the_double_understands_every_fault_that_is_its_own() {
        for kind in Kind::ALL {
            let is_its_own = kind.is_of(SinkKind::BigQuery) && !kind.is_of(SinkKind::Parquet);
            let faults = list(kind).map(serde_json::from_value::<Vec<Fault>>);
            assert_eq!(faults.as_ref().is_some(), is_its_own, "{kind}");
            assert!(faults.is_none_or(|faults| faults.is_ok_and(|faults| !faults.is_empty())));
        }
    }
}

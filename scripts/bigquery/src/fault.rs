//! Pure. Faults on request: a list, from which each call is given the first one that is meant for it.

use std::time::Duration;

use gcp_bigquery_client::google::cloud::bigquery::storage::v1::storage_error::StorageErrorCode;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tonic::Code;

use crate::names::{StreamName, TableName};
use crate::refusal::{Refusal, code_name, code_named};

/// The message of a refusal that was given none.
const ON_REQUEST: &str = "refused on request";

/// Without a selector it is meant for every call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// `AppendRows`, `CreateWriteStream`, `insertAll`, `tables.patch`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rpc: Option<String>,
    /// Part of the stream's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<String>,
    /// `T`, `D.T`, `P.D.T` or the path of the table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// How many calls it lets pass first.
    #[serde(default)]
    pub after: u64,
    /// How many calls it strikes, 0 for all. Without it: one, and all where the action is a condition
    /// (`throttle`, `abort_idle`, `late_end`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u64>,
    pub action: Action,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Action {
    /// Waits before the call is applied.
    Delay { ms: u64 },
    /// Applies the call and answers late.
    DelayAfter { ms: u64 },
    /// Applies the call, then ends it with UNAVAILABLE.
    Lose,
    /// Applies the call and never answers.
    Hang,
    /// Resets the TCP connection before the call is applied.
    ResetBefore,
    /// Applies the call and resets the TCP connection.
    Reset,
    /// Ends the call with a code.
    Refuse {
        code: NamedCode,
        #[serde(default = "on_request", skip_serializing_if = "is_on_request")]
        message: String,
    },
    /// Answers an append with an error; its connection goes on.
    RefuseInBand {
        code: NamedCode,
        #[serde(default)]
        storage: NamedStorageCode,
    },
    /// RESOURCE_EXHAUSTED above so many rows per second.
    Throttle { rows_per_second: u64 },
    /// Ends connections that are idle for so long with ABORTED.
    AbortIdle { ms: u64 },
    /// The stream is gone.
    ForgetStream,
    /// A new connection sees the end before the last append for so long.
    LateEnd { ms: u64 },
    /// An answer of REST.
    Http {
        status: u16,
        #[serde(default)]
        body: HttpBody,
        /// Of the error in a JSON body.
        #[serde(default = "backend_error")]
        reason: String,
    },
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HttpBody {
    #[default]
    Json,
    Html,
    Empty,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NamedCode(pub Code);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NamedStorageCode(pub StorageErrorCode);

/// What a fault may be chosen by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    pub rpc: &'static str,
    pub table: Option<TableName>,
    pub stream: Option<StreamName>,
    /// In an append.
    pub rows: u64,
    /// Since when the call's connection is open.
    pub opened: Timestamp,
}

/// The faults that are left, in the order in which they were posted.
#[derive(Clone, Debug, Default)]
pub struct Faults(Vec<Armed>);

#[derive(Clone, Debug)]
struct Armed {
    fault: Fault,
    passed: u64,
    struck: u64,
    /// When the rows that were let through are within the rate again.
    busy_until: Timestamp,
}

impl Fault {
    fn is_meant_for(&self, call: &Call) -> bool {
        let rpc = self.rpc.as_deref().is_none_or(|rpc| rpc == call.rpc);
        let stream = self.stream.as_deref().is_none_or(|part| {
            call.stream.as_ref().is_some_and(|stream| stream.to_string().contains(part))
        });
        let table = self
            .table
            .as_deref()
            .is_none_or(|name| call.table.as_ref().is_some_and(|table| table.is_called(name)));
        rpc && stream && table
    }

    fn times(&self) -> u64 {
        self.times.unwrap_or(match self.action {
            Action::Throttle { .. } | Action::AbortIdle { .. } | Action::LateEnd { .. } => 0,
            _ => 1,
        })
    }
}

impl Faults {
    pub fn add(&mut self, faults: Vec<Fault>) {
        let arm = |fault| Armed { fault, passed: 0, struck: 0, busy_until: Timestamp::MIN };
        self.0.extend(faults.into_iter().map(arm));
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }

    pub fn left(&self) -> impl Iterator<Item = &Fault> {
        self.0.iter().map(|armed| &armed.fault)
    }

    /// The call is shown to the faults in order until one takes it. A fault that is meant for it and
    /// still lets calls pass counts it and leaves it to the next ones.
    pub fn take(&mut self, call: &Call, now: Timestamp) -> Option<Action> {
        let at = self.0.iter_mut().position(|armed| armed.strikes(call, now))?;
        let armed = &mut self.0[at];
        armed.struck += 1;
        let action = armed.fault.action.clone();
        if armed.struck == armed.fault.times() {
            self.0.remove(at);
        }
        Some(action)
    }

    /// After how much silence a connection like this one ends, where a fault says so.
    pub fn idle_limit(&self, call: &Call) -> Option<Duration> {
        self.0.iter().find_map(|armed| match armed.fault.action {
            Action::AbortIdle { ms } if armed.fault.is_meant_for(call) => {
                Some(Duration::from_millis(ms))
            }
            _ => None,
        })
    }
}

impl Armed {
    fn strikes(&mut self, call: &Call, now: Timestamp) -> bool {
        if matches!(self.fault.action, Action::AbortIdle { .. }) || !self.fault.is_meant_for(call) {
            return false;
        }
        if self.passed < self.fault.after {
            self.passed += 1;
            return false;
        }
        match self.fault.action {
            Action::Throttle { rows_per_second } => self.is_above(rows_per_second, call.rows, now),
            Action::LateEnd { ms } => {
                let late = SignedDuration::from_millis(i64::try_from(ms).unwrap_or(i64::MAX));
                now.duration_since(call.opened) < late
            }
            _ => true,
        }
    }

    /// One batch may go while none is being paid for; its rows then take their time.
    fn is_above(&mut self, rows_per_second: u64, rows: u64, now: Timestamp) -> bool {
        if rows_per_second == 0 || now < self.busy_until {
            return true;
        }
        let micros = rows.saturating_mul(1_000_000) / rows_per_second;
        let cost = SignedDuration::from_micros(i64::try_from(micros).unwrap_or(i64::MAX));
        self.busy_until = now.saturating_add(cost).unwrap_or(Timestamp::MAX);
        false
    }
}

impl Action {
    /// As it is posted, without its values.
    pub fn name(&self) -> String {
        let posted = serde_json::to_value(self).unwrap_or_default();
        let name =
            posted.as_str().or_else(|| posted.as_object()?.keys().next().map(String::as_str));
        name.unwrap_or_default().into()
    }

    /// The refusal that takes the place of an append or another gRPC call.
    pub fn refusal(&self, stream: &str) -> Option<Refusal> {
        match self {
            Self::Refuse { code, message } => {
                Some(Refusal::new(code.0, message).ending_the_connection())
            }
            Self::RefuseInBand { code, storage } => {
                Some(Refusal::new(code.0, ON_REQUEST).with_storage(storage.0, stream))
            }
            Self::Throttle { rows_per_second } => {
                let message = format!("Exceeds {rows_per_second} rows per second");
                Some(Refusal::new(Code::ResourceExhausted, message))
            }
            Self::Http { .. } => Some(Refusal::new(Code::Unavailable, ON_REQUEST)),
            _ => None,
        }
    }
}

impl TryFrom<String> for NamedCode {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        code_named(&name).map(Self).ok_or_else(|| format!("'{name}' is no gRPC code"))
    }
}

impl From<NamedCode> for String {
    fn from(code: NamedCode) -> Self {
        code_name(code.0).into()
    }
}

impl Default for NamedStorageCode {
    fn default() -> Self {
        Self(StorageErrorCode::Unspecified)
    }
}

impl TryFrom<String> for NamedStorageCode {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let code = StorageErrorCode::from_str_name(&name);
        code.map(Self).ok_or_else(|| format!("'{name}' is no code of a StorageError"))
    }
}

impl From<NamedStorageCode> for String {
    fn from(code: NamedStorageCode) -> Self {
        code.0.as_str_name().into()
    }
}

fn on_request() -> String {
    ON_REQUEST.into()
}

fn is_on_request(message: &String) -> bool {
    message == ON_REQUEST
}

fn backend_error() -> String {
    "backendError".into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn call(rpc: &'static str, stream: &str) -> Call {
        let table = TableName::new("p", "d", "t");
        Call {
            rpc,
            stream: Some(StreamName::new(table.clone(), stream.into())),
            table: Some(table),
            rows: 10,
            opened: Timestamp::UNIX_EPOCH,
        }
    }

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millisecond(ms).unwrap()
    }

    fn faults(posted: serde_json::Value) -> Faults {
        let mut faults = Faults::default();
        faults.add(serde_json::from_value(posted).unwrap());
        faults
    }

    #[test]
    fn the_first_that_matches_is_taken() {
        let mut faults = faults(json!([
            {"rpc": "CreateWriteStream", "action": "lose"},
            {"stream": "other", "action": "hang"},
            {"table": "x.t", "action": "hang"},
            {"rpc": "AppendRows", "stream": "abc", "table": "d.t", "action": {"delay": {"ms": 5}}},
            {"action": "reset"},
        ]));
        let call = call("AppendRows", "0abc0");
        assert_eq!(faults.take(&call, at(0)), Some(Action::Delay { ms: 5 }));
        assert_eq!(faults.take(&call, at(0)), Some(Action::Reset));
        assert_eq!(faults.take(&call, at(0)), None);
        assert_eq!(faults.left().count(), 3);
    }

    proptest! {
        /// A fault lets `after` calls pass and strikes `times` calls, whatever else is going on.
        #[test]
        fn it_strikes_as_often_as_asked(after in 0..5u64, times in 1..5u64, other in prop::collection::vec(any::<bool>(), 0..30)) {
            let mut faults = faults(json!([{"rpc": "AppendRows", "after": after, "times": times, "action": "lose"}]));
            let mut appends = 0;
            for is_other in other {
                let rpc = if is_other { "FlushRows" } else { "AppendRows" };
                let struck = faults.take(&call(rpc, "s"), at(0)).is_some();
                prop_assert_eq!(struck, !is_other && (after..after + times).contains(&appends));
                appends += u64::from(!is_other);
            }
        }
    }

    #[test]
    fn a_throttle_lets_the_rate_through() {
        let mut faults = faults(json!([{"action": {"throttle": {"rows_per_second": 100}}}]));
        let refused: Vec<_> = (0..10)
            .map(|tick| faults.take(&call("AppendRows", "s"), at(tick * 50)).is_some())
            .collect();
        let one_in_two = [false, true].repeat(5);
        assert_eq!(refused, one_in_two, "10 rows cost 100 ms");
    }

    #[test]
    fn conditions_stay() {
        let mut faults = faults(json!([
            {"action": {"abort_idle": {"ms": 7}}}, {"rpc": "AppendRows", "action": {"late_end": {"ms": 100}}},
        ]));
        let call = call("AppendRows", "s");
        for _ in 0..3 {
            assert_eq!(faults.take(&call, at(99)), Some(Action::LateEnd { ms: 100 }));
        }
        assert_eq!(faults.take(&call, at(100)), None);
        assert_eq!(faults.idle_limit(&call), Some(Duration::from_millis(7)));
    }

    #[test]
    fn what_is_no_fault_is_refused() {
        for wrong in [
            json!([{"action": "explode"}]),
            json!([{"action": {"refuse": {"code": "NO_CODE"}}}]),
            json!([{"acton": "lose"}]),
            json!([{"rcp": "AppendRows", "action": "lose"}]),
            json!([{"action": {"delay": {"ms": -1}}}]),
        ] {
            assert!(serde_json::from_value::<Vec<Fault>>(wrong.clone()).is_err(), "{wrong}");
        }
        let whole = json!([{"rpc": "AppendRows", "after": 1, "times": 0,
            "action": {"refuse_in_band": {"code": "ABORTED", "storage": "STREAM_FINALIZED"}}}]);
        let read: Vec<Fault> = serde_json::from_value(whole.clone()).unwrap();
        assert_eq!(serde_json::to_value(read).unwrap(), whole);
    }
}

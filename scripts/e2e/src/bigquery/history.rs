//! Pure. What was done to write streams, by the log of the double: nothing is appended to one that was ended, or that
//! nobody was told of.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;

const PROBLEMS_MAX: usize = 20;
/// How the names of default streams end.
const DEFAULT_STREAM: &str = "/_default";

/// A line of the log.
#[derive(Clone, Debug, Deserialize)]
pub struct Call {
    /// Counts all calls from 1.
    number: u64,
    time: String,
    rpc: String,
    #[serde(default)]
    stream: Option<String>,
    #[serde(default)]
    rows: Option<u64>,
    code: String,
    #[serde(default)]
    fault: Option<String>,
}

/// What is known of all streams, call by call.
#[derive(Clone, Debug, Default)]
pub struct History {
    last: u64,
    streams: BTreeMap<String, Life>,
    /// Calls that a fault struck, by call and fault.
    struck: BTreeMap<String, u64>,
    problems: Vec<String>,
}

#[derive(Clone, Debug, Default)]
struct Life {
    first_append_ms: Option<i64>,
    is_final: bool,
    appends: u64,
    rows: u64,
    refused: u64,
}

/// What came of all streams, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    pub streams: u64,
    pub finalized: u64,
    pub appends: u64,
    pub rows: u64,
    /// Appends to streams that were ended before: each stored nothing.
    pub refused_as_finalized: u64,
}

impl History {
    /// The number of the last call that was taken; the next ones come after it.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// Takes the next call of the log.
    pub fn take(&mut self, call: &Call) {
        if call.number != self.last + 1 {
            let (from, to) = (self.last + 1, call.number);
            self.problem(format!("calls {from} to {to} fell out of the log before they were read"));
        }
        self.last = call.number;
        if let Some(fault) = &call.fault {
            *self.struck.entry(format!("{} {fault}", call.rpc)).or_default() += 1;
        }
        let Some(stream) = &call.stream else { return };
        let is_done = call.code == "OK";
        match call.rpc.as_str() {
            "FinalizeWriteStream" if is_done => self.life(stream).is_final = true,
            "AppendRows" if is_done => self.append(stream, call),
            "AppendRows" if call.code == "INVALID_ARGUMENT" => {
                let life = self.life(stream);
                life.refused += u64::from(life.is_final);
            }
            _ => {}
        }
    }

    /// What is wrong, `announced` being the streams that consumers named, each with the time of the first message that
    /// did. Nobody has to be told of a default stream.
    pub fn problems(&self, announced: &BTreeMap<String, i64>) -> Vec<String> {
        let mut problems = self.problems.clone();
        let created = self.streams.iter().filter(|(name, _)| !name.ends_with(DEFAULT_STREAM));
        for (stream, life) in created {
            let (Some(first), room) = (life.first_append_ms, PROBLEMS_MAX > problems.len()) else {
                continue;
            };
            match announced.get(stream) {
                Some(at) if *at <= first => {}
                Some(at) if room => {
                    problems.push(format!("{stream}: announced {} ms too late", at - first));
                }
                None if room => problems.push(format!("{stream}: written to and never announced")),
                _ => {}
            }
        }
        problems
    }

    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for life in self.streams.values() {
            totals.streams += 1;
            totals.finalized += u64::from(life.is_final);
            totals.appends += life.appends;
            totals.rows += life.rows;
            totals.refused_as_finalized += life.refused;
        }
        totals
    }

    /// How often which fault struck which call.
    pub fn struck(&self) -> &BTreeMap<String, u64> {
        &self.struck
    }

    fn append(&mut self, stream: &str, call: &Call) {
        let at = call.time.parse::<Timestamp>().map(Timestamp::as_millisecond);
        let number = call.number;
        let life = self.life(stream);
        life.appends += 1;
        life.rows += call.rows.unwrap_or(0);
        if let Ok(at) = at {
            life.first_append_ms.get_or_insert(at);
        }
        if life.is_final {
            self.problem(format!("{stream}: call {number} appended to it after its end"));
        }
        if at.is_err() {
            self.problem(format!("call {number} has no time that could be read: {}", call.time));
        }
    }

    fn life(&mut self, stream: &str) -> &mut Life {
        self.streams.entry(stream.to_owned()).or_default()
    }

    fn problem(&mut self, problem: String) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(problem);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const AT_MS: i64 = 1_772_366_400_500;

    fn history(calls: &[(&str, &str)]) -> History {
        let mut history = History::default();
        for ((rpc, code), number) in calls.iter().zip(1_u64..) {
            let call = json!({"number": number, "time": "2026-03-01T12:00:00.500000Z", "rpc": rpc,
                "stream": "s", "rows": 2, "code": code});
            history.take(&serde_json::from_value(call).unwrap());
        }
        history
    }

    fn announced(at: i64) -> BTreeMap<String, i64> {
        BTreeMap::from([("s".into(), at)])
    }

    #[test]
    fn a_stream_that_was_announced_written_to_and_ended_is_sound() {
        let history = history(&[
            ("CreateWriteStream", "OK"),
            ("AppendRows", "OK"),
            ("AppendRows", "ALREADY_EXISTS"),
            ("FinalizeWriteStream", "OK"),
            ("FinalizeWriteStream", "OK"),
            ("AppendRows", "INVALID_ARGUMENT"),
        ]);
        assert_eq!(history.problems(&announced(AT_MS)), Vec::<String>::new());
        let (streams, finalized, appends, rows) = (1, 1, 1, 2);
        let refused_as_finalized = 1;
        let totals = Totals { streams, finalized, appends, rows, refused_as_finalized };
        assert_eq!(history.totals(), totals);
    }

    #[test]
    fn an_append_after_the_end_is_found() {
        let late = history(&[("FinalizeWriteStream", "OK"), ("AppendRows", "OK")]);
        assert_eq!(late.problems(&announced(0)), ["s: call 2 appended to it after its end"]);
        let refused = history(&[("FinalizeWriteStream", "UNAVAILABLE"), ("AppendRows", "OK")]);
        assert!(refused.problems(&announced(0)).is_empty(), "what was not done ended nothing");
    }

    #[test]
    fn a_stream_that_was_not_announced_in_time_is_found() {
        let history = history(&[("AppendRows", "OK")]);
        assert_eq!(history.problems(&announced(AT_MS + 1)), ["s: announced 1 ms too late"]);
        let never = history.problems(&BTreeMap::new());
        assert_eq!(never, ["s: written to and never announced"]);
        let mut of_all = History::default();
        let call = json!({"number": 1, "time": "2026-03-01T12:00:00.500000Z", "rpc": "AppendRows",
            "stream": "t/streams/_default", "rows": 2, "code": "OK"});
        of_all.take(&serde_json::from_value(call).unwrap());
        assert!(of_all.problems(&BTreeMap::new()).is_empty(), "a default stream is nobody's");
    }

    #[test]
    fn a_log_with_a_hole_proves_nothing() {
        let mut history = history(&[("AppendRows", "OK")]);
        let call = json!({"number": 5, "time": "", "rpc": "jobs.query", "code": "200"});
        history.take(&serde_json::from_value(call).unwrap());
        let problems = history.problems(&announced(0));
        assert_eq!(problems, ["calls 2 to 5 fell out of the log before they were read"]);
    }
}

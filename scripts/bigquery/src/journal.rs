//! Pure. What happened: the last calls one by one, and counters of all of them.

use std::collections::{BTreeMap, VecDeque};

use jiff::Timestamp;
use serde::{Serialize, Serializer};

const EVENTS_MAX: usize = 10_000;

/// One call, or one request of an AppendRows connection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Event {
    /// Counts all calls from 1; set by the journal.
    pub number: u64,
    #[serde(serialize_with = "text")]
    pub time: Timestamp,
    pub rpc: &'static str,
    /// Numbers the AppendRows connections.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<usize>,
    /// The header `x-goog-request-params`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub params: Option<String>,
    /// The text of a query, and whether it may be answered from the cache.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub use_query_cache: Option<bool>,
    /// The code of gRPC, or the status of HTTP; what the service decided, even if the answer was lost.
    pub code: String,
    /// The fault that struck the call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}

#[derive(Clone, Debug, Default)]
pub struct Journal {
    events: VecDeque<Event>,
    /// By call and code.
    counters: BTreeMap<&'static str, BTreeMap<String, u64>>,
    max_request_bytes: usize,
    recorded: u64,
}

impl Journal {
    pub fn record(&mut self, mut event: Event) {
        self.recorded += 1;
        event.number = self.recorded;
        let by_code = self.counters.entry(event.rpc).or_default();
        *by_code.entry(event.code.clone()).or_default() += 1;
        self.max_request_bytes = self.max_request_bytes.max(event.bytes.unwrap_or(0));
        if self.events.len() == EVENTS_MAX {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }

    /// Those that are kept of the calls after the one of that number.
    pub fn events_after(&self, number: u64) -> impl Iterator<Item = &Event> {
        self.events.iter().filter(move |event| event.number > number)
    }

    pub fn events(&self) -> impl Iterator<Item = &Event> {
        self.events.iter()
    }

    pub fn counters(&self) -> &BTreeMap<&'static str, BTreeMap<String, u64>> {
        &self.counters
    }

    pub fn max_request_bytes(&self) -> usize {
        self.max_request_bytes
    }
}

fn text<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{time:.6}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_events_are_kept_and_all_are_counted() {
        let mut journal = Journal::default();
        for bytes in 0..EVENTS_MAX + 5 {
            let bytes = Some(bytes);
            journal.record(Event {
                rpc: "AppendRows",
                bytes,
                code: "OK".into(),
                ..Event::default()
            });
        }
        assert_eq!(journal.events().count(), EVENTS_MAX);
        assert_eq!(journal.events().next().and_then(|event| event.bytes), Some(5));
        assert_eq!(journal.counters()["AppendRows"]["OK"], EVENTS_MAX as u64 + 5);
        assert_eq!(journal.max_request_bytes(), EVENTS_MAX + 4);
    }
}

//! Pure. One AppendRows connection: what later requests may leave out, and which columns it was told of.

use std::collections::BTreeMap;

use gcp_bigquery_client::google::cloud::bigquery::storage::v1 as storage;
use jiff::Timestamp;
use prost::Message as _;
use prost_reflect::MessageDescriptor;
use storage::append_rows_request::{MissingValueInterpretation, Rows};
use storage::append_rows_response::{AppendResult, Response};
use storage::{AppendRowsRequest, AppendRowsResponse};

use crate::names::StreamName;
use crate::refusal::Refusal;
use crate::row::encoded::{Missing, compile};
use crate::schema;
use crate::warehouse::append::{Append, Appended};
use crate::warehouse::streams::no_such_stream;

/// Several default streams may share a connection; a stream that was created has one of its own. By Google's
/// documentation a request that changes the stream brings a schema with it, and from then on each names its stream.
#[derive(Debug)]
pub struct Connection {
    pub opened: Timestamp,
    stream: Option<StreamName>,
    /// That of the last stream.
    schema: Option<Result<MessageDescriptor, String>>,
    has_changed_streams: bool,
    /// The version of each table's columns that the client was told of, or began with.
    announced: BTreeMap<StreamName, usize>,
    trace_id: Option<String>,
}

impl Connection {
    pub fn new(opened: Timestamp) -> Self {
        Self {
            opened,
            stream: None,
            schema: None,
            has_changed_streams: false,
            announced: BTreeMap::new(),
            trace_id: None,
        }
    }

    /// The stream of the last request.
    pub fn stream(&self) -> Option<&StreamName> {
        self.stream.as_ref()
    }

    pub fn trace_id(&self) -> &str {
        self.trace_id.as_deref().unwrap_or_default()
    }

    /// Fills in what the request leaves out.
    pub fn complete(&mut self, request: AppendRowsRequest) -> Result<Append, Refusal> {
        let request_bytes = request.encoded_len();
        self.trace_id.get_or_insert_with(|| request.trace_id.clone());
        let stream = self.named_stream(&request.write_stream)?;
        if self.stream.as_ref().is_some_and(|last| *last != stream) {
            (self.schema, self.has_changed_streams) = (None, true);
        }
        self.stream = Some(stream.clone());
        let missing = missing(&request);
        let Some(Rows::ProtoRows(data)) = request.rows else {
            return Err(Refusal::invalid("the request has no rows"));
        };
        if let Some(schema) = data.writer_schema {
            let descriptor = schema.proto_descriptor.unwrap_or_default();
            self.schema = Some(compile(&descriptor));
        }
        let rows = data.rows.unwrap_or_default().serialized_rows;
        Ok(Append {
            schema: self.schema.clone(),
            stream,
            offset: request.offset,
            rows: rows.into_iter().map(Into::into).collect(),
            request_bytes,
            missing,
            sees_late: false,
        })
    }

    fn named_stream(&self, name: &str) -> Result<StreamName, Refusal> {
        let named = match (name, &self.stream) {
            ("", Some(_)) if self.has_changed_streams => {
                let message = "a connection with several streams names them in each request";
                return Err(Refusal::invalid(message).ending_the_connection());
            }
            ("", Some(stream)) => return Ok(stream.clone()),
            ("", None) => {
                let message = "the first request of a connection names its stream";
                return Err(Refusal::invalid(message).ending_the_connection());
            }
            (name, _) => StreamName::parse(name).ok_or_else(|| no_such_stream(name))?,
        };
        match &self.stream {
            Some(stream) if *stream != named && !(stream.is_default() && named.is_default()) => {
                let message = "a connection serves one stream that was created";
                Err(Refusal::invalid(message).ending_the_connection())
            }
            _ => Ok(named),
        }
    }

    /// The answer to an append of the stream that was named last.
    pub fn answer(&mut self, outcome: Result<Appended, Refusal>) -> AppendRowsResponse {
        let write_stream = self.stream.as_ref().map(ToString::to_string).unwrap_or_default();
        let mut answer = AppendRowsResponse { write_stream, ..Default::default() };
        match outcome {
            Ok(appended) => {
                if self.is_news(appended.schema_version) {
                    answer.updated_schema = Some(schema::to_proto(&appended.columns));
                }
                let result = AppendResult { offset: appended.offset };
                answer.response = Some(Response::AppendResult(result));
            }
            Err(refusal) => {
                answer.response = Some(Response::Error(refusal.status()));
                answer.row_errors = refusal.rows;
            }
        }
        answer
    }

    /// Notes the version of the columns when the connection begins to write to the stream.
    pub fn begin_with(&mut self, schema_version: usize) {
        if let Some(stream) = &self.stream {
            self.announced.entry(stream.clone()).or_insert(schema_version);
        }
    }

    fn is_news(&mut self, version: usize) -> bool {
        let stream = self.stream.clone().expect("an append was answered");
        let announced = self.announced.insert(stream, version);
        announced.is_some_and(|announced| announced < version)
    }
}

fn missing(request: &AppendRowsRequest) -> Missing {
    let is_default = |value: i32| value == i32::from(MissingValueInterpretation::DefaultValue);
    let exceptions = request.missing_value_interpretations.iter();
    let mut columns: Vec<_> =
        exceptions.map(|(name, value)| (name.clone(), is_default(*value))).collect();
    columns.sort();
    Missing { default: is_default(request.default_missing_value_interpretation), columns }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(stream: &str) -> AppendRowsRequest {
        let rows = Some(Rows::ProtoRows(storage::append_rows_request::ProtoData::default()));
        AppendRowsRequest { write_stream: stream.into(), rows, ..Default::default() }
    }

    fn name(table: &str, id: &str) -> String {
        format!("projects/p/datasets/d/tables/{table}/streams/{id}")
    }

    #[test]
    fn a_connection_serves_one_created_stream_or_many_default_ones() {
        let complete = |names: &[String]| {
            let mut connection = Connection::new(Timestamp::UNIX_EPOCH);
            names.iter().map(|name| connection.complete(request(name)).is_ok()).collect::<Vec<_>>()
        };
        let (a, b) = (name("t", "a"), name("t", "b"));
        assert_eq!(complete(&[a.clone(), String::new(), a.clone(), b]), [true, true, true, false]);
        let (first, second) = (name("t", "_default"), name("u", "_default"));
        let (first, second) = (&first, &second);
        assert_eq!(complete(&[first.clone(), second.clone(), a]), [true, true, false]);
        let nameless = [first.clone(), String::new(), second.clone(), String::new()];
        assert_eq!(complete(&nameless), [true, true, true, false]);
        assert_eq!(complete(&[String::new()]), [false]);
    }

    #[test]
    fn another_stream_brings_its_schema() {
        let mut connection = Connection::new(Timestamp::UNIX_EPOCH);
        let mut has_schema = |table: &str, brings: bool| {
            let mut request = request(&name(table, "_default"));
            let Some(Rows::ProtoRows(data)) = &mut request.rows else { panic!("rows") };
            data.writer_schema = brings.then(Default::default);
            connection.complete(request).unwrap().schema.is_some()
        };
        for (table, brings, has) in [
            ("t", false, false),
            ("t", true, true),
            ("t", false, true),
            ("u", false, false),
            ("u", true, true),
            ("t", false, false),
        ] {
            assert_eq!(has_schema(table, brings), has, "{table} {brings}");
        }
    }

    #[test]
    fn new_columns_are_told_once() {
        let mut connection = Connection::new(Timestamp::UNIX_EPOCH);
        connection.complete(request(&name("t", "a"))).unwrap();
        connection.begin_with(1);
        let mut tell = |schema_version| {
            let columns = Default::default();
            let answer =
                connection.answer(Ok(Appended { offset: Some(0), schema_version, columns }));
            answer.updated_schema.is_some()
        };
        assert_eq!([1, 2, 2, 3].map(&mut tell), [false, true, false, true]);
    }

    #[test]
    fn the_first_trace_id_counts() {
        let mut connection = Connection::new(Timestamp::UNIX_EPOCH);
        for trace_id in ["", "late"] {
            let request =
                AppendRowsRequest { trace_id: trace_id.into(), ..request(&name("t", "a")) };
            connection.complete(request).unwrap();
        }
        assert_eq!(connection.trace_id(), "");
    }
}

//! Pure. How default streams share connections: which one a writer takes, and what each request on it has to say.

use std::sync::Arc;

use gcp_bigquery_client::google::cloud::bigquery::storage::v1 as storage;
use storage::append_rows_request::{ProtoData, Rows};
use storage::{AppendRowsRequest, ProtoRows, ProtoSchema};

/// Above that a process does not go; Google's own clients stop at as many for a location.
pub const CONNECTIONS_MAX: usize = 20;
/// With so much under way a connection has no room: about what it takes in two seconds.
const BYTES_MAX: usize = 20 << 20;
/// Small ones are many before they are large.
const REQUESTS_MAX: usize = 200;

/// What is under way on a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    pub requests: usize,
    pub bytes: usize,
}

/// The connection that a writer takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// One of those that are open, counted from the first.
    Open(usize),
    /// Another one.
    New,
}

impl Load {
    fn has_room(self) -> bool {
        self.requests < REQUESTS_MAX && self.bytes < BYTES_MAX
    }
}

/// The first connection with room, so that as few as possible are used; another one if none has any; and
/// where no more may be opened the one with least on it.
pub fn choose(loads: &[Load]) -> Choice {
    if let Some(at) = loads.iter().position(|load| load.has_room()) {
        return Choice::Open(at);
    }
    if loads.len() < CONNECTIONS_MAX {
        return Choice::New;
    }
    let least = (0..loads.len()).min_by_key(|at| loads[*at].bytes);
    least.map_or(Choice::New, Choice::Open)
}

/// What a connection was told last.
#[derive(Debug, Default)]
pub struct Told(Option<(Arc<str>, Arc<ProtoSchema>)>);

impl Told {
    /// The next request. Each names its stream, as the service wants it where several share a connection; how its rows
    /// are to be read is said again where the stream or the schema is another than that of the request before.
    pub fn request(
        &mut self,
        stream: &Arc<str>,
        schema: &Arc<ProtoSchema>,
        serialized_rows: Vec<Vec<u8>>,
    ) -> AppendRowsRequest {
        let is_known = |(told, known): &(Arc<str>, Arc<ProtoSchema>)| {
            told == stream && (Arc::ptr_eq(known, schema) || known == schema)
        };
        let writer_schema = match self.0.as_ref().is_some_and(is_known) {
            true => None,
            false => Some(ProtoSchema::clone(schema)),
        };
        self.0 = Some((Arc::clone(stream), Arc::clone(schema)));
        let rows = Some(ProtoRows { serialized_rows });
        AppendRowsRequest {
            write_stream: stream.to_string(),
            rows: Some(Rows::ProtoRows(ProtoData { writer_schema, rows })),
            ..AppendRowsRequest::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use prost_types::DescriptorProto;

    use super::*;

    fn load() -> impl Strategy<Value = Load> {
        let requests = prop_oneof![0_usize..3, REQUESTS_MAX - 1..REQUESTS_MAX + 1];
        let bytes = prop_oneof![0_usize..9, BYTES_MAX - 1..BYTES_MAX + 1];
        (requests, bytes).prop_map(|(requests, bytes)| Load { requests, bytes })
    }

    fn schema(name: u8) -> Arc<ProtoSchema> {
        let named = DescriptorProto { name: Some(name.to_string()), ..Default::default() };
        Arc::new(ProtoSchema { proto_descriptor: Some(named) })
    }

    proptest! {
        /// Nobody waits behind a full connection while there is room on another one, or may be one more; and no more
        /// are opened than there may be, nor while one has room.
        #[test]
        fn a_connection_is_opened_where_none_has_room(loads in prop::collection::vec(load(), 0..CONNECTIONS_MAX + 1)) {
            let has_room = loads.iter().any(|load| load.has_room());
            match choose(&loads) {
                Choice::New => prop_assert!(!has_room && loads.len() < CONNECTIONS_MAX),
                Choice::Open(at) if has_room => {
                    prop_assert!(loads[at].has_room() && !loads[..at].iter().any(|load| load.has_room()));
                }
                Choice::Open(at) => {
                    prop_assert_eq!(loads.len(), CONNECTIONS_MAX);
                    prop_assert!(loads.iter().all(|load| load.bytes >= loads[at].bytes));
                }
            }
        }

        /// A service that forgets what it was told of a stream when another one is named reads every row by the
        /// schema that it was written by.
        #[test]
        fn rows_are_read_by_their_schema(requests in prop::collection::vec((0_u8..3, 0_u8..3), 1..40)) {
            let mut told = Told::default();
            let mut service: Option<(String, ProtoSchema)> = None;
            for (stream, number) in requests {
                let (name, schema): (Arc<str>, _) = (stream.to_string().into(), schema(number));
                let request = told.request(&name, &schema, vec![vec![1]]);
                prop_assert_eq!(&request.write_stream, &*name);
                prop_assert_eq!(request.offset, None);
                let Some(Rows::ProtoRows(data)) = request.rows else { panic!("rows") };
                if service.as_ref().is_some_and(|(known, _)| *known != request.write_stream) {
                    service = None;
                }
                if let Some(schema) = data.writer_schema {
                    service = Some((request.write_stream.clone(), schema));
                }
                prop_assert_eq!(service.as_ref().map(|(_, schema)| schema), Some(&*schema));
            }
        }
    }

    #[test]
    fn what_is_known_is_not_said_again() {
        let mut told = Told::default();
        let mut said = BTreeMap::new();
        for (at, (stream, number)) in
            [("a", 1), ("a", 1), ("b", 1), ("b", 2), ("b", 2), ("a", 1)].into_iter().enumerate()
        {
            let request = told.request(&stream.into(), &schema(number), Vec::new());
            let Some(Rows::ProtoRows(data)) = request.rows else { panic!("rows") };
            said.insert(at, data.writer_schema.is_some());
        }
        let said: Vec<_> = said.into_values().collect();
        assert_eq!(said, [true, false, true, true, false, true]);
    }
}

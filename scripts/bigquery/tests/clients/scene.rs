//! A double with one table, the clients, and a connection that appends to it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bigquery_double::fault::Fault;
use bigquery_double::journal::Event;
use bigquery_double::run::{Double, Options};
use bigquery_double::world::Settings;
use futures::channel::mpsc::{UnboundedSender, unbounded};
use gcp_bigquery_client::auth::Authenticator;
use gcp_bigquery_client::client_builder::ClientBuilder;
use gcp_bigquery_client::error::BQError;
use gcp_bigquery_client::google::cloud::bigquery::storage::v1 as storage;
use gcp_bigquery_client::google::rpc;
use gcp_bigquery_client::model::dataset::Dataset;
use gcp_bigquery_client::model::table::Table;
use gcp_bigquery_client::model::table_field_schema::TableFieldSchema;
use gcp_bigquery_client::model::table_schema::TableSchema;
use prost::Message;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto};
use serde_json::{Value as Json, json};
use storage::append_rows_request::{ProtoData, Rows};
use storage::append_rows_response::Response;
use storage::big_query_write_client::BigQueryWriteClient;
use storage::storage_error::StorageErrorCode;
use storage::{
    AppendRowsRequest, AppendRowsResponse, CreateWriteStreamRequest, ProtoRows, ProtoSchema,
    StorageError, WriteStream, write_stream,
};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status, Streaming};

pub(crate) const TABLE: &str = "projects/p/datasets/d/tables/t";

/// Nothing here takes longer, unless it is never going to happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Scene {
    pub(crate) double: Double,
    pub(crate) rest: gcp_bigquery_client::Client,
    pub(crate) write: BigQueryWriteClient<Channel>,
}

#[derive(Clone)]
struct Anybody;

#[async_trait]
impl Authenticator for Anybody {
    async fn access_token(&self) -> Result<String, BQError> {
        Ok("token".into())
    }
}

/// A row of the table.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Row {
    #[prost(int64, optional, tag = "1")]
    pub(crate) id: Option<i64>,
    #[prost(string, optional, tag = "2")]
    pub(crate) name: Option<String>,
}

impl Scene {
    pub(crate) async fn new() -> Self {
        Self::with(Settings::default()).await
    }

    pub(crate) async fn with(settings: Settings) -> Self {
        let double = Double::start(Options { settings, ..Options::default() }).await.unwrap();
        let mut builder = ClientBuilder::new();
        builder.with_v2_base_url(double.rest_url());
        let rest = builder.build_from_authenticator(Arc::new(Anybody)).await.unwrap();
        let channel = Endpoint::from_shared(double.grpc_url()).unwrap().connect_lazy();
        let write = BigQueryWriteClient::new(channel);
        rest.dataset().create(Dataset::new("p", "d")).await.unwrap();
        let columns = vec![TableFieldSchema::integer("id"), TableFieldSchema::string("name")];
        let table = Table::new("p", "d", "t", TableSchema::new(columns));
        rest.table().create(table).await.unwrap();
        Self { double, rest, write }
    }

    /// A second client with a TCP connection of its own.
    pub(crate) fn other_client(&self) -> BigQueryWriteClient<Channel> {
        let endpoint = Endpoint::from_shared(self.double.grpc_url()).unwrap();
        BigQueryWriteClient::new(endpoint.connect_lazy())
    }

    pub(crate) async fn create(&mut self, kind: write_stream::Type) -> Result<String, Status> {
        let write_stream = Some(WriteStream { r#type: kind.into(), ..WriteStream::default() });
        let request = CreateWriteStreamRequest { parent: TABLE.into(), write_stream };
        let created = self.write.create_write_stream(request).await?;
        Ok(created.into_inner().name)
    }

    pub(crate) async fn committed(&mut self) -> String {
        self.create(write_stream::Type::Committed).await.unwrap()
    }

    pub(crate) async fn append_to(&mut self, stream: &str) -> Appends {
        Appends::open(&mut self.write, stream)
    }

    pub(crate) fn faults(&self, faults: Json) {
        let faults: Vec<Fault> = serde_json::from_value(faults).unwrap();
        self.double.shared.add_faults(faults);
    }

    /// The ids that are stored, in the order of storing.
    pub(crate) fn ids(&self) -> Vec<i64> {
        let rows = self.double.shared.world().rows("d.t").unwrap();
        rows.iter().map(|row| row["row"]["id"].as_i64().unwrap()).collect()
    }

    pub(crate) fn events(&self, rpc: &str) -> Vec<Event> {
        let world = self.double.shared.world();
        world.journal.events().filter(|event| event.rpc == rpc).cloned().collect()
    }

    pub(crate) async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let wait = async {
            while !holds(self) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.expect(what);
    }
}

/// One AppendRows connection. It is opened with its first request already under way, as the service
/// may keep its headers back until it has answered one.
pub(crate) struct Appends {
    requests: Option<UnboundedSender<AppendRowsRequest>>,
    opening: Opening,
    stream: String,
    is_first: bool,
}

enum Opening {
    Unsent(BigQueryWriteClient<Channel>),
    Open(Streaming<AppendRowsResponse>),
}

impl Appends {
    fn open(write: &mut BigQueryWriteClient<Channel>, stream: &str) -> Self {
        let opening = Opening::Unsent(write.clone());
        Self { requests: None, opening, stream: stream.into(), is_first: true }
    }

    pub(crate) fn request(&mut self, ids: &[i64], offset: Option<i64>) -> AppendRowsRequest {
        let writer_schema = self
            .is_first
            .then(|| ProtoSchema { proto_descriptor: Some(descriptor(&["id", "name"])) });
        let encode = |id: &i64| Row { id: Some(*id), name: None }.encode_to_vec();
        let rows = Some(ProtoRows { serialized_rows: ids.iter().map(encode).collect() });
        let write_stream = if self.is_first { self.stream.clone() } else { String::new() };
        self.is_first = false;
        AppendRowsRequest {
            write_stream,
            offset,
            trace_id: "test".into(),
            rows: Some(Rows::ProtoRows(ProtoData { writer_schema, rows })),
            ..AppendRowsRequest::default()
        }
    }

    pub(crate) async fn send(&mut self, request: AppendRowsRequest) -> Result<(), Status> {
        if let Some(requests) = &self.requests {
            requests.unbounded_send(request).unwrap();
            return Ok(());
        }
        let (sender, receiver) = unbounded();
        sender.unbounded_send(request).unwrap();
        self.requests = Some(sender);
        let Opening::Unsent(write) = &mut self.opening else { unreachable!("it sends only once") };
        let mut call = Request::new(receiver);
        let params = format!("write_stream={}", self.stream.replace('/', "%2F"));
        call.metadata_mut().insert("x-goog-request-params", params.parse().unwrap());
        self.opening = Opening::Open(write.append_rows(call).await?.into_inner());
        Ok(())
    }

    pub(crate) async fn receive(&mut self) -> Result<AppendRowsResponse, Status> {
        let Opening::Open(answers) = &mut self.opening else { panic!("nothing was sent") };
        let answer = tokio::time::timeout(PATIENCE, answers.message()).await;
        Ok(answer.expect("an answer or an end")?.expect("an answer"))
    }

    /// Whether nothing has come, neither an answer nor an end.
    pub(crate) fn is_silent(&mut self) -> bool {
        use futures::FutureExt as _;
        let Opening::Open(answers) = &mut self.opening else { panic!("nothing was sent") };
        answers.message().now_or_never().is_none()
    }

    pub(crate) async fn exchange(
        &mut self,
        request: AppendRowsRequest,
    ) -> Result<AppendRowsResponse, Status> {
        self.send(request).await?;
        self.receive().await
    }

    pub(crate) async fn append(&mut self, ids: &[i64], offset: Option<i64>) -> Outcome {
        let request = self.request(ids, offset);
        match self.exchange(request).await {
            Ok(answer) => outcome(&answer),
            Err(status) => Outcome::Ended(status.code()),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Stored(Option<i64>),
    Refused(Code, StorageErrorCode),
    Ended(Code),
}

pub(crate) fn outcome(answer: &AppendRowsResponse) -> Outcome {
    match answer.response.as_ref().unwrap() {
        Response::AppendResult(result) => Outcome::Stored(result.offset),
        Response::Error(error) => Outcome::Refused(Code::from_i32(error.code), storage_code(error)),
    }
}

/// The code in the details.
pub(crate) fn storage_code(error: &rpc::Status) -> StorageErrorCode {
    let detail = error.details.first();
    let decoded = detail.map(|any| StorageError::decode(&any.value[..]).unwrap());
    decoded.map_or(StorageErrorCode::Unspecified, |error| error.code())
}

/// Text columns, but for `id`.
pub(crate) fn descriptor(names: &[&str]) -> DescriptorProto {
    let field = |(number, name): (i32, &&str)| FieldDescriptorProto {
        name: Some((*name).into()),
        number: Some(number),
        r#type: Some(if *name == "id" { Type::Int64 } else { Type::String }.into()),
        label: Some(Label::Optional.into()),
        ..FieldDescriptorProto::default()
    };
    let field = (1..).zip(names).map(field).collect();
    DescriptorProto { name: Some("Row".into()), field, ..DescriptorProto::default() }
}

/// Adds a column to the table.
pub(crate) fn widened() -> Json {
    json!({"schema": {"fields": [
        {"name": "id", "type": "INTEGER"}, {"name": "name", "type": "STRING"},
        {"name": "more", "type": "STRING"},
    ]}})
}

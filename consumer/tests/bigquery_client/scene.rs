//! A double with one table, and a client of it.

use std::time::Duration;

use bigquery_double::fault::Fault;
use bigquery_double::journal::Event;
use bigquery_double::run::{Double, Options};
use bigquery_double::world::Settings;
use common::backoff::BackoffPolicy;
use common::crypto::install_crypto_provider;
use consumer::sink::bigquery::client::{
    Answer, Append, BigQueryOptions, CallError, Client, Credentials, Patience, Verdict,
};
use gcp_bigquery_client::google::cloud::bigquery::storage::v1 as storage;
use gcp_bigquery_client::model::dataset::Dataset;
use gcp_bigquery_client::model::table::Table;
use gcp_bigquery_client::model::table_field_schema::TableFieldSchema;
use gcp_bigquery_client::model::table_schema::TableSchema;
use prost::Message;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto};
use rand::SeedableRng as _;
use rand::rngs::ChaCha8Rng;
use serde_json::Value as Json;
use storage::append_rows_request::{ProtoData, Rows};
use storage::{AppendRowsRequest, ProtoRows, ProtoSchema};

pub(crate) const TABLE: &str = "projects/p/datasets/d/tables/t";

/// Nothing here takes longer, unless it is never going to happen.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// For what never happens.
pub(crate) const SHORT: Duration = Duration::from_millis(300);

pub(crate) const PATIENT: Patience = Patience {
    connect: LONG,
    answer: LONG,
    append: LONG,
    retries: LONG,
    query: LONG,
    backoff: BackoffPolicy {
        initial: Duration::from_millis(1),
        max: Duration::from_millis(5),
        factor: 2,
    },
};

pub(crate) struct Scene {
    pub(crate) double: Double,
    pub(crate) client: Client,
}

/// A row of the table.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Row {
    #[prost(string, optional, tag = "1")]
    pub(crate) kafka_topic_id: Option<String>,
    #[prost(int64, optional, tag = "2")]
    pub(crate) kafka_partition: Option<i64>,
    #[prost(int64, optional, tag = "3")]
    pub(crate) kafka_offset: Option<i64>,
}

impl Scene {
    pub(crate) async fn new() -> Self {
        Self::with(Settings::default(), PATIENT).await
    }

    pub(crate) async fn with(settings: Settings, patience: Patience) -> Self {
        install_crypto_provider();
        let double = Double::start(Options { settings, ..Options::default() }).await.unwrap();
        let made = serde_json::to_value(Dataset::new("p", "d")).unwrap();
        double.shared.world().warehouse.create_dataset("p", &made).unwrap();
        let client = client(&double, patience, Credentials::None).await;
        client.create_table(&table("t")).await.unwrap();
        Self { double, client }
    }

    /// Another one, as another process has it.
    pub(crate) async fn client_with(&self, patience: Patience) -> Client {
        client(&self.double, patience, Credentials::None).await
    }

    pub(crate) fn faults(&self, faults: Json) {
        let faults: Vec<Fault> = serde_json::from_value(faults).unwrap();
        self.double.shared.add_faults(faults);
    }

    pub(crate) fn faults_left(&self) -> usize {
        self.double.shared.world().faults.left().count()
    }

    /// The offsets that are stored, in the order of storing.
    pub(crate) fn offsets(&self) -> Vec<i64> {
        let rows = self.double.shared.world().rows("d.t").unwrap();
        rows.iter().map(|row| row["row"]["kafka_offset"].as_i64().unwrap()).collect()
    }

    pub(crate) fn events(&self, rpc: &str) -> Vec<Event> {
        let world = self.double.shared.world();
        world.journal.events().filter(|event| event.rpc == rpc).cloned().collect()
    }
}

pub(crate) async fn client(
    double: &Double,
    patience: Patience,
    credentials: Credentials,
) -> Client {
    let options = BigQueryOptions {
        rest_url: Some(double.rest_url().parse().unwrap()),
        grpc_url: Some(double.grpc_url().parse().unwrap()),
        patience,
        ..BigQueryOptions::new("p", "d", credentials)
    };
    Client::connect(options, ChaCha8Rng::seed_from_u64(7)).await.unwrap()
}

pub(crate) fn table(name: &str) -> Table {
    let columns = vec![
        TableFieldSchema::string("kafka_topic_id"),
        TableFieldSchema::integer("kafka_partition"),
        TableFieldSchema::integer("kafka_offset"),
    ];
    Table::new("p", "d", name, TableSchema::new(columns)).label("made-by", "us")
}

/// Rows of partition 3 with these offsets, at an offset of the stream.
pub(crate) fn request(offsets: &[i64], at: i64) -> AppendRowsRequest {
    let encode = |offset: &i64| {
        let row = Row {
            kafka_topic_id: Some("T".into()),
            kafka_partition: Some(3),
            kafka_offset: Some(*offset),
        };
        row.encode_to_vec()
    };
    let rows = Some(ProtoRows { serialized_rows: offsets.iter().map(encode).collect() });
    let writer_schema = Some(ProtoSchema { proto_descriptor: Some(descriptor()) });
    AppendRowsRequest {
        offset: Some(at),
        rows: Some(Rows::ProtoRows(ProtoData { writer_schema, rows })),
        ..AppendRowsRequest::default()
    }
}

pub(crate) fn descriptor() -> DescriptorProto {
    let columns = [
        ("kafka_topic_id", Type::String),
        ("kafka_partition", Type::Int64),
        ("kafka_offset", Type::Int64),
    ];
    let field = |(number, (name, kind)): (i32, (&str, Type))| FieldDescriptorProto {
        name: Some(name.into()),
        number: Some(number),
        r#type: Some(kind.into()),
        label: Some(Label::Optional.into()),
        ..FieldDescriptorProto::default()
    };
    let field = (1..).zip(columns).map(field).collect();
    DescriptorProto { name: Some("Row".into()), field, ..DescriptorProto::default() }
}

pub(crate) async fn exchange(
    append: &mut Append,
    request: AppendRowsRequest,
) -> Result<Verdict, CallError> {
    append.send(request)?;
    receive(append).await
}

pub(crate) async fn receive(append: &mut Append) -> Result<Verdict, CallError> {
    Ok(append.receive().await?.verdict)
}

pub(crate) fn stored(offset: u64) -> Answer {
    Answer { verdict: Verdict::Stored { offset: Some(offset) }, has_new_columns: false }
}

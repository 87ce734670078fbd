//! A double with one table, and a process that writes to it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bigquery_double::fault::Fault;
use bigquery_double::journal::Event;
use bigquery_double::names::{DatasetName, TableName};
use bigquery_double::run::{Double, Options};
use common::backoff::BackoffPolicy;
use common::position::HandOver;
use consumer::sink::bigquery::client::{BigQueryOptions, Client, Credentials, Patience};
use consumer::sink::tables::Tables;
use consumer::sink::{Committed, Table};
use consumer::table::claim::Owner;
use rand::SeedableRng as _;
use rand::rngs::ChaCha8Rng;
use serde_json::{Value as Json, json};

use crate::owner::{retry, source};

/// What Kafka and the orchestrator know of the partition.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    pub(crate) committed: Option<Committed>,
    pub(crate) hand_over: Option<HandOver>,
    /// Counts the owners.
    pub(crate) owner: u64,
}

pub(crate) struct Scene {
    pub(crate) double: Double,
    pub(crate) known: Mutex<Known>,
}

impl Scene {
    pub(crate) async fn new() -> Self {
        let double = Double::start(Options::default()).await.unwrap();
        let scene = Self { double, known: Mutex::default() };
        let body = json!({"datasetReference": {"projectId": "p", "datasetId": "d"}});
        scene.double.shared.world().warehouse.create_dataset("p", &body).unwrap();
        scene
    }

    /// A table that somebody made before.
    pub(crate) fn create_table(&self, fields: &Json) {
        self.create(&json!({
            "tableReference": {"projectId": "p", "datasetId": "d", "tableId": "t"},
            "schema": {"fields": fields},
        }));
    }

    /// The same, from all that REST is told of it.
    pub(crate) fn create(&self, body: &Json) {
        let shared = &self.double.shared;
        let dataset = DatasetName::new("p", "d");
        shared.world().warehouse.create_table(&dataset, body, shared.now()).unwrap();
    }

    /// As a person does; what it was.
    pub(crate) fn delete_table(&self) -> Json {
        let warehouse = &mut self.double.shared.world().warehouse;
        let table = TableName::new("p", "d", "t");
        let deleted = warehouse.table(&table).unwrap().resource();
        warehouse.delete_table(&table).unwrap();
        deleted
    }

    /// With its labels and columns.
    pub(crate) fn bring_back(&self, deleted: &Json) {
        let shared = &self.double.shared;
        let dataset = DatasetName::new("p", "d");
        shared.world().warehouse.create_table(&dataset, deleted, shared.now()).unwrap();
    }

    pub(crate) fn settings(&self, settings: Json) {
        self.double.shared.world().settings = serde_json::from_value(settings).unwrap();
    }

    /// A client that loses patience soon.
    pub(crate) async fn client(&self, seed: u64) -> Client {
        let mut options = BigQueryOptions::new("p", "d", Credentials::None);
        options.rest_url = Some(self.double.rest_url().parse().unwrap());
        options.grpc_url = Some(self.double.grpc_url().parse().unwrap());
        let milliseconds = Duration::from_millis;
        let backoff = BackoffPolicy { initial: milliseconds(5), max: milliseconds(50), factor: 2 };
        options.patience = Patience {
            answer: milliseconds(1_000),
            append: milliseconds(1_000),
            backoff,
            ..Patience::default()
        };
        Client::connect(options, ChaCha8Rng::seed_from_u64(seed)).await.unwrap()
    }

    pub(crate) async fn tables(&self, group: &str, seed: u64) -> Tables {
        let owner = Owner { group: group.into(), cluster_id: "c".into() };
        Tables::in_bigquery(self.client(seed).await, owner, ChaCha8Rng::seed_from_u64(seed))
    }

    /// The table as a new process sees it.
    pub(crate) async fn table(&self, seed: u64) -> Arc<Table> {
        let tables = self.tables("g", seed).await;
        retry(async || tables.get(&source()).await).await.unwrap()
    }

    pub(crate) fn faults(&self, faults: Json) {
        let faults: Vec<Fault> = serde_json::from_value(faults).unwrap();
        self.double.shared.add_faults(faults);
    }

    pub(crate) fn no_more_faults(&self) {
        self.double.shared.world().faults = bigquery_double::fault::Faults::default();
    }

    pub(crate) fn rows(&self) -> Vec<Json> {
        self.double.shared.world().rows("d.t").unwrap()
    }

    /// The offsets that are stored, in the order of storing.
    pub(crate) fn offsets(&self) -> Vec<u64> {
        self.rows().iter().map(|row| row["row"]["kafka_offset"].as_u64().unwrap()).collect()
    }

    /// How many calls the service had.
    pub(crate) fn calls(&self) -> u64 {
        let world = self.double.shared.world();
        world.journal.counters().values().flat_map(BTreeMap::values).sum()
    }

    pub(crate) fn events(&self, rpc: &str) -> Vec<Event> {
        let world = self.double.shared.world();
        world.journal.events().filter(|event| event.rpc == rpc).cloned().collect()
    }

    /// Nothing was stored in a stream after it was ended.
    pub(crate) fn check_fences(&self) {
        let world = self.double.shared.world();
        let mut ended = BTreeSet::new();
        let mut stored: BTreeMap<String, usize> = BTreeMap::new();
        for event in world.journal.events().filter(|event| event.code == "OK") {
            let Some(stream) = event.stream.clone() else { continue };
            match event.rpc {
                "FinalizeWriteStream" => {
                    ended.insert(stream);
                }
                "AppendRows" => {
                    assert!(!ended.contains(&stream), "{event:?}");
                    *stored.entry(stream).or_default() += event.rows.unwrap_or(0);
                }
                _ => {}
            }
        }
        assert!(stored.values().sum::<usize>() > 0);
    }
}

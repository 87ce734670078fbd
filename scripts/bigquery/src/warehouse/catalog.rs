//! Pure. Datasets and tables by their names, as REST makes, changes and shows them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rand::SeedableRng as _;
use rand::rngs::ChaCha8Rng;
use serde_json::{Value as Json, json};

use crate::names::{DatasetName, StreamName, TableName};
use crate::refusal::RestRefusal;
use crate::stream::Stream;
use crate::table::{StoredRow, Table};

/// Rows are counted in the order of storing.
#[derive(Debug)]
pub struct Warehouse {
    datasets: BTreeMap<DatasetName, Json>,
    pub(super) tables: BTreeMap<TableName, Table>,
    pub(super) streams: BTreeMap<StreamName, Stream<StoredRow>>,
    pub(super) stored: u64,
    /// Makes the names of streams.
    pub(super) rng: ChaCha8Rng,
}

impl Warehouse {
    pub fn new(seed: u64) -> Self {
        Self {
            datasets: BTreeMap::new(),
            tables: BTreeMap::new(),
            streams: BTreeMap::new(),
            stored: 0,
            rng: ChaCha8Rng::seed_from_u64(seed),
        }
    }

    pub fn create_dataset(&mut self, project: &str, body: &Json) -> Result<Json, RestRefusal> {
        let Some(id) = body.pointer("/datasetReference/datasetId").and_then(Json::as_str) else {
            return Err(RestRefusal::invalid("datasetReference.datasetId is missing"));
        };
        let name = DatasetName::new(project, id);
        if self.datasets.contains_key(&name) {
            return Err(RestRefusal::duplicate(&format!("Dataset {project}:{id}")));
        }
        let mut resource = body.as_object().cloned().unwrap_or_default();
        resource.insert("kind".into(), json!("bigquery#dataset"));
        resource.insert("id".into(), json!(format!("{project}:{id}")));
        let reference = json!({"projectId": project, "datasetId": id});
        resource.insert("datasetReference".into(), reference);
        resource.entry("location").or_insert(json!("US"));
        let resource = Json::from(resource);
        self.datasets.insert(name, resource.clone());
        Ok(resource)
    }

    pub fn dataset(&self, name: &DatasetName) -> Result<Json, RestRefusal> {
        let missing = || format!("Dataset {}:{}", name.project, name.dataset);
        self.datasets.get(name).cloned().ok_or_else(|| RestRefusal::not_found(&missing()))
    }

    pub fn datasets(&self, project: &str) -> Json {
        let own = self.datasets.iter().filter(|(name, _)| name.project == project);
        let listed: Vec<_> = own.map(|(_, resource)| resource).collect();
        json!({"kind": "bigquery#datasetList", "datasets": listed})
    }

    pub fn create_table(
        &mut self,
        dataset: &DatasetName,
        body: &Json,
        now: Timestamp,
    ) -> Result<Json, RestRefusal> {
        self.dataset(dataset)?;
        let Some(id) = body.pointer("/tableReference/tableId").and_then(Json::as_str) else {
            return Err(RestRefusal::invalid("tableReference.tableId is missing"));
        };
        let name = TableName::new(&dataset.project, &dataset.dataset, id);
        if self.tables.contains_key(&name) {
            return Err(RestRefusal::duplicate(&format!("Table {name}")));
        }
        let table = Table::create(name.clone(), body, now)?;
        let resource = table.resource();
        self.tables.insert(name, table);
        Ok(resource)
    }

    pub fn table(&self, name: &TableName) -> Result<&Table, RestRefusal> {
        self.tables.get(name).ok_or_else(|| RestRefusal::not_found(&format!("Table {name}")))
    }

    pub fn table_mut(&mut self, name: &TableName) -> Result<&mut Table, RestRefusal> {
        let found = self.tables.get_mut(name);
        found.ok_or_else(|| RestRefusal::not_found(&format!("Table {name}")))
    }

    /// Its streams go with it.
    pub fn delete_table(&mut self, name: &TableName) -> Result<(), RestRefusal> {
        self.table(name)?;
        self.tables.remove(name);
        self.streams.retain(|stream, _| stream.table != *name);
        Ok(())
    }

    pub fn tables(&self) -> impl Iterator<Item = (&TableName, &Table)> {
        self.tables.iter()
    }

    /// The one table that is called so.
    pub fn table_called(&self, text: &str) -> Option<&Table> {
        let mut found = self.tables.iter().filter(|(name, _)| name.is_called(text));
        found.next().map(|(_, table)| table).filter(|_| found.next().is_none())
    }

    pub(super) fn next_order(&mut self) -> u64 {
        self.stored += 1;
        self.stored
    }
}

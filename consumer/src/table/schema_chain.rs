//! IO. A table's schema as its writers agree on it: one object per version, each put once.

use std::sync::{Arc, PoisonError, RwLock};

use super::schema::{Column, TableSchema};
use crate::sink::SinkError;
use crate::sink::store::{Put, Store, StoreError};

/// The versions of a table's schema, cached for all partitions of this process.
#[derive(Debug)]
pub struct SchemaChain {
    table: String,
    store: Store,
    current: RwLock<Arc<TableSchema>>,
}

impl SchemaChain {
    /// Reads the newest version there is.
    pub async fn load(table: &str, store: Store) -> Result<Self, SinkError> {
        let current = RwLock::default();
        let chain = Self { table: table.into(), store, current };
        let folder = format!("{table}/_schema");
        let paths = chain.store.list(&folder, None).await.map_err(|error| chain.failed(error))?;
        let versions = paths.iter().filter_map(|path| {
            path.strip_prefix(&folder)?.strip_prefix('/')?.strip_suffix(".json")?.parse().ok()
        });
        if let Some(newest) = versions.max() {
            chain.read(newest).await?;
        }
        Ok(chain)
    }

    pub fn table(&self) -> &str {
        &self.table
    }

    /// The newest version that this process knows.
    pub fn current(&self) -> Arc<TableSchema> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// A version that has the wanted columns: the present one, another writer's, or a new one.
    pub async fn widen(&self, wanted: &[Column]) -> Result<Arc<TableSchema>, SinkError> {
        while let Some(wider) = self.current().widened(wanted) {
            let text = serde_json::to_vec(&wider).expect("names and types are always JSON");
            let put = self.store.put_new(&self.path(wider.version), text.into()).await;
            match put.map_err(|error| self.failed(error))? {
                Put::Stored => self.set(wider),
                // Another writer was first, or this one and its answer was lost.
                Put::Taken => self.read(wider.version).await?,
            }
        }
        Ok(self.current())
    }

    async fn read(&self, version: u32) -> Result<(), SinkError> {
        let path = self.path(version);
        let read = self.store.read(&path).await.map_err(|error| self.failed(error))?;
        let Some(text) = read else {
            return Err(self.failed(StoreError::Vanished { path }));
        };
        self.store.settle(&path).await.map_err(|error| self.failed(error))?;
        let schema: TableSchema = serde_json::from_slice(&text)
            .map_err(|error| self.refused(format!("`{path}` is no schema: {error}")))?;
        if schema.version != version {
            return Err(
                self.refused(format!("`{path}` says that it is version {}", schema.version))
            );
        }
        self.set(schema);
        Ok(())
    }

    /// Later versions only: two partitions may widen at once.
    fn set(&self, schema: TableSchema) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if schema.version > current.version {
            *current = Arc::new(schema);
        }
    }

    fn path(&self, version: u32) -> String {
        format!("{}/_schema/{version}.json", self.table)
    }

    fn failed(&self, source: StoreError) -> SinkError {
        SinkError::Read { table: self.table.clone(), what: "the schema", source }
    }

    fn refused(&self, reason: String) -> SinkError {
        SinkError::Refused { table: self.table.clone(), reason }
    }
}

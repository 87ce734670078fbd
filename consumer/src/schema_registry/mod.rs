//! IO. The schemas that records name by an id: asked for once, over the REST interface that Confluent's registry and its
//! like share.

pub mod settings;

mod answer;
mod client;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use common::moment::Moment;
use tokio::sync::Mutex;
use tracing::info;

use crate::decode::schemas::{Registered, SchemaCache, SchemaId};
use client::Client;

pub use client::RegistryError;
use settings::RegistrySettings;

/// How long an id that the registry does not have is asked for again before its records are dead letters: a registry's
/// replicas may hear of a schema later than its records are read.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often an id that was given up is asked for again.
const SECOND_THOUGHTS: Duration = Duration::from_secs(60);

/// The registry, if there is one, and what it said.
#[derive(Debug)]
pub struct SchemaRegistry {
    client: Option<Client>,
    cache: Arc<SchemaCache>,
    missing: Mutex<BTreeMap<SchemaId, Missed>>,
}

/// When an id was asked for that was not there.
#[derive(Clone, Copy, Debug)]
struct Missed {
    first: Moment,
    last: Moment,
}

impl SchemaRegistry {
    /// # Errors
    /// If the certificates that the settings name are none.
    pub fn new(settings: Option<RegistrySettings>) -> Result<Self, RegistryError> {
        let client = settings.map(Client::new).transpose()?;
        Ok(Self { client, cache: Arc::default(), missing: Mutex::default() })
    }

    /// What is known so far.
    pub fn cache(&self) -> &Arc<SchemaCache> {
        &self.cache
    }

    /// Asks for the schemas of `ids` and puts them into the cache. After a transient error it is to be
    /// called again: the records have to wait.
    pub async fn learn(&self, ids: &BTreeSet<SchemaId>, now: Moment) -> Result<(), RegistryError> {
        if ids.is_empty() {
            return Ok(());
        }
        let client = self.client.as_ref().ok_or(RegistryError::NotConfigured)?;
        let mut missing = self.missing.lock().await;
        for id in ids {
            let registered = match self.cache.get(*id) {
                Some(Registered::Avro(_) | Registered::Unusable(_)) => continue,
                Some(Registered::Missing)
                    if missing.get(id).is_some_and(|seen| now < seen.last + SECOND_THOUGHTS) =>
                {
                    continue;
                }
                _ => client.schema(*id).await?,
            };
            match registered {
                Registered::Missing => {
                    let seen = missing.entry(*id).or_insert(Missed { first: now, last: now });
                    seen.last = now;
                    if now < seen.first + PATIENCE {
                        return Err(RegistryError::Missing { id: *id });
                    }
                    self.cache.insert(*id, Registered::Missing);
                }
                found => {
                    info!(id, "learnt a schema");
                    missing.remove(id);
                    self.cache.insert(*id, found);
                }
            }
        }
        Ok(())
    }
}

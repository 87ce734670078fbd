//! IO. All tables that this process writes to, each claimed and loaded when first asked for.

use std::collections::BTreeMap;
use std::sync::Arc;

use common::identity::TableId;
use common::messages::command::Source;
use rand::rngs::ChaCha8Rng;
use tokio::sync::Mutex;
use url::Url;

use super::discard::DiscardTable;
use super::parquet::{Compression, Nonces, ParquetTable};
use super::probe::{ProbeError, probe};
use super::store::{Store, StoreError};
use super::{SinkError, Table};
use crate::table::claim::{Owner, claim};
use crate::table::schema_chain::SchemaChain;

/// Where tables are, and for whom they are written.
#[derive(Clone, Debug)]
pub struct SinkOptions {
    /// `None`: only `discard` can be written to.
    pub url: Option<Url>,
    /// What `object_store` knows for the URL's scheme: endpoint, region, credentials.
    pub store_options: BTreeMap<String, String>,
    pub compression: Compression,
    pub owner: Owner,
}

/// Why no sink can be used at all.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("the sink `{url}` cannot be opened")]
    Open {
        url: Url,
        #[source]
        source: StoreError,
    },
    #[error("the sink `{url}` cannot be used")]
    Probe {
        url: Url,
        #[source]
        source: ProbeError,
    },
}

/// The tables of this process.
#[derive(Debug)]
pub struct Tables {
    store: Option<Store>,
    compression: Compression,
    owner: Owner,
    nonces: Nonces,
    claimed: Mutex<BTreeMap<(String, String), Arc<Table>>>,
}

impl Tables {
    /// Opens the store and makes sure that it can be written, and no name twice.
    pub async fn start(options: SinkOptions, rng: ChaCha8Rng) -> Result<Self, StartError> {
        let nonces = Nonces::new(rng);
        let SinkOptions { url, store_options, compression, owner } = options;
        let store = match url {
            Some(url) => Some(open(url, &store_options, &nonces).await?),
            None => None,
        };
        Ok(Self { store, compression, owner, nonces, claimed: Mutex::default() })
    }

    /// Tables over a store that is open already.
    pub fn over(store: Store, owner: Owner, rng: ChaCha8Rng) -> Self {
        let (compression, nonces) = (Compression::default(), Nonces::new(rng));
        Self { store: Some(store), compression, owner, nonces, claimed: Mutex::default() }
    }

    /// The table that a service entry names.
    pub async fn get(&self, source: &Source) -> Result<Arc<Table>, SinkError> {
        let mut claimed = self.claimed.lock().await;
        let key = (source.sink.clone(), source.table.clone());
        if let Some(table) = claimed.get(&key) {
            return Ok(Arc::clone(table));
        }
        let table = Arc::new(self.claim(source).await?);
        claimed.insert(key, Arc::clone(&table));
        Ok(table)
    }

    async fn claim(&self, source: &Source) -> Result<Table, SinkError> {
        let refused = |reason: String| SinkError::Refused { table: source.table.clone(), reason };
        match (source.sink.as_str(), &self.store) {
            ("discard", _) => Ok(Table::Discard(DiscardTable::default())),
            ("parquet", Some(store)) => self.claim_parquet(store, &source.table).await,
            ("parquet", None) => Err(refused("no URL was given for the sink `parquet`".into())),
            (other, _) => Err(refused(format!("there is no sink `{other}`"))),
        }
    }

    async fn claim_parquet(&self, store: &Store, table: &str) -> Result<Table, SinkError> {
        if !is_name(table) {
            let reason = "a table's name is made of letters, digits, `.`, `_` and `-`, and begins with a letter or digit";
            return Err(SinkError::Refused { table: table.into(), reason: reason.into() });
        }
        let new_id =
            uuid::Builder::from_random_bytes(self.nonces.draw().0.to_be_bytes()).into_uuid();
        let id = claim(store, table, &self.owner, TableId(new_id)).await?;
        let schema = SchemaChain::load(table, store.clone()).await?;
        let nonces = self.nonces.clone();
        Ok(Table::Parquet(ParquetTable::new(id, store.clone(), schema, self.compression, nonces)))
    }
}

async fn open(
    url: Url,
    options: &BTreeMap<String, String>,
    nonces: &Nonces,
) -> Result<Store, StartError> {
    let store = match Store::open(&url, options).await {
        Ok(store) => store,
        Err(source) => return Err(StartError::Open { url, source }),
    };
    let probed = probe(&store, &nonces.draw().to_string()).await;
    probed.map_err(|source| StartError::Probe { url, source })?;
    Ok(store)
}

/// Names that are a folder of their own on every store, and none of ours.
fn is_name(table: &str) -> bool {
    table.starts_with(|first: char| first.is_ascii_alphanumeric())
        && table
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

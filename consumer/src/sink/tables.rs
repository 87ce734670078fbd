//! IO. All tables that this process writes to, each claimed and loaded when first asked for.

use std::collections::BTreeMap;
use std::sync::Arc;

use common::identity::TableId;
use common::messages::command::Source;
use rand::rngs::ChaCha8Rng;
use tokio::sync::Mutex;
use url::Url;

use super::bigquery::claim as claim_in_bigquery;
use super::bigquery::client::Client;
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
    /// `None`: the sink `bigquery` cannot be written to.
    pub bigquery: Option<Client>,
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

/// Sink and name of a table, and the options by which it is written, where it is written in several ways.
type Key = (String, String, BTreeMap<String, String>);

/// The tables of this process.
#[derive(Debug)]
pub struct Tables {
    store: Option<Store>,
    compression: Compression,
    bigquery: Option<Client>,
    owner: Owner,
    nonces: Nonces,
    claimed: Mutex<BTreeMap<Key, Arc<Table>>>,
}

impl Tables {
    /// Opens the store and makes sure that it can be written, and no name twice.
    pub async fn start(options: SinkOptions, rng: ChaCha8Rng) -> Result<Self, StartError> {
        let nonces = Nonces::new(rng);
        let SinkOptions { url, store_options, compression, bigquery, owner } = options;
        let store = match url {
            Some(url) => Some(open(url, &store_options, &nonces).await?),
            None => None,
        };
        Ok(Self { store, compression, bigquery, owner, nonces, claimed: Mutex::default() })
    }

    /// Tables over a store that is open already.
    pub fn over(store: Store, owner: Owner, rng: ChaCha8Rng) -> Self {
        let (compression, nonces) = (Compression::default(), Nonces::new(rng));
        let (store, bigquery) = (Some(store), None);
        Self { store, compression, bigquery, owner, nonces, claimed: Mutex::default() }
    }

    /// Tables in a dataset that can be reached already.
    pub fn in_bigquery(client: Client, owner: Owner, rng: ChaCha8Rng) -> Self {
        let (compression, nonces) = (Compression::default(), Nonces::new(rng));
        let (store, bigquery) = (None, Some(client));
        Self { store, compression, bigquery, owner, nonces, claimed: Mutex::default() }
    }

    /// The table that a service entry names.
    pub async fn get(&self, source: &Source) -> Result<Arc<Table>, SinkError> {
        let mut claimed = self.claimed.lock().await;
        let options =
            if source.sink == "bigquery" { source.options.clone() } else { BTreeMap::new() };
        let key = (source.sink.clone(), source.table.clone(), options);
        if let Some(table) = claimed.get(&key)
            && table.is_there().await?
        {
            return Ok(Arc::clone(table));
        }
        let table = Arc::new(self.claim(source).await?);
        claimed.insert(key, Arc::clone(&table));
        Ok(table)
    }

    async fn claim(&self, source: &Source) -> Result<Table, SinkError> {
        let refused = |reason: String| SinkError::Refused { table: source.table.clone(), reason };
        match (source.sink.as_str(), &self.store, &self.bigquery) {
            ("discard", ..) => Ok(Table::Discard(DiscardTable::default())),
            ("parquet", Some(store), _) => self.claim_parquet(store, &source.table).await,
            ("parquet", None, _) => Err(refused("no URL was given for the sink `parquet`".into())),
            ("bigquery", _, Some(client)) => {
                let table = claim_in_bigquery(client.clone(), source, &self.owner, self.new_id());
                Ok(Table::BigQuery(table.await?))
            }
            ("bigquery", _, None) => {
                Err(refused("no project and dataset were given for the sink `bigquery`".into()))
            }
            (other, ..) => Err(refused(format!("there is no sink `{other}`"))),
        }
    }

    fn new_id(&self) -> TableId {
        TableId(uuid::Builder::from_random_bytes(self.nonces.draw().0.to_be_bytes()).into_uuid())
    }

    async fn claim_parquet(&self, store: &Store, table: &str) -> Result<Table, SinkError> {
        if !is_name(table) {
            let reason = "a table's name is made of letters, digits, `.`, `_` and `-`, and begins with a letter or digit";
            return Err(SinkError::Refused { table: table.into(), reason: reason.into() });
        }
        let id = claim(store, table, &self.owner, self.new_id()).await?;
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

//! Pure. The manifest: which merged files hold a table, and from where on its chains are to be read beside them.

use std::collections::BTreeMap;

use common::identity::{Nonce, TableId, TopicId};
use serde::{Deserialize, Serialize};

use super::layout::ChainName;

/// One consistent state of a table. A later version covers all that an earlier one does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    pub version: u64,
    pub table_id: TableId,
    /// By which a compactor recognises what it wrote itself.
    pub nonce: Nonce,
    /// In the order of their names.
    pub chains: Vec<Covered>,
    pub files: Vec<MergedFile>,
}

/// How far the merged files hold a chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Covered {
    pub topic: String,
    pub topic_id: TopicId,
    pub partition: u32,
    /// The first offset that they do not hold.
    pub to: u64,
    /// The object that begins there: the first of the chain that is to be read.
    pub next: String,
    /// Objects below this offset may have given up their rows.
    pub reclaimed: u64,
}

/// A merged file, by its path below the lake's root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MergedFile {
    pub path: String,
    pub bytes: u64,
    pub rows: u64,
}

/// Why a text is no manifest of the table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    #[error("it is no manifest: {0}")]
    Malformed(String),
    #[error("it says that it is version {0}")]
    Version(u64),
    #[error("it belongs to the table {0}; a table that was claimed anew begins without `_files`")]
    OtherTable(TableId),
    #[error("its `next` {0} is no object that begins where the merged files end")]
    Next(String),
}

impl Manifest {
    /// # Errors
    /// If the text is malformed, or of another version or table than expected.
    pub fn parse(
        text: &[u8],
        table: &str,
        table_id: TableId,
        version: u64,
    ) -> Result<Self, ManifestError> {
        let manifest: Self = serde_json::from_slice(text)
            .map_err(|error| ManifestError::Malformed(error.to_string()))?;
        if manifest.version != version {
            return Err(ManifestError::Version(manifest.version));
        }
        if manifest.table_id != table_id {
            return Err(ManifestError::OtherTable(manifest.table_id));
        }
        match manifest.chains.iter().find(|chain| chain.name(table).is_none()) {
            Some(chain) => Err(ManifestError::Next(chain.next.clone())),
            None => Ok(manifest),
        }
    }

    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("names, ids and numbers are always JSON")
    }

    /// The chains of the table by name.
    pub fn by_name(&self, table: &str) -> BTreeMap<ChainName, &Covered> {
        let named = self.chains.iter().filter_map(|chain| Some((chain.name(table)?, chain)));
        named.collect()
    }
}

impl Covered {
    /// The chain's name; `None` where `next` does not fit.
    pub fn name(&self, table: &str) -> Option<ChainName> {
        let (name, from) = ChainName::parse(table, &self.next)?;
        let is_same = name.topic == self.topic && name.partition == self.partition;
        (is_same && from == self.to).then_some(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn manifest() -> Manifest {
        let table_id = TableId(Uuid::from_u128(2));
        let name = ChainName { topic: "orders".into(), partition: 3, id_digits: None };
        let covered = Covered {
            topic: "orders".into(),
            topic_id: TopicId(Uuid::from_u128(1)),
            partition: 3,
            to: 4181,
            next: name.path("t", 4181),
            reclaimed: 0,
        };
        let file = MergedFile { path: "_compacted/t/x.parquet".into(), bytes: 5, rows: 4181 };
        Manifest { version: 7, table_id, nonce: Nonce(9), chains: vec![covered], files: vec![file] }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let manifest = manifest();
        let read = Manifest::parse(&manifest.to_json(), "t", manifest.table_id, 7);
        assert_eq!(read.as_ref(), Ok(&manifest));
        let text = String::from_utf8(manifest.to_json()).unwrap();
        assert_eq!(
            text,
            concat!(
                r#"{"version":7,"table_id":"00000000-0000-0000-0000-000000000002","#,
                r#""nonce":"00000000000000000000000000000009","chains":[{"topic":"orders","#,
                r#""topic_id":"00000000-0000-0000-0000-000000000001","partition":3,"to":4181,"#,
                r#""next":"t/partition=3/orders+3+00000000000000004181.parquet","reclaimed":0}],"#,
                r#""files":[{"path":"_compacted/t/x.parquet","bytes":5,"rows":4181}]}"#
            )
        );
    }

    #[test]
    fn what_does_not_fit_is_refused_by_name() {
        let (manifest, other) = (manifest(), TableId(Uuid::from_u128(8)));
        let text = manifest.to_json();
        let parse = |text: &[u8], id, version| {
            Manifest::parse(text, "t", id, version).unwrap_err().to_string()
        };
        assert!(parse(&text, other, 7).contains("begins without `_files`"));
        assert_eq!(parse(&text, manifest.table_id, 8), "it says that it is version 7");
        assert!(parse(b"{}", manifest.table_id, 7).starts_with("it is no manifest: "));
        let mut chains = manifest.chains.clone();
        chains[0].to = 9;
        let moved = Manifest { chains, ..manifest.clone() }.to_json();
        assert!(parse(&moved, manifest.table_id, 7).contains("is no object that begins"));
    }
}

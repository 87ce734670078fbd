//! IO. Lists and reads the objects of a lake, in a folder or on object storage.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt as _;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt as _};
use tokio::runtime::{self, Runtime};
use url::Url;

use super::manifest::{self, Manifest};
use super::name::{self, Entry, ObjectName};
use super::naming::{self, Naming};

/// A lake that is open for reading.
#[derive(Debug)]
pub struct Lake {
    store: Arc<dyn ObjectStore>,
    root: Path,
    /// The root as a folder, where the lake is one.
    folder: Option<PathBuf>,
    /// The only table that is looked at, if one was named.
    table: Option<String>,
    runtime: Runtime,
}

/// One Parquet object of a lake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    pub name: ObjectName,
    /// Relative to the lake's root.
    pub path: String,
    /// When it came to stand under its name, in milliseconds since 1970: a file's change time,
    /// which a rename sets, unlike its modification time; else what the store says.
    pub stored_at_ms: i64,
}

/// What a lake holds at one moment.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    /// By name: table, topic, id, partition and first offset.
    pub objects: Vec<Object>,
    /// Parquet files that no partition's chain knows, by table.
    pub foreign: BTreeMap<String, Vec<String>>,
    /// The newest schema of each table: version and path.
    schemas: BTreeMap<String, (u32, String)>,
    /// The newest manifest of each compacted table: version and path.
    manifests: BTreeMap<String, (u64, String)>,
}

#[derive(Debug, thiserror::Error)]
pub enum LakeError {
    #[error("`{lake}` is neither a folder nor the URL of a lake")]
    Folder {
        lake: String,
        #[source]
        source: io::Error,
    },
    #[error("the lake `{lake}` cannot be opened")]
    Open {
        lake: String,
        #[source]
        source: object_store::Error,
    },
    #[error("failed to start the runtime that reads the lake")]
    Runtime {
        #[source]
        source: io::Error,
    },
    #[error("failed to list the lake")]
    List {
        #[source]
        source: object_store::Error,
    },
    #[error("failed to read {path}")]
    Read {
        path: String,
        #[source]
        source: object_store::Error,
    },
    #[error("{path} is no manifest")]
    Manifest {
        path: String,
        #[source]
        source: serde_json::Error,
    },
    #[error("{path} is no table schema")]
    Schema {
        path: String,
        #[source]
        source: serde_json::Error,
    },
}

impl Lake {
    /// Opens a lake by the path of its folder or by URL (`file://`, `s3://`, `gs://`, `az://`), with
    /// the options of its store.
    pub fn open(lake: &str, options: &BTreeMap<String, String>) -> Result<Self, LakeError> {
        let folder = folder_of(lake)?;
        let url = match &folder {
            Some(folder) => Url::from_directory_path(folder).ok(),
            None => Url::parse(lake).ok(),
        };
        let url = url.expect("folders are absolute, and what is no folder was parsed before");
        let (store, root) = object_store::parse_url_opts(&url, options)
            .map_err(|source| LakeError::Open { lake: lake.into(), source })?;
        let runtime = runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(|source| LakeError::Runtime { source })?;
        Ok(Self { store: store.into(), root, folder, table: None, runtime })
    }

    /// Looks at one table only: a topic may have been read into several.
    pub fn only(self, table: Option<String>) -> Self {
        Self { table, ..self }
    }

    pub fn list(&self) -> Result<Listing, LakeError> {
        let found = self.store.list(Some(&self.root)).try_collect::<Vec<_>>();
        let found = self.runtime.block_on(found).map_err(|source| LakeError::List { source })?;
        let mut listing = Listing::default();
        for meta in found {
            let path = self.relative(&meta.location);
            match name::classify(&path) {
                Entry::Object(name) => {
                    let stored_at_ms = self.stored_at_ms(&meta, &path);
                    listing.objects.push(Object { name, path, stored_at_ms });
                }
                Entry::Foreign { table } => listing.foreign.entry(table).or_default().push(path),
                Entry::Private => listing.note_private(path),
                Entry::Other => {}
            }
        }
        if let Some(table) = &self.table {
            listing.objects.retain(|object| object.name.table == *table);
        }
        listing.objects.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(listing)
    }

    /// Reads a whole object by its path relative to the lake's root.
    pub fn read(&self, path: &str) -> Result<Bytes, LakeError> {
        let failed = |source| LakeError::Read { path: path.into(), source };
        let below = Path::from(path);
        let location = Path::from_iter(self.root.parts().chain(below.parts()));
        let read = async { self.store.get(&location).await?.bytes().await };
        self.runtime.block_on(read).map_err(failed)
    }

    /// The columns' fields by the newest schema of `table`; by their own names if it has none.
    pub fn naming(&self, listing: &Listing, table: &str) -> Result<Naming, LakeError> {
        let Some((_, path)) = listing.schemas.get(table) else { return Ok(Naming::default()) };
        let text = self.read(path)?;
        Naming::parse(&text).map_err(|source| LakeError::Schema { path: path.clone(), source })
    }

    /// The newest manifest of `table`, if it was ever compacted.
    pub fn manifest(&self, listing: &Listing, table: &str) -> Result<Option<Manifest>, LakeError> {
        let Some((_, path)) = listing.manifests.get(table) else { return Ok(None) };
        let manifest = serde_json::from_slice(&self.read(path)?);
        manifest.map(Some).map_err(|source| LakeError::Manifest { path: path.clone(), source })
    }

    fn relative(&self, location: &Path) -> String {
        let below = location.prefix_match(&self.root).into_iter().flatten();
        below.map(|part| part.as_ref().to_owned()).collect::<Vec<_>>().join("/")
    }

    fn stored_at_ms(&self, meta: &ObjectMeta, path: &str) -> i64 {
        let folder = self.folder.as_ref();
        let file = folder.and_then(|folder| std::fs::metadata(folder.join(path)).ok());
        match file {
            Some(file) => file.ctime() * 1_000 + file.ctime_nsec() / 1_000_000,
            None => meta.last_modified.timestamp_millis(),
        }
    }
}

impl Listing {
    /// The objects of one partition of a topic, in the order of their chains.
    pub fn objects_of<'a>(
        &'a self,
        topic: &'a str,
        partition: u32,
    ) -> impl Iterator<Item = &'a Object> {
        let of = move |object: &&Object| {
            object.name.topic == topic && object.name.partition == partition
        };
        self.objects.iter().filter(of)
    }

    fn note_private(&mut self, path: String) {
        if let Some((table, version)) = manifest::place(&path) {
            let newest = self.manifests.entry(table.into()).or_default();
            *newest = (version, path.clone()).max(newest.clone());
        }
        let parts: Vec<&str> = path.split('/').collect();
        let [table, "_schema", file] = parts.as_slice() else { return };
        let Some(version) = naming::version(file) else { return };
        let newest = self.schemas.entry((*table).into()).or_insert((version, path.clone()));
        if newest.0 < version {
            *newest = (version, path.clone());
        }
    }
}

/// The folder that `lake` names, or `None` if it is the URL of something else.
fn folder_of(lake: &str) -> Result<Option<PathBuf>, LakeError> {
    let wrong = |source| LakeError::Folder { lake: lake.into(), source };
    let path = match Url::parse(lake) {
        Ok(url) if url.scheme() == "file" => url
            .to_file_path()
            .map_err(|()| wrong(io::Error::other("the URL names no path on this machine")))?,
        Ok(_) => return Ok(None),
        Err(_) => PathBuf::from(lake),
    };
    std::fs::canonicalize(path).map(Some).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(root: &std::path::Path, path: &str, content: &str) {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    #[test]
    fn a_folder_is_listed_by_chains_with_its_newest_schema() {
        let root = tempfile::tempdir().unwrap();
        let object = |from: u64| format!("sales/partition=1/orders+1+{from:020}.parquet");
        put(root.path(), &object(100), "later");
        put(root.path(), &object(0), "first");
        put(root.path(), "sales/extra.parquet", "");
        put(root.path(), "_staging/x.parquet", "");
        for version in [9, 10] {
            let field = format!("f{version}");
            let schema =
                format!(r#"{{"columns":[{{"name":"a","field":"{field}","type":"text"}}]}}"#);
            put(root.path(), &format!("sales/_schema/{version}.json"), &schema);
        }
        let lake = Lake::open(root.path().to_str().unwrap(), &BTreeMap::new()).unwrap();
        let listing = lake.list().unwrap();
        let paths: Vec<_> = listing.objects_of("orders", 1).map(|object| &object.path).collect();
        assert_eq!(paths, [&object(0), &object(100)]);
        assert_eq!(listing.foreign["sales"], ["sales/extra.parquet"]);
        assert_eq!(lake.naming(&listing, "sales").unwrap().field("a"), "f10");
        assert_eq!(lake.naming(&listing, "other").unwrap(), Naming::default());
        assert_eq!(lake.read(&object(0)).unwrap(), "first");
    }

    #[test]
    fn a_lake_that_is_not_there_is_named() {
        let error = Lake::open("/nonexistent/lake", &BTreeMap::new()).unwrap_err();
        assert!(error.to_string().contains("`/nonexistent/lake`"));
        assert!(Lake::open("ftp://host/lake", &BTreeMap::new()).is_err());
    }
}
